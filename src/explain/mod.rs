//! Explanations: what a client gets, and why, stage by stage.
//!
//! ```text
//!   name, family --> Steered --down?--> what_if: the same with some regions down
//!   client --> Seat --> class -----choose----> Stages   -> sentences (stages)
//!                  '--> outlook ---look------> Decision -> candidates, TTL, scope
//! ```
//!
//! # Invariants
//!
//! - Nothing is decided here: the decision is the one that packets draw from, and the stages are those
//!   that [`choose`] gives for the same class and conditions.
//! - Pure: no clock, no chance, no I/O.
//! - A pool that is another name is explained by that name's explanation for the same client.
//!
//! Not here: JSON and HTTP (`api`), and what is read by people at a terminal (`cli`).

mod spill;
mod stages;
mod text;
mod what_if;

use std::{net::IpAddr, sync::Arc};

pub use text::{for_dns, percent};

use crate::{
    dice::Roll,
    geo::{Place, Prefix},
    limits::ALIAS_DEPTH_MAX,
    snapshot::{FamilyNow, Lead, Snapshot, Steered},
    steer::{self, Candidates, Footing, Member, Outcome, Seat, choose},
    wire::{Family, Folded, Name, Rtype},
    zone::Found,
};
use what_if::WhatIf;

/// What is to be explained.
#[derive(Debug, Clone)]
pub struct Question<'q> {
    /// A steered name.
    pub name: &'q Name,
    /// The type of the question.
    pub qtype: Rtype,
    /// The network that the client names, if it does.
    pub subnet: Option<Prefix>,
    /// Where the question comes from.
    pub client: IpAddr,
    /// Regions that are taken to be down, whatever they are.
    pub down: &'q [Box<str>],
}

/// Why there is nothing to explain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unexplained {
    /// The name is in none of the zones.
    NoZone,
    /// The zone does not have the name.
    NoName,
    /// The name is an alias, or what is asked for is fixed: all clients get the same.
    NotSteered,
}

/// What a client gets for one type of a steered name, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The name.
    pub name: Name,
    /// The type of the records.
    pub rtype: Rtype,
    /// From where the client looks.
    pub seat: Seat,
    /// What is known of it.
    pub place: Place,
    /// Bits of its address for which that is known.
    pub place_len: u8,
    /// In their order.
    pub stages: Vec<Stage>,
    /// What an answer is drawn from; empty: there is none.
    pub candidates: Vec<Candidate>,
    /// What the answer rests on.
    pub footing: Footing,
    /// What kind of answer there is.
    pub result: Answer,
    /// Seconds an answer may be kept, the least that can be drawn.
    pub ttl: u32,
    /// The most that can be drawn.
    pub ttl_max: u32,
    /// Why.
    pub ttl_reason: String,
    /// Bits of the client's address for which all this is true.
    pub scope: u8,
    /// Why.
    pub scope_reason: String,
}

/// What kind of answer there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Records.
    Records,
    /// NOERROR without any.
    NoData,
    /// SERVFAIL, because there is nothing left.
    Unreachable,
    /// SERVFAIL, because the first probes are not over.
    NotReady,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Its name.
    pub stage: &'static str,
    /// What went in: pools, but for the first stage.
    pub given: Vec<String>,
    /// What remained: pools, but for the first and the last stage.
    pub left: Vec<String>,
    /// Why, in a sentence.
    pub why: String,
}

/// A pool that an answer may be drawn from.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its name.
    pub pool: Box<str>,
    /// Its effective weight among the candidates.
    pub weight: u64,
    /// How often this client gets it, from 0 to 1.
    pub probability: f64,
    /// What it hands out; to a sticky client that gets it, in this order.
    pub endpoints: Vec<Endpoint>,
    /// What the other name that it is gives to the client.
    pub nested: Option<Nested>,
}

/// An endpoint that an answer may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address or name.
    pub target: String,
    /// Its weight in the pool.
    pub weight: u64,
    /// Seconds an answer with it may be kept.
    pub ttl: u32,
}

/// What an alias leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Nested {
    /// A steered name.
    Steered(Box<Explanation>),
    /// Fixed records, and the seconds they may be kept.
    Fixed(u32),
    /// Nothing of the type.
    Nothing,
}

