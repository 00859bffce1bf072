//! What an answer costs: CPU time per question of Evenkeel and of a bare reflector, side by side.
//!
//! ```text
//!   core 0                                core 1
//!   reflector  (this program again)   <-\
//!   evenkeel serve                    <--  the load: a window of questions in flight, a new one
//!                                          for each reply
//! ```
//!
//! The reflector does the same system calls as a packet thread and nothing else: it sets QR and
//! sends back what came. It is the floor on this machine, and the ratio to it is what may be
//! compared between machines. Rounds are interleaved, so that what disturbs one disturbs all, and
//! a ratio is taken within its round.
//!
//! CPU time is that of all threads of the process (`schedstat`), with what the kernel does for it.
//!
//! ```text
//! cargo bench --bench cost -- [--json] [--rounds N]
//! ```

use std::{
    error::Error,
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, UdpSocket},
    os::fd::AsFd,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use evenkeel::{
    clock,
    limits::UDP_WAIT_MAX,
    serve::{batch, batch::Batch},
};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use serde_json::json;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Questions in flight. More than a batch at either end, so that the slower end always has one.
const WINDOW: usize = 256;

/// Load before a measurement, so that caches and clocks are as they will be.
const WARM_UP: Duration = Duration::from_millis(200);

/// Load of a measurement.
const MEASURE: Duration = Duration::from_secs(1);

const ROUNDS: usize = 7;

const SERVER_CORE: usize = 0;
const LOAD_CORE: usize = 1;

/// Octets of the kernel's buffer at the load's end.
const RECEIVE_BUFFER_LEN: usize = 8 << 20;

/// How long a server may take to answer for the first time.
const READY_TRIES_MAX: usize = 50;

const SERVER_FILE: &str = "\
version: 1
listen: [\"{listen}\"]
zones: zones/
regions:
  us: { at: aws/us-east-1 }
  eu: { at: aws/eu-west-1 }
  ap: { at: aws/ap-northeast-1 }
";

const ZONE_FILE: &str = "\
zone: bench.example
ttl: 1h
soa: { primary: ns1, contact: hostmaster@example.com, serial: 1 }
records:
  \"@\": { NS: ns1 }
  ns1: { A: 192.0.2.53 }
  fixed: { A: 192.0.2.1 }
  weighted:
    ttl: 20s
    steer:
      pools:
        us: { weight: 60, A: 192.0.2.10 }
        eu: { weight: 30, A: 192.0.2.20 }
        ap: { weight: 10, A: 192.0.2.30 }
  placed:
    ttl: 20s
    steer:
      by: distance
      slack: 5000km
      pools:
        us: { weight: 60, A: 192.0.2.10 }
        eu: { weight: 30, A: 192.0.2.20 }
        ap: { weight: 10, A: 192.0.2.30 }
";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|it| it == flag);
    if arguments.first().is_some_and(|it| it == "as-reflector") {
        return reflect();
    }
    let rounds = match arguments.iter().position(|it| it == "--rounds") {
        Some(at) => arguments.get(at + 1).ok_or("--rounds takes a number")?.parse()?,
        None => ROUNDS,
    };
    let report = run(rounds)?;
    if has("--json") { report.print_json() } else { report.print_table() }
}

/// A server, and what it is asked.
struct Subject {
    name: &'static str,
    server: usize,
    question: Vec<u8>,
    /// Whether a reply has to hold an answer; the reflector's holds none.
    answers: bool,
    /// Nanoseconds of CPU per question, round by round.
    costs: Vec<f64>,
    /// Questions per second, round by round.
    rates: Vec<f64>,
}

