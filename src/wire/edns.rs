//! EDNS (RFC 6891): what the OPT record of a question says, and what goes into that of a reply.
//!
//! Options that we know: client subnet (RFC 7871) and, outwards, extended errors (RFC 8914).
//! All others are skipped, as RFC 6891 section 6.1.2 wants it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::reader::{Malformed, Reader};

/// Octets of an option before its data: code and length (RFC 6891 section 6.1.2).
const OPTION_HEAD_LEN: usize = 4;

/// Option code of the client subnet (RFC 7871 section 6).
pub const OPTION_SUBNET: u16 = 8;

/// Option code of an extended error (RFC 8914 section 2).
pub const OPTION_EDE: u16 = 15;

/// What the OPT record of a question says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns<'p> {
    /// Octets of a datagram that the client takes.
    pub payload_len: u16,
    /// The version; ours is 0.
    pub version: u8,
    /// Whether the client wants DNSSEC records (RFC 3225).
    pub dnssec_ok: bool,
    /// The network on whose behalf the client asks.
    pub subnet: Option<Subnet<'p>>,
    /// Whether an option breaks its own rules: the question is FORMERR.
    pub malformed: bool,
}

/// The network on whose behalf a client asks (RFC 7871 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet<'p> {
    /// The whole option as it came: a reply has the same, but for the scope.
    option: &'p [u8],
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

impl<'p> Edns<'p> {
    /// Reads an OPT record: what stands between its type and its data, and that.
    pub(super) fn read(head: [u8; 6], data: &'p [u8]) -> Self {
        let [payload_0, payload_1, _extended_rcode, version, flags, _] = head;
        let mut edns = Self {
            payload_len: u16::from_be_bytes([payload_0, payload_1]),
            version,
            dnssec_ok: flags & 0x80 != 0,
            subnet: None,
            malformed: false,
        };
        // What a later version means by its options is not known, so they are not looked at.
        if version == 0 && !data.is_empty() {
            edns.malformed = edns.read_options(data).is_err();
        }
        edns
    }

    fn read_options(&mut self, data: &'p [u8]) -> Result<(), Malformed> {
        let mut options = Reader::new(data);
        while !options.rest().is_empty() {
            let whole = options.rest();
            let [code_0, code_1, len_0, len_1]: [u8; OPTION_HEAD_LEN] = options.array()?;
            let len = usize::from(u16::from_be_bytes([len_0, len_1]));
            options.take(len)?;
            if u16::from_be_bytes([code_0, code_1]) == OPTION_SUBNET && self.subnet.is_none() {
                self.subnet = Some(Subnet::read(&whole[..OPTION_HEAD_LEN + len])?);
            }
        }
        Ok(())
    }
}

impl<'p> Subnet<'p> {
    /// Reads the option, its code and length included. Each error is a FORMERR by RFC 7871 section
    /// 7.1.2.
    fn read(option: &'p [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(&option[OPTION_HEAD_LEN..]);
        let [family_0, family_1, source_len, scope_len] = reader.array()?;
        let octets = reader.rest();
        // Too few or too many octets, and a scope in a question, are as bad as bits beyond the
        // source prefix.
        if scope_len != 0 || octets.len() != usize::from(source_len.div_ceil(8)) {
            return Err(Malformed);
        }
        let address = match u16::from_be_bytes([family_0, family_1]) {
            // From a client that says nothing of itself.
            0 if source_len == 0 => Ipv4Addr::UNSPECIFIED.into(),
            1 if source_len <= 32 => address_v4(octets, source_len)?.into(),
            2 if source_len <= 128 => address_v6(octets, source_len)?.into(),
            _ => return Err(Malformed),
        };
        Ok(Self { option, address, source_len })
    }

    /// The option as it goes into a reply, but for the scope, which is at [`SCOPE_AT`].
    ///
    /// [`SCOPE_AT`]: Self::SCOPE_AT
    pub(super) fn option(&self) -> &'p [u8] {
        self.option
    }

    /// Where in the option the scope stands: behind the family and the source prefix length.
    pub(super) const SCOPE_AT: usize = OPTION_HEAD_LEN + 3;
}

/// The network whose first octets are given, at most four, if it has no bits beyond `len`.
fn address_v4(octets: &[u8], len: u8) -> Result<Ipv4Addr, Malformed> {
    let bits = octets.iter().fold(0, |bits, octet| bits << 8 | u32::from(*octet));
    let bits = bits.checked_shl(32 - 8 * u32::from(len.div_ceil(8))).unwrap_or(0);
    let beyond = u32::MAX.checked_shr(len.into()).unwrap_or(0);
    if bits & beyond == 0 { Ok(Ipv4Addr::from_bits(bits)) } else { Err(Malformed) }
}

/// The same of IPv6, of at most sixteen octets.
fn address_v6(octets: &[u8], len: u8) -> Result<Ipv6Addr, Malformed> {
    let mut padded = [0; 16];
    padded[..octets.len()].copy_from_slice(octets);
    let bits = u128::from_be_bytes(padded);
    let beyond = u128::MAX.checked_shr(len.into()).unwrap_or(0);
    if bits & beyond == 0 { Ok(Ipv6Addr::from_bits(bits)) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_subnets() {
        let check = |option: &[u8], expect: Option<(&str, u8)>| {
            let len = u16::try_from(option.len()).unwrap().to_be_bytes();
            let whole = [&OPTION_SUBNET.to_be_bytes(), &len, option].concat();
            let got = Subnet::read(&whole).ok().map(|it| (it.address.to_string(), it.source_len));
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
