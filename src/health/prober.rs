//! The prober: the loop that executes what is due and reports what came of it.
//!
//! ```text
//!   set(specs) --> targets <--due-- queue          at most PROBES_IN_FLIGHT_MAX
//!                     |  ^                              |
//!                     |  '---- outcome, judgement ---- executions
//!                     '--> News, over a bounded channel
//! ```
//!
//! One task owns all of it. An execution is a task of its own, so that a slow target delays no
//! other. Heartbeats wait in a set, each name once, until the task takes them in; they are good
//! outcomes without an execution, and what is due of their targets is the end of the latest one.
//!
//! # Invariants
//!
//! - A target is in the queue or in flight, never both and never neither.
//! - Equal specs are one target, and a spec that stays in the set keeps its history. A report names
//!   it by the `Arc` of the latest set, so that the receiver may compare addresses.
//! - A spec that takes the place of one that asked the same of the same target goes on from its
//!   judgement: to be asked more often, or judged otherwise, is no reason to believe a single
//!   outcome.
//! - Nothing is reported of a target after the set that lacks it was taken in, and never anything
//!   of a control target.
//! - That the prober went blind is told before the report whose failure does not count.
//!
//! Not here: when a target is due (`schedule`), what its outcomes say (`judge`), and what they say
//! of the prober (`blind`).

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    task::{AbortHandle, Id, JoinError, JoinHandle, JoinSet},
    time::{Instant, sleep_until},
};

use super::{
    Blinded, Evidence, Executed, Judgement, Kind, Memory, Outcome, Past, ProbeSpec, Question,
    Remembered, Rules, Sanity, Sight, Status, Utilization, Why,
    blind::{Sign, Tally},
    schedule::{Queue, Timetable},
};
use crate::{clock, dice::Dice, limits::PROBES_IN_FLIGHT_MAX};

/// What the prober has to tell.
#[derive(Debug, Clone)]
pub enum News {
    /// A probe was executed.
    Probed(Report),
    /// The prober thinks otherwise of itself.
    Sight(Blinded),
}

/// What came of one execution.
#[derive(Debug, Clone)]
pub struct Report {
    /// Whose.
    pub spec: Arc<ProbeSpec>,
    /// What is to be thought of the target now.
    pub status: Status,
    /// What this execution came to.
    pub outcome: Outcome,
    /// The load that the target reported with it.
    pub load: Option<Utilization>,
    /// When it ended, for people.
    pub at: SystemTime,
}

/// The running prober. It stops when this is dropped.
#[derive(Debug)]
pub struct Prober {
    wanted: watch::Sender<Wanted>,
    beats: Arc<Beats>,
    asks: mpsc::Sender<Ask>,
    task: JoinHandle<()>,
}

/// A prober that pauses, or is about to, until this is dropped.
#[derive(Debug)]
pub struct Pause {
    past: oneshot::Receiver<Past>,
    _go_on: oneshot::Sender<()>,
}

/// Somebody wants to know all that is known.
#[derive(Debug)]
struct Ask {
    past: oneshot::Sender<Past>,
    /// Comes to its end when the prober is to go on.
    go_on: oneshot::Receiver<()>,
}

/// What is to be probed.
#[derive(Debug, Clone, Default)]
struct Wanted {
    probes: Vec<Arc<ProbeSpec>>,
    sanity: Sanity,
}

/// Heartbeats that have not been taken in yet. There are at most as many as there are checks.
#[derive(Debug, Default)]
struct Beats {
    came: Mutex<HashSet<Box<str>>>,
    bell: Notify,
}

impl Prober {
    /// Starts a prober without targets that sends what it finds to `news`.
    ///
    /// `execute` is [`execute_and_hear`](super::execute_and_hear) but in tests; it ends within the spec's timeout.
    pub fn start<F, E>(execute: F, news: mpsc::Sender<News>) -> Self
    where
        F: Fn(Arc<ProbeSpec>) -> E + Send + 'static,
        E: Future<Output: Into<Executed>> + Send + 'static,
    {
        Self::start_from(execute, news, Past::default())
    }

