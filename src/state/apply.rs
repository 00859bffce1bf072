//! How a change alters what is known, and which snapshot follows.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

use crate::{
    compile::{Plan, PlannedName},
    health::{self, ProbeSpec, Report, Status, Verdict},
    ids::{ProbeId, SteeredId, ZoneId},
    snapshot::{Served, Snapshot, Steered},
    steer::{self, Condition, Decision, Footing, Outcome, Policy, Target},
    wire::{Family, Name},
};

/// Something that bears on answers.
#[derive(Debug)]
pub enum Change {
    /// The files say something new.
    Reloaded(Box<Plan>),
    /// A probe was executed.
    Probed(Report),
    /// The first round was waited for long enough: what is unknown counts as up.
    WarmedUp,
}

/// What has to be done outside because of a change.
#[derive(Debug, Default)]
pub struct Effects {
    /// What is to be told.
    pub events: Vec<Event>,
    /// What is to be probed from now on, if that changed.
    pub probes: Option<Vec<Arc<ProbeSpec>>>,
}

/// An endpoint's verdict changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The steered name.
    pub name: Name,
    /// Its pool.
    pub pool: Box<str>,
    /// The endpoint in it.
    pub endpoint: Target,
    /// The verdict before.
    pub from: Verdict,
    /// The verdict now.
    pub to: Verdict,
    /// The probe whose outcome changed it.
    pub probe: Arc<ProbeSpec>,
    /// That outcome.
    pub outcome: health::Outcome,
}

impl fmt::Display for Event {
    /// What changed, as an operator would say it: `www.example.com./us-east-1/192.0.2.10`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/", self.name, self.pool)?;
        match &self.endpoint {
            Target::Address(address) => address.fmt(f),
            Target::Name(name) => name.fmt(f),
        }
    }
}

/// A steered name's place in the plan.
type Place = (ZoneId, SteeredId);

/// What is known now.
#[derive(Debug)]
pub struct State {
    plan: Plan,
    /// What each probe of the plan says.
    statuses: Vec<Status>,
    /// Each probe's place, by the address of its spec. A report names the very spec that was
    /// handed out; to hash and compare whole specs thousands of times a second would cost.
    places: HashMap<usize, ProbeId>,
    /// The names that rest on each probe.
    users: Vec<Vec<Place>>,
    /// Probes without a verdict.
    unknown: usize,
    /// Whether names with an endpoint that was not yet probed have to wait.
    warming: bool,
    /// What the latest snapshot lacks.
    stale: Stale,
    latest: Snapshot,
}

/// What a snapshot lacks.
#[derive(Debug)]
enum Stale {
    /// It was made from other files.
    All,
    /// The conditions of these names changed.
    Names(HashSet<Place>),
}

impl State {
    /// What is known before the first probe, and what is to be done about it.
    #[must_use]
    pub fn begin(plan: Plan) -> (Self, Effects) {
        let settings = plan.settings.clone();
        let nothing = Plan { settings, zones: vec![], probes: vec![], sources: vec![] };
        let mut state = Self {
            plan: nothing,
            statuses: Vec::new(),
            places: HashMap::new(),
            users: Vec::new(),
            unknown: 0,
            warming: true,
            stale: Stale::All,
            latest: Snapshot::default(),
        };
        let effects = state.apply(Change::Reloaded(Box::new(plan)));
        (state, effects)
    }

    /// Takes a change in.
    pub fn apply(&mut self, change: Change) -> Effects {
        let mut effects = Effects::default();
        match change {
            Change::Reloaded(plan) => effects.probes = Some(self.reload(*plan)),
            Change::Probed(report) => effects.events = self.probed(&report),
            Change::WarmedUp => self.warm_up(),
        }
        if self.unknown == 0 {
            self.warm_up();
        }
        effects
    }

    /// The snapshot that follows the latest, if anything in it differs.
    pub fn snapshot(&mut self) -> Option<Snapshot> {
        let stale = std::mem::replace(&mut self.stale, Stale::Names(HashSet::new()));
        let next = match stale {
            Stale::All => {
                let zones = (0..self.plan.zones.len()).map(|idx| self.serve(ZoneId::at(idx)));
                Snapshot::new(self.latest.generation + 1, zones.collect())
            }
            Stale::Names(names) => {
                let decided = names.into_iter().map(|(zone, id)| (zone, id, self.decide(zone, id)));
                let changes: Vec<_> = decided.filter(|it| self.differs(it)).collect();
                if changes.is_empty() {
                    return None;
                }
                self.latest.with(changes)
            }
        };
        self.latest = next.clone();
        Some(next)
    }

