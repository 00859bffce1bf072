//! `evenkeel check`: everything that `serve` would complain of.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use crate::compile::{Plan, load};

/// Complaints are what was asked for, so they go to stdout, as text or as JSON.
pub(super) fn run(config: &Path, json: bool) -> ExitCode {
    let (text, code) = match (load(config), json) {
        (Ok(plan), false) => (summary(&plan), ExitCode::SUCCESS),
        (Ok(_), true) => ("[]".to_owned(), ExitCode::SUCCESS),
        (Err(complaints), false) => (complaints.to_text(), ExitCode::FAILURE),
        (Err(complaints), true) => (complaints.to_json(), ExitCode::FAILURE),
    };
    match writeln!(io::stdout().lock(), "{text}") {
        // Whoever reads only the beginning (`head`) has had what they wanted.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => code,
    }
}

fn summary(plan: &Plan) -> String {
    let steered: usize = plan.zones.iter().map(|it| it.steered.len()).sum();
    let count =
        |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let (zones, names) = (count(plan.zones.len(), "zone"), count(steered, "steered name"));
    format!("ok: {zones}, {names}, {}", count(plan.probes.len(), "probe"))
}
