//! A server from its start to its first answer, and its memory.

use std::{
    fs, net::SocketAddr, net::UdpSocket, path::Path, process::Command, thread, time::Duration,
};

use evenkeel::clock;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::common::{
    Result,
    server::{Server, family},
};

/// How long a server may take to answer for the first time.
const START_WAIT_MAX: Duration = Duration::from_mins(2);

/// Between two questions while it starts.
const ASK_EVERY: Duration = Duration::from_millis(2);

/// Megabytes of memory.
#[derive(Clone, Copy)]
pub(super) struct Memory {
    /// Of all processes, what is shared counted once.
    pub(super) now: f64,
    /// The sum of what each had at its highest.
    pub(super) highest: f64,
}

impl Memory {
    /// That of a server and of its children.
    pub(super) fn of(server: &Server) -> Result<Self> {
        let mut memory = Self { now: 0.0, highest: 0.0 };
        for id in family(server.process.id())? {
            memory.now += kilobytes(&format!("/proc/{id}/smaps_rollup"), "Pss:")? / 1024.0;
            memory.highest += kilobytes(&format!("/proc/{id}/status"), "VmHWM:")? / 1024.0;
        }
        Ok(memory)
    }
}

/// Starts a server and waits for its first answer; says how long that took.
pub(super) fn start(
    command: &mut Command,
    address: SocketAddr,
    folder: &Path,
    question: &[u8],
) -> Result<(Server, Duration)> {
    let began = clock::now();
    let mut server = Server::start(command, address, folder)?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(ASK_EVERY))?;
    while answer(&socket, question).is_none() {
        if let Some(status) = server.process.try_wait()? {
            return Err(server.complaint(&format!("{command:?} ended: {status}")));
        }
        if START_WAIT_MAX < clock::now() - began {
            return Err(server.complaint(&format!("{command:?} does not answer")));
        }
        thread::sleep(ASK_EVERY);
    }
    Ok((server, clock::now() - began))
}

/// Has a server read its files anew.
pub(super) fn hang_up(server: &Server) -> Result<()> {
    Ok(kill(Pid::from_raw(i32::try_from(server.process.id())?), Signal::SIGHUP)?)
}

fn kilobytes(path: &str, key: &str) -> Result<f64> {
    let text = fs::read_to_string(path)?;
    let value = text.lines().find_map(|line| line.strip_prefix(key)).ok_or("no such line")?;
    Ok(value.trim().trim_end_matches(" kB").parse()?)
}

/// The address that a question is answered with; none when there is no answer in time, or none in
/// the reply.
pub(super) fn answer(socket: &UdpSocket, question: &[u8]) -> Option<[u8; 4]> {
    socket.send(question).ok()?;
    let mut reply = [0; 2048];
    let len = socket.recv(&mut reply).ok()?;
    let is_answer = reply[3] % 16 == 0 && 0 < reply[7];
    // The question ends with an OPT record of 11 octets; the answer begins with 12 before the data.
    let at = question.len() - 11 + 12;
    let data = reply[..len].get(at..at + 4)?;
    is_answer.then(|| data.try_into().expect("four octets"))
}
