//! The three servers, each started on the same zones and asked in the same way.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use super::{ZONES, question::Question, said::Said};
use crate::process::{Process, evenkeel, free_address, until};

/// How long a reply may take before the question is sent again.
const REPLY_WAIT_MAX: Duration = Duration::from_secs(2);

/// Times a question is sent before its server counts as silent.
const TRIES_MAX: usize = 3;

/// How a question is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Via {
    Udp,
    UdpEdns,
    Tcp,
}

/// A running server.
pub(super) struct Peer {
    name: &'static str,
    address: SocketAddr,
    udp: UdpSocket,
    tcp: Option<TcpStream>,
    process: Process,
}

impl Peer {
    pub(super) fn nsd(folder: &Path) -> Self {
        let address = free_address();
        let folder = folder.join("nsd");
        fs::create_dir(&folder).unwrap();
        let dir = folder.display();
        let zonesdir = zone_folder();
        let mut text = format!(
            "server:\n  ip-address: {}@{}\n  server-count: 1\n  username: \"\"\n  chroot: \"\"\n  \
             zonesdir: \"{}\"\n  database: \"\"\n  pidfile: \"\"\n  xfrdfile: \"\"\n  \
             xfrdir: \"{dir}\"\n  zonelistfile: \"{dir}/zone.list\"\n  refuse-any: no\n  \
             minimal-responses: no\n  rrl-ratelimit: 0\nremote-control:\n  control-enable: no\n",
            address.ip(),
            address.port(),
            zonesdir.display(),
        );
        text.extend(ZONES.map(|zone| format!("zone:\n  name: {zone}\n  zonefile: {zone}.zone\n")));
        let config = folder.join("nsd.conf");
        fs::write(&config, text).unwrap();
        Self::start("NSD", address, program("nsd").arg("-d").arg("-c").arg(config))
    }

    pub(super) fn knot(folder: &Path) -> Self {
        let address = free_address();
        let folder = folder.join("knot");
        fs::create_dir(&folder).unwrap();
        let dir = folder.display();
        let storage = zone_folder();
        let mut text = format!(
            "server:\n  rundir: \"{dir}\"\n  listen: {}@{}\n  udp-workers: 1\n  tcp-workers: 1\n  \
             background-workers: 1\nlog:\n  - target: stderr\n    any: warning\n\
             database:\n  storage: \"{dir}\"\ntemplate:\n  - id: default\n    storage: \"{}\"\n    \
             file: \"%s.zone\"\n    zonefile-sync: -1\n    journal-content: none\nzone:\n",
            address.ip(),
            address.port(),
            storage.display(),
        );
        text.extend(ZONES.map(|zone| format!("  - domain: {zone}\n")));
        let config = folder.join("knot.conf");
        fs::write(&config, text).unwrap();
        Self::start("Knot", address, program("knotd").arg("-c").arg(config))
    }

    pub(super) fn evenkeel(folder: &Path) -> Self {
        let address = free_address();
        let zones = ZONES.map(|zone| zone_folder().join(format!("{zone}.zone")));
        let config = folder.join("evenkeel.yaml");
        let text = format!("version: 1\nlisten: [\"{address}\"]\nzones: {zones:?}\n");
        fs::write(&config, text).unwrap();
        Self::start("evenkeel", address, evenkeel().arg("serve").arg("--config").arg(config))
    }

    fn start(name: &'static str, address: SocketAddr, command: &mut Command) -> Self {
        let udp = UdpSocket::bind((address.ip(), 0)).unwrap();
        udp.connect(address).unwrap();
        udp.set_read_timeout(Some(REPLY_WAIT_MAX)).unwrap();
        // What a server says goes where the test's own output goes.
        let process = Process::start(command.stdin(Stdio::null()).stdout(Stdio::null()));
        let mut peer = Self { name, address, udp, tcp: None, process };
        let questions = ZONES.map(Question::apex);
        until(name, || {
            assert!(peer.process.ended().is_none(), "{name} does not run");
            questions.iter().all(|question| peer.is_ready(question))
        });
        peer
    }

    fn is_ready(&mut self, question: &Question) -> bool {
        let said = self.exchange(&question.to_wire(true), Via::Tcp).map(|it| Said::read(&it));
        said.is_ok_and(|said| !said.answer.is_empty())
    }

    /// The reply to `question`.
    pub(super) fn ask(&mut self, question: &Question, via: Via) -> Said {
        let packet = question.to_wire(via != Via::Udp);
        let mut failure = None;
        for _ in 0..TRIES_MAX {
            match self.exchange(&packet, via) {
                Ok(reply) => {
                    let head = question.echoed_len();
                    assert!(
                        reply.get(12..head) == packet.get(12..head),
                        "{} does not repeat the question {question} as it was",
                        self.name
                    );
                    return Said::read(&reply);
                }
                Err(error) => failure = Some(error),
            }
        }
        panic!("{} does not answer {question} by {via:?}: {failure:?}", self.name)
    }

    fn exchange(&mut self, packet: &[u8], via: Via) -> io::Result<Vec<u8>> {
        match via {
            Via::Udp | Via::UdpEdns => self.exchange_udp(packet),
            Via::Tcp => {
                let result = self.exchange_tcp(packet);
                if result.is_err() {
                    self.tcp = None;
                }
                result
            }
        }
    }

    fn exchange_udp(&self, packet: &[u8]) -> io::Result<Vec<u8>> {
        self.udp.send(packet)?;
        let mut reply = vec![0; 65_535];
        loop {
            let len = self.udp.recv(&mut reply)?;
            // A late reply to a question before this one is passed over.
            if reply[..len].starts_with(&packet[..2]) {
                reply.truncate(len);
                return Ok(reply);
            }
        }
    }

    fn exchange_tcp(&mut self, packet: &[u8]) -> io::Result<Vec<u8>> {
        let stream = match &mut self.tcp {
            Some(stream) => stream,
            none => {
                let stream = TcpStream::connect(self.address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(REPLY_WAIT_MAX))?;
                none.insert(stream)
            }
        };
        let len = u16::try_from(packet.len()).expect("a question is short");
        stream.write_all(&[&len.to_be_bytes(), packet].concat())?;
        let mut len = [0; 2];
        stream.read_exact(&mut len)?;
        let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
        stream.read_exact(&mut reply)?;
        Ok(reply)
    }
}

fn zone_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")
}

/// A server program; Debian keeps them where not everybody's path leads.
fn program(name: &str) -> Command {
    let installed = Path::new("/usr/sbin").join(name);
    Command::new(if installed.exists() { installed } else { name.into() })
}
