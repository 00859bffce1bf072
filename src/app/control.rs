//! Control: the one loop in which everything that happens to a running server happens.
//!
//! # Invariants
//!
//! - One reload at a time, on a thread of its own; a bad one changes nothing, and says why.
//! - What changed is published within `PUBLISH_PAUSE`, together with what changed besides.
//!
//! Not here: what a change means (`state`), and when files count as changed (`files`).

use std::{future::pending, path::PathBuf, sync::Arc, thread, time::Duration};

use rustls::ServerConfig;
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, Interval, interval, interval_at, sleep_until, timeout},
};

use super::{
    files::{Fingerprint, Watch},
    keeping::Keeping,
    meters::Meters,
    operator::Sayings,
    requests::{Caller, Open, complaint, plan_keys, plan_tls, takes_another},
    takeover::{self, Bells, Guest, Visitor},
};
use crate::{
    api::Request,
    clock,
    compile::{self, Memory, Plan, keys::Keys},
    config::Complaint,
    health::{Blinded, News, Prober, Sight, Verdict},
    limits::{
        DRAIN_WAIT_MAX, PUBLISH_PAUSE, REPORTS_WAITING_MAX, SNAPSHOTS_SWEEP_EVERY,
        STATE_LATENCY_EVERY, WATCHDOG_EVERY,
    },
    serve::Serving,
    state::{Change, Event, Overload, Publisher, State, give_way},
};

/// How the server came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It was told to stop, and finished what it had begun.
    Stopped,
    /// It was told to stop twice.
    Cut,
    /// A part that it cannot do without ended by itself.
    Broken,
}

/// The parts of a running server.
pub(super) struct Control {
    /// The server file.
    pub(super) config: PathBuf,
    /// What is remembered of the files.
    pub(super) memory: Arc<Memory>,
    pub(super) state: State,
    pub(super) publisher: Publisher,
    pub(super) prober: Prober,
    pub(super) serving: Serving,
    pub(super) watch: Watch,
    /// The sources as they were when they were last read, with whatever result.
    pub(super) seen: Arc<Fingerprint>,
    pub(super) keeping: Keeping,
    /// The reload under way.
    pub(super) reload: Option<JoinHandle<Read>>,
    /// Whether another one was asked for meanwhile.
    pub(super) reload_again: bool,
    /// Who waits for the end of the one under way.
    pub(super) callers: Vec<Caller>,
    /// Who waits for that of the next.
    pub(super) callers_next: Vec<Caller>,
    pub(super) api: Option<Open>,
    pub(super) sayings: Sayings,
    /// Whether steered names are served.
    pub(super) ready: watch::Sender<bool>,
    /// What callers of the API have to know.
    pub(super) keys: watch::Sender<Option<Arc<Keys>>>,
    /// What connections to it are encrypted with.
    pub(super) tls: watch::Sender<Option<Arc<ServerConfig>>>,
    pub(super) bells: Bells,
    /// Comes to its end when the process has left whose place this one took.
    pub(super) before: Option<watch::Receiver<()>>,
    pub(super) meters: Meters,
    /// A process that takes over, as far as it is.
    pub(super) guest: Option<JoinHandle<Result<Guest, String>>>,
}

/// What reading the files anew came to.
pub(super) enum Read {
    /// They are as they were.
    Same,
    /// What they say, and what tells this state of them from others.
    Good(Box<Plan>, Fingerprint),
    /// What is wrong with them, and likewise.
    Bad(Vec<Complaint>, Fingerprint),
}

