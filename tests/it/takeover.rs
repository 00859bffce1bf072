//! A process takes the place of a running one: nobody who asks notices, and nothing that is known is
//! lost. Where it cannot, nothing happens.
//!
//! *Not here:* what a prober goes on from (`health::prober`).

use std::{
    fs,
    io::{self, BufRead, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            fs::PermissionsExt as _,
            net::{SocketAddr as UnixAddr, UnixDatagram, UnixListener, UnixStream},
            process::CommandExt as _,
        },
    },
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use evenkeel::clock;
use hickory_proto::rr::{RData, RecordType};
use nix::{sys::signal::Signal, unistd::Uid};
use serde_json::{Value, json};

use crate::{
    api::{call, try_call},
    load::Load,
    process::{PATIENCE, evenkeel, free_address, until},
    server::{Server, field, question},
};

/// What is asked for, and of which so many may wait for an answer at one time.
const PER_SECOND: u64 = 50_000;
const LOADS: u64 = 2;
const OUTSTANDING_MAX: u64 = 2_000;

const TAKEOVERS: usize = 4;

/// The endpoint that is up, and the one that is down.
const UP: &str = "192.0.2.7";
const DOWN: &str = "127.0.0.77";

/// Files of a server whose name `www` has an endpoint at a port where nobody is, and one that is not
/// checked. A probe of the first takes long when somebody is there and says nothing.
struct Files {
    config: String,
    zone: String,
    listen: SocketAddr,
    endpoint: SocketAddr,
}

impl Files {
    fn new(more: &str) -> Self {
        // At an address of its own, where no other test listens meanwhile.
        let listen = free_address();
        let endpoint = SocketAddr::new(DOWN.parse().unwrap(), free_address().port());
        let config = format!(
            "version: 1\nlisten: ['{listen}']\nzones: zones/\ngeoip: []\n\
             api: {{ listen: '127.0.0.1:0' }}\n\
             checks: {{ web: {{ http: {{ port: {} }}, every: 20s, timeout: 15s }} }}\n{more}",
            endpoint.port()
        );
        let zone = format!(
            "zone: example.com\nrecords:\n  '@': {{ NS: ns1 }}\n  ns1: {{ A: 192.0.2.53 }}\n  \
             www: {{ steer: {{ check: web, pools: {{ a: {{ A: {DOWN} }}, \
             b: {{ A: {UP}, check: [] }} }} }} }}\n"
        );
        Self { config, zone, listen, endpoint }
    }

    fn start(&self) -> Server {
        Server::start(&[("evenkeel.yaml", &self.config), ("zones/example.com.yaml", &self.zone)])
    }
}

/// Questions over UDP of which none is lost, and each is answered with the endpoint that is up.
fn loads(server: SocketAddr) -> Vec<Load> {
    let up = UP.split('.').map(|it| it.parse().unwrap()).collect::<Vec<u8>>();
    let load = |_| {
        let (question, up) = (question("www.example.com.", RecordType::A), up.clone());
        Load::start_bounded(server, PER_SECOND / LOADS, OUTSTANDING_MAX, question, move |reply| {
            assert!(reply.ends_with(&up), "the one that is down is not answered: {reply:02x?}");
        })
    };
    (0..LOADS).map(load).collect()
}

fn go_on(loads: &[Load]) {
    for load in loads {
        let more = load.answered() + 1_000;
        until("the load to go on", || more < load.answered() || load.has_failed());
        assert!(!load.has_failed());
    }
}

/// Questions over TCP, one after the other.
struct Asker {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    asking: JoinHandle<()>,
}

impl Asker {
    /// On one connection, which is never closed; or each on a new one.
    fn start(server: SocketAddr, is_one: bool) -> Self {
        let (stop, asked) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let asking = thread::spawn({
            let (stop, asked) = (Arc::clone(&stop), Arc::clone(&asked));
            move || {
                let mut connection = connect(server);
                while !stop.load(Ordering::SeqCst) {
                    if !is_one {
                        connection = connect(server);
                    }
                    ask_over(&mut connection);
                    asked.fetch_add(1, Ordering::SeqCst);
                    thread::park_timeout(Duration::from_millis(1));
                }
            }
        });
        Self { stop, asked, asking }
    }

