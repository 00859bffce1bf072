//! The prober: the loop that executes what is due and reports what came of it.
//!
//! ```text
//!   set(specs) --> targets <--due-- queue          at most PROBES_IN_FLIGHT_MAX
//!                     |  ^                              |
//!                     |  '---- outcome, judgement ---- executions
//!                     '--> Report, over a bounded channel
//! ```
//!
//! One task owns all of it. An execution is a task of its own, so that a slow target delays no
//! other.
//!
//! # Invariants
//!
//! - A target is in the queue or in flight, never both and never neither.
//! - Equal specs are one target, and a spec that stays in the set keeps its history. A report names
//!   it by the `Arc` of the latest set, so that the receiver may compare addresses.
//! - A spec that takes the place of one that asked the same of the same target goes on from its
//!   judgement, so that a change of `every` is no reason to believe a single outcome.
//! - Nothing is reported of a target after the set that lacks it was taken in.
//!
//! Not here: when a target is due (`schedule`), and what its outcomes say (`judge`).

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, Id, JoinError, JoinHandle, JoinSet},
    time::{Instant, sleep_until},
};

use super::{
    Judgement, Kind, Outcome, ProbeSpec, Status, Target, Why,
    schedule::{Queue, Timetable},
};
use crate::{clock, dice::Dice, limits::PROBES_IN_FLIGHT_MAX};

/// What came of one execution.
#[derive(Debug, Clone)]
pub struct Report {
    /// Whose.
    pub spec: Arc<ProbeSpec>,
    /// What is to be thought of the target now.
    pub status: Status,
    /// What this execution came to.
    pub outcome: Outcome,
    /// When it ended, for people.
    pub at: SystemTime,
}

/// The running prober. It stops when this is dropped.
#[derive(Debug)]
pub struct Prober {
    wanted: watch::Sender<Vec<Arc<ProbeSpec>>>,
    task: JoinHandle<()>,
}

impl Prober {
    /// Starts a prober without targets that sends what it finds to `reports`.
    ///
    /// `execute` is [`execute`](super::execute) but in tests; it ends within the spec's timeout.
    pub fn start<F, E>(execute: F, reports: mpsc::Sender<Report>) -> Self
    where
        F: Fn(Arc<ProbeSpec>) -> E + Send + 'static,
        E: Future<Output = Outcome> + Send + 'static,
    {
        Self::start_from(execute, reports, HashMap::new())
    }

    /// Starts like [`start`](Self::start), and goes on from what is `known` of targets from before a
    /// restart.
    pub fn start_from<F, E>(
        execute: F,
        reports: mpsc::Sender<Report>,
        known: HashMap<Arc<ProbeSpec>, Status>,
    ) -> Self
    where
        F: Fn(Arc<ProbeSpec>) -> E + Send + 'static,
        E: Future<Output = Outcome> + Send + 'static,
    {
        let (wanted, wishes) = watch::channel(Vec::new());
        let desk = Desk {
            execute,
            reports,
            began: Instant::now(),
            dice: Dice::from_os(),
            known,
            serials: HashMap::new(),
            targets: HashMap::new(),
            serial_next: 0,
            queue: Queue::default(),
            executions: JoinSet::new(),
            flights: HashMap::new(),
        };
        Self { wanted, task: tokio::spawn(desk.run(wishes)) }
    }

    /// Probes these from now on, and no others.
    pub fn set(&self, probes: Vec<Arc<ProbeSpec>>) {
        // Only the latest set counts; one that was not yet looked at is replaced.
        self.wanted.send_replace(probes);
    }

    /// Waits until the prober is no more. It goes on as long as it is wanted, so this is a crash.
    pub async fn crashed(&mut self) {
        // How it ended does not matter: it should not have.
        let _ = (&mut self.task).await;
    }
}

/// What the prober's task has before it.
struct Desk<F> {
    execute: F,
    reports: mpsc::Sender<Report>,
    /// The schedule counts from here.
    began: Instant,
    dice: Dice,
    /// What was known before a restart, until the first set was taken in.
    known: HashMap<Arc<ProbeSpec>, Status>,
    /// Each target's number; numbers are not used again.
    serials: HashMap<Arc<ProbeSpec>, u64>,
    targets: HashMap<u64, Probed>,
    serial_next: u64,
    queue: Queue,
    executions: JoinSet<Outcome>,
    /// Whose each execution is.
    flights: HashMap<Id, Flight>,
}

