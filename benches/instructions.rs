//! What an answer takes in user space: instructions per question of each kind, asked one at a time.
//!
//! ```text
//!   valgrind --tool=callgrind evenkeel serve   <- n questions    -> total
//!   and again                                  <- 2 n questions  -> total'    (total' - total) / n
//! ```
//!
//! The whole process is counted: all threads, the C library, what surrounds a batch of one. What a
//! start costs is in both runs and falls out of the difference. Instructions are the same on every
//! machine and at every hour, so that a change of a few percent shows; what they cost, and what the
//! kernel adds, says `cost`.
//!
//! ```text
//! cargo bench --bench instructions -- [--json] [--questions N] [KIND...]
//! ```

#[path = "common/files.rs"]
mod files;

use std::{
    error::Error,
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, UdpSocket},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use evenkeel::dice::Roll;
use files::{SERVER_FILE, ZONE_FILE, big_zone};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Questions of the first run. The wake-ups of idle threads come to some thousands of instructions
/// per run: a few tenths of an instruction per question.
const QUESTIONS: usize = 20_000;

/// Ports that are tried when others have one for UDP or TCP alone.
const ADDRESS_TRIES_MAX: usize = 32;

/// How long a reply may take. Under callgrind everything is fifty times as slow.
const REPLY_WAIT_MAX: Duration = Duration::from_secs(10);

/// What the zone of all benches has not.
const MORE_RECORDS: &str = "  one: { CNAME: two }
  two: { CNAME: three }
  three: { CNAME: fixed }
  \"*.wild\": { A: 192.0.2.2 }
  sub: { NS: [ns1.sub, ns2.sub] }
  ns1.sub: { A: 192.0.2.54 }
  ns2.sub: { A: 192.0.2.55 }
";

/// What is asked, and what has to come back.
struct Kind {
    name: &'static str,
    /// The name asked for; `{}` stands for letters that are others each time.
    owner: &'static str,
    qtype: u8,
    subnet: bool,
    rcode: u8,
    /// Records of the answer, the authority and the additional section, the OPT included.
    counts: [u8; 3],
    /// Whether the zone has a great many names.
    big: bool,
}

/// A network in Britain, from which two regions are near: on its behalf some questions are asked.
const NETWORK: [u8; 3] = [81, 2, 69];

const A: u8 = 1;
const AAAA: u8 = 28;

const KINDS: [Kind; 9] = {
    const FIXED: Kind = Kind {
        name: "fixed",
        owner: "fixed.bench.example",
        qtype: A,
        subnet: false,
        rcode: 0,
        counts: [1, 0, 1],
        big: false,
    };
    [
        FIXED,
        Kind { name: "weighted", owner: "weighted.bench.example", ..FIXED },
        Kind { name: "geo, weighted, ECS", owner: "placed.bench.example", subnet: true, ..FIXED },
        Kind { name: "wildcard", owner: "{}.wild.bench.example", ..FIXED },
        Kind { name: "CNAME chain", owner: "one.bench.example", counts: [4, 0, 1], ..FIXED },
        Kind { name: "NODATA", qtype: AAAA, counts: [0, 1, 1], ..FIXED },
        Kind { name: "referral", owner: "www.sub.bench.example", counts: [0, 2, 3], ..FIXED },
        Kind { name: "NXDOMAIN", owner: "{}.bench.example", rcode: 3, counts: [0, 1, 1], ..FIXED },
        Kind {
            name: "NXDOMAIN of 10^6",
            owner: "{}.big.example",
            rcode: 3,
            counts: [0, 1, 1],
            big: true,
            ..FIXED
        },
    ]
};

fn main() -> Result<()> {
    let mut arguments: Vec<String> =
        std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let json = take_flag(&mut arguments, "--json");
    let questions = match arguments.iter().position(|it| it == "--questions") {
        Some(at) if at + 1 < arguments.len() => arguments.drain(at..at + 2).nth(1),
        Some(_) => return Err("--questions takes a number".into()),
        None => None,
    };
    let questions = questions.map_or(Ok(QUESTIONS), |it| it.parse())?;
    require_valgrind()?;
    let is_asked =
        |kind: &&Kind| arguments.is_empty() || arguments.iter().any(|it| it == kind.name);
    let mut costs = Vec::new();
    for kind in KINDS.iter().filter(is_asked) {
        eprintln!("{} ...", kind.name);
        costs.push((kind, cost(kind, questions)?));
    }
    if json { print_json(&costs, questions) } else { print_table(&costs, questions) }
}

fn take_flag(arguments: &mut Vec<String>, flag: &str) -> bool {
    let n_before = arguments.len();
    arguments.retain(|it| it != flag);
    arguments.len() < n_before
}

fn require_valgrind() -> Result<()> {
    let found = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    match found {
        Ok(status) if status.success() => Ok(()),
        _ => Err("valgrind is missing; Debian has it in a package of that name: \
                  apt-get install valgrind"
            .into()),
    }
}

/// Instructions per question.
fn cost(kind: &Kind, questions: usize) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let once = total(kind, questions, folder.path())?;
    let twice = total(kind, 2 * questions, folder.path())?;
    let more = twice.checked_sub(once).ok_or("twice as many questions took less")?;
    #[expect(clippy::cast_precision_loss, reason = "both are far below 2^53")]
    let (more, questions) = (more as f64, questions as f64);
    Ok(more / questions)
}

