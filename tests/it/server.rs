//! A running `evenkeel serve`: its files in a folder of its own, its log read line by line.
//!
//! *Not here:* what it is asked (each test).

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use hickory_proto::{
    op::Message,
    rr::{DNSClass, Name, RecordType},
};
use nix::sys::signal::Signal;

use crate::process::{PATIENCE, Process, evenkeel, until};

/// A server that is ready, with files that a test may change.
pub(crate) struct Server {
    process: Process,
    pub(crate) address: SocketAddr,
    /// Where the API is, if the files want one.
    pub(crate) api: Option<SocketAddr>,
    folder: Arc<tempfile::TempDir>,
    log: Arc<Mutex<Vec<String>>>,
    /// Reads the log, to its end.
    reading: JoinHandle<()>,
}

impl Server {
    /// Writes `files` (name and text; one is `evenkeel.yaml`), starts the server and waits until it
    /// is ready.
    pub(crate) fn start(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        for (name, text) in files {
            write(&folder.path().join(name), text);
        }
        Self::start_in(Arc::new(folder))
    }

    /// Starts a server on the files of another, which may be gone.
    pub(crate) fn start_in(folder: Arc<tempfile::TempDir>) -> Self {
        let mut server = Self::begin(folder, &[]);
        server.get_ready();
        server
    }

    /// Starts a server by a command of ours to which something was added.
    pub(crate) fn start_by(command: Command, folder: Arc<tempfile::TempDir>) -> Self {
        let mut server = Self::begin_by(command, folder, &[]);
        server.get_ready();
        server
    }

    /// A server that takes the place of this one, which is about to end.
    pub(crate) fn take_over(&self) -> Self {
        let mut server = Self::begin(Arc::clone(&self.folder), &["--takeover"]);
        server.get_ready();
        server
    }

    /// Starts a server, with more `arguments`, that may not get ready.
    pub(crate) fn begin(folder: Arc<tempfile::TempDir>, arguments: &[&str]) -> Self {
        Self::begin_by(evenkeel(), folder, arguments)
    }

    fn begin_by(mut command: Command, folder: Arc<tempfile::TempDir>, arguments: &[&str]) -> Self {
        let config = folder.path().join("evenkeel.yaml");
        command.args(["serve", "--config"]).arg(config).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = Process::start(&mut command);
        let log = Arc::new(Mutex::new(Vec::new()));
        let stderr = process.child().stderr.take().expect("it is piped");
        let reading = std::thread::spawn({
            let log = Arc::clone(&log);
            move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                }
            }
        });
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { process, address, api: None, folder, log, reading }
    }

    /// Waits until it is ready.
    pub(crate) fn get_ready(&mut self) {
        let server = self;
        let ready = server.wait_for_log(" ready ", 0);
        let address = field(&ready, "listen").trim_matches(['[', ']']);
        server.address = address.split(',').next().unwrap().parse().expect(&ready);
        if ready.contains(" api=") {
            server.api = Some(field(&ready, "api").parse().expect(&ready));
        }
    }

    /// Its files.
    pub(crate) fn folder(&self) -> Arc<tempfile::TempDir> {
        Arc::clone(&self.folder)
    }

    /// Replaces a file as an editor does: by renaming a new one over it.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        let new = path.with_extension("new");
        write(&new, text);
        std::fs::rename(new, path).expect("both are in one folder");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The lines logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a log line with `text` behind the first `skip` lines.
    #[track_caller]
    pub(crate) fn wait_for_log(&mut self, text: &str, skip: usize) -> String {
        let mut found = None;
        until(&format!("`{text}` in the log"), || {
            // What it said last may be read after its end.
            let is_over = self.process.ended().is_some() && self.reading.is_finished();
            found = self.log().into_iter().skip(skip).find(|line| line.contains(text));
            assert!(found.is_some() || !is_over, "the server ended:\n{}", self.log().join("\n"));
            found.is_some()
        });
        found.expect("`until` returned, so it was found")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// The process.
    pub(crate) fn id(&mut self) -> u32 {
        self.process.child().id()
    }

    /// How it ends.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.wait()
    }

    /// Stops it with SIGTERM and gives how it ended and what it counted.
    pub(crate) fn stop(mut self) -> (ExitStatus, String) {
        self.signal(Signal::SIGTERM);
        let status = self.process.wait();
        let stopped = self.wait_for_log(" stopped", 0);
        (status, stopped)
    }

    /// Ends it without a warning, and gives its files to the next.
    pub(crate) fn kill(self) -> Arc<tempfile::TempDir> {
        self.process.kill();
        self.folder
    }

    /// Asks one question over UDP.
    #[track_caller]
    pub(crate) fn ask(&self, name: &str, rtype: RecordType) -> Message {
        self.ask_packet(&question(name, rtype))
    }

    /// What it answers to these bytes over UDP.
    pub(crate) fn ask_packet(&self, packet: &[u8]) -> Message {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
        socket.connect(self.address).expect("loopback can be reached");
        socket.set_read_timeout(Some(PATIENCE)).expect("it is not zero");
        socket.send(packet).expect("loopback takes it");
        let mut reply = [0; 4096];
        let len = socket.recv(&mut reply).expect("every question is answered");
        Message::from_vec(&reply[..len]).expect("a reply is DNS")
    }

    /// A connection to ask over.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("loopback can be reached");
        stream.set_read_timeout(Some(PATIENCE)).expect("it is not zero");
        stream.set_write_timeout(Some(PATIENCE)).expect("it is not zero");
        stream.set_nodelay(true).expect("it is a TCP socket");
        stream
    }
}

/// The bytes of a question without EDNS; its id is 0.
pub(crate) fn question(name: &str, rtype: RecordType) -> Vec<u8> {
    let mut message = Message::query();
    message.metadata.id = 0;
    let name = Name::from_ascii(name).expect("names in tests are names");
    let mut query = hickory_proto::op::Query::query(name, rtype);
    query.set_query_class(DNSClass::IN);
    message.add_query(query);
    message.to_vec().expect("a question can be encoded")
}

/// The bytes of a question that names the client's network.
pub(crate) fn question_of(name: &str, rtype: RecordType, [a, b, c]: [u8; 3]) -> Vec<u8> {
    let mut packet = question(name, rtype);
    packet[11] = 1;
    // OPT (RFC 6891), with a client subnet (RFC 7871 section 6).
    packet.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 11, 0, 8, 0, 7, 0, 1, 24, 0, a, b, c]);
    packet
}

/// The value of a field in a log line: `name=value`, up to the next field.
pub(crate) fn field<'l>(line: &'l str, name: &str) -> &'l str {
    let begin = line.find(&format!(" {name}=")).unwrap_or_else(|| panic!("no {name} in: {line}"));
    let value = &line[begin + name.len() + 2..];
    if let Some(list) = value.strip_prefix('[') {
        return &value[..list.find(']').expect("a list ends") + 2];
    }
    value.split(' ').next().expect("split gives at least one")
}

fn write(path: &Path, text: &str) {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).expect("the folder can be made");
    }
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// How long a bound of the design may be exceeded by a busy machine before a test calls it broken.
pub(crate) const SLACK: Duration = Duration::from_secs(1);