    fn go_on(&self) {
        let more = self.asked.load(Ordering::SeqCst) + 10;
        until("questions over TCP to be answered", || {
            assert!(!self.asking.is_finished(), "one was not answered");
            more < self.asked.load(Ordering::SeqCst)
        });
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.asking.join().expect("every question is answered");
        self.asked.load(Ordering::SeqCst)
    }
}

fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).expect("somebody listens at any time");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A question as it goes over a connection.
fn framed() -> Vec<u8> {
    let question = question("www.example.com.", RecordType::A);
    [&u16::try_from(question.len()).unwrap().to_be_bytes(), &*question].concat()
}

fn ask_over(connection: &mut TcpStream) {
    connection.write_all(&framed()).expect("the connection is open");
    hear(connection);
}

fn hear(connection: &mut TcpStream) {
    let mut len = [0; 2];
    connection.read_exact(&mut len).expect("the connection is open, and there is a reply");
    let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
    connection.read_exact(&mut reply).expect("the reply is whole");
    assert_eq!(reply[7], 1, "one answer");
}

/// Sets an override, and gives its id if it was acknowledged.
fn say(api: SocketAddr) -> Option<u64> {
    let body = json!({ "target": UP, "state": "up", "reason": "test" }).to_string();
    let headers = [("Content-Type", "application/json")];
    let answer = try_call(api, "POST", "/api/v1/overrides", &headers, body.as_bytes())?;
    let answer: Value = serde_json::from_str(&answer.body).ok()?;
    answer["id"].as_u64()
}

fn get(api: SocketAddr, path: &str) -> Value {
    call(api, "GET", &format!("/api/v1/{path}"), &[], b"").json()
}

fn override_ids(api: SocketAddr) -> Vec<u64> {
    let all = get(api, "overrides");
    all["overrides"].as_array().unwrap().iter().map(|it| it["id"].as_u64().unwrap()).collect()
}

/// The sum of these counters of the line about the end.
fn counted(stopped: &str, names: &[&str]) -> u64 {
    names.iter().map(|it| field(stopped, it).parse::<u64>().unwrap()).sum()
}

/// Several takeovers in a row, under load.
fn nothing_is_lost(more: &str) {
    let files = Files::new(more);
    let mut server = files.start();
    // From now on a probe says nothing for long: who goes on knows what is down from the one before.
    let hole = TcpListener::bind(files.endpoint).unwrap();
    let api = server.api.unwrap();
    let loads = loads(files.listen);
    let (one, fresh) = (Asker::start(files.listen, true), Asker::start(files.listen, false));
    let began = clock::now();
    for takeover in 1..=TAKEOVERS {
        go_on(&loads);
        let id = say(api).expect("an operator is heard");
        let generation = get(api, "status")["generation"].as_u64().unwrap();
        let next = server.take_over();
        let status = server.wait();
        assert!(status.success(), "{}", server.log().join("\n"));
        server.wait_for_log("stopped questions_udp=", 0);
        assert!(!server.log().iter().any(|it| it.contains("WARN") && !it.contains(" verdict ")));
        server = next;
        assert_eq!(server.api, Some(api), "it is where it was");
        server.wait_for_log("the process before has left", 0);

        assert_eq!(override_ids(api), (1..=takeover as u64).collect::<Vec<_>>());
        assert_eq!(override_ids(api).last(), Some(&id));
        assert!(generation < get(api, "status")["generation"].as_u64().unwrap());
        let endpoints = get(api, "endpoints");
        let down = &endpoints["endpoints"][0];
        assert_eq!((&down["verdict"], &down["address"]), (&json!("down"), &json!(DOWN)));
        // On a slow machine a probe of the hole may have ended.
        let why = down["checks"][0]["outcome"].as_str().expect("why is known");
        assert!(why == "connection refused" || why.starts_with("no outcome within"), "{why}");
        let events = get(api, "events");
        let ids = events["events"].as_array().unwrap().iter().map(|it| it["id"].as_u64().unwrap());
        assert_eq!(ids.collect::<Vec<_>>(), (1..=takeover as u64 + 1).collect::<Vec<_>>());
        one.go_on();
        fresh.go_on();
    }
    go_on(&loads);
    let asked: u64 = loads.into_iter().map(Load::stop).sum();
    let elapsed = (clock::now() - began).as_millis().max(1);
    println!("{asked} questions, {} a second", u128::from(asked) * 1000 / elapsed);
    let asked_over_tcp = one.stop() + fresh.stop();
    let (status, stopped) = server.stop();
    assert!(status.success(), "{stopped}");
    assert_eq!(counted(&stopped, &["questions_udp"]), asked, "{stopped}");
    assert_eq!(counted(&stopped, &["questions_tcp"]), asked_over_tcp, "{stopped}");
    assert_eq!(counted(&stopped, &["send_failures", "panics", "connections_refused"]), 0);
    drop(hole);
}

