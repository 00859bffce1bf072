//! `evenkeel latency import`: round trips that were measured elsewhere, told to a server.
//!
//! Not here: what a line says (`config::samples`), and what becomes of it (`state::latency`).

use std::{fs, path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};

use super::{
    client::{Refused, Server},
    print,
};
use crate::{
    api::body::{Measured, text},
    config::samples::{self, Line},
    limits::{API_BODY_LEN_MAX, API_REASONS_MAX},
};

/// `evenkeel latency`.
#[derive(Debug, Subcommand)]
pub(super) enum Latency {
    /// Send the lines `network,region,ms,samples` of a file to a server.
    Import(Import),
}

/// `evenkeel latency import`.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// The file; a first line that names the columns is passed over.
    #[arg(value_name = "CSV")]
    file: PathBuf,
    #[command(flatten)]
    server: Server,
    /// What the API gives, instead of text.
    #[arg(long)]
    json: bool,
}

/// Exit code 1 when a line was refused.
pub(super) fn run(latency: &Latency) -> ExitCode {
    let Latency::Import(import) = latency;
    let taken = match import_all(import) {
        Ok(taken) => taken,
        Err(refused) => return refused.say(),
    };
    if import.json {
        print(&text(&taken));
    } else {
        print(&format!("{} accepted, {} refused\n", taken.accepted, taken.refused));
        for reason in &taken.reasons {
            eprintln!("{reason}");
        }
    }
    if taken.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Nothing is sent of a file in which a line is wrong.
fn import_all(import: &Import) -> Result<Measured, Refused> {
    let path = import.file.display();
    let text = fs::read_to_string(&import.file)
        .map_err(|error| Refused::Usage(format!("`{path}`: {error}")))?;
    let lines = read(&text).map_err(|wrong| {
        let wrong: Vec<_> = wrong.iter().map(|it| format!("{path}:{it}")).collect();
        Refused::No(wrong.join("\n"))
    })?;
    let mut taken = Measured { accepted: 0, refused: 0, reasons: Vec::new() };
    for answer in import.server.post("/api/v1/latency", bodies(&lines))? {
        let one: Measured = serde_json::from_str(&answer)
            .map_err(|error| Refused::No(format!("the server's answer cannot be read: {error}")))?;
        taken.accepted += one.accepted;
        taken.refused += one.refused;
        taken.reasons.extend(one.reasons);
    }
    taken.reasons.truncate(API_REASONS_MAX);
    Ok(taken)
}

/// The lines of a file, or what is wrong with them.
fn read(text: &str) -> Result<Vec<Line>, Vec<String>> {
    let (mut lines, mut wrong) = (Vec::new(), Vec::new());
    for (number, line) in samples::csv(text) {
        match line {
            Ok(line) => lines.push(line),
            Err(why) => wrong.push(format!("{number}: {why}")),
        }
    }
    if wrong.is_empty() { Ok(lines) } else { Err(wrong) }
}

/// The lines as bodies of requests, none longer than a server takes.
fn bodies(lines: &[Line]) -> Vec<String> {
    let mut bodies = vec![String::new()];
    for line in lines {
        let line = samples::to_ndjson(line);
        let last = bodies.last_mut().expect("there is one");
        if !last.is_empty() && API_BODY_LEN_MAX < last.len() + line.len() {
            bodies.push(line);
        } else {
            last.push_str(&line);
        }
    }
    bodies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_wrong_with_a_file_is_said() {
        assert_eq!(read("a,b,1,1\n\nc,d,2").unwrap().len(), 2);
        assert_eq!(
            read("a,b\nc,d,2,3\ne,f,x,1").unwrap_err(),
            ["1: there is no ms", "3: `x` is no number of milliseconds"]
        );
    }

    #[test]
    fn a_body_is_never_longer_than_a_server_takes() {
        let line = Line { client: "c".repeat(1000), region: "r".into(), ms: 1.0, samples: 1 };
        let bodies = bodies(&vec![line; 10_000]);
        assert!(bodies.iter().all(|body| body.len() <= API_BODY_LEN_MAX));
        let n_lines: usize = bodies.iter().map(|body| body.lines().count()).sum();
        assert_eq!((bodies.len(), n_lines), (3, 10_000));
    }
}
