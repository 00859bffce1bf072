//! How long an answer takes at half of the load that is too much: from p50 to p99.99.
//!
//! ```text
//!   core 0                          core 1
//!   a server, or the reflector  <-  questions on a schedule, whatever has become of those before
//!                               ->  replies, each noted with how long after its time it came
//! ```
//!
//! Time is taken from when a question was due and not from when it was sent: one that had to wait
//! for the load itself counts with its wait. The load spins, so that it is not late; how late it
//! was at p99.9 is said too. Where that is much, another process had a core, and the figures say so
//! of the servers as well.
//!
//! With `--reloads` a zone among many changes all the time, and the server reads it: what clients
//! notice of that is the ratio at the end. All threads of the server are on its one core.
//!
//! ```text
//! cargo bench --bench latency -- [--rounds N] [--seconds N] [--reloads [--zones N]] [--json FILE]
//! ```

mod common;

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    slice,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use common::{
    LOAD_CORE, Result, SERVER_CORE,
    files::{SERVER_FILE, ZONE_FILE},
    load::{Expected, Load, REPLY_WAIT, reply_to},
    median, option, pin,
    questions::{NETWORK, question, with_subnet},
    schedule::{Asked, Between, ask},
    server::{REFLECTOR, Server, reflect},
};
use evenkeel::clock;
use serde_json::{Value, json};

const ROUNDS: usize = 5;

/// Load of a measurement: of the slowest ten thousandth there have to be some.
const SECONDS: u64 = 3;

/// Zones beside the one that is asked, where zones are reloaded.
const ZONES: usize = 1000;

/// From a reload that is served to the next change.
const PAUSE: Duration = Duration::from_millis(100);

/// How often it is asked whether a change is served.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// How long a reload may take.
const RELOAD_MAX: Duration = Duration::from_mins(1);

const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];

/// Of [`QUANTILES`], the one that reloads are judged by, and the load itself.
const JUDGED: usize = 3;

/// The zone that changes.
const CHANGING: &str = "changing.example";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|it| it == flag);
    if has(REFLECTOR) {
        return reflect();
    }
    let plan = Plan {
        rounds: option(&arguments, "--rounds")?.unwrap_or(ROUNDS),
        duration: Duration::from_secs(option(&arguments, "--seconds")?.unwrap_or(SECONDS)),
        zones: match option(&arguments, "--zones")? {
            _ if !has("--reloads") => 0,
            zones => zones.unwrap_or(ZONES),
        },
    };
    let subjects = run(&plan)?;
    print_table(&plan, &subjects)?;
    if let Some(file) = option::<String>(&arguments, "--json")? {
        fs::write(file, format!("{:#}\n", report(&subjects)))?;
    }
    Ok(())
}

struct Plan {
    rounds: usize,
    duration: Duration,
    /// Zones of which one changes; 0: nothing changes.
    zones: usize,
}

/// A server, what it is asked, and how long it took.
struct Subject {
    name: &'static str,
    server: usize,
    question: Vec<u8>,
    /// Whether a zone changes meanwhile.
    reloads: bool,
    rounds: Vec<Round>,
}

struct Round {
    /// Questions per second.
    rate: f64,
    /// Nanoseconds, for each of [`QUANTILES`].
    times: [u64; QUANTILES.len()],
    /// Nanoseconds by which the load itself was late, at the quantile of [`JUDGED`].
    late: u64,
    /// Questions that were not answered.
    lost: u64,
    /// From a change of the file to its being served.
    reloads: Vec<Duration>,
}

impl Subject {
    fn load(&self) -> Load<'_> {
        let questions = slice::from_ref(&self.question);
        Load { name: self.name, questions, expected: Expected::of(self.server != 0) }
    }
}