fn run(rounds: usize) -> Result<Report> {
    pin(SERVER_CORE)?;
    let folder = tempfile::tempdir()?;
    let evenkeel = serve(folder.path())?;
    let servers = [again("as-reflector")?, evenkeel];
    pin(LOAD_CORE)?;
    let subject = |name, server, question, answers| Subject {
        name,
        server,
        question,
        answers,
        costs: vec![],
        rates: vec![],
    };
    let mut subjects = [
        subject("reflector", 0, question("weighted.bench.example"), false),
        subject("fixed", 1, question("fixed.bench.example"), true),
        subject("weighted", 1, question("weighted.bench.example"), true),
        subject("fixed, ECS", 1, with_subnet(question("fixed.bench.example")), true),
        subject("placed, ECS", 1, with_subnet(question("placed.bench.example")), true),
    ];
    for subject in &subjects {
        wait_until_ready(&servers[subject.server], subject)?;
    }
    for _ in 0..rounds {
        for subject in &mut subjects {
            measure(&servers[subject.server], subject)?;
        }
    }
    Ok(Report { subjects })
}

// ---- Servers ----

/// A process on the server's core; it ends with this value.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// This program as one of the servers, which says where it listens.
fn again(role: &str) -> Result<Server> {
    let mut process =
        Command::new(std::env::current_exe()?).arg(role).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    let stdout = process.stdout.take().ok_or("the output was asked for")?;
    BufReader::new(stdout).read_line(&mut line)?;
    Ok(Server { process, address: line.trim().parse()? })
}

/// `evenkeel serve` with a fixed and a weighted name.
fn serve(folder: &Path) -> Result<Server> {
    // Bound and let go: the kernel does not soon choose the same port for another.
    let address = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
    let file = folder.join("evenkeel.yaml");
    fs::create_dir(folder.join("zones"))?;
    fs::write(&file, SERVER_FILE.replace("{listen}", &address.to_string()))?;
    fs::write(folder.join("zones/bench.example.yaml"), ZONE_FILE)?;
    let process = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .args(["serve", "--config"])
        .arg(file)
        .env("EVENKEEL_LOG", "warn")
        .stdout(Stdio::null())
        .spawn()?;
    Ok(Server { process, address })
}

/// Receives a batch, sets QR, sends it back.
fn reflect() -> Result<()> {
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

// ---- The load ----

/// An A question with EDNS, as resolvers ask.
fn question(name: &str) -> Vec<u8> {
    let mut question = b"\0\0\0\0\0\x01\0\0\0\0\0\x01".to_vec();
    for label in name.split('.') {
        question.push(u8::try_from(label.len()).expect("the labels above are short"));
        question.extend_from_slice(label.as_bytes());
    }
    question.extend(b"\0\0\x01\0\x01");
    question.extend(b"\0\0\x29\x04\xD0\0\0\0\0\0\0");
    question
}

/// The same on behalf of a network in Britain, from which two regions are near.
fn with_subnet(mut question: Vec<u8>) -> Vec<u8> {
    let option = [0, 8, 0, 7, 0, 1, 24, 0, 81, 2, 69];
    let len_at = question.len() - 2;
    let len = u16::try_from(option.len()).expect("it is short");
    question[len_at..].copy_from_slice(&len.to_be_bytes());
    question.extend(option);
    question
}

fn wait_until_ready(server: &Server, subject: &Subject) -> Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let mut reply = [0; 2048];
    for _ in 0..READY_TRIES_MAX {
        socket.send_to(&subject.question, server.address)?;
        if let Ok(len) = socket.recv(&mut reply)
            && is_right(&reply[..len], subject)
        {
            return Ok(());
        }
    }
    Err(format!("{} does not answer at {}", subject.name, server.address).into())
}

fn is_right(reply: &[u8], subject: &Subject) -> bool {
    let right = |flags, rcode, n_answers| flags & 0x80 != 0 && rcode % 16 == 0 && 0 < n_answers;
    match reply {
        [_, _, flags, rcode, _, _, _, n_answers, ..] if subject.answers => {
            right(*flags, *rcode, *n_answers)
        }
        [_, _, flags, rcode, ..] => right(*flags, *rcode, 1),
        _ => false,
    }
}

