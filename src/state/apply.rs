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
    steer::{self, Condition, Decision, Family, Footing, Outcome, Policy, Target},
    wire::Name,
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
            Change::Probed(report) => effects.events = self.probed(report),
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
        let mut statuses = Vec::with_capacity(plan.probes.len());
        for spec in &mut plan.probes {
            // The spec itself is kept as well, so that a report that is on its way finds it.
            let status = known.get_key_value(spec).map(|(before, status)| {
                *spec = Arc::clone(before);
                **status
            });
            statuses.push(status.unwrap_or_default());
        }
        let address_of = |(idx, spec): (usize, &Arc<ProbeSpec>)| (Arc::as_ptr(spec).addr(), ProbeId::at(idx));
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
    fn probed(&mut self, report: Report) -> Vec<Event> {
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
        let statuses: Vec<Vec<Status>> =
            name.probes.iter().map(|pool| pool.iter().map(|it| self.verdict(it)).collect()).collect();
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