    /// Starts like [`start`](Self::start), and goes on from what is known from before a restart, or in
    /// another process.
    pub fn start_from<F, E>(execute: F, news: mpsc::Sender<News>, past: Past) -> Self
    where
        F: Fn(Arc<ProbeSpec>) -> E + Send + 'static,
        E: Future<Output: Into<Executed>> + Send + 'static,
    {
        let (wanted, wishes) = watch::channel(Wanted::default());
        let (asks, asked) = mpsc::channel(1);
        let beats = Arc::<Beats>::default();
        let now = Instant::now();
        let role = |is_control| if is_control { Role::Control } else { Role::Endpoint };
        let known = past.targets.into_iter();
        let desk = Desk {
            execute,
            beats: Arc::clone(&beats),
            news,
            // Clocks that began before the machine did are of another one; then it begins now.
            began: now.checked_sub(past.clock).unwrap_or(now),
            dice: Dice::from_os(),
            known: known.map(|it| ((role(it.is_control), it.spec), it.memory)).collect(),
            serials: HashMap::new(),
            targets: HashMap::new(),
            serial_next: 0,
            queue: Queue::default(),
            executions: JoinSet::new(),
            flights: HashMap::new(),
            sanity: Sanity::default(),
            sight: past.sight,
            tally: Tally::default(),
            control: Vec::new(),
        };
        Self { wanted, beats, asks, task: tokio::spawn(desk.run(wishes, asked)) }
    }

    /// Asks for all that is known. Nothing more is found out until what is given here is dropped.
    #[must_use]
    pub fn pause(&self) -> Pause {
        let (past_in, past) = oneshot::channel();
        let (go_on, gone_on) = oneshot::channel();
        // One that asks while another one waits is not answered.
        let _ = self.asks.try_send(Ask { past: past_in, go_on: gone_on });
        Pause { past, _go_on: go_on }
    }

    /// Takes a heartbeat in, and says whether there is a check that waits for it.
    #[must_use]
    pub fn heartbeat(&self, check: &str) -> bool {
        let waits =
            |spec: &Arc<ProbeSpec>| matches!(&spec.kind, Kind::Push(push) if *push.check == *check);
        let is_wanted = self.wanted.borrow().probes.iter().any(waits);
        if is_wanted {
            self.beats.came().insert(check.into());
            self.beats.bell.notify_one();
        }
        is_wanted
    }

    /// Probes these from now on, and no others, and doubts itself by these rules.
    pub fn set(&self, probes: Vec<Arc<ProbeSpec>>, sanity: Sanity) {
        // Only the latest set counts; one that was not yet looked at is replaced.
        self.wanted.send_replace(Wanted { probes, sanity });
    }

    /// Waits until the prober is no more. It goes on as long as it is wanted, so this is a crash.
    pub async fn crashed(&mut self) {
        // How it ended does not matter: it should not have.
        let _ = (&mut self.task).await;
    }
}

impl Pause {
    /// Waits until it pauses; what is known then. What it found before has been told by then, to whom
    /// has to be listened meanwhile. None: it is no more. Not asked again after it has answered.
    pub async fn past(&mut self) -> Option<Past> {
        (&mut self.past).await.ok()
    }
}

impl Beats {
    fn came(&self) -> std::sync::MutexGuard<'_, HashSet<Box<str>>> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of an outcome: what the prober thinks of itself, if that changed, and of the target.
type Found = (Option<Blinded>, Option<Report>);

/// What the prober's task has before it.
struct Desk<F> {
    execute: F,
    beats: Arc<Beats>,
    news: mpsc::Sender<News>,
    /// The schedule counts from here.
    began: Instant,
    dice: Dice,
    /// What was known before it began, until the first set was taken in.
    known: HashMap<(Role, Arc<ProbeSpec>), Memory>,
    /// Each target's number; numbers are not used again.
    serials: HashMap<(Role, Arc<ProbeSpec>), u64>,
    targets: HashMap<u64, Probed>,
    serial_next: u64,
    queue: Queue,
    executions: JoinSet<Executed>,
    /// Whose each execution is.
    flights: HashMap<Id, Flight>,
    sanity: Sanity,
    sight: Sight,
    tally: Tally,
    /// The control targets' numbers.
    control: Vec<u64>,
}

/// What a target is probed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Role {
    /// Answers rest on it.
    Endpoint,
    /// It shows whether the prober's own network is there.
    Control,
}

