//! Streams: from names with a demand to loads of regions, and back to what their clients get.
//!
//! ```text
//!   names, each with ---> flows, one per class ---> spill ---> loads of regions
//!   its decisions         of clients and family           '--> decisions with other weights
//! ```
//!
//! # Whose load is whose
//!
//! A name's demand is split over the address families that give a class an answer, evenly: a client
//! asks for both and uses one. Over classes it is split by their parts ([`View::parts`]), or as
//! whoever asks knows better. What is poured alike, whatever name it is of, is one flow.
//!
//! # Invariants
//!
//! - What no full region concerns keeps its decision to the letter.
//!
//! Not here: how demand is poured (`spill`).

use std::collections::{HashMap, hash_map::Entry};

use super::{
    Candidates, Condition, Decision, Outcome, Outlook, Policy, PoolSet, SHARE_WHOLE, View,
    choose::{among, respread},
    spill::{Flow, Spilled, Stand, spill},
};
use crate::{
    geo::{Geo, PlaceId},
    limits::SPILL_WHOLE,
    steer::ClassId,
    wire::Family,
};

/// A region, as far as demand is poured into it.
#[derive(Debug, Clone, PartialEq)]
pub struct Basin {
    /// Its name.
    pub region: Box<str>,
    /// What it can take now, its dial counted in, in the operator's unit; none: nobody says.
    pub capacity: Option<f64>,
    /// What it is given, in the operator's unit.
    pub load: f64,
}

impl Basin {
    /// Whether it is given all that it can take, or more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.capacity.is_some_and(|it| it * (1.0 - NEAR) <= self.load)
    }

    /// Whether it is given more than it can take.
    #[must_use]
    pub fn is_overloaded(&self) -> bool {
        self.capacity.is_some_and(|it| it * (1.0 + NEAR) < self.load)
    }
}

/// Names that do not differ in anything, with what they give before anything spills.
#[derive(Debug)]
pub struct Stream<'s> {
    /// How they are answered; those without a demand do not count.
    pub policy: &'s Policy,
    /// What the policy sees of clients.
    pub view: &'s View,
    /// By class: its part of the demand; their sum is 1.
    pub parts: &'s [f64],
    /// How many such names there are.
    pub n_names: usize,
    /// What is given for each family.
    pub branches: Vec<Branch<'s>>,
}

/// What names give for one family before anything spills.
#[derive(Debug)]
pub struct Branch<'s> {
    /// The family.
    pub family: Family,
    /// By pool and endpoint.
    pub conditions: &'s [Vec<Condition>],
    /// What each client gets.
    pub outlook: &'s Outlook,
}

/// Where everything went.
#[derive(Debug)]
pub struct Flood {
    /// By basin: its load.
    pub loads: Vec<f64>,
    /// By stream and branch: what clients get, where that differs for any.
    pub changed: Vec<Vec<Option<Changed>>>,
}

/// What clients get for one family of names, where a full region concerns them.
#[derive(Debug)]
pub struct Changed {
    /// Each at least once.
    decisions: Vec<Decision>,
    /// By class: the place of its decision, if that differs.
    numbers: Box<[Option<usize>]>,
}

impl Changed {
    /// What the clients of a class get; none: as without any spill.
    #[must_use]
    pub fn of_class(&self, class: ClassId) -> Option<&Decision> {
        self.numbers[usize::from(class.0)].map(|it| &self.decisions[it])
    }
}

/// Loads and parts closer than this part of one count as equal.
const NEAR: f64 = 1e-6;

