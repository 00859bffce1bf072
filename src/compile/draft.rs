//! A draft of a zone: its records with their places, and what they mean together.
//!
//! Both kinds of zone file fill a draft; [`Draft::finish`] says what is wrong with the whole and
//! builds the zone when nothing is.
//!
//! Not here: what is wrong with one record (`rdata`), and the tree that is served (`zone`).

use std::{collections::HashSet, ops::Range, sync::Arc};

use hashbrown::HashTable;

use super::{PlannedName, PlannedZone};
use crate::{
    config::{Place, Report},
    ids::SteeredId,
    limits::{NAME_LEN_MAX, RRSET_RECORDS_MAX, TCP_MESSAGE_LEN_MAX},
    wire::{Name, Rtype, name, reply::EDNS_LEN_MAX},
    zone,
};

/// An owner's place in its draft.
pub(super) type OwnerIdx = u32;

#[derive(Debug)]
struct Owner {
    name: Name,
    /// Where it was met first.
    place: Place,
}

#[derive(Debug)]
struct Record {
    owner: OwnerIdx,
    rtype: Rtype,
    ttl: u32,
    place: Place,
    data: Range<usize>,
}

#[derive(Debug)]
struct Steered {
    owner: OwnerIdx,
    place: Place,
    cname: bool,
    planned: PlannedName,
}

/// A zone in the making.
#[derive(Debug)]
pub(super) struct Draft<'r> {
    apex: Name,
    /// Where the apex is said.
    place: Place,
    report: &'r Report,
    /// How many complaints there were before.
    complaints_before: usize,
    /// Each with the hash of its name, so that a table that grows need not look at names.
    table: HashTable<(u64, OwnerIdx)>,
    owners: Vec<Owner>,
    records: Vec<Record>,
    data: Vec<u8>,
    steered: Vec<Steered>,
    steered_owners: HashSet<OwnerIdx>,
}

impl<'r> Draft<'r> {
    pub(super) fn new(apex: Name, place: Place, report: &'r Report) -> Self {
        Self {
            apex,
            place,
            report,
            complaints_before: report.count(),
            table: HashTable::new(),
            owners: Vec::new(),
            records: Vec::new(),
            data: Vec::new(),
            steered: Vec::new(),
            steered_owners: HashSet::new(),
        }
    }

    pub(super) fn apex(&self) -> &Name {
        &self.apex
    }

    /// The owner of a name at or below the apex, and where it was met first, if it was.
    pub(super) fn owner(&mut self, name: Name, place: Place) -> (OwnerIdx, Option<Place>) {
        let hash = name::hash(name.as_wire());
        let owners = &mut self.owners;
        let known = self.table.find(hash, |(_, it)| owners[*it as usize].name == name);
        if let Some((_, idx)) = known {
            return (*idx, Some(owners[*idx as usize].place));
        }
        let idx = u32::try_from(owners.len()).expect("a name takes more than an octet of memory");
        owners.push(Owner { name, place });
        self.table.insert_unique(hash, (hash, idx), |(hash, _)| *hash);
        (idx, None)
    }

    pub(super) fn record(
        &mut self,
        owner: OwnerIdx,
        rtype: Rtype,
        ttl: u32,
        place: Place,
        data: &[u8],
    ) {
        let begin = self.data.len();
        self.data.extend(data);
        let data = begin..self.data.len();
        self.records.push(Record { owner, rtype, ttl, place, data });
    }

    pub(super) fn steer(
        &mut self,
        owner: OwnerIdx,
        place: Place,
        cname: bool,
        planned: PlannedName,
    ) {
        self.steered_owners.insert(owner);
        self.steered.push(Steered { owner, place, cname, planned });
    }

    /// The target of the first NS at the apex.
    pub(super) fn first_server(&self) -> Option<&[u8]> {
        let apex = self.find(self.apex.as_wire())?;
        let found = self.records.iter().find(|it| it.owner == apex && it.rtype == Rtype::NS);
        found.map(|it| &self.data[it.data.clone()])
    }

