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
//!   on is in the arguments; what can go wrong is a response code. What was drawn is counted, and no
//!   answer depends on a count.
//! - All branching is here. The functions it calls do one thing and do not decide.
//!
//! Not here: who is answered at all (`serve::engine`), where a name falls (`zone::find`), what a
//! steered name gives (`steer`), and how a reply becomes bytes (`wire::reply`).

use std::net::IpAddr;

use crate::{
    counters::{Cell, Counters, PLACE_SAMPLE},
    dice::Roll,
    explain,
    geo::Prefix,
    limits::{ALIAS_DEPTH_MAX, CHAIN_LEN_MAX, NAME_LEN_MAX},
    snapshot::{Lead, Served, Snapshot, Steered},
    steer::{Candidate, Candidates, Footing, Outcome, PoolSet, Seat},
    tally::NameCells,
    wire::{
        Ede, Family, Folded, Query, Rcode, Reply, Rtype, Section,
        query::CLASS_IN,
        reply::{Apex, Place, RecordSet},
    },
    zone::{Found, Glue},
};

/// Seconds that the stand-in for "all types" may be kept (RFC 8482 section 4.2).
const ANY_TTL: u32 = 3600;

/// Answers `query` into `reply`. `client` is the address it came from.
#[inline(always)]
pub fn answer(
    snapshot: &Snapshot,
    query: &Query<'_>,
    client: IpAddr,
    roll: Roll,
    counters: &Counters,
    reply: &mut Reply<'_>,
) -> Rcode {
    if let Some(rcode) = refuse(query, reply) {
        return rcode;
    }
    let Some(served) = snapshot.zone(query.name, query.qtype) else {
        reply.set_ede(Ede::NOT_AUTHORITATIVE);
        return Rcode::REFUSED;
    };
    counters.add(served.cells.zone());
    if query.qtype == Rtype::TXT
        && let Some(rcode) = put_explanation(served, snapshot, query, client, reply)
    {
        return rcode;
    }
    let at = Spot { served, name: query.name, place: Place::QUESTION };
    let mut asking =
        Asking { snapshot, query, client, counters, redirects: None, aliases: 0, roll };
    match follow(&at, &mut asking, reply) {
        Step::Done(rcode) => rcode,
        Step::Next(target) => chase(&mut asking, target, reply),
    }
}

/// The network on whose behalf a question is asked.
#[inline(always)]
fn subnet(query: &Query<'_>) -> Option<Prefix> {
    let subnet = query.edns.as_ref()?.subnet.as_ref()?;
    Some(Prefix::around(subnet.address(), subnet.source_len()))
}

/// Puts the explanation that `explain.<name> TXT` asks for, if who asks may see it, the name is
/// steered and the zone has no name of its own there.
///
/// The one answer that allocates: it is made of sentences, and for those whom `explain_from` names.
#[inline(never)]
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
    let at = Spot { served, name: query.name, place: Place::QUESTION };
    let records = lines.iter().map(Vec::as_slice);
    reply.put_records(Section::Answer, at.place, (Rtype::TXT, 0), records, at.apex(reply));
    Some(Rcode::NOERROR)
}

/// What is no question for a zone.
#[inline(always)]
fn refuse(query: &Query<'_>, reply: &mut Reply<'_>) -> Option<Rcode> {
    match &query.edns {
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
    counters: &'a Counters,
    /// Owners of the DNAMEs that were put.
    redirects: Option<Hashes>,
    /// How deep in aliases of pools it is.
    aliases: usize,
    roll: Roll,
}

impl Asking<'_> {
    /// Whether the target of a CNAME is wanted as well.
    fn is_chased(&self) -> bool {
        self.query.qtype != Rtype::CNAME && self.query.qtype != Rtype::ANY
    }
}

/// A name in its zone, and where it stands in the reply.
struct Spot<'s, 'n> {
    served: &'s Served,
    name: &'n Folded,
    place: Place,
}

