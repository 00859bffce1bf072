//! What operators say of a running server, at the command line and over HTTP, and what the answers
//! make of it.
//!
//! *Not here:* what a pattern means (`state::overrides`), and how the file is kept (`state`).

mod killed;
mod preview;
mod slow_disk;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use evenkeel::clock;
use hickory_proto::rr::{RData, RecordType};
use serde_json::{Value, json};

use crate::{
    api::{Answer, call, run},
    process::until,
    server::{SLACK, Server, question_of},
};

const ZONE: &str = "
zone: example.com
records:
  '@': { NS: [ns1] }
  ns1: { A: 192.0.2.53 }
  www:
    steer:
      pools:
        us-east-1: { A: [192.0.2.10, 192.0.2.11] }
        eu-west-1: { A: 198.51.100.10 }
  other:
    steer:
      pools:
        us-east-1: { A: 192.0.2.20 }
        eu-west-1: { A: 198.51.100.20 }
  dead:
    steer:
      check: web
      pools:
        us-east-1: { A: 127.0.0.1 }
        eu-west-1: { A: 198.51.100.30, check: [] }
  only: { steer: { pools: { spare: { A: 203.0.113.1 } } } }
";

const US: [&str; 2] = ["192.0.2.10", "192.0.2.11"];
const EU: &str = "198.51.100.10";

/// A running server on which the check `web` fails.
struct World {
    server: Server,
    api: SocketAddr,
}

impl World {
    fn start(more: &str) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let file = format!(
            "version: 1\nlisten: ['127.0.0.1:0']\nzones: zones/\ngeoip: []\n\
             api: {{ listen: '127.0.0.1:0' }}\n\
             regions: {{ us-east-1: {{}}, eu-west-1: {{}}, spare: {{}} }}\n\
             checks: {{ web: {{ tcp: {{ port: {free} }}, every: 1s, timeout: 500ms, fall: 1 }} }}\n\
             {more}\n"
        );
        Self::of(Server::start(&[("evenkeel.yaml", &file), ("zones/example.com.yaml", ZONE)]))
    }

    fn of(server: Server) -> Self {
        let api = server.api.expect("the file wants an API");
        Self { server, api }
    }

    /// Runs a command of ours against this server.
    #[track_caller]
    fn run(&self, command: &str) -> (i32, String) {
        let url = format!("http://{}", self.api);
        let arguments: Vec<&str> = command.split(' ').chain(["--server", &url]).collect();
        run(&arguments)
    }

    /// Runs one that has to be done.
    #[track_caller]
    fn done(&self, command: &str) -> String {
        let (code, said) = self.run(command);
        assert_eq!(code, 0, "{command}: {said}");
        said
    }

    fn get(&self, path: &str) -> Value {
        call(self.api, "GET", &format!("/api/v1/{path}"), &[], b"").json()
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        let headers = [("Content-Type", "application/json")];
        let path = format!("/api/v1/{path}");
        call(self.api, "POST", &path, &headers, body.to_string().as_bytes())
    }

    fn delete(&self, path: &str) -> Answer {
        call(self.api, "DELETE", &format!("/api/v1/{path}"), &[], b"")
    }

    /// How often each address is among the answers to so many questions.
    fn shares(&self, name: &str, n_questions: usize) -> BTreeMap<String, usize> {
        let mut shares = BTreeMap::new();
        for _ in 0..n_questions {
            for record in &self.server.ask(name, RecordType::A).answers {
                let RData::A(address) = &record.data else { panic!("{record}") };
                *shares.entry(address.to_string()).or_default() += 1;
            }
        }
        shares
    }

    /// Waits until a name is answered with exactly these addresses, which takes no longer than a
    /// second.
    #[track_caller]
    fn soon(&self, name: &str, expect: &[&str]) {
        let expect: BTreeSet<String> = expect.iter().map(|it| (*it).to_owned()).collect();
        let began = clock::now();
        // A pool that has half of the clients is missed once in 2^40.
        until(&format!("{name} to be {expect:?}"), || {
            self.shares(name, 40).into_keys().collect::<BTreeSet<_>>() == expect
        });
        let took = clock::now() - began;
        assert!(took <= Duration::from_secs(1) + SLACK, "{name}: {expect:?} took {took:?}");
    }

    fn endpoint(&self, name: &str, address: &str) -> Value {
        let all = self.get(&format!("endpoints?name={name}"));
        let all = all["endpoints"].as_array().unwrap();
        all.iter().find(|it| it["address"] == address).expect("it is there").clone()
    }

    /// The events of a kind.
    fn events(&self, kind: &str) -> Vec<Value> {
        let events = self.get("events?after=0&limit=1000");
        let events = events["events"].as_array().unwrap().iter();
        events.filter(|it| it["kind"] == kind).cloned().collect()
    }

    /// What `query` prints of a name that has no answer.
    fn refusal(&self, name: &str) -> String {
        let at = self.server.address.to_string();
        let (code, said) = run(&["query", name, "A", "--at", &at]);
        assert_eq!(code, 1, "{said}");
        said
    }
}

