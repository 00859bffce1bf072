//! The journal: what happened, in order, and who wants to hear of it.
//!
//! ```text
//!   a transition --note--> Entry, numbered --> the last EVENTS_KEPT_MAX   --after--> a page
//!                                         \--> whoever follows, live      --next---> a stream
//! ```
//!
//! # Invariants
//!
//! - Pure but for its listeners: the time is an argument.
//! - Ids ascend, over restarts too where the entries are kept; none is used twice. After a start they
//!   go on [`EVENTS_SKIPPED`] further than what was kept, so that those that a crash took with it
//!   are not given again to something else.
//! - Who follows from an id on gets every entry after it, first the kept, then the live, without a
//!   gap or a double between the two. Who is too slow is told how many he missed, and goes on.
//!
//! *Not here:* how entries survive a restart (`store`), and the form in which they are told (`api`,
//! `app::webhook`).

use std::{collections::VecDeque, sync::Arc, time::SystemTime};

use tokio::sync::broadcast::{self, error::RecvError};

pub use crate::compile::EventKind as Kind;
use crate::limits::{EVENT_TEXT_LEN_MAX, EVENTS_BEHIND_MAX, EVENTS_KEPT_MAX, EVENTS_SKIPPED};

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// What it is about.
    pub kind: Kind,
    /// What changed: an endpoint, a region, a pattern, a file.
    pub subject: String,
    /// What it was.
    pub from: String,
    /// What it is.
    pub to: String,
    /// Why.
    pub why: String,
}

/// What changed, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub id: u64,
    /// When, by the clock on the wall.
    pub at: SystemTime,
    /// What.
    pub what: Transition,
}

/// What happened.
#[derive(Debug)]
pub struct Journal {
    /// The oldest first.
    entries: VecDeque<Arc<Entry>>,
    id_last: u64,
    live: broadcast::Sender<Arc<Entry>>,
}

/// What a follower hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// This happened.
    Entry(Arc<Entry>),
    /// So many entries were not heard; what follows is later.
    Missed(u64),
}

/// Someone who hears everything from some entry on.
#[derive(Debug)]
pub struct Following {
    backlog: VecDeque<Arc<Entry>>,
    live: broadcast::Receiver<Arc<Entry>>,
}

impl Default for Journal {
    fn default() -> Self {
        let (live, _) = broadcast::channel(EVENTS_BEHIND_MAX);
        Self { entries: VecDeque::new(), id_last: 0, live }
    }
}

impl Journal {
    /// Goes on from what was kept, the oldest first.
    #[must_use]
    pub fn restored(kept: Vec<Entry>) -> Self {
        assert!(kept.is_sorted_by(|one, other| one.id < other.id), "ids ascend");
        let skip = kept.len().saturating_sub(EVENTS_KEPT_MAX);
        let id_last = kept.last().map_or(0, |it| it.id + EVENTS_SKIPPED);
        let entries = kept.into_iter().skip(skip).map(Arc::new).collect();
        Self { entries, id_last, ..Self::default() }
    }

    /// Goes on from another process, which lost nothing: no id is left out.
    #[must_use]
    pub fn resumed(entries: Vec<Entry>, id_last: u64) -> Self {
        let restored = Self::restored(entries);
        let in_order = restored.entries.back().is_none_or(|it| it.id <= id_last);
        Self { id_last: if in_order { id_last } else { restored.id_last }, ..restored }
    }

    /// The id that was given last.
    #[must_use]
    pub fn id_last(&self) -> u64 {
        self.id_last
    }

    /// Takes down what changed. Texts that are longer than anybody reads are cut.
    pub fn note(&mut self, at: SystemTime, mut what: Transition) -> Arc<Entry> {
        let Transition { kind: _, subject, from, to, why } = &mut what;
        for text in [subject, from, to, why] {
            text.truncate(text.floor_char_boundary(EVENT_TEXT_LEN_MAX));
        }
        self.id_last += 1;
        let entry = Arc::new(Entry { id: self.id_last, at, what });
        if self.entries.len() == EVENTS_KEPT_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back(Arc::clone(&entry));
        // An error says that nobody listens.
        let _ = self.live.send(Arc::clone(&entry));
        entry
    }

    /// At most `limit` entries after the one with this id, the oldest of them first. An id that is
    /// still to come is of another life of the server, whose entries were not kept: everything is
    /// later.
    #[must_use]
    pub fn after(&self, id: u64, limit: usize) -> Vec<Arc<Entry>> {
        self.range(id).take(limit).cloned().collect()
    }

    /// The `limit` latest, the oldest of them first.
    #[must_use]
    pub fn latest(&self, limit: usize) -> Vec<Arc<Entry>> {
        let skip = self.entries.len().saturating_sub(limit);
        self.entries.iter().skip(skip).cloned().collect()
    }