/// What one name of a chain comes to.
enum Step {
    /// The end.
    Done(Rcode),
    /// On with another name, which stands in the reply.
    Next(Place),
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

/// Follows a chain through the server's zones (RFC 1034 section 4.3.2, step 3a).
#[inline(never)]
fn chase(asking: &mut Asking<'_>, mut target: Place, reply: &mut Reply<'_>) -> Rcode {
    let query = asking.query;
    let mut octets = [0; NAME_LEN_MAX];
    let mut name = Folded::default();
    let mut seen = Hashes::default();
    seen.insert(query.name.suffix(0).1);
    for _ in 1..CHAIN_LEN_MAX {
        let len = reply.name(target, &mut octets);
        name.fold(&octets[..len]).expect("a target is a valid name");
        // A loop: what was said is true, and there is no more to say.
        if !seen.insert(name.suffix(0).1) {
            return Rcode::NOERROR;
        }
        // The chain leaves our zones: the client goes on from there.
        let Some(served) = asking.snapshot.zone(&name, query.qtype) else {
            return Rcode::NOERROR;
        };
        let at = Spot { served, name: &name, place: target };
        match follow(&at, asking, reply) {
            Step::Done(rcode) => return rcode,
            Step::Next(next) => target = next,
        }
    }
    Rcode::NOERROR
}

/// Puts what the zone says of one name.
#[inline(always)]
fn follow<'s>(at: &Spot<'s, '_>, asking: &mut Asking<'s>, reply: &mut Reply<'_>) -> Step {
    let qtype = asking.query.qtype;
    let zone = &at.served.zone;
    let found = zone.find(at.name, qtype);
    // A referral is not ours to be authoritative about, but at the end of a chain that began here.
    if !matches!(found, Found::Referral(..)) || reply.has_answer() {
        reply.set_authoritative();
    }
    match found {
        Found::Data(set, glue) => {
            let apex = at.apex(reply);
            reply.put(Section::Answer, at.place, &set, apex.place);
            put_glue(glue, apex, reply);
            Step::Done(Rcode::NOERROR)
        }
        Found::Steered(id, family) => {
            let steered = (&*at.served.steered[id.idx()], at.served.cells.name(id));
            put_steered(steered, family, at, u32::MAX, asking, reply)
        }
        Found::Alias(set) => {
            let target = reply.put(Section::Answer, at.place, &set, at.apex(reply).place);
            next(target.filter(|_| asking.is_chased()))
        }
        Found::Redirect(dname, above) => {
            let apex = at.apex(reply);
            // A chain that comes by a second time makes another CNAME of the same DNAME.
            let redirects = asking.redirects.get_or_insert_default();
            if redirects.insert(at.name.suffix(above).1) {
                reply.put(Section::Answer, at.ancestor(above, reply), &dname, apex.place);
            }
            // Followed whatever was asked for (RFC 6672 section 3.2, step 3c).
            match put_redirected(&dname, above, at, apex, reply) {
                Redirected::TooLong => Step::Done(Rcode::YXDOMAIN),
                Redirected::To(target) => next(target),
            }
        }
        Found::Any => {
            put_any(at, reply);
            Step::Done(Rcode::NOERROR)
        }
        Found::Referral(set, above, glue) => {
            let apex = at.apex(reply);
            reply.put(Section::Authority, at.ancestor(above, reply), &set, apex.place);
            put_referral_glue(glue, apex, reply);
            Step::Done(Rcode::NOERROR)
        }
        Found::NoData => put_negative(at, Rcode::NOERROR, u32::MAX, reply),
        Found::Nothing => put_negative(at, Rcode::NXDOMAIN, u32::MAX, reply),
    }
}

/// On with a target, if it is to be followed and stands in the reply: one that had no room does not,
/// and the client asks again over TCP.
fn next(target: Option<Place>) -> Step {
    target.map_or(Step::Done(Rcode::NOERROR), Step::Next)
}

impl<'s> Spot<'s, '_> {
    /// The apex of the zone, and where it stands as a part of the name.
    fn apex(&self, reply: &Reply<'_>) -> Apex<'s> {
        let zone = &self.served.zone;
        let above = self.name.label_count() - zone.apex_label_count();
        Apex { name: zone.apex().as_wire(), place: self.ancestor(above, reply) }
    }

    /// Where the name stands without its first `above` labels.
    fn ancestor(&self, above: usize, reply: &Reply<'_>) -> Place {
        if self.place == Place::QUESTION {
            // There it is whole, and nothing of it a pointer.
            return Place::in_question(self.name.offset(above));
        }
        reply.suffix(self.place, above)
    }
}

