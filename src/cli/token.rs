//! `evenkeel token`: tokens for callers of the API, and the lines by which a server knows them.
//!
//! Not here: how they are compared (`compile::keys`), and what each call takes (`api`).

use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::builder::NonEmptyStringValueParser;

use super::print;
use crate::{
    compile::keys::{Digest, Scope, line, may_add},
    dice,
};

/// What can be done with tokens.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Token {
    /// Print a new token, and the line for the server's `token_file`, which cannot be turned back into
    /// it.
    New(New),
}

/// A new token.
#[derive(Debug, clap::Args)]
pub(super) struct New {
    /// Whose it is: who has said what is set with it.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// What it is for: `read` asks; `operate` sets overrides and dials, and sends heartbeats and
    /// measurements, too; `admin` does everything.
    #[arg(long, value_name = "read|operate|admin")]
    scope: Scope,
    /// Add the line to this file, which is made if it is not there.
    #[arg(long, value_name = "FILE")]
    append: Option<PathBuf>,
}

/// Prints the token to stdout, once, and the line to stderr or into the file.
pub(super) fn new(New { name, scope, append }: &New) -> ExitCode {
    let octets = match append.as_deref().map(read).transpose() {
        Ok(octets) => octets.unwrap_or_default(),
        Err(why) => return refuse(append.as_deref(), &why),
    };
    if let Err(why) = may_add(&octets, name) {
        return refuse(append.as_deref(), &why);
    }
    let Some(secret) = dice::secret() else { return refuse(None, "the system gives no chance") };
    let mut token = "ek_".to_owned();
    for octet in secret {
        write!(token, "{octet:02x}").expect("a String takes everything");
    }
    let line = line(name, *scope, Digest::of(token.as_bytes()));
    match append {
        None => eprint!("{line}"),
        Some(path) => {
            if let Err(error) = add(path, &octets, &line) {
                return refuse(Some(path), &error.to_string());
            }
        }
    }
    print(&format!("{token}\n"))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(|error| error.to_string()),
    }
}

/// Puts a new file in the place of the old, so that no server reads half a line.
fn add(path: &Path, before: &[u8], line: &str) -> std::io::Result<()> {
    let end: &[u8] = if before.is_empty() || before.ends_with(b"\n") { b"" } else { b"\n" };
    let text = [before, end, line.as_bytes()].concat();
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut new = path.clone().into_os_string();
    new.push(".new");
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let written = file.write_all(&text).and_then(|()| {
        if let Ok(old) = fs::metadata(&path) {
            file.set_permissions(old.permissions())?;
        }
        file.sync_all()?;
        fs::rename(&new, &path)
    });
    written.inspect_err(|_| drop(fs::remove_file(&new)))
}

fn refuse(path: Option<&Path>, why: &str) -> ExitCode {
    match path {
        Some(path) => eprintln!("`{}`: {why}\nhint: choose another name or file", path.display()),
        None => eprintln!("{why}\nhint: choose another name"),
    }
    ExitCode::FAILURE
}
