//! The prober: the loop that executes what is due and reports what came of it.
//!
//! ```text
//!   set(specs) --> desk --due--> executions
//!                  |  ^              |
//!                  |  '--- outcome --'             at most PROBES_IN_FLIGHT_MAX
//!                  '--> News, over a bounded channel
//! ```
//!
//! One task owns all of it. An execution is a task of its own, so that a slow target delays no
//! other. Heartbeats wait in a set, each name once, until the task takes them in; they are good
//! outcomes without an execution, and what is due of their targets is the end of the latest one.
//!
//! # Invariants
//!
//! - An execution whose target goes is cut off.
//! - That the prober went blind is told before the report whose failure does not count.
//!
//! *Not here:* what is due, and what an outcome makes of a target (`desk`).

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    task::{AbortHandle, Id, JoinError, JoinSet},
    time::{Instant, sleep_until},
};

use super::{
    Blinded, Executed, Kind, Outcome, Past, ProbeSpec, Report, Sanity, Why,
    desk::{Desk, Due, Found, Moment},
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

/// The running prober. It stops when this is dropped.
#[derive(Debug)]
pub struct Prober {
    wanted: watch::Sender<Wanted>,
    beats: Arc<Beats>,
    asks: mpsc::Sender<Ask>,
    /// Comes to its end with the loop, whatever ended that.
    alive: oneshot::Receiver<Never>,
}

/// Nothing is ever sent.
#[derive(Debug)]
enum Never {}

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
    /// `execute` is [`execute_and_hear`](super::execute_and_hear) but in tests; it ends within the spec's
    /// timeout.
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
        let (prober, run) = Self::prepare(execute, news, past);
        tokio::spawn(run);
        prober
    }

    /// Starts like [`start_from`](Self::start_from), on a thread that does nothing else: what probes
    /// wait for wakes no other thread up, and nobody else's work makes them late.
    ///
    /// # Errors
    ///
    /// The system gives no thread, or nothing to wait with.
    pub fn start_alone<F, E>(execute: F, news: mpsc::Sender<News>, past: Past) -> io::Result<Self>
    where
        F: Fn(Arc<ProbeSpec>) -> E + Send + 'static,
        E: Future<Output: Into<Executed>> + Send + 'static,
    {
        let (prober, run) = Self::prepare(execute, news, past);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("prober".to_owned()).spawn(move || {
            runtime.block_on(run);
            // A name that is still looked up is not waited for.
            runtime.shutdown_background();
        })?;
        Ok(prober)
    }

    /// A prober, and what it does.
    fn prepare<F, E>(
        execute: F,
        news: mpsc::Sender<News>,
        past: Past,
    ) -> (Self, impl Future<Output = ()> + Send)
    where
        F: Fn(Arc<ProbeSpec>) -> E + Send + 'static,
        E: Future<Output: Into<Executed>> + Send + 'static,
    {
        let (wanted, wishes) = watch::channel(Wanted::default());
        let (life, alive) = oneshot::channel();
        let (asks, asked) = mpsc::channel(1);
        let beats = Arc::<Beats>::default();
        let now = Instant::now();
        let rounds = Rounds {
            execute,
            beats: Arc::clone(&beats),
            news,
            // Clocks that began before the machine did are of another one; then it begins now.
            began: now.checked_sub(past.clock).unwrap_or(now),
            dice: Dice::from_os(),
            desk: Desk::new(past),
            executions: JoinSet::new(),
            flights: HashMap::new(),
            _life: life,
        };
        (Self { wanted, beats, asks, alive }, rounds.run(wishes, asked))
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
        let _ = (&mut self.alive).await;
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

/// What the prober's task has before it.
struct Rounds<F> {
    execute: F,
    beats: Arc<Beats>,
    news: mpsc::Sender<News>,
    /// The desk counts from here.
    began: Instant,
    dice: Dice,
    desk: Desk<AbortHandle>,
    executions: JoinSet<Executed>,
    /// Whose each execution is.
    flights: HashMap<Id, Flight>,
    /// Goes when this goes.
    _life: oneshot::Sender<Never>,
}

/// An execution that is under way.
struct Flight {
    serial: u64,
    started: Duration,
}

impl<F, E> Rounds<F>
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
            let blinded = self.desk.look(None, self.began.elapsed());
            let mut found = vec![(blinded, None)];
            self.launch_due(&mut found);
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
                    let came = std::mem::take(&mut *self.beats.came());
                    let found = self.desk.hear(&came, self.moment());
                    if tell(&self.news, found).await.is_err() {
                        return;
                    }
                }
                Some(ask) = asked.recv() => {
                    if ask.past.send(self.desk.past(self.began.elapsed())).is_ok() {
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
        let due = self.desk.next_due().filter(|_| room);
        due.into_iter().chain(self.desk.next_look()).min().map(|at| self.began + at)
    }

    fn moment(&self) -> Moment {
        Moment { now: self.began.elapsed(), wall: clock::wall() }
    }

    fn adopt(&mut self, Wanted { probes, sanity }: Wanted) {
        let gone = self.desk.adopt(probes, sanity, self.began.elapsed());
        gone.iter().for_each(AbortHandle::abort);
    }

    /// Begins the executions that are due, as far as there is room.
    fn launch_due(&mut self, found: &mut Vec<Found>) {
        let at = self.moment();
        while self.flights.len() < PROBES_IN_FLIGHT_MAX
            && let Some(due) = self.desk.pop_due(at)
        {
            match due {
                Due::Execute(serial, spec) => {
                    let execution = (self.execute)(spec);
                    let execution = self.executions.spawn(async move { execution.await.into() });
                    self.flights.insert(execution.id(), Flight { serial, started: at.now });
                    self.desk.launched(serial, execution);
                }
                Due::Found(it) => found.push(it),
                Due::Nothing => {}
            }
        }
    }

    /// Takes in what an execution came to.
    fn land(&mut self, ended: Result<(Id, Executed), JoinError>) -> Found {
        let (id, executed) = match ended {
            Ok(ended) => ended,
            Err(error) => (error.id(), Outcome::Failed(Why::Broken).into()),
        };
        let Flight { serial, started } =
            self.flights.remove(&id).expect("each execution is a flight");
        self.desk.land(serial, started, executed, self.moment(), &mut self.dice.roll())
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

#[cfg(test)]
mod tests;