/// Explains what a client gets.
///
/// # Errors
///
/// Says why there is nothing to explain.
pub fn explain(snapshot: &Snapshot, question: &Question<'_>) -> Result<Explanation, Unexplained> {
    let mut name = Folded::default();
    name.fold(question.name.as_wire()).expect("a name is valid");
    let served = snapshot.zone(&name, question.qtype).ok_or(Unexplained::NoZone)?;
    let (id, family) = match served.zone.find(&name, question.qtype) {
        Found::Steered(id, family) => (id, family),
        Found::Nothing => return Err(Unexplained::NoName),
        _ => return Err(Unexplained::NotSteered),
    };
    let negative_ttl = served.zone.negative_soa().ttl;
    let mut teller = Teller {
        snapshot,
        seat: Seat::of(&snapshot.geo, question.subnet, question.client),
        client: question.client,
        what_if: WhatIf::new(snapshot, question.down),
    };
    let mut told = teller.tell(&served.steered[id.idx()], question.name, family, 0);
    if told.result == Answer::NoData && negative_ttl < told.ttl {
        (told.ttl, told.ttl_max) = (negative_ttl, negative_ttl);
        told.ttl_reason = format!("{negative_ttl} s, as the zone's SOA says for what is not there");
    }
    Ok(told)
}

/// The regions that pools of a snapshot are in, in order, each once.
#[must_use]
pub fn regions(snapshot: &Snapshot) -> Vec<Box<str>> {
    let steered = snapshot.zones().iter().flat_map(|zone| zone.steered.iter());
    let pools = steered.flat_map(|it| &it.policy.pools);
    let mut regions: Vec<Box<str>> = pools.filter_map(|pool| pool.region.clone()).collect();
    regions.sort_unstable();
    regions.dedup();
    regions
}

/// Explains for one client.
struct Teller<'s> {
    snapshot: &'s Snapshot,
    seat: Seat,
    /// Where the question comes from, whether that counts or not.
    client: IpAddr,
    what_if: WhatIf<'s>,
}

/// What a name gives to one client, and how that came about.
struct Told<'t> {
    steered: &'t Steered,
    now: &'t FamilyNow,
    seat: &'t Seat,
    place: &'t Place,
    class: &'t steer::Class,
    stages: steer::Stages,
    overflow: Option<steer::Overflow>,
    /// What would be given if every region had room.
    base: &'t steer::Decision,
    /// The regions, with what they are given.
    basins: &'t [steer::Basin],
    decision: &'t steer::Decision,
    candidates: &'t [Candidate],
}

