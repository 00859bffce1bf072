//! What a reload leaves as it was: zones that are the same, and the names in them.
//!
//! Zones that are the same are the same memory, so that a pass over a hundred thousand of them looks
//! at pointers alone. Whatever is known by place is good for them still where no zone came or went.
//!
//! Not here: what is decided of the others (`apply`).

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    sync::Arc,
};

use super::{ByPlace, Place, Places, alias::Aliases};
use crate::{
    compile::{PlannedName, PlannedZone},
    ids::{SteeredId, ZoneId},
    snapshot::{Served, Snapshot, Steered},
    tally::ZoneCells,
};

/// The zones of a plan that are those of the plan before.
#[derive(Debug)]
pub(super) struct Carried {
    /// By the number now; none: the zone is new, or says something else.
    before: Vec<Option<ZoneId>>,
    /// Those of now for which there is none.
    fresh: Vec<ZoneId>,
    /// Those of before that are not carried.
    gone: Vec<ZoneId>,
    /// Whether all that are carried have the numbers that they had.
    is_in_place: bool,
}

/// To follow a zone costs as much as to look at so many, or less.
const LITTLE_DIVISOR: usize = 256;

impl Carried {
    pub(super) fn of(before: &[Arc<PlannedZone>], now: &[Arc<PlannedZone>]) -> Self {
        let mut carried = Self {
            before: Vec::with_capacity(now.len()),
            fresh: vec![],
            gone: vec![],
            is_in_place: true,
        };
        if before.len() == now.len() {
            carried.pair(before, now, 0..now.len());
            return carried;
        }
        // Mostly some came or went at one place.
        let is_same =
            |(one, other): &(&Arc<PlannedZone>, &Arc<PlannedZone>)| Arc::ptr_eq(one, other);
        let head = before.iter().zip(now).take_while(is_same).count();
        let tails = before[head..].iter().rev().zip(now[head..].iter().rev());
        let tail = tails.take_while(is_same).count();
        carried.before.extend((0..head).map(|idx| Some(ZoneId::at(idx))));
        carried.find(before, now, (head..before.len() - tail, head..now.len() - tail));
        let tail = before.len() - tail..before.len();
        carried.is_in_place &= tail.is_empty();
        carried.before.extend(tail.map(|idx| Some(ZoneId::at(idx))));
        carried
    }

    /// Compares as many zones, place by place. Where others have changed places, they are searched.
    fn pair(&mut self, before: &[Arc<PlannedZone>], now: &[Arc<PlannedZone>], all: Range<usize>) {
        let differs = |idx: &usize| !Arc::ptr_eq(&before[*idx], &now[*idx]);
        let other: Vec<usize> = all.clone().filter(differs).collect();
        let stays = |idx: &usize| before[*idx].zone.apex() == now[*idx].zone.apex();
        if !other.iter().all(stays) {
            self.find(before, now, (all.clone(), all));
            return;
        }
        self.before.extend(all.map(|idx| Some(ZoneId::at(idx))));
        for idx in other {
            let id = ZoneId::at(idx);
            self.before[idx] = None;
            self.fresh.push(id);
            self.gone.push(id);
        }
    }

    /// Finds the zones of one range in the other.
    fn find(
        &mut self,
        before: &[Arc<PlannedZone>],
        now: &[Arc<PlannedZone>],
        (old, new): (Range<usize>, Range<usize>),
    ) {
        let address = |it: &Arc<PlannedZone>| Arc::as_ptr(it).addr();
        let mut left: HashMap<usize, ZoneId> =
            old.map(|idx| (address(&before[idx]), ZoneId::at(idx))).collect();
        for idx in new {
            let id = ZoneId::at(idx);
            let found = left.remove(&address(&now[idx]));
            self.is_in_place &= found.is_none_or(|it| it == id);
            self.before.push(found);
            if found.is_none() {
                self.fresh.push(id);
            }
        }
        self.gone.extend(left.into_values());
        self.gone.sort_unstable();
    }

    /// Whether what is known by place is good for all zones that are the same.
    pub(super) fn is_in_place(&self) -> bool {
        self.is_in_place
    }

    /// Whether so little changed that it is followed name by name, and nothing is done for all.
    pub(super) fn is_little(&self) -> bool {
        let n_changed = self.fresh.len() + self.gone.len();
        self.is_in_place && LITTLE_DIVISOR * n_changed <= self.before.len().max(4 * LITTLE_DIVISOR)
    }

    /// Whether each zone that is not the same stands where another one stood.
    pub(super) fn is_one_for_one(&self) -> bool {
        self.is_in_place && self.fresh == self.gone
    }

