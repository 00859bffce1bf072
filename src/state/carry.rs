//! What a reload leaves as it was: zones that are the same, and the names in them.
//!
//! Not here: what is decided of the others (`apply`).

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{Place, alias::Aliases};
use crate::{
    compile::PlannedZone,
    ids::{SteeredId, ZoneId},
    snapshot::{Served, Snapshot, Steered},
};

/// The zones of a plan that are those of the plan before.
#[derive(Debug, Default)]
pub(super) struct Carried {
    /// By the number now; none: the zone is new, or says something else.
    before: Vec<Option<ZoneId>>,
}

impl Carried {
    pub(super) fn of(before: &[Arc<PlannedZone>], now: &[Arc<PlannedZone>]) -> Self {
        let mut by_address: Option<HashMap<usize, ZoneId>> = None;
        let find = |(idx, zone): (usize, &Arc<PlannedZone>)| {
            // Mostly all zones are where they were.
            match before.get(idx) {
                Some(it) if Arc::ptr_eq(it, zone) => Some(ZoneId::at(idx)),
                Some(it) if before.len() == now.len() && it.zone.apex() == zone.zone.apex() => None,
                _ => by_address
                    .get_or_insert_with(|| {
                        let ids = (0..before.len()).map(ZoneId::at);
                        before.iter().map(|it| Arc::as_ptr(it).addr()).zip(ids).collect()
                    })
                    .get(&Arc::as_ptr(zone).addr())
                    .copied(),
            }
        };
        Self { before: now.iter().enumerate().map(find).collect() }
    }

    /// The names that are to be decided anew: those of other zones, those whose pools are names,
    /// those with a demand, which bear on each other, and those that were to be decided anew before.
    pub(super) fn stale(
        &self,
        zones: &[Arc<PlannedZone>],
        aliases: &Aliases,
        stale_before: &HashSet<Place>,
    ) -> HashSet<Place> {
        let mut places = aliases.owners().to_vec();
        let zones = (0..).map(ZoneId).zip(zones).zip(&self.before);
        for ((id, zone), before) in zones {
            let all = (0..zone.steered.len()).map(|it| (id, SteeredId::at(it)));
            match before {
                None => places.extend(all),
                Some(before) => {
                    // What is known of probes may have changed since the latest snapshot.
                    let was_stale = |it| stale_before.contains(&(*before, it));
                    let pours = |it: SteeredId| zone.steered[it.idx()].policy.demand.is_some();
                    places.extend(all.filter(|(_, it)| was_stale(*it) || pours(*it)));
                }
            }
        }
        let mut stale = HashSet::new();
        aliases.mark(&places, &mut stale);
        stale
    }

    /// What a name gave in the latest snapshot.
    pub(super) fn given(&self, latest: &Snapshot, (zone, id): Place) -> Option<Arc<Steered>> {
        let before = self.before[zone.idx()]?;
        Some(Arc::clone(&latest.zones()[before.idx()].steered[id.idx()]))
    }

    /// The zones of the next snapshot, in which the names of `fresh` give something else.
    pub(super) fn zones(
        &self,
        plan: &[Arc<PlannedZone>],
        latest: &Snapshot,
        fresh: &HashMap<Place, Arc<Steered>>,
    ) -> Vec<Served> {
        let touched: HashSet<ZoneId> = fresh.keys().map(|(zone, _)| *zone).collect();
        let serve = |((id, planned), before): ((ZoneId, &Arc<PlannedZone>), &Option<ZoneId>)| {
            let zone = Arc::clone(&planned.zone);
            if let Some(before) = before
                && !touched.contains(&id)
            {
                let steered = Arc::clone(&latest.zones()[before.idx()].steered);
                return Served { zone, steered };
            }
            let steered = (0..planned.steered.len()).map(|idx| {
                let place = (id, SteeredId::at(idx));
                let now = fresh.get(&place).cloned();
                now.or_else(|| self.given(latest, place)).expect("new names are decided")
            });
            Served { zone, steered: steered.collect() }
        };
        (0..).map(ZoneId).zip(plan).zip(&self.before).map(serve).collect()
    }
}