#[test]
fn nothing_is_lost_with_a_state_folder() {
    nothing_is_lost("state: state\n");
}

#[test]
fn nothing_is_lost_without_a_state_folder() {
    nothing_is_lost("");
}

#[test]
fn a_message_in_the_middle_is_answered_and_the_connection_goes_on() {
    let files = Files::new("");
    let mut server = files.start();
    let mut connection = server.connect();
    let message = framed();
    connection.write_all(&message[..7]).unwrap();
    let mut next = server.take_over();
    // The one that has read the half answers the whole.
    connection.write_all(&message[7..]).unwrap();
    hear(&mut connection);
    assert!(server.wait().success());
    next.wait_for_log("the process before has left", 0);
    ask_over(&mut connection);
    let (_, stopped) = next.stop();
    assert_eq!(counted(&stopped, &["questions_tcp"]), 2);
    assert_eq!(counted(&stopped, &["connections_accepted"]), 1);
}

/// A third one takes over while the first has not left yet: what comes of it comes to the third.
#[test]
fn one_after_the_other() {
    let mut first = Files::new("").start();
    let mut connection = first.connect();
    let message = framed();
    connection.write_all(&message[..7]).unwrap();
    let mut second = first.take_over();
    let mut third = Server::begin(first.folder(), &["--takeover"]);
    second.wait_for_log("is taking over", 0);
    connection.write_all(&message[7..]).unwrap();
    hear(&mut connection);
    third.get_ready();
    assert!(first.wait().success() && second.wait().success());
    third.wait_for_log("the process before has left", 0);
    ask_over(&mut connection);
    let (_, stopped) = third.stop();
    assert_eq!(counted(&stopped, &["questions_tcp"]), 2);
    assert_eq!(counted(&stopped, &["connections_accepted"]), 1);
}

/// Whatever an operator is told to hold holds, at any moment of a takeover.
#[test]
fn what_was_acknowledged_holds() {
    for more in ["state: state\n", ""] {
        let mut server = Files::new(more).start();
        let api = server.api.unwrap();
        let stop = Arc::<AtomicBool>::default();
        let saying = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let mut said = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    said.extend(say(api));
                }
                said
            }
        });
        for _ in 0..3 {
            let next = server.take_over();
            assert!(server.wait().success());
            server = next;
        }
        stop.store(true, Ordering::SeqCst);
        let said = saying.join().unwrap();
        assert!(!said.is_empty());
        let hold = override_ids(api);
        for id in &said {
            assert!(hold.contains(id), "{id} was acknowledged, and {hold:?} hold");
        }
        if !more.is_empty() {
            let server = Server::start_in(server.kill());
            assert_eq!(override_ids(server.api.unwrap()), hold, "and on the disk");
        }
    }
}

