//! Record types by number and by name.

use std::{fmt, str::FromStr};

/// A record type (RFC 1035 section 3.2.2), or the type asked for (section 3.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rtype(pub u16);

macro_rules! types {
    ($($name:ident $number:literal)*) => {
        impl Rtype {
            $(#[doc = concat!("`", stringify!($name), "`, ", stringify!($number), ".")]
            pub const $name: Self = Self($number);)*
        }

        const MNEMONICS: &[(&str, Rtype)] = &[$((stringify!($name), Rtype::$name)),*];
    };
}

types! {
    A 1  NS 2  MD 3  MF 4  CNAME 5  SOA 6  MB 7  MG 8  MR 9  NULL 10  PTR 12  HINFO 13  MINFO 14  MX 15  TXT 16
    RP 17  AFSDB 18  X25 19  ISDN 20  RT 21  SIG 24  KEY 25  PX 26  AAAA 28  LOC 29  NXT 30  SRV 33  NAPTR 35
    KX 36  CERT 37  DNAME 39  OPT 41  APL 42  DS 43  SSHFP 44  IPSECKEY 45  RRSIG 46  NSEC 47  DNSKEY 48
    DHCID 49  NSEC3 50  NSEC3PARAM 51  TLSA 52  SMIMEA 53  HIP 55  CDS 59  CDNSKEY 60  OPENPGPKEY 61
    CSYNC 62  ZONEMD 63  SVCB 64  HTTPS 65  SPF 99  NID 104  L32 105  L64 106  LP 107  EUI48 108  EUI64 109
    TKEY 249  TSIG 250  IXFR 251  AXFR 252  MAILB 253  MAILA 254  ANY 255  URI 256  CAA 257  AVC 258
}

impl Rtype {
    /// The types that have a mnemonic, in the order of their numbers.
    pub fn named() -> impl Iterator<Item = Self> {
        MNEMONICS.iter().map(|(_, rtype)| *rtype)
    }

    /// Whether the number can be asked for or is part of the protocol, but can not stand in a zone
    /// (RFC 6895 section 3.1).
    #[must_use]
    pub fn is_meta(self) -> bool {
        self == Self::OPT || (128..=255).contains(&self.0)
    }
}

/// The kind of endpoint that a question can be answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `A`.
    V4,
    /// `AAAA`.
    V6,
    /// `CNAME`, for whatever type was asked.
    Name,
}

impl Family {
    /// The type of the records that hand endpoints of this kind out.
    #[must_use]
    pub fn rtype(self) -> Rtype {
        match self {
            Self::V4 => Rtype::A,
            Self::V6 => Rtype::AAAA,
            Self::Name => Rtype::CNAME,
        }
    }
}

impl fmt::Display for Rtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match MNEMONICS.iter().find(|(_, rtype)| rtype == self) {
            Some((name, _)) => f.pad(name),
            // RFC 3597 section 5.
            None => f.pad(&format!("TYPE{}", self.0)),
        }
    }
}

/// The text names no record type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownType;

impl FromStr for Rtype {
    type Err = UnknownType;

    /// Reads a mnemonic or `TYPE123` (RFC 3597 section 5), in any case.
    fn from_str(text: &str) -> Result<Self, UnknownType> {
        let known = MNEMONICS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        if let Some((_, rtype)) = known {
            return Ok(*rtype);
        }
        let (word, number) = text.split_at_checked(4).ok_or(UnknownType)?;
        if !word.eq_ignore_ascii_case("TYPE") || number.starts_with('+') {
            return Err(UnknownType);
        }
        number.parse().map(Self).map_err(|_| UnknownType)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_number() {
        let check = |text: &str, number| {
            assert_eq!(text.parse().ok(), Some(Rtype(number)), "{text}");
        };
        check("A", 1);
        check("aaaa", 28);
        check("TYPE65280", 65280);
        check("type1", 1);
        assert_eq!(Rtype::HTTPS.to_string(), "HTTPS");
        assert_eq!(Rtype(65280).to_string(), "TYPE65280");
        for text in ["", "TYPE", "TYPE65536", "TYPE+1", "NOPE", "ТИП1"] {
            assert_eq!(text.parse::<Rtype>(), Err(UnknownType), "{text}");
        }
    }
}