/// What tells the process to stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Control {
    /// Lives until told to stop. An error is what keeps the server from starting.
    pub(super) async fn run(
        mut self,
        mut news: mpsc::Receiver<News>,
        mut changes: mpsc::Receiver<()>,
        mut requests: mpsc::Receiver<Request>,
        mut visitors: mpsc::Receiver<Visitor>,
        startup_wait: Duration,
    ) -> Result<End, String> {
        let unheard = |error| format!("signals cannot be received: {error}");
        let mut hangup = signal(SignalKind::hangup()).map_err(unheard)?;
        let mut signals = Signals::listen().map_err(unheard)?;
        let warm_at = Instant::now() + startup_wait;
        let mut publish_at = Instant::now();
        let mut sweep = interval(SNAPSHOTS_SWEEP_EVERY);
        let mut keep = interval(STATE_LATENCY_EVERY);
        let mut watchdog = watchdog();
        let mut batch = Vec::new();
        // Of the snapshot that was there first.
        self.keeping.turns(self.state.take_turns());
        loop {
            if self.state.is_stale() && publish_at <= Instant::now() {
                self.publish();
                publish_at = Instant::now() + PUBLISH_PAUSE;
            }
            if !*self.ready.borrow() && self.state.is_warm() && !self.state.is_stale() {
                self.ready.send_replace(true);
                self.say_ready();
            }
            tokio::select! {
                taken = news.recv_many(&mut batch, REPORTS_WAITING_MAX) => {
                    if taken == 0 {
                        return Ok(broken("the prober"));
                    }
                    self.take_news(&mut batch);
                }
                () = self.prober.crashed() => return Ok(broken("the prober")),
                () = Open::crashed(&mut self.api) => return Ok(broken("the API")),
                Some(request) = requests.recv() => self.answer(request),
                kept = self.sayings.kept() => self.finish_saying(kept),
                () = sleep_until(warm_at), if !self.state.is_warm() => self.warm_up(),
                () = sleep_until(publish_at), if self.state.is_stale() => {}
                _ = sweep.tick() => {
                    self.publisher.sweep();
                    self.expire();
                    self.state.wake(clock::wall());
                    self.keeping.regain(&self.state).await;
                    self.state.weigh(clock::now());
                    if let Some(measured) = self.state.measure(clock::now()) {
                        self.take(measured);
                    }
                    if !self.serving.is_whole() {
                        return Ok(broken("a thread that serves"));
                    }
                }
                _ = keep.tick() => self.keep_latency(),
                _ = watchdog.tick() => tell(&[NotifyState::Watchdog]),
                Some(visitor) = visitors.recv() => self.receive(visitor),
                guest = takeover::guest(&mut self.guest), if self.may_hand_over() => {
                    if let Some(heir) = self.hand_over(guest, &mut news).await {
                        // Who waits for an answer hears that there is none, and asks again.
                        drop(requests);
                        return Ok(self.leave(heir).await);
                    }
                    self.say_next();
                }
                _ = hangup.recv() => self.begin_reload(true),
                Some(()) = changes.recv() => self.begin_reload(false),
                read = finished(&mut self.reload) => self.finish_reload(read),
                () = signals.stop() => break,
            }
        }
        Ok(self.stop(signals).await)
    }

    /// Takes in what the prober tells.
    pub(super) fn take_news(&mut self, news: &mut Vec<News>) {
        news.drain(..).for_each(|news| {
            self.take(match news {
                News::Probed(report) => Change::Probed(report),
                News::Sight(blinded) => Change::Sight(blinded),
            });
        });
    }

    /// Takes a change in and does what follows from it, but for publishing.
    pub(super) fn take(&mut self, change: Change) {
        if let Change::Probed(report) = &change {
            self.keeping.probed(report);
            if let Some(check) = self.state.check_of(&report.spec) {
                self.meters.probed(check, report);
            }
        }
        let effects = self.state.apply(change);
        for event in &effects.events {
            log(event);
            self.keeping.verdict(event);
        }
        if 0 < effects.more_events {
            tracing::info!(endpoints = effects.more_events, "as many more turned with these");
        }
        if let Some(blinded) = effects.blinded {
            log_sight(&blinded);
            self.keeping.sight(&blinded);
        }
        if let Some(replaced) = effects.replaced {
            self.publisher.free(replaced);
        }
        if let Some(probes) = effects.probes {
            self.prober.set(probes, self.state.plan().settings.sanity.clone());
            self.keeping.follow(&self.state);
        }
    }

    pub(super) fn keep_latency(&mut self) {
        if let Some(store) = &self.keeping.store {
            store.latency(self.state.latency_changes(clock::now(), clock::wall()));
        }
    }

    pub(super) fn publish(&mut self) {
        if let Some(snapshot) = self.state.snapshot(clock::wall()) {
            let decided = self.state.n_decided();
            tracing::debug!(generation = snapshot.generation, decided, "published");
            self.publisher.publish(snapshot);
            self.meters.published_at = clock::wall();
        }
        self.keeping.turns(self.state.take_turns());
        for overload in self.state.overloads() {
            log_overload(&overload);
            self.keeping.overload(&overload);
        }
    }

    fn warm_up(&mut self) {
        let unknown = self.state.unknown();
        tracing::warn!(
            unknown,
            "the first round of probes takes longer than `startup_wait`: what is unknown counts as up"
        );
        self.take(Change::WarmedUp);
    }

    fn say_ready(&self) {
        let plan = self.state.plan();
        let names: usize = plan.zones.iter().map(|zone| zone.steered.len()).sum();
        tracing::info!(
            listen = %Listed(self.serving.addresses()),
            api = self.api.as_ref().map(|it| tracing::field::display(it.address)),
            zones = plan.zones.len(),
            names,
            generation = self.state.generation(),
            "ready"
        );
        tell(&[NotifyState::Ready]);
    }

    /// Reads the files anew; unless `forced`, only if they changed.
    pub(super) fn begin_reload(&mut self, forced: bool) {
        if self.reload.is_some() {
            self.reload_again = true;
            return;
        }
        self.callers = std::mem::take(&mut self.callers_next);
        let (config, seen) = (self.config.clone(), Arc::clone(&self.seen));
        let memory = Arc::clone(&self.memory);
        let read = move || {
            if !forced && seen.holds() {
                return Read::Same;
            }
            let began = clock::wall();
            let loaded = compile::load_with(&config, &memory, began);
            match Fingerprint::of(loaded, began) {
                (Ok(plan), seen) => Read::Good(Box::new(plan), seen),
                (Err(complaints), seen) => Read::Bad(complaints.as_slice().to_vec(), seen),
            }
        };
        self.reload = Some(tokio::task::spawn_blocking(move || aside(read)));
    }

    fn finish_reload(&mut self, read: Option<Read>) {
        self.reload = None;
        let before = self.state.generation();
        let is_news = !matches!(read, Some(Read::Same));
        let end = match read {
            Some(Read::Same) => Ok(()),
            Some(Read::Good(plan, seen)) => {
                self.follow(seen);
                self.reload_with(plan)
            }
            Some(Read::Bad(complaints, seen)) => {
                self.follow(seen);
                Err(complaints)
            }
            None => Err(vec![complaint(self, "reading the files failed in a way that is a bug")]),
        };
        if let Err(complaints) = &end {
            refuse(complaints);
        }
        let end = end.map(|()| self.state.generation());
        if is_news {
            self.keeping.reload(&self.config, before, &end);
            self.meters.reloaded(end.is_ok(), clock::wall());
        }
        self.tell_callers(&end);
        if std::mem::take(&mut self.reload_again) {
            // Who asks for a reload gets one, whether files changed or not.
            self.begin_reload(!self.callers_next.is_empty());
        }
    }

    /// Waits for changes of what was read: also of files with mistakes, which are about to be
    /// mended.
    fn follow(&mut self, seen: Fingerprint) {
        let were_watched = self.watch.follow(seen.folders());
        if !were_watched || seen.is_doubtful() {
            // What changed between the reading and the watching went by unseen.
            self.watch.look_again();
        }
        let before = std::mem::replace(&mut self.seen, Arc::new(seen));
        self.publisher.free(before);
    }

    /// Goes over to a new plan, unless that takes what only a new process can have.
    fn reload_with(&mut self, plan: Box<Plan>) -> Result<(), Vec<Complaint>> {
        let mut complaints = Vec::new();
        if !self.serving.listens_on(&plan.settings.listen) {
            complaints.push(takes_another(self, "listen"));
        }
        if plan.settings.udp != self.state.plan().settings.udp {
            complaints.push(complaint(self, "`udp` changed: that takes a restart"));
        }
        if plan.settings.user != self.state.plan().settings.user {
            complaints.push(complaint(self, "`user` changed: that takes a restart"));
        }
        if plan.settings.state != self.state.plan().settings.state {
            complaints.push(complaint(self, "`state` changed: that takes a restart"));
        }
        if !self.api_stays(&plan) {
            complaints.push(takes_another(self, "api.listen"));
        }
        if !complaints.is_empty() {
            return Err(complaints);
        }
        let reloading = NotifyState::monotonic_usec_now().map(|at| [NotifyState::Reloading, at]);
        if let Ok(state) = reloading {
            tell(&state);
        }
        self.keys.send_replace(plan_keys(&plan));
        self.tls.send_replace(plan_tls(&plan));
        self.take(Change::Reloaded(plan));
        self.publish();
        tracing::info!(generation = self.state.generation(), "reloaded");
        if self.state.is_warm() {
            tell(&[NotifyState::Ready]);
        }
        Ok(())
    }

    /// Finishes what was begun, for a limited time.
    async fn stop(mut self, mut signals: Signals) -> End {
        tell(&[NotifyState::Stopping]);
        tracing::info!("stopping");
        self.keep_latency();
        drop(self.prober);
        let serving = self.serving;
        let keeping = self.keeping;
        let kept = tokio::task::spawn_blocking(move || keeping.close());
        let stopped = tokio::task::spawn_blocking(move || serving.stop());
        let drained = async {
            let totals = stopped.await;
            // A writer that crashed has said so.
            let _ = kept.await;
            totals
        };
        tokio::select! {
            drained = timeout(DRAIN_WAIT_MAX + Duration::from_secs(1), drained) => match drained {
                Ok(Ok(totals)) => {
                    tracing::info!("stopped {totals}");
                    End::Stopped
                }
                Ok(Err(_)) => broken("the drain"),
                Err(_) => {
                    tracing::warn!("stopped before everything was finished");
                    End::Stopped
                }
            },
            () = signals.stop() => {
                tracing::warn!("stopped at once");
                End::Cut
            }
        }
    }
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits until told to stop.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Reads on a thread of its own, which gives way to those that answer, and so do those that it starts:
/// a thread can not take that back.
fn aside(read: impl FnOnce() -> Read + Send) -> Read {
    thread::scope(|scope| {
        let reading = scope.spawn(|| {
            give_way();
            read()
        });
        reading.join().unwrap_or_else(|it| std::panic::resume_unwind(it))
    })
}