/// Puts what a steered name gives to the client for a family, which may be kept for `ttl_max` seconds
/// at most.
#[inline(always)]
fn put_steered<'s>(
    (steered, cells): (&'s Steered, NameCells),
    family: Family,
    at: &Spot<'s, '_>,
    ttl_max: u32,
    asking: &mut Asking<'s>,
    reply: &mut Reply<'_>,
) -> Step {
    let now = steered.family(family).expect("the zone knows the name's families");
    let seat = Seat::of(&asking.snapshot.geo, subnet(asking.query), asking.client);
    let (decision, scope_len) = now.outlook.look(seat.address);
    if asking.roll.is_one_in(PLACE_SAMPLE) {
        count_place(asking, seat.address);
    }
    if seat.is_subnet {
        asking.counters.subnet_used();
        reply.narrow_scope(scope_len);
    }
    let candidates = match &decision.outcome {
        Outcome::Draw(candidates) => candidates,
        other => {
            let step = put_nothing(other, at, ttl_max, reply);
            if reply.ede().is_some() {
                asking.counters.add(cells.refused());
            }
            return step;
        }
    };
    if decision.footing != Footing::Healthy {
        count_footing(decision.footing, cells, asking.counters);
    }
    if candidates.sticky && seat.is_subnet {
        reply.narrow_scope(seat.sticky_len);
    }
    let pool = candidates.draw(seat.network, &mut asking.roll);
    let from = (candidates, seat.network);
    if pool.is_alias {
        return put_aliases(pool, from, (family, cells), at, ttl_max, asking, reply);
    }
    asking.counters.add(cells.pool(pool.pool));
    put_members(pool, from, family, at, ttl_max, asking, reply)
}

/// Counts where the client is.
#[cold]
fn count_place(asking: &Asking<'_>, address: IpAddr) {
    // A client who is given what another name gives asked once.
    if asking.aliases == 0 {
        asking.counters.place(asking.snapshot.geo.locate(address).place.country);
    }
}

/// Counts that an answer rests on something else than what is up.
#[cold]
fn count_footing(footing: Footing, cells: NameCells, counters: &Counters) {
    counters.add(cells.footing(footing).unwrap_or(Cell::NONE));
}

/// Puts that there is nothing to draw from, and why.
#[cold]
fn put_nothing(outcome: &Outcome, at: &Spot<'_, '_>, ttl_max: u32, reply: &mut Reply<'_>) -> Step {
    match outcome {
        Outcome::Draw(_) => unreachable!("there is something to draw from"),
        Outcome::NoData => put_negative(at, Rcode::NOERROR, ttl_max, reply),
        Outcome::NoDataFor(ttl) => put_negative(at, Rcode::NOERROR, ttl_max.min(*ttl), reply),
        Outcome::NoReachableAuthority => fail(Ede::NO_REACHABLE_AUTHORITY, reply),
        Outcome::NotReady => fail(Ede::NOT_READY, reply),
    }
}

/// Puts endpoints of a pool, and says where the first of them stands if it is a target to be
/// followed: of names one is drawn (RFC 2181 section 10.1).
#[inline(always)]
fn put_members(
    pool: &Candidate,
    (candidates, network): (&Candidates, u64),
    family: Family,
    at: &Spot<'_, '_>,
    ttl_max: u32,
    asking: &mut Asking<'_>,
    reply: &mut Reply<'_>,
) -> Step {
    let apex = at.apex(reply);
    let target = if let [only] = &*pool.members {
        let head = (family.rtype(), only.ttl.min(ttl_max));
        reply.put_record(Section::Answer, at.place, head, &only.rdata, apex)
    } else {
        let drawn = candidates.draw_members(pool, network, &mut asking.roll);
        let head = (family.rtype(), drawn.ttl.min(ttl_max));
        let records = drawn.members().map(|member| &*member.rdata);
        reply.put_records(Section::Answer, at.place, head, records, apex)
    };
    next(target.filter(|_| family == Family::Name && asking.is_chased()))
}

/// Puts what was drawn, a pool that is another name. That name may have nothing for this client, or
/// nothing at all when all is down: then it is another pool's turn.
#[inline(never)]
fn put_aliases<'s>(
    mut pool: &'s Candidate,
    (candidates, network): (&'s Candidates, u64),
    (family, cells): (Family, NameCells),
    at: &Spot<'s, '_>,
    ttl_max: u32,
    asking: &mut Asking<'s>,
    reply: &mut Reply<'_>,
) -> Step {
    let mut tried = PoolSet::default();
    loop {
        if !pool.is_alias {
            asking.counters.add(cells.pool(pool.pool));
            return put_members(pool, (candidates, network), family, at, ttl_max, asking, reply);
        }
        let alias = &pool.members[0];
        let ttl = alias.ttl.min(ttl_max);
        let step = put_alias(&alias.rdata, family, at, ttl, asking, reply);
        if reply.ede() != Some(Ede::NO_REACHABLE_AUTHORITY) {
            asking.counters.add(cells.pool(pool.pool));
            return step;
        }
        tried.insert(usize::from(pool.pool));
        let Some(next) = candidates.draw_but(&tried, network, &mut asking.roll) else {
            asking.counters.add(cells.refused());
            return step;
        };
        // Nothing but this was said yet.
        reply.clear_ede();
        pool = next;
    }
}

