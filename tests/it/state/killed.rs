//! The store of a process that is killed at any moment: what a start finds was true.

use std::{
    env,
    io::{BufRead as _, BufReader},
    net::{IpAddr, Ipv4Addr},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use evenkeel::{
    clock,
    dice::Dice,
    health::{Kind, ProbeSpec, Status, Target, Verdict},
    state::{
        Dial, Note, Override, Pattern, Standing, Word,
        journal::{self, Journal, Transition},
        store::{Act, Store},
    },
};

use crate::process::Process;

/// Where the writer writes; a test process that has it is a writer.
const FOLDER: &str = "EVENKEEL_TEST_STATE";
const PROBES: u16 = 5;
/// Overrides that hold at one time.
const HOLD: u64 = 3;

fn specs() -> Vec<Arc<ProbeSpec>> {
    let spec = |port| ProbeSpec {
        target: Target::Address(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        port,
        kind: Kind::Tcp(evenkeel::health::Tcp::default()),
        every: Duration::from_secs(10),
        timeout: Duration::from_secs(3),
        flap: None,
        invert: false,
        fall: 3,
        rise: 2,
    };
    (0..PROBES).map(|port| Arc::new(spec(port))).collect()
}

fn status(round: u64) -> Status {
    let verdict = if round.is_multiple_of(2) { Verdict::Up } else { Verdict::Down };
    Status { verdict, shaky: false }
}

fn note(round: u64) -> Note {
    let reason = format!("round {round}");
    Note { reason, author: "test".to_owned(), since: clock::wall(), until: None }
}

/// Not a test by itself: it writes round after round until it is killed, and says which are kept.
#[test]
fn writer() {
    let Ok(folder) = env::var(FOLDER) else { return };
    let (mut store, mut kept, aside) = Store::open(Path::new(&folder), clock::wall()).unwrap();
    assert_eq!(aside, None);
    let specs = specs();
    let unknown = (Status::default(), SystemTime::UNIX_EPOCH);
    let before: Vec<_> = specs.iter().map(|it| kept.known(it).unwrap_or(unknown)).collect();
    store.watch(&specs, |id| before[id.idx()]);
    let begin = kept.override_id_last + 1;
    let mut journal: Journal = kept.take_journal();
    for round in begin.. {
        for spec in &specs {
            store.verdict(spec, status(round), clock::wall());
        }
        let what = Transition {
            kind: journal::Kind::Verdict,
            subject: round.to_string(),
            from: String::new(),
            to: String::new(),
            why: "x".repeat(200),
        };
        store.event(journal.note(clock::wall(), what));
        let since = SystemTime::UNIX_EPOCH + Duration::from_secs(round);
        store.ramps(vec![("www/a".to_owned(), Standing::Step(5, since))]);
        let target = Pattern::new(&format!("target-{round}")).unwrap();
        let percent = u8::try_from(round % 100).unwrap();
        let acts = vec![
            Act::Set(Override { id: round, target, word: Word::Drain, note: note(round) }),
            Act::Clear(round.saturating_sub(HOLD)),
            Act::Dial("a".to_owned(), Some(Dial { percent, note: note(round) })),
        ];
        store.commit(acts).blocking_recv().unwrap().unwrap();
        println!("kept {round}");
    }
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill_at_any_moment() {
    let moments = if env::var_os("RUN_SLOW_TESTS").is_some() { 200 } else { 20 };
    let folder = tempfile::tempdir().unwrap();
    let mut dice = Dice::from_os();
    let mut last = 0;
    for moment in 0..moments {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["state::killed::writer", "--exact", "--nocapture"]);
        command.env(FOLDER, folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = Process::start(&mut command);
        let out = BufReader::new(process.child().stdout.take().unwrap());
        let acknowledged = Arc::new(AtomicU64::new(0));
        let reader = std::thread::spawn({
            let acknowledged = Arc::clone(&acknowledged);
            move || {
                for line in out.lines().map_while(Result::ok) {
                    // The test harness says things as well, also in the same line.
                    if let Some((_, round)) = line.split_once("kept ") {
                        acknowledged.store(round.parse().unwrap(), Ordering::Relaxed);
                    }
                }
            }
        });
        // Half of them within the opening of the file or soon after.
        let micros = dice.roll().bits() % if moment % 2 == 0 { 40_000 } else { 250_000 };
        std::thread::park_timeout(Duration::from_micros(micros));
        process.kill();
        reader.join().unwrap();
        let acknowledged = acknowledged.load(Ordering::Relaxed).max(last);
        last = check(folder.path(), acknowledged);
    }
    assert!(0 < last, "nothing was ever written");
}

/// Whether what is in the folder was true at one moment, not before round `acknowledged`; and which
/// round that was.
fn check(folder: &Path, acknowledged: u64) -> u64 {
    let (store, kept, aside) = Store::open(folder, clock::wall()).unwrap();
    assert_eq!(aside, None, "after round {acknowledged}");
    let last = kept.override_id_last;
    assert!(acknowledged <= last, "{acknowledged} was acknowledged, {last} is kept");
    let ids: Vec<u64> = kept.overrides.iter().map(|it| it.id).collect();
    assert_eq!(ids, (last.saturating_sub(HOLD - 1).max(1)..=last).collect::<Vec<_>>());
    for it in &kept.overrides {
        assert_eq!(it.target.to_string(), format!("target-{}", it.id));
        assert_eq!((it.word, &it.note.reason), (Word::Drain, &format!("round {}", it.id)));
    }
    let dials: Vec<u64> = kept.dials.iter().map(|(_, it)| u64::from(it.percent)).collect();
    assert_eq!(dials, if last == 0 { vec![] } else { vec![last % 100] });

    // The others of a round are written with its acts or before them.
    let rounds: Vec<u64> = kept.events.iter().map(|it| it.what.subject.parse().unwrap()).collect();
    assert!(rounds.is_sorted(), "{rounds:?}");
    let round = rounds.last().copied().unwrap_or(0);
    assert!((last..=last + 1).contains(&round), "{round} with {last}");
    let verdicts: Vec<_> = specs().iter().map(|it| kept.status(it)).collect();
    let now = verdicts.iter().take_while(|it| **it == verdicts[0]).count();
    assert!(verdicts[now..].iter().all(|it| *it != verdicts[0]), "{verdicts:?}");
    if now == usize::from(PROBES) && 0 < last {
        assert!([last, last + 1].map(|it| Some(status(it))).contains(&verdicts[0]));
    }
    store.close();
    last
}
