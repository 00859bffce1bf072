//! The prober in a world of its own, whose time is paused.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr},
    sync::Mutex,
};

use super::*;
use crate::health::{Push, Status, Target, Tcp, Verdict};

const SECOND: Duration = Duration::from_secs(1);
/// The target whose probe panics.
const BREAKS: u16 = 0;
const GOOD: Outcome = Outcome::Good;
const BAD: Outcome = Outcome::Failed(Why::Exchange);

fn spec(number: u16) -> Arc<ProbeSpec> {
    Arc::new(ProbeSpec {
        target: Target::Address(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        port: number,
        kind: Kind::Tcp(Tcp::default()),
        invert: false,
        every: 10 * SECOND,
        timeout: 3 * SECOND,
        fall: 3,
        rise: 2,
        flap: None,
    })
}

/// A prober in a world where the targets in `dead` give no answer. Time is paused: it goes on
/// only when everyone waits for it.
struct World {
    dead: Arc<Mutex<HashSet<u16>>>,
    prober: Prober,
    news: mpsc::Receiver<News>,
    began: Instant,
}

impl World {
    fn begin(targets: impl IntoIterator<Item = u16>) -> Self {
        Self::begin_from(Past::default(), targets.into_iter().map(spec).collect())
    }

    /// With the same dead as before.
    async fn go_on_in_another(mut self, probes: Vec<Arc<ProbeSpec>>) -> Self {
        let past = self.pause().await.0;
        let world = Self::begin_from(past, probes);
        world.dead.lock().unwrap().extend(&*self.dead.lock().unwrap());
        world
    }

    /// What is known, and what was told meanwhile.
    async fn pause(&mut self) -> (Past, Pause, Vec<News>) {
        let mut pause = self.prober.pause();
        let mut told = Vec::new();
        let past = {
            let mut past = std::pin::pin!(pause.past());
            loop {
                tokio::select! {
                    biased;
                    past = &mut past => break past.unwrap(),
                    news = self.news.recv() => told.push(news.unwrap()),
                }
            }
        };
        told.extend(std::iter::from_fn(|| self.news.try_recv().ok()));
        (past, pause, told)
    }

    fn begin_from(past: Past, specs: Vec<Arc<ProbeSpec>>) -> Self {
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
        let (news_in, news) = mpsc::channel(16);
        let prober = Prober::start_from(execute, news_in, past);
        prober.set(specs, Sanity::default());
        Self { dead, prober, news, began: Instant::now() }
    }

    fn set(&self, probes: Vec<Arc<ProbeSpec>>) {
        self.prober.set(probes, Sanity::default());
    }

    /// Makes so many of the targets from 1 on the dead ones.
    fn dead(&self, count: u16) {
        *self.dead.lock().unwrap() = (1..=count).collect();
    }

    /// Everything that is told in so many seconds.
    async fn told(&mut self, seconds: u32) -> Vec<News> {
        let until = Instant::now() + SECOND * seconds;
        let mut told = Vec::new();
        while let Ok(news) = tokio::time::timeout_at(until, self.news.recv()).await {
            told.push(news.unwrap());
        }
        told
    }

    async fn next(&mut self) -> Report {
        loop {
            if let News::Probed(report) = self.news.recv().await.unwrap() {
                return report;
            }
        }
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
async fn a_death_is_noticed_within_the_bound() {
    for dies_after in 0..30 {
        let mut world = World::begin([1]);
        world.next_of(1).await;
        tokio::time::sleep(SECOND * dies_after / 3).await;
        while world.news.try_recv().is_ok() {}
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
    let set = |probes| world.prober.set(probes, Sanity::default());
    set(vec![Arc::clone(&same), spec(3), spec(3)]);
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
    world.set(vec![faster(1), spec(2), faster(3)]);
    let one = world.next_of(1).await;
    assert_eq!((one.outcome, one.status.verdict), (GOOD, Verdict::Down), "one of two good ones");
    assert_eq!(world.next_of(3).await.status.verdict, Verdict::Down);
    assert_eq!(world.next_of(1).await.status.verdict, Verdict::Up);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_reported_of_a_target_that_went() {
    let mut world = World::begin([1, 2]);
    world.dead.lock().unwrap().insert(1);
    world.next_of(2).await;
    // The execution of 1 is under way.
    world.prober.set(vec![spec(2)], Sanity::default());
    for _ in 0..5 {
        assert_eq!(world.next().await.spec.port, 2);
    }
    // It comes back as if it had never been there.
    world.dead.lock().unwrap().clear();
    world.prober.set(vec![spec(1), spec(2)], Sanity::default());
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

fn heartbeats(check: &str, expires: Duration) -> Arc<ProbeSpec> {
    Arc::new(ProbeSpec {
        target: Target::Host(Box::default()),
        kind: Kind::Push(Push { check: check.into(), expires }),
        every: expires,
        timeout: expires,
        fall: 1,
        rise: 1,
        ..(*spec(0)).clone()
    })
}

#[tokio::test(start_paused = true)]
async fn heartbeats_expire() {
    let mut world = World::begin([]);
    let expires = 30 * SECOND;
    world.set(vec![heartbeats("batch", expires)]);
    let silent = Outcome::Failed(Why::Silent(expires));
    // None at all: unknown until the first would have expired.
    let report = world.next().await;
    assert_eq!((report.outcome, report.status.verdict), (silent.clone(), Verdict::Down));
    assert!((expires..expires + SECOND).contains(&world.began.elapsed()));
    // The first one makes it up, at once.
    assert!(world.prober.heartbeat("batch"));
    let report = world.next().await;
    assert_eq!((report.outcome, report.status.verdict), (GOOD, Verdict::Up));
    assert!(world.began.elapsed() < expires + SECOND);
    // As long as they come it stays up, and `expires` after the last one it is down.
    for _ in 0..5 {
        tokio::time::sleep(20 * SECOND).await;
        assert!(world.prober.heartbeat("batch"));
        assert_eq!(world.next().await.outcome, GOOD);
    }
    let last = Instant::now();
    let report = world.next().await;
    assert_eq!((report.outcome, report.status.verdict), (silent, Verdict::Down));
    assert!((expires..expires + SECOND).contains(&last.elapsed()), "{:?}", last.elapsed());
}

#[tokio::test(start_paused = true)]
async fn heartbeats_that_nobody_waits_for() {
    let mut world = World::begin([1]);
    assert!(!world.prober.heartbeat("batch"));
    world.set(vec![heartbeats("batch", 30 * SECOND), heartbeats("other", 40 * SECOND)]);
    assert!(!world.prober.heartbeat("Batch"));
    // Many at once are one.
    for _ in 0..1000 {
        assert!(world.prober.heartbeat("other"));
    }
    assert_eq!(world.next().await.outcome, GOOD);
    let report = world.next().await;
    let expired = Outcome::Failed(Why::Silent(30 * SECOND));
    assert_eq!(report.outcome, expired, "the one that got none");
}

#[tokio::test(start_paused = true)]
async fn a_prober_without_a_listener_ends() {
    let World { mut prober, news, .. } = World::begin([1]);
    drop(news);
    prober.crashed().await;
}

/// What the prober said of itself.
fn sights(told: &[News]) -> Vec<String> {
    let sight = |news: &News| match news {
        News::Sight(blinded) => Some(format!("{}: {}", blinded.sight, blinded.evidence)),
        News::Probed(_) => None,
    };
    told.iter().filter_map(sight).collect()
}

/// The targets of which a report says that they are down.
fn fallen(told: &[News]) -> HashSet<u16> {
    let fallen = |news: &News| match news {
        News::Probed(report) if report.status.verdict == Verdict::Down => Some(report.spec.port),
        _ => None,
    };
    told.iter().filter_map(fallen).collect()
}

/// The address of each is its own, so that they are as many targets.
fn specs_apart(numbers: impl IntoIterator<Item = u16>) -> Vec<Arc<ProbeSpec>> {
    let apart = |number: u16| {
        let address = Ipv4Addr::from_bits(0x7F00_0000 | u32::from(number));
        let target = Target::Address(IpAddr::V4(address));
        Arc::new(ProbeSpec { target, ..(*spec(number)).clone() })
    };
    numbers.into_iter().map(apart).collect()
}

#[tokio::test(start_paused = true)]
async fn a_lost_network_takes_nothing_out() {
    let mut world = World::begin([]);
    world.prober.set(specs_apart(1..=50), Sanity::default());
    assert!(sights(&world.told(60).await).is_empty());
    world.dead(50);
    let told = world.told(200).await;
    assert_eq!(sights(&told), ["blind: 40 of 50 targets that were up fail"]);
    assert!(fallen(&told).is_empty());
    // Each is shaky: answers from it are to be kept shortly.
    let shaky = told.iter().filter(|it| matches!(it, News::Probed(it) if it.status.shaky)).count();
    assert!(50 <= shaky);
    world.dead(0);
    let told = world.told(60).await;
    assert_eq!(sights(&told).len(), 1, "{:?}", sights(&told));
    assert!(sights(&told)[0].starts_with("sighted: 39 of 50"));
    assert!(fallen(&told).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_region_that_is_lost_is_taken_out() {
    let mut world = World::begin([]);
    world.prober.set(specs_apart(1..=50), Sanity::default());
    world.told(60).await;
    world.dead(39);
    let told = world.told(60).await;
    assert!(sights(&told).is_empty());
    assert_eq!(fallen(&told), (1..=39).collect());
    // What is down already is not counted: of the eleven others it takes nine.
    world.dead(48);
    assert_eq!(sights(&world.told(60).await), ["blind: 9 of 11 targets that were up fail"]);
}

#[tokio::test(start_paused = true)]
async fn what_dies_while_the_prober_is_blind_falls_when_it_sees() {
    let mut world = World::begin([]);
    world.prober.set(specs_apart(1..=10), Sanity::default());
    world.told(60).await;
    world.dead(10);
    world.told(100).await;
    world.dead(1);
    let began = Instant::now();
    let mut failures = 0;
    // It takes `fall` failures from here on, and no outcome from before.
    let mut sees = false;
    loop {
        match world.news.recv().await.unwrap() {
            News::Sight(_) => sees = true,
            News::Probed(report) if report.spec.port == 1 => {
                failures += u32::from(sees);
                if report.status.verdict == Verdict::Down {
                    break;
                }
            }
            News::Probed(report) => assert_eq!(report.status.verdict, Verdict::Up),
        }
    }
    assert_eq!(failures, 3);
    assert!(began.elapsed() <= SECOND * (10 + 10 * 3 + 3 + 1));
}

#[tokio::test(start_paused = true)]
async fn a_blindness_ends_after_blind_for_and_the_next_takes_a_good_probe() {
    let mut world = World::begin([]);
    let sanity = Sanity { blind_for: SECOND * 60, ..Sanity::default() };
    world.prober.set(specs_apart(1..=10), sanity);
    world.told(60).await;
    world.dead(10);
    let told = world.told(60).await;
    assert_eq!(sights(&told), ["blind: 8 of 10 targets that were up fail"]);
    assert!(fallen(&told).is_empty());
    let told = world.told(20 + 10 + 30).await;
    assert_eq!(sights(&told), ["blind for too long: 10 of 10 targets that were up fail"]);
    assert_eq!(fallen(&told), (1..=10).collect());
    world.dead(0);
    let told = world.told(60).await;
    assert_eq!(sights(&told).len(), 1);
    assert!(sights(&told)[0].starts_with("sighted"));
    world.dead(10);
    assert_eq!(sights(&world.told(20).await), ["blind: 8 of 10 targets that were up fail"]);
}

#[tokio::test(start_paused = true)]
async fn control_targets_decide_alone() {
    let mut world = World::begin([]);
    let control: Vec<_> = [101, 102]
        .into_iter()
        .map(|number| {
            let every = SECOND * 5;
            Arc::new(ProbeSpec { every, timeout: SECOND * 2, ..(*spec(number)).clone() })
        })
        .collect();
    let sanity = Sanity { control: control.into(), ..Sanity::default() };
    world.prober.set(specs_apart(1..=3), sanity);
    let told = world.told(60).await;
    assert!(sights(&told).is_empty());
    let is_control = |news: &News| matches!(news, News::Probed(it) if 100 < it.spec.port);
    assert!(!told.iter().any(is_control), "nothing is reported of them");
    // All targets fail, and one control target: the prober sees.
    world.dead(101);
    let told = world.told(60).await;
    assert!(sights(&told).is_empty());
    assert_eq!(fallen(&told), (1..=3).collect());
    // All are good again, and the control targets go: three are enough to be blind for.
    world.dead(0);
    world.told(60).await;
    world.dead(102);
    let told = world.told(60).await;
    assert_eq!(sights(&told), ["blind: 2 of 2 control targets fail"]);
    assert!(fallen(&told).is_empty());
    world.dead(101);
    let told = world.told(7).await;
    assert_eq!(sights(&told), ["sighted: 1 of 2 control targets fail"]);
}

#[tokio::test(start_paused = true)]
async fn a_blind_start_makes_nothing_down() {
    let mut world = World::begin([]);
    let control =
        Arc::new(ProbeSpec { every: SECOND * 5, timeout: SECOND, ..(*spec(100)).clone() });
    let sanity = Sanity { control: Arc::new([control]), ..Sanity::default() };
    world.dead(100);
    world.prober.set(specs_apart(1..=3), sanity);
    let told = world.told(60).await;
    assert_eq!(sights(&told), ["blind: 1 of 1 control targets fail"]);
    let unknown = Status { verdict: Verdict::Unknown, shaky: true };
    let is_unknown = |it: &News| matches!(it, News::Probed(it) if it.status == unknown);
    assert_eq!(told.iter().filter(|it| !is_unknown(it)).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn asked_more_often_is_known_as_before() {
    let mut world = World::begin([1]);
    world.dead(1);
    while world.next_of(1).await.status.verdict != Verdict::Down {}
    world.dead(0);
    let often = ProbeSpec { every: SECOND, timeout: SECOND / 2, ..(*spec(1)).clone() };
    world.prober.set(vec![Arc::new(often)], Sanity::default());
    assert_eq!(world.next_of(1).await.status.verdict, Verdict::Down, "one good is not yet `rise`");
    assert_eq!(world.next_of(1).await.status.verdict, Verdict::Up);
}

#[tokio::test(start_paused = true)]
async fn good_because_something_fails_is_doubted_by_a_blind_prober() {
    let mut world = World::begin([]);
    // What `invert` makes of a world whose targets 1 to 5 are dead: 6 was there, and that was bad.
    let mut specs = specs_apart(1..=5);
    let inverted = ProbeSpec { invert: true, rise: 3, ..(*spec(6)).clone() };
    let heart = heartbeats("batch", 30 * SECOND);
    specs.extend([Arc::new(inverted), Arc::clone(&heart)]);
    world.dead.lock().unwrap().insert(6);
    world.set(specs);
    assert!(world.prober.heartbeat("batch"));
    assert_eq!(world.next_of(6).await.status.verdict, Verdict::Down);
    world.told(12).await;
    // The network goes: the five fail, no heartbeat comes, and the sixth looks good.
    *world.dead.lock().unwrap() = (1..=5).collect();
    let told = world.told(100).await;
    assert_eq!(sights(&told), ["blind: 4 of 5 targets that were up fail"]);
    let risen = |it: &News| matches!(it, News::Probed(it) if it.spec.invert && it.status.verdict == Verdict::Up);
    assert!(!told.iter().any(risen));
    assert_eq!(fallen(&told), HashSet::from([6]), "silence does not count either");
}

#[tokio::test(start_paused = true)]
async fn another_prober_goes_on_in_the_middle_of_a_fall() {
    let mut world = World::begin([1]);
    assert_eq!(world.next_of(1).await.status.verdict, Verdict::Up);
    world.dead(1);
    for _ in 0..2 {
        assert!(world.next_of(1).await.status.shaky);
    }
    let mut world = world.go_on_in_another(vec![spec(1)]).await;
    // It is the third in a row.
    assert_eq!(world.next_of(1).await.status.verdict, Verdict::Down);
    world.dead(0);
    assert_eq!(world.next_of(1).await.status.verdict, Verdict::Down);
    let mut world = world.go_on_in_another(vec![spec(1)]).await;
    assert_eq!(world.next_of(1).await.status.verdict, Verdict::Up, "the second good one");
}

#[tokio::test(start_paused = true)]
async fn another_prober_is_as_blind() {
    let mut world = World::begin_from(Past::default(), specs_apart(1..=10));
    world.told(60).await;
    world.dead(10);
    assert_eq!(sights(&world.told(100).await), ["blind: 8 of 10 targets that were up fail"]);
    let mut world = world.go_on_in_another(specs_apart(1..=10)).await;
    // It lasts as long as if there had been one prober: 5 minutes, of which some are over.
    let told = world.told(150).await;
    assert!(!told.is_empty() && sights(&told).is_empty() && fallen(&told).is_empty());
    let told = world.told(100).await;
    assert_eq!(sights(&told), ["blind for too long: 10 of 10 targets that were up fail"]);
}

#[tokio::test(start_paused = true)]
async fn another_prober_waits_for_the_same_heartbeat() {
    let push = Push { check: "job".into(), expires: 60 * SECOND };
    let job = Arc::new(ProbeSpec { kind: Kind::Push(push), fall: 1, ..(*spec(1)).clone() });
    let mut world = World::begin_from(Past::default(), vec![Arc::clone(&job)]);
    assert!(world.prober.heartbeat("job"));
    let beat = Instant::now();
    assert_eq!(world.next().await.status.verdict, Verdict::Up);
    tokio::time::sleep(40 * SECOND).await;
    let mut world = world.go_on_in_another(vec![job]).await;
    assert_eq!(world.next().await.status.verdict, Verdict::Down);
    let silent = Instant::now() - beat;
    assert!(59 * SECOND < silent && silent < 61 * SECOND, "{silent:?}");
}

#[tokio::test(start_paused = true)]
async fn a_prober_that_pauses_finds_nothing_out_until_it_goes_on() {
    let mut world = World::begin([1]);
    world.next_of(1).await;
    let (past, pause, _) = world.pause().await;
    assert_eq!(past.targets.len(), 1);
    assert!(world.told(100).await.is_empty());
    drop(pause);
    assert!(!world.told(11).await.is_empty());
}