impl Teller<'_> {
    fn tell(
        &mut self,
        steered: &Arc<Steered>,
        name: &Name,
        family: Family,
        depth: usize,
    ) -> Explanation {
        let steered = self.what_if.steered(steered, depth);
        let now = steered.family(family).expect("the zone knows the name's families");
        let (_, class) = steered.view.class(self.seat.address);
        let (decision, scope_len) = now.outlook.look(self.seat.address);
        let choice = choose(&steered.policy, class, &now.conditions, family, Some(decision));
        let candidates = match &decision.outcome {
            Outcome::Draw(drawn) => self.candidates(&steered, drawn, family, depth),
            _ => Vec::new(),
        };
        let (geo, basins) = (Arc::clone(&self.snapshot.geo), Arc::clone(self.what_if.basins()));
        let located = geo.locate(self.seat.address);
        let told = Told {
            steered: &steered,
            now,
            seat: &self.seat,
            place: located.place,
            class,
            stages: choice.stages,
            overflow: choice.overflow,
            base: &choice.decision,
            basins: &basins,
            decision,
            candidates: &candidates,
        };
        let stages = told.stages(self.client, located.prefix_len, self.snapshot);
        let (ttl, ttl_max, ttl_reason) = told.ttl();
        let (scope, scope_reason) = told.scope(scope_len);
        Explanation {
            name: name.clone(),
            rtype: family.rtype(),
            seat: self.seat,
            place: *located.place,
            place_len: located.prefix_len,
            stages,
            footing: footing(decision.footing, &candidates),
            result: result(&decision.outcome, &candidates),
            candidates,
            ttl,
            ttl_max,
            ttl_reason,
            scope,
            scope_reason,
        }
    }

    fn candidates(
        &mut self,
        steered: &Steered,
        drawn: &Candidates,
        family: Family,
        depth: usize,
    ) -> Vec<Candidate> {
        // A sticky client's network picks, and no roll.
        let picked = drawn.draw(self.seat.network, &mut Roll(0));
        let members = drawn.draw_members(picked, self.seat.network, &mut Roll(0));
        let mut candidates = Vec::with_capacity(drawn.pools.len());
        for it in &drawn.pools {
            #[allow(clippy::cast_precision_loss)] // A share's last digits do not matter.
            let share = it.weight as f64 / drawn.weight_sum as f64;
            let is_picked = it.pool == picked.pool;
            // What is answered from may be older than the policy (`last_good`).
            let pool = steered.policy.pools.get(usize::from(it.pool));
            let nested = it.is_alias.then(|| self.nested(&it.members[0].rdata, family, depth));
            candidates.push(Candidate {
                pool: pool.map_or_else(|| "(gone)".into(), |pool| pool.name.clone()),
                weight: it.weight,
                probability: if drawn.sticky { f64::from(u8::from(is_picked)) } else { share },
                endpoints: if drawn.sticky && is_picked {
                    members.members().map(|member| endpoint(member, family)).collect()
                } else {
                    it.members.iter().map(|member| endpoint(member, family)).collect()
                },
                nested,
            });
        }
        candidates
    }

    fn nested(&mut self, name: &[u8], family: Family, depth: usize) -> Nested {
        match self.snapshot.lead(name, family) {
            Lead::Steered(steered, _) if depth < ALIAS_DEPTH_MAX => {
                let name = Name::from_wire(name).expect("an alias is a valid name");
                Nested::Steered(Box::new(self.tell(steered, &name, family, depth + 1)))
            }
            Lead::Fixed(set) => Nested::Fixed(set.ttl),
            _ => Nested::Nothing,
        }
    }
}

fn endpoint(member: &Member, family: Family) -> Endpoint {
    let target = match (family, &*member.rdata) {
        (Family::V4, &[a, b, c, d]) => IpAddr::from([a, b, c, d]).to_string(),
        (Family::V6, octets) if octets.len() == 16 => {
            IpAddr::from(*octets.first_chunk::<16>().expect("there are 16")).to_string()
        }
        (_, name) => crate::wire::name::text(name),
    };
    Endpoint { target, weight: member.weight, ttl: member.ttl }
}

impl Candidate {
    /// The explanation of the steered name that it is.
    #[must_use]
    pub fn explanation(&self) -> Option<&Explanation> {
        match &self.nested {
            Some(Nested::Steered(explanation)) => Some(explanation),
            _ => None,
        }
    }
}

/// Those that this client may get: all but the ones that stickiness keeps from it.
fn possible(candidates: &[Candidate]) -> impl Iterator<Item = &Candidate> + Clone {
    candidates.iter().filter(|it| 0.0 < it.probability)
}

/// That of the name, or of a name that it leads to when that alone is not healthy.
fn footing(own: Footing, candidates: &[Candidate]) -> Footing {
    let nested = possible(candidates).filter_map(Candidate::explanation).map(|it| it.footing);
    [own].into_iter().chain(nested).find(|it| *it != Footing::Healthy).unwrap_or(own)
}

/// Records, as soon as any candidate leads to some.
fn result(outcome: &Outcome, candidates: &[Candidate]) -> Answer {
    let of = |candidate: &Candidate| match &candidate.nested {
        None | Some(Nested::Fixed(_)) => Answer::Records,
        Some(Nested::Steered(nested)) => nested.result,
        Some(Nested::Nothing) => Answer::NoData,
    };
    match outcome {
        Outcome::Draw(_) => {
            let mut results = possible(candidates).map(of);
            let first = results.next().unwrap_or(Answer::NoData);
            if results.any(|it| it == Answer::Records) { Answer::Records } else { first }
        }
        Outcome::NoData | Outcome::NoDataFor(_) => Answer::NoData,
        Outcome::NoReachableAuthority => Answer::Unreachable,
        Outcome::NotReady => Answer::NotReady,
    }
}
