//! How pools of a simulated server come back, and what stays in although it is down.
//!
//! - A pool with a ramp that was down begins with the first step and goes on to the next, none jumped
//!   over, none sooner or later than it may be; it waits while something speaks against more, and
//!   starts over when it is down again. A reload and a restart leave it where it is, and a pool that
//!   joins others comes in by the first step.
//! - Where a name has a budget, what health keeps out is within it, and nothing stays in that fits.
//!   What fell first leaves first, and what is out stays out for as long as it is down.
//! - Each step and each stay is told once, and nothing else is.
//!
//! *Not here:* what that does to shares (`answers`).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use evenkeel::{
    compile::PlannedName,
    snapshot::Steered,
    state::{Concerned, State, Turns, Word, journal::Kind},
    steer::{Outcome, Policy, Pool},
};

use super::{
    Right, WAKE_EVERY,
    answers::{Known, is_enough},
    watch::Watch,
};

/// How late a step may be: it is looked for now and then, and then published.
const LATE_MAX: Duration = Duration::from_secs(WAKE_EVERY.as_secs() + 1);

/// What is to be told: its kind, whom it is about, from what and to what.
pub(super) type Told = (Kind, String, String, String);

/// The pools of a name, and what stays in of it.
#[derive(Debug, Default)]
pub(super) struct Returns {
    pools: BTreeMap<Box<str>, Returning>,
    /// What stays in, by pool and target.
    over_budget: BTreeSet<(Box<str>, String)>,
    /// What has to leave: since which snapshot, and whether it stays in.
    fallen: HashMap<Fallen, (u64, bool)>,
}

/// How far a pool has come back.
#[derive(Debug, Clone, Copy)]
struct Returning {
    percent: u8,
    is_out: bool,
    /// Since when nothing speaks against the next step; none: something does.
    quiet_since: Option<Duration>,
    /// How long the step lasts.
    every: Duration,
}

/// By family, pool and target.
type Fallen = (usize, Box<str>, String);

impl Watch {
    /// Takes in other files, or the same after a restart.
    pub(super) fn adopt_returns(&mut self, state: &State, restarted: bool) {
        let mut before: HashMap<String, Returns> = std::mem::take(&mut self.returns);
        for name in &state.plan().zones[0].steered {
            let old = before.remove(&name.owner.to_string());
            let returning = |pool: &Pool| {
                let known = old.as_ref().map(|it| it.pools.get(&pool.name));
                let it = match (known, &pool.ramp) {
                    // Nobody knows a pool that joins others.
                    (Some(None), Some(_)) => Returning { is_out: true, ..Returning::FULL },
                    (Some(Some(it)), Some(_)) => *it,
                    _ => Returning::FULL,
                };
                (pool.name.clone(), it)
            };
            let pools = name.policy.pools.iter().map(returning).collect();
            // What stays in is told anew by a server that was started.
            let old = old.filter(|_| !restarted).unwrap_or_default();
            let over_budget = old.over_budget;
            // With other weights what was out may fit no more; what fell first is known yet.
            let fallen = old.fallen.into_iter().map(|(it, (since, _))| (it, (since, true)));
            let returns = Returns { pools, over_budget, fallen: fallen.collect() };
            self.returns.insert(name.owner.to_string(), returns);
        }
    }

    /// Operators say something else: what they keep out is not counted.
    pub(super) fn said(&mut self) {
        for it in self.returns.values_mut().flat_map(|it| it.fallen.values_mut()) {
            it.1 = true;
        }
    }

