//! The world that all servers are given: the country data inside the binary, as a file in MaxMind's
//! format with MaxMind's schema, which is what they all can read.
//!
//! ```text
//!   file     the tree, 16 zero octets, the records, the marker, the metadata
//!   tree     a node is two numbers of 32 bits: for a zero and for a one as the next bit of an
//!            address. Below the count of nodes: a node; the count: nothing is known; above: it
//!            and 16 more than where the record starts
//! ```
//!
//! IPv4 only: the load asks on behalf of IPv4 networks.

use std::{collections::HashMap, net::Ipv4Addr};

use evenkeel::{
    compile::geoip::embedded,
    dice::Roll,
    geo::{Continent, Geo, Place, PlaceId, Run, is_special_use},
};

/// Octets between the tree and the records.
const GAP: u32 = 16;

const MARKER: &[u8] = b"\xAB\xCD\xEFMaxMind.com";

/// When the file says it was made; nobody looks at it.
const BUILT: u64 = 1_790_000_000;

/// What is known of the earth.
pub(crate) struct World {
    geo: Geo,
}

/// A network that clients are in.
#[derive(Clone, Copy)]
pub(crate) struct Network {
    /// Of a /24.
    pub(crate) octets: [u8; 3],
    pub(crate) continent: Continent,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { geo: embedded() }
    }

    /// Networks from everywhere: each /24 of the address space that is on a continent has the same
    /// chance.
    pub(crate) fn networks(&self, count: usize) -> Vec<Network> {
        let mut roll = Roll(1);
        let any = std::iter::repeat_with(|| {
            u32::try_from(roll.below(1 << 24)).expect("24 bits are fewer than 32") << 8
        });
        any.filter_map(|bits| self.network(Ipv4Addr::from_bits(bits))).take(count).collect()
    }

    /// The /24 that starts here, if it is all in one place.
    fn network(&self, first: Ipv4Addr) -> Option<Network> {
        let located = self.geo.locate(first.into());
        let prefix = evenkeel::geo::Prefix::around(first.into(), 24);
        let continent = located.place.continent.filter(|it| *it != Continent::An)?;
        let is_one = located.prefix_len <= 24 && !is_special_use(&prefix);
        let [a, b, c, _] = first.octets();
        is_one.then_some(Network { octets: [a, b, c], continent })
    }

    /// The file.
    pub(crate) fn mmdb(&self) -> Vec<u8> {
        let mut records = Vec::new();
        let mut starts: HashMap<PlaceId, u32> = HashMap::new();
        let runs: Vec<(Run<u32>, Option<u32>)> = (self.geo.v4.runs())
            .map(|(run, id)| {
                let place = &self.geo.places[id.idx()];
                let start = |records: &mut Vec<u8>| {
                    let start = u32::try_from(records.len()).expect("there are few places");
                    records.extend(record(place));
                    start
                };
                let is_known = *place != Place::NOWHERE;
                (run, is_known.then(|| *starts.entry(id).or_insert_with(|| start(&mut records))))
            })
            .collect();
        let mut tree = Tree::default();
        let root = tree.branch(&runs, 0, 32);
        assert_eq!(root, Branch::Node(0), "the world is not all one place");
        let mut file = tree.octets();
        let n_nodes = u32::try_from(tree.nodes.len()).expect("fewer than addresses");
        file.extend([0; GAP as usize]);
        file.extend(records);
        file.extend(MARKER);
        file.extend(metadata(n_nodes));
        file
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Branch {
    Node(u32),
    Nothing,
    Record(u32),
}

#[derive(Default)]
struct Tree {
    nodes: Vec<[Branch; 2]>,
}

impl Tree {
    /// What is known of the addresses that begin as `first` does, all but their last `bits` bits;
    /// `runs` are those that touch them.
    fn branch(&mut self, runs: &[(Run<u32>, Option<u32>)], first: u32, bits: u32) -> Branch {
        if runs.iter().all(|(_, start)| *start == runs[0].1) {
            return runs[0].1.map_or(Branch::Nothing, Branch::Record);
        }
        let idx = self.nodes.len();
        self.nodes.push([Branch::Nothing; 2]);
        let middle = first + (1 << (bits - 1));
        let n_low = runs.partition_point(|(run, _)| run.first < middle);
        let low = self.branch(&runs[..n_low], first, bits - 1);
        let n_only_low = runs.partition_point(|(run, _)| run.last < middle);
        let high = self.branch(&runs[n_only_low..], middle, bits - 1);
        self.nodes[idx] = [low, high];
        Branch::Node(u32::try_from(idx).expect("fewer than addresses"))
    }

    fn octets(&self) -> Vec<u8> {
        let n_nodes = u32::try_from(self.nodes.len()).expect("fewer than addresses");
        let number = |branch: &Branch| match branch {
            Branch::Node(idx) => *idx,
            Branch::Nothing => n_nodes,
            Branch::Record(start) => n_nodes + GAP + start,
        };
        self.nodes.iter().flatten().flat_map(|branch| number(branch).to_be_bytes()).collect()
    }
}

// ---- Values, as they are in the file ----

fn record(place: &Place) -> Vec<u8> {
    let mut fields = Vec::new();
    if let Some(continent) = place.continent {
        fields.push(("continent", map(&[("code", text(continent.as_str()))])));
    }
    if let Some(country) = place.country {
        fields.push(("country", map(&[("iso_code", text(country.as_str()))])));
    }
    if let Some(at) = place.at {
        let (lat, lon) = (double(at.lat().into()), double(at.lon().into()));
        fields.push(("location", map(&[("latitude", lat), ("longitude", lon)])));
    }
    map(&fields)
}

fn metadata(n_nodes: u32) -> Vec<u8> {
    let (uint16, uint32, uint64) = (5, 6, 9);
    map(&[
        ("node_count", number(uint32, &n_nodes.to_be_bytes())),
        ("record_size", number(uint16, &[32])),
        ("ip_version", number(uint16, &[4])),
        ("database_type", text("Evenkeel-Bench-City")),
        ("languages", list_of_none()),
        ("binary_format_major_version", number(uint16, &[2])),
        ("binary_format_minor_version", number(uint16, &[0])),
        ("build_epoch", number(uint64, &BUILT.to_be_bytes())),
        ("description", map(&[])),
    ])
}

fn map(fields: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut octets = control(7, fields.len());
    for (key, value) in fields {
        octets.extend(text(key));
        octets.extend(value);
    }
    octets
}

fn list_of_none() -> Vec<u8> {
    control(11, 0)
}

fn text(text: &str) -> Vec<u8> {
    [control(2, text.len()), text.into()].concat()
}

fn double(value: f64) -> Vec<u8> {
    [control(3, 8), value.to_be_bytes().into()].concat()
}

fn number(kind: u8, octets: &[u8]) -> Vec<u8> {
    [control(kind, octets.len()), octets.into()].concat()
}

/// The octets that say which kind of value follows, and how long it is.
fn control(kind: u8, len: usize) -> Vec<u8> {
    let len = u8::try_from(len).expect("what is written here is short");
    assert!(len < 29, "a length that would need more octets");
    if kind < 8 { vec![(kind << 5) | len] } else { vec![len, kind - 7] }
}
