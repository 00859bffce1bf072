//! What names would give if some regions were down, and what the other regions would be given then.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use crate::{
    limits::ALIAS_DEPTH_MAX,
    snapshot::{FamilyNow, Lead, Snapshot, Steered},
    steer::{
        Basin, ClassId, Condition, Decision, Flood, Lines, Outcome, Outlook, Pool, Stream, Target,
        View, choose, flood, over_budget,
    },
    wire::Family,
};

/// A snapshot in which some regions are down.
pub(super) struct WhatIf<'s> {
    snapshot: &'s Snapshot,
    down: &'s [Box<str>],
    /// By address of what they are in the snapshot.
    names: HashMap<usize, Arc<Steered>>,
    /// By view and the numbers of its classes.
    lines: HashMap<(usize, Box<[u16]>), Arc<Lines>>,
    basins: Arc<[Basin]>,
}

impl<'s> WhatIf<'s> {
    pub(super) fn new(snapshot: &'s Snapshot, down: &'s [Box<str>]) -> Self {
        let basins = Arc::clone(&snapshot.basins);
        let (names, lines) = (HashMap::new(), HashMap::new());
        let mut what_if = Self { snapshot, down, names, lines, basins };
        if !down.is_empty() {
            what_if.spill();
        }
        what_if
    }

    /// What regions would be given.
    pub(super) fn basins(&self) -> &Arc<[Basin]> {
        &self.basins
    }

    /// What a name of the snapshot would give.
    pub(super) fn steered(&mut self, steered: &Arc<Steered>, depth: usize) -> Arc<Steered> {
        if self.down.is_empty() || ALIAS_DEPTH_MAX < depth {
            return Arc::clone(steered);
        }
        let address = Arc::as_ptr(steered).addr();
        if let Some(known) = self.names.get(&address) {
            return Arc::clone(known);
        }
        let families = steered.families.iter().map(|it| self.family(steered, it, depth)).collect();
        let changed = Arc::new(Steered { families, ..(**steered).clone() });
        self.names.insert(address, Arc::clone(&changed));
        changed
    }

    /// Pours the demand of all names that have one anew, since the clients of one may take the room
    /// of those of another.
    fn spill(&mut self) {
        let mut counts: HashMap<usize, usize> = HashMap::new();
        let mut names: Vec<&Arc<Steered>> = Vec::new();
        let steered = self.snapshot.zones().iter().flat_map(|zone| zone.steered.iter());
        for it in steered.filter(|it| it.parts.is_some()) {
            let count = counts.entry(Arc::as_ptr(it).addr()).or_default();
            if *count == 0 {
                names.push(it);
            }
            *count += 1;
        }
        let bases: Vec<Arc<Steered>> = names.iter().map(|it| self.steered(it, 0)).collect();
        let counts = names.iter().map(|it| counts[&Arc::as_ptr(it).addr()]);
        let streams: Vec<Stream<'_>> =
            bases.iter().zip(counts).filter_map(|(base, count)| base.stream(count)).collect();
        let Flood { loads, changed } = flood(&self.basins, &streams);
        drop(streams);
        for ((name, base), changed) in names.into_iter().zip(&bases).zip(changed) {
            let families = base.families.iter().zip(changed).map(|(now, changed)| {
                let Some(changed) = changed else { return now.clone() };
                let decide = |id| {
                    Cow::Borrowed(changed.of_class(id).unwrap_or_else(|| now.outlook.of_class(id)))
                };
                FamilyNow { outlook: self.outlook(&base.view, decide), ..now.clone() }
            });
            let families = families.collect();
            let spilled = Arc::new(Steered { families, ..(**base).clone() });
            self.names.insert(Arc::as_ptr(name).addr(), spilled);
        }
        let basins = self.basins.iter().zip(loads);
        self.basins = basins.map(|(it, load)| Basin { load, ..it.clone() }).collect();
    }

    /// What a name would give for a family before anything spills.
    fn family(&mut self, steered: &Steered, now: &FamilyNow, depth: usize) -> FamilyNow {
        let Steered { policy, view, parts, .. } = steered;
        let mut conditions = (*now.conditions).clone();
        for (pool, conditions) in policy.pools.iter().zip(&mut conditions) {
            self.fail(pool, conditions, now.family, depth);
        }
        // What is out, what is down and stays in, and what falls now: in this order.
        let rank = |pool: usize, endpoint: usize| match now.conditions[pool][endpoint] {
            Condition { over_budget: true, .. } => 1,
            Condition { up: true, .. } => 2,
            _ => 0,
        };
        for (pool, endpoint) in over_budget(policy, &conditions, rank) {
            let it = &mut conditions[pool][endpoint];
            *it = Condition { up: true, shaky: true, over_budget: true, ..*it };
        }
        if conditions == *now.conditions && parts.is_none() {
            return now.clone();
        }
        let decide = |id| {
            let before = now.outlook.of_class(id);
            if before.outcome == Outcome::NotReady {
                return Cow::Borrowed(before);
            }
            let class = &view.classes()[usize::from(id.0)];
            Cow::Owned(choose(policy, class, &conditions, now.family, Some(before)).decision)
        };
        let outlook = self.outlook(view, decide);
        FamilyNow { family: now.family, conditions: Arc::new(conditions), outlook }
    }

    fn outlook<'d>(
        &mut self,
        view: &Arc<View>,
        decide: impl Fn(ClassId) -> Cow<'d, Decision>,
    ) -> Outlook {
        Outlook::of(view, decide, |numbers| {
            let key = (Arc::as_ptr(view).addr(), numbers.into());
            Arc::clone(self.lines.entry(key).or_insert_with(|| Arc::new(Lines::new(view, numbers))))
        })
    }

    /// Lets a pool of such a region fail, and one that is a name of which nothing is left.
    fn fail(&mut self, pool: &Pool, conditions: &mut [Condition], family: Family, depth: usize) {
        let is_down = pool.region.as_ref().is_some_and(|region| self.down.contains(region));
        for (endpoint, condition) in pool.endpoints.iter().zip(conditions) {
            let is_up = match &endpoint.target {
                Target::Alias(name) => match self.snapshot.lead(name.as_wire(), family) {
                    Lead::Steered(target, _) => {
                        has_healthy(&self.steered(target, depth + 1), family)
                    }
                    _ => true,
                },
                _ => true,
            };
            // What stays in is down, and may have room once others recover.
            condition.up &= is_up && !is_down && !condition.over_budget;
            condition.shaky &= condition.up;
            condition.over_budget = false;
        }
    }
}

fn has_healthy(steered: &Steered, family: Family) -> bool {
    steered.family(family).is_some_and(|it| it.outlook.decisions().iter().any(Decision::is_healthy))
}
