//! What was counted is what was asked and answered, whatever changes meanwhile.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream, UdpSocket},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use evenkeel::{
    clock,
    compile::{self, Plan},
    counters::{Before, Registry},
    health::{Outcome, Report, Status, Told, Verdict, Why},
    serve::{Client, Engine, Serving, Sockets, TcpLimits},
    snapshot::Snapshot,
    state::{Change, Publisher, State},
    wire::Transport,
};

use crate::{api::call, server::Server};

/// Questions over UDP; over TCP there are as many.
const QUESTIONS: usize = 50_000;

/// Questions that are on their way at one time.
const WINDOW: usize = 25;

const NAMES: [&str; 4] = ["www.one.example", "api.one.example", "fixed.one.example", "two.example"];

const SERVER_FILE: &str = "version: 1
listen: [\"127.0.0.1:0\"]
zones: zones/
geoip: []
networks: { 127.0.0.0/8: { country: DE } }
checks: { web: { tcp: { port: 80 } } }
";

const ZONE_ONE: &str = "zone: one.example
ttl: 1m
soa: { primary: ns1, contact: hostmaster@example.com, serial: 1 }
records:
  \"@\": { NS: ns1 }
  ns1: { A: 192.0.2.53 }
  fixed: { A: 192.0.2.1 }
  www:
    steer:
      check: web
      pools: { us: { A: 192.0.2.10 }, eu: { A: 192.0.2.20 } }
";

const API: &str = "  api:
    steer: { pools: { us: { A: 192.0.2.30 }, eu: { weight: 2, A: 192.0.2.40 } } }
";

const ZONE_TWO: &str = "zone: two.example
ttl: 1m
soa: { primary: ns1, contact: hostmaster@example.com, serial: 1 }
records:
  \"@\": { NS: ns1, A: 192.0.2.2 }
  ns1: { A: 192.0.2.53 }
";

/// Has a change's files read.
fn plan(folder: &Path, zones: &[(&str, String)]) -> Plan {
    fs::create_dir_all(folder.join("zones")).unwrap();
    fs::write(folder.join("evenkeel.yaml"), SERVER_FILE).unwrap();
    for (name, text) in zones {
        fs::write(folder.join("zones").join(name), text).unwrap();
    }
    compile::load(&folder.join("evenkeel.yaml")).unwrap()
}

fn both(one: &str) -> [(&'static str, String); 2] {
    [("one.yaml", one.to_owned()), ("two.yaml", ZONE_TWO.to_owned())]
}

/// Says of every target that it is up, or down.
fn say(state: &mut State, verdict: Verdict) {
    for spec in state.plan().probes.clone() {
        let status = Status { verdict, shaky: false };
        let outcome = Outcome::Failed(Why::Status(500));
        let (told, took, at) = (Told::default(), Duration::ZERO, clock::wall());
        let report = Report { spec, status, outcome, told, took, at };
        state.apply(Change::Probed(report));
    }
}

fn question(name: &str) -> Vec<u8> {
    let mut question = b"\0\0\0\0\0\x01\0\0\0\0\0\0".to_vec();
    for label in name.split('.') {
        question.push(u8::try_from(label.len()).unwrap());
        question.extend_from_slice(label.as_bytes());
    }
    question.extend(b"\0\0\x01\0\x01");
    question
}

/// How often each address was the answer for each name.
type Seen = BTreeMap<(&'static str, u8), u64>;

/// Asks in turn for the names, windows of questions one after the other, and says what came back.
fn ask(mut exchange: impl FnMut(&[&'static str]) -> Vec<[u8; 4]>, asked: &AtomicUsize) -> Seen {
    let mut seen = Seen::new();
    for turn in 0..QUESTIONS / WINDOW {
        let names: Vec<_> = (0..WINDOW).map(|it| NAMES[(turn + it) % NAMES.len()]).collect();
        for (name, address) in names.iter().zip(exchange(&names)) {
            assert_eq!(address[..3], [192, 0, 2], "{name}");
            *seen.entry((*name, address[3])).or_default() += 1;
        }
        asked.fetch_add(WINDOW, Relaxed);
    }
    seen
}

fn ask_udp(server: SocketAddr, asked: &AtomicUsize) -> Seen {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    socket.connect(server).unwrap();
    let exchange = |names: &[&'static str]| {
        for (id, name) in (0_u16..).zip(names) {
            let mut question = question(name);
            question[..2].copy_from_slice(&id.to_be_bytes());
            socket.send(&question).unwrap();
        }
        // Replies to one batch come in order, and so they do from one socket.
        let mut addresses = vec![[0; 4]; names.len()];
        for _ in names {
            let mut reply = [0; 512];
            let len = socket.recv(&mut reply).unwrap();
            let id = usize::from(u16::from_be_bytes([reply[0], reply[1]]));
            addresses[id] = *reply[..len].last_chunk().unwrap();
        }
        addresses
    };
    ask(exchange, asked)
}

fn ask_tcp(server: SocketAddr, asked: &AtomicUsize) -> Seen {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let exchange = |names: &[&'static str]| {
        let framed = names.iter().flat_map(|name| {
            let question = question(name);
            [&u16::try_from(question.len()).unwrap().to_be_bytes()[..], &question].concat()
        });
        stream.write_all(&framed.collect::<Vec<u8>>()).unwrap();
        let mut read = |len: usize| {
            let mut octets = vec![0; len];
            stream.read_exact(&mut octets).unwrap();
            octets
        };
        let reply = |_| {
            let len = u16::from_be_bytes(read(2).try_into().unwrap());
            *read(usize::from(len)).last_chunk().unwrap()
        };
        names.iter().map(reply).collect()
    };
    ask(exchange, asked)
}

/// Makes the changes of a running server, each when another part of the questions was asked.
fn change(state: &mut State, publisher: &mut Publisher, folder: &Path, asked: &AtomicUsize) {
    let mut part = 0;
    let mut wait = || {
        part += 2 * QUESTIONS / 6;
        while asked.load(Relaxed) < part {
            thread::yield_now();
        }
    };
    let mut publish = |state: &mut State| {
        if let Some(snapshot) = state.snapshot(clock::wall()) {
            publisher.publish(snapshot);
        }
    };
    wait();
    // A name before the others, and one behind them.
    let more = [ZONE_ONE, "  aaa: { steer: { pools: { us: { A: 192.0.2.50 } } } }\n", API].concat();
    state.apply(Change::Reloaded(Box::new(plan(folder, &both(&more)))));
    publish(state);
    wait();
    say(state, Verdict::Down);
    publish(state);
    wait();
    say(state, Verdict::Up);
    publish(state);
}

/// A count of a name's answers from a pool, by the address that is in it alone.
fn from_pool(seen: &[Seen], name: &str, address: u8) -> u64 {
    seen.iter().flatten().filter(|((it, at), _)| *it == name && *at == address).map(|it| it.1).sum()
}

fn of_names(seen: &[Seen], is_one: impl Fn(&str) -> bool) -> u64 {
    seen.iter().flatten().filter(|((name, _), _)| is_one(name)).map(|it| it.1).sum()
}

fn served(state: &mut State) -> (Publisher, Serving) {
    let publisher = Publisher::new(state.snapshot(clock::wall()).unwrap());
    let sockets = Sockets::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
    let serving = sockets.serve(&publisher.current(), TcpLimits::default()).unwrap();
    state.count_in(serving.registry().clone());
    (publisher, serving)
}

#[test]
fn what_was_counted_is_what_was_sent() {
    let folder = tempfile::tempdir().unwrap();
    let (mut state, _) = State::begin(plan(folder.path(), &both(&[ZONE_ONE, API].concat())));
    say(&mut state, Verdict::Up);
    state.apply(Change::WarmedUp);
    let (mut publisher, serving) = served(&mut state);
    let server = serving.addresses()[0];
    let asked = AtomicUsize::new(0);
    let seen = thread::scope(|scope| {
        let askers =
            [scope.spawn(|| ask_udp(server, &asked)), scope.spawn(|| ask_tcp(server, &asked))];
        change(&mut state, &mut publisher, folder.path(), &asked);
        askers.map(|it| it.join().unwrap())
    });
    let registry = serving.registry().clone();
    let totals = serving.stop();
    assert_eq!((totals.questions_udp, totals.questions_tcp), (50_000, 50_000));
    assert_eq!((totals.rcodes[0], totals.types[0]), (100_000, 100_000));
    assert_eq!((totals.subnets_sent, totals.subnets_used), (0, 0));

    let snapshot = publisher.current().load_full();
    let tallies: Vec<_> = snapshot.tallies(&registry).collect();
    for (tally, apex) in tallies.iter().zip(["one.example.", "two.example."]) {
        assert_eq!(tally.apex.to_string(), apex);
        let suffix = apex.trim_end_matches('.');
        assert_eq!(tally.questions, of_names(&seen, |name| name.ends_with(suffix)), "{apex}");
    }
    let name = |owner: &str| {
        tallies[0].names.iter().find(|it| it.owner.to_string() == format!("{owner}.")).unwrap()
    };
    let (www, api) = (name("www.one.example"), name("api.one.example"));
    let of = |name, addresses: [u8; 2]| addresses.map(|it| from_pool(&seen, name, it));
    assert_eq!(www.pools, of("www.one.example", [10, 20]));
    assert_eq!(api.pools, of("api.one.example", [30, 40]));
    assert_eq!(api.healthy(), api.answers());
    // All was down for a third of the time.
    assert!(0 < www.failed_open && 0 < www.healthy(), "{www:?}");
    assert_eq!(www.healthy() + www.failed_open, of_names(&seen, |it| it == "www.one.example"));
    assert_eq!(name("aaa.one.example").answers(), 0);
    check_places(&totals.countries, www.answers() + api.answers());
}

/// One in sixty-four, all of them in the one country that there is.
fn check_places(countries: &BTreeMap<Option<evenkeel::geo::Country>, u64>, answers: u64) {
    let sampled = countries.get(&"DE".parse().ok()).copied().unwrap_or(0);
    assert_eq!(countries.len(), 1);
    let expected = answers / evenkeel::counters::PLACE_SAMPLE;
    assert!((expected * 9 / 10..=expected * 11 / 10).contains(&sampled), "{sampled} of {answers}");
}

/// What a live server says over HTTP of the same questions.
#[test]
fn what_is_told_is_what_was_sent() {
    let server_file = format!("{SERVER_FILE}api: {{ listen: '127.0.0.1:0' }}\n");
    let zone = [ZONE_ONE, API].concat().replace("      check: web\n", "");
    let server = Server::start(&[
        ("evenkeel.yaml", &*server_file),
        ("zones/one.yaml", &*zone),
        ("zones/two.yaml", ZONE_TWO),
    ]);
    let (address, api) = (server.address, server.api.expect("the file wants an API"));
    let asked = AtomicUsize::new(0);
    let seen = thread::scope(|scope| {
        let askers =
            [scope.spawn(|| ask_udp(address, &asked)), scope.spawn(|| ask_tcp(address, &asked))];
        askers.map(|it| it.join().unwrap())
    });
    let told = call(api, "GET", "/api/v1/traffic", &[], b"").json();
    assert_eq!(told["questions"], 100_000);
    for (name, pools) in [("www.one.example", [10, 20]), ("api.one.example", [30, 40])] {
        let names = told["names"].as_array().unwrap();
        let line = names.iter().find(|it| it["name"] == format!("{name}.")).unwrap();
        for (idx, address) in pools.into_iter().enumerate() {
            assert_eq!(line["pools"][idx]["answers"], from_pool(&seen, name, address), "{name}");
        }
        assert_eq!(line["healthy"], of_names(&seen, |it| it == name));
    }
    let metrics = call(api, "GET", "/metrics", &[], b"").body;
    for (name, pool, region, address) in [
        ("www", "us", "us", 10),
        ("www", "eu", "eu", 20),
        ("api", "us", "us", 30),
        ("api", "eu", "eu", 40),
    ] {
        let count = from_pool(&seen, &format!("{name}.one.example"), address);
        let labels = format!("name=\"{name}.one.example.\",pool=\"{pool}\",region=\"{region}\"");
        let line = format!("\nevenkeel_answers_total{{{labels}}} {count}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
    for transport in ["udp", "tcp"] {
        let line = format!("\nevenkeel_questions_total{{transport=\"{transport}\"}} 50000\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
    assert!(metrics.contains("\nevenkeel_replies_total{rcode=\"NOERROR\"} 100000\n"));
    let [country] = told["countries"].as_array().unwrap().as_slice() else { panic!("{told}") };
    assert_eq!((&country["country"], &country["sampled"]), (&"DE".into(), &64.into()));
}

/// A server without sockets, which counts.
struct World {
    folder: tempfile::TempDir,
    state: State,
    snapshot: Snapshot,
    registry: Registry,
    engine: Engine,
}

impl World {
    fn new(zone: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mut state, _) = State::begin(plan(folder.path(), &both(zone)));
        state.apply(Change::WarmedUp);
        let registry = Registry::new(1);
        state.count_in(registry.clone());
        let snapshot = state.snapshot(clock::wall()).unwrap();
        Self { folder, state, snapshot, registry, engine: Engine::default() }
    }

    fn reload(&mut self, zone: &str) {
        let plan = plan(self.folder.path(), &both(zone));
        self.state.apply(Change::Reloaded(Box::new(plan)));
        self.snapshot = self.state.snapshot(clock::wall()).unwrap();
    }

    fn ask(&mut self, name: &str, times: usize) {
        let client = Client { address: "127.0.0.1".parse().unwrap(), transport: Transport::Udp };
        let counters = Arc::clone(&self.registry.sets()[0]);
        for _ in 0..times {
            let (question, mut reply) = (question(name), [0; 1232]);
            let len = self.engine.respond(&self.snapshot, &question, client, &mut reply, &counters);
            assert!(0 < len);
        }
    }

    /// What was counted of each name and its pools, in the order of the file.
    fn counts(&self) -> String {
        let tally = self.snapshot.tallies(&self.registry).next().unwrap();
        let name = |it: &evenkeel::tally::NameTally<'_>| format!(" {} {:?}", it.owner, it.pools);
        let names: String = tally.names.iter().map(name).collect();
        format!("{}{names}", tally.questions)
    }
}

#[test]
fn counts_stay_with_their_names_and_pools() {
    let one = |names: &str| ZONE_ONE.split("  www:").next().unwrap().to_owned() + names;
    let a = |pools: &str| format!("  a: {{ steer: {{ pools: {{ {pools} }} }} }}\n");
    let b = "  b: { steer: { pools: { us: { A: 192.0.2.3 } } } }\n";
    let us = "us: { A: 192.0.2.1 }";
    let mut world = World::new(&one(&a(us)));
    world.ask("a.one.example", 3);
    assert_eq!(world.counts(), "3 a.one.example. [3]");
    // Other pools: what is known of the one that stays goes on.
    world.reload(&one(&a("eu: { weight: 0, A: 192.0.2.2 }, us: { A: 192.0.2.1 }")));
    world.ask("a.one.example", 2);
    assert_eq!(world.counts(), "5 a.one.example. [0, 5]");
    // A name of as many cells as the first had, which are free only after the next reload.
    world.reload(&one(b));
    world.ask("b.one.example", 1);
    assert_eq!(world.counts(), "6 b.one.example. [1]");
    world.reload(&one(&[&a(us), b].concat()));
    world.ask("a.one.example", 4);
    assert_eq!(world.counts(), "10 a.one.example. [4] b.one.example. [1]");

    // Another process goes on from there.
    let text = world.snapshot.counted(&world.registry).to_text();
    let mut next = World::new(&one(&[b, &a(us)].concat()));
    next.registry.go_on_from(Before::of_text(&text));
    next.ask("a.one.example", 1);
    assert_eq!(next.counts(), "11 b.one.example. [1] a.one.example. [5]");
    assert_eq!(next.registry.totals().questions_udp, 11);
}