    /// Looks at where the pools of a name stand; `known` is by family.
    pub(super) fn look_at_ramps(
        &mut self,
        name: &PlannedName,
        steered: &Steered,
        known: &[Vec<Vec<Known>>],
        now: Duration,
    ) -> Right {
        let owner = name.owner.to_string();
        let mut decisions = steered.families.iter().flat_map(|it| it.outlook.decisions());
        if decisions.any(|it| it.outcome == Outcome::NotReady) {
            // Nobody was given anything yet.
            return Ok(());
        }
        for (idx, pool) in name.policy.pools.iter().enumerate() {
            let mut percents =
                steered.families.iter().flat_map(|it| it.conditions[idx].iter().map(|it| it.ramp));
            let percent = percents.next().expect("a pool has an endpoint");
            if percents.any(|it| it != percent) {
                return Err(format!("{owner}/{}: not all of it has {percent} %", pool.name));
            }
            let sight = Sight::of(&name.policy, idx, known);
            let returns = self.returns.get_mut(&owner).expect("the plan was adopted");
            let it = returns.pools.get_mut(&pool.name).expect("the plan was adopted");
            let before = *it;
            it.goes_on(pool, sight, percent, now)
                .map_err(|why| format!("{owner}/{}: {why}: {before:?} {sight:?}", pool.name))?;
            // The verdict says all of a pool that leaves, or is back, with its whole share.
            let is_told = before.percent != 100 || it.percent != 100;
            if pool.ramp.is_some() && is_told && before.share() != it.share() {
                self.tally.steps += 1;
                let subject = format!("{owner}/{}", pool.name);
                self.to_tell.push((Kind::Ramp, subject, before.share(), it.share()));
            }
        }
        Ok(())
    }

    /// No step lasts longer than it should.
    pub(super) fn look_for_late(&self, now: Duration) -> Right {
        let pools = self
            .returns
            .iter()
            .flat_map(|(owner, its)| its.pools.iter().map(move |(pool, it)| (owner, pool, it)));
        let is_late =
            |it: &Returning| it.quiet_since.is_some_and(|at| at + it.every + LATE_MAX < now);
        match { pools }.find(|(.., it)| is_late(it)) {
            None => Ok(()),
            Some((owner, pool, it)) => Err(format!("{owner}/{pool}: a step is late: {it:?}")),
        }
    }

    /// Looks at what stays in of a name for a family.
    pub(super) fn look_at_budget(
        &mut self,
        name: &PlannedName,
        family: usize,
        known: &[Vec<Known>],
    ) -> Right {
        let places = known.iter().enumerate().flat_map(|(pool, its)| {
            its.iter().enumerate().map(move |(endpoint, it)| ((pool, endpoint), it))
        });
        let over: Vec<(usize, usize)> =
            places.clone().filter(|(_, it)| it.over_budget).map(|(place, _)| place).collect();
        let Some(percent) = name.policy.eject_max_percent else {
            return if over.is_empty() { Ok(()) } else { Err("there is no budget".to_owned()) };
        };
        if over.iter().any(|(pool, endpoint)| !known[*pool][*endpoint].is_ejected()) {
            return Err("what is not down is over budget".to_owned());
        }
        self.tally.over_budget += over.len() as u64;
        let budget = Budget::of(&name.policy, known, percent);
        if budget.whole * (1.0 + 1e-6) < budget.out(&over) {
            return Err("health keeps out more than the budget".to_owned());
        }
        let fits = |gone: &(usize, usize)| {
            let stay: Vec<_> = over.iter().filter(|it| *it != gone).copied().collect();
            budget.out(&stay) <= budget.whole * (1.0 - 1e-6)
        };
        if !over.is_empty() && over.iter().all(fits) {
            return Err("what stays in fits the budget".to_owned());
        }
        self.look_at_order(name, family, known)
    }

    /// What fell first leaves first, and what is out stays out.
    fn look_at_order(&mut self, name: &PlannedName, family: usize, known: &[Vec<Known>]) -> Right {
        let seen = self.tally.snapshots;
        let returns = self.returns.get_mut(&name.owner.to_string()).expect("it was adopted");
        let before: HashMap<Fallen, (u64, bool)> =
            returns.fallen.extract_if(|it, _| it.0 == family).collect();
        for (pool, its) in name.policy.pools.iter().zip(known) {
            for (endpoint, it) in pool.endpoints.iter().zip(its).filter(|(_, it)| it.is_ejected()) {
                let key = (family, pool.name.clone(), endpoint.target.to_string());
                let (since, was_in) = before.get(&key).copied().unwrap_or((seen, true));
                if it.over_budget && !was_in {
                    return Err(format!("{key:?} was out and is in: {before:?}"));
                }
                returns.fallen.insert(key, (since, it.over_budget));
            }
        }
        let of_family = || returns.fallen.iter().filter(|(it, _)| it.0 == family);
        let since = |is_in: bool| of_family().filter(move |it| it.1.1 == is_in).map(|it| it.1.0);
        match (since(false).max(), since(true).min()) {
            (Some(last_out), Some(first_in)) if first_in < last_out => {
                Err(format!("what fell first stays in: {:?}", returns.fallen))
            }
            _ => Ok(()),
        }
    }