/// Pours the demand of names over regions.
#[must_use]
pub fn flood(basins: &[Basin], streams: &[Stream<'_>]) -> Flood {
    let places: HashMap<&str, usize> =
        basins.iter().enumerate().map(|(idx, it)| (&*it.region, idx)).collect();
    let stands: Vec<Vec<Vec<Stand>>> = streams
        .iter()
        .map(|stream| {
            let stands = |it: &Branch<'_>| stands(stream.policy, it.conditions, &places);
            stream.branches.iter().map(stands).collect()
        })
        .collect();
    let mut flows = Flows::default();
    for (at, (stream, stands)) in streams.iter().zip(&stands).enumerate() {
        let kinds: Vec<usize> = stands.iter().map(|it| flows.kind_of(stream.policy, it)).collect();
        flows_of(stream, stands, &mut |branch, class, flow| {
            flows.add(kinds[branch], (at, branch, class), flow);
        });
    }
    let capacities: Vec<f64> =
        basins.iter().map(|it| it.capacity.unwrap_or(f64::INFINITY)).collect();
    let Spilled { shares, loads } = spill(&capacities, &flows.list);
    let weights = flows.list.iter().zip(shares).map(|(flow, shares)| weights(flow, shares));
    let changed = changed(streams, &weights.collect::<Vec<_>>(), &flows.whose);
    Flood { loads, changed }
}

/// What flows with other `weights` make of the decisions; those of equal weights are made once.
fn changed(
    streams: &[Stream<'_>],
    weights: &[Option<Vec<(usize, u64)>>],
    whose: &[(Whose, usize)],
) -> Vec<Vec<Option<Changed>>> {
    let mut changed: Vec<Vec<Option<Changed>>> =
        streams.iter().map(|it| it.branches.iter().map(|_| None).collect()).collect();
    let mut made: HashMap<Made<'_>, usize> = HashMap::new();
    for ((at, branch, class), flow) in whose {
        let Some(weights) = &weights[*flow] else { continue };
        let Stream { policy, view, branches, .. } = &streams[*at];
        let Branch { family, conditions, outlook } = &branches[*branch];
        let footing = outlook.of_class(*class).footing;
        let changed = changed[*at][*branch].get_or_insert_with(|| Changed {
            decisions: Vec::new(),
            numbers: vec![None; view.classes().len()].into(),
        });
        let number = *made.entry((*at, *branch, footing as u8, weights)).or_insert_with(|| {
            changed.decisions.push(respread(policy, conditions, *family, footing, weights));
            changed.decisions.len() - 1
        });
        changed.numbers[usize::from(class.0)] = Some(number);
    }
    changed
}

/// A stream, a branch, a footing and weights: what a decision is made of.
type Made<'m> = (usize, usize, u8, &'m [(usize, u64)]);

/// The stream, the branch and the class of clients.
type Whose = (usize, usize, ClassId);

/// What pouring knows of the pools of names besides their classes: of each pool its tier, weight and
/// fence, and where it stands, with the bits of its ramp and its share.
type Kind = Vec<(u16, u32, bool, Option<usize>, u64, u64)>;

/// A kind, the place of a class in memory, the pools that may be answered from, and the first choice.
type Likeness = (usize, usize, PoolSet, Vec<(usize, u64)>);

/// Flows, those that are poured alike as one.
#[derive(Default)]
struct Flows<'f> {
    list: Vec<Flow<'f>>,
    /// Who is in which flow.
    whose: Vec<(Whose, usize)>,
    kinds: HashMap<Kind, usize>,
    alike: HashMap<Likeness, usize>,
}

impl<'f> Flows<'f> {
    /// The number of the kind that a policy is whose pools stand there.
    fn kind_of(&mut self, policy: &Policy, stands: &[Stand]) -> usize {
        let kind = policy.pools.iter().zip(stands).map(|(pool, stand)| {
            let (ramp, share) = (stand.ramp.to_bits(), stand.share.to_bits());
            (pool.tier, pool.weight, pool.fence, stand.region, ramp, share)
        });
        let number = self.kinds.len();
        *self.kinds.entry(kind.collect()).or_insert(number)
    }

    fn add(&mut self, kind: usize, whose: Whose, flow: Flow<'f>) {
        let first = flow.first.iter().map(|(pool, part)| (*pool, part.to_bits())).collect();
        // Names that see the same share their view, and so its classes.
        let class = std::ptr::from_ref(flow.class).addr();
        match self.alike.entry((kind, class, flow.among, first)) {
            Entry::Occupied(it) => {
                self.list[*it.get()].demand += flow.demand;
                self.whose.push((whose, *it.get()));
            }
            Entry::Vacant(it) => {
                it.insert(self.list.len());
                self.whose.push((whose, self.list.len()));
                self.list.push(flow);
            }
        }
    }
}

/// Where the pools of a policy stand.
fn stands(
    policy: &Policy,
    conditions: &[Vec<Condition>],
    places: &HashMap<&str, usize>,
) -> Vec<Stand> {
    let stand = |(pool, conditions): (&super::Pool, &Vec<Condition>)| {
        let region = pool.region.as_ref().and_then(|it| places.get(&**it)).copied();
        let most = |part: fn(&Condition) -> f64| conditions.iter().map(part).fold(0.0, f64::max);
        let ramp = most(|it| f64::from(it.ramp) / 100.0);
        #[allow(clippy::cast_precision_loss)] // At most `SHARE_WHOLE`.
        let share = most(|it| it.share() as f64 / SHARE_WHOLE as f64);
        // A pool that gets nothing has no flows; and a ramp is above 0.
        Stand { region, ramp: if ramp <= 0.0 { 1.0 } else { ramp }, share }
    };
    policy.pools.iter().zip(conditions).map(stand).collect()
}

