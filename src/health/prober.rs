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
//! - Nothing is reported of a target after the set that lacks it was taken in.
//!
//! Not here: when a target is due (`schedule`), and what its outcomes say (`judge`).

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, Id, JoinError, JoinHandle, JoinSet},
    time::{Instant, sleep_until},
};

use super::{
    Judgement, Outcome, ProbeSpec, Status, Why,
    schedule::{Queue, Timetable},
};
use crate::{dice::Dice, limits::PROBES_IN_FLIGHT_MAX};

/// What came of one execution.
#[derive(Debug, Clone)]
pub struct Report {
    /// Whose.
    pub spec: Arc<ProbeSpec>,
    /// What is to be thought of the target now.
    pub status: Status,
    /// What this execution came to.
    pub outcome: Outcome,
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
        let (wanted, wishes) = watch::channel(Vec::new());
        let desk = Desk {
            execute,
            reports,
            began: Instant::now(),
            dice: Dice::from_os(),
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
        let count = added.len();
        for (serial, spec) in added {
            let (timetable, due) = Timetable::begin(&spec, count, now);
            let judgement = Judgement::default();
            targets.insert(serial, Probed { spec, judgement, timetable, execution: None });
            self.queue.push(due, serial);
        }
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
        Some(Report { spec, status: target.judgement.status(), outcome })
    }
}
