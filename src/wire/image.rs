//! Images: records as they stand in a reply, ready but for what two pointers lead to.
//!
//! ```text
//!   octets    C0 0C | type | class | TTL | length | data   C0 0C | type | ...
//!             ^ the owner: where the question is            ^
//!   pointers  where in the octets a name goes on with the apex of the zone
//! ```
//!
//! What was asked for by its own name is copied as it is, and the pointers to the apex are set. If
//! it stands for another name, or may be kept for less long, the records are stamped besides
//! ([`stamp`]).
//!
//! # Compression
//!
//! Names in data share the apex of their zone, and nothing else. That needs neither a table nor a
//! search, and leaves out little.
//!
//! Not here: who has which records (`zone`), and where the names stand (`answer`).

use super::{
    Rtype,
    name::{labels, suffix_at},
    query::CLASS_IN,
    rdata::{self, Layout},
    reply::Place,
};

/// Octets of a record before its data, its owner being a pointer.
pub const HEAD_LEN: usize = 12;

/// Where in a record its TTL stands.
const TTL_AT: usize = 6;

/// The records of one type at one owner, as they stand in a reply.
#[derive(Debug, Clone, Copy)]
pub struct Image<'z> {
    octets: &'z [u8],
    /// Offsets into `octets`.
    pointers: &'z [[u8; 2]],
    n_records: u16,
}

/// Where in a store of many an image is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extent {
    at: u32,
    len: u32,
    /// Of the pointers, which lie behind the octets.
    n_pointers: u16,
    n_records: u16,
}

impl Extent {
    /// The image in the store that it was made in.
    #[must_use]
    pub fn image(self, store: &[u8]) -> Image<'_> {
        let (octets, behind) = store[self.at as usize..].split_at(self.len as usize);
        let pointers = &behind.as_chunks().0[..usize::from(self.n_pointers)];
        Image { octets, pointers, n_records: self.n_records }
    }
}

impl<'z> Image<'z> {
    /// All octets.
    pub(super) fn octets(self) -> &'z [u8] {
        self.octets
    }

    /// Where pointers to the apex are to be set.
    pub(super) fn pointers(self) -> impl Iterator<Item = usize> {
        self.pointers.iter().map(|at| usize::from(u16::from_ne_bytes(*at)))
    }

    /// How many records there are: at least one.
    #[must_use]
    pub fn n_records(self) -> u16 {
        self.n_records
    }

    /// The records from their types on.
    pub(super) fn bodies(self) -> impl Iterator<Item = &'z [u8]> {
        let mut rest = self.octets;
        std::iter::from_fn(move || {
            let len = record_len(rest)?;
            let (record, behind) = rest.split_at(len);
            rest = behind;
            Some(&record[2..])
        })
    }

    /// The data of the first record: as the file has it, if names in it are not compressed.
    #[must_use]
    pub fn first(self) -> &'z [u8] {
        let len = record_len(self.octets).expect("there is a record");
        &self.octets[HEAD_LEN..len]
    }

    /// Seconds that the records may be kept.
    #[must_use]
    pub fn ttl(self) -> u32 {
        let ttl = self.octets[TTL_AT..].first_chunk().expect("there is a record");
        u32::from_be_bytes(*ttl)
    }
}

/// Appends the image of some records to a store; the names in it may be pointed to where `apex` is
/// their end.
pub fn append<'r>(
    store: &mut Vec<u8>,
    apex: &[u8],
    (rtype, ttl): (Rtype, u32),
    records: impl Iterator<Item = &'r [u8]>,
) -> Extent {
    let at = store.len();
    let mut pointers: Vec<usize> = Vec::new();
    let mut n_records = 0;
    for data in records {
        store.extend(head(Place::QUESTION, rtype, ttl, 0));
        let data_at = store.len();
        append_data(store, apex, rdata::layout(rtype), data, &mut pointers);
        let len = u16::try_from(store.len() - data_at).expect("at most what is in the file");
        store[data_at - 2..data_at].copy_from_slice(&len.to_be_bytes());
        n_records += 1;
    }
    let len = store.len() - at;
    // What is longer than a message is never copied, and its pointers are not set.
    let pointers = pointers.iter().map_while(|pointer| u16::try_from(pointer - at).ok());
    let pointers_at = store.len();
    store.extend(pointers.flat_map(u16::to_ne_bytes));
    Extent {
        at: u32::try_from(at).expect("the records of a zone fill less than 4 GiB"),
        len: u32::try_from(len).expect("part of the above"),
        n_pointers: u16::try_from((store.len() - pointers_at) / 2).expect("within 64 KiB"),
        n_records,
    }
}

