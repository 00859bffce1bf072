//! How pools come back and what stays in, over probes, the operator's word, reloads and restarts.

use super::*;
use crate::{
    state::{Concerned, Dial, Note, Override, Pattern, Standing, Turns, Word},
    steer::{Load, Ramp},
};

fn at(secs: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000_000 + secs)
}

/// The plan of these lines, whose names all have such a policy; equal ones are one, as `compile` sees
/// to it.
fn plan_with(lines: &str, edit: impl Fn(&mut Policy)) -> Plan {
    let mut plan = plan(lines);
    let mut policies: Vec<Arc<Policy>> = Vec::new();
    for name in &mut Arc::get_mut(&mut plan.zones[0]).unwrap().steered {
        edit(Arc::get_mut(&mut name.policy).unwrap());
        match policies.iter().find(|it| **it == name.policy) {
            Some(known) => name.policy = Arc::clone(known),
            None => policies.push(Arc::clone(&name.policy)),
        }
    }
    plan
}

fn ramped(lines: &str) -> Plan {
    plan_with(lines, |policy| {
        for pool in &mut policy.pools {
            let steps = [5, 25, 100].into();
            pool.ramp = Some(Ramp { steps, every: Duration::from_mins(1) });
        }
    })
}

fn budgeted(lines: &str, percent: u8) -> Plan {
    plan_with(lines, |policy| policy.eject_max_percent = Some(percent))
}

impl World {
    fn with(plan: Plan) -> Self {
        let (state, effects) = State::begin(plan);
        Self { state, probes: effects.probes.unwrap() }
    }

    /// A probe says something at that time.
    fn says(&mut self, letter: char, status: Status, secs: u64) {
        let spec = self.probes.iter().find(|it| ***it == *spec(letter)).unwrap().clone();
        let outcome = health::Outcome::Failed(Why::Status(500));
        self.state.apply(Change::Probed(Report {
            spec,
            status,
            outcome,
            told: health::Told::default(),
            took: Duration::ZERO,
            at: at(secs),
        }));
    }

    fn reload_with(&mut self, plan: Plan) {
        self.probes = self.state.apply(Change::Reloaded(Box::new(plan))).probes.unwrap();
    }

    fn say(&mut self, target: &str, word: Word) {
        let mut next = self.state.overrides().clone();
        let note = Note { reason: String::new(), author: String::new(), since: at(0), until: None };
        next.add(Pattern::new(target).unwrap(), word, note);
        self.state.apply(Change::Said(next));
    }

    fn clear(&mut self) {
        let mut next = self.state.overrides().clone();
        let ids: Vec<u64> = next.iter().map(|it: &Override| it.id).collect();
        for id in ids {
            next.remove(id);
        }
        self.state.apply(Change::Said(next));
    }

    /// What each name gives for A at that time: pools with their weights.
    fn weights(&mut self, secs: u64) -> Vec<String> {
        self.state.wake(at(secs));
        self.state.snapshot(at(secs));
        let names = self.state.latest.zones()[0].steered.iter().enumerate();
        let give = |(idx, steered): (usize, &Arc<Steered>)| {
            let policy = &self.state.plan.zones[0].steered[idx].policy;
            let Outcome::Draw(candidates) = &decision(steered, Family::V4).outcome else {
                return "none".to_owned();
            };
            let pools = candidates.pools.iter();
            let pools = pools
                .map(|it| format!("{}={}", policy.pools[usize::from(it.pool)].name, it.weight));
            pools.collect::<Vec<_>>().join(" ")
        };
        names.map(give).collect()
    }

    /// What was told, a line each, and the rows that were to be kept.
    fn told(&mut self) -> (Vec<String>, Vec<(String, Standing)>) {
        let Turns { events, more_events, ramps, gone } = self.state.take_turns();
        let ramps = ramps.iter().map(|it| (it.key(), it.standing));
        let ramps = ramps.chain(gone.into_iter().map(|key| (key, Standing::Full))).collect();
        assert_eq!(more_events, 0);
        let line = |it: &crate::state::journal::Transition| {
            format!("{} {}: {} to {}", it.kind, it.subject, it.from, it.to)
        };
        (events.iter().map(line).collect(), ramps)
    }
}

const TWO: &str = "www east 192.0.2.1:a west 192.0.2.2:b";

/// Both pools were up, and the first is down since second 1.
fn failed() -> World {
    let mut world = World::with(ramped(TWO));
    world.says('a', UP, 0);
    world.says('b', UP, 0);
    assert_eq!(world.weights(0), ["east=1 west=1"]);
    world.says('a', DOWN, 1);
    assert_eq!(world.weights(1), ["west=1"]);
    world
}

