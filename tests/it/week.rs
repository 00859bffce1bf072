//! A simulated week: what a server does of its own accord, in a world where everything fails.
//!
//! ```text
//!   world (hosts, regions, networks) --meets--> Desk --Found--> State --Snapshot--> who asks
//!   files (reloads), operators, restarts -----------------------^          |
//!                                                     Watch: is that right? '
//! ```
//!
//! The clock is virtual and jumps from event to event; chance is a seed. The parts are those of the
//! server: files are compiled, the desk says what is due and judges, the state makes snapshots, and
//! packets are answered from them. Around them is what `app` and `health::prober` do otherwise: to wait.
//!
//! The beginnings of twenty weeks in the ordinary run, a thousand weeks with `RUN_SLOW_TESTS`: about two
//! seconds each of one core, with `RUN_SLOW_TESTS=1 cargo nextest run --cargo-profile long week::`, in
//! a build that takes less time than a release. A seed alone, or several, with `EVENKEEL_TEST_WEEK=17`
//! or `EVENKEEL_TEST_WEEK=17..40`, for all of the week.
//!
//! *Not here:* what has to hold (`watch`, `answers`, `returns`, `loads`).

mod answers;
mod chance;
mod files;
mod loads;
mod returns;
mod watch;
mod world;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    env, fs,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use evenkeel::{
    compile::{self, Plan},
    dice::Roll,
    health::{Desk, Due, Found, Memory, Moment, Outcome, Past, ProbeSpec, Remembered, Status, Why},
    ids::ProbeId,
    limits::{PUBLISH_PAUSE, SNAPSHOTS_SWEEP_EVERY},
    snapshot::Snapshot,
    state::{Change, Dial, Effects, Note, Overrides, Pattern, Standing, State, Word},
};

use answers::Sight;
use chance::{below, between, one_of, percent};
use files::{Files, HOSTS, REGIONS};
use watch::Watch;
use world::{HostState, World};

/// What the ordinary run has of a week.
const BEGINNING: Duration = Duration::from_hours(4);
const WEEK: Duration = Duration::from_hours(7 * 24);
/// The variable with the seeds to be run.
const SEEDS: &str = "EVENKEEL_TEST_WEEK";
/// How often it is looked whether a step of a ramp is over; a server looks each second.
const WAKE_EVERY: Duration = Duration::from_secs(5);
/// Lines of what happened last that a failure shows.
const TRACE_LINES: usize = 25;

#[test]
fn failures_flaps_reloads_and_operators() {
    let slow = env::var_os("RUN_SLOW_TESTS").is_some();
    let (seeds, lasts) = match env::var(SEEDS) {
        Ok(text) => (seeds(&text), WEEK),
        Err(_) if slow => (0..1000, WEEK),
        Err(_) => (0..20, BEGINNING),
    };
    let next = AtomicU64::new(seeds.start);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let whole = Mutex::new((watch::Tally::default(), Vec::new()));
    let run_seeds = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seeds.end <= seed {
                return;
            }
            let ended = run(seed, lasts);
            let (tally, failed) = &mut *whole.lock().unwrap();
            match ended {
                Ok(it) => tally.add(&it),
                Err(why) => {
                    println!("{why}");
                    failed.push(seed);
                }
            }
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(run_seeds))));
    let (whole, failed) = whole.into_inner().unwrap();
    println!("{whole}");
    assert!(failed.is_empty(), "said above of the seeds {failed:?}");
    // One seed alone may lack something.
    if 20 <= seeds.end - seeds.start {
        whole.assert_rich();
    }
}

/// `17`, or `17..40`.
fn seeds(text: &str) -> Range<u64> {
    let number = |it: &str| it.parse::<u64>().expect("a seed is a number");
    match text.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None => number(text)..number(text) + 1,
    }
}

/// Runs a seed, and says what went wrong.
fn run(seed: u64, lasts: Duration) -> Result<watch::Tally, String> {
    let mut week = Week::begin(seed);
    let ended = catch_unwind(AssertUnwindSafe(|| week.run(lasts)));
    let why = match ended {
        Ok(Ok(())) => return Ok(week.watch.tally),
        Ok(Err(why)) => why,
        Err(panic) => match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(panic) => panic.downcast_ref::<&str>().map_or("a panic", |it| it).to_owned(),
        },
    };
    let trace = Vec::from(week.trace).join("\n  ");
    if env::var_os(SEEDS).is_some() {
        println!("{}{}", week.files.server(), week.files.zone());
    }
    Err(format!(
        "seed {seed}, after {:?}: {why}\n  {trace}\nagain: {SEEDS}={seed} cargo nextest run week::",
        week.now
    ))
}