    /// The zones that are new, or say something else.
    pub(super) fn fresh(&self) -> &[ZoneId] {
        &self.fresh
    }

    /// The zones of before that are gone, or said something else.
    pub(super) fn gone(&self) -> &[ZoneId] {
        &self.gone
    }

    /// For each zone that is the same, its number before and now.
    pub(super) fn kept(&self) -> impl Iterator<Item = (ZoneId, ZoneId)> {
        self.before
            .iter()
            .zip((0..).map(ZoneId))
            .filter_map(|(before, now)| Some(((*before)?, now)))
    }

    /// The names that are to be decided anew: those of other zones, those whose pools are names,
    /// those with a demand, where these pour anew, and those that were to be decided anew before.
    pub(super) fn stale(
        &self,
        zones: &[Arc<PlannedZone>],
        aliases: &Aliases,
        stale_before: &Places,
        pours_anew: bool,
    ) -> Places {
        let mut places = aliases.owners().to_vec();
        places.extend(names_in(zones, &self.fresh).map(|(place, _)| place));
        // What is known of probes may have changed since the latest snapshot.
        if self.is_in_place {
            let is_kept = |it: &&Place| self.before.get(it.0.idx()).copied().flatten().is_some();
            places.extend(stale_before.iter().filter(is_kept));
        } else if !stale_before.is_empty() {
            let now: HashMap<ZoneId, ZoneId> = self.kept().collect();
            places
                .extend(stale_before.iter().filter_map(|(zone, id)| Some((*now.get(zone)?, *id))));
        }
        if pours_anew {
            let pour = all_names(zones).filter(|(_, it)| it.policy.demand.is_some());
            places.extend(pour.map(|(place, _)| place));
        }
        let mut stale = Places::default();
        aliases.mark(&places, &mut stale);
        stale
    }

    /// What a name gave in the latest snapshot.
    pub(super) fn given(&self, latest: &Snapshot, (zone, id): Place) -> Option<Arc<Steered>> {
        let before = self.before[zone.idx()]?;
        Some(Arc::clone(&latest.zones()[before.idx()].steered[id.idx()]))
    }

    /// The next snapshot, in which the names of `fresh` give something else.
    pub(super) fn snapshot(
        &self,
        plan: &[Arc<PlannedZone>],
        cells: &[Arc<ZoneCells>],
        latest: &Snapshot,
        fresh: &ByPlace<Arc<Steered>>,
    ) -> Snapshot {
        let mut touched: HashSet<ZoneId> = fresh.keys().map(|(zone, _)| *zone).collect();
        touched.extend(&self.fresh);
        let serve = |id: ZoneId| self.serve(id, (&plan[id.idx()], &cells[id.idx()]), latest, fresh);
        if self.is_in_place && latest.zones().len() == plan.len() {
            return latest.with_replaced(touched.into_iter().map(|id| (id, serve(id))));
        }
        let zone = |(id, before): (ZoneId, &Option<ZoneId>)| match before {
            Some(before) if !touched.contains(&id) => latest.zones()[before.idx()].clone(),
            _ => serve(id),
        };
        latest.with_zones((0..).map(ZoneId).zip(&self.before).map(zone).collect())
    }

    fn serve(
        &self,
        id: ZoneId,
        (planned, cells): (&PlannedZone, &Arc<ZoneCells>),
        latest: &Snapshot,
        fresh: &ByPlace<Arc<Steered>>,
    ) -> Served {
        let steered = (0..planned.steered.len()).map(|idx| {
            let place = (id, SteeredId::at(idx));
            let now = fresh.get(&place).cloned();
            now.or_else(|| self.given(latest, place)).expect("new names are decided")
        });
        let (zone, cells) = (Arc::clone(&planned.zone), Arc::clone(cells));
        Served { zone, steered: steered.collect(), cells }
    }
}

/// The steered names of some zones, and where they are.
pub(super) fn names_in<'p>(
    zones: &'p [Arc<PlannedZone>],
    ids: &'p [ZoneId],
) -> impl Iterator<Item = (Place, &'p PlannedName)> {
    ids.iter().flat_map(|id| names_of(*id, &zones[id.idx()]))
}

/// Those of all.
pub(super) fn all_names(zones: &[Arc<PlannedZone>]) -> impl Iterator<Item = (Place, &PlannedName)> {
    (0..).map(ZoneId).zip(zones).flat_map(|(id, zone)| names_of(id, zone))
}

fn names_of(zone: ZoneId, planned: &PlannedZone) -> impl Iterator<Item = (Place, &PlannedName)> {
    (0..).map(SteeredId).zip(&planned.steered).map(move |(id, name)| ((zone, id), name))
}
