//! How a change alters what is known.

mod reload;
mod resume;

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::Arc,
    time::{Instant, SystemTime},
};

use reload::Tally;
pub use resume::Learned;

use super::{
    Overrides, Place, Places, Standing,
    alias::Aliases,
    book::Book,
    carry::Carried,
    decide::Decider,
    latency::{Latencies, Refusal, Sample, kept},
    reported::Reported,
    returns::{Returns, Turns},
    spill::{Overload, Spill},
    store::Known,
};
use crate::{
    compile::{Plan, PlannedName},
    counters::Registry,
    health::{self, Blinded, ProbeSpec, Report, Sight, Status, Tree, Verdict},
    ids::{ProbeId, SteeredId, ZoneId},
    limits::{EVENTS_PER_CHANGE_MAX, OUTCOMES_KEPT_MAX},
    snapshot::{Snapshot, Steered},
    steer::{By, Measured, Policy, Target},
    wire::Name,
};

/// Something that bears on answers.
#[derive(Debug)]
pub enum Change {
    /// The files say something new.
    Reloaded(Box<Plan>),
    /// A probe was executed.
    Probed(Report),
    /// The prober went blind, or sees again.
    Sight(Blinded),
    /// The first round was waited for long enough: what is unknown counts as up.
    WarmedUp,
    /// Round trips were measured that clients are to be told of.
    Measured(Arc<Measured>),
    /// The operators say something else now.
    Said(Overrides),
}

/// What has to be done outside because of a change.
#[derive(Debug, Default)]
pub struct Effects {
    /// What is to be told: of the first `EVENTS_PER_CHANGE_MAX` endpoints.
    pub events: Vec<Event>,
    /// Of how many endpoints the same could be told.
    pub more_events: usize,
    /// What the prober thinks of itself, if that changed.
    pub blinded: Option<Blinded>,
    /// What is to be probed from now on, if that changed.
    pub probes: Option<Vec<Arc<ProbeSpec>>>,
    /// What the files said before, to be let go of where nobody waits for that: of a hundred
    /// thousand zones it takes some time.
    pub replaced: Option<Box<Plan>>,
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
        write!(f, "{}/{}/{}", self.name, self.pool, self.endpoint)
    }
}

/// What an execution of a probe came to.
#[derive(Debug, Clone)]
pub(super) struct LatestOutcome {
    pub(super) outcome: health::Outcome,
    pub(super) at: SystemTime,
    /// What it and those before it came to, the oldest first; at most `OUTCOMES_KEPT_MAX`.
    pub(super) recent: VecDeque<Recent>,
}

/// What one of the latest executions of a probe came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recent {
    /// When it ended, in milliseconds since 1970.
    pub at_ms: u64,
    /// How long it took.
    pub took_ms: u32,
    /// Whether it was good.
    pub good: bool,
}

impl LatestOutcome {
    /// What follows on what was known before.
    fn after(before: Option<Self>, report: &Report) -> Self {
        let mut recent = before.map_or_else(VecDeque::new, |it| it.recent);
        if OUTCOMES_KEPT_MAX <= recent.len() {
            recent.pop_front();
        }
        let at = report.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        recent.push_back(Recent {
            at_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            took_ms: u32::try_from(report.took.as_millis()).unwrap_or(u32::MAX),
            good: report.outcome == health::Outcome::Good,
        });
        Self { outcome: report.outcome.clone(), at: report.at, recent }
    }
}

