//! The store: what survives a restart, in one file of the state folder.
//!
//! ```text
//!   put, commit --> Waiting (bounded, the latest of each thing) --batch--> the writer's thread
//!                                                                           |  one transaction
//!       "it is kept" <---- when the batch is on the disk <----------------- '--> state.redb
//! ```
//!
//! # Invariants
//!
//! - Whoever puts something here waits for no disk. What an operator said is told to be kept only when
//!   it is on the disk; of the rest a crash takes at most what the last second brought.
//! - A batch is written whole or not at all, and batches are written in their order: what a start finds
//!   was true at one moment.
//! - What waits is bounded: by the probes, the pools and the measured networks there are, by the
//!   events that are kept at all, and by `STATE_ACTS_WAITING_MAX`.
//! - A file that cannot be read is set aside under a name that says so, never overwritten.
//!
//! *Not here:* the form of the rows (`rows`), and what is to be done with them (`apply`).

mod file;
mod rows;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::SystemTime,
};

use tokio::sync::oneshot;

use super::{
    Dial, Override, Standing,
    journal::{Entry, Journal},
};
use crate::{
    health::{ProbeSpec, Status, Verdict},
    ids::ProbeId,
    limits::{EVENTS_KEPT_MAX, STATE_ACTS_WAITING_MAX, STATE_RETRY_PAUSE, STATE_WRITE_PAUSE},
};
pub use rows::VerdictKey;

/// The name of the file in the state folder.
pub const FILE: &str = "state.redb";

/// What was kept.
#[derive(Debug, Default, PartialEq)]
pub struct Kept {
    verdicts: HashMap<VerdictKey, Known>,
    /// The overrides, by their ids.
    pub overrides: Vec<Override>,
    /// The last id that an override was given.
    pub override_id_last: u64,
    /// The dials, by region.
    pub dials: Vec<(String, Dial)>,
    /// Where pools stand on their ramps, by [`pool_key`].
    pub ramps: Vec<(String, Standing)>,
    /// The oldest first.
    pub events: Vec<Entry>,
    /// Rows of the latency table.
    pub latency: Vec<Row>,
}

/// What a probe says, and since when its verdict is that.
pub type Known = (Status, SystemTime);

/// A key and a value whose form is their owner's.
pub type Row = (Box<[u8]>, Box<[u8]>);

/// What an operator did.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// An override holds.
    Set(Override),
    /// The override with this id does not hold any more.
    Clear(u64),
    /// The dial of a region; none: there is none.
    Dial(String, Option<Dial>),
}

/// Why an act is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotKept {
    /// Too many others wait.
    Full,
    /// It cannot be written.
    Failed(String),
}

/// Why the server cannot start with this folder.
#[derive(Debug)]
pub enum Refusal {
    /// The folder cannot be made, or its file not be opened.
    Folder(PathBuf, io::Error),
    /// Another process has it open.
    Busy(PathBuf),
}

/// A file that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Where it is now.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

/// An open store.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
    /// By the address of each probe's spec, as a report names it.
    probes: HashMap<usize, (VerdictKey, Known)>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

/// What is still to be written, the latest of each.
#[derive(Debug, Default)]
struct Waiting {
    verdicts: HashMap<VerdictKey, Known>,
    /// Verdicts of any others are to be forgotten.
    verdicts_known: Option<HashSet<VerdictKey>>,
    acts: Vec<Commit>,
    ramps: HashMap<String, Standing>,
    events: VecDeque<Arc<Entry>>,
    latency: HashMap<Box<[u8]>, Option<Box<[u8]>>>,
    closing: bool,
}

/// What an operator did at one time.
#[derive(Debug)]
struct Commit {
    acts: Vec<Act>,
    /// What takes it back if nobody hears that it is on the disk; none: it holds all the same.
    undo: Option<Vec<Act>>,
    answer: oneshot::Sender<Result<(), NotKept>>,
}

impl Kept {
    /// What was known of a probe.
    #[must_use]
    pub fn known(&self, spec: &ProbeSpec) -> Option<Known> {
        self.verdicts.get(&VerdictKey::of(spec)).copied()
    }

    /// What a probe said.
    #[must_use]
    pub fn status(&self, spec: &ProbeSpec) -> Option<Status> {
        self.known(spec).map(|(status, _)| status)
    }

    /// The journal, as far as it was kept.
    pub fn take_journal(&mut self) -> Journal {
        Journal::restored(std::mem::take(&mut self.events))
    }

    /// All but the verdicts, as text for another process.
    #[must_use]
    pub fn to_text(&self) -> String {
        rows::kept(self)
    }

    /// Reads what another process wrote. An error is what it is that cannot be read.
    ///
    /// # Errors
    ///
    /// It is of another version.
    pub fn of_text(text: &str) -> Result<Self, &'static str> {
        rows::kept_of(text).map_err(|rows::Unreadable(what)| what)
    }
}

