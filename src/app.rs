//! The running server: the parts put together, and their life.

use std::{path::Path, process::ExitCode};

/// Serves what `config` says until told to stop.
#[must_use]
pub fn serve(_config: &Path) -> ExitCode {
    ExitCode::FAILURE
}