/// What is known now.
#[derive(Debug)]
pub struct State {
    pub(super) plan: Plan,
    /// Who counts where.
    pub(super) book: Book,
    /// What each probe of the plan says, and since when its verdict is that.
    statuses: Vec<Known>,
    /// What the latest execution of each came to, and when.
    latest_outcomes: Vec<Option<LatestOutcome>>,
    /// Each probe's place, by the address of its spec. A report names the very spec that was
    /// handed out; to hash and compare whole specs thousands of times a second would cost.
    places: HashMap<usize, ProbeId>,
    /// The names that rest on each probe, in the order of their places.
    users: Vec<Vec<Place>>,
    /// How many names are such that others have to be looked at with them.
    tally: Tally,
    /// Probes without a verdict.
    unknown: usize,
    /// What the prober thinks of itself.
    sight: Sight,
    /// Whether names with an endpoint that was not yet probed have to wait.
    pub(super) warming: bool,
    /// What names that are pools of other names are.
    pub(super) aliases: Aliases,
    pub(super) decider: Decider,
    latencies: Latencies,
    /// How much every region can take and is given.
    pub(super) spill: Spill,
    /// What targets report of their load.
    pub(super) reported: Reported,
    /// The operator's word over the verdicts.
    pub(super) overrides: Overrides,
    /// By place: the number that names have in common which rest on the same probes by the same
    /// policy, so that they give the same; none: the name is decided by itself. Not there before it
    /// is needed.
    pub(super) likes: Option<Vec<Vec<Option<u32>>>>,
    /// Where pools that were down stand, and what stays in that is down.
    pub(super) returns: Returns,
    /// Names that an operator means by their names: these are decided by themselves.
    pub(super) apart: Places,
    /// How many names were decided by themselves for the latest snapshot.
    pub(super) n_decided: usize,
    /// By owner: what a name whose `all_down` is `last_good` gave latest.
    pub(super) good: HashMap<Name, Arc<Steered>>,
    /// What the latest snapshot lacks.
    pub(super) stale: Stale,
    pub(super) latest: Snapshot,
}

/// What a snapshot lacks.
#[derive(Debug)]
pub(super) enum Stale {
    /// It was made from other files, or of all names something else is to be said.
    All,
    /// It was made from other files, of which some are as they were; of these, the conditions of
    /// these names changed.
    Zones(Carried, Places),
    /// The conditions of these names changed.
    Names(Places),
}

impl Stale {
    /// The names to which those are added that are decided anew; none: all are.
    pub(super) fn names(&mut self) -> Option<&mut Places> {
        match self {
            Self::All => None,
            Self::Zones(_, names) | Self::Names(names) => Some(names),
        }
    }
}

impl State {
    /// What is known before the first probe, and what is to be done about it.
    #[must_use]
    pub fn begin(plan: Plan) -> (Self, Effects) {
        let settings = plan.settings.clone();
        let geo = Arc::clone(&plan.geo);
        let decider = Decider::new(Arc::clone(&geo));
        let nothing = Plan {
            settings,
            zones: vec![],
            geo,
            regions: vec![],
            places: HashMap::new(),
            capacities: HashMap::new(),
            probes: vec![],
            checks: vec![],
        };
        let mut state = Self {
            plan: nothing,
            book: Book::default(),
            statuses: Vec::new(),
            latest_outcomes: Vec::new(),
            places: HashMap::new(),
            users: Vec::new(),
            tally: Tally::default(),
            unknown: 0,
            sight: Sight::default(),
            warming: true,
            aliases: Aliases::default(),
            decider,
            latencies: Latencies::default(),
            spill: Spill::default(),
            reported: Reported::default(),
            overrides: Overrides::default(),
            likes: None,
            apart: Places::default(),
            n_decided: 0,
            returns: Returns::default(),
            good: HashMap::new(),
            stale: Stale::All,
            latest: Snapshot::default(),
        };
        let effects = state.apply(Change::Reloaded(Box::new(plan)));
        (state, effects)
    }

    /// Has what is new from now on begin with what is counted there.
    pub fn count_in(&mut self, registry: Registry) {
        self.book.read_from(registry);
    }

    /// Goes on from what was known before a restart, as far as `known` says so. To be called before
    /// anything is known otherwise.
    pub fn restore(&mut self, known: impl Fn(&ProbeSpec) -> Option<Known>) {
        for (spec, now) in self.plan.probes.iter().zip(&mut self.statuses) {
            if let (Verdict::Unknown, Some(before)) = (now.0.verdict, known(spec)) {
                *now = before;
            }
        }
        let is_unknown = |it: &&Known| it.0.verdict == Verdict::Unknown;
        self.unknown = self.statuses.iter().filter(is_unknown).count();
        self.stale = Stale::All;
        if self.unknown == 0 {
            self.warm_up();
        }
    }

