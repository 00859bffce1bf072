//! The answer: from a question and a snapshot to a reply.
//!
//! Every decision about what a client is told is made in [`answer`] and [`follow`], in this order:
//!
//! ```text
//!   can it be answered at all?  --no-->  BADVERS, FORMERR, REFUSED
//!   is there a zone?            --no-->  REFUSED
//!   is `explain.<name>` asked?  --yes->  how an answer of that name comes about
//!   what does the zone say?
//!     records                  -> they, and the addresses of the hosts they name
//!     steered                  -> decision? -> draw
//!     alias, redirect          -> the record, and on with its target
//!     cut                      -> referral
//!     no such type, no such name -> the SOA
//! ```
//!
//! # Invariants
//!
//! - Synchronous, total and pure: no clock, no I/O, no locks, no `Result`. What the answer depends
//!   on is in the arguments; what can go wrong is a response code.
//! - All branching is here. The functions it calls do one thing and do not decide.
//!
//! Not here: who is answered at all (`serve::engine`), where a name falls (`zone::find`), what a
//! steered name gives (`steer`), and how a reply becomes bytes (`wire::reply`).

use std::net::IpAddr;

use crate::{
    dice::Roll,
    explain,
    geo::Prefix,
    limits::{ALIAS_DEPTH_MAX, CHAIN_LEN_MAX, NAME_LEN_MAX},
    snapshot::{Lead, Served, Snapshot, Steered},
    steer::{Candidates, Drawn, Outcome, PoolSet, Seat},
    wire::{
        Ede, Family, Folded, Query, Rcode, Reply, Rtype, Section,
        name::suffix_at,
        query::CLASS_IN,
        reply::{Apex, Owner, Place, RecordSet},
    },
    zone::{Found, Glue},
};

/// Seconds that the stand-in for "all types" may be kept (RFC 8482 section 4.2).
const ANY_TTL: u32 = 3600;

/// Answers `query` into `reply`. `client` is the address it came from.
pub fn answer(
    snapshot: &Snapshot,
    query: &Query<'_>,
    client: IpAddr,
    roll: Roll,
    reply: &mut Reply<'_>,
) -> Rcode {
    if let Some(rcode) = refuse(query, reply) {
        return rcode;
    }
    let Some(served) = snapshot.zone(query.name, query.qtype) else {
        reply.set_ede(Ede::NOT_AUTHORITATIVE);
        return Rcode::REFUSED;
    };
    if query.qtype == Rtype::TXT
        && let Some(rcode) = put_explanation(served, snapshot, query, client, reply)
    {
        return rcode;
    }
    let at = Spot { served, name: query.name, place: Some(Place::QUESTION) };
    let mut asking = Asking { snapshot, query, client, redirects: Hashes::default(), roll };
    match follow(&at, &mut asking, reply) {
        Step::Done(rcode) => rcode,
        Step::Next(target) => chase(&mut asking, target, reply),
    }
}

/// The network on whose behalf a question is asked.
fn subnet(query: &Query<'_>) -> Option<Prefix> {
    let subnet = query.edns?.subnet?;
    Some(Prefix::around(subnet.address, subnet.source_len))
}

/// Puts the explanation that `explain.<name> TXT` asks for, if who asks may see it, the name is
/// steered and the zone has no name of its own there.
///
/// The one answer that allocates: it is made of sentences, and for those whom `explain_from` names.
fn put_explanation(
    served: &Served,
    snapshot: &Snapshot,
    query: &Query<'_>,
    client: IpAddr,
    reply: &mut Reply<'_>,
) -> Option<Rcode> {
    let address = Prefix::from(client.to_canonical());
    if !query.name.as_wire().starts_with(b"\x07explain") || served.zone.holds(query.name) {
        return None;
    }
    if !snapshot.explain_from.iter().any(|it| it.holds(&address)) {
        return None;
    }
    let subnet = subnet(query);
    let lines = explain::for_dns(snapshot, query.name.suffix(1).0, subnet, client)?;
    reply.set_authoritative();
    // It names the client.
    reply.narrow_scope(subnet.map_or(0, |it| it.length()));
    let owner = Owner { name: query.name.as_wire(), place: Some(Place::QUESTION) };
    let apex = Apex { name: served.zone.apex().as_wire(), place: None };
    let records = lines.iter().map(Vec::as_slice);
    reply.put_data(Section::Answer, owner, (Rtype::TXT, 0), records, apex);
    Some(Rcode::NOERROR)
}

