//! `evenkeel query`.

use std::process::ExitCode;

/// One question.
#[derive(Debug, clap::Args)]
pub(super) struct Query {}

pub(super) fn run(_query: &Query) -> ExitCode {
    ExitCode::FAILURE
}