#[test]
fn a_pool_that_recovers_comes_back_in_steps() {
    let mut world = failed();
    let east = "www.example.com./east".to_owned();
    assert_eq!(world.told(), (vec![], vec![(east.clone(), Standing::Out)]));
    world.says('a', UP, 10);
    assert_eq!(world.weights(10), ["east=1 west=20"]);
    assert_eq!(world.weights(69), ["east=1 west=20"]);
    assert!(!world.state.is_stale());
    assert_eq!(world.weights(70), ["east=1 west=4"]);
    assert_eq!(world.weights(130), ["east=1 west=1"]);
    let (told, rows) = world.told();
    let expect = ["out to 5 %", "5 % to 25 %", "25 % to 100 %"];
    assert_eq!(told, expect.map(|it| format!("ramp {east}: {it}")));
    assert_eq!(rows.last(), Some(&(east, Standing::Full)));
    assert_eq!(world.weights(1000), ["east=1 west=1"]);
    assert_eq!(world.told(), (vec![], vec![]));
}

#[test]
fn a_failed_probe_holds_the_step_and_a_down_verdict_starts_over() {
    let mut world = failed();
    world.says('a', UP, 10);
    world.weights(10);
    world.says('a', SHAKY, 50);
    assert_eq!(world.weights(500), ["east=1 west=20"]);
    world.says('a', UP, 600);
    assert_eq!(world.weights(600), ["east=1 west=20"]);
    assert_eq!(world.weights(659), ["east=1 west=20"]);
    assert_eq!(world.weights(660), ["east=1 west=4"]);
    world.says('a', DOWN, 670);
    assert_eq!(world.weights(670), ["west=1"]);
    world.says('a', UP, 680);
    assert_eq!(world.weights(680), ["east=1 west=20"]);
    let (told, _) = world.told();
    assert_eq!(told[2], "ramp www.example.com./east: 25 % to out");
}

#[test]
fn when_all_come_back_they_share_as_ever() {
    let mut world = failed();
    world.says('b', DOWN, 2);
    assert_eq!(world.weights(2), ["none"]);
    world.says('a', UP, 10);
    assert_eq!(world.weights(10), ["east=1"], "nobody else is there");
    world.says('b', UP, 10);
    assert_eq!(world.weights(10), ["east=1 west=1"]);
    assert_eq!(world.weights(70), ["east=1 west=1"]);
}

#[test]
fn the_operator_beats_the_ramp() {
    let mut world = failed();
    world.says('a', UP, 10);
    world.weights(10);
    world.say("www.example.com/east", Word::Up);
    assert_eq!(world.weights(11), ["east=1 west=1"]);
    world.clear();
    assert_eq!(world.weights(12), ["east=1 west=1"], "it does not begin anew");
    // A drain is no failure, and holds the step while it lasts.
    world.say("east", Word::Drain);
    assert_eq!(world.weights(13), ["west=1"]);
    world.clear();
    assert_eq!(world.weights(14), ["east=1 west=1"]);
    world.say("east", Word::Down);
    assert_eq!(world.weights(15), ["west=1"]);
    world.clear();
    assert_eq!(world.weights(16), ["east=1 west=20"], "what was said to have failed recovers");
    world.say("east", Word::Drain);
    assert_eq!(world.weights(500), ["west=1"]);
    world.clear();
    assert_eq!(world.weights(501), ["east=1 west=20"]);
    assert_eq!(world.weights(561), ["east=1 west=4"]);
}

#[test]
fn a_dial_scales_what_the_ramp_leaves() {
    let mut plan = ramped(TWO);
    let zone = Arc::get_mut(&mut plan.zones[0]).unwrap();
    Arc::make_mut(&mut zone.steered[0].policy).pools[0].region = Some("east".into());
    let mut world = World::with(plan);
    world.says('a', DOWN, 0);
    world.says('b', UP, 0);
    world.weights(0);
    world.says('a', UP, 1);
    let mut next = world.state.overrides().clone();
    let note = Note { reason: String::new(), author: String::new(), since: at(0), until: None };
    next.dial("east", Dial { percent: 1, note });
    world.state.apply(Change::Said(next));
    // Five percent of one percent.
    assert_eq!(world.weights(1), ["east=1 west=2000"]);
}

#[test]
fn a_reload_goes_on_where_the_ramp_stood() {
    let mut world = failed();
    world.says('a', UP, 10);
    world.weights(10);
    world.reload_with(ramped("new x 192.0.2.9\nwww west 192.0.2.2:b east 192.0.2.1:a"));
    assert_eq!(world.weights(30), ["x=1", "west=20 east=1"]);
    assert_eq!(world.weights(70), ["x=1", "west=4 east=1"]);
    world.told();
    // Without the ramp it is back, and nothing is remembered.
    world.reload_with(plan(TWO));
    assert_eq!(world.weights(71), ["east=1 west=1"]);
    assert_eq!(world.told(), (vec![], vec![("www.example.com./east".to_owned(), Standing::Full)]));
}