    /// Complains of the whole, and builds the zone if there was nothing to complain of in it:
    /// aliases are looked up even if another file is wrong.
    pub(super) fn finish(mut self) -> Option<PlannedZone> {
        self.records.sort_by_key(|it| (it.owner, it.rtype));
        self.check_soa();
        for records in self.records.chunk_by(|a, b| a.owner == b.owner) {
            self.check_owner(records);
            for rrset in records.chunk_by(|a, b| a.rtype == b.rtype) {
                self.check_rrset(rrset);
            }
        }
        self.check_below();
        self.check_servers();
        self.steered.iter().for_each(|it| self.check_steered(it));
        (self.report.count() == self.complaints_before).then(|| self.build())
    }

    fn build(self) -> PlannedZone {
        let mut builder = zone::Builder::new(self.apex);
        builder.reserve(self.owners.len(), self.records.len(), self.data.len());
        for record in &self.records {
            let owner = &self.owners[record.owner as usize].name;
            builder.record(owner, record.rtype, record.ttl, &self.data[record.data.clone()]);
        }
        let mut steered = Vec::with_capacity(self.steered.len());
        for it in self.steered {
            builder.steer(&it.planned.owner, SteeredId::at(steered.len()), it.cname);
            steered.push(it.planned);
        }
        PlannedZone { zone: Arc::new(builder.finish()), steered }
    }

    fn find(&self, wire: &[u8]) -> Option<OwnerIdx> {
        let same = |(_, it): &(u64, OwnerIdx)| self.owners[*it as usize].name.as_wire() == wire;
        self.table.find(name::hash(wire), same).map(|(_, it)| *it)
    }

    pub(super) fn name(&self, owner: OwnerIdx) -> &Name {
        &self.owners[owner as usize].name
    }

    /// The records of an owner, when they are sorted.
    fn records_of(&self, owner: OwnerIdx) -> &[Record] {
        let begin = self.records.partition_point(|it| it.owner < owner);
        let len = self.records[begin..].partition_point(|it| it.owner == owner);
        &self.records[begin..begin + len]
    }

    fn has(&self, owner: OwnerIdx, rtype: Rtype) -> bool {
        self.records_of(owner).iter().any(|it| it.rtype == rtype)
    }

    /// The names above an owner within the zone, the nearest first, the apex last.
    fn above(&self, owner: OwnerIdx) -> impl Iterator<Item = Name> {
        let mut at = self.name(owner).clone();
        std::iter::from_fn(move || {
            at = (at != self.apex).then(|| at.parent()).flatten()?;
            Some(at.clone())
        })
    }

    fn check_soa(&self) {
        let mut seen = 0;
        for record in self.records.iter().filter(|it| it.rtype == Rtype::SOA) {
            seen += 1;
            if *self.name(record.owner) != self.apex {
                self.soa_below(record);
            } else if seen == 2 {
                self.soa_twice(record);
            }
        }
        let apex = self.find(self.apex.as_wire());
        if !apex.is_some_and(|it| self.has(it, Rtype::NS)) {
            self.no_servers();
        }
    }

    fn check_owner(&self, records: &[Record]) {
        let count = |rtype| records.iter().filter(|it| it.rtype == rtype).count();
        let last = |rtype| records.iter().rfind(|it| it.rtype == rtype);
        if let Some(cname) = last(Rtype::CNAME) {
            if let Some(other) = records.iter().find(|it| it.rtype != Rtype::CNAME) {
                self.cname_beside(cname, other.rtype);
            }
            if 1 < count(Rtype::CNAME) {
                self.several(cname);
            }
        }
        if let Some(dname) = last(Rtype::DNAME) {
            if 1 < count(Rtype::DNAME) {
                self.several(dname);
            }
            if *self.name(dname.owner) != self.apex && count(Rtype::NS) != 0 {
                self.dname_at_cut(dname);
            }
        }
        let owner = self.name(records[0].owner);
        if owner.is_wildcard() && *owner != self.apex {
            let undefined = [last(Rtype::NS), last(Rtype::DNAME)];
            undefined.into_iter().flatten().for_each(|it| self.at_wildcard(it));
        }
    }