    /// Whether a change was taken in that the latest snapshot may not have.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        match &self.stale {
            Stale::All => true,
            Stale::Names(names) => !names.is_empty(),
        }
    }

    /// The number of the latest snapshot.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.latest.generation
    }

    /// How many probes have no verdict.
    #[must_use]
    pub fn unknown(&self) -> usize {
        self.unknown
    }

    /// Whether every steered name is served: none waits for its first probes.
    #[must_use]
    pub fn is_warm(&self) -> bool {
        !self.warming
    }

    /// What the files say.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What the probe at `id` says.
    #[must_use]
    pub fn status(&self, id: ProbeId) -> Status {
        self.statuses[id.idx()]
    }

    /// Makes `plan` what is served, and says what is to be probed. What is known of a probe that
    /// stays is kept.
    fn reload(&mut self, mut plan: Plan) -> Vec<Arc<ProbeSpec>> {
        let known: HashMap<_, _> = self.plan.probes.iter().zip(&self.statuses).collect();
        let stay: HashSet<_> = plan.probes.iter().cloned().collect();
        let mut gone: HashMap<(&health::Target, u16), Status> = HashMap::new();
        for (spec, status) in known.iter().filter(|(spec, _)| !stay.contains(**spec)) {
            let last = gone.entry((&spec.target, spec.port)).or_insert(**status);
            if status.verdict == Verdict::Down {
                *last = **status;
            }
        }
        let mut statuses = Vec::with_capacity(plan.probes.len());
        for spec in &mut plan.probes {
            // The spec itself is kept as well, so that a report that is on its way finds it.
            let status = known.get_key_value(spec).map(|(before, status)| {
                *spec = Arc::clone(before);
                **status
            });
            // Where a check is changed, what the one before it said holds until the first outcome:
            // who edits `every` in an outage does not bring what is down back.
            let before = || gone.get(&(&spec.target, spec.port)).copied();
            statuses.push(status.or_else(before).unwrap_or_default());
        }
        let address_of =
            |(idx, spec): (usize, &Arc<ProbeSpec>)| (Arc::as_ptr(spec).addr(), ProbeId::at(idx));
        self.places = plan.probes.iter().enumerate().map(address_of).collect();
        assert_eq!(self.places.len(), plan.probes.len(), "the probes of a plan are distinct");
        self.users = users(&plan);
        self.unknown = statuses.iter().filter(|it| it.verdict == Verdict::Unknown).count();
        self.statuses = statuses;
        self.plan = plan;
        self.stale = Stale::All;
        self.plan.probes.clone()
    }

    /// Takes in what a probe found. One that the plan does not hold any more is late: nothing rests
    /// on it.
    fn probed(&mut self, report: &Report) -> Vec<Event> {
        let Some(&id) = self.places.get(&Arc::as_ptr(&report.spec).addr()) else {
            return Vec::new();
        };
        let before = self.statuses[id.idx()];
        if before == report.status {
            return Vec::new();
        }
        let verdicts_before = self.verdicts(id);
        self.statuses[id.idx()] = report.status;
        if before.verdict == Verdict::Unknown {
            self.unknown -= 1;
        }
        if let Stale::Names(names) = &mut self.stale {
            names.extend(&self.users[id.idx()]);
        }

        let changed = verdicts_before.into_iter().zip(self.verdicts(id));
        let changed = changed.filter(|((_, from), (_, to))| from != to);
        let event = |((at, from), (_, to)): ((EndpointAt, Verdict), (EndpointAt, Verdict))| {
            let name = self.name(at.name);
            let pool = &name.policy.pools[at.pool];
            Event {
                name: name.owner.clone(),
                pool: pool.name.clone(),
                endpoint: pool.endpoints[at.endpoint].target.clone(),
                from,
                to,
                probe: report.spec.clone(),
                outcome: report.outcome.clone(),
            }
        };
        changed.map(event).collect()
    }

    /// From here on what is unknown counts as up.
    fn warm_up(&mut self) {
        if self.warming {
            self.warming = false;
            self.stale = Stale::All;
        }
    }

    fn name(&self, (zone, id): Place) -> &PlannedName {
        &self.plan.zones[zone.idx()].steered[id.idx()]
    }

    /// The endpoints that rest on a probe, with their verdicts.
    fn verdicts(&self, id: ProbeId) -> Vec<(EndpointAt, Verdict)> {
        let mut verdicts = Vec::new();
        for &name in &self.users[id.idx()] {
            for (pool, endpoints) in self.name(name).probes.iter().enumerate() {
                for (endpoint, probes) in endpoints.iter().enumerate() {
                    if probes.contains(&id) {
                        let at = EndpointAt { name, pool, endpoint };
                        verdicts.push((at, self.verdict(probes).verdict));
                    }
                }
            }
        }
        verdicts
    }

    /// What several probes say together: all must pass.
    fn verdict(&self, probes: &[ProbeId]) -> Status {
        let statuses = || probes.iter().map(|id| self.statuses[id.idx()]);
        let any = |verdict| statuses().any(|it| it.verdict == verdict);
        let verdict = match (any(Verdict::Down), any(Verdict::Unknown)) {
            (true, _) => Verdict::Down,
            (false, true) => Verdict::Unknown,
            (false, false) => Verdict::Up,
        };
        Status { verdict, shaky: statuses().any(|it| it.shaky) }
    }

    fn serve(&self, zone: ZoneId) -> Served {
        let planned = &self.plan.zones[zone.idx()];
        let ids = (0..planned.steered.len()).map(SteeredId::at);
        let steered = ids.map(|id| Arc::new(self.decide(zone, id))).collect();
        Served { zone: planned.zone.clone(), steered }
    }

    fn differs(&self, (zone, id, steered): &(ZoneId, SteeredId, Steered)) -> bool {
        *self.latest.zones()[zone.idx()].steered[id.idx()] != *steered
    }

    /// What a name gives under the conditions of now.
    fn decide(&self, zone: ZoneId, id: SteeredId) -> Steered {
        let name = self.name((zone, id));
        let statuses: Vec<Vec<Status>> = name
            .probes
            .iter()
            .map(|pool| pool.iter().map(|it| self.verdict(it)).collect())
            .collect();
        let unknown = statuses.iter().flatten().any(|it| it.verdict == Verdict::Unknown);
        let conditions: Vec<Vec<Condition>> =
            statuses.iter().map(|pool| pool.iter().copied().map(condition).collect()).collect();
        let decide = |family| {
            let decision = steer::decide(&name.policy, &conditions, family);
            if self.warming && unknown && decision.outcome != Outcome::NoData {
                return Decision { footing: Footing::Healthy, outcome: Outcome::NotReady };
            }
            decision
        };
        if holds_names(&name.policy) {
            Steered::Cname(decide(Family::Name))
        } else {
            Steered::Addresses { v4: decide(Family::V4), v6: decide(Family::V6) }
        }
    }
}

