//! Sockets: bound first, served later, so that root can be given up in between.
//!
//! ```text
//!   bind (needs privilege)  ->  Sockets  ->  serve  ->  Serving  ->  stop
//!   another process's      -'                             |  share: the same sockets for another process
//!                                                         '->  leave: it goes on with them
//! ```
//!
//! # Invariants
//!
//! - Each address has one TCP socket and one UDP socket per core, all on one port.
//! - TCP is bound first and is exclusive: two servers never share a port unawares, though the UDP
//!   sockets are of the kind that would (`SO_REUSEPORT`).
//! - A [`Serving`] that is dropped stops.
//! - Nothing queued is lost when sockets change hands: both processes have the very same ones, so
//!   that the queues stay where they are. Who leaves reads no more and drains nothing that the other
//!   one has too.
//!
//! Not here: what happens on a socket (`udp`, `tcp`).

use std::{
    fmt::Display,
    io,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Relaxed, Release},
        },
    },
    thread::{self, JoinHandle},
};

use arc_swap::ArcSwap;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{mpsc, watch};

use super::{
    batch,
    tcp::{self, Stop, TcpLimits},
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
    bound: Vec<Bound>,
}

/// The sockets of one address.
#[derive(Debug)]
pub struct Bound {
    /// As the operator wrote it; the port may be 0.
    pub listen: SocketAddr,
    /// With the port that the kernel chose.
    pub address: SocketAddr,
    /// The one for connections.
    pub tcp: TcpListener,
    /// Those for packets: one per thread.
    pub udp: Vec<UdpSocket>,
}

/// Sockets that are served, until [`stop`](Self::stop).
#[derive(Debug)]
pub struct Serving {
    listen: Vec<SocketAddr>,
    addresses: Vec<SocketAddr>,
    registry: Registry,
    /// The sockets once more, for another process.
    spare: Vec<Spare>,
    stop_udp: Arc<AtomicBool>,
    stop_tcp: watch::Sender<Stop>,
    /// Connections that another process let in.
    arrivals: mpsc::Sender<TcpStream>,
    threads: Vec<JoinHandle<()>>,
}

/// Sockets of a [`Serving`] that serve as copies: the same in the kernel.
#[derive(Debug)]
struct Spare {
    bound: Bound,
    /// Whether another process reads them.
    shared: Arc<AtomicBool>,
}

impl Sockets {
    /// Binds each address over UDP and TCP. Port 0 is one that the kernel chooses.
    ///
    /// # Errors
    ///
    /// The first address that cannot be bound, and what to do about it.
    pub fn bind(listen: &[SocketAddr]) -> io::Result<Self> {
        Self::bind_beside(listen, Vec::new())
    }

