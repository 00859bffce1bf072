//! What a packet thread counts, and how the sums are read.
//!
//! ```text
//!   packet thread 1 -> Counters  \
//!   packet thread 2 -> Counters   Registry -> Totals   (whoever wants the sum)
//!   the TCP thread  -> Counters  /
//! ```
//!
//! # Invariants
//!
//! - One writer: a set of counters is written by one thread alone, so that a count costs a plain
//!   load and a plain store. Two writers would lose counts; nothing else would break.
//! - Relaxed: a reader sees each counter as it was a moment ago, and two of them perhaps as of
//!   different moments. No decision of the server hangs on a counter.
//! - Every message that an engine is given is one `question`, and then exactly one of `reply`,
//!   `ignored` and `panic`; so at rest `questions() == replies() + ignored + panics`.
//!
//! Not here: what is done about a panic (`serve::engine`) or a full server (`serve::tcp`).

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use crate::wire::{Rcode, Transport};

/// Response codes that are counted one by one: NOERROR to REFUSED.
const RCODES_LEN: usize = 6;

/// One thread's counters: it alone writes them, anyone may read them at any time.
///
/// Aligned to two cache lines, which is what processors fetch together, so that no thread's counts
/// slow down another's.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    questions_udp: Count,
    questions_tcp: Count,
    ignored: Count,
    rcodes: [Count; RCODES_LEN],
    rcodes_other: Count,
    truncated: Count,
    panics: Count,
    batches: Count,
    send_failures: Count,
    receive_failures: Count,
    connections_accepted: Count,
    connections_refused: Count,
    connections_cut: Count,
}

#[derive(Debug, Default)]
struct Count(AtomicU64);

impl Count {
    fn add(&self, more: u64) {
        // No read-modify-write: there is no other writer, and a locked instruction costs as much
        // as the rest of the count several times over.
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Counters {
    /// A message came in, whatever it holds.
    pub fn question(&self, transport: Transport) {
        match transport {
            Transport::Udp => self.questions_udp.add(1),
            Transport::Tcp => self.questions_tcp.add(1),
        }
    }

    /// It was answered; `truncated` says that the reply has TC set.
    pub fn reply(&self, rcode: Rcode, truncated: bool) {
        self.rcodes.get(usize::from(rcode.0)).unwrap_or(&self.rcodes_other).add(1);
        if truncated {
            self.truncated.add(1);
        }
    }

    /// It was met with silence: a response, or less than a header.
    pub fn ignored(&self) {
        self.ignored.add(1);
    }

    /// Answering it went wrong in a way that is a bug; nothing was sent.
    pub fn panic(&self) {
        self.panics.add(1);
    }

    /// A batch of packets was received.
    pub fn batch(&self) {
        self.batches.add(1);
    }

    /// The kernel did not take so many replies.
    pub fn send_failures(&self, replies: usize) {
        self.send_failures.add(replies as u64);
    }

    /// The kernel would not give what it received.
    pub fn receive_failure(&self) {
        self.receive_failures.add(1);
    }

    /// A connection was let in.
    pub fn connection_accepted(&self) {
        self.connections_accepted.add(1);
    }

    /// A connection was closed at once, because there are too many.
    pub fn connection_refused(&self) {
        self.connections_refused.add(1);
    }

    /// A connection was closed because of what its client did or did not do, silence between
    /// questions excepted.
    pub fn connection_cut(&self) {
        self.connections_cut.add(1);
    }
}

/// The counters of all threads.
#[derive(Debug, Clone)]
pub struct Registry {
    sets: Arc<[Arc<Counters>]>,
    /// What was counted by the process whose place this one took.
    before: Arc<Mutex<Totals>>,
}

impl Registry {
    /// Counters for so many threads.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self { sets: (0..threads).map(|_| Arc::default()).collect(), before: Arc::default() }
    }

    /// Goes on from what another process has counted; the latest that is said of it counts.
    pub fn go_on_from(&self, before: Totals) {
        *self.before.lock().unwrap_or_else(PoisonError::into_inner) = before;
    }

    /// Those of each thread.
    #[must_use]
    pub fn sets(&self) -> &[Arc<Counters>] {
        &self.sets
    }

    /// The sums, as of now.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = self.before.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for set in self.sets() {
            totals.add(set);
        }
        totals
    }
}

/// Sums over threads.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Messages over UDP.
    pub questions_udp: u64,
    /// Messages over TCP.
    pub questions_tcp: u64,
    /// Messages met with silence.
    pub ignored: u64,
    /// Replies with RCODE 0 to 5.
    pub rcodes: [u64; RCODES_LEN],
    /// Replies with any other RCODE.
    pub rcodes_other: u64,
    /// Replies with TC set.
    pub truncated: u64,
    /// Messages lost to a bug.
    pub panics: u64,
    /// Batches of packets over UDP.
    pub batches: u64,
    /// Replies over UDP that the kernel did not take.
    pub send_failures: u64,
    /// Calls in which the kernel did not give what it received.
    pub receive_failures: u64,
    /// Connections let in.
    pub connections_accepted: u64,
    /// Connections closed at once, because there are too many.
    pub connections_refused: u64,
    /// Connections closed because of what the client did or did not do.
    pub connections_cut: u64,
}