/// Instructions of a server that starts, answers so many questions and ends.
fn total(kind: &Kind, questions: usize, folder: &Path) -> Result<u64> {
    let counts = folder.join("callgrind");
    let mut server = serve(kind, folder, &counts)?;
    let asked = ask(kind, questions, server.address);
    server.stop()?;
    asked?;
    let text = fs::read_to_string(&counts)?;
    let totals = text.lines().find_map(|line| line.strip_prefix("totals: "));
    Ok(totals.ok_or("callgrind wrote no totals")?.trim().parse()?)
}

// ---- The server ----

/// A server under callgrind; it ends with this value.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    /// Has it end by itself, so that callgrind writes what it counted.
    fn stop(&mut self) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.process.id())?), Signal::SIGTERM)?;
        let status = self.process.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("the server ended with {status}").into())
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn serve(kind: &Kind, folder: &Path, counts: &Path) -> Result<Server> {
    let address = free_address()?;
    let file = folder.join("evenkeel.yaml");
    fs::create_dir_all(folder.join("zones"))?;
    fs::write(&file, SERVER_FILE.replace("{listen}", &address.to_string()))?;
    fs::write(folder.join("zones/bench.example.yaml"), [ZONE_FILE, MORE_RECORDS].concat())?;
    if kind.big {
        fs::write(folder.join("zones/big.example.zone"), big_zone()?)?;
    }
    let mut process = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", counts.display()))
        .arg(env!("CARGO_BIN_EXE_evenkeel"))
        .args(["serve", "--config"])
        .arg(file)
        .env("EVENKEEL_LOG", "info")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let log = process.stderr.take().ok_or("the log was asked for")?;
    let server = Server { process, address };
    wait_until_ready(BufReader::new(log))?;
    Ok(server)
}

/// An address whose port is free for UDP and TCP. Bound and let go: the kernel does not soon choose the
/// same for another.
fn free_address() -> Result<SocketAddr> {
    for _ in 0..ADDRESS_TRIES_MAX {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        if UdpSocket::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err("no port is free for both UDP and TCP".into())
}

/// Reads the log up to the line `ready`, and the rest of it on a thread, so that nobody waits for
/// its being read.
fn wait_until_ready(mut log: impl BufRead + Send + 'static) -> Result<()> {
    let mut seen = String::new();
    loop {
        let begin = seen.len();
        if log.read_line(&mut seen)? == 0 {
            return Err(format!("the server ended before it was ready:\n{seen}").into());
        }
        if seen[begin..].split_whitespace().any(|word| word == "ready") {
            break;
        }
    }
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    Ok(())
}

// ---- The questions ----

/// Asks one question after the other, each when the one before is answered.
fn ask(kind: &Kind, questions: usize, server: SocketAddr) -> Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(REPLY_WAIT_MAX))?;
    socket.connect(server)?;
    let mut roll = Roll(questions as u64);
    let mut reply = [0; 2048];
    for _ in 0..questions {
        socket.send(&question(kind, &mut roll))?;
        let len = socket.recv(&mut reply).map_err(|error| format!("{}: {error}", kind.name))?;
        if !is_right(&reply[..len], kind) {
            return Err(format!("{}: a wrong reply: {:02x?}", kind.name, &reply[..len]).into());
        }
    }
    Ok(())
}

/// A question with EDNS, as resolvers ask.
fn question(kind: &Kind, roll: &mut Roll) -> Vec<u8> {
    let mut question = b"\0\0\0\0\0\x01\0\0\0\0\0\x01".to_vec();
    for label in kind.owner.replace("{}", &letters(roll)).split('.') {
        question.push(u8::try_from(label.len()).expect("the labels above are short"));
        question.extend_from_slice(label.as_bytes());
    }
    question.extend([0, 0, kind.qtype, 0, 1]);
    question.extend(b"\0\0\x29\x04\xD0\0\0\0\0");
    let [a, b, c] = NETWORK;
    let options: &[u8] = if kind.subnet { &[0, 8, 0, 7, 0, 1, 24, 0, a, b, c] } else { &[] };
    question.extend(u16::try_from(options.len()).expect("it is short").to_be_bytes());
    question.extend(options);
    question
}

/// Twelve letters: there are none such in the zones.
fn letters(roll: &mut Roll) -> String {
    (0..12).map(|_| char::from(b'a' + u8::try_from(roll.below(26)).expect("below 26"))).collect()
}

fn is_right(reply: &[u8], kind: &Kind) -> bool {
    let Some(header) = reply.first_chunk::<12>() else { return false };
    let counts = [header[7], header[9], header[11]];
    // The option comes last, and its address last of that.
    let is_for_network = reply.ends_with(&NETWORK);
    header[2] & 0x80 != 0
        && header[3] & 0x0F == kind.rcode
        && counts == kind.counts
        && is_for_network == kind.subnet
}

// ---- The report ----

fn print_table(costs: &[(&Kind, f64)], questions: usize) -> Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "evenkeel serve under callgrind, {questions} questions, one at a time\n")?;
    writeln!(out, "{:<20}{:>22}", "", "instructions/question")?;
    for (kind, cost) in costs {
        writeln!(out, "{:<20}{cost:>22.0}", kind.name)?;
    }
    Ok(())
}

fn print_json(costs: &[(&Kind, f64)], questions: usize) -> Result<()> {
    let kinds: Vec<_> = costs
        .iter()
        .map(|(kind, cost)| json!({ "name": kind.name, "instructions_per_question": cost }))
        .collect();
    let report = json!({ "questions": questions, "kinds": kinds });
    Ok(writeln!(std::io::stdout(), "{report:#}")?)
}
