//! Building a zone out of its records.
//!
//! ```text
//!   record, steer  ->  names and nodes, parents first  ->  finish: RRsets by node and type, as
//!                                                          they stand in a reply; covers,
//!                                                          wildcards, glue
//! ```

use std::ops::Range;

use hashbrown::HashTable;

use super::{Additional, Cover, Node, RRset, Steering, Zone};
use crate::{
    ids::{NodeId, SteeredId},
    wire::{
        Folded, Name, Rtype,
        image::{self, Extent},
        name::{self, name_len, suffix_at},
        rdata,
    },
};

/// Takes records in any order and makes the tree.
///
/// What can be wrong with a zone is found by `compile`, which knows the places; the builder
/// asserts it.
#[derive(Debug)]
pub struct Builder {
    zone: Zone,
    /// Each node's parent; the apex is its own.
    parents: Vec<NodeId>,
    records: Vec<Record>,
    /// The data of `records`.
    rdata: Vec<u8>,
    /// The node of the latest record: those of one name mostly come together.
    latest: NodeId,
}

#[derive(Debug)]
struct Record {
    node: NodeId,
    rtype: Rtype,
    ttl: u32,
    rdata: Range<usize>,
}

impl Builder {
    /// Begins a zone.
    #[must_use]
    pub fn new(apex: Name) -> Self {
        let apex_labels = apex.labels().count();
        let zone = Zone {
            apex,
            names: Vec::new(),
            table: HashTable::new(),
            nodes: Vec::new(),
            rrsets: Vec::new(),
            images: Vec::new(),
            additional: Vec::new(),
            apex_labels,
            labels_max: apex_labels,
            negative: Extent::default(),
        };
        let mut builder = Self {
            zone,
            parents: Vec::new(),
            records: Vec::new(),
            rdata: Vec::new(),
            latest: NodeId(0),
        };
        let wire = builder.zone.apex.as_wire().to_owned();
        builder.push_node(&wire, name::hash(&wire), NodeId(0), apex_labels);
        builder
    }

    /// Makes room for so many names, and records with so many octets of data. There may be more.
    pub fn reserve(&mut self, n_names: usize, n_records: usize, rdata_len: usize) {
        let Zone { names, table, nodes, .. } = &mut self.zone;
        table.reserve(n_names, |id| {
            let node = &nodes[id.idx()];
            let at = node.name_at as usize;
            name::hash(&names[at..at + usize::from(node.name_len)])
        });
        self.zone.nodes.reserve(n_names);
        self.parents.reserve(n_names);
        self.records.reserve(n_records);
        self.rdata.reserve(rdata_len);
        // Each with a pointer to its owner, type, class, TTL and length.
        self.zone.images.reserve(rdata_len + 12 * n_records);
    }

    /// Adds one record. `owner` is at or below the apex; `rdata` is in uncompressed wire form.
    /// The TTL of an RRset is that of its first record. A record that is there already is left out
    /// (RFC 2181 section 5).
    pub fn record(&mut self, owner: &Name, rtype: Rtype, ttl: u32, rdata: &[u8]) {
        if self.zone.node_name(self.latest) != owner.as_wire() {
            self.latest = self.node(owner.as_wire());
        }
        let node = self.latest;
        let at = self.rdata.len();
        self.rdata.extend_from_slice(rdata);
        self.records.push(Record { node, rtype, ttl, rdata: at..self.rdata.len() });
    }

    /// Makes `owner` a steered name: of addresses, or with `cname` of target names.
    pub fn steer(&mut self, owner: &Name, id: SteeredId, cname: bool) {
        let node = self.node(owner.as_wire());
        let steered = &mut self.zone.nodes[node.idx()].steered;
        assert!(steered.is_none(), "a name is steered once");
        *steered = Some(Steering { id, cname });
    }

    /// The zone; it has exactly one SOA, at the apex.
    #[must_use]
    pub fn finish(mut self) -> Zone {
        self.group_records();
        self.cover_nodes();
        self.make_negative();
        self.find_additional();
        self.zone
    }

