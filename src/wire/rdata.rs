//! Record data: where names stand in it.
//!
//! Only this is known of a type here; all else in its data is octets (RFC 3597 section 3).

use super::Rtype;

/// Names in the data of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Octets before the first name.
    pub skip: usize,
    /// Names in a row; 0: the data is opaque.
    pub names: usize,
    /// Whether they may be compressed in a message (RFC 3597 section 4: only those of RFC 1035).
    pub compressible: bool,
}

/// What is known of the data of `rtype`.
#[must_use]
pub fn layout(rtype: Rtype) -> Layout {
    let (skip, names, compressible) = match rtype {
        Rtype::NS | Rtype::CNAME | Rtype::PTR => (0, 1, true),
        Rtype::SOA => (0, 2, true),
        Rtype::MX => (2, 1, true),
        // RFC 2782 and RFC 6672 section 2.5: not compressed.
        Rtype::SRV => (6, 1, false),
        Rtype::DNAME => (0, 1, false),
        _ => (0, 0, false),
    };
    Layout { skip, names, compressible }
}

/// The first name in the data of a type that has one; the data is valid.
#[must_use]
pub fn target(rtype: Rtype, rdata: &[u8]) -> Option<&[u8]> {
    let layout = layout(rtype);
    (layout.names != 0).then(|| &rdata[layout.skip..])
}

/// The records of an RRset, packed: each a `u16` length in machine order and its data.
///
/// One stretch of memory per RRset, read once from front to back.
#[derive(Debug, Clone, Copy)]
pub struct Records<'z>(&'z [u8]);

impl<'z> Records<'z> {
    /// Takes what [`pack`] wrote.
    #[must_use]
    pub fn new(packed: &'z [u8]) -> Self {
        Self(packed)
    }

    /// The data of each record.
    pub fn iter(self) -> impl Iterator<Item = &'z [u8]> {
        let mut packed = self.0;
        std::iter::from_fn(move || {
            let (len, rest) = packed.split_first_chunk()?;
            let (rdata, rest) = rest.split_at(usize::from(u16::from_ne_bytes(*len)));
            packed = rest;
            Some(rdata)
        })
    }

    /// The data of the first record.
    #[must_use]
    pub fn first(self) -> &'z [u8] {
        self.iter().next().expect("an RRset has a record")
    }
}

/// Appends one record's data.
pub fn pack(packed: &mut Vec<u8>, rdata: &[u8]) {
    let len = u16::try_from(rdata.len()).expect("record data has at most 65,535 octets");
    packed.extend_from_slice(&len.to_ne_bytes());
    packed.extend_from_slice(rdata);
}
