//! The watch over a simulated server: what it has to know and to have told by now.
//!
//! - From the first probe that finds a target bad, its verdict is `down` after `every × (fall - 1) +
//!   timeout + 1 s`; and that probe starts within `every` of the death. A prober that is blind starts
//!   to count when it sees again.
//! - What is good again is `up` after as long as `rise` and `flap` say.
//! - Nothing falls while the prober is blind; and what only seems dead because the prober's network is
//!   lost does not fall, where all is probed at one pace.
//! - A reload and a restart change no verdict.
//! - Each change of an endpoint's verdict is one event, and each event one change.
//!
//! A target is *settled* when its state has been what it is for longer than that takes: from then on
//! answers are measured by it (`answers`).
//!
//! *Not here:* what answers may hold (`answers`).

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use evenkeel::{
    counters::Registry,
    health::{ProbeSpec, Report, Sight, Status, Tree, Verdict},
    ids::ProbeId,
    serve::Engine,
    state::{
        Concerned, Effects, State,
        journal::{Journal, Kind, Transition},
    },
};

use super::{
    Event, Right,
    returns::{Returns, Told},
    world::World,
};

/// What is right now, and what happened.
pub(super) struct Watch {
    pub(super) tally: Tally,
    /// All that there ever were; those that are gone are not active.
    probes: Vec<Probe>,
    /// By their place in the plan.
    active: Vec<usize>,
    by_address: HashMap<usize, usize>,
    pub(super) endpoints: Vec<Endpoint>,
    blind: bool,
    /// What may not fall, because only the prober's network is lost.
    spared: HashSet<usize>,
    pub(super) journal: Journal,
    /// By subject, the verdict that was told last.
    told: HashMap<String, Verdict>,
    pub(super) engine: Engine,
    pub(super) registry: Registry,
    pub(super) rcodes: [u64; 6],
    /// How the pools of names come back, by owner.
    pub(super) returns: HashMap<String, Returns>,
    /// What has to be told of them.
    pub(super) to_tell: Vec<Told>,
    /// The regions that are given more than they can take.
    pub(super) overloaded: BTreeSet<Box<str>>,
    /// Of which regions has to be told that it begins, or ends.
    pub(super) to_flood: Vec<(Box<str>, bool)>,
}

/// What happened, in numbers.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) probes: u64,
    pub(super) falls: u64,
    pub(super) rises: u64,
    pub(super) settled: u64,
    pub(super) snapshots: u64,
    pub(super) answers: u64,
    pub(super) failed_open: u64,
    pub(super) weighed: u64,
    pub(super) blind: u64,
    pub(super) spared: u64,
    pub(super) reloads: u64,
    pub(super) restarts: u64,
    pub(super) words: u64,
    pub(super) refused: u64,
    pub(super) takeovers: u64,
    pub(super) turns: u64,
    pub(super) steps: u64,
    pub(super) over_budget: u64,
    pub(super) full: u64,
    pub(super) overloads: u64,
    pub(super) no_room: u64,
}

/// A probe, as the world and the server see its target.
#[derive(Debug)]
struct Probe {
    spec: Arc<ProbeSpec>,
    /// What the server thinks of it.
    status: Status,
    /// Whether it is bad in truth.
    bad: bool,
    /// Counts the changes of that, and of what has to follow from it.
    epoch: u64,
    /// Whether a probe was launched since.
    found: bool,
    settled: bool,
    launched: Option<Duration>,
    /// Places among the endpoints.
    users: Vec<usize>,
}

/// An endpoint of a steered name.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) subject: String,
    pub(super) tree: Tree,
}

/// A change of an endpoint's verdict: its subject, what it was and what it is.
pub(super) type Turn = (String, Verdict, Verdict);