    /// Goes on from what was measured before a restart.
    pub fn restore_latency(&mut self, rows: &[super::store::Row], now: Instant, wall: SystemTime) {
        let settings = &self.plan.settings.latency;
        self.latencies.restore(rows, self.decider.geo(), settings, now, wall);
    }

    /// How the rows of what was measured differ from those that were given before.
    pub fn latency_changes(&mut self, now: Instant, wall: SystemTime) -> Vec<kept::Change> {
        self.latencies.changes(now, wall)
    }

    /// Takes a change in.
    pub fn apply(&mut self, change: Change) -> Effects {
        let mut effects = Effects::default();
        match change {
            Change::Reloaded(plan) => {
                effects.replaced = Some(Box::new(self.reload(*plan)));
                effects.probes = Some(self.plan.probes.clone());
            }
            Change::Probed(report) => {
                (effects.events, effects.more_events) = self.probed(&report);
            }
            // What it means for verdicts is in the reports that follow.
            Change::Sight(blinded) => {
                self.sight = blinded.sight;
                effects.blinded = Some(blinded);
            }
            Change::WarmedUp => self.warm_up(),
            Change::Said(overrides) => self.hear(overrides),
            Change::Measured(measured) => {
                self.decider.set_measured(measured);
                self.mark_where(|policy| policy.by == By::Latency);
            }
        }
        if self.unknown == 0 {
            self.warm_up();
        }
        effects
    }

    /// Takes a measured round trip in; clients are told of it in [`Self::measure`].
    ///
    /// # Errors
    ///
    /// See [`Latencies::take`].
    pub fn sample(&mut self, sample: &Sample, now: Instant) -> Result<(), Refusal> {
        self.latencies.take(sample, self.decider.geo(), &self.plan.settings.latency, now)
    }

    /// What clients are to be told of what was measured, if it is time and there is something new.
    pub fn measure(&mut self, now: Instant) -> Option<Change> {
        if !self.latencies.is_due(now) {
            return None;
        }
        let measured = self.latencies.publish(now, &self.plan.settings.latency)?;
        Some(Change::Measured(Arc::new(measured)))
    }

    /// What was measured.
    #[must_use]
    pub fn latencies(&self) -> &Latencies {
        &self.latencies
    }

    /// Which regions began to be given more than they can take, or are so no more, since this was
    /// asked before.
    pub fn overloads(&mut self) -> Vec<Overload> {
        self.spill.take_news()
    }

