//! Whether memory stays flat: a server at full speed for minutes, while verdicts change and zones are
//! reloaded.
//!
//! ```text
//!   core 0                                core 1
//!   evenkeel serve                    <-> the load: fixed, weighted, placed, probed
//!     '- probes a heart that stops and beats    (this program, which looks at the server's memory
//!        again, and reads a zone that changes    after each stretch of the load)
//! ```
//!
//! Each reply is looked at, and each question has to be answered. The slope is that of a line through
//! the samples (least squares), from where the first third of the questions is answered: until then
//! buffers and tables are made.
//!
//! ```text
//! cargo bench --bench soak -- [--minutes N]
//! ```

mod common;

use std::{
    fs,
    io::Write as _,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use common::{
    LOAD_CORE, Result, SERVER_CORE,
    files::{SERVER_FILE, ZONE_FILE},
    load::{Expected, Load, REPLY_WAIT, reply_to},
    option, pin,
    questions::{question, with_subnet},
    server::{Server, resident_kib},
};
use evenkeel::clock;

const MINUTES: u64 = 8;

/// Load between two looks at the memory.
const STRETCH: Duration = Duration::from_secs(5);

/// Questions of each kind that differ.
const QUESTIONS: u8 = 250;

/// From a change that is served to the next one.
const PAUSE: Duration = Duration::from_millis(300);

/// How often it is asked whether a change is served.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// How long a change may take.
const CHANGE_MAX: Duration = Duration::from_mins(1);

/// The name that rests on the heart; `{heart}` stands for where that is probed.
const PROBED: &str = "  probed:
    ttl: 20s
    steer:
      pools:
        us: { check: heart, A: 192.0.2.10 }
        eu: { tier: 2, A: 192.0.2.20 }
";

const CHECK: &str = "checks:
  heart:
    tcp: { expect: beats }
    target: \"{heart}\"
    every: 200ms
    timeout: 100ms
    fall: 1
    rise: 1
";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let minutes = option(&arguments, "--minutes")?.unwrap_or(MINUTES);
    pin(SERVER_CORE)?;
    let folder = tempfile::tempdir()?;
    let heart = Heart::start()?;
    let server_file = [SERVER_FILE, &CHECK.replace("{heart}", &heart.address.to_string())].concat();
    let zone = [ZONE_FILE, PROBED].concat();
    let zones = [("bench.example.yaml", &*zone), (CHANGING, &changing(1))];
    let mut server = Server::evenkeel(folder.path(), &server_file, &zones)?;
    let questions = questions();
    let load = Load { name: "Evenkeel", questions: &questions, expected: Expected::Answer };
    load.wait_until_ready(&mut server)?;
    let over = AtomicBool::new(false);
    let report = thread::scope(|scope| {
        let changes = scope.spawn(|| {
            change(server.address, &heart, folder.path(), &over).map_err(|error| error.to_string())
        });
        let samples = soak(&load, &server, Duration::from_mins(minutes));
        over.store(true, Relaxed);
        let changes = changes.join().expect("it does not panic")?;
        Ok::<_, Box<dyn std::error::Error>>(Report { samples: samples?, changes })
    })?;
    report.print()
}

/// What is asked, in turn.
fn questions() -> Vec<Vec<u8>> {
    let of_each = |number: u8| {
        let placed = with_subnet(question("placed.bench.example"), [81, 2, number]);
        let others =
            ["fixed", "weighted", "probed"].map(|it| question(&format!("{it}.bench.example")));
        others.into_iter().chain([placed])
    };
    (0..QUESTIONS).flat_map(of_each).collect()
}

/// The server's memory after so many questions.
#[derive(Clone, Copy)]
struct Sample {
    answered: u64,
    lost: u64,
    kib: u64,
}

fn soak(load: &Load<'_>, server: &Server, duration: Duration) -> Result<Vec<Sample>> {
    pin(LOAD_CORE)?;
    let end = clock::now() + duration;
    let mut sample = Sample { answered: 0, lost: 0, kib: resident_kib(&server.process)? };
    let mut samples = vec![sample];
    while clock::now() < end {
        let stretch = load.keep_busy(server.address, STRETCH)?;
        sample.answered += stretch.answered;
        sample.lost += stretch.lost;
        sample.kib = resident_kib(&server.process)?;
        samples.push(sample);
    }
    Ok(samples)
}

// ---- What changes meanwhile ----

/// Something to probe.
struct Heart {
    address: SocketAddr,
    beats: Arc<AtomicBool>,
}