/// A target.
struct Probed {
    spec: Arc<ProbeSpec>,
    role: Role,
    judgement: Judgement,
    /// What its latest outcome says for the evidence.
    sign: Sign,
    timetable: Timetable,
    /// When the latest heartbeat ends, where heartbeats are what counts.
    silent_at: Duration,
    /// Its execution, if it is in flight.
    execution: Option<AbortHandle>,
}

/// An execution that is under way.
struct Flight {
    serial: u64,
    started: Duration,
}

impl<F, E> Desk<F>
where
    F: Fn(Arc<ProbeSpec>) -> E + Send + 'static,
    E: Future<Output: Into<Executed>> + Send + 'static,
{
    async fn run(mut self, mut wishes: watch::Receiver<Wanted>, mut asked: mpsc::Receiver<Ask>) {
        let beats = Arc::clone(&self.beats);
        // Without targets there is no evidence, and a blindness from before would end.
        if wishes.changed().await.is_err() {
            return;
        }
        let wanted = wishes.borrow_and_update().clone();
        self.adopt(wanted);
        loop {
            let mut found = vec![(self.look(None), None)];
            found.extend(self.launch_due());
            if tell(&self.news, found).await.is_err() {
                return;
            }
            let wake_at = self.wake_at();
            tokio::select! {
                changed = wishes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let wanted = wishes.borrow_and_update().clone();
                    self.adopt(wanted);
                }
                Some(ended) = self.executions.join_next_with_id() => {
                    let found = self.land(ended);
                    if tell(&self.news, vec![found]).await.is_err() {
                        return;
                    }
                }
                () = beats.bell.notified() => {
                    // Who waits for it may not have been taken in yet.
                    if wishes.has_changed().unwrap_or(false) {
                        let wanted = wishes.borrow_and_update().clone();
                        self.adopt(wanted);
                    }
                    let found = self.hear();
                    if tell(&self.news, found).await.is_err() {
                        return;
                    }
                }
                Some(ask) = asked.recv() => {
                    if ask.past.send(self.past()).is_ok() {
                        // An error says that it was dropped: that is how it is told.
                        let _ = ask.go_on.await;
                    }
                }
                () = sleep_until(wake_at.unwrap_or(self.began)), if wake_at.is_some() => {}
            }
        }
    }

    /// When there is something to do that nobody tells.
    fn wake_at(&self) -> Option<Instant> {
        let room = self.flights.len() < PROBES_IN_FLIGHT_MAX;
        let due = self.queue.next_due().filter(|_| room);
        let until = match self.sight {
            Sight::Blind { until } => Some(until),
            Sight::Sighted { .. } | Sight::Spent => None,
        };
        due.into_iter().chain(until).min().map(|at| self.began + at)
    }

    fn past(&self) -> Past {
        let remembered = |target: &Probed| Remembered {
            spec: Arc::clone(&target.spec),
            is_control: target.role == Role::Control,
            memory: Memory {
                judgement: target.judgement.clone(),
                sign: target.sign,
                silent_at: Some(target.silent_at),
            },
        };
        let targets = self.targets.values().map(remembered).collect();
        Past { clock: self.now(), sight: self.sight, targets }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Makes `wanted` the targets: those that stay keep what is known of them.
    fn adopt(&mut self, Wanted { probes, sanity }: Wanted) {
        let now = self.now();
        let mut before = std::mem::take(&mut self.serials);
        let mut targets = HashMap::with_capacity(probes.len() + sanity.control.len());
        let mut added = Vec::new();
        let control = sanity.control.iter().map(|spec| (Role::Control, Arc::clone(spec)));
        let wanted = probes.into_iter().map(|spec| (Role::Endpoint, spec)).chain(control);
        for (role, spec) in wanted {
            let key = (role, spec);
            if let Some(serial) = before.remove(&key) {
                let mut target = self.targets.remove(&serial).expect("each serial has a target");
                target.spec = Arc::clone(&key.1);
                targets.insert(serial, target);
                self.serials.insert(key, serial);
            } else if !self.serials.contains_key(&key) {
                self.serials.insert(key.clone(), self.serial_next);
                added.push((self.serial_next, key));
                self.serial_next += 1;
            }
        }
        self.queue.retain(|serial| targets.contains_key(&serial));
        let kindred = kindred(self.targets.values(), !added.is_empty());
        let count = added.len();
        let mut fresh = Vec::with_capacity(count);
        for (serial, (role, spec)) in added {
            let (timetable, due) = Timetable::begin(&spec, count, now);
            let kin = kindred.get(&spec.question()).filter(|_| role == Role::Endpoint);
            let known = self.known.remove(&(role, Arc::clone(&spec))).unwrap_or_default();
            let (judgement, sign) = kin.cloned().unwrap_or((known.judgement, known.sign));
            let silent_at = known.silent_at.unwrap_or(now + spec.every);
            let due = if matches!(spec.kind, Kind::Push(_)) { silent_at } else { due };
            let target =
                Probed { spec, role, judgement, sign, timetable, silent_at, execution: None };
            fresh.push((serial, target));
            self.queue.push(due, serial);
        }
        drop(kindred);
        for (serial, target) in fresh {
            self.tally.replace(&target.spec.target, Sign::None, target.sign);
            targets.insert(serial, target);
        }
        for gone in self.targets.values() {
            if let Some(execution) = &gone.execution {
                execution.abort();
            }
            if gone.role == Role::Endpoint {
                self.tally.replace(&gone.spec.target, gone.sign, Sign::None);
            }
        }
        self.known = HashMap::new();
        self.targets = targets;
        let is_control = |(_, target): &(&u64, &Probed)| target.role == Role::Control;
        self.control = self.targets.iter().filter(is_control).map(|(serial, _)| *serial).collect();
        self.sanity = sanity;
        assert_eq!(self.targets.len(), self.serials.len());
    }

    /// Begins the executions that are due, as far as there is room; gives what is found of targets
    /// that are due because no heartbeat came.
    fn launch_due(&mut self) -> Vec<Found> {
        let now = self.now();
        let mut found = Vec::new();
        while self.flights.len() < PROBES_IN_FLIGHT_MAX
            && let Some(serial) = self.queue.pop_due(now)
        {
            let target = self.targets.get_mut(&serial).expect("only targets are in the queue");
            assert!(target.execution.is_none(), "who is in flight is not in the queue");
            if let Kind::Push(push) = &target.spec.kind {
                let expires = push.expires;
                let is_silent = target.silent_at <= now;
                if is_silent {
                    target.silent_at = now + expires;
                }
                self.queue.push(target.silent_at, serial);
                if is_silent {
                    found.push(self.judge(serial, Outcome::Failed(Why::Silent(expires)).into()));
                }
                continue;
            }
            let execution = (self.execute)(target.spec.clone());
            let execution = self.executions.spawn(async move { execution.await.into() });
            self.flights.insert(execution.id(), Flight { serial, started: now });
            target.execution = Some(execution);
        }
        found
    }

    /// Takes the heartbeats in that came.
    fn hear(&mut self) -> Vec<Found> {
        let now = self.now();
        let came = std::mem::take(&mut *self.beats.came());
        let mut heard = Vec::with_capacity(came.len());
        for (serial, target) in &mut self.targets {
            // What is in the queue stays as it is: when that is due, it is looked at anew.
            if let Kind::Push(push) = &target.spec.kind
                && came.contains(&push.check)
            {
                target.silent_at = now + push.expires;
                heard.push(*serial);
            }
        }
        heard.into_iter().map(|serial| self.judge(serial, Outcome::Good.into())).collect()
    }

    /// Takes in what an execution came to, unless its target is gone.
    fn land(&mut self, ended: Result<(Id, Executed), JoinError>) -> Found {
        let (id, executed) = match ended {
            Ok(ended) => ended,
            Err(error) => (error.id(), Outcome::Failed(Why::Broken).into()),
        };
        let now = self.now();
        let Flight { serial, started } =
            self.flights.remove(&id).expect("each execution is a flight");
        let Some(target) = self.targets.get_mut(&serial) else { return (None, None) };
        target.execution = None;
        let due = target.timetable.next(started, now, &mut self.dice.roll());
        self.queue.push(due, serial);

        match target.role {
            Role::Endpoint => self.judge(serial, executed),
            Role::Control => {
                let good = executed.outcome == Outcome::Good;
                target.sign = if good { Sign::There } else { Sign::Failed };
                (self.look(Some(good)), None)
            }
        }
    }

    /// What is to be thought of a target after one more outcome, and of the prober.
    fn judge(&mut self, serial: u64, executed: Executed) -> Found {
        let Executed { outcome, load } = executed;
        let now = self.now();
        let target = self.targets.get_mut(&serial).expect("who has an outcome is a target");
        let good = outcome == Outcome::Good;
        // What a lost network looks like: a failure, or what is good because something fails.
        let is_doubtful = good == target.spec.invert;
        // Whether that counts depends on what the others say, this one included; the rest counts at
        // any time.
        let rules = Rules::of(&target.spec);
        let before = target.judgement.status().verdict;
        if !is_doubtful {
            target.judgement.take(good, false, rules, now);
        }
        let sign = if target.spec.shows_network() {
            Sign::of(good, before, target.judgement.status().verdict)
        } else {
            Sign::None
        };
        self.tally.replace(&target.spec.target, target.sign, sign);
        target.sign = sign;
        let blinded = self.look(Some(!is_doubtful));
        let blind = self.sight.is_blind();
        let target = self.targets.get_mut(&serial).expect("it was there above");
        if is_doubtful && !(good && blind) {
            target.judgement.take(good, blind, rules, now);
        }
        let (spec, status) = (Arc::clone(&target.spec), target.judgement.status());
        (blinded, Some(Report { spec, status, outcome, load, at: clock::wall() }))
    }

    /// Thinks over whether the prober can be trusted, after an outcome or after some time; what is
    /// to be told if that changed.
    fn look(&mut self, good: Option<bool>) -> Option<Blinded> {
        let evidence = self.evidence();
        let sight = self.sight.after(good, evidence, &self.sanity, self.now());
        let is_like_before = sight.is_like(self.sight);
        self.sight = sight;
        if is_like_before {
            return None;
        }
        if sight.is_blind() {
            self.targets.values_mut().for_each(|target| target.judgement.doubt());
        }
        Some(Blinded { sight, evidence })
    }

    fn evidence(&self) -> Evidence {
        if self.control.is_empty() {
            return self.tally.evidence();
        }
        let failed = |serial: &&u64| self.targets[*serial].sign == Sign::Failed;
        let failed = self.control.iter().filter(failed).count();
        Evidence { counted: self.control.len(), failed, control: true }
    }
}

/// Tells what was found. It fails when nobody listens any more.
async fn tell(
    news: &mpsc::Sender<News>,
    found: Vec<Found>,
) -> Result<(), mpsc::error::SendError<News>> {
    for (blinded, report) in found {
        let told = blinded.map(News::Sight).into_iter().chain(report.map(News::Probed));
        for it in told {
            news.send(it).await?;
        }
    }
    Ok(())
}

/// What is known by what was asked, if anyone `wants` to know. Where several numbers go with one
/// question, any of them will do.
fn kindred<'t>(
    targets: impl Iterator<Item = &'t Probed>,
    wants: bool,
) -> HashMap<Question<'t>, (Judgement, Sign)> {
    let targets = targets.filter(|target| wants && target.role == Role::Endpoint);
    targets
        .map(|target| (target.spec.question(), (target.judgement.clone(), target.sign)))
        .collect()
}

#[cfg(test)]
mod tests;