    /// The node with this name, made with all its ancestors if it is not there.
    fn node(&mut self, wire: &[u8]) -> NodeId {
        let hash = name::hash(wire);
        if let Some(node) = self.zone.exact(wire, hash) {
            return node;
        }
        // The apex is there, so the walk upwards ends.
        let parent_at = 1 + usize::from(wire[0]);
        assert!(wire[0] != 0, "an owner is at or below the apex");
        let parent = self.node(&wire[parent_at..]);
        let labels = name::labels(wire).count();
        let node = self.push_node(wire, hash, parent, labels);
        if wire.starts_with(b"\x01*") {
            self.zone.nodes[parent.idx()].wildcard = Some(node);
        }
        node
    }

    fn push_node(&mut self, wire: &[u8], hash: u64, parent: NodeId, labels: usize) -> NodeId {
        let Zone { names, table, nodes, labels_max, .. } = &mut self.zone;
        let id = NodeId::at(nodes.len());
        nodes.push(Node {
            name_at: u32::try_from(names.len()).expect("a zone's names fill less than 4 GiB"),
            name_len: u8::try_from(wire.len()).expect("a name has at most 255 octets"),
            rrsets_at: 0,
            n_rrsets: 0,
            cover: Cover::Open,
            wildcard: None,
            steered: None,
        });
        names.extend_from_slice(wire);
        *labels_max = (*labels_max).max(labels);
        let hash_of = |id: &NodeId| {
            let node = &nodes[id.idx()];
            let at = node.name_at as usize;
            name::hash(&names[at..at + usize::from(node.name_len)])
        };
        table.insert_unique(hash, id, hash_of);
        self.parents.push(parent);
        id
    }

    /// Makes the RRsets, node by node and type by type.
    fn group_records(&mut self) {
        // Stable, so that records keep the order of the file.
        self.records.sort_by_key(|record| (record.node, record.rtype));
        let zone = &mut self.zone;
        for group in self.records.chunk_by(|a, b| (a.node, a.rtype) == (b.node, b.rtype)) {
            let first = &group[0];
            let data = |record: &Record| &self.rdata[record.rdata.clone()];
            let is_new = |idx: usize| group[..idx].iter().all(|it| data(it) != data(&group[idx]));
            let records = (0..group.len()).filter(|idx| is_new(*idx)).map(|idx| data(&group[idx]));
            let head = (first.rtype, first.ttl);
            let extent = image::append(&mut zone.images, zone.apex.as_wire(), head, records);
            let node = &mut zone.nodes[first.node.idx()];
            if node.n_rrsets == 0 {
                node.rrsets_at = u32::try_from(zone.rrsets.len()).expect("fewer than 2^32 RRsets");
            }
            node.n_rrsets += 1;
            zone.rrsets.push(RRset {
                rtype: first.rtype,
                ttl: first.ttl,
                extent,
                additional_at: 0,
                n_additional: 0,
            });
        }
    }

    /// Tells every node what hides it; a parent is told before its children.
    fn cover_nodes(&mut self) {
        for id in (1..self.zone.nodes.len()).map(NodeId::at) {
            let parent = self.parents[id.idx()];
            let cover = match self.zone.node(parent).cover {
                Cover::Open if self.zone.rrset(parent, Rtype::DNAME).is_some() => {
                    Cover::Dname(parent)
                }
                Cover::Open if self.zone.rrset(id, Rtype::NS).is_some() => Cover::Cut(id),
                above => above,
            };
            self.zone.nodes[id.idx()].cover = cover;
        }
    }

