//! `exec`: a command says by its exit status whether all is well.
//!
//! ```text
//!   a place -> spawn, a process group of its own -> read what it writes -> exit status
//!                                                                      \-> the group is killed
//! ```
//!
//! # Invariants
//!
//! - Never a shell, unless the operator's `argv` begins with one.
//! - At most `PROBE_COMMANDS_MAX` at one time, and each writes no more than
//!   `PROBE_COMMAND_OUTPUT_LEN_MAX` octets.
//! - Whatever ends the execution, what the command started and left in its process group is killed
//!   with it, and the command is reaped.
//! - The environment holds what is listed here and nothing of the server's own, such as a token.
//!
//! *Not here:* where a program of a relative path is (`compile`).

use std::{
    io,
    os::fd::OwnedFd,
    process::{ExitStatus, Stdio},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    net::unix::pipe,
    process::{Child, Command},
    sync::Semaphore,
};

use super::{Why, said};
use crate::{
    health::{Exec, ProbeSpec, Target},
    limits::{PROBE_COMMAND_OUTPUT_LEN_MAX, PROBE_COMMANDS_MAX, PROBE_READ_LEN},
};

/// Of the server's environment, what a command gets.
const PASSED_ON: [&str; 5] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR"];

/// Runs the command and judges its exit status.
pub(super) async fn run(spec: &ProbeSpec, exec: &Exec) -> Result<(), Why> {
    static PLACES: Semaphore = Semaphore::const_new(PROBE_COMMANDS_MAX);

    let _place = PLACES.acquire().await.map_err(|_| Why::Broken)?;
    let (mut group, output) = spawn(spec, exec).map_err(|error| {
        let program = exec.argv.first().map_or("", |it| &**it);
        Why::Exec(format!("`{program}` cannot be run: {}", error.kind()).into())
    })?;
    let mut written = Vec::new();
    let status = loop {
        tokio::select! {
            status = group.0.wait() => break status.map_err(|_| Why::Broken)?,
            readable = output.readable() => {
                readable.map_err(|_| Why::Broken)?;
                if !take(&output, &mut written)? {
                    // It closed its output, and may go on without.
                    break group.0.wait().await.map_err(|_| Why::Broken)?;
                }
            }
        }
    };
    take(&output, &mut written)?;
    judge(status, &written)
}

/// A command and what it started.
struct Group(Child, Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        // The group has the number of its first process. The kernel does not give that number away
        // while the group has a member; when it has none, there is nobody to be killed.
        if let Some(id) = self.1 {
            let _ = killpg(id, Signal::SIGKILL);
        }
        // The child is reaped by tokio, which keeps those that were dropped alive in mind.
    }
}

fn spawn(spec: &ProbeSpec, exec: &Exec) -> io::Result<(Group, pipe::Receiver)> {
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(exec.argv.first().map_or("", |it| &**it));
    command.args(exec.argv.iter().skip(1).map(|it| &**it));
    command.env_clear();
    let passed_on = PASSED_ON.into_iter().filter_map(|key| Some((key, std::env::var_os(key)?)));
    command.envs(passed_on);
    let address = match &spec.target {
        Target::Address(address) => address.to_string(),
        Target::Host(host) => host.to_string(),
    };
    command.env("EVENKEEL_ADDRESS", address);
    if spec.port != 0 {
        command.env("EVENKEEL_PORT", spec.port.to_string());
    }
    command.env("EVENKEEL_TIMEOUT_MS", spec.timeout.as_millis().to_string());
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    command.process_group(0).kill_on_drop(true);
    let child = command.spawn()?;
    // Our ends of the pipe for writing are held by `command`.
    drop(command);
    let id = child.id().and_then(|it| i32::try_from(it).ok()).map(Pid::from_raw);
    let group = Group(child, id);
    Ok((group, pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?))
}

/// Takes what was written, and says whether there may be more.
fn take(output: &pipe::Receiver, written: &mut Vec<u8>) -> Result<bool, Why> {
    loop {
        let mut part = [0; PROBE_READ_LEN];
        match output.try_read(&mut part) {
            Ok(0) => return Ok(false),
            Ok(len) => written.extend_from_slice(&part[..len]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(_) => return Err(Why::Broken),
        }
        if PROBE_COMMAND_OUTPUT_LEN_MAX < written.len() {
            return Err(Why::Exec("the command writes too much".into()));
        }
    }
}

fn judge(status: ExitStatus, written: &[u8]) -> Result<(), Why> {
    if status.success() {
        return Ok(());
    }
    let how = match status.code() {
        Some(code) => format!("exit status {code}"),
        None => "ended by a signal".to_owned(),
    };
    let words = said(written);
    let why = if words.is_empty() { how } else { format!("{how}: {words}") };
    Err(Why::Exec(why.into()))
}