    /// Takes the sockets that another process has `given`, as far as they are listed, and binds the
    /// other addresses. What is given and not listed is closed.
    ///
    /// # Errors
    ///
    /// See [`bind`](Self::bind).
    pub fn bind_beside(listen: &[SocketAddr], mut given: Vec<Bound>) -> io::Result<Self> {
        let mut sockets = Self { listen: listen.to_vec(), addresses: vec![], bound: vec![] };
        let cores = thread::available_parallelism().map_or(1, usize::from);
        for address in listen {
            let is_it = |it: &Bound| it.listen == *address || it.address == *address;
            let bound = match given.iter().position(is_it) {
                Some(idx) => Bound { listen: *address, ..given.swap_remove(idx) },
                None => bind_both(*address, cores)?,
            };
            sockets.addresses.push(bound.address);
            sockets.bound.push(bound);
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
        let (stop_tcp, stopping) = watch::channel(Stop::No);
        let (arrivals, arriving) = mpsc::channel(limits.connections_max.max(1));
        let registry = Registry::new(self.bound.iter().map(|it| it.udp.len()).sum::<usize>() + 1);
        let spare = |it: &Bound| Ok(Spare { bound: it.try_clone()?, shared: Arc::default() });
        let mut serving = Serving {
            listen: self.listen,
            addresses: self.addresses,
            registry: registry.clone(),
            spare: self.bound.iter().map(spare).collect::<io::Result<_>>()?,
            stop_udp: Arc::default(),
            stop_tcp,
            arrivals,
            threads: vec![],
        };
        let (of_tcp, of_udp) =
            registry.sets().split_last().expect("the registry was made for one set or more");
        let (mut listeners, mut sockets) = (vec![], vec![]);
        for (bound, spare) in self.bound.into_iter().zip(&serving.spare) {
            listeners.push(bound.tcp);
            sockets.extend(bound.udp.into_iter().map(|it| (it, Arc::clone(&spare.shared))));
        }
        for ((idx, (socket, shared)), counters) in sockets.into_iter().enumerate().zip(of_udp) {
            let driver = udp::Driver {
                socket,
                snapshots: Arc::clone(snapshots),
                counters: Arc::clone(counters),
                stop: Arc::clone(&serving.stop_udp),
                shared,
            };
            serving.spawn(format!("udp-{idx}"), move || driver.run())?;
        }
        let driver = tcp::Driver::new(
            listeners,
            arriving,
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
    pub fn stop(self) -> Totals {
        self.tell(Stop::Drain);
        self.join()
    }

    /// The same sockets once more, to be given to another process.
    ///
    /// # Errors
    ///
    /// When there are no descriptors left.
    pub fn share(&self) -> io::Result<Vec<Bound>> {
        self.spare.iter().map(|it| it.bound.try_clone()).collect()
    }

    /// Like [`stop`](Self::stop), but that another process answers what comes in at the addresses
    /// that it has `taken`, from this moment on, and that connections go to `heir` as soon as what
    /// was begun on them is done.
    #[must_use]
    pub fn leave(self, taken: &[SocketAddr], heir: mpsc::Sender<TcpStream>) -> Totals {
        for spare in &self.spare {
            spare.shared.store(taken.contains(&spare.bound.address), Relaxed);
        }
        self.tell(Stop::Move(heir));
        self.join()
    }

    /// Where connections go that another process has let in.
    #[must_use]
    pub fn arrivals(&self) -> mpsc::Sender<TcpStream> {
        self.arrivals.clone()
    }

    fn join(mut self) -> Totals {
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread that serves ended with a panic");
            }
        }
        self.registry.totals()
    }

    fn tell(&self, stop: Stop) {
        // Who sees it sees what was said of the sockets before.
        self.stop_udp.store(true, Release);
        self.stop_tcp.send_replace(stop);
    }

    fn spawn(&mut self, name: String, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(thread::Builder::new().name(name).spawn(run)?);
        Ok(())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop_udp.store(true, Release);
        // What was said before holds: it may be more than that.
        self.stop_tcp.send_if_modified(|stop| {
            let goes_on = matches!(stop, Stop::No);
            if goes_on {
                *stop = Stop::Drain;
            }
            goes_on
        });
    }
}

impl Bound {
    fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            listen: self.listen,
            address: self.address,
            tcp: self.tcp.try_clone()?,
            udp: self.udp.iter().map(UdpSocket::try_clone).collect::<io::Result<_>>()?,
        })
    }
}

/// One TCP socket and `cores` UDP sockets on the same port.
fn bind_both(address: SocketAddr, cores: usize) -> io::Result<Bound> {
    let mut tries = 1;
    loop {
        let tcp = bind_tcp(address).map_err(|error| explain(address, "TCP", &error))?;
        // With port 0 the kernel has chosen one that is free over TCP; over UDP it may be taken.
        let chosen = tcp.local_addr()?;
        match (0..cores).map(|_| bind_udp(chosen)).collect() {
            Ok(udp) => return Ok(Bound { listen: address, address: chosen, tcp, udp }),
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