fn run(plan: &Plan) -> Result<Vec<Subject>> {
    pin(SERVER_CORE)?;
    let folder = tempfile::tempdir()?;
    let zones: Vec<(String, String)> = (0..plan.zones).map(|idx| some_zone(idx, 1)).collect();
    let zones = zones.iter().map(|(name, zone)| (&**name, &**zone));
    let zones: Vec<(&str, &str)> = zones.chain([("bench.example.yaml", ZONE_FILE)]).collect();
    let evenkeel = Server::evenkeel(folder.path(), SERVER_FILE, &zones)?;
    let mut servers = [Server::reflector()?, evenkeel];
    pin(LOAD_CORE)?;
    let subject = |name, server, question, reloads| Subject {
        name,
        server,
        question,
        reloads,
        rounds: vec![],
    };
    let placed = || with_subnet(question("placed.bench.example"), NETWORK);
    let mut subjects = vec![
        subject("reflector", 0, question("fixed.bench.example"), false),
        subject("fixed", 1, question("fixed.bench.example"), false),
        subject("placed, ECS", 1, placed(), false),
    ];
    if 0 < plan.zones {
        subjects.push(subject("placed, ECS, reloads", 1, placed(), true));
    }
    for subject in &subjects {
        subject.load().wait_until_ready(&mut servers[subject.server])?;
    }
    for _ in 0..plan.rounds {
        for subject in &mut subjects {
            let round = measure(&servers[subject.server], subject, folder.path(), plan)?;
            subject.rounds.push(round);
        }
    }
    Ok(subjects)
}

fn measure(server: &Server, subject: &Subject, folder: &Path, plan: &Plan) -> Result<Round> {
    let rate = subject.load().measure(server)?.rate / 2.0;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let changes = subject.reloads.then(|| {
            scope.spawn(|| change(server, folder, &over).map_err(|error| error.to_string()))
        });
        let end = clock::now() + plan.duration;
        let interval = Duration::from_secs_f64(1.0 / rate);
        let is_over = |now| end <= now;
        let asked = ask(&subject.load(), server.address, interval, Between::Spins, is_over);
        over.store(true, Relaxed);
        let reloads = changes.map(|it| it.join().expect("it does not panic")).transpose()?;
        let Asked { times, late, lost } = asked?;
        let times = QUANTILES.map(|(_, quantile)| times.value_at_quantile(quantile));
        let late = late.value_at_quantile(QUANTILES[JUDGED].1);
        Ok(Round { rate, times, late, lost, reloads: reloads.unwrap_or_default() })
    })
}

// ---- Zones that change ----

/// A zone of which there are many; its address says which version of it this is.
fn some_zone(idx: usize, version: u8) -> (String, String) {
    let apex = if idx == 0 { CHANGING.into() } else { format!("zone{idx}.example") };
    let mut zone = format!(
        "zone: {apex}\nttl: 1h\nsoa: {{ primary: ns1, contact: hostmaster@example.com, serial: 1 }}\n\
         records:\n  \"@\": {{ NS: ns1 }}\n  ns1: {{ A: 192.0.2.53 }}\n"
    );
    for host in 0..8 {
        writeln!(zone, "  www{host}: {{ A: 198.51.100.{version} }}").expect("a string takes it");
    }
    (format!("{apex}.yaml"), zone)
}

/// Writes the zone anew, waits until that is served, and so on; says how long each took.
fn change(server: &Server, folder: &Path, over: &AtomicBool) -> Result<Vec<Duration>> {
    // Beside the server, as an operator's editor would be, and not beside the load.
    pin(SERVER_CORE)?;
    let mut reloads = Vec::new();
    let mut version = current(server)?;
    while !over.load(Relaxed) {
        version = if version < 250 { version + 1 } else { 1 };
        let (name, zone) = some_zone(0, version);
        let path: PathBuf = folder.join("zones").join(name);
        let fresh = folder.join("fresh");
        fs::write(&fresh, zone)?;
        let begun = clock::now();
        fs::rename(&fresh, &path)?;
        while current(server)? != version {
            if RELOAD_MAX < clock::now() - begun {
                return Err("a change is not served".into());
            }
            thread::sleep(ASK_EVERY);
        }
        reloads.push(clock::now() - begun);
        thread::sleep(PAUSE);
    }
    Ok(reloads)
}