/// What is to happen, and when.
type Coming = Vec<(Duration, Event)>;

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            tally: Tally::default(),
            probes: Vec::new(),
            active: Vec::new(),
            by_address: HashMap::new(),
            endpoints: Vec::new(),
            blind: false,
            spared: HashSet::new(),
            journal: Journal::default(),
            told: HashMap::new(),
            engine: Engine::default(),
            registry: Registry::new(1),
            rcodes: [0; 6],
            returns: HashMap::new(),
            to_tell: Vec::new(),
            overloaded: BTreeSet::new(),
            to_flood: Vec::new(),
        }
    }

    // ---- Plans ----

    /// Takes in what a state serves that was just reloaded, or started with what was known.
    pub(super) fn adopt(
        &mut self,
        state: &State,
        world: &World,
        now: Duration,
        restarted: bool,
    ) -> Result<Coming, String> {
        if restarted {
            self.tally.restarts += 1;
            self.blind = false;
            self.spared.clear();
        } else {
            self.tally.reloads += 1;
        }
        let before = std::mem::take(&mut self.active);
        let of = |key: &usize| (Arc::clone(&self.probes[*key].spec), *key);
        let known: HashMap<Arc<ProbeSpec>, usize> = before.iter().map(of).collect();
        let asked: HashMap<_, Verdict> = before
            .iter()
            .map(|it| (self.probes[*it].spec.clone(), self.probes[*it].status.verdict))
            .collect();
        let asked: HashMap<_, Verdict> =
            asked.iter().map(|(spec, verdict)| (spec.question(), *verdict)).collect();
        let mut coming = Vec::new();
        for (idx, spec) in state.plan().probes.iter().enumerate() {
            let status = state.status(ProbeId::at(idx));
            let key = known.get(spec).copied();
            let expect = match key {
                Some(key) => Some(self.probes[key].status.verdict),
                None => asked.get(&spec.question()).copied(),
            };
            if expect.is_some_and(|it| it != status.verdict) {
                let (status, expect) = (status.verdict, expect.unwrap_or_default());
                return Err(format!("{spec} was {expect} before this, and is {status}"));
            }
            let key = key.unwrap_or_else(|| {
                let bad = !world.meets(spec).good;
                self.probes.push(Probe::new(spec, status, bad));
                self.probes.len() - 1
            });
            let probe = &mut self.probes[key];
            probe.spec = Arc::clone(spec);
            probe.status = status;
            probe.users.clear();
            if restarted {
                probe.launched = None;
            }
            let is_new = !known.contains_key(spec);
            if is_new || restarted && !probe.settled {
                coming.extend(probe.starts_over(key, now));
            }
            self.active.push(key);
        }
        self.by_address =
            self.active.iter().map(|key| (address(&self.probes[*key].spec), *key)).collect();
        let stay: HashSet<usize> = self.active.iter().copied().collect();
        for gone in before.iter().filter(|it| !stay.contains(it)) {
            self.probes[*gone].epoch += 1;
            self.spared.remove(gone);
        }
        self.adopt_endpoints(state);
        self.adopt_returns(state, restarted);
        if restarted {
            self.overloaded.clear();
        }
        self.check_verdicts(state)?;
        Ok(coming)
    }

    fn adopt_endpoints(&mut self, state: &State) {
        self.endpoints.clear();
        for name in state.plan().zones.iter().flat_map(|zone| &zone.steered) {
            for (pool, trees) in name.policy.pools.iter().zip(&name.probes) {
                for (endpoint, tree) in pool.endpoints.iter().zip(trees) {
                    let subject = format!("{}/{}/{}", name.owner, pool.name, endpoint.target);
                    let place = self.endpoints.len();
                    let mut users = HashSet::new();
                    tree.for_each_probe(&mut |id| {
                        users.insert(id);
                    });
                    for id in users {
                        self.probes[self.active[id.idx()]].users.push(place);
                    }
                    self.endpoints.push(Endpoint { subject, tree: tree.clone() });
                }
            }
        }
        self.told = self
            .endpoints
            .iter()
            .map(|it| (it.subject.clone(), said(&it.tree, &|id| self.status(id).verdict)))
            .collect();
    }

    /// What the server thinks of a probe of its plan.
    pub(super) fn status(&self, id: ProbeId) -> Status {
        self.probes[self.active[id.idx()]].status
    }

    /// Whether what rests on these probes has been dead for long enough.
    pub(super) fn is_dead_for_long(&self, tree: &Tree) -> bool {
        let of = |id: ProbeId| {
            let probe = &self.probes[self.active[id.idx()]];
            match (probe.settled, probe.bad) {
                (false, _) => Verdict::Unknown,
                (true, false) => Verdict::Up,
                (true, true) => Verdict::Down,
            }
        };
        said(tree, &of) == Verdict::Down
    }

    // ---- Probes ----

    /// A probe was executed.
    pub(super) fn launched(
        &mut self,
        spec: &Arc<ProbeSpec>,
        now: Duration,
    ) -> Result<Coming, String> {
        self.tally.probes += 1;
        let Some(key) = self.by_address.get(&address(spec)).copied() else {
            // Control targets.
            return Ok(Vec::new());
        };
        let probe = &mut self.probes[key];
        if let Some(before) = probe.launched.replace(now)
            && spec.every < now.saturating_sub(before)
        {
            return Err(format!("{spec} was not probed for {:?}", now.saturating_sub(before)));
        }
        if !probe.bad || probe.found || probe.settled || self.blind {
            return Ok(Vec::new());
        }
        probe.found = true;
        let bound = spec.every * (spec.fall - 1) + spec.timeout + Duration::from_secs(1);
        Ok(vec![(now + bound, Event::Settle { probe: key, epoch: probe.epoch })])
    }

    /// A probe came to its end; the changes that have to follow.
    pub(super) fn reported(&mut self, report: &Report) -> Vec<Turn> {
        let Some(key) = self.by_address.get(&address(&report.spec)).copied() else {
            return Vec::new();
        };
        let before = self.probes[key].status;
        if before.verdict == report.status.verdict {
            self.probes[key].status = report.status;
            return Vec::new();
        }
        let users = self.probes[key].users.clone();
        let verdicts = |watch: &Self| -> Vec<Verdict> {
            let of = |it: &usize| said(&watch.endpoints[*it].tree, &|id| watch.status(id).verdict);
            users.iter().map(of).collect()
        };
        let from = verdicts(self);
        self.probes[key].status = report.status;
        let to = verdicts(self);
        let turns = users.iter().zip(from.into_iter().zip(to)).filter(|(_, (from, to))| from != to);
        turns.map(|(it, (from, to))| (self.endpoints[*it].subject.clone(), from, to)).collect()
    }

    /// What a change told has to be what it did.
    pub(super) fn told(&mut self, effects: &Effects, expect: &[Turn], wall: SystemTime) -> Right {
        if effects.events.is_empty() && expect.is_empty() {
            return Ok(());
        }
        let mut told: Vec<Turn> =
            effects.events.iter().map(|it| (it.to_string(), it.from, it.to)).collect();
        let mut expect = expect.to_vec();
        told.sort_by(|one, other| one.0.cmp(&other.0));
        expect.sort_by(|one, other| one.0.cmp(&other.0));
        if told != expect || effects.more_events != 0 {
            return Err(format!("told was {told:?}, and {expect:?} happened"));
        }
        for event in &effects.events {
            let subject = event.to_string();
            if event.to == Verdict::Down {
                self.tally.falls += 1;
                if self.blind {
                    return Err(format!("{subject} fell while the prober was blind"));
                }
                let key = self.by_address[&address(&event.probe)];
                if self.spared.contains(&key) {
                    return Err(format!("{subject} fell because the prober's network is lost"));
                }
            } else {
                self.tally.rises += 1;
            }
            let (from, to) = (event.from.to_string(), event.to.to_string());
            if self.told.insert(subject.clone(), event.to) != Some(event.from) {
                return Err(format!("{subject} was not {from} when it became {to}"));
            }
            let why = event.outcome.to_string();
            self.journal.note(wall, Transition { kind: Kind::Verdict, subject, from, to, why });
        }
        Ok(())
    }

    /// The prober thinks otherwise of itself.
    pub(super) fn sight(&mut self, sight: Sight) {
        let was_blind = std::mem::replace(&mut self.blind, sight.is_blind());
        if self.blind {
            self.tally.blind += 1;
        }
        if sight == Sight::Spent {
            self.spared.clear();
        }
        if was_blind && !self.blind || !was_blind && self.blind {
            for key in &self.active {
                let probe = &mut self.probes[*key];
                if probe.bad && !probe.settled {
                    // What is found from now on counts.
                    probe.epoch += 1;
                    probe.found = false;
                }
            }
        }
    }

    /// A server took over, with what the one before it thought of its prober.
    pub(super) fn take_over(&mut self, sight: Sight) {
        self.tally.takeovers += 1;
        self.blind = sight.is_blind();
    }

    /// What was said of a target long enough ago has to be known; whether it is settled by that.
    pub(super) fn settle(&mut self, key: usize, epoch: u64) -> Result<bool, String> {
        let blind = self.blind;
        let probe = &mut self.probes[key];
        if probe.epoch != epoch || probe.bad && blind {
            return Ok(false);
        }
        probe.settled = true;
        self.tally.settled += 1;
        let expect = if probe.bad { Verdict::Down } else { Verdict::Up };
        if probe.status.verdict == expect {
            return Ok(true);
        }
        let (spec, verdict) = (&probe.spec, probe.status.verdict);
        Err(format!("{spec} is {verdict}, and has been {expect} for longer than the bound"))
    }

    // ---- The world ----

    /// The world changed.
    pub(super) fn world_changed(&mut self, world: &World, now: Duration) -> Coming {
        let mut coming = Vec::new();
        for key in &self.active {
            let probe = &mut self.probes[*key];
            let bad = !world.meets(&probe.spec).good;
            if bad != probe.bad {
                probe.bad = bad;
                coming.extend(probe.starts_over(*key, now));
            }
            if !world.meets_but_for_the_cut(&probe.spec).good {
                self.spared.remove(key);
            }
        }
        coming
    }

    /// The prober's network is about to be lost, or is there again.
    pub(super) fn cut(&mut self, cut: bool, is_even: bool, world: &World, sight: Sight) {
        self.spared.clear();
        let is_fresh = sight == Sight::default();
        if !cut || !is_even || !is_fresh {
            return;
        }
        let is_up = |key: &&usize| {
            let Probe { spec, status, settled, .. } = &self.probes[**key];
            let good = world.meets_but_for_the_cut(spec).good;
            *settled && good && *status == Status { verdict: Verdict::Up, shaky: false }
        };
        let up: HashSet<usize> = self.active.iter().filter(is_up).copied().collect();
        let targets: HashSet<_> = up.iter().map(|it| &self.probes[*it].spec.target).collect();
        if 4 <= targets.len() {
            self.tally.spared += up.len() as u64;
            self.spared = up;
        }
    }

    /// The verdicts of all endpoints are those that were told.
    fn check_verdicts(&self, state: &State) -> Right {
        for it in state.endpoints(&Concerned::All) {
            let subject = format!("{}/{}/{}", it.name, it.pool, it.target);
            if self.told.get(&subject) != Some(&it.verdict) {
                let told = self.told.get(&subject);
                return Err(format!("{subject} is {}, and was told to be {told:?}", it.verdict));
            }
        }
        Ok(())
    }

    /// The end of the time.
    pub(super) fn end(&self, state: &State, now: Duration) -> Right {
        self.check_verdicts(state)?;
        for key in &self.active {
            let Probe { spec, launched, .. } = &self.probes[*key];
            if launched.is_none_or(|it| spec.every < now.saturating_sub(it)) {
                return Err(format!("{spec} was not probed since {launched:?}"));
            }
        }
        let told = self.journal.latest(1).first().map_or(0, |it| it.id);
        if told != self.tally.falls + self.tally.rises + self.tally.turns {
            return Err(format!("{told} events, {:?}", self.tally));
        }
        let totals = self.registry.totals();
        if totals.rcodes != self.rcodes || totals.questions() != self.tally.answers {
            return Err(format!("{totals}, and there were {:?}", self.rcodes));
        }
        Ok(())
    }
}

