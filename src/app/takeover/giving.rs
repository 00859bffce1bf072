//! Giving: the running process's side.
//!
//! *Not here:* the other side (`taking`).

use std::{
    future::pending,
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener, TcpStream},
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::net::UnixListener,
    },
    path::Path,
    time::UNIX_EPOCH,
};

use sd_notify::NotifyState;
use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};

use super::{
    super::{
        control::{Control, End, tell},
        requests::Open,
    },
    Visitor,
    letter::{Latest, Letter, Message, Offer, PROTOCOL, Socket, SocketKind, Target},
    line::Line,
};
use crate::{
    clock,
    health::{News, Outcome, Past, Remembered},
    limits::{
        DRAIN_WAIT_MAX, EVENTS_KEPT_MAX, REPORTS_WAITING_MAX, TAKEOVER_GREETING_WAIT_MAX,
        TAKEOVER_PREPARE_MAX, TAKEOVER_SOCKETS_PER_MESSAGE, TAKEOVER_WAIT_MAX, TCP_CONNECTIONS_MAX,
    },
    serve::Bound,
    state::{
        journal::Entry,
        store::{Kept, VerdictKey},
    },
};

/// A process that has the sockets and asks for the rest.
#[derive(Debug)]
pub(in crate::app) struct Guest {
    line: Line,
    id: u32,
}

/// A process that answers in our place.
#[derive(Debug)]
pub(in crate::app) struct Heir {
    line: Line,
    id: u32,
    /// Where it answers of the addresses that were ours.
    taken: Vec<SocketAddr>,
}

/// What a guest is given at once.
struct Gift {
    bound: Vec<Bound>,
    api: Option<(Socket, TcpListener)>,
    bells: Vec<(SocketAddr, UnixListener)>,
    offer: Offer,
}

impl Control {
    /// Begins with a process that has rung, unless there is one already.
    pub(in crate::app) fn receive(&mut self, Visitor { line, id, .. }: Visitor) {
        if self.guest.is_some() {
            refuse(line, "another process is taking over", "wait for its end");
            return;
        }
        tracing::info!(process = id, "another process is taking over");
        match self.gift() {
            Ok(gift) => {
                let before = self.before.clone();
                self.guest = Some(tokio::spawn(async move {
                    let greeting = spawn_blocking(move || greet(line, id, &gift)).await;
                    // What comes of the one before us would else come to nobody.
                    if let Some(mut before) = before {
                        let _ = before.changed().await;
                    }
                    greeting.unwrap_or_else(|_| Err("that is a bug".to_owned()))
                }));
            }
            Err(error) => {
                tracing::warn!(%error, "the sockets cannot be handed over");
                refuse(line, "its sockets cannot be handed over", "look into its log");
            }
        }
    }

    /// Gives all that is known to a guest; none: it did not come to answer, and all is as before.
    /// Meanwhile nothing else is done: `news` wait. Nothing that an operator said may just be being
    /// written.
    pub(in crate::app) async fn hand_over(
        &mut self,
        guest: Option<Guest>,
        news: &mut mpsc::Receiver<News>,
    ) -> Option<Heir> {
        self.guest = None;
        let guest = guest?;
        let mut pause = self.prober.pause();
        let past = self.past(pause.past(), news).await?;
        if self.state.is_stale() {
            self.publish();
        }
        self.keep_latency();
        self.keeping.release(&self.state).await;
        let letter = self.letter(&past);
        let handed = spawn_blocking(move || guest.hand(letter)).await;
        let heir = match handed.unwrap_or_else(|_| Err("that is a bug".to_owned())) {
            Ok(heir) => heir,
            Err(why) => {
                self.take_back(&why).await;
                return None;
            }
        };
        // By the one that the service manager knows, and before the other one says that it is ready.
        // Where that one has no number to us, the manager would make nothing of it.
        let has_number = 0 < heir.id;
        if has_number {
            tell(&[NotifyState::MainPid(heir.id)]);
        }
        if let Err(error) = heir.line.say(&Message::Yours) {
            if has_number {
                tell(&[NotifyState::MainPid(std::process::id())]);
            }
            self.take_back(&error.to_string()).await;
            return None;
        }
        Some(heir)
    }