    /// Hears everything after the entry with this id; none: everything from now on.
    #[must_use]
    pub fn follow(&self, after: Option<u64>) -> Following {
        let backlog = after.map(|id| self.range(id).cloned().collect()).unwrap_or_default();
        Following { backlog, live: self.live.subscribe() }
    }

    fn range(&self, after: u64) -> impl Iterator<Item = &Arc<Entry>> {
        let after = if self.id_last < after { 0 } else { after };
        let begin = self.entries.partition_point(|it| it.id <= after);
        self.entries.range(begin..)
    }
}

impl Following {
    /// Waits for the next; none: the journal is no more.
    pub async fn next(&mut self) -> Option<Heard> {
        if let Some(entry) = self.backlog.pop_front() {
            return Some(Heard::Entry(entry));
        }
        match self.live.recv().await {
            Ok(entry) => Some(Heard::Entry(entry)),
            Err(RecvError::Lagged(missed)) => Some(Heard::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn transition(subject: &str) -> Transition {
        Transition {
            kind: Kind::Verdict,
            subject: subject.to_owned(),
            from: "up".to_owned(),
            to: "down".to_owned(),
            why: "the connection was refused".to_owned(),
        }
    }

    fn noted(journal: &mut Journal, count: u64) {
        for it in 0..count {
            journal.note(UNIX_EPOCH + Duration::from_secs(it), transition("a"));
        }
    }

    fn ids(entries: &[Arc<Entry>]) -> Vec<u64> {
        entries.iter().map(|it| it.id).collect()
    }

    #[test]
    fn pages() {
        let mut journal = Journal::default();
        noted(&mut journal, 10);
        let check = |after, limit, expect: &[u64]| {
            assert_eq!(ids(&journal.after(after, limit)), expect, "after {after} limit {limit}");
        };
        check(0, 3, &[1, 2, 3]);
        check(3, 3, &[4, 5, 6]);
        check(8, 100, &[9, 10]);
        check(10, 100, &[]);
        check(0, 0, &[]);
        // Of another life.
        check(11, 2, &[1, 2]);
        assert_eq!(ids(&journal.latest(2)), [9, 10]);
        assert_eq!(ids(&journal.latest(100)).len(), 10);
    }

    #[test]
    fn the_oldest_are_let_go() {
        let mut journal = Journal::default();
        let more = EVENTS_KEPT_MAX as u64 + 5;
        noted(&mut journal, more);
        assert_eq!(ids(&journal.after(0, 1)), [6]);
        assert_eq!(journal.latest(usize::MAX).len(), EVENTS_KEPT_MAX);
        assert_eq!(ids(&journal.after(more - 1, 9)), [more]);
    }

    #[test]
    fn ids_ascend_over_a_restart() {
        let mut journal = Journal::default();
        noted(&mut journal, 3);
        let kept = journal.latest(9).iter().map(|it| Entry::clone(it)).collect();
        let mut journal = Journal::restored(kept);
        assert_eq!(journal.note(UNIX_EPOCH, transition("b")).id, 3 + EVENTS_SKIPPED + 1);
        assert_eq!(journal.after(2, 9).len(), 2);
        assert_eq!(Journal::restored(vec![]).note(UNIX_EPOCH, transition("b")).id, 1);
    }

    #[test]
    fn long_texts_are_cut() {
        let mut journal = Journal::default();
        let long = "é".repeat(EVENT_TEXT_LEN_MAX);
        let entry = journal.note(UNIX_EPOCH, transition(&long));
        assert!(entry.what.subject.len() <= EVENT_TEXT_LEN_MAX);
        assert!(long.starts_with(&entry.what.subject));
    }

    #[tokio::test]
    async fn a_follower_hears_everything_once() {
        let mut journal = Journal::default();
        noted(&mut journal, 3);
        let mut following = journal.follow(Some(1));
        let mut fresh = journal.follow(None);
        noted(&mut journal, 2);
        drop(journal);
        let mut heard = Vec::new();
        while let Some(Heard::Entry(entry)) = following.next().await {
            heard.push(entry.id);
        }
        assert_eq!(heard, [2, 3, 4, 5]);
        let Some(Heard::Entry(entry)) = fresh.next().await else { panic!() };
        assert_eq!(entry.id, 4);
    }

    #[tokio::test]
    async fn who_is_too_slow_is_told() {
        let mut journal = Journal::default();
        let mut following = journal.follow(None);
        let more = EVENTS_BEHIND_MAX as u64 + 7;
        noted(&mut journal, more);
        let Some(Heard::Missed(missed)) = following.next().await else { panic!() };
        let Some(Heard::Entry(next)) = following.next().await else { panic!() };
        assert_eq!(missed + 1, next.id);
        assert!(7 <= missed);
    }
}