impl Probe {
    fn new(spec: &Arc<ProbeSpec>, status: Status, bad: bool) -> Self {
        Self {
            spec: Arc::clone(spec),
            status,
            bad,
            epoch: 0,
            found: false,
            settled: false,
            launched: None,
            users: Vec::new(),
        }
    }

    /// What is known of it has to be found out from now on.
    fn starts_over(&mut self, key: usize, now: Duration) -> Option<(Duration, Event)> {
        self.epoch += 1;
        self.settled = false;
        self.found = false;
        if self.bad {
            // The bound begins with the first probe that finds it so.
            return None;
        }
        let ProbeSpec { every, timeout, rise, flap, .. } = &*self.spec;
        let hold = flap.map_or(Duration::ZERO, |it| it.hold + *every * 2);
        let bound = *every * (rise + 1) + *timeout + hold + Duration::from_secs(1);
        Some((now + bound, Event::Settle { probe: key, epoch: self.epoch }))
    }
}

impl Tally {
    fn fields(&mut self) -> [&mut u64; 21] {
        let Self {
            probes,
            falls,
            rises,
            settled,
            snapshots,
            answers,
            failed_open,
            weighed,
            blind,
            spared,
            reloads,
            restarts,
            words,
            refused,
            takeovers,
            turns,
            steps,
            over_budget,
            full,
            overloads,
            no_room,
        } = self;
        [
            probes,
            falls,
            rises,
            settled,
            snapshots,
            answers,
            failed_open,
            weighed,
            blind,
            spared,
            reloads,
            restarts,
            words,
            refused,
            takeovers,
            turns,
            steps,
            over_budget,
            full,
            overloads,
            no_room,
        ]
    }