/// The version that is served.
fn current(server: &Server) -> Result<u8> {
    for _ in 0..10 {
        let reply = reply_to(&question(&format!("www0.{CHANGING}")), server.address, REPLY_WAIT)?;
        let Some(reply) = reply else { continue };
        // The answer's address ends right before the OPT record of eleven octets.
        if let Some(at) = reply.len().checked_sub(12) {
            return Ok(reply[at]);
        }
    }
    Err("the zone that changes is not served".into())
}

// ---- The report ----

impl Subject {
    /// The median over the rounds of each quantile, in microseconds.
    fn times(&self) -> [f64; QUANTILES.len()] {
        std::array::from_fn(|idx| {
            let times: Vec<f64> = self.rounds.iter().map(|it| micros(it.times[idx])).collect();
            median(&times)
        })
    }

    fn rate(&self) -> f64 {
        median(&self.rounds.iter().map(|it| it.rate).collect::<Vec<_>>())
    }

    fn late(&self) -> f64 {
        median(&self.rounds.iter().map(|it| micros(it.late)).collect::<Vec<_>>())
    }

    fn lost(&self) -> u64 {
        self.rounds.iter().map(|it| it.lost).sum()
    }

    /// Milliseconds of every reload.
    fn reload_times(&self) -> Vec<f64> {
        let reloads = self.rounds.iter().flat_map(|it| &it.reloads);
        reloads.map(|it| it.as_secs_f64() * 1e3).collect()
    }
}

fn print_table(plan: &Plan, subjects: &[Subject]) -> Result<()> {
    let mut out = std::io::stdout();
    let Plan { rounds, duration, zones } = plan;
    write!(out, "answer times in µs at half load, medians of {rounds} interleaved rounds of ")?;
    writeln!(out, "{duration:?}, one core\n")?;
    write!(out, "{:<22}{:>13}", "", "questions/s")?;
    for (name, _) in QUANTILES {
        write!(out, "{name:>10}")?;
    }
    writeln!(out, "{:>12}{:>8}", "load late", "lost")?;
    for subject in subjects {
        write!(out, "{:<22}{:>13.0}", subject.name, subject.rate())?;
        for time in subject.times() {
            write!(out, "{time:>10.1}")?;
        }
        writeln!(out, "{:>12.1}{:>8}", subject.late(), subject.lost())?;
    }
    if let [.., still, changing] = subjects
        && changing.reloads
    {
        let times = changing.reload_times();
        let ratio = changing.times()[JUDGED] / still.times()[JUDGED];
        writeln!(
            out,
            "\n{} reloads of one of {zones} zones, {:.0} ms from the change to its being served; \
             {} during them: {ratio:.2} times what it is without",
            times.len(),
            median(&times),
            QUANTILES[JUDGED].0,
        )?;
    }
    Ok(())
}

fn report(subjects: &[Subject]) -> Value {
    let subjects: Vec<Value> = subjects
        .iter()
        .map(|subject| {
            let names = QUANTILES.map(|(name, _)| name.to_owned());
            let times: serde_json::Map<String, Value> =
                names.into_iter().zip(subject.times().map(Value::from)).collect();
            let rounds: Vec<Value> = (subject.rounds.iter())
                .map(|it| json!({ "questions_per_second": it.rate, "us": it.times.map(micros) }))
                .collect();
            json!({
                "name": subject.name,
                "questions_per_second": subject.rate(),
                "us": times,
                "load_late_us": subject.late(),
                "lost": subject.lost(),
                "reloads_ms": subject.reload_times(),
                "rounds": rounds,
            })
        })
        .collect();
    json!({ "subjects": subjects })
}

#[expect(clippy::cast_precision_loss, reason = "a second's nanoseconds are exact")]
fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}
