//! UDP: one thread per socket, which does nothing but packets.
//!
//! ```text
//!   receive a batch -> take the snapshot -> engine -> send a batch
//!         ^_____________________________________________|
//! ```
//!
//! This loop is one driver of the engine. Another one (`AF_XDP`) stands beside this module and brings
//! [`Frames`] of its own; nothing in the engine changes.
//!
//! # Invariants
//!
//! - Between receiving and sending a batch: no allocation, lock, `async`, `dyn` or system call, but that
//!   a batch now and then is timed, and that room for counts is made when a snapshot needs more.
//! - The snapshot is taken once per batch, and let go of within `UDP_WAIT_MAX` of its replacement,
//!   be there packets or not.
//! - With `busy_poll`, a thread that had packets does not sleep until there were none for so long.
//! - Nothing that arrives ends a thread: an engine's panic loses a packet (the engine sees to it),
//!   a driver's panic loses a batch.
//!
//! Not here: how sockets are bound (`sockets`), the system calls (`batch`), any DNS (`engine`).

use std::{
    io,
    net::UdpSocket,
    os::fd::AsFd,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Relaxed},
            fence,
        },
    },
    thread,
    time::Duration,
};

use arc_swap::{ArcSwap, Cache};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};

use super::{Client, Engine, Frame, Frames, batch::Batch};
use crate::{
    clock,
    counters::Counters,
    limits::{DRAIN_WAIT_MAX, UDP_ERROR_WAIT},
    snapshot::Snapshot,
    wire::Transport,
};

/// Octets of the header that every message begins with (RFC 1035 section 4.1.1).
const HEADER_LEN: usize = 12;

type Snapshots<'a> = Cache<&'a ArcSwap<Snapshot>, Arc<Snapshot>>;

/// What a packet thread works with.
#[derive(Debug)]
pub(super) struct Driver {
    /// Blocking, with a read timeout of `UDP_WAIT_MAX`.
    pub(super) socket: UdpSocket,
    /// Where the thread is to run; none: anywhere.
    pub(super) core: Option<usize>,
    /// How long the thread asks again before it sleeps.
    pub(super) busy_poll: Duration,
    pub(super) snapshots: Arc<ArcSwap<Snapshot>>,
    /// Written by this thread alone.
    pub(super) counters: Arc<Counters>,
    pub(super) stop: Arc<AtomicBool>,
    /// Whether another process reads the same socket: what is queued is for it then. Said before
    /// `stop` is.
    pub(super) shared: Arc<AtomicBool>,
}

impl Driver {
    /// Answers until told to stop, and then what is queued at the socket, unless another process has
    /// it too.
    pub(super) fn run(self) {
        if let Some(core) = self.core
            && let Err(error) = pin(core)
        {
            tracing::warn!(core, %error, "a packet thread runs anywhere");
        }
        // The batch, the engine and the cache are made anew after a panic; what they were doing is
        // gone with them, and the socket and the counters are good between any two calls.
        while catch_unwind(AssertUnwindSafe(|| self.serve())).is_err() {
            self.counters.panic(Transport::Udp);
            tracing::error!("a packet thread lost a batch to a bug");
        }
    }

    fn serve(&self) {
        let mut batch = Batch::new();
        let mut engine = Engine::default();
        let mut snapshots = Cache::new(&*self.snapshots);
        while !self.stop.load(Relaxed) {
            let count = self.turn(&mut batch, &mut engine, &mut snapshots);
            if count != 0 && !self.busy_poll.is_zero() {
                self.stay_awake(&mut batch, &mut engine, &mut snapshots);
            }
        }
        // What was said before the stop is seen after it.
        fence(Acquire);
        if !self.shared.load(Relaxed) {
            self.drain(&mut batch, &mut engine, &mut snapshots);
        }
    }