/// The flows of a stream, each with its branch and class.
fn flows_of<'s>(
    stream: &Stream<'s>,
    stands: &'s [Vec<Stand>],
    take: &mut dyn FnMut(usize, ClassId, Flow<'s>),
) {
    let Some(demand) = stream.policy.demand else { return };
    #[allow(clippy::cast_precision_loss)] // Nobody has 2^53 names.
    let demand = demand.amount() * stream.n_names as f64;
    let mut amongs: Vec<HashMap<u8, PoolSet>> = vec![HashMap::new(); stream.branches.len()];
    for (id, class) in (0..).map(ClassId).zip(stream.view.classes()) {
        let drawn = |it: &Branch<'_>| draw(it.outlook.of_class(id)).is_some();
        let n_families = stream.branches.iter().filter(|it| drawn(it)).count();
        for (idx, branch) in stream.branches.iter().enumerate() {
            let decision = branch.outlook.of_class(id);
            let Some(candidates) = draw(decision) else { continue };
            let footing = decision.footing;
            let among = *amongs[idx]
                .entry(footing as u8)
                .or_insert_with(|| among(stream.policy, branch.conditions, branch.family, footing));
            #[allow(clippy::cast_precision_loss)] // A weight's last digits do not matter.
            let part = |it: &super::Candidate| (usize::from(it.pool), it.weight as f64);
            // What is answered from may be older than the policy (`last_good`).
            let pools =
                candidates.pools.iter().filter(|it| usize::from(it.pool) < stands[idx].len());
            let first: Vec<_> = pools.map(part).collect();
            #[allow(clippy::cast_precision_loss)] // There are two.
            let flow = Flow {
                demand: demand * stream.parts[usize::from(id.0)] / n_families as f64,
                policy: stream.policy,
                class,
                among,
                first,
                stands: &stands[idx],
            };
            if !flow.first.is_empty() && 0.0 < flow.demand {
                take(idx, id, flow);
            }
        }
    }
}

/// What is drawn from, if anything is.
fn draw(decision: &Decision) -> Option<&Candidates> {
    match &decision.outcome {
        Outcome::Draw(candidates) => Some(candidates),
        _ => None,
    }
}

/// The weights by which the clients of a flow are drawn; none: as without any spill.
fn weights(flow: &Flow<'_>, mut shares: Vec<(usize, f64)>) -> Option<Vec<(usize, u64)>> {
    let sum: f64 = flow.first.iter().map(|(_, part)| part).sum();
    let part_before = |pool: usize| {
        flow.first.iter().find(|(it, _)| *it == pool).map_or(0.0, |(_, part)| part / sum)
    };
    for (_, load) in &mut shares {
        *load /= flow.demand;
    }
    shares.retain(|(_, part)| NEAR <= *part);
    shares.sort_by_key(|(pool, _)| *pool);
    let is_like_before = |(pool, part): &(usize, f64)| (part - part_before(*pool)).abs() < NEAR;
    if shares.iter().all(is_like_before) {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Between 0 and a whole.
    let weight = |part: f64| ((part * SPILL_WHOLE).round() as u64).max(1);
    Some(shares.into_iter().map(|(pool, part)| (pool, weight(part))).collect())
}

impl View {
    /// The parts that classes have of all clients, by their places; their sum is 1. Where clients are
    /// nobody knows: each IPv4 /24 of which a place is known counts as one, and a class of less than
    /// that as one in all.
    #[must_use]
    pub fn parts(&self, geo: &Geo) -> Box<[f64]> {
        let mut counts = vec![0.0; self.classes().len()];
        if 1 < counts.len() {
            let lines =
                geo.v4.overlay(self.v4(), |place, class| (place != PlaceId::NOWHERE, class));
            for (run, (_, class)) in lines.runs().filter(|(_, (is_known, _))| *is_known) {
                counts[usize::from(class.0)] += (f64::from(run.last - run.first) + 1.0) / 256.0;
            }
        }
        let counts = counts.into_iter().map(|it: f64| it.max(1.0));
        let sum: f64 = counts.clone().sum();
        counts.map(|it| it / sum).collect()
    }
}
