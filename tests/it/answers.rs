//! Answers as text: what is said to a question, in worlds of zones and verdicts, without sockets.
//!
//! A file `tests/answers/*.case` is made of lines. A block is a line that ends in a colon, and the
//! indented lines below it:
//!
//! ```text
//! # A comment.
//! world what this world is about
//! file zones/example.com.yaml:            a file of the server, read by `compile`
//!     zone: example.com
//! server:                                 added to the server file
//!     checks: { web: { tcp: { port: 80 } } }
//! verdicts 192.0.2.1 down, 192.0.2.2 up shaky, cold
//! ask www.example.com A size=512 subnet=203.0.113.0/24
//!     NOERROR aa                          what is expected: rcode and flags, then records
//!     answer www.example.com. 20 IN A 192.0.2.1
//! ```
//!
//! - `world` begins with no files and no verdicts; whatever follows holds until the next `world`.
//! - `verdicts` are of targets, by address or host: `up` or `down`, and `shaky` while a change is
//!   in sight. Who is not named is `unknown`; with `cold` the first round of probes still goes on.
//!   `then` is what is found after that: who is not named stays as he was.
//! - `ask` has a name, a type, and words: `size=N` (of EDNS), `edns=V` (its version), `do`,
//!   `subnet=NET/LEN`, `client=ADDRESS`, `tcp`, `class=N`, `opcode=N`, `rd`. Without a word of EDNS
//!   there is none.
//! - Where something is steered the question is asked many times; different replies are told apart
//!   by a line `or`. A set's records are in order, whatever order they came in.
//! - The same stands in the manual, in blocks that begin with three backticks and `case`.
//! - `UPDATE_EXPECT=1` writes down what is said now; read the difference before it is believed.
//!
//! *Not here:* how often each of several answers comes (`steer::draw`, `failover`), and equality
//! with other servers (`conformance`).

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use evenkeel::{
    compile,
    counters::Counters,
    health::{Outcome, ProbeSpec, Report, Status, Target, Told, Verdict, Why},
    limits::TCP_MESSAGE_LEN_MAX,
    serve::{Client, Engine},
    snapshot::Snapshot,
    state::{Change, State},
    wire::Transport,
};
use hickory_proto::{
    op::Message,
    rr::{
        RData, Record, RecordType,
        rdata::opt::{EdnsCode, EdnsOption},
    },
};

/// How often a question about something steered is asked: what comes once in a hundred times is
/// missed in one run of 10^8.
const DRAWS: usize = 2000;

/// Documents with cases in them.
const DOCUMENTS: [&str; 1] = ["docs/steering.md"];

#[test]
fn answers_are_as_written_down() {
    let folder = root_folder().join("tests/answers");
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .expect("the cases are in the tree")
        .map(|entry| entry.expect("a folder can be read").path())
        .collect();
    paths.sort();
    let (mut asked, mut wrong) = (0, String::new());
    for path in paths {
        let text = fs::read_to_string(&path).expect("a case is text");
        let (questions, now) = check(&text);
        asked += questions;
        compare(&path, &text, &now, &mut wrong);
    }
    assert!(wrong.is_empty(), "{wrong}hint: UPDATE_EXPECT=1 writes down what is said now");
    assert!(300 <= asked, "only {asked} questions were asked");
}

#[test]
fn the_manual_tells_what_is_answered() {
    let (mut asked, mut wrong) = (0, String::new());
    for document in DOCUMENTS {
        let path = root_folder().join(document);
        let text = fs::read_to_string(&path).expect("the manual is in the tree");
        let mut now = String::new();
        let mut blocks = text.split("```case\n");
        now.push_str(blocks.next().expect("split gives at least one"));
        for block in blocks {
            let (case, rest) = block.split_once("```").expect("a block ends");
            let (questions, said) = check(case);
            asked += questions;
            write!(now, "```case\n{said}```{rest}").expect("a String takes it");
        }
        compare(&path, &text, &now, &mut wrong);
    }
    assert!(wrong.is_empty(), "{wrong}hint: UPDATE_EXPECT=1 writes down what is said now");
    assert!(10 <= asked, "only {asked} questions were asked");
}