/// Something that is to happen.
#[derive(Debug)]
enum Event {
    /// A probe comes to its end that was executed in vain or not.
    Land {
        serial: u64,
        spec: Arc<ProbeSpec>,
        started: Duration,
        good: bool,
    },
    World(Happening),
    /// The files are changed.
    Reload,
    /// An operator says something.
    Operator,
    /// What operators said comes to its end.
    Expire,
    Publish,
    WarmUp,
    /// The server is stopped and started, or another one takes over.
    Restart,
    /// Clients ask.
    Ask,
    /// Steps of ramps may be over.
    Wake,
    /// What was said of a probe's target has to be known by now.
    Settle {
        probe: usize,
        epoch: u64,
    },
}

/// Something that happens to the world.
#[derive(Debug, Clone, Copy)]
enum Happening {
    /// Something, by chance.
    Any,
    Host(usize, usize, HostState),
    /// A host takes so long to answer; none: as ever.
    Takes(usize, usize, Option<Duration>),
    /// A port of a host refuses.
    Broken(usize, usize, Option<u16>),
    Lost(usize, bool),
    Cut(bool),
}

/// Ordered by time, and then as it was thought of.
struct Coming {
    at: Duration,
    number: u64,
    event: Event,
}

/// A server and its world.
struct Week {
    roll: Roll,
    now: Duration,
    coming: BinaryHeap<Reverse<Coming>>,
    number_next: u64,
    folder: tempfile::TempDir,
    files: Files,
    memory: compile::Memory,
    world: World,
    desk: Desk<()>,
    /// The desk counts from here.
    desk_began: Duration,
    /// What was launched before this is nobody's.
    prober_began: Duration,
    state: State,
    snapshot: Snapshot,
    publish_at: Duration,
    publish_is_coming: bool,
    /// Where pools stand, as it is kept over a restart.
    ramps: HashMap<String, Standing>,
    watch: Watch,
    trace: VecDeque<String>,
}

type Right = Result<(), String>;

