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
