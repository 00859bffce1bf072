//! TCP: connections, each a stream of questions and of their replies (RFC 7766).
//!
//! ```text
//!   accept -> a seat? -> wait for octets, the stop, or the time to be up
//!                             |
//!                        read a chunk -> the desk: engine, once per whole message -> write all
//!                             |                                                       replies
//!                        keep what is left of a message                               at once
//! ```
//!
//! One thread serves all connections. So there is one engine, one buffer for reading and one for
//! replies (the [`Desk`]), no lock, one writer of the counters, and no way for a flood over TCP to
//! take more than its core from the packet threads.
//!
//! Replies are in the order of their questions. RFC 7766 section 7 asks that a reply does not wait
//! for a slower one before it; here none is slower: an answer is computed, never fetched.
//!
//! # Invariants
//!
//! - A connection that is silent between messages holds no buffer. One that is not holds at most a
//!   message and a chunk of questions, and `TCP_WRITE_LEN_MAX` and a message of replies, for at
//!   most `message_wait_max`.
//! - A connection's replies are taken before its next questions are read: who does not read is not
//!   read from.
//! - Each wait has an end, and each connection a seat that its end gives back.
//! - Without descriptors or memory accepting pauses; it never spins.
//! - A connection goes to another process between two messages only, and whole: neither of the two
//!   holds octets that the other one would need.
//!
//! Not here: how sockets are bound (`sockets`), any DNS but the length before a message (`engine`).

use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    net::{IpAddr, Ipv6Addr, TcpListener as StdListener, TcpStream as StdStream},
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::{ArcSwap, Cache};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::{self, Runtime},
    sync::{mpsc, watch},
    task::{self, LocalSet},
    time::{self, timeout, timeout_at},
};

use super::{Client, Engine, Frame, Frames};
use crate::{
    clock,
    counters::Counters,
    limits::{
        DRAIN_WAIT_MAX, TCP_ACCEPT_WAIT, TCP_CONNECTIONS_MAX, TCP_CONNECTIONS_PER_CLIENT_MAX,
        TCP_IDLE_MAX, TCP_LAST_CALL, TCP_MESSAGE_LEN_MAX, TCP_MESSAGE_WAIT_MAX, TCP_READ_LEN_MAX,
        TCP_WRITE_LEN_MAX, UDP_WAIT_MAX,
    },
    snapshot::Snapshot,
    wire::Transport,
};

/// Octets of the length before each message (RFC 1035 section 4.2.2).
const PREFIX_LEN: usize = 2;

/// What connections may take of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpLimits {
    /// Connections in all.
    pub connections_max: usize,
    /// Connections of one IPv4 address or IPv6 /64.
    pub connections_per_client_max: usize,
    /// How long a connection may stay silent between questions.
    pub idle_max: Duration,
    /// How long a begun message may take to arrive, and replies to be taken.
    pub message_wait_max: Duration,
}

impl Default for TcpLimits {
    fn default() -> Self {
        Self {
            connections_max: TCP_CONNECTIONS_MAX,
            connections_per_client_max: TCP_CONNECTIONS_PER_CLIENT_MAX,
            idle_max: TCP_IDLE_MAX,
            message_wait_max: TCP_MESSAGE_WAIT_MAX,
        }
    }
}

/// What the TCP thread works with.
#[derive(Debug)]
pub(super) struct Driver {
    runtime: Runtime,
    listeners: Vec<TcpListener>,
    arrivals: mpsc::Receiver<StdStream>,
    floor: Floor,
}

/// Whether the server is to stop, and how.
#[derive(Debug, Clone)]
pub(super) enum Stop {
    /// It goes on.
    No,
    /// Connections end when what was begun is done.
    Drain,
    /// Connections go to another process when what was begun is done.
    Move(mpsc::Sender<StdStream>),
}

/// What all connections share; of one thread.
#[derive(Debug)]
struct Floor {
    limits: TcpLimits,
    counters: Arc<Counters>,
    stopping: watch::Receiver<Stop>,
    desk: RefCell<Desk>,
    /// What was just read from a connection.
    chunk: RefCell<Box<[u8]>>,
    seats: RefCell<Seats>,
}

/// Who has connections.
#[derive(Debug, Default)]
struct Seats {
    /// The sum of `of`.
    taken: usize,
    /// Per client; no entry is 0.
    of: HashMap<IpAddr, usize>,
}

/// Where messages are answered.
#[derive(Debug)]
struct Desk {
    engine: Engine,
    snapshots: Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>,
    /// Replies of one connection, each after its length, up to `filled`.
    replies: Box<[u8]>,
    /// At most `TCP_WRITE_LEN_MAX` before an answer.
    filled: usize,
}

