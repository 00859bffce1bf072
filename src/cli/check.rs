//! `evenkeel check`.

use std::{path::Path, process::ExitCode};

pub(super) fn run(_config: &Path, _json: bool) -> ExitCode {
    ExitCode::FAILURE
}
