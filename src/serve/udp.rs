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
//! - Between receiving and sending a batch: no allocation, lock, `async`, `dyn` or system call.
//! - The snapshot is taken once per batch, and let go of within `UDP_WAIT_MAX` of its replacement,
//!   be there packets or not.
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
};

use arc_swap::{ArcSwap, Cache};

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
        // The batch, the engine and the cache are made anew after a panic; what they were doing is
        // gone with them, and the socket and the counters are good between any two calls.
        while catch_unwind(AssertUnwindSafe(|| self.serve())).is_err() {
            self.counters.panic();
            tracing::error!("a packet thread lost a batch to a bug");
        }
    }

    fn serve(&self) {
        let mut batch = Batch::new();
        let mut engine = Engine::default();
        let mut snapshots = Cache::new(&*self.snapshots);
        while !self.stop.load(Relaxed) {
            self.turn(&mut batch, &mut engine, &mut snapshots);
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
        if let Err(error) = self.socket.set_nonblocking(true) {
            tracing::warn!(%error, "questions that wait are left");
            return;
        }
        while 0 < self.turn(batch, engine, snapshots) && clock::now() < end {}
    }

    /// One batch in and out; says how many questions it held.
    fn turn(&self, batch: &mut Batch, engine: &mut Engine, snapshots: &mut Snapshots<'_>) -> usize {
        let received = batch.receive(self.socket.as_fd());
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
        self.counters.batch();
        engine.respond_all(snapshot, &mut Received { batch, next: 0, count }, &self.counters);
        let failures = batch.send(self.socket.as_fd());
        if 0 < failures {
            self.counters.send_failures(failures);
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

/// The questions of a batch.
struct Received<'b> {
    batch: &'b mut Batch,
    next: usize,
    count: usize,
}

impl Frames for Received<'_> {
    fn next(&mut self) -> Option<Frame<'_>> {
        if self.next == self.count {
            return None;
        }
        let slot = self.batch.slot(self.next);
        self.next += 1;
        let client = Client { address: slot.source, transport: Transport::Udp };
        // Of a datagram that was cut only the header is shown to the engine: it promises a question
        // that is not there, and that is FORMERR, whatever the rest said.
        let question = if slot.cut { &slot.question[..HEADER_LEN] } else { slot.question };
        Some(Frame { question, client, reply: slot.reply })
    }

    fn take(&mut self, reply_len: usize) {
        self.batch.queue(self.next - 1, reply_len);
    }
}

const _: () = assert!(HEADER_LEN <= crate::limits::UDP_QUERY_LEN_MAX);