/// Where an endpoint is in the plan.
#[derive(Debug, Clone, Copy)]
struct EndpointAt {
    name: Place,
    pool: usize,
    endpoint: usize,
}

/// The names that rest on each probe of the plan, each once.
fn users(plan: &Plan) -> Vec<Vec<Place>> {
    let mut users: Vec<Vec<Place>> = vec![Vec::new(); plan.probes.len()];
    for (zone_idx, zone) in plan.zones.iter().enumerate() {
        for (name_idx, name) in zone.steered.iter().enumerate() {
            let place = (ZoneId::at(zone_idx), SteeredId::at(name_idx));
            for id in name.probes.iter().flatten().flatten() {
                let users = &mut users[id.idx()];
                // Names come one after the other: if it is there, it is the last.
                if users.last() != Some(&place) {
                    users.push(place);
                }
            }
        }
    }
    users
}

fn condition(status: Status) -> Condition {
    Condition { up: status.verdict != Verdict::Down, shaky: status.shaky }
}

/// Whether the pools hold target names; if one does, all do.
fn holds_names(policy: &Policy) -> bool {
    let mut targets = policy.pools.iter().flat_map(|pool| &pool.endpoints);
    targets.any(|endpoint| matches!(endpoint.target, Target::Name(_)))
}

#[cfg(test)]
mod tests {
    use std::{fmt::Write as _, time::Duration};

