//! Places from files in MaxMind's format, and from the country data inside the binary.
//!
//! ```text
//!   file -> verified -> networks, in order -> offset of the record -> decoded once -> PlaceId
//!                                                                                        |
//!   first file  over  second file  over  ...  -> completed -> without special use -> Geo <
//! ```
//!
//! # Invariants
//!
//! - Files are taken all and whole, or refused with every reason.
//! - Work and memory are bounded by the size of the files: the tree is walked once to see that it is
//!   one, each record is decoded once, and the reader bounds what a record may expand to.
//!
//! Not here: reading the files and noticing that one was replaced (`app`), and what is true of
//! countries (`compile::facts`).

mod embedded;
mod record;

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
};

use maxminddb::{MaxMindDbError, Metadata, Reader, WithinOptions};

use super::facts;
use crate::geo::{Address, Builder, Geo, Interner, Networks, PlaceId, Run};

pub use embedded::embedded;

/// What ends the data and begins the metadata of a file.
const METADATA_MARKER: &[u8] = b"\xAB\xCD\xEFMaxMind.com";

/// The places that files tell; a later file fills in what the earlier ones lack.
///
/// # Errors
///
/// Every file that is damaged, with the reason.
pub fn load(files: Vec<(PathBuf, Vec<u8>)>) -> Result<Geo, Vec<(PathBuf, String)>> {
    let mut geo = Geo::nowhere();
    let mut refused = Vec::new();
    for (path, octets) in files {
        // The reader is made for damaged files, but not by us: should one defeat it, the file is
        // refused, and the server lives. Nothing is shared with what is abandoned.
        let read = catch_unwind(AssertUnwindSafe(|| read(octets)))
            .unwrap_or_else(|_| Err("it is damaged in a way that its reader does not know".into()));
        match read {
            Ok(first) if geo.places.len() == 1 => geo = first,
            Ok(under) => geo = geo.over(&under),
            Err(reason) => refused.push((path, reason)),
        }
    }
    if !refused.is_empty() {
        return Err(refused);
    }
    Ok(finished(geo))
}

/// What the operator knows over what the files say.
#[must_use]
pub fn with_networks(geo: &Geo, networks: &Networks) -> Geo {
    if networks.is_empty() {
        return geo.clone();
    }
    networks.geo().over(geo).map_places(facts::complete)
}

/// What files say, with what follows from it and without what they cannot know.
fn finished(geo: Geo) -> Geo {
    geo.map_places(facts::complete).without_special_use()
}

/// The places that one file tells, as they stand there.
fn read(octets: Vec<u8>) -> Result<Geo, String> {
    let reader = verified(octets).map_err(|error| error.to_string())?;
    let mut places = Places { interner: Interner::default(), ids: HashMap::new() };
    let mut v4 = Builder::new(PlaceId::NOWHERE);
    let mut v6 = Builder::new(PlaceId::NOWHERE);
    for network in reader.networks(WithinOptions::default()).map_err(|error| error.to_string())? {
        let network = network.map_err(|error| error.to_string())?;
        let Some(id) = places.of(&network)? else { continue };
        let prefix = network.network().map_err(|error| error.to_string())?;
        let in_order = match prefix.ip() {
            IpAddr::V4(address) => v4.put(address.to_bits().block(prefix.prefix()), id),
            IpAddr::V6(address) => match mapped(address, prefix.prefix()) {
                // What belongs to IPv4 has come before and wins; out of order is no complaint here.
                Some(run) => {
                    let _late = v4.put(run, id);
                    true
                }
                None => v6.put(address.to_bits().block(prefix.prefix()), id),
            },
        };
        if !in_order {
            return Err("its networks overlap".to_owned());
        }
    }
    let places = places.interner.places();
    // It may be a good file of something else, such as kinds of connections: who names it for its
    // places is better told.
    if places.len() == 1 {
        return Err("none of its records tells a country, a continent, an AS or coordinates".into());
    }
    Ok(Geo { v4: v4.finish(), v6: v6.finish(), places })
}

/// A file that can be read to its end.
fn verified(octets: Vec<u8>) -> Result<Reader<Vec<u8>>, MaxMindDbError> {
    let reader = Reader::from_source(&octets[..])?;
    let metadata = reader.metadata();
    // What the reader verifies includes that a file describes itself, which not every good one does
    // (DB-IP's from npm, for one): such a file is given a description first.
    if metadata.description.is_empty() || metadata.database_type.is_empty() {
        let metadata = described(metadata);
        let start = octets.windows(METADATA_MARKER.len()).rposition(|it| it == METADATA_MARKER);
        let mut octets = octets;
        octets.truncate(start.expect("the reader has found it") + METADATA_MARKER.len());
        octets.extend(metadata);
        let reader = Reader::from_source(octets)?;
        reader.verify()?;
        return Ok(reader);
    }
    reader.verify()?;
    Reader::from_source(octets)
}

/// The metadata of a file as the format writes it, with a type and a description: a control octet
/// (three bits of type, five of size), then the value in network order.
fn described(metadata: &Metadata) -> Vec<u8> {
    let key = |octets: &mut Vec<u8>, key: &str| {
        octets.push(0x40 | u8::try_from(key.len()).expect("the keys are short"));
        octets.extend(key.as_bytes());
    };
    let mut octets = vec![0xE0 | 9];
    key(&mut octets, "node_count");
    octets.push(0xC4);
    octets.extend(metadata.node_count.to_be_bytes());
    key(&mut octets, "build_epoch");
    octets.extend([0x08, 0x02]);
    octets.extend(metadata.build_epoch.to_be_bytes());
    for (name, value) in [
        ("record_size", metadata.record_size),
        ("ip_version", metadata.ip_version),
        ("binary_format_major_version", metadata.binary_format_major_version),
        ("binary_format_minor_version", metadata.binary_format_minor_version),
    ] {
        key(&mut octets, name);
        octets.push(0xA2);
        octets.extend(value.to_be_bytes());
    }
    octets.extend(b"\x4Ddatabase_type\x41?\x4Bdescription\xE1\x42en\x41?\x49languages\x00\x04");
    octets
}

/// The records that have been decoded.
struct Places {
    interner: Interner,
    ids: HashMap<usize, PlaceId>,
}

impl Places {
    /// The place in a network's record; none without one.
    fn of(
        &mut self,
        network: &maxminddb::LookupResult<'_, Vec<u8>>,
    ) -> Result<Option<PlaceId>, String> {
        let Some(offset) = network.offset() else { return Ok(None) };
        if let Some(id) = self.ids.get(&offset) {
            return Ok(Some(*id));
        }
        let record: Option<record::Record<'_>> =
            network.decode().map_err(|error| error.to_string())?;
        let id = self.interner.intern(record.map_or_else(Default::default, |it| it.place()));
        self.ids.insert(offset, id);
        Ok(Some(id))
    }
}

/// The IPv4 network that an IPv6 one stands for: some files have IPv4 in the block of IPv4-mapped
/// addresses and not where it belongs. The block as a whole is none, but a remark on the block.
fn mapped(network: Ipv6Addr, len: u8) -> Option<Run<u32>> {
    (96 < len).then(|| network.to_ipv4_mapped())?.map(|v4| v4.to_bits().block(len - 96))
}
