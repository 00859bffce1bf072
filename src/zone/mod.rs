//! Zones: the immutable tree of one zone, and where a name falls in it.
//!
//! Every name of a zone is a [`Node`], and so is every name between one and the apex, be it empty
//! (RFC 4592 section 2.2.2). A node knows its parent, its wildcard child, its RRsets, and the zone
//! cut or DNAME that hides it:
//!
//! ```text
//!   example.com.        SOA NS          <- apex
//!   |- *                TXT                wildcard of the apex
//!   |- a                (empty)            because of b.a
//!   |  '- b             A
//!   '- sub              NS              <- cut: hides itself and what is below
//!      '- ns            A                  hidden: glue
//! ```
//!
//! # Invariants
//!
//! - A zone never changes once built. Nodes are numbered so that a parent comes before its children.
//! - Exactly one SOA, at the apex; no CNAME beside other data; no name below a DNAME; no NS and no
//!   DNAME at a wildcard (RFC 4592 sections 4.2 and 4.4). `compile` sees to it.
//!
//! Not here: which zone a name is in (`snapshot`), what the client is told (`answer`), and what an
//! operator may write (`compile`).

mod build;
mod find;

pub use build::Builder;
pub use find::{Found, Glue, Host};

use std::fmt;

use hashbrown::HashTable;

use crate::{
    ids::{NodeId, SteeredId},
    wire::{Name, Rtype, image::Extent, name, reply::RecordSet},
};

/// One zone.
pub struct Zone {
    apex: Name,
    /// Folded names in wire form, one behind the other.
    names: Vec<u8>,
    /// From a name to its node.
    table: HashTable<NodeId>,
    /// Indexed by [`NodeId`]; the first is the apex.
    nodes: Vec<Node>,
    /// Each node's RRsets in a row, by type.
    rrsets: Vec<RRset>,
    /// Their records as they stand in a reply.
    images: Vec<u8>,
    /// For RRsets whose data names hosts of this zone, where their addresses are.
    additional: Vec<Additional>,
    /// Labels of the apex without the root.
    apex_labels: usize,
    /// Labels of the deepest name.
    labels_max: usize,
    /// The SOA as negative answers carry it: with the TTL of RFC 2308 section 5.
    negative: Extent,
}

/// A name of a zone.
#[derive(Debug, Clone, Copy)]
struct Node {
    name_at: u32,
    name_len: u8,
    /// The RRsets: where they begin, and how many there are.
    rrsets_at: u32,
    n_rrsets: u16,
    /// What hides this node, or starts to hide what is below it.
    cover: Cover,
    /// The child `*`.
    wildcard: Option<NodeId>,
    /// Its steered records.
    steered: Option<Steering>,
}

/// How a name is steered.
#[derive(Debug, Clone, Copy)]
struct Steering {
    id: SteeredId,
    /// Target names and not addresses.
    cname: bool,
}

/// What stands between the apex and a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cover {
    /// Nothing.
    Open,
    /// The node, or one above it, is delegated (RFC 1034 section 4.2.1).
    Cut(NodeId),
    /// A node above it is redirected (RFC 6672 section 2.3).
    Dname(NodeId),
}

/// The records of one type at one node.
#[derive(Debug, Clone, Copy)]
struct RRset {
    rtype: Rtype,
    ttl: u32,
    /// In `images`.
    extent: Extent,
    additional_at: u32,
    n_additional: u16,
}

/// The addresses of a host that an RRset names.
#[derive(Debug, Clone, Copy)]
struct Additional {
    /// The host, in `names`.
    name_at: u32,
    name_len: u8,
    /// Whether it is below the name whose records name it. At a cut those come first.
    below_owner: bool,
    /// Its RRset of type A or AAAA, or that of the wildcard that stands for it.
    rrset: u32,
}

impl Zone {
    /// The name at the top.
    #[must_use]
    pub fn apex(&self) -> &Name {
        &self.apex
    }

    /// Labels of the apex without the root.
    #[must_use]
    pub fn apex_label_count(&self) -> usize {
        self.apex_labels
    }

    /// The SOA as negative answers carry it (RFC 2308 section 3): its TTL is the lesser of its own
    /// and its MINIMUM field.
    #[must_use]
    pub fn negative_soa(&self) -> RecordSet<'_> {
        let image = self.negative.image(&self.images);
        RecordSet { rtype: Rtype::SOA, ttl: image.ttl(), image }
    }

    /// Nodes, empty ones included.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// The steered names, in the order in which they were said.
    pub fn steered_names(&self) -> impl Iterator<Item = (Name, SteeredId)> {
        (0..self.nodes.len()).map(NodeId::at).filter_map(|id| {
            let steering = self.node(id).steered?;
            let name = Name::from_wire(self.node_name(id)).expect("a node has a valid name");
            Some((name, steering.id))
        })
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.idx()]
    }

    fn node_name(&self, id: NodeId) -> &[u8] {
        let node = self.node(id);
        self.name(node.name_at, node.name_len)
    }

    fn name(&self, at: u32, len: u8) -> &[u8] {
        let at = at as usize;
        &self.names[at..at + usize::from(len)]
    }

    fn rrsets(&self, id: NodeId) -> &[RRset] {
        let node = self.node(id);
        let at = node.rrsets_at as usize;
        &self.rrsets[at..at + usize::from(node.n_rrsets)]
    }

    fn rrset(&self, id: NodeId, rtype: Rtype) -> Option<&RRset> {
        // A name has a handful of types: a walk beats a search.
        self.rrsets(id).iter().find(|rrset| rrset.rtype == rtype)
    }

    fn record_set(&self, rrset: &RRset) -> RecordSet<'_> {
        let image = rrset.extent.image(&self.images);
        RecordSet { rtype: rrset.rtype, ttl: rrset.ttl, image }
    }

    /// The node with this name; `hash` is that of `wire`.
    #[inline(always)]
    fn exact(&self, wire: &[u8], hash: u64) -> Option<NodeId> {
        self.table.find(hash, |id| name::is_same(self.node_name(*id), wire)).copied()
    }
}

impl fmt::Debug for Zone {
    /// A line per RRset, for tests and for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for id in (0..self.nodes.len()).map(NodeId::at) {
            let owner = name::text(self.node_name(id));
            for rrset in self.rrsets(id) {
                let n_records = self.record_set(rrset).image.n_records();
                writeln!(f, "{owner} {} {} x{n_records}", rrset.ttl, rrset.rtype)?;
            }
            if let Some(steering) = self.node(id).steered {
                writeln!(f, "{owner} steered {}", steering.id.0)?;
            }
        }
        Ok(())
    }
}