#[test]
fn what_a_webhook_has_not_taken_goes_over() {
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", receiver.local_addr().unwrap());
    let is_open = Arc::<AtomicBool>::default();
    let (told_in, told) = std::sync::mpsc::channel();
    thread::spawn({
        let is_open = Arc::clone(&is_open);
        move || {
            for connection in receiver.incoming() {
                let mut connection = BufReader::new(connection.unwrap());
                let id = event(&mut connection);
                let is_open = is_open.load(Ordering::SeqCst);
                let code = if is_open { "204 No Content" } else { "503 Not Now" };
                let reply = format!("HTTP/1.1 {code}\r\nconnection: close\r\n\r\n");
                connection.get_mut().write_all(reply.as_bytes()).unwrap();
                if told_in.send((id, is_open)).is_err() {
                    return;
                }
            }
        }
    });
    let hooks = format!("webhooks: [{{ url: '{url}', events: [override] }}]\n");
    let mut server = Files::new(&hooks).start();
    let api = server.api.unwrap();
    assert_eq!((say(api), say(api)), (Some(1), Some(2)));
    // The verdict is the first event; the third waits behind the second.
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), ("2".to_owned(), false));
    let next = server.take_over();
    assert!(server.wait().success());
    is_open.store(true, Ordering::SeqCst);
    let ids = told.iter().filter(|(_, is_taken)| *is_taken).map(|(id, _)| id);
    assert_eq!(ids.take(2).collect::<Vec<_>>(), ["2", "3"]);
    assert!(next.stop().0.success());
}

/// Reads a request of a webhook, and gives its event's id.
fn event(connection: &mut impl BufRead) -> String {
    let lines = connection.by_ref().lines().map_while(Result::ok);
    let head: Vec<_> = lines.take_while(|it| !it.is_empty()).collect();
    let field = |name| head.iter().find_map(|it| it.strip_prefix(name)).expect("it is there");
    let len = field("content-length: ").parse().unwrap();
    io::copy(&mut connection.take(len), &mut io::sink()).unwrap();
    field("x-evenkeel-id: ").to_owned()
}

/// A process that wants to take over, and dies when it likes.
struct Quitter(UnixStream);