/// Why the desk went no further in a connection's octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// They end before the next message does.
    Partial,
    /// There are more messages, but the replies so far have to be taken first.
    Full,
    /// A length of zero: whoever sends it does not speak DNS.
    Nonsense,
}

/// How a connection stands after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Open,
    /// The client left, or was silent for long.
    Done,
    /// The server stops.
    Called,
    /// The client held up what it had begun, or sent nonsense.
    Cut,
}

impl Driver {
    pub(super) fn new(
        listeners: Vec<StdListener>,
        arrivals: mpsc::Receiver<StdStream>,
        snapshots: Arc<ArcSwap<Snapshot>>,
        counters: Arc<Counters>,
        stopping: watch::Receiver<Stop>,
        limits: TcpLimits,
    ) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let context = runtime.enter();
        let listeners = listeners.into_iter().map(TcpListener::from_std).collect::<io::Result<_>>();
        drop(context);
        let desk = Desk {
            engine: Engine::default(),
            snapshots: Cache::new(snapshots),
            replies: vec![0; TCP_WRITE_LEN_MAX + PREFIX_LEN + TCP_MESSAGE_LEN_MAX].into(),
            filled: 0,
        };
        let floor = Floor {
            limits,
            counters,
            stopping,
            desk: RefCell::new(desk),
            chunk: RefCell::new(vec![0; TCP_READ_LEN_MAX].into()),
            seats: RefCell::default(),
        };
        Ok(Self { runtime, listeners: listeners?, arrivals, floor })
    }

    /// Answers until told to stop, and then what has begun.
    pub(super) fn run(self) {
        let floor = Rc::new(self.floor);
        LocalSet::new().block_on(&self.runtime, serve(&floor, self.listeners, self.arrivals));
    }
}

async fn serve(
    floor: &Rc<Floor>,
    listeners: Vec<TcpListener>,
    arrivals: mpsc::Receiver<StdStream>,
) {
    // Each task holds a clone of `alive`; when `gone` gives nothing, all have ended.
    let (alive, mut gone) = mpsc::channel(1);
    for listener in listeners {
        task::spawn_local(accept(Rc::clone(floor), listener, alive.clone()));
    }
    task::spawn_local(adopt(Rc::clone(floor), arrivals, alive));
    let mut stopping = floor.stopping.clone();
    loop {
        tokio::select! {
            () = time::sleep(UDP_WAIT_MAX) => floor.desk.borrow_mut().let_go(),
            () = told(&mut stopping) => break,
        }
    }
    if timeout(DRAIN_WAIT_MAX, gone.recv()).await.is_err() {
        tracing::warn!("connections are closed in the middle of a message");
    }
}

async fn accept(floor: Rc<Floor>, listener: TcpListener, alive: mpsc::Sender<()>) {
    let mut end = pin!(last_call(&floor));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut end => return,
        };
        match accepted {
            Ok((stream, client)) => match Seat::take(&floor, client.ip()) {
                Some(seat) => {
                    floor.counters.connection_accepted();
                    task::spawn_local(Connection::new(stream, seat).converse(alive.clone()));
                }
                None => floor.counters.connection_refused(),
            },
            // The client gave up before we came to it (accept(2)).
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
                ) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection is accepted for a moment");
                time::sleep(TCP_ACCEPT_WAIT).await;
            }
        }
    }
}

/// Goes on with connections that another process let in.
async fn adopt(floor: Rc<Floor>, mut arrivals: mpsc::Receiver<StdStream>, alive: mpsc::Sender<()>) {
    let mut stopping = floor.stopping.clone();
    loop {
        let stream = tokio::select! {
            // Those that have come are taken even so, and end or go on as all others.
            biased;
            Some(stream) = arrivals.recv() => stream,
            () = told(&mut stopping) => return,
        };
        // One that broke on the way is no loss to its client: it is gone.
        let Ok(client) = stream.peer_addr() else { continue };
        let Ok(stream) = TcpStream::from_std(stream) else { continue };
        match Seat::take(&floor, client.ip()) {
            Some(seat) => {
                task::spawn_local(Connection::new(stream, seat).converse(alive.clone()));
            }
            None => floor.counters.connection_refused(),
        }
    }
}

/// Returns a moment after the server was told to stop.
async fn last_call(floor: &Floor) {
    told(&mut floor.stopping.clone()).await;
    time::sleep(TCP_LAST_CALL).await;
}