    /// A set has to fit in the longest message together with its question (RFC 1035 section
    /// 4.2.2): the name once in full and then by pointers, ten octets before each record's data,
    /// and what EDNS may take. A wildcard stands for names of any length.
    fn check_rrset(&self, rrset: &[Record]) {
        let first = &rrset[0];
        let owner = self.name(first.owner);
        let name_len = if owner.is_wildcard() { NAME_LEN_MAX } else { owner.as_wire().len() };
        let question_len = 12 + name_len + 4 + EDNS_LEN_MAX;
        let records_len: usize = rrset.iter().map(|it| 2 + 10 + it.data.len()).sum();
        if RRSET_RECORDS_MAX < rrset.len() {
            self.too_many(first, rrset.len());
        } else if TCP_MESSAGE_LEN_MAX < question_len + records_len {
            self.too_long(first, question_len + records_len);
        }
    }

    /// Nothing may be below a DNAME (RFC 6672 section 2.4).
    fn check_below(&self) {
        if !self.records.iter().any(|it| it.rtype == Rtype::DNAME) {
            return;
        }
        for owner in 0..u32::try_from(self.owners.len()).expect("counted in a u32") {
            let dname = self.above(owner).find(|above| {
                self.find(above.as_wire()).is_some_and(|it| self.has(it, Rtype::DNAME))
            });
            if let Some(dname) = dname {
                self.below_dname(owner, &dname);
            }
        }
    }

    /// A name server inside the zone needs an address here: at the apex nobody else has it, and
    /// below a cut the resolver has nowhere else to ask.
    fn check_servers(&self) {
        for record in self.records.iter().filter(|it| it.rtype == Rtype::NS) {
            let Some(target) = Name::from_wire(&self.data[record.data.clone()]) else { continue };
            if !target.is_at_or_below(&self.apex) {
                continue;
            }
            match self.find(target.as_wire()) {
                Some(owner) if self.has(owner, Rtype::CNAME) => {
                    self.server_is_alias(record, &target);
                }
                Some(owner) if self.has_address(owner) => {}
                // What it has was complained of, or it would not be there.
                Some(owner) if self.records_of(owner).is_empty() => {}
                _ if self.is_elsewhere(&target, record.owner) => {}
                _ => self.no_address(record, &target),
            }
        }
    }

    fn has_address(&self, owner: OwnerIdx) -> bool {
        self.has(owner, Rtype::A)
            || self.has(owner, Rtype::AAAA)
            || self.steered_owners.contains(&owner)
    }

    /// Whether an address may come from a wildcard, or from another zone below a cut that is not
    /// at `owner`.
    fn is_elsewhere(&self, target: &Name, owner: OwnerIdx) -> bool {
        let mut at = target.clone();
        loop {
            if let Some(found) = self.find(at.as_wire())
                && found != owner
                && at != self.apex
                && (self.has(found, Rtype::NS) || self.has(found, Rtype::DNAME))
            {
                return true;
            }
            let Some(above) = (at != self.apex).then(|| at.parent()).flatten() else {
                return false;
            };
            let mut wildcard = b"\x01*".to_vec();
            wildcard.extend(above.as_wire());
            if self.find(&wildcard).is_some_and(|it| self.has_address(it)) {
                return true;
            }
            at = above;
        }
    }

    fn check_steered(&self, steered: &Steered) {
        let records = self.records_of(steered.owner);
        let conflict = |it: &&Record| match it.rtype {
            Rtype::A | Rtype::AAAA | Rtype::CNAME => true,
            _ => steered.cname,
        };
        if let Some(other) = records.iter().find(conflict) {
            self.steered_beside(steered, other);
        }
        if steered.cname && *self.name(steered.owner) == self.apex {
            self.cname_at_apex(steered);
        }
        let cut = self
            .above(steered.owner)
            .filter(|it| *it != self.apex)
            .find(|above| self.find(above.as_wire()).is_some_and(|it| self.has(it, Rtype::NS)));
        let own = self.has(steered.owner, Rtype::NS) && *self.name(steered.owner) != self.apex;
        if let Some(cut) = cut.or_else(|| own.then(|| self.name(steered.owner).clone())) {
            self.steered_below_cut(steered, &cut);
        }
    }
}

// ---- Complaints ----

