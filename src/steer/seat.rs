//! The seat of a client: from where it looks at the world.

use std::net::IpAddr;

use crate::{
    geo::{Geo, Prefix, Unwrapped, unwrapped},
    limits::{STICKY_V4_LEN, STICKY_V6_LEN},
};

/// From where a client looks at the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// The address that counts.
    pub address: IpAddr,
    /// Whether that is the network that the client named, and not its own address.
    pub is_subnet: bool,
    /// The number of the network, as far as sticky names tell them apart.
    pub network: u64,
    /// Bits of the address that the number is made of.
    pub sticky_len: u8,
}

impl Seat {
    /// The network that the client named, if it can be used (RFC 7871 section 7.2.1), else itself.
    #[must_use]
    #[inline(always)]
    pub fn of(geo: &Geo, subnet: Option<Prefix>, client: IpAddr) -> Self {
        let subnet = subnet.filter(|it| it.length() != 0 && geo.is_usable(it));
        let address = subnet.map_or(client, |it| it.address());
        let (network, sticky_len) = match unwrapped(address) {
            Unwrapped::V4 { address, before } => {
                (u64::from(address >> (32 - STICKY_V4_LEN)), before + STICKY_V4_LEN)
            }
            Unwrapped::V6(address) => {
                let network = u64::try_from(address >> (128 - STICKY_V6_LEN)).expect("56 bits");
                // Apart from the numbers of IPv4 networks.
                (network | 1 << 63, STICKY_V6_LEN)
            }
        };
        Self { address, is_subnet: subnet.is_some(), network, sticky_len }
    }
}