/// Returns when a connection that has begun nothing is to end: where it may go to another process at
/// once, since no question on its way is lost by that.
async fn called(floor: &Floor) {
    told(&mut floor.stopping.clone()).await;
    let moves = matches!(&*floor.stopping.borrow(), Stop::Move(_));
    if !moves {
        time::sleep(TCP_LAST_CALL).await;
    }
}

/// Returns when the server was told to stop, or nobody is left to tell it.
async fn told(stopping: &mut watch::Receiver<Stop>) {
    let _ = stopping.wait_for(|stopping| !matches!(stopping, Stop::No)).await;
}

impl Desk {
    /// Answers the whole messages at the beginning of `octets`, as far as replies have room, and
    /// says how many octets these messages are.
    fn answer(&mut self, octets: &[u8], client: IpAddr, counters: &Counters) -> (usize, Rest) {
        let client = Client { address: client, transport: Transport::Tcp };
        let Self { engine, snapshots, replies, filled } = self;
        let rest = Rest::Partial;
        let mut read = Read { octets, question: &[], used: 0, rest, client, replies, filled };
        engine.respond_all(snapshots.load(), &mut read, counters);
        (read.used, read.rest)
    }

    /// Drops a snapshot that was replaced.
    fn let_go(&mut self) {
        self.snapshots.load();
    }
}

/// What was read of a connection, and room for the replies.
struct Read<'d> {
    octets: &'d [u8],
    /// The message that came last.
    question: &'d [u8],
    /// Octets of the messages so far.
    used: usize,
    /// Why there was no further one.
    rest: Rest,
    client: Client,
    replies: &'d mut [u8],
    filled: &'d mut usize,
}

impl<'d> Read<'d> {
    fn message(&self) -> Result<&'d [u8], Rest> {
        let rest = &self.octets[self.used..];
        let (prefix, rest) = rest.split_first_chunk::<PREFIX_LEN>().ok_or(Rest::Partial)?;
        let len = usize::from(u16::from_be_bytes(*prefix));
        if len == 0 {
            return Err(Rest::Nonsense);
        }
        let message = rest.get(..len).ok_or(Rest::Partial)?;
        if TCP_WRITE_LEN_MAX < *self.filled { Err(Rest::Full) } else { Ok(message) }
    }
}

impl Frames for Read<'_> {
    fn next(&mut self) -> Option<Frame<'_>> {
        match self.message() {
            Ok(question) => {
                self.used += PREFIX_LEN + question.len();
                self.question = question;
                let room = &mut self.replies[*self.filled + PREFIX_LEN..];
                let reply = &mut room[..TCP_MESSAGE_LEN_MAX];
                Some(Frame { question, client: self.client, reply })
            }
            Err(rest) => {
                self.rest = rest;
                None
            }
        }
    }

    fn last(&mut self) -> (&[u8], Client) {
        (self.question, self.client)
    }

    fn take(&mut self, reply_len: usize) {
        let prefix = u16::try_from(reply_len)
            .expect("a reply fits the buffer, and that is as long as a `u16` can say")
            .to_be_bytes();
        self.replies[*self.filled..*self.filled + PREFIX_LEN].copy_from_slice(&prefix);
        *self.filled += PREFIX_LEN + reply_len;
    }
}

/// A connection's place among those of its client and of all.
#[derive(Debug)]
struct Seat {
    floor: Rc<Floor>,
    address: IpAddr,
    /// The address, or of IPv6 its /64: what one host can have all of.
    client: IpAddr,
}

impl Seat {
    fn take(floor: &Rc<Floor>, address: IpAddr) -> Option<Self> {
        let client = match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(it) => Ipv6Addr::from_bits(it.to_bits() >> 64 << 64).into(),
        };
        let mut seats = floor.seats.borrow_mut();
        let of_client = seats.of.get(&client).copied().unwrap_or(0);
        if floor.limits.connections_per_client_max <= of_client
            || floor.limits.connections_max <= seats.taken
        {
            return None;
        }
        seats.of.insert(client, of_client + 1);
        seats.taken += 1;
        Some(Self { floor: Rc::clone(floor), address, client })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.floor.seats.borrow_mut();
        seats.taken -= 1;
        match seats.of.get_mut(&self.client) {
            Some(of_client) if 1 < *of_client => *of_client -= 1,
            _ => drop(seats.of.remove(&self.client)),
        }
    }
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    seat: Seat,
    /// What has come of messages that are not answered. Between turns: less than a whole one.
    half: Vec<u8>,
    /// When the first octet of `half` was there.
    begun: Instant,
    /// Replies that the kernel has not taken. Empty between turns.
    unsent: Vec<u8>,
}