#[test]
fn an_override_by_command() {
    let world = World::start("");
    world.soon("www.example.com.", &[US[0], US[1], EU]);
    assert_eq!(world.done("override list"), "no override and no dial\n");
    let said = world.done("override set us-east-1 down --reason fire --author ann --for 1h");
    assert_eq!(said, "override 1: us-east-1 down, for 1h\n");
    world.soon("www.example.com.", &[EU]);
    world.soon("other.example.com.", &["198.51.100.20"]);
    let said = world.done("override list");
    assert!(said.starts_with("   1  us-east-1  down   20") && said.contains(" until 20"), "{said}");
    assert!(said.ends_with("  ann: fire\n"), "{said}");

    // A later one counts, and one that is cleared shows the one before it.
    let said = world.done("override set 192.0.2.1* up --reason sure --json");
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap(), json!({ "id": 2 }));
    world.soon("www.example.com.", &[US[0], US[1], EU]);
    world.soon("other.example.com.", &["198.51.100.20"]);
    assert_eq!(world.done("override clear 192.0.2.1*"), "cleared: 2\n");
    world.soon("www.example.com.", &[EU]);
    assert_eq!(world.done("override clear 1 --author bob"), "cleared: 1\n");
    world.soon("www.example.com.", &[US[0], US[1], EU]);

    let events = world.events("override");
    assert_eq!(events.len(), 4, "{events:?}");
    assert!(events[0]["subject"].as_str().unwrap().contains("us-east-1"), "{events:?}");
    assert!(events[0]["to"].as_str().unwrap().contains("down"), "{events:?}");
    assert!(events[0]["why"].as_str().unwrap().contains("fire"), "{events:?}");
    assert!(events.iter().all(|it| it["from"] != it["to"]), "{events:?}");
    assert_eq!(events[3]["why"], "an operator took it back (bob)");
}