    /// Notes what has to be told of what stays in of a name.
    pub(super) fn look_at_stays(&mut self, name: &PlannedName, steered: &Steered) {
        let owner = name.owner.to_string();
        let mut now = BTreeSet::new();
        let mut up: HashMap<(Box<str>, String), bool> = HashMap::new();
        for (idx, pool) in name.policy.pools.iter().enumerate() {
            for (place, endpoint) in pool.endpoints.iter().enumerate() {
                let key = (pool.name.clone(), endpoint.target.to_string());
                let mut conditions = steered.families.iter().map(|it| it.conditions[idx][place]);
                up.insert(key.clone(), conditions.clone().all(|it| it.up));
                if conditions.any(|it| it.over_budget) {
                    now.insert(key);
                }
            }
        }
        let returns = self.returns.get_mut(&owner).expect("the plan was adopted");
        let before = std::mem::replace(&mut returns.over_budget, now.clone());
        let subject = |(pool, target): &(Box<str>, String)| format!("{owner}/{pool}/{target}");
        for it in now.difference(&before) {
            let (from, to) = ("down".to_owned(), "over budget".to_owned());
            self.to_tell.push((Kind::OverBudget, subject(it), from, to));
        }
        for it in before.difference(&now) {
            let to = up.get(it).map_or("gone", |up| if *up { "up" } else { "down" });
            let (from, to) = ("over budget".to_owned(), to.to_owned());
            self.to_tell.push((Kind::OverBudget, subject(it), from, to));
        }
    }

    /// What was told while names were decided has to be what happened.
    pub(super) fn turned(&mut self, turns: Turns) -> Right {
        let mut expect = std::mem::take(&mut self.to_tell);
        let told = turns.events.iter();
        let mut told: Vec<Told> =
            told.map(|it| (it.kind, it.subject.clone(), it.from.clone(), it.to.clone())).collect();
        let key = |it: &Told| (it.1.clone(), it.2.clone());
        expect.sort_by_key(key);
        told.sort_by_key(key);
        if told != expect || turns.more_events != 0 {
            return Err(format!("told was {told:?}, and {expect:?} happened"));
        }
        self.tally.turns += told.len() as u64;
        for event in turns.events {
            self.journal.note(std::time::UNIX_EPOCH, event);
        }
        Ok(())
    }

    /// What is told of endpoints is what is answered.
    pub(super) fn look_at_reports(&self, state: &State) -> Right {
        for it in state.endpoints(&Concerned::All) {
            let returns = &self.returns[&it.name.to_string()];
            let key = (it.pool.clone(), it.target.to_string());
            if returns.over_budget.contains(&key) != it.over_budget {
                return Err(format!("{it:?}, and {:?} stays in", returns.over_budget));
            }
            let pool = &returns.pools[&it.pool];
            let percent = it.ramp.as_ref().map_or(100, |ramp| ramp.percent);
            if percent != pool.percent {
                return Err(format!("{it:?}, and its pool is {pool:?}"));
            }
        }
        Ok(())
    }
}

/// What is to be seen of a pool.
#[derive(Debug, Clone, Copy)]
struct Sight {
    is_up: bool,
    is_held: bool,
    is_up_by_word: bool,
}