#[test]
fn a_pool_that_a_reload_adds_to_a_name_comes_in_steps() {
    let mut world = failed();
    world.says('a', UP, 1);
    world.weights(1);
    world.weights(500);
    world.weights(1000);
    world.told();
    world
        .reload_with(ramped(&format!("{TWO} new 192.0.2.3\nother new 192.0.2.3 east 192.0.2.1:a")));
    assert_eq!(world.weights(1000), ["east=20 west=20 new=1", "new=1 east=1"]);
    assert_eq!(world.told().0, ["ramp www.example.com./new: out to 5 %"]);
    assert_eq!(world.weights(1060)[0], "east=4 west=4 new=1");
}

#[test]
fn a_pool_that_is_added_and_down_is_kept_as_out() {
    let mut world = World::with(ramped("www east 192.0.2.1:a"));
    world.says('a', UP, 0);
    world.weights(0);
    world.reload_with(ramped(TWO));
    world.says('b', DOWN, 1);
    assert_eq!(world.weights(1), ["east=1"]);
    let expect = vec![("www.example.com./west".to_owned(), Standing::Out)];
    assert_eq!(world.told(), (vec![], expect.clone()));
    assert_eq!(world.state.ramps(), expect);
}

#[test]
fn a_restart_goes_on_where_the_ramp_stood() {
    let mut world = failed();
    world.says('a', UP, 10);
    world.weights(10);
    world.weights(70);
    let (_, rows) = world.told();
    let latest = vec![rows.last().unwrap().clone(), ("gone./a".to_owned(), Standing::Out)];
    let mut world = World::with(ramped(TWO));
    world.state.restore(|_| Some((UP, at(0))));
    world.state.restore_ramps(latest);
    assert_eq!(world.weights(100), ["east=1 west=4"]);
    assert_eq!(world.told(), (vec![], vec![("gone./a".to_owned(), Standing::Full)]));
    // However long it took: one step after the other.
    assert_eq!(world.weights(130), ["east=1 west=1"]);
}

#[test]
fn names_that_are_alike_are_decided_once_unless_one_is_meant() {
    let lines =
        (0..50).map(|it| format!("n{it} east 192.0.2.1:a west 192.0.2.2:b")).collect::<Vec<_>>();
    let mut world = World::with(ramped(&lines.join("\n")));
    let decides = |world: &mut World, secs: u64| {
        world.weights(secs);
        world.state.n_decided()
    };
    world.says('a', UP, 0);
    world.says('b', UP, 0);
    assert_eq!(decides(&mut world, 0), 1);
    world.says('a', DOWN, 1);
    assert_eq!(decides(&mut world, 1), 1);
    world.says('a', UP, 2);
    assert_eq!(decides(&mut world, 2), 1);
    assert_eq!(decides(&mut world, 62), 1, "they take their steps together");
    // An address, a pool or everything is the same for all; a name is not.
    for (target, expect) in
        [("192.0.2.1", 1), ("west", 1), ("*", 1), ("n7.example.com", 2), ("n1*", 13)]
    {
        world.say(target, Word::Up);
        world.says('b', SHAKY, 70);
        assert_eq!(decides(&mut world, 70), expect, "{target}");
        world.says('b', UP, 71);
        decides(&mut world, 71);
    }
    world.clear();
    assert_eq!(world.told().0.len(), 50 * 3);
}

#[test]
fn what_exceeds_the_budget_stays_in() {
    let three = "www a 192.0.2.1:a b 192.0.2.2:b c 192.0.2.3:c\nfree a 192.0.2.1:a b 192.0.2.2:b";
    let mut world = World::with(budgeted(three, 70));
    let names = |world: &mut World, secs| {
        world.state.snapshot(at(secs));
        world.gives()
    };
    for letter in ['a', 'b', 'c'] {
        world.says(letter, UP, 0);
    }
    world.says('c', DOWN, 1);
    world.says('a', DOWN, 2);
    assert_eq!(names(&mut world, 2), ["b[0]", "b[0]"]);
    world.says('b', DOWN, 3);
    assert_eq!(names(&mut world, 3), ["b[0!]", "b[0!]"]);
    let told = world.told().0;
    assert_eq!(told.len(), 2);
    assert!(
        told.contains(&"over_budget www.example.com./b/192.0.2.2: down to over budget".to_owned())
    );
    let endpoints = world.state.endpoints(&Concerned::All);
    let kept: Vec<_> = endpoints.iter().map(|it| (it.over_budget, it.effective_weight)).collect();
    let (out, stays) = ((false, 0.0), (true, 1.0));
    assert_eq!(kept, [out, stays, out, out, stays]);

    // A reload keeps the order.
    world.reload_with(budgeted(three, 70));
    assert_eq!(names(&mut world, 4), ["b[0!]", "b[0!]"]);
    assert_eq!(world.told().0, Vec::<String>::new());
    // When one that is out recovers, the next may leave.
    world.says('c', UP, 5);
    assert_eq!(names(&mut world, 5), ["c[0]", "b[0!]"]);
    assert_eq!(world.told().0, ["over_budget www.example.com./b/192.0.2.2: over budget to down"]);
    world.says('b', UP, 6);
    assert_eq!(names(&mut world, 6), ["b[0]c[0]", "b[0]"]);
    assert_eq!(world.told().0, ["over_budget free.example.com./b/192.0.2.2: over budget to up"]);
    // The operator takes out what he likes.
    world.say("192.0.2.*", Word::Down);
    assert_eq!(names(&mut world, 7), ["NoReachableAuthority", "NoReachableAuthority"]);
}