#[test]
fn an_override_over_http() {
    let world = World::start("");
    let set = |target: &str, state: &str| {
        let body = json!({ "target": target, "state": state, "reason": "disks", "author": "ops",
            "for": null, "force": false });
        world.post("overrides", &body).json()["id"].as_u64().unwrap()
    };
    // A pool of one name, not that of others.
    assert_eq!(set("www.example.com/us-east-1", "drain"), 1);
    world.soon("www.example.com.", &[EU]);
    world.soon("other.example.com.", &["192.0.2.20", "198.51.100.20"]);
    let listed = world.get("overrides");
    let [one] = listed["overrides"].as_array().unwrap().as_slice() else { panic!("{listed}") };
    assert_eq!((&one["id"], &one["target"]), (&1.into(), &"www.example.com/us-east-1".into()));
    assert_eq!((&one["state"], &one["until"]), (&"drain".into(), &Value::Null));
    assert_eq!((&one["reason"], &one["author"]), (&"disks".into(), &"ops".into()));
    assert!(one["since"].as_str().unwrap().ends_with('Z'), "{one}");
    assert_eq!(listed["dials"], json!([]));
    let endpoint = world.endpoint("www.example.com", US[0]);
    assert_eq!((&endpoint["verdict"], &endpoint["effective_weight"]), (&"up".into(), &0.0.into()));
    let said = &endpoint["override"];
    assert_eq!((&said["id"], &said["state"]), (&1.into(), &"drain".into()));
    assert_eq!((&said["reason"], &said["author"]), (&"disks".into(), &"ops".into()));
    let path = "overrides/www.example.com%2Fus-east-1";
    world.delete(&format!("{path}?by=ann")).problem(400);
    world.delete(&format!("{path}?author={}", "a".repeat(2000))).problem(400);
    assert_eq!(world.delete(&format!("{path}?author=ann")).json(), json!({ "cleared": [1] }));
    assert_eq!(world.events("override")[1]["why"], "an operator took it back (ann)");
    world.delete(path).problem(404);
    world.soon("www.example.com.", &[US[0], US[1], EU]);

    // A whole name's pools but one address, and the region that is drained.
    assert_eq!(set("192.0.2.1*", "down"), 2);
    world.soon("www.example.com.", &[EU]);
    world.soon("other.example.com.", &["192.0.2.20", "198.51.100.20"]);
    assert_eq!(set("us-east-1", "drain"), 3);
    world.soon("other.example.com.", &["198.51.100.20"]);
    let status = world.get("status");
    let mut regions = status["regions"].as_array().unwrap().iter();
    assert_eq!(regions.find(|it| it["name"] == "us-east-1").unwrap()["state"], "drain", "{status}");
}

#[test]
fn an_operator_beats_checks_and_checks_go_on() {
    let world = World::start("");
    world.soon("dead.example.com.", &["198.51.100.30"]);
    world.done("override set dead.example.com/us-east-1 up --reason tested");
    world.soon("dead.example.com.", &["127.0.0.1", "198.51.100.30"]);
    let dead = || world.endpoint("dead.example.com", "127.0.0.1");
    assert_eq!((&dead()["verdict"], &dead()["override"]["state"]), (&"down".into(), &"up".into()));
    world.done("override clear dead.example.com/us-east-1");
    world.soon("dead.example.com.", &["198.51.100.30"]);

    // What is withdrawn is still probed.
    world.done("override set dead.example.com/us-east-1 drain --reason disks");
    let probed = || dead()["checks"][0]["at"].clone();
    let before = probed();
    until("a probe of what is drained", || probed() != before);
    world.done("override clear 2");

    // What fails open does so with what is left, never with what is withdrawn.
    for (state, id) in [("down", 3), ("drain", 4)] {
        world.done(&format!("override set 198.51.100.30 {state} --reason disks"));
        world.soon("dead.example.com.", &["127.0.0.1"]);
        let shares = world.shares("dead.example.com.", 200);
        assert_eq!(shares.into_keys().collect::<Vec<_>>(), ["127.0.0.1"]);
        world.done(&format!("override clear {id}"));
        world.soon("dead.example.com.", &["198.51.100.30"]);
    }
}

