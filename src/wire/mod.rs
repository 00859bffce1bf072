//! DNS messages: bytes to values and back.
//!
//! ```text
//!   a packet  ->  query::parse  ->  Query  ..answer..  Reply  ->  a packet
//!                  (reader, edns, name)                (name, rdata, edns)
//! ```
//!
//! # Invariants
//!
//! - Total: any input gives a value or a small error; nothing panics, loops or reads past the end.
//! - No allocation on the way of a packet.
//! - No files, sockets, clocks, runtime, logging or serde.
//!
//! Not here: what to say (`answer`), and text that an operator wrote (`compile`).

pub mod edns;
pub mod image;
pub mod name;
pub mod query;
pub mod rdata;
mod reader;
pub mod reply;
pub mod rtype;

pub use edns::{Ede, Edns, Subnet};
pub use name::{Folded, Name, NameError};
pub use query::{Query, Refusal};
pub use reply::{Reply, Section};

pub use rtype::{Family, Rtype};

/// What a message came over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// One datagram; the reply may have to be cut.
    Udp,
    /// A stream; the reply may have any length.
    Tcp,
}

/// Response codes (RFC 1035 section 4.1.1, RFC 6891 section 9), twelve bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rcode(pub u16);

impl Rcode {
    /// An answer, a referral or no data.
    pub const NOERROR: Self = Self(0);
    /// The question could not be read.
    pub const FORMERR: Self = Self(1);
    /// We know the name and cannot answer for it now.
    pub const SERVFAIL: Self = Self(2);
    /// The name does not exist.
    pub const NXDOMAIN: Self = Self(3);
    /// We do not do that.
    pub const NOTIMP: Self = Self(4);
    /// We do not answer for that name, or not to this client.
    pub const REFUSED: Self = Self(5);
    /// A DNAME led to a name that is too long (RFC 6672 section 2.2).
    pub const YXDOMAIN: Self = Self(6);
    /// The EDNS version is not ours (RFC 6891 section 9).
    pub const BADVERS: Self = Self(16);
}