/// What is no question for a zone.
fn refuse(query: &Query<'_>, reply: &mut Reply<'_>) -> Option<Rcode> {
    match query.edns {
        // RFC 6891 section 6.1.3.
        Some(edns) if edns.version != 0 => return Some(Rcode::BADVERS),
        Some(edns) if edns.malformed => return Some(Rcode::FORMERR),
        _ => {}
    }
    if query.qclass != CLASS_IN {
        reply.set_ede(Ede::NOT_SUPPORTED);
        return Some(Rcode::REFUSED);
    }
    if matches!(query.qtype, Rtype::AXFR | Rtype::IXFR) {
        reply.set_ede(Ede::PROHIBITED);
        return Some(Rcode::REFUSED);
    }
    None
}

/// Who asks for what, and what was drawn and followed on the way to the answer.
struct Asking<'a> {
    snapshot: &'a Snapshot,
    query: &'a Query<'a>,
    client: IpAddr,
    redirects: Hashes,
    roll: Roll,
}

/// A name in its zone, and where it stands in the reply.
struct Spot<'s, 'n> {
    served: &'s Served,
    name: &'n Folded,
    place: Option<Place>,
}

/// What one name of a chain comes to.
#[allow(clippy::large_enum_variant)] // On the stack, for as long as a chain is followed.
enum Step {
    /// The end.
    Done(Rcode),
    /// On with another name, which stands in the reply.
    Next(Chained),
}

/// Names of a chain, by their hashes: two that share one end the chain early, which is true still.
#[derive(Default)]
struct Hashes {
    hashes: [u64; CHAIN_LEN_MAX],
    len: usize,
}

impl Hashes {
    /// Adds a name; whether it is new.
    fn insert(&mut self, hash: u64) -> bool {
        let is_new = !self.hashes[..self.len].contains(&hash);
        if is_new {
            self.hashes[self.len] = hash;
            self.len += 1;
        }
        is_new
    }
}

/// The target of a CNAME.
struct Chained {
    name: [u8; NAME_LEN_MAX],
    len: usize,
    place: Option<Place>,
}

/// Follows a chain through the server's zones (RFC 1034 section 4.3.2, step 3a).
fn chase(asking: &mut Asking<'_>, mut target: Chained, reply: &mut Reply<'_>) -> Rcode {
    let query = asking.query;
    let mut name = Folded::default();
    let mut seen = Hashes::default();
    seen.insert(query.name.suffix(0).1);
    for _ in 1..CHAIN_LEN_MAX {
        name.fold(&target.name[..target.len]).expect("a target is a valid name");
        // A loop: what was said is true, and there is no more to say.
        if !seen.insert(name.suffix(0).1) {
            return Rcode::NOERROR;
        }
        // The chain leaves our zones: the client goes on from there.
        let Some(served) = asking.snapshot.zone(&name, query.qtype) else {
            return Rcode::NOERROR;
        };
        let at = Spot { served, name: &name, place: target.place };
        match follow(&at, asking, reply) {
            Step::Done(rcode) => return rcode,
            Step::Next(next) => target = next,
        }
    }
    Rcode::NOERROR
}

