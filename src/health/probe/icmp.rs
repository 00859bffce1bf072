//! `icmp`: an echo comes back.
//!
//! The socket is the kernel's own kind for this (`SOCK_DGRAM`), which needs no privilege but that
//! the process's group is in `net.ipv4.ping_group_range`. The kernel chooses the identifier, gives
//! this socket the replies to it alone, and computes the checksum.
//!
//! *Not here:* when (`schedule`).

use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::{Why, connect, first_of};
use crate::{dice::Dice, health::ProbeSpec};

/// The types of messages (RFC 792, RFC 4443).
const ECHO_4: u8 = 8;
const ECHO_REPLY_4: u8 = 0;
const ECHO_6: u8 = 128;
const ECHO_REPLY_6: u8 = 129;

/// Sends an echo request and waits for the reply.
pub(super) async fn echo(spec: &ProbeSpec) -> Result<(), Why> {
    first_of(connect::addresses(spec).await?, once).await
}

async fn once(address: SocketAddr) -> Result<(), Why> {
    let (domain, protocol, request, reply) = match address {
        SocketAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, ECHO_4, ECHO_REPLY_4),
        SocketAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, ECHO_6, ECHO_REPLY_6),
    };
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => Why::Forbidden,
        kind => Why::Connect(kind),
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(protocol)).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    socket.connect(&SocketAddr::new(address.ip(), 0).into()).map_err(failed)?;
    let socket = UdpSocket::from_std(socket.into()).map_err(failed)?;

    // Type, code, checksum, identifier, sequence number, and what has to come back.
    let token = Dice::from_os().roll().bits().to_be_bytes();
    let mut message = [request, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    message[8..].copy_from_slice(&token);
    socket.send(&message).await.map_err(failed)?;
    let mut octets = [0; 64];
    loop {
        let len = socket.recv(&mut octets).await.map_err(failed)?;
        let came = &octets[..len];
        if came.first() == Some(&reply) && came.get(8..16) == Some(&token[..]) {
            return Ok(());
        }
    }
}
