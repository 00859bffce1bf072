//! What changes do to answers, case by case.

mod returns;

use std::{
    fmt::Write as _,
    time::{Duration, UNIX_EPOCH},
};

use super::*;
use crate::{
    compile::{PlannedZone, Settings},
    geo::Geo,
    health::{Kind, Tcp, Why},
    steer::{AllDown, Decision, Endpoint, Outcome, Pool},
    wire::{Family, Rtype},
    zone::Builder,
};

const UP: Status = Status { verdict: Verdict::Up, shaky: false };
const SHAKY: Status = Status { verdict: Verdict::Up, shaky: true };
const DOWN: Status = Status { verdict: Verdict::Down, shaky: false };

/// A probe, by a letter; in upper case it is executed more often.
fn spec(letter: char) -> Arc<ProbeSpec> {
    let every = if letter.is_ascii_uppercase() { 5 } else { 10 };
    Arc::new(ProbeSpec {
        target: health::Target::Host(letter.to_ascii_lowercase().to_string().into()),
        port: 80,
        kind: Kind::Tcp(Tcp::default()),
        invert: false,
        every: Duration::from_secs(every),
        timeout: Duration::from_secs(3),
        fall: 3,
        rise: 2,
        flap: None,
    })
}

/// A plan of one zone, from one line per name: `www east 192.0.2.1:ab 192.0.2.2 west ...`. A
/// word is a pool or one of its endpoints, with its probes behind a colon.
fn plan(lines: &str) -> Plan {
    let apex = Name::parse("example.com.", None).unwrap();
    let mut builder = Builder::new(apex.clone());
    builder.record(&apex, Rtype::SOA, 300, &[0; 22]);
    let mut letters: Vec<char> = Vec::new();
    let mut steered = Vec::new();
    for (idx, line) in lines.lines().enumerate() {
        let mut words = line.split_whitespace();
        let owner = Name::parse(words.next().unwrap(), Some(&apex)).unwrap();
        builder.steer(&owner, SteeredId::at(idx), false);
        let mut pools: Vec<(&str, Vec<Endpoint>)> = Vec::new();
        let mut probes: Vec<Vec<Tree>> = Vec::new();
        for word in words {
            let (word, checks) = word.split_once(':').unwrap_or((word, ""));
            let Ok(address) = word.parse() else {
                pools.push((word, Vec::new()));
                probes.push(Vec::new());
                continue;
            };
            let mut id_of = |letter| {
                ProbeId::at(letters.iter().position(|it| *it == letter).unwrap_or_else(|| {
                    letters.push(letter);
                    letters.len() - 1
                }))
            };
            let target = Target::Address(address);
            let endpoint = Endpoint { target, weight: 1, label: None };
            pools.last_mut().unwrap().1.push(endpoint);
            let all = checks.chars().map(|it| Tree::Probe(id_of(it))).collect();
            probes.last_mut().unwrap().push(Tree::All(all));
        }
        let pool = |(name, endpoints): (&str, Vec<Endpoint>)| Pool::of(name, endpoints.into());
        let pools = pools.into_iter().map(pool).collect();
        let policy = Policy { all_down: AllDown::Refuse, ..Policy::of(20, 5, pools) };
        steered.push(PlannedName { owner, policy: Arc::new(policy), probes });
    }
    Plan {
        settings: Settings::default(),
        zones: vec![PlannedZone { zone: Arc::new(builder.finish()), steered }.into()],
        geo: Arc::new(Geo::nowhere()),
        regions: Vec::new(),
        places: HashMap::new(),
        capacities: HashMap::new(),
        checks: letters.iter().map(|it| it.to_string().into()).collect(),
        probes: letters.into_iter().map(spec).collect(),
    }
}

/// What all clients get.
fn decision(steered: &Steered, family: Family) -> &Decision {
    &steered.family(family).unwrap().outlook.decisions()[0]
}

/// A state and the specs that it handed out.
struct World {
    state: State,
    probes: Vec<Arc<ProbeSpec>>,
}

impl World {
    fn begin(lines: &str) -> Self {
        let (mut state, effects) = State::begin(plan(lines));
        state.snapshot(UNIX_EPOCH).unwrap();
        Self { state, probes: effects.probes.unwrap() }
    }

    fn probed(&mut self, letter: char, status: Status) -> Vec<String> {
        let spec = self.probes.iter().find(|it| ***it == *spec(letter)).unwrap().clone();
        self.report(spec, status)
    }

