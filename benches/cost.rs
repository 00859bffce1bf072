//! What an answer costs: CPU time per question of Evenkeel and of a bare reflector, side by side.
//!
//! ```text
//!   core 0                                core 1
//!   reflector  (this program again)   <-\
//!   evenkeel serve                    <--  the load: a window of questions in flight, a new one
//!                                          for each reply
//! ```
//!
//! The reflector does the same system calls as a packet thread and nothing else: it sets QR and
//! sends back what came. It is the floor on this machine, and the ratio to it is what may be
//! compared between machines. Rounds are interleaved, so that what disturbs one disturbs all, and
//! a ratio is taken within its round.
//!
//! CPU time is that of all threads of the process (`schedstat`), with what the kernel does for it.
//!
//! ```text
//! cargo bench --bench cost -- [--json] [--rounds N]
//! ```

mod common;

use std::io::Write;

use common::{
    LOAD_CORE, Result, SERVER_CORE,
    files::{SERVER_FILE, ZONE_FILE, big_zone},
    load::{Expected, Load, Measured},
    median, option, pin,
    questions::{NETWORK, letters, question, with_subnet},
    server::{REFLECTOR, Server, reflect},
};
use evenkeel::dice::Dice;
use serde_json::json;

const ROUNDS: usize = 7;

/// Names that are asked for and are not there, in a zone of a million others: far more than what a
/// processor's caches remember of where it looked.
const ABSENT_NAMES: usize = 200_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|it| it == flag);
    if has(REFLECTOR) {
        return reflect();
    }
    let report = run(option(&arguments, "--rounds")?.unwrap_or(ROUNDS))?;
    if has("--json") { report.print_json() } else { report.print_table() }
}

/// A server, and what it is asked.
struct Subject {
    name: &'static str,
    server: usize,
    /// Asked in turn.
    questions: Vec<Vec<u8>>,
    expected: Expected,
    /// Round by round.
    measured: Vec<Measured>,
}

impl Subject {
    fn load(&self) -> Load<'_> {
        Load { name: self.name, questions: &self.questions, expected: self.expected }
    }

    /// Nanoseconds of CPU per question, round by round.
    fn costs(&self) -> Vec<f64> {
        self.measured.iter().map(|it| it.cost).collect()
    }

    /// Questions per second, round by round.
    fn rates(&self) -> Vec<f64> {
        self.measured.iter().map(|it| it.rate).collect()
    }
}

fn run(rounds: usize) -> Result<Report> {
    pin(SERVER_CORE)?;
    let folder = tempfile::tempdir()?;
    let zones = [("bench.example.yaml", ZONE_FILE), ("big.example.zone", &big_zone()?)];
    let evenkeel = Server::evenkeel(folder.path(), SERVER_FILE, &zones)?;
    let mut servers = [Server::reflector()?, evenkeel];
    pin(LOAD_CORE)?;
    let subject = |name, server, question| {
        let expected = Expected::of(server != 0);
        Subject { name, server, questions: vec![question], expected, measured: vec![] }
    };
    let mut roll = Dice::from_os().roll();
    let absent = |_| question(&format!("{}.big.example", letters(&mut roll)));
    let flood = Subject {
        name: "NXDOMAIN",
        server: 1,
        questions: (0..ABSENT_NAMES).map(absent).collect(),
        expected: Expected::NoName,
        measured: vec![],
    };
    let with_subnet = |name| with_subnet(question(name), NETWORK);
    let mut subjects = [
        subject("reflector", 0, question("weighted.bench.example")),
        subject("fixed", 1, question("fixed.bench.example")),
        subject("weighted", 1, question("weighted.bench.example")),
        subject("fixed, ECS", 1, with_subnet("fixed.bench.example")),
        subject("placed, ECS", 1, with_subnet("placed.bench.example")),
        flood,
    ];
    for subject in &subjects {
        subject.load().wait_until_ready(&mut servers[subject.server])?;
    }
    for _ in 0..rounds {
        for subject in &mut subjects {
            let measured = subject.load().measure(&servers[subject.server])?;
            subject.measured.push(measured);
        }
    }
    Ok(Report { subjects })
}

// ---- The report ----

struct Report {
    /// The reflector first.
    subjects: [Subject; 6],
}

impl Report {
    /// Cost in each round as a multiple of the reflector's in the same round.
    fn ratios(&self, subject: &Subject) -> Vec<f64> {
        let floors = &self.subjects[0].measured;
        subject.measured.iter().zip(floors).map(|(it, floor)| it.cost / floor.cost).collect()
    }

    fn print_table(&self) -> Result<()> {
        let mut out = std::io::stdout();
        let rounds = self.subjects[0].measured.len();
        writeln!(out, "evenkeel serve, medians of {rounds} interleaved rounds, one core\n")?;
        writeln!(out, "{:<12}{:>14}{:>16}{:>18}", "", "µs/question", "x reflector", "questions/s")?;
        for subject in &self.subjects {
            let (cost, rate) = (median(&subject.costs()) / 1000.0, median(&subject.rates()));
            let ratio = median(&self.ratios(subject));
            writeln!(out, "{:<12}{cost:>14.3}{ratio:>16.3}{rate:>18.0}", subject.name)?;
        }
        Ok(())
    }

    fn print_json(&self) -> Result<()> {
        let subjects: Vec<_> = self
            .subjects
            .iter()
            .map(|subject| {
                json!({
                    "name": subject.name,
                    "cpu_ns_per_question": median(&subject.costs()),
                    "ratio_to_reflector": median(&self.ratios(subject)),
                    "questions_per_second": median(&subject.rates()),
                    "rounds": { "cpu_ns_per_question": subject.costs(),
                                "ratio_to_reflector": self.ratios(subject) },
                })
            })
            .collect();
        let report = json!({ "subjects": subjects });
        Ok(writeln!(std::io::stdout(), "{report:#}")?)
    }
}
