//! Where a name falls in its zone: RFC 1034 section 4.3.2, step 3, with RFC 4592 and RFC 6672.

use super::{Additional, Cover, RRset, Steering, Zone};
use crate::{
    ids::{NodeId, SteeredId},
    wire::{Family, Folded, Rtype, reply::RecordSet},
};

/// What the zone says of a name and a type.
#[derive(Debug, Clone, Copy)]
pub enum Found<'z> {
    /// Records of the type asked for, and the addresses of the hosts they name.
    Data(RecordSet<'z>, Glue<'z>),
    /// Records chosen per client.
    Steered(SteeredId, Family),
    /// A CNAME, and another type was asked for.
    Alias(RecordSet<'z>),
    /// A DNAME at the ancestor that is left when so many labels are taken off the name.
    Redirect(RecordSet<'z>, usize),
    /// The name exists, and all its types were asked for.
    Any,
    /// A zone cut at the ancestor that is left when so many labels are taken off the name.
    Referral(RecordSet<'z>, usize, Glue<'z>),
    /// The name exists and does not have the type.
    NoData,
    /// The name does not exist.
    Nothing,
}

/// The addresses of hosts that records name.
#[derive(Debug, Clone, Copy)]
pub struct Glue<'z> {
    zone: &'z Zone,
    entries: &'z [Additional],
}

/// A host with one of its RRsets.
#[derive(Debug, Clone, Copy)]
pub struct Host<'z> {
    /// Its name in wire form.
    pub name: &'z [u8],
    /// Whether it is below the name whose records name it: of a cut, those come first.
    pub below_owner: bool,
    /// Its addresses of one family.
    pub addresses: RecordSet<'z>,
}

impl<'z> Glue<'z> {
    /// The hosts.
    pub fn iter(self) -> impl Iterator<Item = Host<'z>> {
        self.entries.iter().map(move |entry| Host {
            name: self.zone.name(entry.name_at, entry.name_len),
            below_owner: entry.below_owner,
            addresses: self.zone.record_set(&self.zone.rrsets[entry.rrset as usize]),
        })
    }
}

impl Zone {
    /// Looks a name at or below the apex up.
    #[must_use]
    #[inline(always)]
    pub fn find(&self, name: &Folded, qtype: Rtype) -> Found<'_> {
        let (wire, hash) = name.suffix(0);
        if let Some(node) = self.exact(wire, hash) {
            return match self.node(node).cover {
                Cover::Open => self.types(node, qtype),
                // The DS of a cut is the parent's (RFC 4035 section 3.1.4.1).
                Cover::Cut(cut) if cut == node && qtype == Rtype::DS => self.types(node, qtype),
                Cover::Cut(cut) => self.referral(cut, name),
                Cover::Dname(dname) => self.redirect(dname, name),
            };
        }
        let encloser = self.closest_encloser(name);
        match self.node(encloser).cover {
            Cover::Cut(cut) => self.referral(cut, name),
            Cover::Dname(dname) => self.redirect(dname, name),
            // A DNAME covers what is below it, not itself.
            Cover::Open if self.rrset(encloser, Rtype::DNAME).is_some() => {
                self.redirect(encloser, name)
            }
            // RFC 4592 section 3.3.1: the wildcard of the closest encloser, and no other.
            Cover::Open => match self.node(encloser).wildcard {
                None => Found::Nothing,
                Some(wildcard) => self.types(wildcard, qtype),
            },
        }
    }

    /// Whether a name at or below the apex is in the zone by itself, and not by a wildcard.
    #[must_use]
    pub fn holds(&self, name: &Folded) -> bool {
        let (wire, hash) = name.suffix(0);
        self.exact(wire, hash).is_some()
    }

    /// What an open node holds of a type.
    #[inline(always)]
    fn types(&self, id: NodeId, qtype: Rtype) -> Found<'_> {
        let node = self.node(id);
        if let Some(steering) = node.steered
            && let Some(found) = steered(steering, qtype)
        {
            return found;
        }
        if let Some(rrset) = self.rrset(id, qtype) {
            return Found::Data(self.record_set(rrset), self.glue(rrset));
        }
        // A CNAME answers ANY as well (RFC 8482 section 4.2), and is not followed then.
        if let Some(cname) = self.rrset(id, Rtype::CNAME) {
            return Found::Alias(self.record_set(cname));
        }
        let is_empty = node.n_rrsets == 0 && node.steered.is_none();
        if qtype == Rtype::ANY && !is_empty { Found::Any } else { Found::NoData }
    }

    fn referral(&self, cut: NodeId, name: &Folded) -> Found<'_> {
        let ns = self.rrset(cut, Rtype::NS).expect("a cut has an NS RRset");
        let above = self.labels_above(cut, name);
        Found::Referral(self.record_set(ns), above, self.glue(ns))
    }

    fn redirect(&self, owner: NodeId, name: &Folded) -> Found<'_> {
        let dname = self.rrset(owner, Rtype::DNAME).expect("a redirecting node has a DNAME");
        Found::Redirect(self.record_set(dname), self.labels_above(owner, name))
    }

    fn glue(&self, rrset: &RRset) -> Glue<'_> {
        let at = rrset.additional_at as usize;
        Glue { zone: self, entries: &self.additional[at..at + usize::from(rrset.n_additional)] }
    }

    /// The deepest ancestor of a name that exists (RFC 4592 section 3.3.1).
    pub(super) fn closest_encloser(&self, name: &Folded) -> NodeId {
        // A name deeper than the deepest of the zone has no ancestor there either, so that many
        // labels cost no more than few.
        let above = (name.label_count() - self.apex_labels).max(1);
        let first = name.label_count().saturating_sub(self.labels_max).clamp(1, above);
        for skip in first..=above {
            let (wire, hash) = name.suffix(skip);
            if let Some(node) = self.exact(wire, hash) {
                return node;
            }
        }
        unreachable!("the apex is an ancestor of every name of the zone")
    }

    /// How many labels `name` has above its ancestor `id`.
    fn labels_above(&self, id: NodeId, name: &Folded) -> usize {
        let begin = name.as_wire().len() - self.node_name(id).len();
        (0..=name.label_count())
            .find(|skip| name.offset(*skip) == begin)
            .expect("an ancestor begins at a label")
    }
}

/// What a steered name has of a type, beside its fixed records.
fn steered(steering: Steering, qtype: Rtype) -> Option<Found<'static>> {
    let family = match (steering.cname, qtype) {
        (true, _) => Family::Name,
        (false, Rtype::A) => Family::V4,
        (false, Rtype::AAAA) => Family::V6,
        (false, _) => return None,
    };
    Some(Found::Steered(steering.id, family))
}
