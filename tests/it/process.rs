//! Processes of a test: started with ports of their own, waited for, stopped by their id.
//!
//! *Not here:* what is said to them (each test).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    process::{Child, Command, ExitStatus},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long a process may take to start, to stop, or to do what a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The command under test, its output as chosen by the caller.
pub(crate) fn evenkeel() -> Command {
    Command::new(env!("CARGO_BIN_EXE_evenkeel"))
}

/// A child process that does not outlive its test.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child }
    }

    /// Its pipes, as the command asked for them.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours can be waited for")
    }

    /// How it ends, within [`PATIENCE`].
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("the process to end", || {
            status = self.ended();
            status.is_some()
        });
        status.expect("`until` returned, so it ended")
    }

    /// Its number.
    pub(crate) fn id(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("Linux numbers processes below 2^22"))
    }

    /// Sends it a signal. Not to its group: a server of several processes stops its own.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.id(), signal).expect("it is our child");
    }

    /// Ends it without a warning.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it is our child");
        self.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let ended = |child: &mut Child| matches!(child.try_wait(), Ok(Some(_)) | Err(_));
        if ended(&mut self.child) {
            return;
        }
        let _ = kill(self.id(), Signal::SIGTERM);
        if !holds_within(PATIENCE, || ended(&mut self.child)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Waits until `condition` holds, and fails the test when it does not within [`PATIENCE`].
#[track_caller]
pub(crate) fn until(what: &str, condition: impl FnMut() -> bool) {
    assert!(holds_within(PATIENCE, condition), "waited {PATIENCE:?} for {what}");
}

fn holds_within(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = evenkeel::clock::now() + patience;
    loop {
        if condition() {
            return true;
        }
        if deadline <= evenkeel::clock::now() {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// An address of this machine whose port is free for UDP and TCP, at this moment.
///
/// Another process may take it before ours does; the kernel hands out ports in a random order, so
/// that this is rare.
pub(crate) fn free_address() -> SocketAddr {
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    for _ in 0..32 {
        let free = || -> io::Result<SocketAddr> {
            let tcp = TcpListener::bind((ip, 0))?;
            UdpSocket::bind(tcp.local_addr()?)?;
            tcp.local_addr()
        };
        if let Ok(address) = free() {
            return address;
        }
    }
    panic!("no port is free for both UDP and TCP");
}
