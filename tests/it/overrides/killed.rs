//! A server that is killed at any moment, while targets come and go and an operator has something to
//! say: each start comes up with what was true, and with every override that was acknowledged.
//!
//! *Not here:* the file itself (`state::killed`).

use std::{
    collections::BTreeMap,
    env,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use evenkeel::{clock, dice::Dice};
use serde_json::{Value, json};

use super::{EU, World};
use crate::{
    api::try_call,
    process::free_address,
    server::{SLACK, Server},
};

const ZONE: &str = "
zone: example.com
records:
  '@': { NS: [ns1] }
  ns1: { A: 192.0.2.53 }
  www: { steer: { pools: { us-east-1: { A: 192.0.2.10 }, eu-west-1: { A: 198.51.100.10 } } } }
  live: { steer: { check: web, pools: { spare: { A: [127.0.0.11, 127.0.0.12, 127.0.0.13, 127.0.0.14] } } } }
";

/// What is checked. The first is always there, so that neither all are down nor the prober is blind.
const TARGETS: [&str; 4] = ["127.0.0.11", "127.0.0.12", "127.0.0.13", "127.0.0.14"];
/// From one probe to the next, and how long the later of them may take to be written.
const EVERY: Duration = Duration::from_secs(1);
const WRITTEN: Duration = Duration::from_secs(1);

/// By target: since when it was there, or not.
type History = Mutex<Vec<Vec<(Instant, bool)>>>;

/// Targets that come and go, until this is dropped.
struct Targets {
    was: Arc<History>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Targets {
    fn begin(port: u16) -> Self {
        let listeners: Vec<_> = TARGETS.iter().map(|it| Some(listen(it, port))).collect();
        let now = clock::now();
        let was = Arc::new(Mutex::new(vec![vec![(now, true)]; TARGETS.len()]));
        let ends = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (was, ends) = (Arc::clone(&was), Arc::clone(&ends));
            move || come_and_go(listeners, port, &was, &ends)
        });
        Self { was, ends, thread: Some(thread) }
    }

    /// Whether a target was `up`, or not, at some time after so long before `since`.
    fn was(&self, target: &str, up: bool, since: Instant, before: Duration) -> bool {
        let place = TARGETS.iter().position(|it| *it == target).unwrap();
        let was = &self.was.lock().unwrap()[place];
        let mut ends = was.iter().skip(1).map(|it| it.0).chain([clock::now()]);
        was.iter().any(|(_, it)| ends.next().is_some_and(|end| since <= end + before) && *it == up)
    }
}