/// Puts what the zone says of one name.
fn follow<'s>(at: &Spot<'s, '_>, asking: &mut Asking<'s>, reply: &mut Reply<'_>) -> Step {
    let qtype = asking.query.qtype;
    let zone = &at.served.zone;
    let apex = at.apex(reply);
    let owner = Owner { name: at.name.as_wire(), place: at.place };
    let is_chased = qtype != Rtype::CNAME && qtype != Rtype::ANY;

    let found = zone.find(at.name, qtype);
    // A referral is not ours to be authoritative about, but at the end of a chain that began here.
    if !matches!(found, Found::Referral(..)) || reply.has_answer() {
        reply.set_authoritative();
    }
    match found {
        Found::Data(set, glue) => {
            reply.put(Section::Answer, owner, &set, apex);
            put_glue(glue, apex, reply);
            Step::Done(Rcode::NOERROR)
        }
        Found::Steered(id, family) => {
            let given = give(&at.served.steered[id.idx()], family, asking, 0, reply);
            let head = (family.rtype(), given.ttl);
            match given.what {
                What::Drawn(drawn) => {
                    let target = put_drawn(&drawn, head, owner, apex, reply);
                    let is_next = family == Family::Name && is_chased;
                    if is_next { Step::Next(target) } else { Step::Done(Rcode::NOERROR) }
                }
                What::Fixed(set) => {
                    reply.put_data(Section::Answer, owner, head, set.records.iter(), apex);
                    Step::Done(Rcode::NOERROR)
                }
                What::NoData => put_negative(at, apex, (Rcode::NOERROR, given.ttl), reply),
                What::Failure(ede) => fail(ede, reply),
            }
        }
        Found::Alias(set) => {
            let target = put_cname(&set, owner, apex, reply);
            if is_chased { Step::Next(target) } else { Step::Done(Rcode::NOERROR) }
        }
        Found::Redirect(dname, above) => {
            // A chain that comes by a second time makes another CNAME of the same DNAME.
            if asking.redirects.insert(at.name.suffix(above).1) {
                reply.put(Section::Answer, at.ancestor(above, reply), &dname, apex);
            }
            // Followed whatever was asked for (RFC 6672 section 3.2, step 3c).
            match put_redirected(&dname, above, at, apex, reply) {
                None => Step::Done(Rcode::YXDOMAIN),
                Some(target) => Step::Next(target),
            }
        }
        Found::Any => {
            put_any(owner, apex, reply);
            Step::Done(Rcode::NOERROR)
        }
        Found::Referral(set, above, glue) => {
            put_referral(&set, above, glue, at, apex, reply);
            Step::Done(Rcode::NOERROR)
        }
        Found::NoData => put_negative(at, apex, (Rcode::NOERROR, u32::MAX), reply),
        Found::Nothing => put_negative(at, apex, (Rcode::NXDOMAIN, u32::MAX), reply),
    }
}