impl Sight {
    fn of(policy: &Policy, pool: usize, known: &[Vec<Vec<Known>>]) -> Self {
        let mut merged = known[0][pool].clone();
        for family in &known[1..] {
            for (it, other) in merged.iter_mut().zip(&family[pool]) {
                it.up |= other.up;
                it.shaky |= other.shaky;
            }
        }
        let is_withdrawn = merged.iter().all(|it| it.up && it.share == 0.0);
        let is_answered = merged.iter().any(|it| it.up && 0.0 < it.share);
        Self {
            is_up: is_withdrawn || is_answered && is_enough(policy, &merged),
            is_held: is_withdrawn || merged.iter().any(|it| it.shaky),
            is_up_by_word: merged.iter().all(|it| it.word == Some(Word::Up)),
        }
    }
}

impl Returning {
    const FULL: Self =
        Self { percent: 100, is_out: false, quiet_since: None, every: Duration::ZERO };

    /// The pool was seen, and has so many percent now.
    fn goes_on(&mut self, pool: &Pool, sight: Sight, percent: u8, now: Duration) -> Right {
        let before = std::mem::replace(self, Self { percent, ..Self::FULL });
        let expect = |expect: u8| {
            let wrong = || format!("it has {percent} %, and not {expect} %");
            (percent == expect).then_some(()).ok_or_else(wrong)
        };
        let Some(ramp) = pool.ramp.as_ref().filter(|_| !sight.is_up_by_word) else {
            return expect(100);
        };
        self.every = ramp.every;
        if !sight.is_up {
            self.is_out = true;
            return expect(100);
        }
        if before.is_out {
            self.quiet_since = (!sight.is_held).then_some(now);
            return expect(ramp.steps[0]);
        }
        if percent == before.percent {
            let since = before.quiet_since.unwrap_or(now);
            self.quiet_since = (!sight.is_held && percent < 100).then_some(since);
            return Ok(());
        }
        self.quiet_since = (percent < 100).then_some(now);
        if sight.is_held || before.quiet_since.is_none_or(|it| now < it + ramp.every) {
            return Err(format!("it has {percent} % too soon"));
        }
        expect(*ramp.steps.iter().find(|it| before.percent < **it).unwrap_or(&100))
    }

    /// In words.
    fn share(self) -> String {
        if self.is_out { "out".to_owned() } else { format!("{} %", self.percent) }
    }
}

/// What health keeps out of a name.
struct Budget<'b> {
    policy: &'b Policy,
    known: &'b [Vec<Known>],
    weights: Vec<f64>,
    /// What it may, in the unit of the pools' weights.
    whole: f64,
}

impl<'b> Budget<'b> {
    fn of(policy: &'b Policy, known: &'b [Vec<Known>], percent: u8) -> Self {
        let weights: Vec<f64> = policy.pools.iter().map(|it| it.weight.into()).collect();
        let sum: f64 = weights.iter().sum();
        let weights = if sum == 0.0 { vec![1.0; weights.len()] } else { weights };
        let whole = weights.iter().sum::<f64>() * f64::from(percent) / 100.0;
        Self { policy, known, weights, whole }
    }

    /// How much is out if only those stay in.
    fn out(&self, stay: &[(usize, usize)]) -> f64 {
        let of_pool = |pool: usize| {
            let left =
                self.left(pool, &|_| true) - self.left(pool, &|it| stay.contains(&(pool, it)));
            let sum: f64 = self.known[pool].iter().map(|it| it.weight).sum();
            self.weights[pool] * left / sum
        };
        (0..self.weights.len()).map(of_pool).sum()
    }

    /// What is left of a pool, by weight, if of what is ejected those stay.
    fn left(&self, pool: usize, stays: &dyn Fn(usize) -> bool) -> f64 {
        let mut its = self.known[pool].clone();
        for (endpoint, it) in its.iter_mut().enumerate() {
            it.up = if it.is_ejected() { stays(endpoint) } else { it.up };
        }
        let answered = its.iter().filter(|it| it.present && it.up && 0.0 < it.share);
        let left: f64 = answered.map(|it| it.weight).sum();
        if is_enough(self.policy, &its) { left } else { 0.0 }
    }
}