    /// Makes the SOA that negative answers carry; its TTL is the lesser of its own and its MINIMUM
    /// field.
    fn make_negative(&mut self) {
        let is_soa = |it: &&Record| it.node == NodeId(0) && it.rtype == Rtype::SOA;
        // They are sorted, so that the apex comes first.
        let soa = self.records.iter().find(is_soa).expect("a zone has a SOA");
        let made = self.zone.rrset(NodeId(0), Rtype::SOA).expect("it was made");
        assert_eq!(self.zone.record_set(made).image.n_records(), 1, "a zone has one SOA");
        let data = &self.rdata[soa.rdata.clone()];
        let minimum = data.last_chunk().expect("a SOA ends in its MINIMUM field");
        let ttl = soa.ttl.min(u32::from_be_bytes(*minimum));
        let head = (Rtype::SOA, ttl);
        let Zone { images, apex, negative, .. } = &mut self.zone;
        *negative = image::append(images, apex.as_wire(), head, std::iter::once(data));
    }

    /// Finds the addresses of the hosts that NS, MX and SRV records name (RFC 1034 section 4.3.2,
    /// step 6). Those of steered names are left out: they are chosen when they are asked for.
    fn find_additional(&mut self) {
        let records = std::mem::take(&mut self.records);
        let groups = records.chunk_by(|a, b| (a.node, a.rtype) == (b.node, b.rtype));
        for (rrset_idx, group) in groups.enumerate() {
            let Record { node, rtype, .. } = group[0];
            if !matches!(rtype, Rtype::NS | Rtype::MX | Rtype::SRV) {
                continue;
            }
            let at = self.zone.additional.len();
            for host in self.hosts(group) {
                self.push_addresses(&host, node);
            }
            if self.zone.node(node).cover == Cover::Cut(node) {
                self.zone.additional[at..].sort_by_key(|it| !it.below_owner);
            }
            let rrset = &mut self.zone.rrsets[rrset_idx];
            rrset.additional_at = u32::try_from(at).expect("as many as there are RRsets");
            rrset.n_additional = u16::try_from(self.zone.additional.len() - at)
                .expect("two for each of at most RRSET_RECORDS_MAX records");
        }
    }

    /// The hosts that the records of an RRset name, each once.
    fn hosts(&self, group: &[Record]) -> Vec<Vec<u8>> {
        let mut hosts: Vec<Vec<u8>> = Vec::new();
        for record in group {
            let data = &self.rdata[record.rdata.clone()];
            let target = rdata::target(record.rtype, data).expect("the type has one");
            let len = name_len(target).expect("names in record data are valid");
            let host = target[..len].to_ascii_lowercase();
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        hosts
    }

    /// Adds the addresses of a host that records of `owner` name to the additional ones, if it is in
    /// the zone: below a cut they are glue, below a wildcard those of the wildcard.
    fn push_addresses(&mut self, host: &[u8], owner: NodeId) {
        let mut folded = Folded::default();
        folded.fold(host).expect("a host is a valid name");
        if suffix_at(host, self.zone.apex.as_wire()).is_none() {
            return;
        }
        let zone = &mut self.zone;
        let (wire, hash) = folded.suffix(0);
        let (node, name_at) = if let Some(node) = zone.exact(wire, hash) {
            (node, zone.node(node).name_at)
        } else {
            let encloser = zone.node(zone.closest_encloser(&folded));
            let Some(wildcard) = encloser.wildcard.filter(|_| encloser.cover == Cover::Open) else {
                return;
            };
            let name_at = u32::try_from(zone.names.len()).expect("less than 4 GiB");
            zone.names.extend_from_slice(host);
            (wildcard, name_at)
        };
        let name_len = u8::try_from(host.len()).expect("a name has at most 255 octets");
        let below_owner = suffix_at(host, zone.node_name(owner)).is_some();
        let rrsets_at = zone.node(node).rrsets_at;
        let found: Vec<Additional> = (rrsets_at..)
            .zip(zone.rrsets(node))
            .filter(|(_, rrset)| matches!(rrset.rtype, Rtype::A | Rtype::AAAA))
            .map(|(rrset, _)| Additional { name_at, name_len, below_owner, rrset })
            .collect();
        zone.additional.extend(found);
    }
}