    fn report(&mut self, spec: Arc<ProbeSpec>, status: Status) -> Vec<String> {
        let outcome = health::Outcome::Failed(Why::Status(500));
        let effects = self.state.apply(Change::Probed(Report {
            spec,
            status,
            outcome,
            told: health::Told::default(),
            took: Duration::ZERO,
            at: UNIX_EPOCH,
        }));
        let line = |it: &Event| format!("{it} {} {}", it.from, it.to);
        effects.events.iter().map(line).collect()
    }

    fn reload(&mut self, lines: &str) {
        let effects = self.state.apply(Change::Reloaded(Box::new(plan(lines))));
        self.probes = effects.probes.unwrap();
        self.state.snapshot(UNIX_EPOCH).unwrap();
    }

    /// What each name gives for A after what changed is frozen: pools with the places of their
    /// endpoints, `!` behind one with the short TTL.
    fn gives(&mut self) -> Vec<String> {
        self.state.snapshot(UNIX_EPOCH);
        let names = self.state.latest.zones()[0].steered.iter().enumerate();
        let give = |(idx, steered): (usize, &Arc<Steered>)| {
            let policy = &self.state.plan.zones[0].steered[idx].policy;
            let candidates = match &decision(steered, Family::V4).outcome {
                Outcome::Draw(candidates) => candidates,
                other => return format!("{other:?}"),
            };
            let mut text = String::new();
            for pool in &candidates.pools {
                write!(text, "{}[", policy.pools[usize::from(pool.pool)].name).unwrap();
                for member in &pool.members {
                    let mark = if member.ttl == policy.ttl { "" } else { "!" };
                    write!(text, "{}{mark}", member.endpoint).unwrap();
                }
                text.push(']');
            }
            text
        };
        names.map(give).collect()
    }
}

#[test]
fn a_name_waits_for_the_first_probes_of_its_endpoints() {
    let mut world = World::begin("www east 192.0.2.1:a 192.0.2.2:b\napi east 192.0.2.9");
    assert_eq!(world.gives(), ["NotReady", "east[0]"]);
    let v6 = decision(&world.state.latest.zones()[0].steered[0], Family::V6).clone();
    assert_eq!(v6.outcome, Outcome::NoData, "what is not there need not be waited for");
    world.probed('a', UP);
    assert_eq!(world.gives()[0], "NotReady");
    assert!(!world.state.is_warm());
    let events = world.probed('b', DOWN);
    assert_eq!(events, ["www.example.com./east/192.0.2.2 unknown down"]);
    assert_eq!(world.gives()[0], "east[0]");
    assert!(world.state.is_warm());
}

#[test]
fn what_is_unknown_counts_as_up_when_it_was_waited_for_long_enough() {
    let mut world = World::begin("www east 192.0.2.1:a west 192.0.2.2:b");
    world.probed('a', DOWN);
    assert_eq!(world.gives(), ["NotReady"]);
    world.state.apply(Change::WarmedUp);
    assert_eq!(world.gives(), ["west[0]"]);
}

#[test]
fn without_probes_there_is_nothing_to_wait_for() {
    let mut world = World::begin("www east 192.0.2.1");
    assert!(world.state.is_warm());
    assert_eq!(world.gives(), ["east[0]"]);
}

#[test]
fn conditions_of_an_endpoint_are_those_of_all_its_probes() {
    let check = |a, b, expect: &str| {
        let mut world = World::begin("www east 192.0.2.1:ab west 192.0.2.2");
        world.probed('a', a);
        world.probed('b', b);
        assert_eq!(world.gives(), [expect], "{a:?} {b:?}");
    };
    check(UP, UP, "east[0]west[0]");
    check(UP, SHAKY, "east[0!]west[0]");
    check(SHAKY, DOWN, "west[0]");
    check(DOWN, UP, "west[0]");
    check(DOWN, DOWN, "west[0]");
}

#[test]
fn an_event_is_a_change_of_an_endpoints_verdict() {
    let mut world = World::begin("www east 192.0.2.1:ab\napi west 192.0.2.2:a 192.0.2.3");
    let none: [&str; 0] = [];
    assert_eq!(world.probed('a', UP), ["api.example.com./west/192.0.2.2 unknown up"]);
    assert_eq!(world.probed('b', UP), ["www.example.com./east/192.0.2.1 unknown up"]);
    assert_eq!(world.probed('a', SHAKY), none);
    assert_eq!(
        world.probed('a', DOWN),
        ["www.example.com./east/192.0.2.1 up down", "api.example.com./west/192.0.2.2 up down"]
    );
    assert_eq!(world.probed('b', DOWN), none, "the endpoint is down as it was");
    assert_eq!(world.probed('a', UP), ["api.example.com./west/192.0.2.2 down up"]);
}

