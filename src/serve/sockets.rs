//! Sockets: bound first, served later, so that root can be given up in between.
//!
//! ```text
//!   bind (needs privilege)  ->  Sockets  ->  serve  ->  Serving  ->  stop
//! ```
//!
//! # Invariants
//!
//! - Each address has one TCP socket and one UDP socket per core, all on one port.
//! - TCP is bound first and is exclusive: two servers never share a port unawares, though the UDP
//!   sockets are of the kind that would (`SO_REUSEPORT`).
//! - A [`Serving`] that is dropped stops.
//!
//! Not here: what happens on a socket (`udp`, `tcp`).

use std::{
    fmt::Display,
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

use arc_swap::ArcSwap;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::watch;

use super::{
    batch,
    tcp::{self, TcpLimits},
    udp,
};
use crate::{
    counters::{Registry, Totals},
    limits::{BIND_TRIES_MAX, TCP_BACKLOG_LEN, UDP_RECEIVE_BUFFER_LEN, UDP_WAIT_MAX},
    snapshot::Snapshot,
};

/// Sockets that are bound and not yet served. Questions that come in wait in the kernel.
#[derive(Debug)]
pub struct Sockets {
    /// As the operator wrote them; the port may be 0.
    listen: Vec<SocketAddr>,
    addresses: Vec<SocketAddr>,
    udp: Vec<UdpSocket>,
    tcp: Vec<TcpListener>,
}

/// Sockets that are served, until [`stop`](Self::stop).
#[derive(Debug)]
pub struct Serving {
    listen: Vec<SocketAddr>,
    addresses: Vec<SocketAddr>,
    registry: Registry,
    stop_udp: Arc<AtomicBool>,
    stop_tcp: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Sockets {
    /// Binds each address over UDP and TCP. Port 0 is one that the kernel chooses.
    ///
    /// # Errors
    ///
    /// The first address that cannot be bound, and what to do about it.
    pub fn bind(listen: &[SocketAddr]) -> io::Result<Self> {
        let mut sockets =
            Self { listen: listen.to_vec(), addresses: vec![], udp: vec![], tcp: vec![] };
        let cores = thread::available_parallelism().map_or(1, usize::from);
        for address in listen {
            let (tcp, udp) = bind_both(*address, cores)?;
            sockets.addresses.push(tcp.local_addr()?);
            sockets.tcp.push(tcp);
            sockets.udp.extend(udp);
        }
        Ok(sockets)
    }

    /// What was bound, in the order of `listen`, with the ports that the kernel chose.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Answers from the current one of `snapshots`, on threads of its own.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn serve(
        self,
        snapshots: &Arc<ArcSwap<Snapshot>>,
        limits: TcpLimits,
    ) -> io::Result<Serving> {
        let (stop_tcp, stopping) = watch::channel(false);
        let registry = Registry::new(self.udp.len() + 1);
        let mut serving = Serving {
            listen: self.listen,
            addresses: self.addresses,
            registry: registry.clone(),
            stop_udp: Arc::default(),
            stop_tcp,
            threads: vec![],
        };
        let (of_tcp, of_udp) =
            registry.sets().split_last().expect("the registry was made for one set or more");
        for ((idx, socket), counters) in self.udp.into_iter().enumerate().zip(of_udp) {
            let driver = udp::Driver {
                socket,
                snapshots: Arc::clone(snapshots),
                counters: Arc::clone(counters),
                stop: Arc::clone(&serving.stop_udp),
            };
            serving.spawn(format!("udp-{idx}"), move || driver.run())?;
        }
        let driver = tcp::Driver::new(
            self.tcp,
            Arc::clone(snapshots),
            Arc::clone(of_tcp),
            stopping,
            limits,
        )?;
        serving.spawn("tcp".into(), move || driver.run())?;
        Ok(serving)
    }
}

impl Serving {
    /// Where questions are taken, with the ports that the kernel chose.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Whether these sockets are the ones that `listen` asks for, in any order. If not, it takes a
    /// restart: privileges for new sockets are gone.
    #[must_use]
    pub fn listens_on(&self, listen: &[SocketAddr]) -> bool {
        let (mut now, mut then) = (self.listen.clone(), listen.to_vec());
        now.sort_unstable();
        then.sort_unstable();
        now == then
    }

    /// Whether all threads still run; one that ended by itself ended with a panic.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.threads.iter().any(JoinHandle::is_finished)
    }

    /// The counters, which outlive the threads.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Answers what has come in, closes the sockets and says what was counted. Takes at most about
    /// `DRAIN_WAIT_MAX`; blocks.
    #[must_use]
    pub fn stop(mut self) -> Totals {
        self.tell();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread that serves ended with a panic");
            }
        }
        self.registry.totals()
    }

    fn tell(&self) {
        self.stop_udp.store(true, Relaxed);
        self.stop_tcp.send_replace(true);
    }

    fn spawn(&mut self, name: String, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(thread::Builder::new().name(name).spawn(run)?);
        Ok(())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.tell();
    }
}