/// Waits for the reload under way; none: it crashed.
async fn finished(reload: &mut Option<JoinHandle<Read>>) -> Option<Read> {
    match reload {
        Some(reload) => reload.await.ok(),
        None => pending().await,
    }
}

fn broken(part: &str) -> End {
    tracing::error!(part, "a part of the server ended by itself; stopping");
    End::Broken
}

fn refuse(complaints: &[Complaint]) {
    tracing::error!(complaints = complaints.len(), "reload refused, all stays as it was");
    for complaint in complaints {
        tracing::error!("{}", complaint.to_string().trim_end());
    }
}

fn log(event: &Event) {
    let Event { from, to, probe, outcome, .. } = event;
    if *to == Verdict::Down {
        tracing::warn!(what = %event, %from, %to, check = %probe, why = %outcome, "verdict");
    } else {
        tracing::info!(what = %event, %from, %to, check = %probe, why = %outcome, "verdict");
    }
}

fn log_sight(blinded: &Blinded) {
    let Blinded { sight, evidence } = blinded;
    match sight {
        Sight::Sighted { .. } => tracing::info!(why = %evidence, "the prober sees again"),
        Sight::Blind { .. } => tracing::error!(
            why = %evidence,
            "the prober is blind: its network is likelier lost than its targets; nothing is taken out"
        ),
        Sight::Spent => tracing::error!(
            why = %evidence,
            "the prober has been blind for `blind_for`: failures count again"
        ),
    }
}

fn log_overload(Overload { basin, begins }: &Overload) {
    let (region, load, capacity) = (&basin.region, basin.load, basin.capacity.unwrap_or_default());
    if *begins {
        tracing::error!(
            %region, load, capacity,
            "the region is given more than its capacity: no other that these clients may be sent to has room"
        );
    } else {
        tracing::info!(%region, load, capacity, "the region is given no more than its capacity");
    }
}

/// Tells the service manager, if there is one.
pub(super) fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

/// When the service manager is to hear that this loop turns: twice in the time that it waits. To a process
/// that took over it has not said that it waits; so everyone tells it.
fn watchdog() -> Interval {
    let every = sd_notify::watchdog_enabled().map_or(WATCHDOG_EVERY, |it| it / 2);
    let every = every.clamp(Duration::from_millis(1), WATCHDOG_EVERY);
    interval_at(Instant::now() + every, every)
}

/// Things with a comma between them.
struct Listed<'a, T>(&'a [T]);

impl<T: std::fmt::Display> std::fmt::Display for Listed<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (idx, it) in self.0.iter().enumerate() {
            write!(f, "{}{it}", if idx == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}