fn append_data(
    store: &mut Vec<u8>,
    apex: &[u8],
    layout: Layout,
    data: &[u8],
    pointers: &mut Vec<usize>,
) {
    if !layout.compressible {
        store.extend_from_slice(data);
        return;
    }
    let (before, mut rest) = data.split_at(layout.skip);
    store.extend_from_slice(before);
    for _ in 0..layout.names {
        let (name, behind) = split_name(rest);
        match shared(name, apex) {
            Some(own) => {
                store.extend_from_slice(own);
                pointers.push(store.len());
                store.extend(pointer(Place::QUESTION));
            }
            None => store.extend_from_slice(name),
        }
        rest = behind;
    }
    store.extend_from_slice(rest);
}

/// What a name has before the apex of its zone, if it is worth a pointer: the root is as short as it
/// gets.
pub(super) fn shared<'n>(name: &'n [u8], apex: &[u8]) -> Option<&'n [u8]> {
    let begin = suffix_at(name, apex).filter(|_| apex.len() != 1)?;
    Some(&name[..begin])
}

/// A record before its data.
pub(super) fn head(owner: Place, rtype: Rtype, ttl: u32, len: u16) -> [u8; HEAD_LEN] {
    let [owner_0, owner_1] = pointer(owner);
    let [type_0, type_1] = rtype.0.to_be_bytes();
    let [class_0, class_1] = CLASS_IN.to_be_bytes();
    let [ttl_0, ttl_1, ttl_2, ttl_3] = ttl.to_be_bytes();
    let [len_0, len_1] = len.to_be_bytes();
    [owner_0, owner_1, type_0, type_1, class_0, class_1, ttl_0, ttl_1, ttl_2, ttl_3, len_0, len_1]
}

/// An A record.
#[inline(always)]
pub(super) fn a(owner: Place, ttl: u32, [a, b, c, d]: [u8; 4]) -> [u8; HEAD_LEN + 4] {
    let [h0, h1, h2, h3, h4, h5, h6, h7, h8, h9, h10, h11] = head(owner, Rtype::A, ttl, 4);
    [h0, h1, h2, h3, h4, h5, h6, h7, h8, h9, h10, h11, a, b, c, d]
}

/// Gives the records in `octets` another owner and TTL.
pub(super) fn stamp(mut octets: &mut [u8], owner: Place, ttl: u32) {
    while let Some(len) = record_len(octets) {
        let (record, behind) = octets.split_at_mut(len);
        record[..2].copy_from_slice(&pointer(owner));
        record[TTL_AT..TTL_AT + 4].copy_from_slice(&ttl.to_be_bytes());
        octets = behind;
    }
}

/// Octets of the first of some records whose owners are pointers.
fn record_len(octets: &[u8]) -> Option<usize> {
    let [.., len_0, len_1] = octets.first_chunk::<HEAD_LEN>()?;
    Some(HEAD_LEN + usize::from(u16::from_be_bytes([*len_0, *len_1])))
}

pub(super) fn split_name(octets: &[u8]) -> (&[u8], &[u8]) {
    let len = labels(octets).map(|label| 1 + label.len()).sum::<usize>() + 1;
    octets.split_at(len)
}

/// A name that goes on where another stands (RFC 1035 section 4.1.4).
pub(super) fn pointer(place: Place) -> [u8; 2] {
    (0xC000 | place.offset()).to_be_bytes()
}
