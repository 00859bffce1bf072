//! EDNS (RFC 6891): what the OPT record of a question says, and what goes into that of a reply.
//!
//! Options that we know: client subnet (RFC 7871) and, outwards, extended errors (RFC 8914).
//! All others are skipped, as RFC 6891 section 6.1.2 wants it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::reader::Malformed;

/// Octets of an option before its data: code and length (RFC 6891 section 6.1.2).
const OPTION_HEAD_LEN: usize = 4;

/// Octets of a client subnet before the address: family, source and scope prefix length (RFC 7871
/// section 6).
const SUBNET_HEAD_LEN: usize = OPTION_HEAD_LEN + 4;
/// The low octet of the family.
const FAMILY_AT: usize = OPTION_HEAD_LEN + 1;
const SOURCE_LEN_AT: usize = OPTION_HEAD_LEN + 2;
/// Where in the option the scope stands.
pub(super) const SCOPE_LEN_AT: usize = OPTION_HEAD_LEN + 3;

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

/// The network on whose behalf a client asks (RFC 7871 section 6): the whole option as it came, which
/// a reply has too, but for the scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet<'p>(&'p [u8]);

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
    /// Takes what stands in an OPT record between its type and its data, but for their length, and
    /// its data.
    #[inline(always)]
    pub(super) fn read(head: [u8; 6], data: &'p [u8]) -> Self {
        let [payload_0, payload_1, _extended_rcode, version, flags, _] = head;
        // What a later version means by its options is not known, so they are not looked at.
        let options = if version == 0 { data } else { &[] };
        let (subnet, malformed) = match read_options(options) {
            Ok(subnet) => (subnet, false),
            Err(Malformed) => (None, true),
        };
        Self {
            payload_len: u16::from_be_bytes([payload_0, payload_1]),
            version,
            dnssec_ok: flags & 0x80 != 0,
            subnet,
            malformed,
        }
    }
}

/// The client subnet among options, if there is one and none of them breaks its rules.
#[inline(always)]
fn read_options(mut options: &[u8]) -> Result<Option<Subnet<'_>>, Malformed> {
    let mut subnet = None;
    while !options.is_empty() {
        let (option, behind) = split_option(options).ok_or(Malformed)?;
        if option.starts_with(&OPTION_SUBNET.to_be_bytes()) && subnet.is_none() {
            subnet = Some(Subnet::read(option).ok_or(Malformed)?);
        }
        options = behind;
    }
    Ok(subnet)
}

/// The first option, its code and length included, and what follows it.
#[inline(always)]
fn split_option(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let [_, _, len_0, len_1] = octets.first_chunk::<OPTION_HEAD_LEN>()?;
    octets.split_at_checked(OPTION_HEAD_LEN + usize::from(u16::from_be_bytes([*len_0, *len_1])))
}

impl<'p> Subnet<'p> {
    /// Takes the option, its code and length included. None is a FORMERR by RFC 7871 section 7.1.2.
    #[inline(always)]
    fn read(option: &'p [u8]) -> Option<Self> {
        let (head, octets) = option.split_first_chunk::<SUBNET_HEAD_LEN>()?;
        let [_, _, _, _, family_0, family_1, source_len, scope_len] = *head;
        let bits_max = match u16::from_be_bytes([family_0, family_1]) {
            // From a client that says nothing of itself.
            0 => 0,
            1 => 32,
            2 => 128,
            _ => return None,
        };
        // Too few or too many octets, and a scope in a question, are as bad as bits beyond the
        // source prefix.
        let is_right = source_len <= bits_max
            && scope_len == 0
            && octets.len() == usize::from(source_len.div_ceil(8));
        let beyond = !(0xFF_u8 << (source_len.wrapping_neg() % 8));
        let is_zero_beyond = octets.last().is_none_or(|last| last & beyond == 0);
        (is_right && is_zero_beyond).then_some(Self(option))
    }

    /// The network, with zeros behind the prefix.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        if self.0[FAMILY_AT] == 2 {
            return self.v6().into();
        }
        // Before those of the address there are octets of the head, which are shifted out.
        let last = self.0.last_chunk().expect("the head alone is longer");
        let n_missing = SUBNET_HEAD_LEN + 4 - self.0.len();
        let bits = u64::from(u32::from_be_bytes(*last)) << (8 * n_missing);
        #[allow(clippy::cast_possible_truncation)] // The low half is what is wanted.
        Ipv4Addr::from_bits(bits as u32).into()
    }

    #[inline(never)]
    fn v6(&self) -> Ipv6Addr {
        let octets = &self.0[SUBNET_HEAD_LEN..];
        let mut padded = [0; 16];
        padded[..octets.len()].copy_from_slice(octets);
        padded.into()
    }

    /// Bits of the address that the client gave.
    #[must_use]
    pub fn source_len(&self) -> u8 {
        self.0[SOURCE_LEN_AT]
    }

    /// The option as it goes into a reply, but for the scope at [`SCOPE_LEN_AT`].
    pub(super) fn option(&self) -> &'p [u8] {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_subnets() {
        let check = |option: &[u8], expect: Option<(&str, u8)>| {
            let len = u16::try_from(option.len()).unwrap().to_be_bytes();
            let whole = [&OPTION_SUBNET.to_be_bytes(), &len, option].concat();
            let got = Subnet::read(&whole).map(|it| (it.address().to_string(), it.source_len()));
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