    /// Whether a change was taken in that the latest snapshot may not have.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        match &self.stale {
            Stale::All | Stale::Zones(..) => true,
            Stale::Names(names) => !names.is_empty() || self.spill.is_due(),
        }
    }

    /// Goes on from where pools stood before a restart. To be called before anything is decided.
    pub fn restore_ramps(&mut self, rows: Vec<(String, Standing)>) {
        self.returns.restore(rows, &self.plan);
    }

    /// Has names decided anew of which a pool's step is over by `now`.
    pub fn wake(&mut self, now: SystemTime) {
        let due = self.returns.due(now, &self.plan);
        if let Some(names) = self.stale.names() {
            self.aliases.mark(&due, names);
        }
    }

    /// What happened while names were decided, since this was asked for last.
    pub fn take_turns(&mut self) -> Turns {
        self.returns.take_turns()
    }

    /// How many names were decided by themselves for the latest snapshot; the others are as one of
    /// those.
    #[must_use]
    pub fn n_decided(&self) -> usize {
        self.n_decided
    }

    /// The number of the latest snapshot.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.latest.generation
    }

    /// What the prober thinks of itself.
    #[must_use]
    pub fn sight(&self) -> Sight {
        self.sight
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

    /// What the latest execution of the probe at `id` came to.
    pub(super) fn latest_outcome(&self, id: ProbeId) -> Option<&LatestOutcome> {
        self.latest_outcomes[id.idx()].as_ref()
    }

    /// The name of the check that a probe of the plan is an execution of. The spec is the very one that
    /// was handed out.
    #[must_use]
    pub fn check_of(&self, spec: &Arc<ProbeSpec>) -> Option<&Arc<str>> {
        let id = self.places.get(&Arc::as_ptr(spec).addr())?;
        Some(&self.plan.checks[id.idx()])
    }

    /// What the probe at `id` says.
    #[must_use]
    pub fn status(&self, id: ProbeId) -> Status {
        self.known(id).0
    }

    /// What the probe at `id` says, and since when its verdict is that.
    #[must_use]
    pub fn known(&self, id: ProbeId) -> Known {
        self.statuses[id.idx()]
    }

    /// Takes in what a probe found, and gives what is to be told and how much more could be. A probe
    /// that the plan does not hold any more is late: nothing rests on it.
    fn probed(&mut self, report: &Report) -> (Vec<Event>, usize) {
        let Some(&id) = self.places.get(&Arc::as_ptr(&report.spec).addr()) else {
            return (Vec::new(), 0);
        };
        if let Some(load) = report.told.load {
            self.reported.take(&report.spec, load);
        }
        let latest = &mut self.latest_outcomes[id.idx()];
        *latest = Some(LatestOutcome::after(latest.take(), report));
        let (before, since) = self.statuses[id.idx()];
        if before == report.status {
            return (Vec::new(), 0);
        }
        let has_turned = before.verdict != report.status.verdict;
        let verdicts_before = if has_turned { self.verdicts(id) } else { Vec::new() };
        self.statuses[id.idx()] = (report.status, if has_turned { report.at } else { since });
        // What a blind prober finds may leave it unknown.
        self.unknown += usize::from(report.status.verdict == Verdict::Unknown);
        self.unknown -= usize::from(before.verdict == Verdict::Unknown);
        if let Some(names) = self.stale.names() {
            self.aliases.mark(&self.users[id.idx()], names);
        }

        let verdicts_now = if has_turned { self.verdicts(id) } else { Vec::new() };
        let changed = verdicts_before.into_iter().zip(verdicts_now);
        let mut changed = changed.filter(|((_, from), (_, to))| from != to);
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
        let events = changed.by_ref().take(EVENTS_PER_CHANGE_MAX).map(event).collect();
        (events, changed.count())
    }

    /// From here on what is unknown counts as up.
    fn warm_up(&mut self) {
        if self.warming {
            self.warming = false;
            self.stale = Stale::All;
        }
    }

    /// Has the names whose policy is such decided anew.
    fn mark_where(&mut self, is_such: impl Fn(&Policy) -> bool) {
        let Some(names) = self.stale.names() else { return };
        for (zone_idx, zone) in self.plan.zones.iter().enumerate() {
            let places =
                (0..zone.steered.len()).map(|it| (ZoneId::at(zone_idx), SteeredId::at(it)));
            let such = places.zip(&zone.steered).filter(|(_, name)| is_such(&name.policy));
            let such: Vec<Place> = such.map(|(place, _)| place).collect();
            self.aliases.mark(&such, names);
        }
    }

    pub(super) fn name(&self, (zone, id): Place) -> &PlannedName {
        &self.plan.zones[zone.idx()].steered[id.idx()]
    }

    /// The endpoints that rest on a probe, with their verdicts.
    fn verdicts(&self, id: ProbeId) -> Vec<(EndpointAt, Verdict)> {
        let mut verdicts = Vec::new();
        for &name in &self.users[id.idx()] {
            for (pool, endpoints) in self.name(name).probes.iter().enumerate() {
                for (endpoint, probes) in endpoints.iter().enumerate() {
                    if probes.has(id) {
                        let at = EndpointAt { name, pool, endpoint };
                        verdicts.push((at, self.verdict(probes).verdict));
                    }
                }
            }
        }
        verdicts
    }

    /// What the probes of an endpoint say together.
    pub(super) fn verdict(&self, probes: &Tree) -> Status {
        probes.status(&|id| self.status(id))
    }
}

/// Where an endpoint is in the plan.
#[derive(Debug, Clone, Copy)]
struct EndpointAt {
    name: Place,
    pool: usize,
    endpoint: usize,
}

#[cfg(test)]
mod tests;
