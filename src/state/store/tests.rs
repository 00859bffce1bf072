//! The store on files of its own: what comes back, and what is set aside.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use redb::{Database, TableDefinition};
use tempfile::TempDir;

use super::*;
use crate::{
    health::{Kind as Probe, Target},
    state::{
        Note, Pattern, Word,
        journal::{Kind, Transition},
    },
};

const UP: Status = Status { verdict: Verdict::Up, shaky: false };
const SHAKY: Status = Status { verdict: Verdict::Up, shaky: true };
const DOWN: Status = Status { verdict: Verdict::Down, shaky: false };

fn at(secs: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
}

fn spec(port: u16) -> Arc<ProbeSpec> {
    Arc::new(ProbeSpec {
        target: Target::Address(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        port,
        kind: Probe::Tcp(crate::health::Tcp::default()),
        every: Duration::from_secs(10),
        timeout: Duration::from_secs(3),
        flap: None,
        invert: false,
        fall: 3,
        rise: 2,
    })
}

fn note(until: Option<u64>) -> Note {
    let (reason, author) = ("\"maintenance\"\n".to_owned(), "ops".to_owned());
    Note { reason, author, since: at(1_700_000_000), until: until.map(at) }
}

fn word(id: u64, target: &str, word: Word) -> Override {
    Override { id, target: Pattern::new(target).unwrap(), word, note: note(Some(1_800_000_000)) }
}

fn entry(id: u64) -> Arc<Entry> {
    let text = |it: &str| it.to_owned();
    let what = Transition {
        kind: Kind::OverBudget,
        subject: text("www.example.com./a/192.0.2.1"),
        from: text("down"),
        to: text("over budget"),
        why: text("é"),
    };
    Arc::new(Entry { id, at: at(id) + Duration::from_nanos(123_456_789), what })
}

/// Opens the folder's store, whose file is to be all right.
#[track_caller]
fn open(folder: &TempDir) -> (Store, Kept) {
    let (store, kept, aside) = Store::open(folder.path(), at(0)).unwrap();
    assert_eq!(aside, None);
    (store, kept)
}

fn committed(store: &Store, acts: Vec<Act>) -> Result<(), NotKept> {
    store.commit(acts).blocking_recv().unwrap()
}

#[test]
fn everything_comes_back() {
    let folder = TempDir::new().unwrap();
    let (mut store, kept) = open(&folder);
    assert_eq!(kept, Kept::default());
    let specs = [spec(1), spec(2), spec(3), spec(4)];
    store.watch(&specs, |_| (Status::default(), at(0)));
    store.verdict(&specs[0], UP, at(1));
    store.verdict(&specs[1], UP, at(2));
    store.verdict(&specs[1], SHAKY, at(3));
    store.verdict(&specs[2], DOWN, at(4));
    let standing = Standing::Step(25, at(77) + Duration::from_nanos(5));
    store.ramps(vec![
        (pool_key("www.example.com.", "us-east-1"), standing),
        ("a/b".to_owned(), Standing::Out),
        ("a/c".to_owned(), Standing::Out),
        ("a/d".to_owned(), Standing::Held(5)),
    ]);
    store.ramps(vec![("a/c".to_owned(), Standing::Full)]);
    store.event(entry(7));
    store.event(entry(9));
    let row = |key: &[u8], value: &[u8]| (key.into(), Some(value.into()));
    store.latency([row(b"k\0", b"v"), row(b"gone", b"v")]);
    store.latency([(b"gone"[..].into(), None)]);
    let dial = Dial { percent: 25, note: note(None) };
    let acts = vec![
        Act::Set(word(1, "us-*", Word::Down)),
        Act::Set(word(2, "www.example.com/us-east-1", Word::Drain)),
        Act::Set(word(3, "x", Word::Up)),
        Act::Clear(3),
        Act::Dial("us-east-1".to_owned(), Some(dial.clone())),
        Act::Dial("eu-west-1".to_owned(), Some(dial.clone())),
        Act::Dial("eu-west-1".to_owned(), None),
    ];
    assert_eq!(committed(&store, acts), Ok(()));
    store.close();

    let (mut store, kept) = open(&folder);
    let known = specs.each_ref().map(|it| kept.known(it));
    // Since the verdict, not since the latest outcome.
    let expect = [Some((UP, at(1))), Some((SHAKY, at(2))), Some((DOWN, at(4))), None];
    assert_eq!(known, expect);
    let overrides =
        [word(1, "us-*", Word::Down), word(2, "www.example.com/us-east-1", Word::Drain)];
    assert_eq!((kept.overrides.as_slice(), kept.override_id_last), (&overrides[..], 3));
    assert_eq!(kept.dials, [("us-east-1".to_owned(), dial)]);
    let ramps = [
        ("a/b".to_owned(), Standing::Out),
        ("a/d".to_owned(), Standing::Held(5)),
        ("www.example.com./us-east-1".to_owned(), standing),
    ];
    assert_eq!(kept.ramps, ramps);
    assert_eq!(kept.events, [Entry::clone(&entry(7)), Entry::clone(&entry(9))]);
    assert_eq!(kept.latency, [(b"k\0"[..].into(), b"v"[..].into())]);

    // What nobody probes any more is forgotten.
    store.watch(&specs[2..], |_| (DOWN, at(4)));
    store.close();
    let (_, kept) = open(&folder);
    assert_eq!(specs.each_ref().map(|it| kept.status(it)), [None, None, Some(DOWN), Some(DOWN)]);
}

#[test]
fn the_oldest_events_are_let_go() {
    let folder = TempDir::new().unwrap();
    let (store, _) = open(&folder);
    let more = EVENTS_KEPT_MAX as u64 + 3;
    (1..=more).for_each(|id| store.event(entry(id)));
    assert_eq!(committed(&store, vec![]), Ok(()));
    store.event(entry(more + 1));
    store.close();
    let (_, mut kept) = open(&folder);
    assert_eq!(kept.events.len(), EVENTS_KEPT_MAX);
    assert_eq!(kept.events[0].id, 5);
    assert_eq!(kept.take_journal().latest(1)[0].id, more + 1);
}

/// Damages the file in some way: it is set aside as it is, and the server starts with nothing.
#[track_caller]
fn check_set_aside(end: &str, damage: impl FnOnce(&Path)) {
    let folder = TempDir::new().unwrap();
    let (store, _) = open(&folder);
    assert_eq!(committed(&store, vec![Act::Set(word(1, "a", Word::Down))]), Ok(()));
    (1..200).for_each(|id| store.event(entry(id)));
    store.close();
    let path = folder.path().join(FILE);
    damage(&path);
    let damaged = fs::read(&path).unwrap();

    let (store, kept, aside) = Store::open(folder.path(), at(1234)).unwrap();
    assert_eq!(kept, Kept::default());
    let aside = aside.expect("something is wrong with it");
    assert_eq!(aside.path, folder.path().join(format!("{FILE}.{end}-1234")), "{}", aside.why);
    assert_eq!(fs::read(&aside.path).unwrap().len(), damaged.len());
    assert_eq!(committed(&store, vec![Act::Set(word(1, "b", Word::Down))]), Ok(()));
    store.close();
    assert_eq!(open(&folder).1.overrides, [word(1, "b", Word::Down)]);
}

#[test]
fn a_damaged_file_is_set_aside() {
    check_set_aside("damaged", |path| fs::write(path, "").unwrap());
    check_set_aside("damaged", |path| fs::write(path, "not a database at all").unwrap());
    check_set_aside("damaged", |path| fs::write(path, vec![0; 1 << 20]).unwrap());
    let cut = |path: &Path, len: u64| {
        fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
    };
    check_set_aside("damaged", |path| cut(path, 5000));
    check_set_aside("damaged", |path| cut(path, 100));
    // A part of the disk was lost.
    check_set_aside("damaged", |path| {
        let mut octets = fs::read(path).unwrap();
        let begin = octets.windows(9).position(|it| it == b"over budg").unwrap();
        octets[begin] ^= 1;
        fs::write(path, octets).unwrap();
    });
    // A row that no such server wrote.
    check_set_aside("damaged", |path| {
        const OVERRIDES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("overrides");
        let change = Database::open(path).unwrap().begin_write().unwrap();
        change.open_table(OVERRIDES).unwrap().insert(1, b"{}".as_slice()).unwrap();
        change.commit().unwrap();
    });
}

/// Whatever octet the disk gets wrong: what is read was true at one time, or the file is set aside.
#[test]
fn a_wrong_octet_is_no_wrong_state() {
    let folder = TempDir::new().unwrap();
    let (store, _) = open(&folder);
    let acts = |id| vec![Act::Set(word(id, "a", Word::Down))];
    assert_eq!(committed(&store, acts(1)), Ok(()));
    assert_eq!(committed(&store, acts(2)), Ok(()));
    store.close();
    let path = folder.path().join(FILE);
    let whole = fs::read(&path).unwrap();
    // Most of the file is empty; where something is, every place is tried that a step meets.
    let used: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    for at in used.iter().step_by(used.len() / 100) {
        let mut octets = whole.clone();
        octets[*at] ^= 0x55;
        fs::write(&path, octets).unwrap();
        let (store, kept, aside) = Store::open(folder.path(), SystemTime::UNIX_EPOCH).unwrap();
        store.close();
        let whole = (1..).zip(&kept.overrides).all(|(id, it)| *it == word(id, "a", Word::Down));
        assert!(whole && kept.overrides.len() <= 2, "octet {at}: {kept:?}");
        assert!(aside.is_none() || kept == Kept::default(), "octet {at}");
        if let Some(aside) = aside {
            fs::remove_file(aside.path).unwrap();
        }
    }
}

#[test]
fn a_file_of_a_later_version_is_set_aside() {
    check_set_aside("newer", |path| {
        const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
        let change = Database::open(path).unwrap().begin_write().unwrap();
        change.open_table(META).unwrap().insert("version", 2).unwrap();
        change.commit().unwrap();
    });
}

#[test]
fn one_file_is_one_server_s() {
    let folder = TempDir::new().unwrap();
    let (store, _) = open(&folder);
    let refusal = Store::open(folder.path(), at(0)).unwrap_err();
    assert!(matches!(refusal, Refusal::Busy(_)), "{refusal}");
    store.close();
    open(&folder);
}

#[test]
fn a_folder_that_cannot_be_made_is_refused() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    for path in ["file", "file/x", "a/b"] {
        let refusal = Store::open(&folder.path().join(path), at(0)).unwrap_err();
        assert!(matches!(refusal, Refusal::Folder(..)), "{path}: {refusal}");
    }
    // Nobody else may read what operators said.
    let (store, _, _) = Store::open(&folder.path().join("new"), at(0)).unwrap();
    store.close();
    let mode = |path: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("new"), mode("new/state.redb")), (0o700, 0o600));
}