#[test]
fn a_dial_is_a_share_of_the_normal_traffic() {
    let world = World::start("");
    let probability = || {
        let explained = world.get("explain?name=other.example.com&client=203.0.113.7");
        let candidates = explained["candidates"].as_array().unwrap().clone();
        let us = candidates.iter().find(|it| it["pool"] == "us-east-1");
        us.map_or(0.0, |it| it["probability"].as_f64().unwrap())
    };
    let dial = || {
        let status = world.get("status");
        let mut regions = status["regions"].as_array().unwrap().iter();
        regions.find(|it| it["name"] == "us-east-1").unwrap()["dial"].clone()
    };
    let said = world.done("dial us-east-1 50 --reason slowly");
    assert_eq!(said, "us-east-1: 50 % of its normal traffic\n");
    until("half of the half", || (probability() - 1.0 / 3.0).abs() < 0.01);
    assert_eq!(dial(), 50);
    let shares = world.shares("other.example.com.", 2000);
    let us = shares["192.0.2.20"];
    // 667 of 2,000, with a deviation of 21.
    assert!((567..767).contains(&us), "{shares:?}");

    let body =
        json!({ "percent": 0, "reason": "gone", "author": "ops", "for": null, "force": false });
    let answer = world.post("dials/us-east-1", &body).json();
    assert_eq!(answer, json!({ "region": "us-east-1", "percent": 0 }));
    world.soon("other.example.com.", &["198.51.100.20"]);
    world.soon("www.example.com.", &[EU]);
    assert_eq!(world.shares("other.example.com.", 2000).len(), 1);
    let said = world.done("override list");
    assert!(said.starts_with("dial  us-east-1  0 % ") && said.ends_with("  ops: gone\n"), "{said}");
    let listed = world.get("overrides");
    assert_eq!(
        (&listed["dials"][0]["region"], &listed["dials"][0]["percent"]),
        (&"us-east-1".into(), &0.into())
    );
    assert_eq!(world.endpoint("other.example.com", "192.0.2.20")["effective_weight"], 0.0);

    world.done("dial us-east-1 100 --reason back");
    world.soon("other.example.com.", &["192.0.2.20", "198.51.100.20"]);
    assert_eq!((dial(), world.get("overrides")["dials"].clone()), (100.into(), json!([])));
    assert_eq!(world.events("dial").len(), 3);
}

/// Where a region is all that clients would be sent to, a dial keeps that share of them there; the
/// others go to the next nearest, or the next tier.
#[test]
fn a_dial_sends_the_others_on_to_their_next_choice() {
    let file = "version: 1\nlisten: ['127.0.0.1:0']\nzones: zones/\ngeoip: []\n\
                api: { listen: '127.0.0.1:0' }\n\
                networks: { 203.0.113.0/24: { at: [52.5, 13.4] }, \
                198.51.100.0/24: { at: [40.7, -74] } }\n\
                regions: { us-east-1: { at: aws/us-east-1 }, eu-west-1: { at: aws/eu-west-1 } }\n";
    let zone = "zone: example.com\nrecords:\n  '@': { NS: [ns1] }\n  ns1: { A: 192.0.2.53 }\n  \
                near: { steer: { by: latency, pools: { us-east-1: { A: 192.0.2.1 }, \
                eu-west-1: { A: 192.0.2.2 } } } }\n  \
                standby: { steer: { pools: { us-east-1: { tier: 2, A: 192.0.2.1 }, \
                eu-west-1: { A: 192.0.2.2 } } } }\n";
    let files = [("evenkeel.yaml", file), ("zones/example.com.yaml", zone)];
    let world = World::of(Server::start(&files));
    let (german, american) = ([203, 0, 113], [198, 51, 100]);
    // Percent of the answers to a network that `eu-west-1` has.
    let share_of_eu = |name: &str, network: [u8; 3]| {
        let packet = question_of(name, RecordType::A, network);
        let ask = || world.server.ask_packet(&packet).answers[0].data.to_string() == "192.0.2.2";
        (0..2000).filter(|_| ask()).count() / 20
    };
    assert_eq!(share_of_eu("near.example.com.", german), 100);
    assert_eq!(share_of_eu("standby.example.com.", german), 100);
    world.done("dial eu-west-1 40 --reason slowly");
    let explained = || world.get("explain?name=near.example.com&client=203.0.113.7");
    let near = || {
        let explained = explained();
        let stages = explained["stages"].as_array().unwrap().clone();
        stages.into_iter().find(|it| it["stage"] == "near").unwrap()
    };
    let told = "; eu-west-1 keeps 40 % of its clients; the rest goes on to us-east-1";
    until("the dial", || near()["why"].as_str().unwrap().ends_with(told));
    // Of 2,000 the deviation is one percent.
    for (name, network, expect) in [
        ("near.example.com.", german, 35..46),
        ("near.example.com.", american, 0..1),
        ("standby.example.com.", german, 35..46),
        ("standby.example.com.", american, 35..46),
    ] {
        let share = share_of_eu(name, network);
        assert!(expect.contains(&share), "{name} {network:?}: {share}");
    }
    // Where nobody has its whole share, shares are relative to the largest.
    world.done("dial us-east-1 80 --reason slowly");
    until("both dials", || {
        let candidates = explained()["candidates"].as_array().unwrap().clone();
        let probability = |it: &Value| it["probability"].as_f64().unwrap();
        candidates
            .iter()
            .any(|it| it["pool"] == "eu-west-1" && (probability(it) - 0.5).abs() < 1e-6)
    });
}

