//! Prefixes of addresses, and IPv4 addresses that come wrapped in IPv6 ones.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use super::ranges::{Address, Run};

/// A text that does not say what it should; the sentence says what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

/// A block of addresses that have their first bits in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    /// The first address: the bits after `len` are zero.
    address: IpAddr,
    /// At most 32 or 128.
    len: u8,
}

/// A prefix as a run of its family's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bounds {
    /// Of IPv4.
    V4(Run<u32>),
    /// Of IPv6.
    V6(Run<u128>),
}

impl Prefix {
    /// The prefix, if it is one.
    ///
    /// # Errors
    ///
    /// When it is longer than an address, or bits after its length are set.
    pub fn new(address: IpAddr, len: u8) -> Result<Self, Malformed> {
        let prefix = Self::around(address, len);
        if prefix.len != len {
            return Err(Malformed("a prefix is at most 32 bits of IPv4 or 128 of IPv6"));
        }
        if prefix.address != address {
            return Err(Malformed("the bits after a prefix's length are zero"));
        }
        Ok(prefix)
    }

    /// The block of `len` bits around an address; a greater length than the address has is its own.
    #[must_use]
    pub fn around(address: IpAddr, len: u8) -> Self {
        match address {
            IpAddr::V4(v4) => {
                let len = len.min(32);
                let first = v4.to_bits().block(len).first;
                Self { address: Ipv4Addr::from_bits(first).into(), len }
            }
            IpAddr::V6(v6) => {
                let len = len.min(128);
                let first = v6.to_bits().block(len).first;
                Self { address: Ipv6Addr::from_bits(first).into(), len }
            }
        }
    }

    /// The first address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// How many bits the addresses have in common.
    #[must_use]
    pub fn length(&self) -> u8 {
        self.len
    }

    /// Whether every address of `other` is one of its own.
    #[must_use]
    pub fn holds(&self, other: &Self) -> bool {
        self.len <= other.len && Self::around(other.address, self.len) == *self
    }

    /// Its addresses as a run.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        match self.address {
            IpAddr::V4(v4) => Bounds::V4(v4.to_bits().block(self.len)),
            IpAddr::V6(v6) => Bounds::V6(v6.to_bits().block(self.len)),
        }
    }
}

impl From<IpAddr> for Prefix {
    fn from(address: IpAddr) -> Self {
        Self::around(address, 128)
    }
}

impl FromStr for Prefix {
    type Err = Malformed;

    /// Reads `192.0.2.0/24`, and an address as the block of it alone.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        const EXPECTED: Malformed =
            Malformed("a network looks like `192.0.2.0/24` or `2001:db8::/32`");
        let (address, len) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| EXPECTED)?;
        let Some(len) = len else { return Ok(address.into()) };
        // `u8` would read `+8` as well.
        if !len.bytes().all(|octet| octet.is_ascii_digit()) {
            return Err(EXPECTED);
        }
        Self::new(address, len.parse().map_err(|_| EXPECTED)?)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.len)
    }
}

/// The line on which an address is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwrapped {
    /// An IPv4 address, and the bits before it in the form in which it came: a prefix length of the
    /// IPv4 line plus `before` is one of that form.
    V4 {
        /// The address.
        address: u32,
        /// 0 for an IPv4 address, 96 or 16 for one inside an IPv6 address.
        before: u8,
    },
    /// Any other IPv6 address.
    V6(u128),
}

/// Blocks of IPv6 addresses in which each stands for an IPv4 address, which begins after their bits.
const WRAPPERS: [(u128, u8); 3] = [
    // IPv4-mapped (RFC 4291 section 2.5.5.2).
    (0xFFFF << 32, 96),
    // NAT64 with the well-known prefix (RFC 6052 section 2.1).
    (0x0064_FF9B << 96, 96),
    // 6to4: the site's router has this IPv4 address (RFC 3056 section 2).
    (0x2002 << 112, 16),
];