impl<'s, 'n> Spot<'s, 'n> {
    /// The apex of the zone, and where it stands as a part of the name.
    fn apex(&self, reply: &Reply<'_>) -> Apex<'s> {
        let zone = &self.served.zone;
        let above = self.name.label_count() - zone.apex_label_count();
        let place = self.place.and_then(|place| reply.suffix(place, above));
        Apex { name: zone.apex().as_wire(), place }
    }

    /// The name without its first `above` labels.
    fn ancestor(&self, above: usize, reply: &Reply<'_>) -> Owner<'n> {
        let place = self.place.and_then(|place| reply.suffix(place, above));
        Owner { name: self.name.suffix(above).0, place }
    }
}

impl Chained {
    fn new(name: &[u8], place: Option<Place>) -> Self {
        let mut chained = Self { name: [0; NAME_LEN_MAX], len: name.len(), place };
        chained.name[..name.len()].copy_from_slice(name);
        chained
    }
}

/// What a steered name gives to a client.
struct Given<'s> {
    what: What<'s>,
    /// Seconds it may be kept, at most.
    ttl: u32,
}

enum What<'s> {
    /// The endpoints of one draw.
    Drawn(Drawn<'s>),
    /// The records of the fixed name that the drawn pool is.
    Fixed(RecordSet<'s>),
    /// Nothing of the family.
    NoData,
    /// Nothing that may be given.
    Failure(Ede),
}

/// What a steered name gives to the client for a family. A pool that is another name gives what that
/// name does.
fn give<'s>(
    steered: &'s Steered,
    family: Family,
    asking: &mut Asking<'s>,
    depth: usize,
    reply: &mut Reply<'_>,
) -> Given<'s> {
    let now = steered.family(family).expect("the zone knows the name's families");
    let seat = Seat::of(&asking.snapshot.geo, subnet(asking.query), asking.client);
    let (decision, scope_len) = now.outlook.look(seat.address);
    reply.narrow_scope(if seat.is_subnet { scope_len } else { 0 });
    let what = match &decision.outcome {
        Outcome::Draw(candidates) => {
            if candidates.sticky && seat.is_subnet {
                reply.narrow_scope(seat.sticky_len);
            }
            return give_drawn(candidates, seat.network, family, asking, depth, reply);
        }
        Outcome::NoData => What::NoData,
        Outcome::NoDataFor(ttl) => return Given { what: What::NoData, ttl: *ttl },
        Outcome::NoReachableAuthority => What::Failure(Ede::NO_REACHABLE_AUTHORITY),
        Outcome::NotReady => What::Failure(Ede::NOT_READY),
    };
    Given { what, ttl: u32::MAX }
}

/// Draws from what is left for the client. A pool that is another name may have nothing for this
/// client, or nothing at all when all is down: then it is another pool's turn.
fn give_drawn<'s>(
    candidates: &'s Candidates,
    network: u64,
    family: Family,
    asking: &mut Asking<'s>,
    depth: usize,
    reply: &mut Reply<'_>,
) -> Given<'s> {
    let mut drawn = candidates.draw(network, &mut asking.roll);
    let mut tried = PoolSet::default();
    loop {
        let ttl = drawn.ttl();
        if !drawn.pool.is_alias {
            return Given { what: What::Drawn(drawn), ttl };
        }
        let given = give_alias(drawn.first(), family, asking, depth, reply);
        if matches!(given.what, What::Failure(Ede::NO_REACHABLE_AUTHORITY)) {
            tried.insert(usize::from(drawn.pool.pool));
            if let Some(next) = candidates.draw_but(&tried, network, &mut asking.roll) {
                drawn = next;
                continue;
            }
        }
        return Given { ttl: given.ttl.min(ttl), ..given };
    }
}

/// What another name of this server gives to the client.
fn give_alias<'s>(
    name: &[u8],
    family: Family,
    asking: &mut Asking<'s>,
    depth: usize,
    reply: &mut Reply<'_>,
) -> Given<'s> {
    match asking.snapshot.lead(name, family) {
        Lead::Fixed(set) => Given { what: What::Fixed(set), ttl: set.ttl },
        Lead::Steered(steered) if depth < ALIAS_DEPTH_MAX => {
            give(steered, family, asking, depth + 1, reply)
        }
        _ => Given { what: What::NoData, ttl: u32::MAX },
    }
}

/// Puts the endpoints of one draw, and says where the last of them stands: the target when they
/// are names, of which one is drawn (RFC 2181 section 10.1).
fn put_drawn(
    drawn: &Drawn<'_>,
    head: (Rtype, u32),
    owner: Owner<'_>,
    apex: Apex<'_>,
    reply: &mut Reply<'_>,
) -> Chained {
    let records = drawn.members().map(|member| &*member.rdata);
    let place = reply.put_data(Section::Answer, owner, head, records, apex);
    Chained::new(drawn.first(), place)
}