    /// Answers what is queued already. Under a flood there is always more: the time is bounded.
    fn drain(&self, batch: &mut Batch, engine: &mut Engine, snapshots: &mut Snapshots<'_>) {
        let end = clock::now() + DRAIN_WAIT_MAX / 2;
        while 0 < self.turn_awake(batch, engine, snapshots) && clock::now() < end {}
    }

    /// Asks for more until there was nothing for so long that sleeping is worth it.
    fn stay_awake(&self, batch: &mut Batch, engine: &mut Engine, snapshots: &mut Snapshots<'_>) {
        let mut end = clock::now() + self.busy_poll;
        while !self.stop.load(Relaxed) {
            let count = self.turn_awake(batch, engine, snapshots);
            let now = clock::now();
            if count != 0 {
                end = now + self.busy_poll;
            } else if end <= now {
                return;
            }
        }
    }

    /// One batch in and out, of which the first packet is waited for; says how many questions it
    /// held.
    #[inline(always)]
    fn turn(&self, batch: &mut Batch, engine: &mut Engine, snapshots: &mut Snapshots<'_>) -> usize {
        let received = batch.receive(self.socket.as_fd());
        self.answer(received, batch, engine, snapshots)
    }

    /// The same of what is there already.
    fn turn_awake(
        &self,
        batch: &mut Batch,
        engine: &mut Engine,
        snapshots: &mut Snapshots<'_>,
    ) -> usize {
        let received = batch.poll(self.socket.as_fd());
        self.answer(received, batch, engine, snapshots)
    }

    #[inline(always)]
    fn answer(
        &self,
        received: io::Result<usize>,
        batch: &mut Batch,
        engine: &mut Engine,
        snapshots: &mut Snapshots<'_>,
    ) -> usize {
        // Now and not before: the wait may have been long, and may have ended with nothing.
        let snapshot = snapshots.load();
        let count = match received {
            Ok(0) => return 0,
            Ok(count) => count,
            Err(error) => {
                self.complain(&error);
                return 0;
            }
        };
        let began = self.counters.batch().then(clock::now);
        engine.respond_all(snapshot, &mut Received { batch, next: 0, count }, &self.counters);
        let failures = batch.send(self.socket.as_fd());
        if 0 < failures {
            self.counters.send_failures(failures);
        }
        if let Some(began) = began {
            self.counters.took(clock::now().saturating_duration_since(began), count);
        }
        count
    }

    #[cold]
    fn complain(&self, error: &io::Error) {
        self.counters.receive_failure();
        tracing::warn!(%error, "cannot receive");
        thread::sleep(UDP_ERROR_WAIT);
    }
}

/// Has this thread run on one core.
fn pin(core: usize) -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &cores)?)
}

/// The questions of a batch.
struct Received<'b> {
    batch: &'b mut Batch,
    next: usize,
    count: usize,
}

impl Received<'_> {
    #[inline(always)]
    fn frame(&mut self, idx: usize) -> Frame<'_> {
        let slot = self.batch.slot(idx);
        let client = Client { address: slot.source, transport: Transport::Udp };
        // Of a datagram that was cut only the header is shown to the engine: it promises a question
        // that is not there, and that is FORMERR, whatever the rest said.
        let question = if slot.cut { &slot.question[..HEADER_LEN] } else { slot.question };
        Frame { question, client, reply: slot.reply }
    }
}

impl Frames for Received<'_> {
    #[inline(always)]
    fn next(&mut self) -> Option<Frame<'_>> {
        let idx = self.next;
        self.next += 1;
        (idx < self.count).then(|| self.frame(idx))
    }

    fn last(&mut self) -> (&[u8], Client) {
        let Frame { question, client, .. } = self.frame(self.next - 1);
        (question, client)
    }

    #[inline(always)]
    fn take(&mut self, reply_len: usize) {
        self.batch.queue(self.next - 1, reply_len);
    }
}

const _: () = assert!(HEADER_LEN <= crate::limits::UDP_QUERY_LEN_MAX);