impl Heart {
    /// It says whether it beats to whoever connects, for as long as this program runs.
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let beats = Arc::new(AtomicBool::new(true));
        let says = Arc::clone(&beats);
        thread::spawn(move || {
            for mut probe in listener.incoming().flatten() {
                let word: &[u8] = if says.load(Relaxed) { b"beats" } else { b"stands" };
                // Whoever is gone does not want to know.
                let _ = probe.write_all(word);
            }
        });
        Ok(Self { address, beats })
    }
}

/// The zone that changes.
const CHANGING: &str = "changing.example.yaml";

fn changing(version: u8) -> String {
    format!(
        "zone: changing.example\nrecords:\n  \"@\": {{ NS: ns1 }}\n  ns1: {{ A: 192.0.2.53 }}\n  \
         www: {{ A: 198.51.100.{version} }}\n"
    )
}

/// Stops the heart or has it beat again, writes the zone anew, waits until both are served, and so on;
/// says how often.
fn change(server: SocketAddr, heart: &Heart, folder: &Path, over: &AtomicBool) -> Result<u64> {
    // Beside the server, as an operator's editor would be, and not beside the load.
    pin(SERVER_CORE)?;
    let mut n_changes = 0;
    let mut version = 1;
    while !over.load(Relaxed) {
        let beats = !heart.beats.fetch_not(Relaxed);
        version = if version < 250 { version + 1 } else { 1 };
        let fresh = folder.join("fresh");
        fs::write(&fresh, changing(version))?;
        fs::rename(&fresh, folder.join("zones").join(CHANGING))?;
        wait_for(server, "probed.bench.example", if beats { 10 } else { 20 })?;
        wait_for(server, "www.changing.example", version)?;
        n_changes += 1;
        thread::sleep(PAUSE);
    }
    Ok(n_changes)
}

/// Waits until a name's address ends in an octet.
fn wait_for(server: SocketAddr, name: &str, octet: u8) -> Result<()> {
    let begun = clock::now();
    let question = question(name);
    while clock::now() - begun < CHANGE_MAX {
        // The answer's address ends right before the OPT record of eleven octets.
        let reply = reply_to(&question, server, REPLY_WAIT)?;
        if reply.is_some_and(|it| it.len().checked_sub(12).map(|at| it[at]) == Some(octet)) {
            return Ok(());
        }
        thread::sleep(ASK_EVERY);
    }
    Err(format!("a change of {name} is not served").into())
}

// ---- The report ----

struct Report {
    /// The first one before the load.
    samples: Vec<Sample>,
    /// Verdicts that changed, and as many reloads.
    changes: u64,
}

impl Report {
    fn print(&self) -> Result<()> {
        let mut out = std::io::stdout();
        let last = self.samples.last().ok_or("no samples")?;
        let settled = self.settled();
        writeln!(out, "evenkeel serve at full speed: {} questions, one core\n", last.answered)?;
        writeln!(out, "{:>16} questions were not answered, no reply was wrong", last.lost)?;
        writeln!(out, "{:>16} changes of a verdict, and as many reloads", self.changes)?;
        let of_all = |which: fn(u64, u64) -> u64| settled.iter().map(|it| it.kib).reduce(which);
        let (low, high) = (of_all(u64::min).unwrap_or(0), of_all(u64::max).unwrap_or(0));
        let first = self.samples.first().map_or(0, |it| it.kib);
        writeln!(out, "{first:>16} KiB before the load, {low} to {high} since a third of it")?;
        writeln!(out, "{:>16.1} MiB per 10^9 questions: the slope", slope(settled) * 1e9 / 1024.0)?;
        Ok(())
    }

    /// The samples since a third of the questions.
    fn settled(&self) -> &[Sample] {
        let third = self.samples.last().map_or(0, |it| it.answered / 3);
        &self.samples[self.samples.partition_point(|it| it.answered < third)..]
    }
}

/// KiB per question, of the line nearest to the samples.
#[expect(clippy::cast_precision_loss, reason = "both are far below 2^53")]
fn slope(samples: &[Sample]) -> f64 {
    let points = || samples.iter().map(|it| (it.answered as f64, it.kib as f64));
    let n_points = samples.len() as f64;
    let mean_answered = points().map(|(x, _)| x).sum::<f64>() / n_points;
    let mean_kib = points().map(|(_, y)| y).sum::<f64>() / n_points;
    let above = points().map(|(x, y)| (x - mean_answered) * (y - mean_kib)).sum::<f64>();
    let below = points().map(|(x, _)| (x - mean_answered).powi(2)).sum::<f64>();
    above / below
}
