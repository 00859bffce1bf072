//! Processes on the server's core, what they cost, and the reflector.

use std::{
    collections::HashMap,
    error::Error,
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, UdpSocket},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use evenkeel::{clock, serve::batch::Batch};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{Result, load::prepare};

/// The argument by which a bench is the reflector.
pub(crate) const REFLECTOR: &str = "as-reflector";

/// How long a server may take to end by itself.
const END_WAIT_MAX: Duration = Duration::from_secs(5);

/// Ports that are tried when others have one for UDP or TCP alone.
const ADDRESS_TRIES_MAX: usize = 32;

/// A process on the server's core; it ends with this value, and so do its children.
pub(crate) struct Server {
    pub(crate) process: Child,
    pub(crate) address: SocketAddr,
    /// Where it complains.
    log: Option<PathBuf>,
}

impl Server {
    /// This program again, as the reflector, which says where it listens.
    pub(crate) fn reflector() -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(REFLECTOR)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = process.stdout.take().ok_or("the output was asked for")?;
        BufReader::new(stdout).read_line(&mut line)?;
        Ok(Self { process, address: line.trim().parse()?, log: None })
    }

    /// `evenkeel serve` on a server file in which `{listen}` stands for its address.
    pub(crate) fn evenkeel(
        folder: &Path,
        server_file: &str,
        zones: &[(&str, &str)],
    ) -> Result<Self> {
        let address = free_address()?;
        let file = folder.join("evenkeel.yaml");
        fs::create_dir(folder.join("zones"))?;
        fs::write(&file, server_file.replace("{listen}", &address.to_string()))?;
        for (name, zone) in zones {
            fs::write(folder.join("zones").join(name), zone)?;
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
        command.args(["serve", "--config"]).arg(file).env("EVENKEEL_LOG", "warn");
        Self::start(&mut command, address, folder)
    }

    /// A program that will listen at `address`, and complain to a file in the folder.
    pub(crate) fn start(command: &mut Command, address: SocketAddr, folder: &Path) -> Result<Self> {
        let log = folder.join("log");
        let process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()
            .map_err(|error| format!("{command:?}: {error}"))?;
        Ok(Self { process, address, log: Some(log) })
    }

    /// What went wrong, and what it said itself.
    pub(crate) fn complaint(&self, what: &str) -> Box<dyn Error> {
        let log = self.log.as_ref().and_then(|it| fs::read_to_string(it).ok()).unwrap_or_default();
        format!("{what}\n{log}").trim_end().into()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let family = family(self.process.id()).unwrap_or_default();
        // It may have ended by itself; then there is nothing to end.
        signal(self.process.id(), Signal::SIGTERM);
        let end = clock::now() + END_WAIT_MAX;
        while clock::now() < end && matches!(self.process.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(5));
        }
        if matches!(self.process.try_wait(), Ok(None)) {
            for id in family {
                signal(id, Signal::SIGKILL);
            }
            let _ = self.process.wait();
        }
    }
}

fn signal(process: u32, signal: Signal) {
    let process = i32::try_from(process).expect("Linux numbers processes below 2^22");
    // What has ended needs no signal.
    let _ = kill(Pid::from_raw(process), signal);
}

/// An address of this machine whose port is free for UDP and TCP, at this moment: the kernel does not
/// soon choose the same for another.
pub(crate) fn free_address() -> Result<SocketAddr> {
    for _ in 0..ADDRESS_TRIES_MAX {
        let tcp = TcpListener::bind("127.0.0.1:0")?;
        let address = tcp.local_addr()?;
        if UdpSocket::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err("no port is free for both UDP and TCP".into())
}

/// CPU time of a process and its children, all threads of each, with what the kernel did for them,
/// in nanoseconds: the first number of each `schedstat`.
pub(crate) fn cpu_ns(process: &Child) -> Result<u64> {
    let mut sum = 0;
    for id in family(process.id())? {
        for task in fs::read_dir(format!("/proc/{id}/task"))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            sum += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
    }
    Ok(sum)
}

/// Memory of a process that is in use, in KiB.
pub(crate) fn resident_kib(process: &Child) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let value = line.ok_or("no such line")?.trim().trim_end_matches(" kB");
    Ok(value.parse()?)
}

/// A process and those that descend from it.
pub(crate) fn family(process: u32) -> Result<Vec<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(id) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
        // It may have ended since the folder was read.
        let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else { continue };
        // After the name, which may hold anything: the state, and the parent.
        let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1));
        children.entry(parent.ok_or("no parent")?.parse()?).or_default().push(id);
    }
    let mut family = vec![process];
    let mut idx = 0;
    while let Some(id) = family.get(idx) {
        family.extend(children.remove(id).unwrap_or_default());
        idx += 1;
    }
    Ok(family)
}

/// Receives a batch, sets QR, sends it back.
pub(crate) fn reflect() -> Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    prepare(&socket)?;
    announce(socket.local_addr()?)?;
    let mut batch = Batch::new();
    loop {
        for idx in 0..batch.receive(socket.as_fd())? {
            let slot = batch.slot(idx);
            let len = slot.question.len().min(slot.reply.len());
            slot.reply[..len].copy_from_slice(&slot.question[..len]);
            slot.reply[2] |= 0x80;
            batch.queue(idx, len);
        }
        if 0 < batch.send(socket.as_fd()) {
            return Err("the kernel did not take a reply".into());
        }
    }
}

fn announce(address: SocketAddr) -> Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{address}")?;
    Ok(stdout.flush()?)
}