/// How a pool of a name is called among the ramps.
#[must_use]
pub fn pool_key(name: impl fmt::Display, pool: &str) -> String {
    format!("{name}/{pool}")
}

impl Store {
    /// Opens the store in `folder`, which is made if it is not there; what it holds; and the file
    /// that was there, if it had to be set aside.
    ///
    /// # Errors
    ///
    /// The folder cannot be used, or somebody else uses it. A damaged file is no error.
    pub fn open(folder: &Path, now: SystemTime) -> Result<(Self, Kept, Option<SetAside>), Refusal> {
        let (database, kept, aside) = file::open(folder, now)?;
        let shared = Arc::new(Shared::default());
        let path = folder.join(FILE);
        let writer = std::thread::Builder::new().name("state".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || write_until_closed(&shared, file::Writer::new(path, database))
        });
        let writer = writer.map_err(|error| Refusal::Folder(folder.to_owned(), error))?;
        Ok((Self { shared, writer: Some(writer), probes: HashMap::new() }, kept, aside))
    }

    /// Keeps the verdicts of a plan's probes from now on, as `known_now` has them, and forgets those of
    /// others.
    pub fn watch(&mut self, probes: &[Arc<ProbeSpec>], known_now: impl Fn(ProbeId) -> Known) {
        let before = std::mem::take(&mut self.probes);
        let mut known = HashSet::with_capacity(probes.len());
        let mut fresh = Vec::new();
        for (idx, spec) in probes.iter().enumerate() {
            let address = Arc::as_ptr(spec).addr();
            // The address alone may be that of another spec that is gone.
            let key = VerdictKey::of(spec);
            known.insert(key);
            let now = known_now(ProbeId::at(idx));
            if before.get(&address) != Some(&(key, now)) {
                fresh.push((key, now));
            }
            self.probes.insert(address, (key, now));
        }
        let mut waiting = self.lock();
        waiting.verdicts.retain(|key, _| known.contains(key));
        waiting.verdicts.extend(fresh.into_iter().filter(|(_, it)| is_known(it.0)));
        waiting.verdicts_known = Some(known);
        drop(waiting);
        self.shared.changed.notify_one();
    }

    /// Keeps what a probe says now, `at` this time, if that differs.
    pub fn verdict(&mut self, spec: &Arc<ProbeSpec>, status: Status, at: SystemTime) {
        let Some((key, known)) = self.probes.get_mut(&Arc::as_ptr(spec).addr()) else { return };
        let (before, since) = *known;
        if before == status || !is_known(status) {
            return;
        }
        let now = (status, if before.verdict == status.verdict { since } else { at });
        *known = now;
        let key = *key;
        self.put(|waiting| {
            waiting.verdicts.insert(key, now);
        });
    }

    /// Keeps where pools stand on their ramps; the keys are of [`pool_key`]. One that is full is
    /// forgotten, and so is to be called full when it is no more.
    pub fn ramps(&self, standings: Vec<(String, Standing)>) {
        if !standings.is_empty() {
            self.put(|waiting| waiting.ramps.extend(standings));
        }
    }

    /// Keeps an event.
    pub fn event(&self, entry: Arc<Entry>) {
        self.put(|waiting| {
            if waiting.events.len() == EVENTS_KEPT_MAX {
                // It would be let go on the disk as well.
                waiting.events.pop_front();
            }
            waiting.events.push_back(entry);
        });
    }

    /// Keeps rows of the latency table; one without a value is forgotten.
    pub fn latency(&self, rows: impl IntoIterator<Item = (Box<[u8]>, Option<Box<[u8]>>)>) {
        self.put(|waiting| waiting.latency.extend(rows));
    }

    /// Keeps what an operator did, all of it or nothing. The answer comes when it is on the disk.
    #[must_use]
    pub fn commit(&self, acts: Vec<Act>) -> oneshot::Receiver<Result<(), NotKept>> {
        self.put_acts(acts, None)
    }

    /// The same for whoever gives up after some time, by letting the receiver go: what is not written
    /// by then never is, and what is just being written is taken back by `undo`.
    #[must_use]
    pub fn commit_or_undo(
        &self,
        acts: Vec<Act>,
        undo: Vec<Act>,
    ) -> oneshot::Receiver<Result<(), NotKept>> {
        self.put_acts(acts, Some(undo))
    }

    fn put_acts(
        &self,
        acts: Vec<Act>,
        undo: Option<Vec<Act>>,
    ) -> oneshot::Receiver<Result<(), NotKept>> {
        let (answer, answered) = oneshot::channel();
        self.put(|waiting| {
            if waiting.acts.len() < STATE_ACTS_WAITING_MAX {
                waiting.acts.push(Commit { acts, undo, answer });
            } else {
                // Who asked may be gone, and that is well.
                let _ = answer.send(Err(NotKept::Full));
            }
        });
        answered
    }

    /// Writes what still waits, and closes the file.
    pub fn close(mut self) {
        self.shut();
        if let Some(writer) = self.writer.take() {
            // A writer that crashed has said so.
            let _ = writer.join();
        }
    }

    fn shut(&self) {
        self.put(|waiting| waiting.closing = true);
    }

    fn put(&self, put: impl FnOnce(&mut Waiting)) {
        put(&mut self.lock());
        self.shared.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.shared.lock()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shut();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that holds it can leave it half done.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to write. What is in a hurry is taken at once, the rest after a pause in
    /// which more of it may come.
    fn next(&self) -> Waiting {
        let waiting = self.lock();
        let waiting = self.changed.wait_while(waiting, |it| it.is_idle());
        let waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *self.pause(waiting, STATE_WRITE_PAUSE))
    }

    fn pause<'w>(
        &self,
        waiting: MutexGuard<'w, Waiting>,
        pause: std::time::Duration,
    ) -> MutexGuard<'w, Waiting> {
        let paused = self.changed.wait_timeout_while(waiting, pause, |it| !it.is_in_a_hurry());
        paused.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        let Self { verdicts, verdicts_known, acts, ramps, events, latency, closing: _ } = self;
        verdicts.is_empty()
            && verdicts_known.is_none()
            && acts.is_empty()
            && ramps.is_empty()
            && events.is_empty()
            && latency.is_empty()
    }

    fn is_idle(&self) -> bool {
        self.is_empty() && !self.closing
    }

    fn is_in_a_hurry(&self) -> bool {
        self.acts.iter().any(|it| !it.answer.is_closed()) || self.closing
    }

    /// Takes back what could not be written, as far as nothing later has taken its place.
    fn take_back(&mut self, older: Self) {
        let known = self.verdicts_known.as_ref();
        for (key, status) in older.verdicts {
            if known.is_none_or(|it| it.contains(&key)) {
                self.verdicts.entry(key).or_insert(status);
            }
        }
        self.verdicts_known = self.verdicts_known.take().or(older.verdicts_known);
        for (pool, standing) in older.ramps {
            self.ramps.entry(pool).or_insert(standing);
        }
        for entry in older.events.into_iter().rev() {
            if self.events.len() < EVENTS_KEPT_MAX {
                self.events.push_front(entry);
            }
        }
        for (key, row) in older.latency {
            self.latency.entry(key).or_insert(row);
        }
    }
}

