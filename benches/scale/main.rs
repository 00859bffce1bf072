//! Scale: a million records, a hundred thousand zones, a hundred thousand steered names.
//!
//! ```text
//! cargo bench --bench scale -- [records] [zones] [verdicts] [scrapes]      absent: all
//! ```
//!
//! - `records`: a zone of a million records, as YAML in Evenkeel and as a master file in NSD (Debian's
//!   `nsd`, if it is installed), in turns: from the start of the process to its first answer, and the
//!   memory then, summed over the processes, and at its highest.
//! - `zones`: a hundred thousand zone files; the time to the first answer; then, under load, one file
//!   is changed and SIGHUP sent, over and over: from the signal to the first new answer, how many
//!   questions were lost, and how long answers took with and without.
//! - `verdicts`: from the report of a probe to the snapshot, with a hundred thousand steered names.
//! - `scrapes`: what a scrape of the metrics takes, with ten thousand endpoints.
//!
//! The machine should have nothing else to do: times are those of a clock.

#[path = "../common/mod.rs"]
mod common;

mod process;
mod records;
mod scrapes;
mod verdicts;
mod zones;

use std::time::Duration;

use common::Result;

fn main() -> Result<()> {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let is_chosen = |what: &str| chosen.is_empty() || chosen.iter().any(|it| it == what);
    if is_chosen("records") {
        records::run()?;
    }
    if is_chosen("zones") {
        zones::run()?;
    }
    if is_chosen("verdicts") {
        verdicts::run();
    }
    if is_chosen("scrapes") {
        scrapes::run()?;
    }
    Ok(())
}

fn millis(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e3)
}
