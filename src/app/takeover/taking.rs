//! Taking: the new process's side.
//!
//! *Not here:* the other side (`giving`).

use std::{
    collections::HashMap,
    fmt::Display,
    io,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{fd::OwnedFd, unix::net::UnixListener},
    sync::Arc,
    time::{Duration, SystemTime},
};

use nix::{
    errno::Errno,
    sys::signal::kill,
    unistd::{Pid, Uid, User},
};
use tokio::sync::{mpsc, watch};

use super::{
    giving::folder,
    letter::{Latest, Letter, Message, Offer, PROTOCOL, Socket, SocketKind, Target},
    line::Line,
};
use crate::{
    clock,
    compile::Settings,
    counters::{Before, Registry},
    health::{Memory, Outcome, Past, ProbeSpec, Remembered, Sight, Why},
    limits::{DRAIN_WAIT_MAX, TAKEOVER_GREETING_WAIT_MAX, TAKEOVER_SOCKETS_MAX, TAKEOVER_WAIT_MAX},
    serve::{Bound, Serving},
    state::{
        Learned, State,
        journal::Journal,
        store::{Kept, VerdictKey},
    },
};

/// A running server that is about to be taken over.
#[derive(Debug)]
pub(in crate::app) struct Host {
    line: Line,
    id: u32,
}

/// What it gives at once.
#[derive(Debug, Default)]
pub(in crate::app) struct Given {
    pub(in crate::app) bound: Vec<Bound>,
    pub(in crate::app) api: Option<(SocketAddr, TcpListener)>,
    pub(in crate::app) bells: Vec<(SocketAddr, UnixListener)>,
}

/// All that it knows.
pub(in crate::app) struct Inherited {
    pub(in crate::app) kept: Kept,
    pub(in crate::app) past: Past,
    /// Whether it served steered names.
    pub(in crate::app) ready: bool,
    /// The events that webhooks have not taken, by their URLs.
    pub(in crate::app) untold: Vec<(String, Vec<u64>)>,
    counted: Before,
    /// When that began to be counted.
    pub(in crate::app) since: SystemTime,
    /// None: some may have been lost.
    event_id_last: Option<u64>,
}

/// Reaches the server that listens on one of the addresses, and takes its sockets; none: there is
/// none. An error is what keeps this process from taking over; the other one goes on.
pub(in crate::app) fn call(settings: &Settings) -> Result<Option<(Host, Given)>, String> {
    for address in &settings.listen {
        let reached = Line::to(*address).map_err(|error| failed(&error))?;
        let Some(line) = reached else { continue };
        let (user, id) = line.peer().map_err(|error| failed(&error))?;
        if !is_trusted(user, settings) {
            return Err(format!(
                "the process at {address} is of another user ({user})\nhint: start as the user that \
                 the running server has become, or as root"
            ));
        }
        let host = Host { line, id };
        let (offer, given) = host.sockets()?;
        let (theirs, ours) = (offer.state, settings.state.as_deref().map(folder));
        if theirs != ours {
            let shown = |it: Option<String>| it.unwrap_or("none".to_owned());
            return Err(format!(
                "`state` is {}, and that of the running server is {}\nhint: that takes a restart, or \
                 leave it as it is",
                shown(ours),
                shown(theirs)
            ));
        }
        tracing::info!(process = id, version = offer.version, "taking over");
        return Ok(Some((host, given)));
    }
    tracing::warn!("there is no server to take over from: this one starts by itself");
    Ok(None)
}

impl Host {
    /// Asks for all that is known. From here on the running server waits for this process.
    pub(in crate::app) fn ask(&self, state: &mut State) -> Result<Inherited, String> {
        self.line.say(&Message::Ask).map_err(|error| failed(&error))?;
        let Message::Letter(letter) = self.hear()? else {
            return Err(failed(&"it did not tell what it knows"));
        };
        let kept = Kept::of_text(&letter.kept)
            .map_err(|what| failed(&format!("a row of the {what} cannot be read")))?;
        Ok(Inherited {
            kept,
            past: resume(state, &letter),
            ready: letter.ready,
            untold: letter.untold,
            counted: Before::of_text(&letter.totals),
            since: letter.since.unwrap_or_else(clock::wall),
            event_id_last: Some(letter.event_id_last),
        })
    }