    use super::*;
    use crate::{
        compile::{PlannedZone, Settings},
        health::{Kind, Why},
        steer::{AllDown, Endpoint, Pool},
        wire::Rtype,
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
            kind: Kind::Tcp,
            every: Duration::from_secs(every),
            timeout: Duration::from_secs(3),
            fall: 3,
            rise: 2,
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
            let mut probes: Vec<Vec<Box<[ProbeId]>>> = Vec::new();
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
                probes.last_mut().unwrap().push(checks.chars().map(&mut id_of).collect());
            }
            let pool = |(name, endpoints): (&str, Vec<Endpoint>)| Pool {
                name: name.into(),
                region: None,
                weight: 1,
                endpoints: endpoints.into(),
            };
            let policy = Policy {
                ttl: 20,
                ttl_min: 5,
                answers: 8,
                all_down: AllDown::Refuse,
                min_up_percent: None,
                pools: pools.into_iter().map(pool).collect(),
            };
            steered.push(PlannedName { owner, policy: Arc::new(policy), probes });
        }
        Plan {
            settings: Settings {
                listen: Vec::new(),
                user: None,
                startup_wait: Duration::from_secs(5),
            },
            zones: vec![PlannedZone { zone: Arc::new(builder.finish()), steered }],
            probes: letters.into_iter().map(spec).collect(),
            sources: Vec::new(),
        }
    }

    /// A state and the specs that it handed out.
    struct World {
        state: State,
        probes: Vec<Arc<ProbeSpec>>,
    }

    impl World {
        fn begin(lines: &str) -> Self {
            let (mut state, effects) = State::begin(plan(lines));
            state.snapshot().unwrap();
            Self { state, probes: effects.probes.unwrap() }
        }

        fn probed(&mut self, letter: char, status: Status) -> Vec<String> {
            let spec = self.probes.iter().find(|it| ***it == *spec(letter)).unwrap().clone();
            self.report(spec, status)
        }

        fn report(&mut self, spec: Arc<ProbeSpec>, status: Status) -> Vec<String> {
            let outcome = health::Outcome::Failed(Why::Status(500));
            let effects = self.state.apply(Change::Probed(Report { spec, status, outcome }));
            let line = |it: &Event| format!("{it} {} {}", it.from, it.to);
            effects.events.iter().map(line).collect()
        }

        fn reload(&mut self, lines: &str) {
            let effects = self.state.apply(Change::Reloaded(Box::new(plan(lines))));
            self.probes = effects.probes.unwrap();
            self.state.snapshot().unwrap();
        }

        /// What each name gives for A after what changed is frozen: pools with the places of their
        /// endpoints, `!` behind one with the short TTL.
        fn gives(&mut self) -> Vec<String> {
            self.state.snapshot();
            let names = self.state.latest.zones()[0].steered.iter().enumerate();
            let give = |(idx, steered): (usize, &Arc<Steered>)| {
                let policy = &self.state.plan.zones[0].steered[idx].policy;
                let candidates = match &steered.decision(Family::V4).unwrap().outcome {
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
        let v6 = world.state.latest.zones()[0].steered[0].decision(Family::V6).unwrap().clone();
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
        world.state.snapshot().unwrap();
        let before = world.state.latest.clone();
        world.probed('a', UP);
        assert!(!world.state.is_stale());
        assert!(world.state.snapshot().is_none(), "nothing changed");

        world.probed('a', DOWN);
        let after = world.state.snapshot().unwrap();
        assert_eq!(after.generation, before.generation + 1);
        let [www, api] = [0, 1].map(|idx| {
            Arc::ptr_eq(&before.zones()[0].steered[idx], &after.zones()[0].steered[idx])
        });
        assert_eq!((www, api), (false, true));
        assert!(Arc::ptr_eq(&before.zones()[0].zone, &after.zones()[0].zone));
    }

    #[test]
    fn there_and_back_within_one_pause_is_no_new_snapshot() {
        let mut world = World::begin("www east 192.0.2.1:a");
        world.probed('a', UP);
        world.state.snapshot().unwrap();
        world.probed('a', SHAKY);
        world.probed('a', UP);
        assert!(world.state.is_stale());
        assert!(world.state.snapshot().is_none());
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
}