/// A target.
struct Probed {
    spec: Arc<ProbeSpec>,
    judgement: Judgement,
    timetable: Timetable,
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
    E: Future<Output = Outcome> + Send + 'static,
{
    async fn run(mut self, mut wishes: watch::Receiver<Vec<Arc<ProbeSpec>>>) {
        loop {
            self.launch_due();
            let room = self.flights.len() < PROBES_IN_FLIGHT_MAX;
            let due = self.queue.next_due().filter(|_| room);
            let wake_at = self.began + due.unwrap_or_default();
            tokio::select! {
                changed = wishes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let wanted = wishes.borrow_and_update().clone();
                    self.adopt(wanted);
                }
                Some(ended) = self.executions.join_next_with_id() => {
                    let Some(report) = self.land(ended) else { continue };
                    if self.reports.send(report).await.is_err() {
                        return;
                    }
                }
                () = sleep_until(wake_at), if due.is_some() => {}
            }
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Makes `wanted` the targets: those that stay keep what is known of them.
    fn adopt(&mut self, wanted: Vec<Arc<ProbeSpec>>) {
        let now = self.now();
        let mut before = std::mem::take(&mut self.serials);
        let mut targets = HashMap::with_capacity(wanted.len());
        let mut added = Vec::new();
        for spec in wanted {
            if let Some(serial) = before.remove(&spec) {
                let mut target = self.targets.remove(&serial).expect("each serial has a target");
                target.spec = spec.clone();
                targets.insert(serial, target);
                self.serials.insert(spec, serial);
            } else if !self.serials.contains_key(&spec) {
                self.serials.insert(spec.clone(), self.serial_next);
                added.push((self.serial_next, spec));
                self.serial_next += 1;
            }
        }
        for gone in self.targets.values() {
            if let Some(execution) = &gone.execution {
                execution.abort();
            }
        }
        self.queue.retain(|serial| targets.contains_key(&serial));
        // The same question at another pace: what was judged stands.
        let gone = self.targets.values().map(|it| (question(&it.spec), it.judgement));
        let gone: HashMap<_, _> = gone.collect();
        let count = added.len();
        for (serial, spec) in added {
            let (timetable, due) = Timetable::begin(&spec, count, now);
            let known = self.known.get(&spec);
            let restored = || known.map(|it| Judgement::restored(*it, spec.fall));
            let judgement = gone.get(&question(&spec)).copied().or_else(restored);
            let judgement = judgement.unwrap_or_default();
            targets.insert(serial, Probed { spec, judgement, timetable, execution: None });
            self.queue.push(due, serial);
        }
        drop(gone);
        self.known = HashMap::new();
        self.targets = targets;
        assert_eq!(self.targets.len(), self.serials.len());
    }

    /// Begins the executions that are due, as far as there is room.
    fn launch_due(&mut self) {
        let now = self.now();
        while self.flights.len() < PROBES_IN_FLIGHT_MAX
            && let Some(serial) = self.queue.pop_due(now)
        {
            let target = self.targets.get_mut(&serial).expect("only targets are in the queue");
            assert!(target.execution.is_none(), "who is in flight is not in the queue");
            let execution = self.executions.spawn((self.execute)(target.spec.clone()));
            self.flights.insert(execution.id(), Flight { serial, started: now });
            target.execution = Some(execution);
        }
    }

    /// Takes in what an execution came to, unless its target is gone.
    fn land(&mut self, ended: Result<(Id, Outcome), JoinError>) -> Option<Report> {
        let (id, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) => (error.id(), Outcome::Failed(Why::Broken)),
        };
        let now = self.now();
        let flight = self.flights.remove(&id).expect("each execution is a flight");
        let target = self.targets.get_mut(&flight.serial)?;
        target.execution = None;
        let due = target.timetable.next(flight.started, now, &mut self.dice.roll());
        self.queue.push(due, flight.serial);

        let spec = target.spec.clone();
        let good = outcome == Outcome::Good;
        target.judgement = target.judgement.after(good, spec.fall, spec.rise);
        Some(Report { spec, status: target.judgement.status(), outcome, at: clock::wall() })
    }
}

/// What a probe asks of whom, but for how often and how patiently.
fn question(spec: &ProbeSpec) -> (&Target, u16, &Kind) {
    (&spec.target, spec.port, &spec.kind)
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        net::{IpAddr, Ipv4Addr},
        sync::Mutex,
    };

