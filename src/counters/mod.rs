//! What a packet thread counts, and how the sums are read.
//!
//! ```text
//!   packet thread 1 -> Counters, cells  \             Totals: of all questions
//!   packet thread 2 -> Counters, cells   Registry ->
//!   the TCP thread  -> Counters, cells  /             a sum per cell: of a zone, a name, a pool (`tally`)
//! ```
//!
//! # Invariants
//!
//! - One writer: a set of counters is written by one thread alone, so that a count costs a plain
//!   load and a plain store. Two writers would lose counts; nothing else would break.
//! - Relaxed: a reader sees each counter as it was a moment ago, and two of them perhaps as of
//!   different moments. No decision of the server hangs on a counter.
//! - Every message that an engine is given is counted once, when it is done with: as a `reply`,
//!   `ignored` or a `panic`. What is asked for how often is the sum of these.
//! - What is told of a few only is a sample, and says so: of one in [`PLACE_SAMPLE`] the place, of one
//!   batch in [`TIME_SAMPLE`] the time.
//!
//! Not here: what is done about a panic (`serve::engine`) or a full server (`serve::tcp`), and who has
//! which cell (`tally`).

mod cells;
mod totals;

use std::{
    array,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{
    geo::Country,
    wire::{Rcode, Rtype, Transport},
};
pub use cells::Cell;
use cells::Pages;
pub use totals::{Before, Key, Totals};

/// Response codes that are counted one by one, NOERROR to REFUSED, and last all others.
const RCODES_LEN: usize = 7;

/// Transports.
const TRANSPORTS_LEN: usize = 2;

/// The types that are counted one by one; the kind behind them is all others, and what could not be
/// read.
pub const TYPES: [Rtype; 15] = [
    Rtype::A,
    Rtype::AAAA,
    Rtype::HTTPS,
    Rtype::SVCB,
    Rtype::CNAME,
    Rtype::NS,
    Rtype::SOA,
    Rtype::MX,
    Rtype::TXT,
    Rtype::SRV,
    Rtype::PTR,
    Rtype::CAA,
    Rtype::DS,
    Rtype::DNSKEY,
    Rtype::ANY,
];

/// Kinds of types.
const TYPES_LEN: usize = TYPES.len() + 1;

/// By the number of a type its place in [`TYPES`].
const TYPE_PLACES: [usize; 258] = {
    let mut places = [TYPES.len(); 258];
    let mut place = 0;
    while place < TYPES.len() {
        places[TYPES[place].0 as usize] = place;
        place += 1;
    }
    places
};

/// Of so many questions for steered names one is looked at for where its client is.
pub const PLACE_SAMPLE: u64 = 64;

/// Of so many batches of packets one is timed.
pub const TIME_SAMPLE: u64 = 64;

/// Microseconds within which answers were on their way; what took longer than the last comes behind.
pub const TIMES_MICROS: [u64; 11] =
    [10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 100_000];

/// Stretches of time.
const TIMES_LEN: usize = TIMES_MICROS.len() + 1;

/// One thread's counters: it alone writes them, anyone may read them at any time.
///
/// Aligned to two cache lines, which is what processors fetch together, so that no thread's counts
/// slow down another's.
#[derive(Debug)]
#[repr(align(128))]
pub struct Counters {
    /// By transport, type and response code.
    replies: [[[Count; RCODES_LEN]; TYPES_LEN]; TRANSPORTS_LEN],
    /// By transport.
    ignored_short: [Count; TRANSPORTS_LEN],
    ignored_responses: [Count; TRANSPORTS_LEN],
    panics: [Count; TRANSPORTS_LEN],
    truncated: Count,
    subnets_sent: Count,
    subnets_used: Count,
    /// By [`Country::number`], and last where that is not known.
    countries: [Count; Country::NUMBERS + 1],
    times: [Count; TIMES_LEN],
    batches: Count,
    send_failures: Count,
    receive_failures: Count,
    connections_accepted: Count,
    connections_refused: Count,
    connections_cut: Count,
    cells: Pages,
}

impl Default for Counters {
    /// Nothing happened.
    fn default() -> Self {
        Self {
            replies: array::from_fn(|_| array::from_fn(|_| Default::default())),
            ignored_short: Default::default(),
            ignored_responses: Default::default(),
            panics: Default::default(),
            truncated: Count::default(),
            subnets_sent: Count::default(),
            subnets_used: Count::default(),
            countries: array::from_fn(|_| Count::default()),
            times: Default::default(),
            batches: Count::default(),
            send_failures: Count::default(),
            receive_failures: Count::default(),
            connections_accepted: Count::default(),
            connections_refused: Count::default(),
            connections_cut: Count::default(),
            cells: Pages::default(),
        }
    }
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
    /// A question for a type was answered; none: it could not be read.
    #[inline(always)]
    pub fn reply(&self, transport: Transport, qtype: Option<Rtype>, rcode: Rcode) {
        let number = qtype.map_or(usize::MAX, |it| usize::from(it.0));
        let place = TYPE_PLACES.get(number).map_or(TYPES.len(), |it| *it);
        let code = usize::from(rcode.0).min(RCODES_LEN - 1);
        self.replies[transport as usize][place][code].add(1);
    }

    /// A reply has TC set.
    pub fn truncated(&self) {
        self.truncated.add(1);
    }

    /// A question named the network of a client.
    pub fn subnet_sent(&self) {
        self.subnets_sent.add(1);
    }

    /// That network decided what a steered name gave.
    pub fn subnet_used(&self) {
        self.subnets_used.add(1);
    }

    /// Where the client is of one in [`PLACE_SAMPLE`] of those who asked for a steered name; none: it
    /// is not known.
    pub fn place(&self, country: Option<Country>) {
        self.countries[country.map_or(Country::NUMBERS, Country::number)].add(1);
    }

    /// Adds one to a cell.
    #[inline(always)]
    pub fn add(&self, cell: Cell) {
        self.cells.add(cell);
    }

    /// Sees to it that there are so many cells: before anything is added to them.
    #[inline(always)]
    pub fn reach(&self, n_cells: u32) {
        self.cells.reach(n_cells);
    }

    /// A message was met with silence: a response, or less than a header.
    pub fn ignored(&self, transport: Transport, is_short: bool) {
        let by_transport = if is_short { &self.ignored_short } else { &self.ignored_responses };
        by_transport[transport as usize].add(1);
    }

    /// Answering went wrong in a way that is a bug; nothing was sent.
    pub fn panic(&self, transport: Transport) {
        self.panics[transport as usize].add(1);
    }

    /// A batch of packets was received. Says whether it is to be timed.
    #[inline(always)]
    pub fn batch(&self) -> bool {
        self.batches.add(1);
        self.batches.read().is_multiple_of(TIME_SAMPLE)
    }

    /// So many questions of a batch that is timed were on their way out after so long.
    pub fn took(&self, time: Duration, questions: usize) {
        let place = TIMES_MICROS.partition_point(|it| u128::from(*it) < time.as_micros());
        self.times[place].add(questions as u64);
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
    before: Arc<Mutex<Before>>,
}

impl Registry {
    /// Counters for so many threads.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self { sets: (0..threads).map(|_| Arc::default()).collect(), before: Arc::default() }
    }

    /// Goes on from what another process has counted; the latest that is said of it counts.
    pub fn go_on_from(&self, before: Before) {
        *self.before.lock().unwrap_or_else(PoisonError::into_inner) = before;
    }

    /// What it goes on from.
    #[must_use]
    pub fn before(&self) -> Before {
        self.before.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The sum of a cell over all threads, as of now.
    #[must_use]
    pub fn sum(&self, cell: Cell) -> u64 {
        self.sets().iter().map(|set| set.cells.read(cell)).sum()
    }

    /// Those of each thread.
    #[must_use]
    pub fn sets(&self) -> &[Arc<Counters>] {
        &self.sets
    }

    /// The sums, as of now.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let mut totals = before.totals.clone();
        drop(before);
        for set in self.sets() {
            totals.add(set);
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_adds_up_its_threads() {
        let registry = Registry::new(2);
        let [one, two] = registry.sets() else { panic!("asked for two") };
        one.reply(Transport::Udp, Some(Rtype::AAAA), Rcode::NOERROR);
        one.truncated();
        two.reply(Transport::Tcp, Some(Rtype::CAA), Rcode::REFUSED);
        two.reply(Transport::Udp, None, Rcode::BADVERS);
        two.ignored(Transport::Udp, false);
        two.ignored(Transport::Udp, true);
        two.panic(Transport::Udp);
        let totals = registry.totals();
        assert_eq!((totals.questions_udp, totals.questions_tcp), (5, 1));
        assert_eq!((totals.rcodes, totals.rcodes_other), ([1, 0, 0, 0, 0, 1], 1));
        assert_eq!((totals.truncated, totals.ignored, totals.ignored_short), (1, 2, 1));
        assert_eq!(totals.questions(), totals.replies() + totals.ignored + totals.panics);
        assert!(totals.to_string().starts_with("questions_udp=5 questions_tcp=1 replies=3 "));
        let seen: Vec<(usize, u64)> =
            totals.types.into_iter().enumerate().filter(|(_, count)| *count != 0).collect();
        assert_eq!(seen, [(1, 1), (11, 1), (TYPES.len(), 1)]);
        for (place, rtype) in TYPES.iter().enumerate() {
            assert_eq!(TYPE_PLACES[usize::from(rtype.0)], place, "{rtype}");
        }
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
        registry.sets()[0].reply(Transport::Udp, Some(Rtype::A), Rcode::NOERROR);
        registry.go_on_from(Before::of_text("questions_udp=10"));
        assert_eq!(registry.totals().questions_udp, 11);
    }

    #[test]
    fn what_was_counted_is_told_and_understood() {
        let registry = Registry::new(1);
        let set = &registry.sets()[0];
        set.place("DE".parse().ok());
        set.place(None);
        set.subnet_sent();
        set.subnet_sent();
        set.subnet_used();
        set.reply(Transport::Tcp, Some(Rtype::ANY), Rcode::NOERROR);
        set.took(Duration::from_micros(10), 3);
        set.took(Duration::from_secs(7), 64);
        let mut counted = Before { totals: registry.totals(), ..Before::default() };
        assert_eq!(counted.totals.countries[&"DE".parse().ok()], 1);
        assert_eq!((counted.totals.times[0], counted.totals.times[TIMES_LEN - 1]), (3, 64));
        counted.cells.insert(("www.example.".into(), "us east".into()), 7);
        let told = Before::of_text(&counted.to_text());
        assert_eq!(told, counted);
        assert_eq!((told.of("www.example.", "us east"), told.of("www.example.", "eu")), (7, 0));
    }
}
