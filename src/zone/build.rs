//! Building a zone out of its records.
//!
//! ```text
//!   record, steer  ->  names and nodes, parents first  ->  finish: RRsets by node and type,
//!                                                          covers, wildcards, glue
//! ```

use std::ops::Range;

use hashbrown::HashTable;

use super::{Additional, Cover, Node, RRset, Steering, Zone};
use crate::{
    ids::{NodeId, SteeredId},
    wire::{
        Folded, Name, Rtype,
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
            rdata: Vec::new(),
            additional: Vec::new(),
            apex_labels,
            labels_max: apex_labels,
            negative_ttl: 0,
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
        self.zone.rdata.reserve(rdata_len + 2 * n_records);
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
        self.find_additional();
        let soa = self.zone.rrset(NodeId(0), Rtype::SOA).expect("a zone has a SOA");
        let records = self.zone.record_set(soa).records;
        assert_eq!(records.iter().count(), 1, "a zone has one SOA");
        let minimum = records.first().last_chunk().expect("a SOA ends in its MINIMUM field");
        self.zone.negative_ttl = soa.ttl.min(u32::from_be_bytes(*minimum));
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
            let at = zone.rdata.len();
            for (idx, record) in group.iter().enumerate() {
                let data = &self.rdata[record.rdata.clone()];
                let is_new =
                    group[..idx].iter().all(|before| self.rdata[before.rdata.clone()] != *data);
                if is_new {
                    rdata::pack(&mut zone.rdata, data);
                }
            }
            let node = &mut zone.nodes[first.node.idx()];
            if node.n_rrsets == 0 {
                node.rrsets_at = u32::try_from(zone.rrsets.len()).expect("fewer than 2^32 RRsets");
            }
            node.n_rrsets += 1;
            zone.rrsets.push(RRset {
                rtype: first.rtype,
                ttl: first.ttl,
                rdata_at: u32::try_from(at).expect("a zone's data fill less than 4 GiB"),
                rdata_len: u32::try_from(zone.rdata.len() - at).expect("part of the above"),
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

    /// Finds the addresses of the hosts that NS, MX and SRV records name (RFC 1034 section 4.3.2,
    /// step 6). Those of steered names are left out: they are chosen when they are asked for.
    fn find_additional(&mut self) {
        for rrset_idx in 0..self.zone.rrsets.len() {
            let rrset = self.zone.rrsets[rrset_idx];
            if !matches!(rrset.rtype, Rtype::NS | Rtype::MX | Rtype::SRV) {
                continue;
            }
            let at = self.zone.additional.len();
            let hosts: Vec<Vec<u8>> = self
                .zone
                .record_set(&rrset)
                .records
                .iter()
                .filter_map(|rdata| rdata::target(rrset.rtype, rdata))
                .map(|target| {
                    let len = name_len(target).expect("names in record data are valid");
                    target[..len].to_ascii_lowercase()
                })
                .collect();
            for host in hosts {
                self.push_addresses(&host);
            }
            let rrset = &mut self.zone.rrsets[rrset_idx];
            rrset.additional_at = u32::try_from(at).expect("as many as there are RRsets");
            rrset.n_additional = u16::try_from(self.zone.additional.len() - at)
                .expect("two for each of at most RRSET_RECORDS_MAX records");
        }
    }

    /// Adds the addresses of a host to the additional ones, if it is in the zone: below a cut they
    /// are glue, below a wildcard those of the wildcard.
    fn push_addresses(&mut self, host: &[u8]) {
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
        let rrsets_at = zone.node(node).rrsets_at;
        let found: Vec<Additional> = (rrsets_at..)
            .zip(zone.rrsets(node))
            .filter(|(_, rrset)| matches!(rrset.rtype, Rtype::A | Rtype::AAAA))
            .map(|(rrset, _)| Additional { name_at, name_len, rrset })
            .collect();
        zone.additional.extend(found);
    }
}
