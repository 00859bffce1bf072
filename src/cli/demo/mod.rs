//! `evenkeel demo`: three regions, a server and a client on this machine, to be failed and restored.
//!
//! ```text
//!   regions (HTTP servers)  <--probes--  evenkeel serve  <--questions--  client --> what is shown
//!        ^                                    ^
//!        | fail, restore                      | files in a temporary folder
//!      a person: commands on stdin, an editor, dig in another terminal
//! ```
//!
//! Nothing is pretended: the server is the `serve` of this same program with the files of
//! `examples/three-regions/`, a region that fails stops listening and drops its connections, and
//! what is shown is what the server answered to real questions.
//!
//! *Not here:* a rehearsal with a hypothesis and a report (drills).

mod client;
mod region;
mod server;
mod view;

use std::{
    io::{self, BufRead as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    process::ExitCode,
    sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    thread,
};

use client::{Client, Seen};
use region::Region;
use server::{Server, Site};
use view::View;

use crate::{
    clock,
    limits::{DEMO_EVERY, DEMO_START_WAIT_MAX, DEMO_TRIES_MAX},
};

/// The steered name of the example.
const NAME: &str = "www.example.com";

/// The ports that the demo's server takes for questions and for its page, when nobody else has them.
const PORT_PREFERRED: u16 = 5300;
const API_PORT_PREFERRED: u16 = 8053;

/// What the demo waits for.
enum Event {
    /// A line was typed.
    Line(String),
    /// Ctrl-C, or SIGTERM.
    Stop,
}

/// What a typed line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Command<'a> {
    Fail(&'a str),
    Restore(&'a str),
    Status,
    Help,
    Quit,
    Nothing,
}

pub(super) fn run() -> ExitCode {
    match demo() {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has gone: nothing is wrong with the demo.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn demo() -> io::Result<()> {
    let events = events()?;
    let mut regions = region::start_all()?;
    let address = free_address(PORT_PREFERRED)?;
    let api = free_address(API_PORT_PREFERRED)?;
    let site = Site::write(address, api, regions[0].address().port())?;
    let mut server = Server::start(&site)?;
    let client = Client::new(address, NAME)?;
    if !wait_for_answers(&client, &mut server, &events)? {
        return Ok(());
    }
    let mut view = View::new(NAME);
    view.introduce(&site, address, api, &regions)?;
    loop {
        server.check()?;
        view.tell(&server.news())?;
        view.show(&client.ask_many(&regions)?, &regions)?;
        let line = match events.recv_timeout(DEMO_EVERY) {
            Ok(Event::Line(line)) => line,
            Ok(Event::Stop) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => unreachable!("the signal thread never ends"),
        };
        match parse(&line) {
            Ok(Command::Quit) => return Ok(()),
            Ok(command) => obey(&command, &mut regions, &mut view)?,
            Err(complaint) => eprintln!("{complaint}"),
        }
    }
}

fn obey(command: &Command, regions: &mut [Region], view: &mut View) -> io::Result<()> {
    match command {
        Command::Fail(name) => {
            let Some(region) = named(regions, name) else { return Ok(()) };
            region.fail();
            view.begin(&format!("fail {name}"))
        }
        Command::Restore(name) => {
            let Some(region) = named(regions, name) else { return Ok(()) };
            region.restore()?;
            view.begin(&format!("restore {name}"))
        }
        Command::Status => {
            view.ask();
            Ok(())
        }
        Command::Help => view::help(regions),
        Command::Quit | Command::Nothing => Ok(()),
    }
}

/// The region of that name; without one, the person is told so.
fn named<'a>(regions: &'a mut [Region], name: &str) -> Option<&'a mut Region> {
    let idx = regions.iter().position(|region| region.name() == name);
    if idx.is_none() {
        let names: Vec<_> = regions.iter().map(Region::name).collect();
        eprintln!("error: no region `{name}`\nhint: the regions are {}", names.join(", "));
    }
    idx.map(|idx| &mut regions[idx])
}

fn parse(line: &str) -> Result<Command<'_>, String> {
    let words: Vec<_> = line.split_whitespace().collect();
    match words[..] {
        [] => Ok(Command::Nothing),
        ["fail", region] => Ok(Command::Fail(region)),
        ["restore", region] => Ok(Command::Restore(region)),
        ["status"] => Ok(Command::Status),
        ["help"] => Ok(Command::Help),
        ["quit" | "exit"] => Ok(Command::Quit),
        _ => Err(format!(
            "error: `{}` is not a command\nhint: fail REGION, restore REGION, status, help, quit",
            line.trim()
        )),
    }
}

/// Waits for the first answer; false: the demo was told to stop.
fn wait_for_answers(
    client: &Client,
    server: &mut Server,
    events: &Receiver<Event>,
) -> io::Result<bool> {
    let end = clock::now() + DEMO_START_WAIT_MAX;
    while clock::now() < end {
        server.check()?;
        if matches!(client.ask()?, Seen::Address { .. }) {
            return Ok(true);
        }
        if let Ok(Event::Stop) = events.recv_timeout(DEMO_EVERY / 10) {
            return Ok(false);
        }
    }
    Err(io::Error::other(format!("the server does not answer; its log:\n{}", server.log())))
}

/// Starts the threads that wait for a person and for a signal.
fn events() -> io::Result<Receiver<Event>> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let lines = sender.clone();
    // Neither thread is joined: they wait for what may never come, and end with the process.
    thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        // Where stdin is closed, or not a terminal, the demo goes on until a signal.
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if lines.send(Event::Line(line)).is_err() {
                return;
            }
        }
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || runtime.block_on(forward_signals(&sender)))?;
    Ok(receiver)
}

async fn forward_signals(events: &SyncSender<Event>) {
    use tokio::signal::unix::{SignalKind, signal};

    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without handlers the signals end the process by themselves.
        return std::future::pending().await;
    };
    loop {
        tokio::select! {
            _ = interrupt.recv() => (),
            _ = terminate.recv() => (),
        }
        // This thread has nothing else to do than to wait until the event is taken.
        if events.send(Event::Stop).is_err() {
            return;
        }
    }
}

/// Where the server is to listen: the port has to be free for UDP and TCP.
fn free_address(preferred: u16) -> io::Result<SocketAddr> {
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let free = |port| -> io::Result<SocketAddr> {
        let tcp = TcpListener::bind((ip, port))?;
        UdpSocket::bind(tcp.local_addr()?)?;
        tcp.local_addr()
    };
    // Port 0 lets the kernel choose for TCP, which may be taken for UDP.
    let ports = std::iter::once(preferred).chain(std::iter::repeat_n(0, DEMO_TRIES_MAX));
    let mut result = Err(io::ErrorKind::AddrInUse.into());
    for port in ports {
        result = free(port);
        if result.is_ok() {
            break;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_commands() {
        assert_eq!(parse("fail us-east-1"), Ok(Command::Fail("us-east-1")));
        assert_eq!(parse("  restore   us-east-1 "), Ok(Command::Restore("us-east-1")));
        assert_eq!(parse("status"), Ok(Command::Status));
        assert_eq!(parse(""), Ok(Command::Nothing));
        assert!(parse("fail").unwrap_err().contains("hint:"));
        assert!(parse("drop tables").unwrap_err().contains("`drop tables`"));
    }
}