impl Draft<'_> {
    fn soa_below(&self, record: &Record) {
        let message =
            format!("there is a SOA at `{}`, which is not the apex", self.name(record.owner));
        let hint = format!("the apex is `{}`; a zone has one SOA, there", self.apex);
        self.report.say(record.place, message, hint);
    }

    fn soa_twice(&self, record: &Record) {
        self.report.say(record.place, "there is a second SOA", "a zone has one; remove the others");
    }

    fn no_servers(&self) {
        let message = format!("the zone `{}` names no name servers", self.apex);
        self.report.say(self.place, message, "give the apex (`@`) an NS record");
    }

    fn cname_beside(&self, cname: &Record, other: Rtype) {
        let owner = self.name(cname.owner);
        let message = format!("`{owner}` has a CNAME beside other data ({other})");
        let hint =
            "a CNAME stands alone at its name (RFC 1034 section 3.6.2); remove it, or the rest";
        self.report.say(cname.place, message, hint);
    }

    fn several(&self, record: &Record) {
        let message = format!("`{}` has several {}s", self.name(record.owner), record.rtype);
        let hint =
            format!("a name has one {}; `steer` chooses between several targets", record.rtype);
        self.report.say(record.place, message, hint);
    }

    fn too_many(&self, record: &Record, count: usize) {
        let owner = self.name(record.owner);
        let message = format!("`{owner}` has {count} records of type {}", record.rtype);
        self.report.say(record.place, message, format!("the most are {RRSET_RECORDS_MAX}"));
    }

    fn too_long(&self, record: &Record, len: usize) {
        let owner = self.name(record.owner);
        let message =
            format!("the {} records of `{owner}` need a message of {len} octets", record.rtype);
        let hint = format!("the longest message has {TCP_MESSAGE_LEN_MAX}; remove some of them");
        self.report.say(record.place, message, hint);
    }

    fn dname_at_cut(&self, record: &Record) {
        let message = format!("`{}` has a DNAME beside NS", self.name(record.owner));
        let hint =
            "a delegated name can not be redirected (RFC 6672 section 2.3); remove one of the two";
        self.report.say(record.place, message, hint);
    }

    fn at_wildcard(&self, record: &Record) {
        let (owner, rtype) = (self.name(record.owner), record.rtype);
        let message = format!("there is {rtype} at the wildcard `{owner}`");
        let hint = match rtype {
            Rtype::NS => {
                "what it would mean is not defined (RFC 4592 section 4.2); delegate each name"
            }
            _ => {
                "what it would mean is not defined (RFC 4592 section 4.4); put it at the name above"
            }
        };
        self.report.say(record.place, message, hint);
    }

    fn below_dname(&self, owner: OwnerIdx, dname: &Name) {
        let message = format!("`{}` is below the DNAME at `{dname}`", self.name(owner));
        let hint = "nothing may be below a DNAME (RFC 6672 section 2.4); remove one of the two";
        self.report.say(self.owners[owner as usize].place, message, hint);
    }

    fn server_is_alias(&self, record: &Record, target: &Name) {
        let message = format!("the name server `{target}` is a CNAME");
        let hint = "name the host itself, with its address (RFC 2181 section 10.3)";
        self.report.say(record.place, message, hint);
    }

    fn no_address(&self, record: &Record, target: &Name) {
        let message = format!("the name server `{target}` has no address");
        let hint = "give it an A or AAAA record in this zone, or name a server outside of it";
        self.report.say(record.place, message, hint);
    }

    fn steered_beside(&self, steered: &Steered, other: &Record) {
        let kind = if steered.cname { "CNAME" } else { "address" };
        let owner = self.name(steered.owner);
        let message = format!("`{owner}` has {} records beside pools of {kind}", other.rtype);
        let hint = if steered.cname {
            "a CNAME stands alone at its name (RFC 1034 section 3.6.2); remove the records"
        } else {
            "the pools give the addresses of this name; move the record into one of them"
        };
        self.report.say(other.place, message, hint);
    }

    fn cname_at_apex(&self, steered: &Steered) {
        let message = "the apex can not have pools of CNAME";
        let hint = "the SOA and NS are there (RFC 1034 section 3.6.2); use addresses";
        self.report.say(steered.place, message, hint);
    }

    fn steered_below_cut(&self, steered: &Steered, cut: &Name) {
        let owner = self.name(steered.owner);
        let message = format!("`{owner}` is steered and belongs to the delegated `{cut}`");
        let hint = "other servers answer for it; remove the delegation, or the `steer` block";
        self.report.say(steered.place, message, hint);
    }
}
