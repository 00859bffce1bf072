//! EDNS (RFC 6891): what the OPT record of a question says, and what goes into that of a reply.
//!
//! Options that we know: client subnet (RFC 7871) and, outwards, extended errors (RFC 8914).
//! All others are skipped, as RFC 6891 section 6.1.2 wants it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::reader::{Malformed, Reader};

/// Option code of the client subnet (RFC 7871 section 6).
pub const OPTION_SUBNET: u16 = 8;

/// Option code of an extended error (RFC 8914 section 2).
pub const OPTION_EDE: u16 = 15;

/// What the OPT record of a question says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns {
    /// Octets of a datagram that the client takes.
    pub payload_len: u16,
    /// The version; ours is 0.
    pub version: u8,
    /// Whether the client wants DNSSEC records (RFC 3225).
    pub dnssec_ok: bool,
    /// The network on whose behalf the client asks.
    pub subnet: Option<Subnet>,
    /// Whether an option breaks its own rules: the question is FORMERR.
    pub malformed: bool,
}

/// The network on whose behalf a client asks (RFC 7871 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    /// The address family's number: 1, 2, or 0 from a client that says nothing of itself.
    family: u16,
    /// The network, with zeros behind the prefix.
    pub address: IpAddr,
    /// Bits of the address that the client gave.
    pub source_len: u8,
}

/// Why an answer is as it is (RFC 8914 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ede(pub u16);

impl Ede {
    /// The name's endpoints have not been probed yet.
    pub const NOT_READY: Self = Self(14);
    /// Zone transfers are not given to this client.
    pub const PROHIBITED: Self = Self(18);
    /// The name is in none of our zones.
    pub const NOT_AUTHORITATIVE: Self = Self(20);
    /// The class, or kind of question, is not one we answer.
    pub const NOT_SUPPORTED: Self = Self(21);
    /// All endpoints are down, and the operator wants no answer then.
    pub const NO_REACHABLE_AUTHORITY: Self = Self(22);
}

impl Edns {
    /// Reads an OPT record from behind its type.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let payload_len = reader.u16()?;
        let [_extended_rcode, version, flags, _] = reader.array()?;
        let len = reader.u16()?;
        let mut edns = Self {
            payload_len,
            version,
            dnssec_ok: flags & 0x80 != 0,
            subnet: None,
            malformed: false,
        };
        let mut options = Reader::new(reader.take(usize::from(len))?);
        // What a later version means by its options is not known, so they are not looked at.
        while version == 0 && !options.rest().is_empty() {
            let (Ok(code), Ok(len)) = (options.u16(), options.u16()) else {
                edns.malformed = true;
                break;
            };
            let Ok(option) = options.take(usize::from(len)) else {
                edns.malformed = true;
                break;
            };
            if code == OPTION_SUBNET && edns.subnet.is_none() {
                edns.subnet = Subnet::read(option).ok();
                edns.malformed |= edns.subnet.is_none();
            }
        }
        Ok(edns)
    }
}

impl Subnet {
    /// Reads the option. Each error is a FORMERR by RFC 7871 section 7.1.2.
    fn read(option: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(option);
        let family = reader.u16()?;
        let [source_len, scope_len] = reader.array()?;
        let octets = reader.rest();

        let mut padded = [0; 16];
        let bits_max = match family {
            0 => 0,
            1 => 32,
            2 => 128,
            _ => return Err(Malformed),
        };
        // Too few or too many octets, and a scope in a question, are as bad as bits beyond the
        // source prefix.
        if bits_max < source_len
            || scope_len != 0
            || octets.len() != usize::from(source_len.div_ceil(8))
        {
            return Err(Malformed);
        }
        padded[..octets.len()].copy_from_slice(octets);
        let beyond = 0xFF_u8 >> (source_len % 8);
        if source_len % 8 != 0 && octets[octets.len() - 1] & beyond != 0 {
            return Err(Malformed);
        }
        let address = if family == 2 {
            IpAddr::V6(Ipv6Addr::from(padded))
        } else {
            let [a, b, c, d, ..] = padded;
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        };
        Ok(Self { family, address, source_len })
    }

    /// Octets of the option in a reply, its code and length included.
    pub(super) fn option_len(&self) -> usize {
        8 + usize::from(self.source_len.div_ceil(8))
    }

    /// Writes the option with `scope_len` into exactly `option_len` octets.
    pub(super) fn write(&self, scope_len: u8, out: &mut [u8]) {
        let (head, address) = out.split_at_mut(8);
        let len = u16::try_from(4 + address.len()).expect("an address has at most 16 octets");
        head[0..2].copy_from_slice(&OPTION_SUBNET.to_be_bytes());
        head[2..4].copy_from_slice(&len.to_be_bytes());
        head[4..6].copy_from_slice(&self.family.to_be_bytes());
        head[6] = self.source_len;
        head[7] = scope_len;
        match self.address {
            IpAddr::V4(v4) => address.copy_from_slice(&v4.octets()[..address.len()]),
            IpAddr::V6(v6) => address.copy_from_slice(&v6.octets()[..address.len()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_subnets() {
        let check = |option: &[u8], expect: Option<(&str, u8)>| {
            let got = Subnet::read(option).ok().map(|it| (it.address.to_string(), it.source_len));
            assert_eq!(got, expect.map(|(text, len)| (text.to_owned(), len)), "{option:?}");
        };
        check(&[0, 1, 24, 0, 192, 0, 2], Some(("192.0.2.0", 24)));
        check(&[0, 1, 20, 0, 192, 0, 0x10], Some(("192.0.16.0", 20)));
        check(&[0, 1, 0, 0], Some(("0.0.0.0", 0)));
        check(&[0, 2, 32, 0, 0x20, 1, 0xD, 0xB8], Some(("2001:db8::", 32)));
        check(&[0, 0, 0, 0], Some(("0.0.0.0", 0)));
        // Bits beyond the prefix, a scope, too few, too many, too long, families unknown.
        check(&[0, 1, 20, 0, 192, 0, 0x18], None);
        check(&[0, 1, 24, 8, 192, 0, 2], None);
        check(&[0, 1, 24, 0, 192, 0], None);
        check(&[0, 1, 24, 0, 192, 0, 2, 0], None);
        check(&[0, 1, 33, 0, 192, 0, 2, 1, 0], None);
        check(&[0, 3, 0, 0], None);
        check(&[0, 0, 8, 0, 1], None);
        check(&[0, 1], None);
    }
}