    pub(super) fn add(&mut self, other: &Self) {
        let mut other = other.clone();
        for (sum, it) in self.fields().into_iter().zip(other.fields()) {
            *sum += *it;
        }
    }

    /// Everything happened that is watched.
    pub(super) fn assert_rich(&self) {
        assert!(
            self.clone().fields().iter().all(|it| **it != 0),
            "something never happened: {self}"
        );
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

fn address(spec: &Arc<ProbeSpec>) -> usize {
    Arc::as_ptr(spec).addr()
}

/// What probes say together, by the table in the documents.
pub(super) fn said(tree: &Tree, of: &dyn Fn(ProbeId) -> Verdict) -> Verdict {
    let (members, count) = match tree {
        Tree::Probe(id) => return of(*id),
        Tree::Not(it) => {
            return match said(it, of) {
                Verdict::Up => Verdict::Down,
                Verdict::Down => Verdict::Up,
                Verdict::Unknown => Verdict::Unknown,
            };
        }
        Tree::All(members) => (members, members.len()),
        Tree::Any(members) => (members, 1),
        Tree::AtLeast(count, members) => (members, *count),
    };
    let verdicts: Vec<Verdict> = members.iter().map(|it| said(it, of)).collect();
    let count_of = |verdict| verdicts.iter().filter(|it| **it == verdict).count();
    if count <= count_of(Verdict::Up) {
        Verdict::Up
    } else if count_of(Verdict::Up) + count_of(Verdict::Unknown) < count {
        Verdict::Down
    } else {
        Verdict::Unknown
    }
}
