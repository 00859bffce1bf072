//! What names would give if some regions were down.

use std::{collections::HashMap, sync::Arc};

use crate::{
    limits::ALIAS_DEPTH_MAX,
    snapshot::{FamilyNow, Lead, Snapshot, Steered},
    steer::{Condition, Decision, Lines, Outcome, Outlook, Pool, Target, choose, over_budget},
    wire::Family,
};

/// A snapshot in which some regions are down.
pub(super) struct WhatIf<'s> {
    snapshot: &'s Snapshot,
    down: &'s [Box<str>],
    /// By address of what they are in the snapshot.
    names: HashMap<usize, Arc<Steered>>,
}

impl<'s> WhatIf<'s> {
    pub(super) fn new(snapshot: &'s Snapshot, down: &'s [Box<str>]) -> Self {
        Self { snapshot, down, names: HashMap::new() }
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
        let (policy, view) = (Arc::clone(&steered.policy), Arc::clone(&steered.view));
        let changed = Arc::new(Steered { policy, view, families });
        self.names.insert(address, Arc::clone(&changed));
        changed
    }

    fn family(&mut self, steered: &Steered, now: &FamilyNow, depth: usize) -> FamilyNow {
        let Steered { policy, view, .. } = steered;
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
        if conditions == *now.conditions {
            return now.clone();
        }
        let decide = |id| {
            let before = now.outlook.of_class(id);
            if before.outcome == Outcome::NotReady {
                return before.clone();
            }
            let class = &view.classes()[usize::from(id.0)];
            choose(policy, class, &conditions, now.family, Some(before)).decision
        };
        let outlook = Outlook::of(view, decide, |numbers| Arc::new(Lines::new(view, numbers)));
        FamilyNow { family: now.family, conditions: Arc::new(conditions), outlook }
    }

    /// Lets a pool of such a region fail, and one that is a name of which nothing is left.
    fn fail(&mut self, pool: &Pool, conditions: &mut [Condition], family: Family, depth: usize) {
        let is_down = pool.region.as_ref().is_some_and(|region| self.down.contains(region));
        for (endpoint, condition) in pool.endpoints.iter().zip(conditions) {
            let is_up = match &endpoint.target {
                Target::Alias(name) => match self.snapshot.lead(name.as_wire(), family) {
                    Lead::Steered(target) => has_healthy(&self.steered(target, depth + 1), family),
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