impl Week {
    fn begin(seed: u64) -> Self {
        let mut roll = Roll(seed);
        let files = Files::random(&mut roll);
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("zones")).unwrap();
        let memory = compile::Memory::default();
        let plan = compile(&folder, &files, &memory);
        let (mut state, _) = State::begin(plan);
        let snapshot = state.snapshot(wall(Duration::ZERO)).unwrap();
        let watch = Watch::new();
        let mut week = Self {
            roll,
            now: Duration::ZERO,
            coming: BinaryHeap::new(),
            number_next: 0,
            folder,
            files,
            memory,
            world: World::new(),
            desk: Desk::new(Past::default()),
            desk_began: Duration::ZERO,
            prober_began: Duration::ZERO,
            state,
            snapshot,
            publish_at: Duration::ZERO,
            publish_is_coming: false,
            ramps: HashMap::new(),
            watch,
            trace: VecDeque::new(),
        };
        week.start(Past::default()).unwrap();
        week.come_in(WAKE_EVERY, Event::Wake);
        for event in [
            Event::World(Happening::Any),
            Event::Reload,
            Event::Operator,
            Event::Ask,
            Event::Restart,
        ] {
            week.again(event);
        }
        week
    }

    fn run(&mut self, lasts: Duration) -> Right {
        self.look()?;
        self.turned()?;
        loop {
            let due = self.desk.next_due().into_iter().chain(self.desk.next_look()).min();
            let due = due.map(|it| self.desk_began + it);
            let coming = self.coming.peek().map(|Reverse(it)| it.at);
            let Some(now) = due.into_iter().chain(coming).min() else { return Ok(()) };
            if lasts < now {
                return self.watch.end(&self.state, self.now);
            }
            assert!(self.now <= now);
            self.now = now;
            if due.is_some_and(|it| it <= now) {
                self.launch_due()?;
            } else if let Some(Reverse(Coming { event, .. })) = self.coming.pop() {
                self.happens(event)?;
            }
            self.see_to_publication();
        }
    }

    fn happens(&mut self, event: Event) -> Right {
        match event {
            Event::Land { serial, spec, started, good } => self.land(serial, &spec, started, good),
            Event::World(happening) => {
                self.meddle(happening);
                Ok(())
            }
            Event::Reload => self.reload(),
            Event::Operator => self.operate(),
            Event::Expire => self.expire(),
            Event::Publish => self.publish(),
            Event::WarmUp if self.state.is_warm() => Ok(()),
            Event::WarmUp => self.apply(Change::WarmedUp),
            Event::Restart => self.restart(),
            Event::Ask => {
                self.again(Event::Ask);
                if !self.state.is_stale() {
                    self.watch.look_at_reports(&self.state)?;
                }
                self.watch.ask(&self.snapshot, &self.state, &mut self.roll)
            }
            Event::Wake => {
                self.come_in(WAKE_EVERY, Event::Wake);
                self.state.wake(self.wall());
                if self.state.is_warm() {
                    self.watch.look_for_late(self.now)?;
                }
                Ok(())
            }
            Event::Settle { probe, epoch } => {
                let settles = self.watch.settle(probe, epoch)?;
                if settles && !self.publish_is_coming {
                    self.look()?;
                }
                Ok(())
            }
        }
    }

    // ---- The clock ----

    fn come(&mut self, at: Duration, event: Event) {
        let number = self.number_next;
        self.number_next += 1;
        self.coming.push(Reverse(Coming { at, number, event }));
    }

    fn come_all(&mut self, coming: Vec<(Duration, Event)>) {
        for (at, event) in coming {
            self.come(at, event);
        }
    }

    fn come_in(&mut self, wait: Duration, event: Event) {
        self.come(self.now + wait, event);
    }

    /// Has something happen that happens again and again.
    fn again(&mut self, event: Event) {
        let minutes = match event {
            Event::World(_) => 15,
            Event::Reload => 80,
            Event::Operator => 30,
            Event::Ask => 10,
            Event::Restart => 400,
            _ => unreachable!("it happens when it is due"),
        };
        let wait = between(&mut self.roll, Duration::ZERO, Duration::from_mins(2 * minutes));
        self.come_in(wait, event);
    }

    fn moment(&self) -> Moment {
        Moment { now: self.now.saturating_sub(self.desk_began), wall: self.wall() }
    }

    fn wall(&self) -> SystemTime {
        wall(self.now)
    }

    fn trace(&mut self, line: impl FnOnce() -> String) {
        if self.trace.len() == TRACE_LINES {
            self.trace.pop_front();
        }
        self.trace.push_back(format!("{:?} {}", self.now, line()));
    }

    // ---- The prober ----

    fn launch_due(&mut self) -> Right {
        let blinded = self.desk.look(None, self.moment().now);
        self.found((blinded, None))?;
        while let Some(due) = self.desk.pop_due(self.moment()) {
            let Due::Execute(serial, spec) = due else {
                unreachable!("nobody waits for heartbeats")
            };
            let coming = self.watch.launched(&spec, self.now)?;
            self.come_all(coming);
            let meets = self.world.meets(&spec);
            let event = Event::Land { serial, spec, started: self.now, good: meets.good };
            self.desk.launched(serial, ());
            self.come_in(meets.takes, event);
        }
        Ok(())
    }

    fn land(&mut self, serial: u64, spec: &ProbeSpec, started: Duration, good: bool) -> Right {
        if started < self.prober_began {
            return Ok(());
        }
        // An answer that is on its way is lost with the network.
        let good = good && self.world.meets(spec).good;
        let outcome = if good { Outcome::Good } else { Outcome::Failed(Why::Exchange) };
        let moment = self.moment();
        let started = started.saturating_sub(self.desk_began);
        let found =
            self.desk.land(serial, started, outcome.into(), moment, &mut Roll(self.roll.bits()));
        self.found(found)
    }

    fn found(&mut self, (blinded, report): Found) -> Right {
        if let Some(blinded) = blinded {
            self.trace(|| format!("{}: {}", blinded.sight, blinded.evidence));
            self.watch.sight(blinded.sight);
            self.apply(Change::Sight(blinded))?;
        }
        match report {
            Some(report) => self.apply(Change::Probed(report)),
            None => Ok(()),
        }
    }

    // ---- The state ----

    fn apply(&mut self, change: Change) -> Right {
        let change = match change {
            Change::Probed(report) => {
                let expect = self.watch.reported(&report);
                let effects = self.state.apply(Change::Probed(report));
                return self.told(&effects, &expect);
            }
            other => other,
        };
        let effects = self.state.apply(change);
        self.told(&effects, &[])
    }

    fn told(&mut self, effects: &Effects, expect: &[watch::Turn]) -> Right {
        for event in &effects.events {
            self.trace(|| format!("{event}: {} -> {}", event.from, event.to));
        }
        self.watch.told(effects, expect, self.wall())
    }

    /// Has a snapshot made as soon as one may be, as the control loop does.
    fn see_to_publication(&mut self) {
        if self.state.is_stale() && !self.publish_is_coming {
            self.publish_is_coming = true;
            self.come(self.publish_at.max(self.now), Event::Publish);
        }
    }

    fn publish(&mut self) -> Right {
        self.publish_is_coming = false;
        self.publish_at = self.now + PUBLISH_PAUSE;
        let Some(next) = self.state.snapshot(self.wall()) else { return self.turned() };
        let before = std::mem::replace(&mut self.snapshot, next);
        let sight = Sight { snapshot: &self.snapshot, state: &self.state, now: self.now };
        self.watch.published(&before, sight)?;
        self.turned()
    }

    /// Has the watch look at all that is served.
    fn look(&mut self) -> Right {
        let sight = Sight { snapshot: &self.snapshot, state: &self.state, now: self.now };
        self.watch.look_at(sight)
    }

    /// Takes down what happened while names were decided.
    fn turned(&mut self) -> Right {
        let turns = self.state.take_turns();
        for it in &turns.events {
            self.trace(|| format!("{}: {} -> {}", it.subject, it.from, it.to));
        }
        self.ramps.extend(turns.ramps.iter().map(|it| (it.key(), it.standing)));
        self.ramps.retain(|_, it| *it != Standing::Full);
        self.watch.turned(turns)?;
        self.watch.flooded(&self.state.overloads())
    }

    /// Goes on from what was known before: the start of a server, and of the next.
    fn start(&mut self, past: Past) -> Right {
        self.desk_began = self.now.saturating_sub(past.clock);
        self.prober_began = self.now;
        self.desk = Desk::new(past);
        let plan = self.state.plan();
        let (probes, sanity) = (plan.probes.clone(), plan.settings.sanity.clone());
        self.come_in(plan.settings.startup_wait, Event::WarmUp);
        drop(self.desk.adopt(probes, sanity, self.moment().now));
        self.adopted(true)
    }

    /// Has the watch take the plan in.
    fn adopted(&mut self, restarted: bool) -> Right {
        let again = self.watch.adopt(&self.state, &self.world, self.now, restarted)?;
        self.come_all(again);
        Ok(())
    }

    fn restart(&mut self) -> Right {
        self.again(Event::Restart);
        let plan = compile(&self.folder, &self.files, &self.memory);
        let (mut state, _) = State::begin(plan);
        let ramps: HashMap<String, Standing> = self.state.ramps().into_iter().collect();
        if !self.state.is_stale() && ramps != self.ramps {
            return Err(format!("{ramps:?} is so, and was kept as {:?}", self.ramps));
        }
        let takes_over = percent(&mut self.roll, 50);
        let past = if takes_over { self.take_over(&mut state) } else { self.recall(&mut state) };
        state.apply(Change::Said(self.state.overrides().clone()));
        state.restore_ramps(self.ramps.clone().into_iter().collect());
        if takes_over && self.state.is_warm() {
            state.apply(Change::WarmedUp);
        }
        self.snapshot = state.snapshot(self.wall()).expect("the first is always new");
        self.state = state;
        self.publish_is_coming = false;
        self.coming.retain(|Reverse(it)| !matches!(it.event, Event::Publish | Event::WarmUp));
        self.start(past)?;
        if takes_over {
            self.watch.take_over(self.desk.sight());
        }
        self.look()?;
        self.turned()
    }

    /// What a server that takes over is told by the one that runs.
    fn take_over(&mut self, state: &mut State) -> Past {
        self.trace(|| "takeover".to_owned());
        let learned = |spec: &Arc<ProbeSpec>| {
            let (_, learned) = self.state.learned(spec).expect("it is of the plan");
            (Arc::clone(spec), learned)
        };
        let learned: HashMap<_, _> = self.state.plan().probes.iter().map(learned).collect();
        let known = state.plan().probes.iter().map(|spec| learned.get(spec).cloned()).collect();
        state.resume(self.snapshot.generation, self.state.sight(), known);
        self.desk.past(self.moment().now)
    }

    /// What a server finds on the disk that is started.
    fn recall(&mut self, state: &mut State) -> Past {
        self.trace(|| "restart".to_owned());
        let of = |(idx, spec): (usize, &Arc<ProbeSpec>)| {
            (Arc::clone(spec), self.state.known(ProbeId::at(idx)))
        };
        let known: HashMap<_, _> = self.state.plan().probes.iter().enumerate().map(of).collect();
        state.restore(|spec| known.get(spec).copied());
        let remembered = |(spec, (status, _)): (Arc<ProbeSpec>, (Status, SystemTime))| {
            let memory = Memory::restored(status, spec.fall);
            Remembered { spec, is_control: false, memory }
        };
        Past { targets: known.into_iter().map(remembered).collect(), ..Past::default() }
    }

    fn reload(&mut self) -> Right {
        self.again(Event::Reload);
        for _ in 0..=below(&mut self.roll, 3) {
            self.files.edit(&mut self.roll);
        }
        self.trace(|| "reload".to_owned());
        let plan = compile(&self.folder, &self.files, &self.memory);
        let effects = self.state.apply(Change::Reloaded(Box::new(plan)));
        let probes = effects.probes.clone().expect("a reload says what is to be probed");
        let sanity = self.state.plan().settings.sanity.clone();
        drop(self.desk.adopt(probes, sanity, self.moment().now));
        self.adopted(false)?;
        self.told(&effects, &[])?;
        // A reload is published at once.
        self.coming.retain(|Reverse(it)| !matches!(it.event, Event::Publish));
        self.publish()
    }

    // ---- Operators ----

    fn operate(&mut self) -> Right {
        self.again(Event::Operator);
        let until = percent(&mut self.roll, 70).then(|| {
            self.wall() + between(&mut self.roll, Duration::from_secs(10), Duration::from_hours(5))
        });
        let (reason, author) = ("because".to_owned(), "ops".to_owned());
        let note = Note { reason, author, since: self.wall(), until };
        let mut next = self.state.overrides().clone();
        let clear = percent(&mut self.roll, 35);
        let held: Vec<u64> = next.iter().map(|it| it.id).collect();
        if clear && !held.is_empty() {
            next.remove(one_of(&mut self.roll, &held));
        } else if clear || percent(&mut self.roll, 40) {
            let percent = if clear { 100 } else { one_of(&mut self.roll, &[0, 10, 50, 90, 100]) };
            next.dial(one_of(&mut self.roll, &REGIONS), Dial { percent, note });
        } else {
            let word = one_of(&mut self.roll, &[Word::Up, Word::Down, Word::Drain]);
            let target = self.some_target();
            next.add(target, word, note);
            if self.state.concerned(&next).is_empty() {
                return Ok(());
            }
        }
        let force = clear || percent(&mut self.roll, 10);
        if !force && !self.state.left_with_nothing(&next).is_empty() {
            self.watch.tally.refused += 1;
            return Ok(());
        }
        self.say(next)
    }

    fn some_target(&mut self) -> Pattern {
        let (region, host) = (below(&mut self.roll, REGIONS.len()), below(&mut self.roll, HOSTS));
        let text = match below(&mut self.roll, 5) {
            0 => REGIONS[region].to_owned(),
            1 => format!("n{}.example.com", below(&mut self.roll, 20)),
            2 => format!("n{}.example.com/{}", below(&mut self.roll, 20), REGIONS[region]),
            3 => format!("198.51.{region}.*"),
            _ => format!("198.51.{region}.{}", 10 + host),
        };
        Pattern::new(&text).unwrap()
    }

    fn say(&mut self, next: Overrides) -> Right {
        if let Some(end) = next.next_end() {
            // The control loop looks once a second.
            let wait = end.duration_since(self.wall()).unwrap_or_default();
            self.come_in(wait + SNAPSHOTS_SWEEP_EVERY, Event::Expire);
        }
        self.watch.tally.words += 1;
        self.trace(|| {
            let words = next.iter().map(|it| format!("{} {}", it.target, it.word));
            let dials = next.dials().map(|(region, it)| format!("{region} {}%", it.percent));
            format!("operators: {}", words.chain(dials).collect::<Vec<_>>().join(", "))
        });
        self.watch.said();
        self.apply(Change::Said(next))
    }

    fn expire(&mut self) -> Right {
        if self.state.overrides().next_end().is_none_or(|end| self.wall() < end) {
            return Ok(());
        }
        let mut next = self.state.overrides().clone();
        next.expire(self.wall());
        self.say(next)
    }

    // ---- The world ----

    fn meddle(&mut self, happening: Happening) {
        match happening {
            Happening::Any => {
                self.again(Event::World(Happening::Any));
                self.some_trouble();
                return;
            }
            Happening::Host(region, host, state) => self.world.set_host(region, host, state),
            Happening::Takes(region, host, takes) => self.world.set_takes(region, host, takes),
            Happening::Broken(region, host, port) => self.world.set_broken(region, host, port),
            Happening::Lost(region, lost) => self.world.set_lost(region, lost),
            Happening::Cut(cut) => {
                self.watch.cut(cut, self.files.even, &self.world, self.desk.sight());
                self.world.cut = cut;
            }
        }
        self.trace(|| format!("{happening:?}"));
        let again = self.watch.world_changed(&self.world, self.now);
        self.come_all(again);
    }

    /// Thinks of some trouble, and of its end.
    fn some_trouble(&mut self) {
        let roll = &mut self.roll;
        let (region, host) = (below(roll, REGIONS.len()), below(roll, HOSTS));
        let second = Duration::from_secs(1);
        let dead = one_of(roll, &[HostState::Refuses, HostState::Silent]);
        let long = between(roll, 10 * second, 3600 * second);
        let (begins, ends) = match below(roll, 20) {
            0..8 => (
                Happening::Host(region, host, dead),
                Happening::Host(region, host, HostState::Alive),
            ),
            8..11 => {
                let millis = one_of(roll, &[350, 850, 1350, 2350, 3350, 4350]);
                let takes = Duration::from_millis(millis);
                (Happening::Takes(region, host, Some(takes)), Happening::Takes(region, host, None))
            }
            11..14 => {
                let port = 8000 + u16::try_from(below(roll, 4)).unwrap();
                (Happening::Broken(region, host, Some(port)), Happening::Broken(region, host, None))
            }
            14..16 => (Happening::Lost(region, true), Happening::Lost(region, false)),
            16 => {
                // Seconds, minutes, or longer than anybody may be blind.
                let most = one_of(roll, &[20, 280, 900]);
                let lasts = between(roll, second, most * second);
                self.come_in(Duration::ZERO, Event::World(Happening::Cut(true)));
                return self.come_in(lasts, Event::World(Happening::Cut(false)));
            }
            _ => return self.flap(region, host, dead),
        };
        self.come_in(Duration::ZERO, Event::World(begins));
        self.come_in(long, Event::World(ends));
    }

    /// A host comes and goes for a while.
    fn flap(&mut self, region: usize, host: usize, dead: HostState) {
        let most = Duration::from_secs(one_of(&mut self.roll, &[8, 40, 150]));
        let mut wait = Duration::ZERO;
        for round in 0..2 * (1 + below(&mut self.roll, 12)) {
            let state = if round % 2 == 0 { dead } else { HostState::Alive };
            self.come_in(wait, Event::World(Happening::Host(region, host, state)));
            wait += between(&mut self.roll, Duration::from_secs(1), most);
        }
    }
}

/// The time of the wall when so much has passed.
fn wall(now: Duration) -> SystemTime {
    UNIX_EPOCH + Duration::from_hours(480_000) + now
}

fn compile(folder: &tempfile::TempDir, files: &Files, memory: &compile::Memory) -> Plan {
    let path = folder.path().join("evenkeel.yaml");
    fs::write(&path, files.server()).unwrap();
    fs::write(folder.path().join("zones/example.com.yaml"), files.zone()).unwrap();
    let plan = compile::load_with(&path, memory, UNIX_EPOCH).plan;
    plan.unwrap_or_else(|complaints| panic!("{}{}", files.zone(), complaints.to_text()))
}

impl PartialEq for Coming {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Coming {}

impl PartialOrd for Coming {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Coming {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