#[test]
fn only_what_rests_on_the_probe_is_replaced() {
    let mut world = World::begin("www east 192.0.2.1:a west 192.0.2.2\napi east 192.0.2.1:b");
    world.probed('a', UP);
    world.probed('b', UP);
    world.state.snapshot(UNIX_EPOCH).unwrap();
    let before = world.state.latest.clone();
    world.probed('a', UP);
    assert!(!world.state.is_stale());
    assert!(world.state.snapshot(UNIX_EPOCH).is_none(), "nothing changed");

    world.probed('a', DOWN);
    let after = world.state.snapshot(UNIX_EPOCH).unwrap();
    assert_eq!(after.generation, before.generation + 1);
    let [www, api] = [0, 1]
        .map(|idx| Arc::ptr_eq(&before.zones()[0].steered[idx], &after.zones()[0].steered[idx]));
    assert_eq!((www, api), (false, true));
    assert!(Arc::ptr_eq(&before.zones()[0].zone, &after.zones()[0].zone));
}

#[test]
fn there_and_back_within_one_pause_is_no_new_snapshot() {
    let mut world = World::begin("www east 192.0.2.1:a");
    world.probed('a', UP);
    world.state.snapshot(UNIX_EPOCH).unwrap();
    world.probed('a', SHAKY);
    world.probed('a', UP);
    assert!(world.state.is_stale());
    assert!(world.state.snapshot(UNIX_EPOCH).is_none());
    assert!(!world.state.is_stale());
}

#[test]
fn a_reload_keeps_what_is_known_of_the_probes_that_stay() {
    let mut world = World::begin("www east 192.0.2.1:a west 192.0.2.2:b");
    world.probed('a', UP);
    world.probed('b', DOWN);
    let (old_a, old_b) = (world.probes[0].clone(), world.probes[1].clone());
    // Other numbers, a name more, `a` gone and `c` new.
    world.reload("new x 192.0.2.7:c\nwww east 192.0.2.1:c west 192.0.2.2:b y 192.0.2.3");
    assert_eq!(world.gives(), ["x[0]", "east[0]y[0]"], "the unknown count as up");
    assert_eq!(world.probes.len(), 2);
    assert!(world.probes.iter().any(|it| Arc::ptr_eq(it, &old_b)), "the very spec is kept");
    // What comes late of a probe that is gone has no effect, of one that stays it has.
    assert_eq!(world.report(old_a, DOWN), Vec::<String>::new());
    assert_eq!(world.report(old_b, UP), ["www.example.com./west/192.0.2.2 down up"]);
    assert_eq!(world.gives()[1], "east[0]west[0]y[0]");
    assert!(world.state.is_warm(), "a reload does not make the server wait again");
}

#[test]
fn a_reload_that_changes_a_check_brings_nothing_back() {
    let mut world = World::begin("www east 192.0.2.1:a west 192.0.2.2:b");
    world.probed('a', UP);
    world.probed('b', DOWN);
    world.reload("www east 192.0.2.1:A west 192.0.2.2:B");
    assert_eq!(world.gives(), ["east[0]"]);
    let none: [&str; 0] = [];
    assert_eq!(world.probed('A', UP), none);
    assert_eq!(world.probed('B', UP), ["www.example.com./west/192.0.2.2 down up"]);
    // What a check that stays says is its own, and no new one's.
    world.probed('B', DOWN);
    world.reload("www east 192.0.2.1:A west 192.0.2.2:B new 192.0.2.3:b");
    assert_eq!(world.gives(), ["east[0]new[0]"]);
}

#[test]
fn a_reload_without_a_probe_ends_the_wait_for_it() {
    let mut world = World::begin("www east 192.0.2.1:a");
    assert!(!world.state.is_warm());
    world.reload("www east 192.0.2.1");
    assert!(world.state.is_warm());
    assert_eq!(world.gives(), ["east[0]"]);
}

#[test]
fn a_check_with_other_numbers_knows_what_was_known() {
    let mut world = World::begin("www east 192.0.2.1:a west 192.0.2.2:b");
    world.probed('a', DOWN);
    world.probed('b', SHAKY);
    let mut plan = plan("www east 192.0.2.1:a west 192.0.2.2:b");
    for spec in &mut plan.probes {
        *spec = Arc::new(ProbeSpec { every: Duration::from_secs(5), ..(**spec).clone() });
    }
    world.state.apply(Change::Reloaded(Box::new(plan)));
    world.state.snapshot(UNIX_EPOCH).unwrap();
    assert_eq!(world.gives(), ["west[0!]"]);
    assert_eq!(world.state.unknown(), 0);
}