/// Keeps the server busy for a while and notes what it took.
fn measure(server: &Server, subject: &mut Subject) -> Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    prepare(&socket)?;
    for _ in 0..WINDOW {
        socket.send_to(&subject.question, server.address)?;
    }
    let mut batch = Batch::new();
    load(&socket, &mut batch, subject, WARM_UP)?;
    let (cpu, begun) = (cpu_ns(&server.process)?, clock::now());
    let answered = load(&socket, &mut batch, subject, MEASURE)?;
    let (cpu, took) = (cpu_ns(&server.process)? - cpu, clock::now() - begun);
    if answered == 0 {
        return Err(format!("{} answered nothing", subject.name).into());
    }
    #[expect(clippy::cast_precision_loss, reason = "a second's nanoseconds are exact in an f64")]
    let (cpu, answered) = (cpu as f64, answered as f64);
    subject.costs.push(cpu / answered);
    subject.rates.push(answered / took.as_secs_f64());
    Ok(())
}

/// Asks again for each reply, so that as many questions as before are in flight; says how many
/// were answered.
fn load(
    socket: &UdpSocket,
    batch: &mut Batch,
    subject: &Subject,
    duration: Duration,
) -> Result<u64> {
    let end = clock::now() + duration;
    let mut answered = 0;
    while clock::now() < end {
        let count = batch.receive(socket.as_fd())?;
        if count == 0 {
            return Err(format!("{} lost what was in flight", subject.name).into());
        }
        for idx in 0..count {
            // The reply's place takes the next question, and its source is where that goes.
            let slot = batch.slot(idx);
            if !is_right(slot.question, subject) {
                return Err(
                    format!("{}: a wrong reply: {:02x?}", subject.name, slot.question).into()
                );
            }
            slot.reply[..subject.question.len()].copy_from_slice(&subject.question);
            batch.queue(idx, subject.question.len());
        }
        if 0 < batch.send(socket.as_fd()) {
            return Err("the kernel did not take a question".into());
        }
        answered += count as u64;
    }
    Ok(answered)
}

fn prepare(socket: &UdpSocket) -> Result<()> {
    if batch::force_receive_buffer(socket.as_fd(), RECEIVE_BUFFER_LEN).is_err() {
        eprintln!("not root: the receive buffers have the system's usual length");
    }
    Ok(socket.set_read_timeout(Some(4 * UDP_WAIT_MAX))?)
}

/// CPU time of all threads of a process, in nanoseconds: the first number of each `schedstat`.
fn cpu_ns(process: &Child) -> Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{}/task", process.id()))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        sum += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(sum)
}

/// Puts this thread, and the processes that it starts from now on, on one core.
fn pin(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &cores)?)
}

// ---- The report ----

struct Report {
    /// The reflector first.
    subjects: [Subject; 5],
}

impl Report {
    /// Cost in each round as a multiple of the reflector's in the same round.
    fn ratios(&self, subject: &Subject) -> Vec<f64> {
        subject
            .costs
            .iter()
            .zip(&self.subjects[0].costs)
            .map(|(cost, floor)| cost / floor)
            .collect()
    }

    fn print_table(&self) -> Result<()> {
        let mut out = std::io::stdout();
        let rounds = self.subjects[0].costs.len();
        writeln!(out, "evenkeel serve, medians of {rounds} interleaved rounds, one core\n")?;
        writeln!(out, "{:<12}{:>14}{:>16}{:>18}", "", "µs/question", "x reflector", "questions/s")?;
        for subject in &self.subjects {
            let (cost, rate) = (median(&subject.costs) / 1000.0, median(&subject.rates));
            let ratio = median(&self.ratios(subject));
            writeln!(out, "{:<12}{cost:>14.3}{ratio:>16.3}{rate:>18.0}", subject.name)?;
        }
        Ok(())
    }

    fn print_json(&self) -> Result<()> {
        let subjects: Vec<_> = self
            .subjects
            .iter()
            .map(|subject| {
                json!({
                    "name": subject.name,
                    "cpu_ns_per_question": median(&subject.costs),
                    "ratio_to_reflector": median(&self.ratios(subject)),
                    "questions_per_second": median(&subject.rates),
                    "rounds": { "cpu_ns_per_question": subject.costs,
                                "ratio_to_reflector": self.ratios(subject) },
                })
            })
            .collect();
        let report = json!({ "subjects": subjects });
        Ok(writeln!(std::io::stdout(), "{report:#}")?)
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[len / 2],
        len => f64::midpoint(sorted[len / 2 - 1], sorted[len / 2]),
    }
}