/// Whether there is something to be remembered.
fn is_known(status: Status) -> bool {
    status.verdict != Verdict::Unknown
}

impl Commit {
    /// Whether who wanted it has given up.
    fn is_withdrawn(&self) -> bool {
        self.undo.is_some() && self.answer.is_closed()
    }

    /// Says how it went; what takes it back, if it is on the disk and nobody wants to know.
    fn answer(self, written: &Result<(), String>) -> Option<Self> {
        let heard = self.answer.send(written.clone().map_err(NotKept::Failed)).is_ok();
        let undo = self.undo.filter(|_| !heard && written.is_ok())?;
        // Nobody waits for it.
        let (answer, _) = oneshot::channel();
        Some(Self { acts: undo, undo: None, answer })
    }
}

/// The life of the writer's thread.
fn write_until_closed(shared: &Shared, mut writer: file::Writer) {
    let mut fails = false;
    loop {
        let mut batch = shared.next();
        let mut acts = std::mem::take(&mut batch.acts);
        acts.retain(|it| !it.is_withdrawn());
        let written = if batch.is_empty() && acts.is_empty() {
            Ok(())
        } else {
            writer.write(&batch, acts.iter().flat_map(|it| &it.acts))
        };
        let undone: Vec<Commit> = acts.into_iter().filter_map(|it| it.answer(&written)).collect();
        let closing = batch.closing && undone.is_empty();
        if !undone.is_empty() {
            let mut waiting = shared.lock();
            waiting.closing |= batch.closing;
            // What waits may be the same once more, and then holds.
            waiting.acts.splice(0..0, undone);
        }
        match written {
            Ok(()) if fails => {
                fails = false;
                tracing::info!("the state is written again");
            }
            Ok(()) => {}
            Err(why) => {
                if !std::mem::replace(&mut fails, true) {
                    tracing::error!(%why, "the state cannot be written: it would not survive a restart");
                }
                let mut waiting = shared.lock();
                waiting.take_back(batch);
                drop(shared.pause(waiting, STATE_RETRY_PAUSE));
            }
        }
        if closing {
            return;
        }
    }
}

impl fmt::Display for NotKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("too much waits to be written"),
            Self::Failed(why) => write!(f, "the state cannot be written: {why}"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path, error) => write!(
                f,
                "the state folder cannot be used: `{}`: {error}\nhint: it has to belong to the \
                 user that the server runs as, and its disk to have room",
                path.display()
            ),
            Self::Busy(path) => write!(
                f,
                "another process has `{}` open\nhint: stop it, or give each server a `state` of \
                 its own",
                path.display()
            ),
        }
    }
}

#[cfg(test)]
mod tests;