/// One TCP socket and `cores` UDP sockets on the same port.
fn bind_both(address: SocketAddr, cores: usize) -> io::Result<(TcpListener, Vec<UdpSocket>)> {
    let mut tries = 1;
    loop {
        let tcp = bind_tcp(address).map_err(|error| explain(address, "TCP", &error))?;
        // With port 0 the kernel has chosen one that is free over TCP; over UDP it may be taken.
        let chosen = tcp.local_addr()?;
        match (0..cores).map(|_| bind_udp(chosen)).collect() {
            Ok(udp) => return Ok((tcp, udp)),
            Err(error)
                if address.port() == 0
                    && error.kind() == io::ErrorKind::AddrInUse
                    && tries < BIND_TRIES_MAX =>
            {
                tries += 1;
            }
            Err(error) => return Err(explain(chosen, "UDP", &error)),
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of the process before that linger in the kernel do not keep us out; a listener
    // does.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(TCP_BACKLOG_LEN)?;
    Ok(socket.into())
}

fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(true)?;
    if batch::force_receive_buffer(socket.as_fd(), UDP_RECEIVE_BUFFER_LEN).is_err() {
        // Without the privilege the kernel gives as much as it gives to all (`rmem_max`).
        socket.set_recv_buffer_size(UDP_RECEIVE_BUFFER_LEN)?;
    }
    // A read that times out is when a thread looks up; a send that does loses its reply.
    socket.set_read_timeout(Some(UDP_WAIT_MAX))?;
    socket.set_write_timeout(Some(UDP_WAIT_MAX))?;
    if address.ip().is_unspecified() {
        batch::report_destination(socket.as_fd(), address.is_ipv6())?;
    }
    if let Err(error) = batch::ignore_path_mtu(socket.as_fd(), address.is_ipv6()) {
        tracing::debug!(%address, %error, "the path MTU is not ignored");
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn explain(address: SocketAddr, transport: impl Display, error: &io::Error) -> io::Error {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "another server has this port; `ss --listening --udp --tcp --numeric --processes \
             'sport = :{}'` shows which",
            address.port()
        ),
        io::ErrorKind::AddrNotAvailable => {
            "no interface has this address; `ip address` shows those there are".to_owned()
        }
        io::ErrorKind::PermissionDenied => "ports below 1024 take root or the capability \
             CAP_NET_BIND_SERVICE; start as root and set `user`, and root is given up after binding"
            .to_owned(),
        _ if address.is_ipv6() => {
            "without IPv6 on this machine, leave its addresses out of `listen`".to_owned()
        }
        _ => "correct `listen` in the server file".to_owned(),
    };
    io::Error::new(
        error.kind(),
        format!("cannot listen on {address} over {transport}: {error}\nhint: {hint}"),
    )
}
