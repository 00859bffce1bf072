//! Sums over threads, and their form in the log and between processes.
//!
//! Not here: how they come about (`counters`).

use std::{
    collections::{BTreeMap, HashMap},
    fmt::{self, Write as _},
};

use super::{Count, Counters, RCODES_LEN, TIMES_LEN, TIMES_MICROS, TYPES, TYPES_LEN};
use crate::geo::Country;

/// Sums over threads.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Messages over UDP.
    pub questions_udp: u64,
    /// Messages over TCP.
    pub questions_tcp: u64,
    /// Messages met with silence.
    pub ignored: u64,
    /// Those of them that had no header; the others were responses.
    pub ignored_short: u64,
    /// Replies with RCODE 0 to 5.
    pub rcodes: [u64; RCODES_LEN - 1],
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
    /// Replies by the type asked for, in the order of [`TYPES`], and last those of all others.
    pub types: [u64; TYPES_LEN],
    /// Questions that named the network of a client.
    pub subnets_sent: u64,
    /// Answers of steered names that were decided by it.
    pub subnets_used: u64,
    /// By country, clients who asked for steered names, of one in [`PLACE_SAMPLE`](super::PLACE_SAMPLE)
    /// of them; those of whom it is not known come under none.
    pub countries: BTreeMap<Option<Country>, u64>,
    /// Questions over UDP by how long they were here, in the order of [`TIMES_MICROS`], and last those
    /// that were here longer; of one batch in [`TIME_SAMPLE`](super::TIME_SAMPLE).
    pub times: [u64; TIMES_LEN],
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
        let fields = text.split_whitespace().filter_map(|field| field.split_once('='));
        for (name, value) in fields {
            let count = match name {
                "questions_udp" => &mut totals.questions_udp,
                "questions_tcp" => &mut totals.questions_tcp,
                "ignored" => &mut totals.ignored,
                "noerror" => &mut totals.rcodes[0],
                "formerr" => &mut totals.rcodes[1],
                "servfail" => &mut totals.rcodes[2],
                "nxdomain" => &mut totals.rcodes[3],
                "notimp" => &mut totals.rcodes[4],
                "refused" => &mut totals.rcodes[5],
                "rcode_other" => &mut totals.rcodes_other,
                "truncated" => &mut totals.truncated,
                "panics" => &mut totals.panics,
                "batches" => &mut totals.batches,
                "send_failures" => &mut totals.send_failures,
                "receive_failures" => &mut totals.receive_failures,
                "connections_accepted" => &mut totals.connections_accepted,
                "connections_refused" => &mut totals.connections_refused,
                "connections_cut" => &mut totals.connections_cut,
                "ignored_short" => &mut totals.ignored_short,
                "subnets_sent" => &mut totals.subnets_sent,
                "subnets_used" => &mut totals.subnets_used,
                _ => match totals.one_of_many(name) {
                    Some(count) => count,
                    None => continue,
                },
            };
            *count = value.parse().unwrap_or(0);
        }
        totals
    }

    /// A count of which there are many, by its name in the text.
    fn one_of_many(&mut self, name: &str) -> Option<&mut u64> {
        let (kind, which) = name.split_once('_')?;
        match kind {
            "type" => {
                let place = TYPES.iter().position(|it| it.to_string() == which);
                Some(&mut self.types[place.unwrap_or(TYPES.len())])
            }
            "country" => Some(self.countries.entry(which.parse().ok()).or_default()),
            "time" => {
                let place = TIMES_MICROS.iter().position(|it| it.to_string() == which);
                Some(&mut self.times[place.unwrap_or(TIMES_MICROS.len())])
            }
            _ => None,
        }
    }

    /// All of it, for [`of_text`](Self::of_text): what the log shows, and behind that the rest, as far as it is not 0.
    #[must_use]
    pub fn to_text(&self) -> String {
        let of_type = |(idx, count): (usize, &u64)| {
            let name = TYPES.get(idx).map_or_else(|| "other".to_owned(), ToString::to_string);
            (format!("type_{name}"), *count)
        };
        let of_country = |(country, count): (&Option<Country>, &u64)| {
            let name = country.as_ref().map_or("unknown", Country::as_str);
            (format!("country_{name}"), *count)
        };
        let of_time = |(idx, count): (usize, &u64)| {
            let name = TIMES_MICROS.get(idx).map_or_else(|| "more".to_owned(), ToString::to_string);
            (format!("time_{name}"), *count)
        };
        let rest = [
            ("ignored_short".to_owned(), self.ignored_short),
            ("subnets_sent".to_owned(), self.subnets_sent),
            ("subnets_used".to_owned(), self.subnets_used),
        ];
        let rest = rest.into_iter().chain(self.types.iter().enumerate().map(of_type));
        let rest = rest.chain(self.countries.iter().map(of_country));
        let rest = rest.chain(self.times.iter().enumerate().map(of_time));
        let mut text = self.to_string();
        for (name, count) in rest.filter(|(_, count)| *count != 0) {
            write!(text, " {name}={count}").expect("a String takes everything");
        }
        text
    }

    /// Adds what one thread has counted.
    pub(super) fn add(&mut self, set: &Counters) {
        let questions = [&mut self.questions_udp, &mut self.questions_tcp];
        for (transport, questions) in questions.into_iter().enumerate() {
            for (types, counts) in self.types.iter_mut().zip(&set.replies[transport]) {
                let counts = counts.each_ref().map(Count::read);
                let codes = self.rcodes.iter_mut().chain([&mut self.rcodes_other]);
                codes.zip(counts).for_each(|(sum, count)| *sum += count);
                *types += counts.iter().sum::<u64>();
                *questions += counts.iter().sum::<u64>();
            }
            let short = set.ignored_short[transport].read();
            let ignored = short + set.ignored_responses[transport].read();
            let panics = set.panics[transport].read();
            self.ignored_short += short;
            self.ignored += ignored;
            self.panics += panics;
            *questions += ignored + panics;
        }
        self.truncated += set.truncated.read();
        self.batches += set.batches.read();
        self.send_failures += set.send_failures.read();
        self.receive_failures += set.receive_failures.read();
        self.connections_accepted += set.connections_accepted.read();
        self.connections_refused += set.connections_refused.read();
        self.connections_cut += set.connections_cut.read();
        self.subnets_sent += set.subnets_sent.read();
        self.subnets_used += set.subnets_used.read();
        for (number, count) in set.countries.iter().enumerate() {
            let count = count.read();
            if count != 0 {
                *self.countries.entry(Country::of_number(number)).or_default() += count;
            }
        }
        for (sum, count) in self.times.iter_mut().zip(&set.times) {
            *sum += count.read();
        }
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

/// What another process has counted, by names: its cells are not ours.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Before {
    /// Of all questions.
    pub totals: Totals,
    /// By the apex of a zone and, of a steered name, its owner and what is counted of it.
    pub cells: HashMap<Key, u64>,
}

/// What a cell is for: a zone; or a steered name and the word for what is counted of it.
pub type Key = (Box<str>, Box<str>);

impl Before {
    /// Reads what [`to_text`](Self::to_text) wrote, perhaps in another version.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        let mut lines = text.lines();
        let totals = Totals::of_text(lines.next().unwrap_or_default());
        let cell = |line: &str| {
            let (count, key) = line.split_once('\t')?;
            let (name, what) = key.split_once('\t')?;
            Some(((name.into(), what.into()), count.parse().ok()?))
        };
        Self { totals, cells: lines.filter_map(cell).collect() }
    }

    /// A line for the totals, and one for each cell that is not 0.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = self.totals.to_text();
        for ((name, what), count) in self.cells.iter().filter(|(_, count)| **count != 0) {
            write!(text, "\n{count}\t{name}\t{what}").expect("a String takes everything");
        }
        text
    }

    /// What was counted under a key.
    #[must_use]
    pub fn of(&self, name: &str, what: &str) -> u64 {
        if self.cells.is_empty() {
            return 0;
        }
        self.cells.get(&(Box::from(name), Box::from(what))).copied().unwrap_or(0)
    }
}