impl Totals {
    /// Messages over all transports.
    #[must_use]
    pub fn questions(&self) -> u64 {
        self.questions_udp + self.questions_tcp
    }

    /// Replies made; over UDP `send_failures` of them were not sent.
    #[must_use]
    pub fn replies(&self) -> u64 {
        self.rcodes.iter().sum::<u64>() + self.rcodes_other
    }

    /// Reads what [`Display`](fmt::Display) wrote, perhaps in another version: what is not there is 0,
    /// and what is not known is left out.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        let mut totals = Self::default();
        let [noerror, formerr, servfail, nxdomain, notimp, refused] = &mut totals.rcodes;
        let fields = text.split_whitespace().filter_map(|field| field.split_once('='));
        for (name, value) in fields {
            let count = match name {
                "questions_udp" => &mut totals.questions_udp,
                "questions_tcp" => &mut totals.questions_tcp,
                "ignored" => &mut totals.ignored,
                "noerror" => &mut *noerror,
                "formerr" => &mut *formerr,
                "servfail" => &mut *servfail,
                "nxdomain" => &mut *nxdomain,
                "notimp" => &mut *notimp,
                "refused" => &mut *refused,
                "rcode_other" => &mut totals.rcodes_other,
                "truncated" => &mut totals.truncated,
                "panics" => &mut totals.panics,
                "batches" => &mut totals.batches,
                "send_failures" => &mut totals.send_failures,
                "receive_failures" => &mut totals.receive_failures,
                "connections_accepted" => &mut totals.connections_accepted,
                "connections_refused" => &mut totals.connections_refused,
                "connections_cut" => &mut totals.connections_cut,
                _ => continue,
            };
            *count = value.parse().unwrap_or(0);
        }
        totals
    }

    fn add(&mut self, set: &Counters) {
        self.questions_udp += set.questions_udp.read();
        self.questions_tcp += set.questions_tcp.read();
        self.ignored += set.ignored.read();
        for (sum, count) in self.rcodes.iter_mut().zip(&set.rcodes) {
            *sum += count.read();
        }
        self.rcodes_other += set.rcodes_other.read();
        self.truncated += set.truncated.read();
        self.panics += set.panics.read();
        self.batches += set.batches.read();
        self.send_failures += set.send_failures.read();
        self.receive_failures += set.receive_failures.read();
        self.connections_accepted += set.connections_accepted.read();
        self.connections_refused += set.connections_refused.read();
        self.connections_cut += set.connections_cut.read();
    }
}

/// One line of `key=value`, in the form of the log.
impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [noerror, formerr, servfail, nxdomain, notimp, refused] = self.rcodes;
        write!(
            f,
            "questions_udp={} questions_tcp={} replies={} ignored={} noerror={noerror} \
             formerr={formerr} servfail={servfail} nxdomain={nxdomain} notimp={notimp} \
             refused={refused} rcode_other={} truncated={} panics={} batches={} send_failures={} \
             receive_failures={} connections_accepted={} connections_refused={} \
             connections_cut={}",
            self.questions_udp,
            self.questions_tcp,
            self.replies(),
            self.ignored,
            self.rcodes_other,
            self.truncated,
            self.panics,
            self.batches,
            self.send_failures,
            self.receive_failures,
            self.connections_accepted,
            self.connections_refused,
            self.connections_cut,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_adds_up_its_threads() {
        let registry = Registry::new(2);
        let [one, two] = registry.sets() else { panic!("asked for two") };
        one.question(Transport::Udp);
        one.reply(Rcode::NOERROR, true);
        two.question(Transport::Tcp);
        two.reply(Rcode::REFUSED, false);
        two.question(Transport::Udp);
        two.reply(Rcode::BADVERS, false);
        two.question(Transport::Udp);
        two.ignored();
        two.question(Transport::Udp);
        two.panic();
        let totals = registry.totals();
        assert_eq!((totals.questions_udp, totals.questions_tcp), (4, 1));
        assert_eq!((totals.rcodes, totals.rcodes_other), ([1, 0, 0, 0, 0, 1], 1));
        assert_eq!(totals.truncated, 1);
        assert_eq!(totals.questions(), totals.replies() + totals.ignored + totals.panics);
        assert!(totals.to_string().starts_with("questions_udp=4 questions_tcp=1 replies=3 "));
    }
    #[test]
    fn a_registry_goes_on_from_another() {
        let text = "questions_udp=1 questions_tcp=2 replies=33 ignored=3 noerror=4 formerr=5 \
                    servfail=6 nxdomain=7 notimp=8 refused=9 rcode_other=10 truncated=11 panics=12 \
                    batches=13 send_failures=14 receive_failures=15 connections_accepted=16 \
                    connections_refused=17 connections_cut=18";
        assert_eq!(Totals::of_text(text).to_string(), text.replace("replies=33", "replies=49"));
        assert_eq!(Totals::of_text("new=1 noerror ="), Totals::default());
        let registry = Registry::new(1);
        registry.sets()[0].question(Transport::Udp);
        registry.go_on_from(Totals::of_text("questions_udp=10"));
        assert_eq!(registry.totals().questions_udp, 11);
    }
}