#[test]
fn what_cannot_be_written_is_told_and_tried_again() {
    let waiting = |verdicts: &[(u8, Status)], events: &[u64]| Waiting {
        verdicts: verdicts.iter().map(|(key, it)| (VerdictKey([*key; 16]), (*it, at(1)))).collect(),
        events: events.iter().map(|id| entry(*id)).collect(),
        ..Waiting::default()
    };
    let mut now = waiting(&[(1, UP)], &[3]);
    now.take_back(waiting(&[(1, DOWN), (2, DOWN)], &[1, 2]));
    assert_eq!(now.verdicts, waiting(&[(1, UP), (2, DOWN)], &[]).verdicts);
    assert_eq!(now.events.iter().map(|it| it.id).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(!now.is_in_a_hurry());
}

#[test]
fn another_process_reads_what_this_one_keeps() {
    let row = |text: &str| text.as_bytes().to_vec().into_boxed_slice();
    let kept = Kept {
        overrides: vec![word(3, "us-east-1", Word::Drain), word(7, "192.0.2.*", Word::Up)],
        override_id_last: 9,
        dials: vec![("eu-west-1".to_owned(), Dial { percent: 25, note: note(None) })],
        ramps: vec![("a./b".to_owned(), Standing::Step(25, at(1_700_000_000)))],
        events: vec![Entry::clone(&entry(1)), Entry::clone(&entry(12))],
        latency: vec![(row("n203.0.113.0/24"), row("1795188958 31.5 23.4 23 us-east-1"))],
        ..Kept::default()
    };
    assert_eq!(Kept::of_text(&kept.to_text()), Ok(kept));
    assert_eq!(Kept::of_text("{}"), Err("whole"));
    let other = Kept::default().to_text().replace("\"dials\":[]", "\"dials\":[[\"a\",\"{}\"]]");
    assert_eq!(Kept::of_text(&other), Err("dials"));
}

#[test]
fn what_is_given_up_is_not_kept() {
    let folder = TempDir::new().unwrap();
    let (mut heard, mut given_up) = (0, 0);
    for round in 0..60 {
        let (store, kept) = open(&folder);
        let before = kept.dials;
        let percent: u8 = round;
        let note = Note { reason: String::new(), author: String::new(), since: at(0), until: None };
        let dial = |percent| Dial { percent, note: note.clone() };
        let act = |it: Option<Dial>| vec![Act::Dial("a".to_owned(), it)];
        let undo = act(before.first().map(|(_, it)| it.clone()));
        let mut written = store.commit_or_undo(act(Some(dial(percent))), undo);
        std::thread::park_timeout(Duration::from_micros(u64::from(round) * 67));
        written.close();
        let is_heard = written.try_recv().is_ok();
        *if is_heard { &mut heard } else { &mut given_up } += 1;
        store.close();
        let (store, kept) = open(&folder);
        let expect = if is_heard { vec![("a".to_owned(), dial(percent))] } else { before };
        assert_eq!(kept.dials, expect);
        store.close();
    }
    assert!(0 < given_up, "{heard} were all heard");
}