impl Drop for Targets {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listen(target: &str, port: u16) -> TcpListener {
    let listener = TcpListener::bind((target, port)).expect("the port is free on all of loopback");
    listener.set_nonblocking(true).unwrap();
    listener
}

/// The life of the targets: each of them but the first is there or not for a second to three.
fn come_and_go(
    mut listeners: Vec<Option<TcpListener>>,
    port: u16,
    was: &History,
    ends: &AtomicBool,
) {
    let mut dice = Dice::from_os();
    let mut turns = vec![clock::now(); TARGETS.len()];
    while !ends.load(Ordering::Relaxed) {
        for (place, listener) in listeners.iter_mut().enumerate() {
            while listener.as_ref().is_some_and(|it| it.accept().is_ok()) {}
            let now = clock::now();
            if place == 0 || now < turns[place] {
                continue;
            }
            turns[place] = now + Duration::from_millis(1000 + dice.roll().below(2000));
            *listener = match listener.take() {
                Some(_) => None,
                None => Some(listen(TARGETS[place], port)),
            };
            was.lock().unwrap()[place].push((clock::now(), listener.is_some()));
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

#[test]
fn what_was_acknowledged_and_what_was_true_survive_a_kill_at_any_moment() {
    let moments = if env::var_os("RUN_SLOW_TESTS").is_some() { 200 } else { 10 };
    let port = free_address().port();
    let targets = Targets::begin(port);
    let file = format!(
        "version: 1\nlisten: ['127.0.0.1:0']\nzones: zones/\ngeoip: []\nstate: state\n\
         api: {{ listen: '127.0.0.1:0' }}\n\
         regions: {{ us-east-1: {{}}, eu-west-1: {{}}, spare: {{}} }}\n\
         checks: {{ web: {{ tcp: {{ port: {port} }}, every: 1s, timeout: 500ms, fall: 1, rise: 1 }} }}\n"
    );
    let files = [("evenkeel.yaml", &*file), ("zones/example.com.yaml", ZONE)];
    let mut world = World::of(Server::start(&files));
    let mut dice = Dice::from_os();
    let mut held: Vec<u64> = Vec::new();
    let (mut n_acknowledged, mut n_down) = (0, 0);
    // What is on the disk is no older.
    let mut since = clock::now();
    for _ in 0..moments {
        let operator = std::thread::spawn({
            let (api, held) = (world.api, held.clone());
            move || drain_anew(api, held)
        });
        std::thread::park_timeout(Duration::from_micros(dice.roll().below(600_000)));
        let folder = world.server.kill();
        let killed = clock::now();
        let (set, cleared) = operator.join().unwrap();
        // Everything is written with an operator's word; the one before may have come too early.
        if 2 < set.len() {
            since = killed;
        }
        world = World::of(Server::start_in(folder));
        let verdicts = verdicts(&world);
        if !set.is_empty() || !held.is_empty() {
            // From the first answer on.
            let answers = world.shares("www.example.com.", 20);
            assert_eq!(answers.into_keys().collect::<Vec<_>>(), [EU]);
        }
        for (target, verdict) in verdicts {
            let up = verdict != "down";
            let was = targets.was(&target, up, since, EVERY + WRITTEN + SLACK);
            assert!(was, "{target} is {verdict}");
            n_down += usize::from(!up);
        }
        let listed = world.get("overrides");
        let listed = listed["overrides"].as_array().unwrap();
        let kept: Vec<u64> = listed.iter().map(|it| it["id"].as_u64().unwrap()).collect();
        let latest = set.last().or(held.last());
        assert!(latest.is_none_or(|it| kept.contains(it)), "{latest:?} is not in {kept:?}");
        assert!(!cleared.iter().any(|it| kept.contains(it)), "{cleared:?} came back: {kept:?}");
        n_acknowledged += set.len();
        held = kept;
    }
    assert_ne!(n_acknowledged, 0, "nothing was ever acknowledged");
    assert_ne!(n_down, 0, "nothing was ever down");
    told_in_order(&world);
}

/// What the server says of the targets. It says so from its first moment on.
fn verdicts(world: &World) -> BTreeMap<String, String> {
    let all = world.get("endpoints?name=live.example.com");
    let all = all["endpoints"].as_array().unwrap().iter();
    let text = |it: &Value| it.as_str().unwrap().to_owned();
    let all: BTreeMap<_, _> = all.map(|it| (text(&it["address"]), text(&it["verdict"]))).collect();
    assert_eq!(all.len(), TARGETS.len());
    all
}

/// Events have ascending numbers over all the lives of a server.
fn told_in_order(world: &World) {
    let events = world.events("verdict");
    let ids: Vec<u64> = events.iter().map(|it| it["id"].as_u64().unwrap()).collect();
    assert!(ids.is_sorted_by(|one, other| one < other), "{ids:?}");
    assert!(events.iter().any(|it| it["to"] == "down"), "{events:?}");
}

/// Drains a region again and again, and clears the overrides before, until the server is gone; the
/// overrides that it said were set, and cleared.
fn drain_anew(api: SocketAddr, mut held: Vec<u64>) -> (Vec<u64>, Vec<u64>) {
    let body = json!({ "target": "us-east-1", "state": "drain", "reason": "disks" }).to_string();
    let headers = [("Content-Type", "application/json")];
    let (mut set, mut cleared) = (Vec::new(), Vec::new());
    loop {
        let answer = try_call(api, "POST", "/api/v1/overrides", &headers, body.as_bytes());
        let Some(answer) = answer else { return (set, cleared) };
        // What is cut off was not acknowledged.
        let Ok(said) = serde_json::from_str::<Value>(&answer.body) else { continue };
        let id = said["id"].as_u64().expect("it may be set");
        set.push(id);
        for old in std::mem::replace(&mut held, vec![id]) {
            let path = format!("/api/v1/overrides/{old}");
            let Some(answer) = try_call(api, "DELETE", &path, &[], b"") else { break };
            assert_eq!(answer.status, 200, "{}", answer.body);
            cleared.push(old);
        }
    }
}
