//! The rows: the form in which each kept thing is written.
//!
//! Rows are JSON, because they are few and small, and a person who has to look into a file that was
//! set aside can read them. What may be missing in a row of an earlier version has a default.
//!
//! *Not here:* the tables (`file`).

use std::{
    fmt,
    hash::{Hash, Hasher},
    time::{Duration, SystemTime},
};

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    super::{
        Dial, Note, Override, Pattern, Standing, Word,
        journal::{Entry, Kind, Transition},
    },
    Kept, Known,
};
use crate::health::{ProbeSpec, Status, Verdict};

/// A row of this table cannot be read.
#[derive(Debug)]
pub(super) struct Unreadable(pub(super) &'static str);

/// What tells a probe from others: a digest of its whole spec, since a verdict is that of one `fall`
/// and one `rise`. Another version of the server may say the same in another way; then it probes
/// anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerdictKey(pub(super) VerdictOctets);

pub(super) type VerdictOctets = [u8; 16];

impl VerdictKey {
    /// That of a probe.
    #[must_use]
    pub fn of(spec: &ProbeSpec) -> Self {
        let mut digest = Digest(Context::new(&SHA256));
        spec.hash(&mut digest);
        let whole = digest.0.finish();
        let half = whole.as_ref().first_chunk().expect("a digest of SHA-256 has 32 octets");
        Self(*half)
    }
}

impl fmt::Display for VerdictKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// A digest of what is hashed: with the hashers of std two specs might come to the same, and a
/// target be taken for another.
struct Digest(Context);

impl Hasher for Digest {
    fn write(&mut self, octets: &[u8]) {
        self.0.update(octets);
    }

    fn finish(&self) -> u64 {
        0
    }
}

/// A status, and the milliseconds since 1970 at which its verdict was made.
pub(super) type KnownRow = (u8, u64);

pub(super) fn known_row((status, since): Known) -> KnownRow {
    let since = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (status_octet(status), u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

pub(super) fn known((octet, millis): KnownRow) -> Result<Known, Unreadable> {
    let since = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis));
    Ok((status(octet)?, since.ok_or(Unreadable("verdicts"))?))
}

fn status_octet(status: Status) -> u8 {
    match status {
        Status { verdict: Verdict::Unknown, .. } => 0,
        Status { verdict: Verdict::Up, shaky: false } => 1,
        Status { verdict: Verdict::Up, shaky: true } => 2,
        Status { verdict: Verdict::Down, .. } => 3,
    }
}

fn status(octet: u8) -> Result<Status, Unreadable> {
    let (verdict, shaky) = match octet {
        0 => (Verdict::Unknown, false),
        1 => (Verdict::Up, false),
        2 => (Verdict::Up, true),
        3 => (Verdict::Down, false),
        _ => return Err(Unreadable("verdicts")),
    };
    Ok(Status { verdict, shaky })
}

#[derive(Serialize, Deserialize)]
struct OverrideRow {
    target: String,
    state: String,
    note: NoteRow,
}

#[derive(Serialize, Deserialize)]
struct DialRow {
    percent: u8,
    note: NoteRow,
}

#[derive(Serialize, Deserialize)]
struct NoteRow {
    reason: String,
    author: String,
    since: SystemTime,
    until: Option<SystemTime>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StandingRow {
    Full,
    Out,
    Step(u8, SystemTime),
    Held(u8),
}

#[derive(Serialize, Deserialize)]
struct EventRow {
    at: SystemTime,
    kind: String,
    subject: String,
    from: String,
    to: String,
    why: String,
}

/// All that is kept but the verdicts, for another process: each row as it would be written.
#[derive(Serialize, Deserialize)]
struct KeptRow {
    overrides: Vec<(u64, String)>,
    override_id_last: u64,
    dials: Vec<(String, String)>,
    ramps: Vec<(String, String)>,
    events: Vec<(u64, String)>,
    latency: Vec<(String, String)>,
}

pub(super) fn kept(it: &Kept) -> String {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let row = KeptRow {
        overrides: it.overrides.iter().map(|it| (it.id, text(&override_row(it)))).collect(),
        override_id_last: it.override_id_last,
        dials: it.dials.iter().map(|(region, it)| (region.clone(), text(&dial(it)))).collect(),
        ramps: it.ramps.iter().map(|(key, it)| (key.clone(), text(&standing(*it)))).collect(),
        events: it.events.iter().map(|it| (it.id, text(&entry(it)))).collect(),
        latency: it.latency.iter().map(|(key, value)| (text(key), text(value))).collect(),
    };
    text(&written(&row))
}

pub(super) fn kept_of(text: &str) -> Result<Kept, Unreadable> {
    let row: KeptRow = read(text.as_bytes(), "whole")?;
    let overrides = row.overrides.iter().map(|(id, row)| override_of(*id, row.as_bytes()));
    let events = row.events.iter().map(|(id, row)| entry_of(*id, row.as_bytes()));
    let dials = row.dials.into_iter().map(|(region, row)| Ok((region, dial_of(row.as_bytes())?)));
    let ramps = row.ramps.into_iter().map(|(key, row)| Ok((key, standing_of(row.as_bytes())?)));
    let octets = |text: String| text.into_bytes().into_boxed_slice();
    Ok(Kept {
        overrides: overrides.collect::<Result<_, _>>()?,
        override_id_last: row.override_id_last,
        dials: dials.collect::<Result<_, _>>()?,
        ramps: ramps.collect::<Result<_, _>>()?,
        events: events.collect::<Result<_, _>>()?,
        latency: row.latency.into_iter().map(|(key, row)| (octets(key), octets(row))).collect(),
        ..Kept::default()
    })
}

pub(super) fn override_row(it: &Override) -> Vec<u8> {
    let (target, state) = (it.target.to_string(), it.word.to_string());
    written(&OverrideRow { target, state, note: note_row(&it.note) })
}

pub(super) fn override_of(id: u64, octets: &[u8]) -> Result<Override, Unreadable> {
    let bad = Unreadable("overrides");
    let row: OverrideRow = read(octets, "overrides")?;
    let words = [Word::Up, Word::Down, Word::Drain];
    let word = words.into_iter().find(|it| it.to_string() == row.state);
    match (Pattern::new(&row.target), word) {
        (Some(target), Some(word)) => Ok(Override { id, target, word, note: note_of(row.note) }),
        _ => Err(bad),
    }
}

pub(super) fn dial(it: &Dial) -> Vec<u8> {
    written(&DialRow { percent: it.percent, note: note_row(&it.note) })
}

pub(super) fn dial_of(octets: &[u8]) -> Result<Dial, Unreadable> {
    let DialRow { percent, note } = read(octets, "dials")?;
    if 100 < percent {
        return Err(Unreadable("dials"));
    }
    Ok(Dial { percent, note: note_of(note) })
}

pub(super) fn standing(it: Standing) -> Vec<u8> {
    written(&match it {
        Standing::Full => StandingRow::Full,
        Standing::Out => StandingRow::Out,
        Standing::Step(percent, since) => StandingRow::Step(percent, whole(since)),
        Standing::Held(percent) => StandingRow::Held(percent),
    })
}

pub(super) fn standing_of(octets: &[u8]) -> Result<Standing, Unreadable> {
    Ok(match read(octets, "ramps")? {
        StandingRow::Full => Standing::Full,
        StandingRow::Out => Standing::Out,
        StandingRow::Step(percent @ 1..100, since) => Standing::Step(percent, since),
        StandingRow::Held(percent @ 1..100) => Standing::Held(percent),
        StandingRow::Step(..) | StandingRow::Held(_) => return Err(Unreadable("ramps")),
    })
}

pub(super) fn entry(it: &Entry) -> Vec<u8> {
    let Transition { kind, subject, from, to, why } = it.what.clone();
    written(&EventRow { at: whole(it.at), kind: kind.to_string(), subject, from, to, why })
}

pub(super) fn entry_of(id: u64, octets: &[u8]) -> Result<Entry, Unreadable> {
    let EventRow { at, kind, subject, from, to, why } = read(octets, "events")?;
    let kind = Kind::named(&kind).ok_or(Unreadable("events"))?;
    Ok(Entry { id, at, what: Transition { kind, subject, from, to, why } })
}

fn note_row(Note { reason, author, since, until }: &Note) -> NoteRow {
    let (reason, author) = (reason.clone(), author.clone());
    NoteRow { reason, author, since: whole(*since), until: until.map(whole) }
}

fn note_of(NoteRow { reason, author, since, until }: NoteRow) -> Note {
    Note { reason, author, since, until }
}

/// serde refuses times before 1970; a clock so wrong says nothing anyway.
fn whole(at: SystemTime) -> SystemTime {
    at.max(SystemTime::UNIX_EPOCH)
}

fn written(row: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(row).expect("texts, numbers and times from 1970 on are JSON")
}

fn read<R: DeserializeOwned>(octets: &[u8], table: &'static str) -> Result<R, Unreadable> {
    serde_json::from_slice(octets).map_err(|_| Unreadable(table))
}