/// The blocks of IPv6 addresses that are looked up as IPv4 ones.
pub fn wrappers() -> impl Iterator<Item = Run<u128>> {
    WRAPPERS.iter().map(|(prefix, len)| prefix.block(*len))
}

/// Of a run around an IPv6 address that stands for itself, the part without any that stand for
/// IPv4 ones.
#[must_use]
pub(super) fn without_wrappers(address: u128, mut run: Run<u128>) -> Run<u128> {
    for block in wrappers() {
        assert!(address < block.first || block.last < address);
        if block.last < address {
            run.first = run.first.max(block.last + 1);
        } else {
            run.last = run.last.min(block.first - 1);
        }
    }
    run
}

/// Where to look an address up: an IPv4 address inside an IPv6 one is where the IPv4 address is.
#[must_use]
#[inline(always)]
pub fn unwrapped(address: IpAddr) -> Unwrapped {
    match address {
        IpAddr::V4(v4) => Unwrapped::V4 { address: v4.to_bits(), before: 0 },
        IpAddr::V6(v6) => unwrapped_v6(v6.to_bits()),
    }
}

#[inline(never)]
fn unwrapped_v6(v6: u128) -> Unwrapped {
    for (prefix, len) in WRAPPERS {
        if len <= v6.common_bits(prefix) {
            let address = u32::try_from(v6 << len >> 96).expect("32 bits are left");
            return Unwrapped::V4 { address, before: len };
        }
    }
    Unwrapped::V6(v6)
}

impl Prefix {
    /// The IPv4 prefix that this one stands for, if it lies in a block of wrapped addresses; else
    /// itself.
    #[must_use]
    pub fn unwrapped(&self) -> Self {
        match unwrapped(self.address) {
            Unwrapped::V4 { address, before } if before <= self.len => {
                Self::around(Ipv4Addr::from_bits(address).into(), self.len - before)
            }
            _ => *self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_read_and_written() {
        for right in ["0.0.0.0/0", "192.0.2.0/24", "2001:db8::/32", "::/0", "::1/128"] {
            assert_eq!(right.parse::<Prefix>().unwrap().to_string(), right);
        }
        assert_eq!("192.0.2.1".parse::<Prefix>().unwrap().to_string(), "192.0.2.1/32");
        for wrong in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "::1/127",
            "::/129",
            "::/+8",
            "10/8",
        ] {
            assert!(wrong.parse::<Prefix>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_prefix_holds_what_begins_like_it() {
        let check = |one: &str, other: &str, expect: bool| {
            let (one, other): (Prefix, Prefix) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(one.holds(&other), expect, "{one} {other}");
        };
        check("10.0.0.0/8", "10.1.0.0/16", true);
        check("10.0.0.0/8", "10.0.0.0/8", true);
        check("10.1.0.0/16", "10.0.0.0/8", false);
        check("10.0.0.0/8", "11.0.0.0/8", false);
        check("0.0.0.0/0", "::/0", false);
        check("::/0", "2001:db8::1", true);
    }

    #[test]
    fn wrapped_addresses_are_looked_up_as_what_they_wrap() {
        let check = |text: &str, expect: Unwrapped| {
            assert_eq!(unwrapped(text.parse().unwrap()), expect, "{text}");
        };
        let address = 0xC000_0201;
        check("192.0.2.1", Unwrapped::V4 { address, before: 0 });
        check("::ffff:192.0.2.1", Unwrapped::V4 { address, before: 96 });
        check("64:ff9b::192.0.2.1", Unwrapped::V4 { address, before: 96 });
        check("2002:c000:201:7::9", Unwrapped::V4 { address, before: 16 });
        for text in ["::1", "::192.0.2.1", "64:ff9b:1::1", "2001:db8::1", "2003::"] {
            let address: Ipv6Addr = text.parse().unwrap();
            check(text, Unwrapped::V6(address.to_bits()));
        }
    }
}
