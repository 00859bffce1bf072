//! Sockets that a service manager has opened and passes on: socket activation.
//!
//! ```text
//!   passed: TCP and UDP sockets  --by address-->  those of `listen`, the rest of which is bound here
//!                                           \-->  that of the API
//!                                            \->  nobody's: a mistake
//! ```
//!
//! # Invariants
//!
//! - A socket that is passed is used, or the server does not start: whoever opens port 53 and is not
//!   answered would look for the reason elsewhere.
//! - What is used is set up as one of ours, but that all threads of an address share the sockets that
//!   there are.
//!
//! Not here: sockets that come from another server (`app::takeover`).

use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
};

use socket2::{Socket, Type};

use super::{
    batch,
    sockets::{Bound, UdpOptions, bind_tcp, bind_udp, explain, set_up_udp},
};

/// Sockets that nobody has asked for yet.
#[derive(Debug)]
pub struct Passed(Vec<Stray>);

#[derive(Debug)]
struct Stray {
    socket: Socket,
    /// None: it is no socket of the Internet.
    address: Option<SocketAddr>,
    kind: Option<Type>,
    name: String,
}

impl Passed {
    /// The sockets that were passed to this process. A second call has none.
    ///
    /// # Errors
    ///
    /// When what the environment says of them is wrong.
    pub fn take() -> io::Result<Self> {
        let stray = |(descriptor, name)| {
            let socket = Socket::from(descriptor);
            let address = socket.local_addr().ok().and_then(|it| it.as_socket());
            Stray { address, kind: socket.r#type().ok(), socket, name }
        };
        Ok(Self(batch::passed::descriptors()?.into_iter().map(stray).collect()))
    }

    /// The sockets for the addresses of `listen` of which one was passed; what an address lacks is
    /// bound.
    ///
    /// # Errors
    ///
    /// What cannot be set up or bound, and what to do about it.
    pub fn bound(&mut self, listen: &[SocketAddr], options: &UdpOptions) -> io::Result<Vec<Bound>> {
        let mut all = Vec::new();
        for address in listen.iter().copied() {
            let (tcp, udp) = (self.of(address, Type::STREAM), self.of(address, Type::DGRAM));
            if tcp.is_empty() && udp.is_empty() {
                continue;
            }
            let tcp = tcp_of(address, tcp).map_err(|error| explain(address, "TCP", &error))?;
            let udp =
                udp_of(address, &udp, options).map_err(|error| explain(address, "UDP", &error))?;
            all.push(Bound { listen: address, address, tcp, udp });
        }
        Ok(all)
    }

    /// The socket for connections to `address`.
    #[must_use]
    pub fn listener(&mut self, address: SocketAddr) -> Option<TcpListener> {
        self.of(address, Type::STREAM).pop().map(TcpListener::from)
    }

    /// Whether all were asked for.
    ///
    /// # Errors
    ///
    /// A socket that is left, and what to do about it.
    pub fn end(self) -> io::Result<()> {
        let Some(stray) = self.0.first() else { return Ok(()) };
        let kind = match stray.kind {
            Some(Type::STREAM) => "a TCP socket",
            Some(Type::DGRAM) => "a UDP socket",
            _ => "a socket",
        };
        let at = stray.address.map_or_else(String::new, |it| format!(" at {it}"));
        let Stray { name, .. } = stray;
        Err(io::Error::other(format!(
            "the service manager passes {kind}{at} (`{name}`), which the server file does not name\n\
             hint: add the address to `listen`, or take it out of the socket unit"
        )))
    }

    /// Takes those at `address`.
    fn of(&mut self, address: SocketAddr, kind: Type) -> Vec<Socket> {
        let is_it = |it: &mut Stray| it.address == Some(address) && it.kind == Some(kind);
        self.0.extract_if(.., is_it).map(|it| it.socket).collect()
    }
}

/// The one socket for connections.
fn tcp_of(address: SocketAddr, mut passed: Vec<Socket>) -> io::Result<TcpListener> {
    let Some(socket) = passed.pop() else { return bind_tcp(address) };
    if !passed.is_empty() {
        return Err(io::Error::other("the service manager passes several sockets for it"));
    }
    refuse_both_families(address, &socket)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A socket per thread: those that were passed in turn, else new ones.
fn udp_of(
    address: SocketAddr,
    passed: &[Socket],
    options: &UdpOptions,
) -> io::Result<Vec<UdpSocket>> {
    if passed.is_empty() {
        return (0..options.threads).map(|_| bind_udp(address, options)).collect();
    }
    for socket in passed {
        refuse_both_families(address, socket)?;
        socket.set_nonblocking(false)?;
        set_up_udp(socket, address, options)?;
    }
    let threads = options.threads.max(passed.len());
    let shared = passed.iter().cycle().take(threads).map(Socket::try_clone);
    shared.map(|it| it.map(UdpSocket::from)).collect()
}

/// `[::]` is IPv6 alone: clients of IPv4 would be met at two addresses, or at none.
fn refuse_both_families(address: SocketAddr, socket: &Socket) -> io::Result<()> {
    if address.is_ipv6() && address.ip().is_unspecified() && !socket.only_v6()? {
        return Err(io::Error::other(
            "the socket that the service manager passes takes IPv4 as well; set \
             `BindIPv6Only=ipv6-only` in the socket unit",
        ));
    }
    Ok(())
}