/// Puts what another name of this server gives to the client, for a pool that is that name.
#[inline(never)]
fn put_alias<'s>(
    name: &[u8],
    family: Family,
    at: &Spot<'s, '_>,
    ttl_max: u32,
    asking: &mut Asking<'s>,
    reply: &mut Reply<'_>,
) -> Step {
    match asking.snapshot.lead(name, family) {
        Lead::Fixed(set) => {
            let set = RecordSet { ttl: set.ttl.min(ttl_max), ..set };
            reply.put(Section::Answer, at.place, &set, at.apex(reply).place);
            Step::Done(Rcode::NOERROR)
        }
        Lead::Steered(steered, cells) if asking.aliases < ALIAS_DEPTH_MAX => {
            asking.aliases += 1;
            let step = put_steered((steered, cells), family, at, ttl_max, asking, reply);
            asking.aliases -= 1;
            step
        }
        _ => put_negative(at, Rcode::NOERROR, ttl_max, reply),
    }
}

/// What a DNAME makes of a name.
enum Redirected {
    /// No name.
    TooLong,
    /// A target, and where it stands if it had room.
    To(Option<Place>),
}

/// Puts the CNAME that a DNAME makes of the name (RFC 6672 section 3.1), if its target is not too
/// long for a name.
fn put_redirected(
    dname: &RecordSet<'_>,
    above: usize,
    at: &Spot<'_, '_>,
    apex: Apex<'_>,
    reply: &mut Reply<'_>,
) -> Redirected {
    let prefix = &at.name.as_wire()[..at.name.offset(above)];
    let suffix = dname.image.first();
    let len = prefix.len() + suffix.len();
    if NAME_LEN_MAX < len {
        return Redirected::TooLong;
    }
    let mut target = [0; NAME_LEN_MAX];
    target[..prefix.len()].copy_from_slice(prefix);
    target[prefix.len()..len].copy_from_slice(suffix);
    let head = (Rtype::CNAME, dname.ttl);
    let records = std::iter::once(&target[..len]);
    Redirected::To(reply.put_records(Section::Answer, at.place, head, records, apex))
}

/// Puts a stand-in for all the types of a name (RFC 8482 section 4.2): an answer that is small,
/// whoever the question pretends to come from.
fn put_any(at: &Spot<'_, '_>, reply: &mut Reply<'_>) {
    let records = std::iter::once(&b"\x07RFC8482\x00"[..]);
    let head = (Rtype::HINFO, ANY_TTL);
    reply.put_records(Section::Answer, at.place, head, records, at.apex(reply));
}

/// Puts the addresses of the hosts of a cut. RFC 9471 section 3: glue for hosts below the cut is
/// required, that of others is a help.
fn put_referral_glue(glue: Glue<'_>, apex: Apex<'_>, reply: &mut Reply<'_>) {
    for host in glue.iter() {
        if host.below_owner {
            reply.put_required_host(host.name, &host.addresses, apex);
        } else {
            reply.put_host(host.name, &host.addresses, apex);
        }
    }
}

/// Puts the addresses of hosts that an answer names, as far as they fit.
fn put_glue(glue: Glue<'_>, apex: Apex<'_>, reply: &mut Reply<'_>) {
    for host in glue.iter() {
        reply.put_host(host.name, &host.addresses, apex);
    }
}

/// Puts the SOA, by which resolvers know how long there is nothing (RFC 2308 section 3); no longer
/// than `ttl_max`.
fn put_negative(at: &Spot<'_, '_>, rcode: Rcode, ttl_max: u32, reply: &mut Reply<'_>) -> Step {
    let apex = at.apex(reply).place;
    let soa = at.served.zone.negative_soa();
    let soa = RecordSet { ttl: soa.ttl.min(ttl_max), ..soa };
    reply.put(Section::Authority, apex, &soa, apex);
    Step::Done(rcode)
}

/// A steered name that has nothing to give; a resolver asks another server then.
fn fail(ede: Ede, reply: &mut Reply<'_>) -> Step {
    reply.set_ede(ede);
    Step::Done(Rcode::SERVFAIL)
}