    /// Finishes what was begun, and gives the connections to the other process.
    pub(in crate::app) async fn leave(mut self, heir: Heir) -> End {
        let Heir { line, id, taken } = heir;
        tracing::info!(process = id, "another process has taken over");
        self.bells.silence();
        if let Some(api) = self.api.take() {
            api.close();
        }
        drop((self.prober, self.keeping, self.sayings));
        let (connections, mut moving) = mpsc::channel::<TcpStream>(TCP_CONNECTIONS_MAX);
        let serving = self.serving;
        let registry = serving.registry().clone();
        let snapshot = self.publisher.current().load_full();
        let left = spawn_blocking(move || serving.leave(&taken, connections));
        let moved = spawn_blocking(move || {
            while let Some(connection) = moving.blocking_recv() {
                line.give(&Message::Connection, &[connection.as_fd()])?;
            }
            Ok::<_, io::Error>(line)
        });
        let farewell = async {
            let totals = left.await.map_err(io::Error::other)?;
            let line = moved.await.map_err(io::Error::other)??;
            let counted = spawn_blocking(move || snapshot.counted(&registry).to_text());
            let counted = counted.await.map_err(io::Error::other)?;
            line.say(&Message::Counted { totals: counted })?;
            Ok::<_, io::Error>(totals)
        };
        match timeout(DRAIN_WAIT_MAX + TAKEOVER_WAIT_MAX, farewell).await {
            Ok(Ok(totals)) => tracing::info!("stopped {totals}"),
            Ok(Err(error)) => tracing::warn!(%error, "connections and counts are lost"),
            Err(_) => tracing::warn!("stopped before everything was finished"),
        }
        End::Stopped
    }

    async fn past(
        &mut self,
        past: impl Future<Output = Option<Past>>,
        news: &mut mpsc::Receiver<News>,
    ) -> Option<Past> {
        let mut past = std::pin::pin!(past);
        let mut batch = Vec::new();
        let past = loop {
            tokio::select! {
                past = &mut past => break past,
                // The prober may wait for room before it can pause.
                taken = news.recv_many(&mut batch, REPORTS_WAITING_MAX), if !news.is_closed() => {
                    assert!(taken <= batch.len());
                    self.take_news(&mut batch);
                }
            }
        };
        // What it found before it paused is in what it knows: it has to be in what is told as well.
        while let Ok(it) = news.try_recv() {
            batch.push(it);
        }
        self.take_news(&mut batch);
        past
    }

    async fn take_back(&mut self, why: &str) {
        tracing::warn!(%why, "the other process has not taken over: this one goes on");
        self.keeping.regain(&self.state).await;
    }

    /// The same sockets once more.
    fn gift(&self) -> io::Result<Gift> {
        let state = self.state.plan().settings.state.as_deref();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let api = |(listen, address, listener)| {
            (Socket { kind: SocketKind::Api, listen, address }, listener)
        };
        Ok(Gift {
            bound: self.serving.share()?,
            api: self.api.as_ref().map(Open::share).transpose()?.map(api),
            bells: self.bells.share()?,
            offer: Offer { version, state: state.map(folder) },
        })
    }

    fn letter(&mut self, past: &Past) -> Letter {
        let (now, wall) = (clock::now(), clock::wall());
        let overrides = self.state.overrides();
        let entries = self.keeping.journal.latest(EVENTS_KEPT_MAX);
        let mut kept = Kept::default();
        kept.overrides = overrides.iter().cloned().collect();
        kept.override_id_last = overrides.id_last();
        kept.dials = overrides.dials().map(|(it, dial)| (it.to_owned(), dial.clone())).collect();
        kept.ramps = self.state.ramps();
        kept.events = entries.iter().map(|it| Entry::clone(it)).collect();
        kept.latency = self.state.latency_rows(now, wall);
        Letter {
            generation: self.state.generation(),
            ready: *self.ready.borrow(),
            since: Some(self.meters.since.max(UNIX_EPOCH)),
            totals: self.publisher.current().load().counted(self.serving.registry()).to_text(),
            clock: u64::try_from(past.clock.as_nanos()).unwrap_or(u64::MAX),
            sight: past.sight.to_text(),
            targets: past.targets.iter().map(|it| self.target(it)).collect(),
            event_id_last: self.keeping.journal.id_last(),
            untold: self.keeping.untold(),
            kept: kept.to_text(),
        }
    }

    fn target(&self, it: &Remembered) -> Target {
        let Remembered { spec, is_control, memory } = it;
        let learned = if *is_control { None } else { self.state.learned(spec) };
        let (title, learned) = learned.unzip();
        let since = learned.as_ref().map_or(UNIX_EPOCH, |it| it.known.1);
        let latest = learned.and_then(|it| it.latest);
        Target {
            key: VerdictKey::of(spec).to_string(),
            title: title.unwrap_or_default(),
            is_control: *is_control,
            memory: memory.to_text(),
            since: since.max(UNIX_EPOCH),
            latest: latest.map(|(outcome, at)| Latest {
                good: outcome == Outcome::Good,
                said: outcome.to_string(),
                at: at.max(UNIX_EPOCH),
            }),
        }
    }
}