/// Puts a CNAME and gives its target.
fn put_cname(
    set: &RecordSet<'_>,
    owner: Owner<'_>,
    apex: Apex<'_>,
    reply: &mut Reply<'_>,
) -> Chained {
    let place = reply.put(Section::Answer, owner, set, apex);
    Chained::new(set.records.first(), place)
}

/// Puts the CNAME that a DNAME makes of the name (RFC 6672 section 3.1) and gives its target; none
/// when that is too long for a name.
fn put_redirected(
    dname: &RecordSet<'_>,
    above: usize,
    at: &Spot<'_, '_>,
    apex: Apex<'_>,
    reply: &mut Reply<'_>,
) -> Option<Chained> {
    let suffix = dname.records.first();
    let prefix = &at.name.as_wire()[..at.name.offset(above)];
    let len = prefix.len() + suffix.len();
    if NAME_LEN_MAX < len {
        return None;
    }
    let mut target = Chained { name: [0; NAME_LEN_MAX], len, place: None };
    target.name[..prefix.len()].copy_from_slice(prefix);
    target.name[prefix.len()..len].copy_from_slice(suffix);
    let owner = Owner { name: at.name.as_wire(), place: at.place };
    let head = (Rtype::CNAME, dname.ttl);
    let records = std::iter::once(&target.name[..len]);
    target.place = reply.put_data(Section::Answer, owner, head, records, apex);
    Some(target)
}

/// Puts a stand-in for all the types of a name (RFC 8482 section 4.2): an answer that is small,
/// whoever the question pretends to come from.
fn put_any(owner: Owner<'_>, apex: Apex<'_>, reply: &mut Reply<'_>) {
    let records = std::iter::once(&b"\x07RFC8482\x00"[..]);
    reply.put_data(Section::Answer, owner, (Rtype::HINFO, ANY_TTL), records, apex);
}

/// Puts the NS RRset of a cut and the addresses that its hosts cannot be reached without.
fn put_referral(
    ns: &RecordSet<'_>,
    above: usize,
    glue: Glue<'_>,
    at: &Spot<'_, '_>,
    apex: Apex<'_>,
    reply: &mut Reply<'_>,
) {
    let cut = at.ancestor(above, reply);
    reply.put(Section::Authority, cut, ns, apex);
    let is_below = |host| suffix_at(host, cut.name).is_some();
    // RFC 9471 section 3: glue for hosts below the cut is required, that of others is a help.
    for (host, set) in glue.iter().filter(|(host, _)| is_below(host)) {
        reply.put(Section::Additional, Owner { name: host, place: None }, &set, apex);
    }
    for (host, set) in glue.iter().filter(|(host, _)| !is_below(host)) {
        reply.put_optional(Section::Additional, Owner { name: host, place: None }, &set, apex);
    }
}

/// Puts the addresses of hosts that an answer names, as far as they fit.
fn put_glue(glue: Glue<'_>, apex: Apex<'_>, reply: &mut Reply<'_>) {
    for (host, set) in glue.iter() {
        reply.put_optional(Section::Additional, Owner { name: host, place: None }, &set, apex);
    }
}

/// Puts the SOA, by which resolvers know how long there is nothing (RFC 2308 section 3); no longer
/// than `ttl_max`.
fn put_negative(
    at: &Spot<'_, '_>,
    apex: Apex<'_>,
    (rcode, ttl_max): (Rcode, u32),
    reply: &mut Reply<'_>,
) -> Step {
    let owner = Owner { name: apex.name, place: apex.place };
    let soa = at.served.zone.negative_soa();
    let soa = RecordSet { ttl: soa.ttl.min(ttl_max), ..soa };
    reply.put(Section::Authority, owner, &soa, apex);
    Step::Done(rcode)
}

/// A steered name that has nothing to give; a resolver asks another server then.
fn fail(ede: Ede, reply: &mut Reply<'_>) -> Step {
    reply.set_ede(ede);
    Step::Done(Rcode::SERVFAIL)
}