fn root_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Notes where a text differs from what is so now, or writes that down if it was asked for.
fn compare(path: &Path, text: &str, now: &str, wrong: &mut String) {
    if text == now {
        return;
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(path, now).expect("the tree can be written");
    } else {
        let name = path.file_name().expect("it is a file").to_string_lossy();
        writeln!(wrong, "{name}:\n{}", difference(text, now)).expect("a String takes it");
    }
}

/// Asks the questions of a file, and gives their number and the file with what was said to them.
fn check(text: &str) -> (usize, String) {
    let mut world = World::default();
    let (mut asked, mut now) = (0, String::new());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        writeln!(now, "{line}").expect("a String takes it");
        let mut block = String::new();
        while let Some(inner) = lines.next_if(|it| it.starts_with("    ")) {
            writeln!(block, "{}", &inner[4..]).expect("a String takes it");
        }
        let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
        match first {
            "" | "#" => {}
            "world" => world = World::default(),
            "file" => world.files.push((rest.trim_end_matches(':').to_owned(), block.clone())),
            "server:" => world.server.clone_from(&block),
            "verdicts" => world.verdicts = vec![rest.to_owned()],
            "then" => world.verdicts.push(rest.to_owned()),
            "ask" => {
                asked += 1;
                block = world.say(rest);
            }
            _ => panic!("`{line}` begins with no known word"),
        }
        if matches!(first, "file" | "server:" | "verdicts" | "then") {
            world.snapshot = None;
        }
        for inner in block.lines() {
            writeln!(now, "    {inner}").expect("a String takes it");
        }
    }
    (asked, now)
}

/// What answers depend on.
#[derive(Default)]
struct World {
    files: Vec<(String, String)>,
    server: String,
    /// What was found, one after the other.
    verdicts: Vec<String>,
    /// Made when it is asked first.
    snapshot: Option<Snapshot>,
}

impl World {
    /// All that is said to a question.
    fn say(&mut self, question: &str) -> String {
        if self.snapshot.is_none() {
            self.snapshot = Some(self.freeze());
        }
        let snapshot = self.snapshot.as_ref().expect("it was just made");
        let (packet, client) = packet(question);
        let (mut engine, counters) = (Engine::default(), Counters::default());
        let mut buffer = vec![0; TCP_MESSAGE_LEN_MAX];
        let steered = snapshot.zones().iter().any(|zone| !zone.steered.is_empty());
        let mut octets = BTreeSet::new();
        for _ in 0..if steered { DRAWS } else { 1 } {
            let len = engine.respond(snapshot, &packet, client, &mut buffer, &counters);
            octets.insert(buffer[..len].to_vec());
        }
        let said: BTreeSet<String> = octets.iter().map(|it| reply_text(it)).collect();
        said.into_iter().collect::<Vec<_>>().join("or\n")
    }

    /// Goes the way of `serve`: files, plan, state, snapshot.
    fn freeze(&self) -> Snapshot {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        fs::create_dir(folder.path().join("zones")).expect("it is new");
        for (name, text) in &self.files {
            fs::write(folder.path().join(name), text).expect("the folder is there");
        }
        let config = folder.path().join("evenkeel.yaml");
        let server = format!("version: 1\nzones: zones/\n{}", self.server);
        fs::write(&config, server).expect("the folder is there");
        let plan = compile::load(&config).unwrap_or_else(|it| panic!("{}", it.to_text()));
        let (mut state, effects) = State::begin(plan);
        let probes = effects.probes.expect("a beginning says what to probe");
        let mut frozen = None;
        let nothing = [String::new()];
        let found = if self.verdicts.is_empty() { &nothing[..] } else { &self.verdicts };
        for verdicts in found {
            find(&mut state, &probes, verdicts);
            frozen = state.snapshot(SystemTime::UNIX_EPOCH).or(frozen);
        }
        frozen.expect("the first is always new")
    }
}