#[test]
fn what_failed_when_something_else_was_asked_is_not_kept_for_long() {
    let mut world = World::begin("www east 192.0.2.1:a west 192.0.2.2:b");
    world.probed('a', DOWN);
    world.probed('b', UP);
    let mut plan = plan("www east 192.0.2.1:a west 192.0.2.2:b");
    for spec in &mut plan.probes {
        *spec = Arc::new(ProbeSpec { port: 81, ..(**spec).clone() });
    }
    world.probes = world.state.apply(Change::Reloaded(Box::new(plan))).probes.unwrap();
    world.state.snapshot(UNIX_EPOCH).unwrap();
    assert_eq!(world.gives(), ["east[0!]west[0]"]);
    assert_eq!(world.state.unknown(), 2);
    let spec = Arc::clone(&world.probes[0]);
    assert_eq!(world.report(spec, DOWN), ["www.example.com./east/192.0.2.1 unknown down"]);
    assert_eq!(world.gives(), ["west[0]"]);
}

#[test]
fn what_a_blind_prober_finds_is_still_unknown() {
    let mut world = World::begin("www east 192.0.2.1:a west 192.0.2.2:b");
    let failed = Status { verdict: Verdict::Unknown, shaky: true };
    assert!(world.probed('a', failed).is_empty());
    assert!(world.probed('b', UP).len() == 1);
    assert_eq!(world.state.unknown(), 1);
    assert_eq!(world.gives(), ["NotReady"]);
    world.state.apply(Change::WarmedUp);
    assert_eq!(world.gives(), ["east[0!]west[0]"]);
    world.probed('a', UP);
    assert_eq!(world.state.unknown(), 0);
}

#[test]
fn the_prober_says_that_it_is_blind() {
    let mut world = World::begin("www east 192.0.2.1:a");
    assert!(!world.state.sight().is_blind());
    let sight = Sight::Blind { until: Duration::from_mins(5) };
    let blinded = Blinded { sight, evidence: health::Evidence::default() };
    let effects = world.state.apply(Change::Sight(blinded));
    assert_eq!(effects.blinded, Some(blinded));
    assert!(world.state.sight().is_blind());
}

/// `a` is asked one thing and `b` another, as `asks` makes them of the same port.
fn asking(every_s: u64, asks: impl Fn(char) -> Kind) -> Plan {
    let mut plan = plan("www east 192.0.2.1:a west 192.0.2.2:b");
    for (spec, letter) in plan.probes.iter_mut().zip(['a', 'b']) {
        let every = Duration::from_secs(every_s);
        *spec = Arc::new(ProbeSpec { every, kind: asks(letter), ..(*self::spec('a')).clone() });
    }
    plan
}

#[test]
fn checks_of_one_port_that_are_changed_together_are_told_apart() {
    let asks = |letter: char| {
        let expect = Some(letter.to_string().into());
        Kind::Tcp(Tcp { send: None, expect })
    };
    let (mut state, effects) = State::begin(asking(10, asks));
    let probes = effects.probes.unwrap();
    let mut world = World { state, probes: probes.clone() };
    world.report(Arc::clone(&probes[0]), UP);
    world.report(Arc::clone(&probes[1]), DOWN);
    state = world.state;
    state.apply(Change::Reloaded(Box::new(asking(5, asks))));
    assert_eq!([0, 1].map(|idx| state.status(ProbeId::at(idx))), [UP, DOWN]);
}

#[test]
fn heartbeats_of_one_check_say_nothing_of_another() {
    let push = |check: String| {
        Kind::Push(health::Push { check: check.into(), expires: Duration::from_mins(1) })
    };
    let (state, effects) = State::begin(asking(60, |letter| push(letter.to_string())));
    let probes = effects.probes.unwrap();
    let mut world = World { state, probes: probes.clone() };
    world.report(Arc::clone(&probes[0]), DOWN);
    world.report(Arc::clone(&probes[1]), UP);
    // `a` waits longer now, and `b` has another name.
    let named = |letter| if letter == 'a' { "a".to_owned() } else { "c".to_owned() };
    world.state.apply(Change::Reloaded(Box::new(asking(90, |letter| push(named(letter))))));
    let statuses = [0, 1].map(|idx| world.state.status(ProbeId::at(idx)));
    assert_eq!(statuses, [DOWN, Status::default()]);
}
