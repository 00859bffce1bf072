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
//! - Each address has one TCP socket and one UDP socket per packet thread, all on one port.
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
    time::Duration,
};

use arc_swap::ArcSwap;
use nix::{sched::sched_getaffinity, unistd::Pid};
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

/// How packets are taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UdpOptions {
    /// Threads per address, each with a socket of its own; at least one.
    pub threads: usize,
    /// Cores that the threads of an address take in turn; none: any.
    pub cores: Vec<usize>,
    /// Octets of the kernel's buffer for what comes in, per socket.
    pub receive_buffer_len: usize,
    /// Octets of the kernel's buffer for what goes out, per socket; none: as the kernel has it.
    pub send_buffer_len: Option<usize>,
    /// How long a thread asks again before it sleeps, at most `UDP_BUSY_POLL_MAX`.
    pub busy_poll: Duration,
}

impl Default for UdpOptions {
    /// A thread per core of the machine, which sleeps when there is nothing.
    fn default() -> Self {
        Self {
            threads: thread::available_parallelism().map_or(1, usize::from),
            cores: Vec::new(),
            receive_buffer_len: UDP_RECEIVE_BUFFER_LEN,
            send_buffer_len: None,
            busy_poll: Duration::ZERO,
        }
    }
}

/// Sockets that are bound and not yet served. Questions that come in wait in the kernel.
#[derive(Debug)]
pub struct Sockets {
    /// As the operator wrote them; the port may be 0.
    listen: Vec<SocketAddr>,
    addresses: Vec<SocketAddr>,
    bound: Vec<Bound>,
    options: UdpOptions,
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
        Self::bind_with(listen, UdpOptions::default())
    }

    /// The same, and packets are taken in as `options` say.
    ///
    /// # Errors
    ///
    /// The first address that cannot be bound, or core that cannot be had, and what to do about it.
    pub fn bind_with(listen: &[SocketAddr], options: UdpOptions) -> io::Result<Self> {
        Self::bind_beside(listen, options, Vec::new())
    }

    /// Takes the sockets that another process has `given`, or a service manager has passed, as far as they are listed, and binds the
    /// other addresses. What is given and not listed is closed. Given sockets stay as many as they
    /// are and keep their buffers, whatever `options` say: in each there may be questions.
    ///
    /// # Errors
    ///
    /// See [`bind_with`](Self::bind_with).
    pub fn bind_beside(
        listen: &[SocketAddr],
        options: UdpOptions,
        mut given: Vec<Bound>,
    ) -> io::Result<Self> {
        check_cores(&options.cores)?;
        let (mut addresses, mut all_bound) = (vec![], vec![]);
        for address in listen {
            let is_it = |it: &Bound| it.listen == *address || it.address == *address;
            let bound = match given.iter().position(is_it) {
                Some(idx) => Bound { listen: *address, ..given.swap_remove(idx) },
                None => bind_both(*address, &options)?,
            };
            addresses.push(bound.address);
            all_bound.push(bound);
        }
        Ok(Self { listen: listen.to_vec(), addresses, bound: all_bound, options })
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
        let cores = &self.options.cores;
        let (mut listeners, mut sockets) = (vec![], vec![]);
        for (bound, spare) in self.bound.into_iter().zip(&serving.spare) {
            listeners.push(bound.tcp);
            for (idx, socket) in bound.udp.into_iter().enumerate() {
                let core = (!cores.is_empty()).then(|| cores[idx % cores.len()]);
                sockets.push((socket, core, Arc::clone(&spare.shared)));
            }
        }
        let sockets = sockets.into_iter().enumerate();
        for ((idx, (socket, core, shared)), counters) in sockets.zip(of_udp) {
            let driver = udp::Driver {
                socket,
                core,
                busy_poll: self.options.busy_poll,
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

/// Whether there are these cores, and we may have them.
fn check_cores(cores: &[usize]) -> io::Result<()> {
    let ours = sched_getaffinity(Pid::from_raw(0))?;
    match cores.iter().find(|core| !ours.is_set(**core).unwrap_or(false)) {
        None => Ok(()),
        Some(core) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "core {core} is not there, or not for this process\nhint: `nproc --all` counts \
                 them from 0, and `taskset --pid $$` says which of them a process may have"
            ),
        )),
    }
}

/// One TCP socket and the UDP sockets on the same port.
fn bind_both(address: SocketAddr, options: &UdpOptions) -> io::Result<Bound> {
    let mut tries = 1;
    loop {
        let tcp = bind_tcp(address).map_err(|error| explain(address, "TCP", &error))?;
        // With port 0 the kernel has chosen one that is free over TCP; over UDP it may be taken.
        let chosen = tcp.local_addr()?;
        match (0..options.threads).map(|_| bind_udp(chosen, options)).collect() {
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

pub(super) fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
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

pub(super) fn bind_udp(address: SocketAddr, options: &UdpOptions) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(true)?;
    set_up_udp(&socket, address, options)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Sets up all that may be set before and after a socket is bound.
pub(super) fn set_up_udp(
    socket: &Socket,
    address: SocketAddr,
    options: &UdpOptions,
) -> io::Result<()> {
    // Without the privilege the kernel gives as much as it gives to all (`rmem_max`, `wmem_max`).
    if batch::force_receive_buffer(socket.as_fd(), options.receive_buffer_len).is_err() {
        socket.set_recv_buffer_size(options.receive_buffer_len)?;
    }
    if let Some(len) = options.send_buffer_len
        && batch::force_send_buffer(socket.as_fd(), len).is_err()
    {
        socket.set_send_buffer_size(len)?;
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
    Ok(())
}

pub(super) fn explain(
    address: SocketAddr,
    transport: impl Display,
    error: &io::Error,
) -> io::Error {
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

#[cfg(test)]
mod tests {
    use socket2::SockRef;

    use super::*;

    #[test]
    fn buffers_are_as_long_as_is_asked() {
        let options = UdpOptions {
            threads: 2,
            receive_buffer_len: 65_536,
            send_buffer_len: Some(32_768),
            ..UdpOptions::default()
        };
        let sockets = Sockets::bind_with(&["127.0.0.1:0".parse().unwrap()], options).unwrap();
        let [bound] = &sockets.bound[..] else { panic!("there is one address") };
        assert_eq!(bound.udp.len(), 2);
        for socket in &bound.udp {
            let socket = SockRef::from(socket);
            // The kernel doubles them, for what it notes beside each packet (socket(7)).
            assert_eq!(socket.recv_buffer_size().unwrap(), 2 * 65_536);
            assert_eq!(socket.send_buffer_size().unwrap(), 2 * 32_768);
        }
    }
}