/// Has the state find what a line says of targets.
fn find(state: &mut State, probes: &[Arc<ProbeSpec>], line: &str) {
    let mut cold = false;
    for words in line.split(',').map(str::trim).filter(|it| !it.is_empty()) {
        let (target, says) = words.split_once(' ').unwrap_or((words, ""));
        if target == "cold" {
            cold = true;
            continue;
        }
        let verdict = if says.contains("down") { Verdict::Down } else { Verdict::Up };
        let status = Status { verdict, shaky: says.contains("shaky") };
        let of_target = |it: &Target| it.to_string().trim_matches(['[', ']']) == target;
        let mut found = false;
        for spec in probes.iter().filter(|it| of_target(&it.target)).cloned() {
            found = true;
            let outcome = Outcome::Failed(Why::Broken);
            state.apply(Change::Probed(Report {
                spec,
                status,
                outcome,
                told: Told::default(),
                took: std::time::Duration::ZERO,
                at: SystemTime::UNIX_EPOCH,
            }));
        }
        assert!(found, "nothing probes `{target}`");
    }
    if !cold {
        state.apply(Change::WarmedUp);
    }
}

/// What EDNS says where no word says otherwise: size, version and flags.
const EDNS: [u16; 3] = [1232, 0, 0];

/// The question that an `ask` line means.
fn packet(line: &str) -> (Vec<u8>, Client) {
    let mut words = line.split_whitespace();
    let name = words.next().expect("a question has a name");
    let rtype: evenkeel::wire::Rtype =
        words.next().expect("a question has a type").parse().expect("types in cases are types");
    let (mut class, mut flags, mut edns) = (1_u16, 0_u8, None::<[u16; 3]>);
    let mut options = Vec::new();
    let mut client = Client { address: IpAddr::V4(Ipv4Addr::LOCALHOST), transport: Transport::Udp };
    for word in words {
        let (word, value) = word.split_once('=').unwrap_or((word, ""));
        let number = || value.parse::<u16>().unwrap_or_else(|_| panic!("`{value}` in {line}"));
        match word {
            "size" => edns.get_or_insert(EDNS)[0] = number(),
            "edns" => edns.get_or_insert(EDNS)[1] = number(),
            "do" => edns.get_or_insert(EDNS)[2] = 0x8000,
            "subnet" => {
                edns.get_or_insert(EDNS);
                options.extend(subnet_option(value));
            }
            "client" => client.address = value.parse().expect("a client has an address"),
            "tcp" => client.transport = Transport::Tcp,
            "class" => class = number(),
            "opcode" => flags |= u8::try_from(number()).expect("it has four bits") << 3,
            "rd" => flags |= 1,
            _ => panic!("`{word}` is no word of `ask`: {line}"),
        }
    }
    let mut packet = vec![0, 0, flags, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())];
    packet.extend(evenkeel::wire::name::parse_keeping_case(name, Some(&root())).expect(name));
    packet.extend(rtype.0.to_be_bytes());
    packet.extend(class.to_be_bytes());
    if let Some([size, version, flags]) = edns {
        packet.extend([0, 0, 41]);
        // The version is the third octet of what elsewhere is the TTL.
        for number in [size, version, flags, u16::try_from(options.len()).expect("it is short")] {
            packet.extend(number.to_be_bytes());
        }
        packet.extend(options);
    }
    (packet, client)
}

fn root() -> evenkeel::wire::Name {
    evenkeel::wire::Name::root()
}

/// A client subnet (RFC 7871 section 6).
fn subnet_option(text: &str) -> Vec<u8> {
    let (address, len) = text.split_once('/').expect("a network has a length");
    let len: u8 = len.parse().expect("a length is a number");
    let (family, octets) = match address.parse().expect("a network has an address") {
        IpAddr::V4(it) => (1, it.octets().to_vec()),
        IpAddr::V6(it) => (2, it.octets().to_vec()),
    };
    let octets = &octets[..usize::from(len.div_ceil(8))];
    let option_len = u8::try_from(4 + octets.len()).expect("it is short");
    [&[0, 8, 0, option_len, 0, family, len, 0], octets].concat()
}