impl Quitter {
    fn call(server: SocketAddr) -> Self {
        let name = format!("evenkeel/takeover/{server}");
        let stream = UnixStream::connect_addr(&UnixAddr::from_abstract_name(name).unwrap());
        let stream = stream.expect("the server can be taken over");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    fn say(&mut self, message: &Value) {
        let text = message.to_string();
        let len = u32::try_from(text.len()).unwrap().to_be_bytes();
        self.0.write_all(&[&len, text.as_bytes()].concat()).unwrap();
    }

    fn hear(&mut self) -> Value {
        let mut len = [0; 4];
        self.0.read_exact(&mut len).unwrap();
        let mut text = vec![0; u32::from_be_bytes(len) as usize];
        self.0.read_exact(&mut text).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    fn greet(&mut self, protocol: u32) -> Value {
        self.say(&json!({ "hello": { "protocol": protocol, "version": "9.9.9" } }));
        loop {
            let heard = self.hear();
            // The sockets themselves are closed at once.
            if heard.get("sockets").is_none() {
                return heard;
            }
        }
    }
}

/// One that dies before it answers changes nothing, wherever that is.
#[test]
fn who_dies_in_the_middle_was_never_there() {
    for more in ["state: state\n", ""] {
        let files = Files::new(more);
        let mut server = files.start();
        let api = server.api.unwrap();
        let loads = loads(files.listen);
        let asker = Asker::start(files.listen, true);
        let mut said = Vec::new();
        for step in 0..5 {
            let mut quitter = Quitter::call(files.listen);
            if 1 <= step {
                assert!(quitter.greet(1).get("offered").is_some());
            }
            if 2 <= step {
                quitter.say(&json!("ask"));
                let letter = quitter.hear();
                assert!(letter["letter"]["generation"].is_u64(), "{letter}");
            }
            if step == 3 {
                quitter.say(&json!({ "hello": { "protocol": 1, "version": "what?" } }));
            }
            if step == 4 {
                // It has sent half of a message.
                quitter.0.write_all(&[0, 0, 1]).unwrap();
            }
            let logged = server.log().len();
            drop(quitter);
            server.wait_for_log("has not taken over: this one goes on", logged.saturating_sub(1));
            said.push(say(api).expect("an operator is heard"));
            go_on(&loads);
            asker.go_on();
        }
        assert_eq!(override_ids(api), said);
        // And the next one can.
        let next = server.take_over();
        assert!(server.wait().success());
        assert_eq!(override_ids(api), said);
        go_on(&loads);
        for load in loads {
            load.stop();
        }
        asker.stop();
        assert!(next.stop().0.success());
    }
}

/// One that has heard all and says nothing: after its time the running one goes on, and takes its state
/// back as soon as it can be had.
#[test]
fn who_takes_too_long_was_never_there() {
    let files = Files::new("state: state\n");
    let mut server = files.start();
    let api = server.api.unwrap();
    let mut said = vec![say(api).unwrap()];
    let loads = loads(files.listen);
    let mut quitter = Quitter::call(files.listen);
    quitter.greet(1);
    quitter.say(&json!("ask"));
    assert!(quitter.hear().get("letter").is_some());
    // Nobody has the state at this moment, so somebody else can have it.
    let other = Files::new("state: state\n");
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("zones")).unwrap();
    fs::write(folder.path().join("evenkeel.yaml"), &other.config).unwrap();
    fs::write(folder.path().join("zones/example.com.yaml"), &other.zone).unwrap();
    std::os::unix::fs::symlink(server.path("state"), folder.path().join("state")).unwrap();
    let thief = Server::start_in(Arc::new(folder));
    go_on(&loads);

    assert!(quitter.hear()["no"]["why"].as_str().unwrap().contains("did not answer in time"));
    let why = server.wait_for_log("has not taken over: this one goes on", 0);
    assert!(why.contains("it took too long"), "{why}");
    drop(quitter);
    assert_eq!(override_ids(api), said, "they hold");
    assert_eq!(say(api), None, "and what cannot be kept is not acknowledged");
    assert!(thief.stop().0.success());
    until("the state to be had again", || {
        say(api).is_some_and(|it| {
            0 < {
                said.push(it);
                it
            }
        })
    });
    go_on(&loads);
    for load in loads {
        load.stop();
    }
    let server = Server::start_in(server.kill());
    assert_eq!(override_ids(server.api.unwrap()), said, "and on the disk");
}

#[test]
fn who_is_of_another_form_is_told_so() {
    let files = Files::new("");
    let server = files.start();
    let no = Quitter::call(files.listen).greet(2);
    let why = no["no"]["why"].as_str().unwrap();
    assert!(why.contains("9.9.9 takes form 2"), "{no}");
    assert!(!no["no"]["hint"].as_str().unwrap().is_empty());
    assert!(server.stop().0.success());
}

/// Who does not hear the word that it is the server is not the server: there is one at any time.
#[test]
fn who_is_not_told_to_be_the_server_is_not() {
    let files = Files::new("");
    let server = files.start();
    let letter = {
        let mut quitter = Quitter::call(files.listen);
        quitter.greet(1);
        quitter.say(&json!("ask"));
        quitter.hear()
    };
    let folder = server.kill();
    // From here on the test is the running server.
    let name = UnixAddr::from_abstract_name(format!("evenkeel/takeover/{}", files.listen)).unwrap();
    let bell = UnixListener::bind_addr(&name).unwrap();
    for word in [None, Some(json!({ "no": { "why": "so", "hint": "wait" } }))] {
        let heir = Server::begin(Arc::clone(&folder), &["--takeover"]);
        let mut line = Quitter(bell.accept().unwrap().0);
        line.0.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(line.hear()["hello"]["protocol"], 1);
        line.say(&json!({ "offered": { "version": "9.9.9", "state": null } }));
        assert_eq!(line.hear(), "ask");
        line.say(&letter);
        // It has bound the address by itself: it was given none.
        assert_eq!(line.hear(), json!({ "serving": { "taken": [] } }));
        if let Some(word) = &word {
            line.say(word);
        }
        drop(line);
        let said = refused(heir);
        assert!(said.contains(if word.is_some() { "so" } else { "it is gone" }), "{said}");
    }
}

#[test]
fn one_at_a_time_takes_over() {
    let files = Files::new("");
    let mut server = files.start();
    let mut first = Quitter::call(files.listen);
    assert!(first.greet(1).get("offered").is_some());
    let second = Server::begin(server.folder(), &["--takeover"]);
    assert!(refused(second).contains("another process is taking over"));
    drop(first);
    server.wait_for_log("has not taken over: this one goes on", 0);
    let next = server.take_over();
    assert!(server.wait().success());
    assert!(next.stop().0.success());
}

/// A real one that is killed as soon as it begins.
#[test]
fn who_is_killed_in_the_middle_was_never_there() {
    let files = Files::new("state: state\n");
    let mut server = files.start();
    let api = server.api.unwrap();
    let loads = loads(files.listen);
    let mut killed_in_time = 0;
    for _ in 0..8 {
        let logged = server.log().len();
        let mut next = Server::begin(server.folder(), &["--takeover"]);
        server.wait_for_log("is taking over", logged);
        next.signal(Signal::SIGSTOP);
        // It may have been too fast.
        thread::park_timeout(Duration::from_millis(50));
        if server.log().iter().any(|it| it.contains("has taken over")) {
            next.signal(Signal::SIGCONT);
            next.get_ready();
            assert!(server.wait().success());
            server = next;
        } else {
            next.kill();
            server.wait_for_log("has not taken over: this one goes on", logged);
            killed_in_time += 1;
        }
        go_on(&loads);
        until("an operator to be heard", || say(api).is_some());
    }
    println!("{killed_in_time} of 8 were killed in time");
    for load in loads {
        load.stop();
    }
    assert!(server.stop().0.success());
}

/// How a process ends that does not start, by what it says.
fn refused(mut server: Server) -> String {
    let status = server.wait();
    assert_eq!(status.code(), Some(1));
    let mut said = String::new();
    until("what it says to be there", || {
        said = server.log().join("\n");
        said.contains("hint: ")
    });
    said
}

#[test]
fn who_has_mistakes_does_not_take_over() {
    let files = Files::new("state: state\n");
    let server = files.start();
    let api = server.api.unwrap();
    let try_with = |name: &str, text: &str| {
        let (folder, before) = (tempfile::tempdir().unwrap(), server.folder());
        fs::create_dir(folder.path().join("zones")).unwrap();
        fs::write(folder.path().join("evenkeel.yaml"), &files.config).unwrap();
        fs::write(folder.path().join("zones/example.com.yaml"), &files.zone).unwrap();
        std::os::unix::fs::symlink(before.path().join("state"), folder.path().join("state"))
            .unwrap();
        fs::write(folder.path().join(name), text).unwrap();
        let said = refused(Server::begin(Arc::new(folder), &["--takeover"]));
        assert_eq!(server.ask("ns1.example.com.", RecordType::A).answers.len(), 1);
        assert!(say(api).is_some());
        said
    };
    let said = try_with("zones/example.com.yaml", &files.zone.replace(UP, "192.0.2.700"));
    assert!(said.contains("example.com.yaml:5:"), "{said}");
    let said = try_with("evenkeel.yaml", &files.config.replace("state: state\n", ""));
    assert!(said.contains("`state` is none, and that of the running server is /"), "{said}");
    let said = try_with("evenkeel.yaml", &files.config.replace("state: state", "state: other"));
    assert!(said.contains("that takes a restart"), "{said}");
    // An address that somebody else has.
    let other = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let held = TcpListener::bind(other).unwrap();
    let both = format!("['{}', '{other}']", files.listen);
    let said =
        try_with("evenkeel.yaml", &files.config.replace(&format!("['{}']", files.listen), &both));
    assert!(said.contains(&format!("cannot listen on {other}")), "{said}");
    drop(held);
    assert!(server.stop().0.success());
}

/// An address that is not listed any more is let go of, a new one is bound, and another zone is served.
#[test]
fn the_files_of_the_new_one_hold() {
    let files = Files::new("");
    let mut server = files.start();
    let (kept, gone, new) = (files.listen, free_address(), free_address());
    let listen = |all: &[SocketAddr]| {
        let list = all.iter().map(|it| format!("'{it}'")).collect::<Vec<_>>().join(", ");
        files.config.replace(&format!("['{kept}']"), &format!("[{list}]"))
    };
    // It is refused as a reload, and that is well: a takeover can.
    server.write("evenkeel.yaml", &listen(&[gone, kept]));
    let mut next = server.take_over();
    assert!(server.wait().success());
    assert_eq!(next.address, gone);
    ask_over(&mut connect(gone));
    next.write("evenkeel.yaml", &listen(&[kept, new]));
    next.write("zones/example.com.yaml", &files.zone.replace("192.0.2.53", "192.0.2.54"));
    let last = next.take_over();
    assert!(next.wait().success());
    assert!(TcpStream::connect(gone).is_err());
    ask_over(&mut connect(kept));
    ask_over(&mut connect(new));
    let reply = last.ask("ns1.example.com.", RecordType::A);
    assert!(matches!(&reply.answers[0].data, RData::A(it) if it.to_string() == "192.0.2.54"));
    assert!(last.stop().0.success());
}

#[test]
fn who_finds_nobody_starts_by_itself() {
    let files = Files::new("");
    let server = files.start();
    let mut server = Server::begin(server.kill(), &["--takeover"]);
    server.get_ready();
    server.wait_for_log("there is no server to take over from", 0);
    assert!(server.stop().0.success());
}

#[test]
fn the_service_manager_follows() {
    let files = Files::new("");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let next = || {
        let mut text = [0; 256];
        let len = manager.recv(&mut text).expect("the server tells its manager");
        String::from_utf8(text[..len].to_vec()).unwrap()
    };
    fs::create_dir(folder.path().join("zones")).unwrap();
    fs::write(folder.path().join("zones/example.com.yaml"), &files.zone).unwrap();
    fs::write(folder.path().join("evenkeel.yaml"), &files.config).unwrap();
    let start = |more: &[&str]| {
        let mut command = evenkeel();
        command.env("NOTIFY_SOCKET", &path).args(["serve", "--config"]);
        command.arg(folder.path().join("evenkeel.yaml")).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        crate::process::Process::start(&mut command)
    };
    let mut first = start(&[]);
    assert_eq!(next(), "READY=1\n");
    let mut second = start(&["--takeover"]);
    let main = format!("MAINPID={}\n", second.id());
    assert_eq!([next(), next(), next()], [main.clone(), main, "READY=1\n".to_owned()]);
    assert!(first.wait().success());
    second.signal(Signal::SIGTERM);
    assert_eq!(next(), "STOPPING=1\n");
    assert!(second.wait().success());
}

/// Root takes over from who root has become, and becomes it as well; another user does not.
#[test]
fn users() {
    if !Uid::effective().is_root() {
        println!("only root can be two users");
        return;
    }
    let files = Files::new("user: nobody\nstate: state\n");
    let mut server = files.start();
    let folder = server.folder();
    for _ in 0..2 {
        let next = server.take_over();
        assert!(server.wait().success());
        server = next;
        let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
        let ids = status.lines().find(|it| it.starts_with("Uid:")).unwrap();
        assert!(!ids.split_whitespace().any(|id| id == "0"), "{ids}");
    }
    // Everybody may read, and only somebody else speaks.
    for path in [folder.path().to_owned(), folder.path().join("zones")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut stranger = evenkeel();
    let config = files.config.replace("state: state\n", "").replace("user: nobody\n", "");
    server.write("stranger.yaml", &config);
    stranger.args(["serve", "--takeover", "--config"]).arg(server.path("stranger.yaml"));
    let output = stranger.uid(4711).gid(4711).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("is of another user"), "{said}");
    let logged = server.log().len();
    let mut quiet = Quitter::call(files.listen);
    quiet.say(&json!({ "hello": { "protocol": 1, "version": "root may" } }));
    assert!(quiet.hear().get("sockets").is_some());
    drop(quiet);
    server.wait_for_log("this one goes on", logged);
    assert!(server.stop().0.success());
}