/// Waits until a guest is there; none: it went away.
pub(in crate::app) async fn guest(
    guest: &mut Option<JoinHandle<Result<Guest, String>>>,
) -> Option<Guest> {
    let Some(greeting) = guest else { return pending().await };
    match greeting.await {
        Ok(Ok(guest)) => Some(guest),
        Ok(Err(why)) => {
            tracing::warn!(%why, "the other process has not taken over: this one goes on");
            None
        }
        Err(_) => None,
    }
}

/// A folder's name, by which it is the same for both.
pub(super) fn folder(path: &Path) -> String {
    let whole = path.canonicalize().or_else(|_| std::path::absolute(path));
    whole.unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// Says no to a process that may not hear it soon.
fn refuse(line: Line, why: &'static str, hint: &'static str) {
    drop(spawn_blocking(move || {
        if let Err(error) = line.refuse(why, hint) {
            tracing::debug!(%error, "it may not know that nothing comes of it");
        }
    }));
}

/// Gives the sockets, and waits until the other process asks for the rest.
fn greet(line: Line, id: u32, gift: &Gift) -> Result<Guest, String> {
    let said = |error: io::Error| why(&error);
    line.be_patient_for(TAKEOVER_GREETING_WAIT_MAX).map_err(said)?;
    let Some((Message::Hello { protocol, version }, _)) = line.hear().map_err(said)? else {
        return Err("it did not say what it wants".to_owned());
    };
    if protocol != PROTOCOL {
        let ours = env!("CARGO_PKG_VERSION");
        let why = format!(
            "the running server {ours} hands over in form {PROTOCOL}, and {version} takes form \
             {protocol}"
        );
        line.refuse(&why, "stop the running server and start the new one").map_err(said)?;
        return Err(why);
    }
    for chunk in gift.sockets().chunks(TAKEOVER_SOCKETS_PER_MESSAGE) {
        let (sockets, descriptors): (_, Vec<_>) = chunk.iter().copied().unzip();
        line.give(&Message::Sockets { sockets }, &descriptors).map_err(said)?;
    }
    line.say(&Message::Offered(gift.offer.clone())).map_err(said)?;
    line.be_patient_for(TAKEOVER_PREPARE_MAX).map_err(said)?;
    match line.hear().map_err(said)? {
        Some((Message::Ask, _)) => Ok(Guest { line, id }),
        Some(_) => Err("it did not ask for what is known".to_owned()),
        None => Err("it is gone".to_owned()),
    }
}

impl Gift {
    fn sockets(&self) -> Vec<(Socket, BorrowedFd<'_>)> {
        let mut sockets = Vec::new();
        for Bound { listen, address, tcp, udp } in &self.bound {
            let socket = |kind| Socket { kind, listen: *listen, address: *address };
            sockets.push((socket(SocketKind::Tcp), tcp.as_fd()));
            sockets.extend(udp.iter().map(|it| (socket(SocketKind::Udp), it.as_fd())));
        }
        sockets.extend(self.api.iter().map(|(socket, it)| (*socket, it.as_fd())));
        sockets.extend(self.bells.iter().map(|(address, it)| {
            let kind = SocketKind::Takeover;
            (Socket { kind, listen: *address, address: *address }, it.as_fd())
        }));
        sockets
    }
}

impl Guest {
    /// Tells what is known, and waits until the other process answers. It is not told yet that it may.
    fn hand(self, letter: Letter) -> Result<Heir, String> {
        let Self { line, id } = self;
        let said = |error: io::Error| why(&error);
        line.be_patient_for(TAKEOVER_WAIT_MAX).map_err(said)?;
        line.say(&Message::Letter(Box::new(letter))).map_err(said)?;
        let why = match line.hear() {
            Ok(Some((Message::Serving { taken }, _))) => return Ok(Heir { line, id, taken }),
            Ok(Some(_)) => "it did not say where it answers".to_owned(),
            Ok(None) => return Err("it is gone".to_owned()),
            Err(error) => why(&error),
        };
        // It may answer at this moment. If it is beyond hearing, it finds the line cut.
        refuse(line, "it did not answer in time, and the running server goes on", LOOK);
        Err(why)
    }
}

/// What to do about a takeover that took too long.
const LOOK: &str = "look into the log of both for what took so long, and try again";

/// What an error comes down to.
fn why(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "it took too long".to_owned(),
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => "it is gone".to_owned(),
        _ => error.to_string(),
    }
}