    use super::*;
    use crate::health::Verdict;

    const SECOND: Duration = Duration::from_secs(1);
    /// The target whose probe panics.
    const BREAKS: u16 = 0;
    const GOOD: Outcome = Outcome::Good;
    const BAD: Outcome = Outcome::Failed(Why::Exchange);

    fn spec(number: u16) -> Arc<ProbeSpec> {
        Arc::new(ProbeSpec {
            target: Target::Address(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            port: number,
            kind: Kind::Tcp,
            every: 10 * SECOND,
            timeout: 3 * SECOND,
            fall: 3,
            rise: 2,
        })
    }

    /// A prober in a world where the targets in `dead` give no answer. Time is paused: it goes on
    /// only when everyone waits for it.
    struct World {
        dead: Arc<Mutex<HashSet<u16>>>,
        prober: Prober,
        reports: mpsc::Receiver<Report>,
        began: Instant,
    }

    impl World {
        fn begin(targets: impl IntoIterator<Item = u16>) -> Self {
            let dead = Arc::new(Mutex::new(HashSet::new()));
            let world = Arc::clone(&dead);
            let execute = move |spec: Arc<ProbeSpec>| {
                let world = Arc::clone(&world);
                async move {
                    assert_ne!(spec.port, BREAKS);
                    if world.lock().unwrap().contains(&spec.port) {
                        tokio::time::sleep(spec.timeout).await;
                        return BAD;
                    }
                    GOOD
                }
            };
            let (reports_in, reports) = mpsc::channel(16);
            let prober = Prober::start(execute, reports_in);
            prober.set(targets.into_iter().map(spec).collect());
            Self { dead, prober, reports, began: Instant::now() }
        }

        async fn next(&mut self) -> Report {
            self.reports.recv().await.unwrap()
        }

        /// The next report of this target.
        async fn next_of(&mut self, number: u16) -> Report {
            loop {
                let report = self.next().await;
                if report.spec.port == number {
                    return report;
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_known_before_a_restart_goes_on() {
        let status = |verdict| Status { verdict, shaky: false };
        let known = [(spec(1), status(Verdict::Up)), (spec(2), status(Verdict::Down))];
        let (reports_in, mut reports) = mpsc::channel(16);
        let execute = |spec: Arc<ProbeSpec>| async move { if spec.port == 1 { BAD } else { GOOD } };
        let prober = Prober::start_from(execute, reports_in, known.into());
        prober.set(vec![spec(1), spec(2), spec(3)]);
        let mut seen: HashMap<u16, Vec<Verdict>> = HashMap::new();
        while seen.values().map(Vec::len).sum::<usize>() < 12 {
            let report = reports.recv().await.unwrap();
            seen.entry(report.spec.port).or_default().push(report.status.verdict);
        }
        let (up, down) = (Verdict::Up, Verdict::Down);
        assert_eq!(seen[&1][..3], [up, up, down], "it takes `fall` failures");
        assert_eq!(seen[&2][..2], [down, up], "it takes `rise` good ones");
        assert_eq!(seen[&3][0], up, "nothing was known");
    }

    #[tokio::test(start_paused = true)]
    async fn a_death_is_noticed_within_the_bound() {
        for dies_after in 0..30 {
            let mut world = World::begin([1]);
            world.next_of(1).await;
            tokio::time::sleep(SECOND * dies_after / 3).await;
            while world.reports.try_recv().is_ok() {}
            world.dead.lock().unwrap().insert(1);
            let died = Instant::now();
            let first = world.next_of(1).await;
            assert_eq!((first.outcome, first.status.shaky), (BAD, true));
            assert!(died.elapsed() <= 13 * SECOND, "found within `every` and the timeout");
            let found = Instant::now() - 3 * SECOND;
            while world.next_of(1).await.status.verdict != Verdict::Down {}
            // every * (fall - 1) + timeout, and a second for the rest.
            assert!(found.elapsed() <= 10 * SECOND * 2 + 3 * SECOND + SECOND);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_target_delays_no_other() {
        let mut world = World::begin(1..=100);
        world.dead.lock().unwrap().extend(1..=50);
        let mut latest: HashMap<u16, Instant> = HashMap::new();
        while world.began.elapsed() < 100 * SECOND {
            let report = world.next().await;
            let before = latest.insert(report.spec.port, Instant::now());
            let dead = report.spec.port <= 50;
            assert_eq!(report.outcome, if dead { BAD } else { GOOD });
            if let Some(before) = before {
                // Timers of tokio are good to a millisecond.
                let room = Duration::from_millis(20);
                assert!(before.elapsed() <= 10 * SECOND + room, "{:?}", before.elapsed());
            }
        }
        assert_eq!(latest.len(), 100);
        assert!(latest.values().all(|at| at.elapsed() <= 13 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_round_is_over_soon() {
        let mut world = World::begin(1..=10_000);
        let mut seen = HashSet::new();
        while seen.len() < 10_000 {
            let report = world.next().await;
            assert_eq!(report.status.verdict, Verdict::Up);
            seen.insert(report.spec.port);
        }
        assert!(world.began.elapsed() <= SECOND + SECOND / 10, "{:?}", world.began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn more_black_holes_than_may_be_in_flight_wait_their_turn() {
        let count = u16::try_from(PROBES_IN_FLIGHT_MAX + 100).unwrap();
        let mut world = World::begin(1000..1000 + count);
        world.dead.lock().unwrap().extend(1000..1000 + count);
        let mut seen = HashSet::new();
        while seen.len() < usize::from(count) {
            seen.insert(world.next().await.spec.port);
        }
        // Two timeouts, because not all fit in one.
        let took = world.began.elapsed();
        assert!((6 * SECOND..8 * SECOND).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_that_stays_keeps_its_history() {
        let mut world = World::begin([1, 2]);
        world.next_of(1).await;
        world.dead.lock().unwrap().insert(1);
        world.next_of(1).await;
        world.next_of(1).await;
        // The same target by another `Arc`, one that goes, and one that comes, twice.
        let same = spec(1);
        world.prober.set(vec![Arc::clone(&same), spec(3), spec(3)]);
        let third = world.next_of(1).await;
        assert_eq!(third.status.verdict, Verdict::Down, "the third failure in a row");
        assert!(Arc::ptr_eq(&third.spec, &same));
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_that_is_probed_at_another_pace_keeps_its_judgement() {
        let mut world = World::begin([1, 2]);
        world.next_of(1).await;
        world.next_of(2).await;
        world.dead.lock().unwrap().extend([1, 2]);
        while world.next_of(1).await.status.verdict != Verdict::Down {}
        let faster = |number| {
            let every = 5 * SECOND;
            Arc::new(ProbeSpec { every, ..(*spec(number)).clone() })
        };
        // 3 was never there, and its first outcome decides.
        world.dead.lock().unwrap().remove(&1);
        world.dead.lock().unwrap().insert(3);
        world.prober.set(vec![faster(1), spec(2), faster(3)]);
        let one = world.next_of(1).await;
        assert_eq!(
            (one.outcome, one.status.verdict),
            (GOOD, Verdict::Down),
            "one of two good ones"
        );
        assert_eq!(world.next_of(3).await.status.verdict, Verdict::Down);
        assert_eq!(world.next_of(1).await.status.verdict, Verdict::Up);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_reported_of_a_target_that_went() {
        let mut world = World::begin([1, 2]);
        world.dead.lock().unwrap().insert(1);
        world.next_of(2).await;
        // The execution of 1 is under way.
        world.prober.set(vec![spec(2)]);
        for _ in 0..5 {
            assert_eq!(world.next().await.spec.port, 2);
        }
        // It comes back as if it had never been there.
        world.dead.lock().unwrap().clear();
        world.prober.set(vec![spec(1), spec(2)]);
        assert_eq!(world.next_of(1).await.status.verdict, Verdict::Up);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_breaks_is_a_failure_and_goes_on() {
        let mut world = World::begin([BREAKS]);
        for _ in 0..2 {
            let report = world.next().await;
            assert_eq!(report.outcome, Outcome::Failed(Why::Broken));
            assert_eq!(report.status.verdict, Verdict::Down);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_prober_without_a_listener_ends() {
        let World { mut prober, reports, .. } = World::begin([1]);
        drop(reports);
        prober.crashed().await;
    }
}