/// A reply: response code and flags, EDNS, and the records of each section.
fn reply_text(octets: &[u8]) -> String {
    if octets.is_empty() {
        return "silence\n".to_owned();
    }
    let message = Message::from_vec(octets).expect("a reply is DNS");
    let metadata = &message.metadata;
    let mut text = match u16::from(metadata.response_code) {
        // The number means something else to TSIG, which is what hickory calls it.
        16 => "BADVERS".to_owned(),
        _ => format!("{:?}", metadata.response_code).to_ascii_uppercase(),
    };
    let flags = [(metadata.authoritative, "aa"), (metadata.truncation, "tc")];
    let more = [(metadata.recursion_desired, "rd"), (metadata.recursion_available, "ra")];
    for (_, flag) in flags.iter().chain(&more).filter(|(is_set, _)| *is_set) {
        write!(text, " {flag}").expect("a String takes it");
    }
    text.push('\n');
    if let Some(edns) = &message.edns {
        let do_bit = if edns.flags().dnssec_ok { " do" } else { "" };
        write!(text, "edns {}{do_bit}", edns.max_payload()).expect("a String takes it");
        for (code, option) in &edns.options().options {
            match (code, option) {
                (_, EdnsOption::Subnet(it)) => write!(
                    text,
                    " subnet={}/{} scope={}",
                    it.addr(),
                    it.source_prefix(),
                    it.scope_prefix()
                ),
                (EdnsCode::Unknown(15), EdnsOption::Unknown(_, data)) => {
                    write!(text, " ede={}", u16::from_be_bytes([data[0], data[1]]))
                }
                _ => write!(text, " {code:?}"),
            }
            .expect("a String takes it");
        }
        text.push('\n');
    }
    let sections = [
        ("answer", &message.answers),
        ("authority", &message.authorities),
        ("additional", &message.additionals),
    ];
    for (section, records) in sections {
        for line in records_text(records) {
            writeln!(text, "{section} {line}").expect("a String takes it");
        }
    }
    text
}

/// Records, those of one set in order.
fn records_text(records: &[Record]) -> Vec<String> {
    let set = |it: &Record| (it.name.clone(), it.record_type());
    let mut lines = Vec::new();
    let records: Vec<&Record> =
        records.iter().filter(|it| it.record_type() != RecordType::OPT).collect();
    for group in records.chunk_by(|a, b| set(a) == set(b)) {
        let mut group: Vec<String> = group.iter().map(|it| record_text(it)).collect();
        group.sort();
        lines.extend(group);
    }
    lines
}

fn record_text(record: &Record) -> String {
    let rtype = evenkeel::wire::Rtype(record.record_type().into());
    let data = match &record.data {
        // What hickory does not read without its DNSSEC.
        RData::Unknown { rdata, .. } if rtype == evenkeel::wire::Rtype::DNAME => {
            evenkeel::wire::name::text(&rdata.anything)
        }
        RData::Unknown { rdata, .. } => {
            let hex = |octet: &u8| format!("{octet:02X}");
            let octets = &rdata.anything;
            format!(r"\# {} {}", octets.len(), octets.iter().map(hex).collect::<String>())
        }
        // The serial is the time at which the file was written.
        RData::SOA(soa) => soa.to_string().replacen(&format!(" {} ", soa.serial), " SERIAL ", 1),
        data => data.to_string(),
    };
    format!("{} {} {rtype} {}", record.name.to_ascii(), record.ttl, data.trim_end())
}

/// The lines that differ, with the question they are about.
fn difference(expected: &str, said: &str) -> String {
    let (mut text, mut question) = (String::new(), "");
    let (mut left, mut right) = (expected.lines().peekable(), said.lines().peekable());
    while left.peek().is_some() || right.peek().is_some() {
        let (old, new) = (left.peek().copied(), right.peek().copied());
        if old == new {
            question = old.filter(|it| it.starts_with("ask ")).unwrap_or(question);
            left.next();
            right.next();
            continue;
        }
        writeln!(text, "  {question}").expect("a String takes it");
        while let Some(line) = left.next_if(|it| it.starts_with("    ")) {
            writeln!(text, "    expected {}", line.trim()).expect("a String takes it");
        }
        while let Some(line) = right.next_if(|it| it.starts_with("    ")) {
            writeln!(text, "    said     {}", line.trim()).expect("a String takes it");
        }
    }
    text
}