#[test]
fn what_would_leave_a_name_with_nothing_is_refused() {
    let world = World::start("");
    for (refused, forced) in [
        ("override set spare drain --reason disks", "override clear spare"),
        ("override set only.example.com down --reason disks", "override clear only.example.com"),
        ("dial spare 0 --reason disks", "dial spare 100 --reason back"),
    ] {
        let (code, said) = world.run(refused);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("\n  only.example.com"), "{said}");
        assert!(said.contains("\nhint: `--force` "), "{said}");
        world.soon("only.example.com.", &["203.0.113.1"]);
        world.done(&format!("{refused} --force"));
        world.soon("only.example.com.", &[]);
        let said = world.refusal("only.example.com");
        assert!(said.contains("SERVFAIL") && said.contains("EDE: 22"), "{said}");
        world.done(forced);
        world.soon("only.example.com.", &["203.0.113.1"]);
    }

    // The second of two that are not refused alone.
    world.done("override set us-east-1 drain --reason disks");
    let body = json!({ "target": "eu-west-1", "state": "down", "reason": "fire", "author": "ops",
        "for": null, "force": false });
    let problem = world.post("overrides", &body).problem(409);
    let names: BTreeSet<&str> =
        problem["names"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    let bare: BTreeSet<&str> = names.iter().map(|it| it.trim_end_matches('.')).collect();
    assert_eq!(bare, ["dead.example.com", "other.example.com", "www.example.com"].into());
    let dial = json!({ "percent": 0, "reason": "fire", "author": "ops" });
    world.post("dials/eu-west-1", &dial).problem(409);
    world.soon("www.example.com.", &[EU]);
    assert_eq!(world.get("overrides")["overrides"].as_array().unwrap().len(), 1);
}