    /// Says that this process answers, and waits for the word that it is now the server. Without that
    /// word it is not, unless there is nobody left to give it.
    pub(in crate::app) fn serving(&self, taken: Vec<SocketAddr>) -> Result<(), String> {
        let why = match self.line.say(&Message::Serving { taken }) {
            Ok(()) => match self.hear() {
                Ok(Message::Yours) => return Ok(()),
                Ok(_) => failed(&"it did not say whether it leaves"),
                Err(why) => why,
            },
            Err(error) => failed(&error),
        };
        let is_dead = || {
            let id = i32::try_from(self.id).ok().filter(|id| 0 < *id)?;
            Some(kill(Pid::from_raw(id), None) == Err(Errno::ESRCH))
        };
        // One that cannot be seen from here may live.
        if is_dead() != Some(true) {
            return Err(why);
        }
        tracing::warn!("the running server has died: this one goes on from what it knew");
        Ok(())
    }

    /// Takes the connections and the last counts, on a thread of its own. What is given comes to its
    /// end when the process before has left.
    pub(in crate::app) fn follow(self, serving: &Serving) -> watch::Receiver<()> {
        let (arrivals, registry) = (serving.arrivals(), serving.registry().clone());
        let (stays, left) = watch::channel(());
        let follow = move || {
            let _stays = stays;
            if let Err(error) = self.hear_out(&arrivals, &registry) {
                tracing::warn!(%error, "connections and counts of the process before are lost");
            }
            tracing::info!(process = self.id, "the process before has left");
        };
        let thread = std::thread::Builder::new().name("takeover".to_owned()).spawn(follow);
        if let Err(error) = thread {
            tracing::warn!(%error, "connections and counts of the process before are lost");
        }
        left
    }

    fn hear_out(&self, arrivals: &mpsc::Sender<TcpStream>, registry: &Registry) -> io::Result<()> {
        self.line.be_patient_for(DRAIN_WAIT_MAX + TAKEOVER_WAIT_MAX)?;
        while let Some((message, sockets)) = self.line.hear()? {
            match message {
                Message::Connection => {
                    // Is nobody there any more, this process stops.
                    let taken = |it| arrivals.blocking_send(TcpStream::from(it)).is_ok();
                    if !sockets.into_iter().all(taken) {
                        return Ok(());
                    }
                }
                Message::Counted { totals } => registry.go_on_from(Before::of_text(&totals)),
                _ => return Err(io::Error::other("it says what it should not")),
            }
        }
        Ok(())
    }

    fn sockets(&self) -> Result<(Offer, Given), String> {
        let patience = self.line.be_patient_for(TAKEOVER_GREETING_WAIT_MAX);
        patience.map_err(|error| failed(&error))?;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let hello = Message::Hello { protocol: PROTOCOL, version };
        self.line.say(&hello).map_err(|error| failed(&error))?;
        let (mut given, mut count) = (Given::default(), 0);
        loop {
            let heard = self.line.hear().map_err(|error| failed(&error))?;
            match heard {
                Some((Message::Sockets { sockets }, descriptors)) => {
                    count += sockets.len();
                    if sockets.len() != descriptors.len() || TAKEOVER_SOCKETS_MAX < count {
                        return Err(failed(&"its sockets did not come"));
                    }
                    let sockets = sockets.into_iter().zip(descriptors);
                    sockets.for_each(|(it, descriptor)| given.add(it, descriptor));
                }
                Some((Message::Offered(offer), _)) => {
                    // Before it answers the next, the one before it has left, and its state is written.
                    let patience = DRAIN_WAIT_MAX + TAKEOVER_WAIT_MAX;
                    let patience = self.line.be_patient_for(patience);
                    patience.map_err(|error| failed(&error))?;
                    return Ok((offer, given));
                }
                Some((Message::No { why, hint }, _)) => return Err(refused(&why, &hint)),
                Some(_) => return Err(failed(&"it says what it should not")),
                None => return Err(failed(&"it is gone")),
            }
        }
    }

    fn hear(&self) -> Result<Message, String> {
        match self.line.hear() {
            Ok(Some((Message::No { why, hint }, _))) => Err(refused(&why, &hint)),
            Ok(Some((message, _))) => Ok(message),
            Ok(None) => Err(failed(&"it is gone")),
            Err(error) => Err(failed(&error)),
        }
    }
}

impl Given {
    /// The addresses at which questions come in.
    pub(in crate::app) fn addresses(&self) -> Vec<SocketAddr> {
        self.bound.iter().map(|it| it.address).collect()
    }