impl Connection {
    fn new(stream: TcpStream, seat: Seat) -> Self {
        // Replies are collected here; the kernel need not wait for more.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "replies may wait for more");
        }
        Self { stream, seat, half: Vec::new(), begun: clock::now(), unsent: Vec::new() }
    }

    async fn converse(mut self, _alive: mpsc::Sender<()>) {
        let floor = Rc::clone(&self.seat.floor);
        let mut end = pin!(called(&floor));
        let turn = loop {
            match self.turn(end.as_mut()).await {
                Turn::Open => task::yield_now().await,
                turn => break turn,
            }
        };
        match turn {
            Turn::Cut => floor.counters.connection_cut(),
            Turn::Called => self.depart(&floor),
            Turn::Open | Turn::Done => {}
        }
    }

    /// Ends, or goes on in another process. Nothing is begun: what the client sends from now on
    /// waits in the kernel.
    fn depart(self, floor: &Floor) {
        if let Stop::Move(heir) = &*floor.stopping.borrow()
            && let Ok(stream) = self.stream.into_std()
        {
            // There is room for as many as there may be. Is nobody there, it ends.
            let _ = heir.try_send(stream);
        }
    }

    /// Waits for octets, answers what is whole, and writes the replies. Between messages the wait
    /// ends with `end`, which is not asked again after it has come.
    async fn turn(&mut self, end: Pin<&mut impl Future<Output = ()>>) -> Turn {
        if let Err(turn) = self.wait(end).await {
            return turn;
        }
        match self.read() {
            // A client may close its side and wait for answers; it has them all.
            Ok(0) => return Turn::Done,
            Ok(_) => (),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Turn::Open,
            Err(_) => return Turn::Done,
        }
        loop {
            let Ok(rest) = self.answer() else { return Turn::Done };
            if !self.unsent.is_empty() {
                match timeout(self.limits().message_wait_max, self.flush()).await {
                    Ok(Ok(())) => (),
                    Ok(Err(_)) => return Turn::Done,
                    Err(_) => return Turn::Cut,
                }
            }
            match rest {
                Rest::Full => (),
                Rest::Partial => return Turn::Open,
                Rest::Nonsense => return Turn::Cut,
            }
        }
    }

    /// Returns when there is something to read.
    async fn wait(&self, end: Pin<&mut impl Future<Output = ()>>) -> Result<(), Turn> {
        let between = self.half.is_empty();
        let (until, turn) = if between {
            (clock::now() + self.limits().idle_max, Turn::Done)
        } else {
            (self.begun + self.limits().message_wait_max, Turn::Cut)
        };
        tokio::select! {
            // A client that never stops asking does not keep the server from stopping.
            biased;
            () = end, if between => Err(Turn::Called),
            ready = timeout_at(until.into(), self.stream.readable()) => match ready {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(Turn::Done),
                Err(_) => Err(turn),
            },
        }
    }

    /// Reads a chunk behind `half`.
    fn read(&mut self) -> io::Result<usize> {
        let mut chunk = self.seat.floor.chunk.borrow_mut();
        let len = self.stream.try_read(&mut chunk)?;
        if self.half.is_empty() {
            self.begun = clock::now();
        }
        self.half.extend_from_slice(&chunk[..len]);
        Ok(len)
    }

    /// Answers what is whole in `half` and writes what the kernel takes of the replies.
    fn answer(&mut self) -> io::Result<Rest> {
        let floor = &self.seat.floor;
        let mut desk = floor.desk.borrow_mut();
        desk.filled = 0;
        let (used, rest) = desk.answer(&self.half, self.seat.address, &floor.counters);
        if used == self.half.len() {
            self.half = Vec::new();
        } else if 0 < used {
            self.half.drain(..used);
            self.begun = clock::now();
        }
        let replies = &desk.replies[..desk.filled];
        let sent = match self.stream.try_write(replies) {
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        self.unsent = replies[sent..].to_vec();
        Ok(rest)
    }

    async fn flush(&mut self) -> io::Result<()> {
        let mut sent = 0;
        while sent < self.unsent.len() {
            self.stream.writable().await?;
            match self.stream.try_write(&self.unsent[sent..]) {
                Ok(len) => sent += len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
                Err(error) => return Err(error),
            }
        }
        self.unsent = Vec::new();
        Ok(())
    }

    fn limits(&self) -> &TcpLimits {
        &self.seat.floor.limits
    }
}