#[test]
fn what_has_an_end_ends_by_itself() {
    let world = World::start("");
    world.done("override set us-east-1 drain --reason disks --for 1s");
    world.done("dial eu-west-1 10 --reason slowly --for 1s");
    let until_is_told = |it: &Value| it["until"].as_str().is_none_or(|it| it.ends_with('Z'));
    let listed = world.get("overrides");
    assert!(listed["overrides"].as_array().unwrap().iter().all(until_is_told), "{listed}");
    until("the end of both", || world.get("overrides") == json!({ "overrides": [], "dials": [] }));
    world.soon("www.example.com.", &[US[0], US[1], EU]);
    for kind in ["override", "dial"] {
        until(&format!("the event of the end of an {kind}"), || world.events(kind).len() == 2);
        let events = world.events(kind);
        assert_eq!((&events[0]["from"], &events[0]["to"]), (&events[1]["to"], &events[1]["from"]));
        assert_eq!(events[1]["why"], "its time is over");
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let mut world = World::start("state: state");
    world.done("override set us-east-1 drain --reason disks --author ann");
    world.done("dial eu-west-1 50 --reason slowly --author ann --for 1h");
    world.done("override set www.example.com/us-east-1 down --reason fire --author ann");
    world.done("override clear 2");
    for _ in 0..2 {
        let listed = world.get("overrides");
        world = World::of(Server::start_in(world.server.kill()));
        // From the first answer on.
        assert_eq!(world.shares("www.example.com.", 40).into_keys().collect::<Vec<_>>(), [EU]);
        assert_eq!(world.get("overrides"), listed);
    }
    world.done("override clear us-east-1");
    world = World::of(Server::start_in(world.server.kill()));
    assert_eq!(world.get("overrides")["overrides"], json!([]));
    world.soon("www.example.com.", &[US[0], US[1], EU]);
    let said = world.done("override set us-east-1 drain --reason disks");
    assert_eq!(said, "override 3: us-east-1 drain\n", "a number is not used twice");
}

#[test]
fn an_override_is_set_by_who_knows_the_token() {
    let world = World::start("");
    let file = std::fs::read_to_string(world.server.path("evenkeel.yaml")).unwrap();
    let file = file.replace("127.0.0.1:0' }", "127.0.0.1:0', token_file: token }");
    let zone = ("zones/example.com.yaml", ZONE);
    let files = [("evenkeel.yaml", &*file), zone, ("token", "secret-secret\n")];
    let world = World::of(Server::start(&files));
    let token = world.server.path("token").display().to_string();
    for command in [
        "override set us-east-1 drain --reason disks",
        "override clear us-east-1",
        "dial us-east-1 50 --reason slowly",
    ] {
        let (code, said) = world.run(command);
        assert!(code == 1 && said.contains("EVENKEEL_TOKEN"), "{command}: {said}");
        world.done(&format!("{command} --token-file {token}"));
    }
    world.done("override list");
    assert_eq!(world.get("overrides")["dials"][0]["percent"], 50);
}

#[test]
fn a_reload_keeps_what_was_said() {
    let world = World::start("");
    world.done("override set us-east-1 drain --reason disks");
    let zone = ZONE.replace("192.0.2.20", "192.0.2.21").replace("198.51.100.20", "198.51.100.21");
    world.server.write("zones/example.com.yaml", &zone);
    world.done("reload");
    // Also for endpoints that were not there.
    world.soon("other.example.com.", &["198.51.100.21"]);
    world.soon("www.example.com.", &[EU]);
    world.done("override clear 1");
    world.soon("other.example.com.", &["192.0.2.21", "198.51.100.21"]);
}

#[test]
fn what_was_said_can_be_taken_back() {
    let world = World::start("");
    world.done("override set spare drain --reason disks --force");
    world.done("override set only.example.com up --reason tested");
    world.soon("only.example.com.", &["203.0.113.1"]);
    world.done("override clear only.example.com");
    world.soon("only.example.com.", &[]);
}

#[test]
fn what_is_wrong_is_said() {
    let world = World::start("");
    for command in [
        "override set mars drain --reason x",
        "override clear 17",
        "override clear us-east-1",
        "dial mars 50 --reason x",
    ] {
        let (code, said) = world.run(command);
        assert!(code == 1 && said.contains("\nhint: "), "{command}: {said}");
    }
    for command in [
        "override set us-east-1 drain",
        "override set us-east-1 sideways --reason x",
        "override set us-east-1 drain --reason x --for soon",
        "dial us-east-1 101 --reason x",
        "dial us-east-1 --reason x",
    ] {
        assert_eq!(world.run(command).0, 2, "{command}");
    }
    let good = json!({ "target": "us-east-1", "state": "drain", "reason": "x", "author": "ops",
        "for": null, "force": false });
    let with = |key: &str, value: Value| {
        let mut body = good.clone();
        body[key] = value;
        world.post("overrides", &body)
    };
    with("target", "mars".into()).problem(404);
    with("target", "".into()).problem(400);
    with("state", "sideways".into()).problem(400);
    with("reason", "".into()).problem(400);
    with("for", "soon".into()).problem(400);
    with("wat", 1.into()).problem(400);
    let dial = json!({ "percent": 101, "reason": "x", "author": "ops" });
    world.post("dials/us-east-1", &dial).problem(400);
    let dial = json!({ "percent": 50, "reason": "x", "author": "ops" });
    world.post("dials/mars", &dial).problem(404);
    world.delete("overrides/17").problem(404);
    assert_eq!(world.get("overrides"), json!({ "overrides": [], "dials": [] }));
}