#[test]
fn a_pool_that_stayed_in_has_not_left() {
    let mut world = World::with(plan_with(TWO, |policy| {
        policy.eject_max_percent = Some(50);
        let ramp = Ramp { steps: [5, 100].into(), every: Duration::from_mins(1) };
        policy.pools.iter_mut().for_each(|pool| pool.ramp = Some(ramp.clone()));
    }));
    world.says('a', UP, 0);
    world.says('b', UP, 0);
    world.weights(0);
    world.says('a', DOWN, 1);
    world.says('b', DOWN, 2);
    assert_eq!(world.weights(2), ["west=1"]);
    world.says('b', UP, 3);
    world.says('a', UP, 3);
    assert_eq!(world.weights(3), ["east=1 west=20"]);
}

#[test]
fn what_is_out_stays_out_whichever_of_its_probes_fails() {
    let mut world = World::with(budgeted("www a 192.0.2.1:ab b 192.0.2.2:c c 192.0.2.3:d", 50));
    for letter in ['a', 'b', 'c', 'd'] {
        world.says(letter, UP, 0);
    }
    let mut check = |letter, status, secs, expect: &str| {
        world.says(letter, status, secs);
        world.state.snapshot(at(secs));
        assert_eq!(world.gives(), [expect], "{letter} at {secs}");
    };
    check('a', DOWN, 1, "b[0]c[0]");
    check('c', DOWN, 2, "b[0!]c[0]");
    check('b', DOWN, 3, "b[0!]c[0]");
    // It is down since then, if one asks the probe that is left.
    check('a', UP, 4, "b[0!]c[0]");
    check('b', UP, 5, "a[0]c[0]");
}

/// A plan in which the pools at that address are the name `inner` instead.
fn nested(lines: &str, address: &str) -> Plan {
    let inner = Target::Alias(Name::parse("inner.example.com.", None).unwrap());
    plan_with(lines, |policy| {
        for pool in &mut policy.pools {
            let steps = [5, 100].into();
            pool.ramp = Some(Ramp { steps, every: Duration::from_mins(1) });
            for it in pool.endpoints.iter_mut().filter(|it| it.target.to_string() == address) {
                it.target = inner.clone();
            }
        }
    })
}

#[test]
fn a_name_waits_for_the_names_that_its_pools_are() {
    let lines = "inner a 192.0.2.1:a\nouter b 192.0.2.2:b nested 192.0.2.3";
    let mut world = World::with(nested(lines, "192.0.2.3"));
    world.says('b', UP, 0);
    assert_eq!(world.weights(0), ["none", "none"]);
    world.says('a', UP, 1);
    // It was never down, and does not come back in steps.
    assert_eq!(world.weights(1), ["a=1", "b=1 nested=1"]);
    world.says('a', DOWN, 2);
    assert_eq!(world.weights(2), ["none", "b=1"]);
    world.says('a', UP, 3);
    assert_eq!(world.weights(3), ["a=1", "b=20 nested=1"]);
}

#[test]
fn a_dial_counts_where_nobody_is_given_anything() {
    let mut plan = plan_with(TWO, |policy| policy.demand = Load::new(10.0));
    plan.regions = vec!["north".into()];
    plan.capacities = HashMap::from([("north".into(), 100.0)]);
    let mut world = World::with(plan);
    world.says('a', UP, 0);
    world.says('b', UP, 0);
    world.weights(0);
    let mut next = world.state.overrides().clone();
    let note = Note { reason: String::new(), author: String::new(), since: at(0), until: None };
    next.dial("north", Dial { percent: 50, note });
    world.state.apply(Change::Said(next));
    let basins = world.state.snapshot(at(1)).expect("a region can take less").basins;
    assert_eq!(basins.iter().map(|it| it.capacity).collect::<Vec<_>>(), [Some(50.0)]);
}
