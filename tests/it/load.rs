//! A load of questions at a steady rate, of which not one may be lost.
//!
//! One thread asks, the other reads; each question has an id that is free again once it was
//! answered.
//!
//! *Not here:* what is asked and what is right (each test).

use std::{
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use evenkeel::clock;

use crate::process::PATIENCE;

/// How often the asking thread wakes up to catch up with its rate.
const TICK: Duration = Duration::from_millis(1);

/// A running load.
pub(crate) struct Load {
    shared: Arc<Shared>,
    asking: JoinHandle<()>,
    reading: JoinHandle<()>,
}

struct Shared {
    socket: UdpSocket,
    stop: AtomicBool,
    asked: AtomicU64,
    answered: AtomicU64,
    /// By id: whether its answer is outstanding.
    pending: Box<[AtomicBool]>,
}

impl Load {
    /// Asks `question` (its id is overwritten) so many times a second until stopped, and gives
    /// each reply to `check`.
    pub(crate) fn start(
        server: SocketAddr,
        per_second: u64,
        question: Vec<u8>,
        check: impl FnMut(&[u8]) + Send + 'static,
    ) -> Self {
        Self::start_bounded(server, per_second, u64::MAX, question, check)
    }

    /// Like [`start`](Self::start), but with at most so many questions without an answer at one time:
    /// where the machine is too slow for the rate, it falls, and no queue in the kernel overflows.
    pub(crate) fn start_bounded(
        server: SocketAddr,
        per_second: u64,
        outstanding_max: u64,
        question: Vec<u8>,
        check: impl FnMut(&[u8]) + Send + 'static,
    ) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
        // What arrives while this process is off its core has to wait somewhere.
        let socket = socket2::Socket::from(socket);
        socket.set_recv_buffer_size(8 << 20).expect("any size may be asked for");
        let socket = UdpSocket::from(socket);
        socket.connect(server).expect("loopback can be reached");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("it is not zero");
        let shared = Arc::new(Shared {
            socket,
            stop: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            pending: (0..=u16::MAX).map(|_| AtomicBool::new(false)).collect(),
        });
        let asking = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.ask(per_second, outstanding_max, question)
        });
        let reading = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.read(check)
        });
        Self { shared, asking, reading }
    }

    /// Questions answered so far.
    pub(crate) fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::SeqCst)
    }

    /// Whether a reply was wrong, or too late to be told from a lost one.
    pub(crate) fn has_failed(&self) -> bool {
        self.asking.is_finished() || self.reading.is_finished()
    }

    /// Stops asking, and fails the test unless every question was answered, and rightly. Says how
    /// many there were.
    pub(crate) fn stop(self) -> u64 {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.asking.join().expect("no id was asked for again before it was answered");
        self.reading.join().expect("every reply is right");
        let asked = self.shared.asked.load(Ordering::SeqCst);
        assert_eq!(self.shared.answered.load(Ordering::SeqCst), asked, "questions were lost");
        asked
    }
}

impl Shared {
    fn ask(&self, per_second: u64, outstanding_max: u64, mut question: Vec<u8>) {
        let begin = clock::now();
        let mut asked = 0_u64;
        while !self.stop.load(Ordering::SeqCst) {
            let elapsed = clock::now().duration_since(begin).as_micros();
            let due = u64::try_from(elapsed).expect("tests are short") * per_second / 1_000_000;
            let has_room =
                |asked: u64| asked - self.answered.load(Ordering::SeqCst) < outstanding_max;
            while asked < due && has_room(asked) {
                #[allow(clippy::cast_possible_truncation)] // The ids go round.
                let id = asked as u16;
                let was_pending = self.pending[usize::from(id)].swap(true, Ordering::SeqCst);
                assert!(!was_pending, "question {asked} finds the one 65,536 before unanswered");
                question[..2].copy_from_slice(&id.to_be_bytes());
                self.socket.send(&question).expect("loopback takes it");
                asked += 1;
                self.asked.store(asked, Ordering::SeqCst);
            }
            std::thread::park_timeout(TICK);
        }
    }

    fn read(&self, mut check: impl FnMut(&[u8])) {
        let mut reply = [0; 4096];
        let mut stopped = None;
        loop {
            match self.socket.recv(&mut reply) {
                Ok(len) => {
                    let id = u16::from_be_bytes([reply[0], reply[1]]);
                    let was_pending = self.pending[usize::from(id)].swap(false, Ordering::SeqCst);
                    assert!(was_pending, "a reply that nobody waits for: {:02x?}", &reply[..len]);
                    check(&reply[..len]);
                    self.answered.fetch_add(1, Ordering::SeqCst);
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => panic!("{error}"),
            }
            if self.stop.load(Ordering::SeqCst) {
                let since = *stopped.get_or_insert_with(clock::now);
                let asked = self.asked.load(Ordering::SeqCst);
                let is_done = asked == self.answered.load(Ordering::SeqCst);
                if is_done || PATIENCE < clock::now().duration_since(since) {
                    return;
                }
            }
        }
    }
}