    /// Sockets of an address come with that for connections first.
    fn add(&mut self, socket: Socket, descriptor: OwnedFd) {
        let Socket { kind, listen, address } = socket;
        match kind {
            SocketKind::Tcp => {
                let tcp = TcpListener::from(descriptor);
                self.bound.push(Bound { listen, address, tcp, udp: Vec::new() });
            }
            SocketKind::Udp => {
                if let Some(bound) = self.bound.iter_mut().find(|it| it.address == address) {
                    bound.udp.push(UdpSocket::from(descriptor));
                }
            }
            SocketKind::Api => self.api = Some((listen, TcpListener::from(descriptor))),
            SocketKind::Takeover => self.bells.push((address, UnixListener::from(descriptor))),
        }
    }
}

impl Inherited {
    /// What was kept over a restart.
    pub(in crate::app) fn kept(kept: Kept, past: Past) -> Self {
        Self {
            kept,
            past,
            ready: false,
            untold: Vec::new(),
            counted: Before::default(),
            since: clock::wall(),
            event_id_last: None,
        }
    }

    /// What was counted.
    pub(in crate::app) fn counted(&self) -> Before {
        self.counted.clone()
    }

    /// The journal, as it was.
    pub(in crate::app) fn take_journal(&mut self) -> Journal {
        match self.event_id_last {
            Some(last) => Journal::resumed(std::mem::take(&mut self.kept.events), last),
            None => self.kept.take_journal(),
        }
    }
}

/// Whether a process of this user may be the server that these settings mean.
fn is_trusted(user: Uid, settings: &Settings) -> bool {
    let named = || {
        let name = settings.user.as_deref()?;
        Some(User::from_name(name).ok()??.uid)
    };
    user == Uid::effective() || user.is_root() || named() == Some(user)
}

/// What another process knows, found by what tells one target from another.
struct Index<'t> {
    by_key: HashMap<(bool, &'t str), &'t Target>,
    /// None: several have it.
    by_title: HashMap<&'t str, Option<&'t Target>>,
}

impl<'t> Index<'t> {
    fn of(targets: &'t [Target]) -> Self {
        let by_key = targets.iter().map(|it| ((it.is_control, &*it.key), it)).collect();
        let mut by_title = HashMap::new();
        for target in targets.iter().filter(|it| !it.is_control) {
            by_title.entry(&*target.title).and_modify(|it| *it = None).or_insert(Some(target));
        }
        Self { by_key, by_title }
    }

    /// Another version may have another key for the same, and a check may have other numbers: that
    /// is no reason to forget what is known.
    fn endpoint(&self, spec: &ProbeSpec, title: &str) -> Option<&'t Target> {
        let key = VerdictKey::of(spec).to_string();
        let by_title = || self.by_title.get(title).copied().flatten();
        self.by_key.get(&(false, &*key)).copied().or_else(by_title)
    }

    fn control(&self, spec: &ProbeSpec) -> Option<&'t Target> {
        self.by_key.get(&(true, &*VerdictKey::of(spec).to_string())).copied()
    }
}

/// Goes on from what is known of the targets, and gives what the prober goes on from.
fn resume(state: &mut State, letter: &Letter) -> Past {
    let index = Index::of(&letter.targets);
    let clock = Duration::from_nanos(letter.clock);
    let sight = Sight::of_text(&letter.sight).unwrap_or_default();
    let mut past = Past { clock, sight, targets: Vec::new() };
    let mut known = Vec::with_capacity(state.plan().probes.len());
    for (spec, title) in state.plan().probes.iter().zip(state.titles()) {
        let target = index.endpoint(spec, &title);
        let found = target.and_then(|it| Some((it, Memory::of_text(&it.memory)?)));
        known.push(found.as_ref().map(|(target, memory)| Learned {
            known: (memory.status(), target.since),
            latest: target.latest.as_ref().map(outcome),
        }));
        past.targets.extend(found.map(|(_, memory)| Remembered {
            spec: Arc::clone(spec),
            is_control: false,
            memory,
        }));
    }
    for spec in &*state.plan().settings.sanity.control {
        let memory = index.control(spec).and_then(|it| Memory::of_text(&it.memory));
        past.targets.extend(memory.map(|memory| Remembered {
            spec: Arc::clone(spec),
            is_control: true,
            memory,
        }));
    }
    state.resume(letter.generation, sight, known);
    past
}

fn outcome(Latest { good, said, at }: &Latest) -> (Outcome, SystemTime) {
    let told = || Outcome::Failed(Why::Told(said.as_str().into()));
    (if *good { Outcome::Good } else { told() }, *at)
}

fn failed(why: &dyn Display) -> String {
    format!(
        "the running server cannot be taken over: {why}\nhint: it goes on as it was; its log says more"
    )
}

fn refused(why: &str, hint: &str) -> String {
    format!("the running server cannot be taken over: {why}\nhint: {hint}")
}
