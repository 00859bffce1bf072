//! The API of a running server, and the commands that talk to it.
//!
//! *Not here:* whether explanations are true (`explain`).

mod document;
mod http;
mod limits;
mod metrics;
mod tls;
mod tokens;
mod traffic;
mod zones;

use std::{
    net::{SocketAddr, TcpListener},
    process::{Command, Stdio},
    time::SystemTime,
};

use evenkeel::{counters::Registry, snapshot::Snapshot, state::Publisher};
use hickory_proto::rr::{RData, RecordType};
use serde_json::Value;

use crate::{
    process::{evenkeel, until},
    server::Server,
};
pub(crate) use http::{Answer, call, try_call};

const ZONE: &str = "
zone: example.com
records:
  '@': { NS: [ns1] }
  ns1: { A: 192.0.2.53 }
  also: { CNAME: www }
  www:
    ttl: 20s
    steer:
      by: distance
      pools:
        us-east-1: { A: [192.0.2.10, { address: 192.0.2.11, weight: 3 }] }
        eu-west-1: { A: 198.51.100.10 }
  dead:
    steer:
      check: web
      pools:
        us-east-1: { A: 127.0.0.1 }
        eu-west-1: { A: 198.51.100.10, check: [] }
";

/// A server file; a port on which nothing listens is given to the check.
fn file(more: &str) -> String {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!(
        "version: 1
listen: ['127.0.0.1:0']
zones: zones/
geoip: []
explain_from: [127.0.0.0/8]
networks:
  203.0.113.0/24: {{ country: DE, at: [50, 8] }}
regions:
  us-east-1: {{ at: [38.95, -77.45] }}
  eu-west-1: {{ at: [53.35, -6.26] }}
  spare: {{}}
checks:
  web: {{ tcp: {{ port: {free} }}, every: 1s, timeout: 500ms, fall: 1 }}
{more}"
    )
}

fn start(more: &str, others: &[(&str, &str)]) -> (Server, SocketAddr) {
    let file = file(more);
    let mut files = vec![("evenkeel.yaml", &*file), ("zones/example.com.yaml", ZONE)];
    files.extend(others);
    let server = Server::start(&files);
    let api = server.api.expect("the file wants an API");
    (server, api)
}

const OPEN: &str = "api: { listen: '127.0.0.1:0' }";

#[test]
fn status_and_endpoints() {
    let (_server, api) = start(OPEN, &[]);
    assert_eq!(call(api, "GET", "/healthz", &[], b"").status, 200);
    let status = call(api, "GET", "/api/v1/status", &[], b"").json();
    assert_eq!(status["ready"], true);
    assert_eq!(status["blind"], false);
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert!(status["generation"].as_u64().is_some());
    let regions: Vec<_> = status["regions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            assert_eq!(
                (&it["dial"], &it["capacity"], &it["load"]),
                (&100.into(), &Value::Null, &Value::Null)
            );
            (it["name"].as_str().unwrap(), it["state"].as_str().unwrap())
        })
        .collect();
    assert_eq!(regions, [("eu-west-1", "up"), ("spare", "up"), ("us-east-1", "mixed")]);

    let all = call(api, "GET", "/api/v1/endpoints", &[], b"").json();
    assert_eq!(all["endpoints"].as_array().unwrap().len(), 5);
    let endpoints = call(api, "GET", "/api/v1/endpoints?name=dead.example.com", &[], b"").json();
    let [dead, good] = endpoints["endpoints"].as_array().unwrap().as_slice() else { panic!() };
    assert_eq!(dead["name"], "dead.example.com.");
    assert_eq!((&dead["pool"], &dead["region"]), (&"us-east-1".into(), &"us-east-1".into()));
    assert_eq!((&dead["address"], &dead["verdict"]), (&"127.0.0.1".into(), &"down".into()));
    assert_eq!((&dead["override"], &dead["effective_weight"]), (&Value::Null, &0.0.into()));
    let check = &dead["checks"][0];
    assert_eq!((&check["check"], &check["outcome"]), (&"web".into(), &"connection refused".into()));
    let at = check["at"].as_str().unwrap();
    assert!(at.len() == 24 && at.starts_with("20") && at.ends_with('Z'), "{at}");
    assert_eq!((&good["verdict"], &good["effective_weight"]), (&"up".into(), &1.0.into()));
    assert_eq!(good["checks"], serde_json::json!([]));
}

#[test]
fn a_blind_prober_shows_in_the_status() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let prober = format!("prober: {{ control: [{{ tcp: '{free}' }}], startup_wait: 0s }}");
    let (_server, api) = start(&format!("{OPEN}\n{prober}"), &[]);
    let is_blind =
        || call(api, "GET", "/api/v1/status", &[], b"").json()["blind"] == Value::Bool(true);
    until("the prober to be blind", is_blind);
    // Its control target is there again: within 5 s it sees.
    let _listener = TcpListener::bind(free).unwrap();
    until("the prober to see", || !is_blind());
}

#[test]
fn heartbeats_by_curl() {
    let file = file(OPEN).replace(
        "checks:\n",
        "checks:\n  backup: { push: { expires: 2s } }\n  \"a b/c\": { push: { expires: 1h } }\n  \
         unused: { push: { expires: 1h } }\n",
    );
    let zone = ZONE.replace("check: web", "check: [backup, \"a b/c\"]");
    let files = [("evenkeel.yaml", &*file), ("zones/example.com.yaml", &*zone)];
    let server = Server::start(&files);
    let api = server.api.expect("the file wants an API");
    let beat = |check: &str| {
        let url = format!("http://{api}/api/v1/heartbeats/{check}");
        let curl = Command::new("curl")
            .args(["--silent", "--show-error", "--request", "POST"])
            .args(["--write-out", "%{http_code}", &url])
            .output()
            .expect("curl is there");
        String::from_utf8(curl.stdout).unwrap()
    };
    let verdict = || {
        let path = "/api/v1/endpoints?name=dead.example.com";
        let endpoints = call(api, "GET", path, &[], b"").json();
        endpoints["endpoints"][0]["verdict"].as_str().unwrap().to_owned()
    };
    assert_eq!(beat("a%20b%2Fc"), "204");
    assert_eq!(beat("backup"), "204");
    until("the heartbeat to count", || verdict() == "up");
    until("the heartbeat to end", || verdict() == "down");
    assert_eq!(beat("backup"), "204");
    until("another one to count", || verdict() == "up");
    // One that nobody waits for, one of another kind, and none.
    for check in ["unused", "web", "nothing"] {
        let said = beat(check);
        assert!(said.ends_with("404") && said.contains("of the kind `push`"), "{said}");
    }
    assert_eq!(call(api, "GET", "/api/v1/heartbeats/backup", &[], b"").status, 405);
}

#[test]
fn explain_over_http_and_at_the_command_line() {
    let (server, api) = start(OPEN, &[]);
    let path = "/api/v1/explain?name=www.example.com&type=A&client=203.0.113.7";
    let answer = call(api, "GET", path, &[], b"");
    let told = answer.json();
    assert_eq!(told["place"]["country"], "DE");
    let stages: Vec<_> = told["stages"].as_array().unwrap().iter().map(|it| &it["stage"]).collect();
    let words = ["place", "match", "available", "tier", "near", "spill", "pick", "answer"];
    assert_eq!(stages, words);
    assert_eq!(told["stages"][4]["in"], serde_json::json!(["us-east-1", "eu-west-1"]));
    assert_eq!(told["stages"][4]["out"], serde_json::json!(["eu-west-1"]));
    assert_eq!(told["candidates"][0]["pool"], "eu-west-1");
    assert_eq!(told["candidates"][0]["probability"], 1.0);
    assert_eq!((&told["footing"], &told["ttl"]), (&"healthy".into(), &20.into()));
    assert_eq!(told["scope"], 24);

    let explain = ["explain", "www.example.com", "--client", "203.0.113.7"];
    let url = format!("http://{api}");
    let (code, json) = run(&[&explain[..], &["--server", &url, "--json"]].concat());
    assert_eq!((code, &json), (0, &answer.body), "`--json` is what the API gives");
    let config = server.path("evenkeel.yaml").display().to_string();
    let (code, from_file) = run(&[&explain[..], &["--config", &config, "--json"]].concat());
    assert_eq!((code, from_file), (0, json), "and so it is of a file");
    let (code, text) = run(&[&explain[..], &["--server", &url]].concat());
    assert_eq!(code, 0);
    assert_eq!(text.lines().next(), Some("www.example.com. A for 203.0.113.7"));
    assert!(text.lines().any(|it| it.starts_with("near       eu-west-1 ")), "{text}");

    let down = [&explain[..], &["--down", "eu-west-1", "--server", &url, "--json"]].concat();
    let (_, down) = run(&down);
    let down: Value = serde_json::from_str(&down).unwrap();
    assert_eq!(down["candidates"][0]["pool"], "us-east-1");
    let both = call(api, "GET", &format!("{path}&down=eu-west-1,us-east-1"), &[], b"").json();
    assert_eq!((&both["footing"], &both["ttl"]), (&"failed_open".into(), &5.into()));

    let reply = server.ask("explain.www.example.com.", RecordType::TXT);
    assert!(reply.metadata.truncation || reply.answers.len() == 12);
    let reply = server.ask("explain.ns1.example.com.", RecordType::TXT);
    assert!(!reply.answers.iter().any(|it| matches!(it.data, RData::TXT(_))));
}

#[test]
fn what_is_wrong_is_a_problem_with_a_hint() {
    let (_server, api) = start(OPEN, &[]);
    let check = |method: &str, path: &str, status: u16, detail: &str| {
        let answer = call(api, method, path, &[], b"");
        let problem = answer.problem(status);
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{path}: {problem}");
    };
    let explain = |rest: &str| format!("/api/v1/explain?{rest}");
    check("GET", &explain("name=www.example.com"), 400, "`client` is missing");
    check("GET", &explain("client=192.0.2.1"), 400, "`name` is missing");
    check("GET", &explain("name=www.example.com&client=x"), 400, "`client=x`");
    check("GET", &explain("name=a..b&client=192.0.2.1"), 400, "`name=a..b`");
    check("GET", &explain("name=www.example.com&client=192.0.2.1&type=X"), 400, "`type=X`");
    check("GET", &explain("name=www.example.com&client=192.0.2.1&tipe=A"), 400, "`tipe`");
    check("GET", &explain("name=www.example.org&client=192.0.2.1"), 404, "none of the zones");
    check("GET", &explain("name=no.example.com&client=192.0.2.1"), 404, "does not exist");
    check("GET", &explain("name=ns1.example.com&client=192.0.2.1"), 404, "not steered");
    check("GET", &explain("name=also.example.com&client=192.0.2.1"), 404, "not steered");
    check("GET", &explain("name=www.example.com&client=192.0.2.1&down=mars"), 404, "`mars`");
    check("GET", "/api/v1/endpoints?name=no.example.com", 404, "`no.example.com.`");
    check("GET", "/api/v2/status", 404, "`/api/v2/status`");
    check("POST", "/api/v1/status", 405, "POST");
    let long = vec![b'x'; 5 << 20];
    call(api, "POST", "/api/v1/latency", &[], &long).problem(413);
    let foreign = [("Origin", "http://example.com")];
    call(api, "POST", "/api/v1/reload", &foreign, b"").problem(403);

    let (code, said) = run(&["status", "--server", "http://127.0.0.1:1"]);
    assert_eq!(code, 1);
    assert!(said.contains("is the server running? is `api` in its file?"), "{said}");
    let (code, said) = run(&[
        "explain",
        "no.example.com",
        "--client",
        "::1",
        "--server",
        &format!("http://{api}"),
    ]);
    assert_eq!(code, 1);
    assert!(said.contains("`no.example.com.` does not exist\nhint: "), "{said}");
    assert_eq!(run(&["explain", "www.example.com"]).0, 2, "no client");
}

#[test]
fn a_reload_is_asked_for() {
    let (server, api) = start(OPEN, &[]);
    let generation = |answer: &Answer| answer.json()["generation"].as_u64().unwrap();
    let before = generation(&call(api, "GET", "/api/v1/status", &[], b""));
    let reloaded = call(api, "POST", "/api/v1/reload", &[], b"");
    assert_eq!(reloaded.status, 200);
    assert!(before < generation(&reloaded));

    server.write("zones/example.com.yaml", ZONE.replace("20s", "20x").trim_start());
    let refused = call(api, "POST", "/api/v1/reload", &[], b"").problem(422);
    let complaint = &refused["complaints"][0];
    assert!(complaint["file"].as_str().unwrap().ends_with("zones/example.com.yaml"));
    assert_eq!((&complaint["line"], &complaint["column"]), (&7.into(), &10.into()), "{complaint}");
    assert!(complaint["message"].as_str().unwrap().contains("20x"), "{complaint}");
    let (code, said) = run(&["reload", "--server", &format!("http://{api}")]);
    assert_eq!(code, 1);
    assert!(said.contains("20x") && said.contains("1 complaint"), "{said}");

    server.write("zones/example.com.yaml", ZONE);
    server.write("evenkeel.yaml", &file("api: { listen: '127.0.0.2:0' }"));
    let refused = call(api, "POST", "/api/v1/reload", &[], b"").problem(422);
    let message = refused["complaints"][0]["message"].as_str().unwrap();
    assert_eq!(message, "`api.listen` changed: that takes a restart");
}

#[test]
fn who_changes_something_knows_the_token() {
    let with_token = "api: { listen: '127.0.0.1:0', token_file: token }";
    let (server, api) =
        start(with_token, &[("token", "secret-secret\n"), ("other", "guess-a-token\n")]);
    assert_eq!(call(api, "GET", "/api/v1/status", &[], b"").status, 200);
    for headers in [&[][..], &[("Authorization", "Bearer guess-a-token")]] {
        let refused = call(api, "POST", "/api/v1/reload", headers, b"");
        refused.problem(401);
        assert!(refused.head.contains("www-authenticate: Bearer"), "{}", refused.head);
    }
    let headers = [("Authorization", "Bearer secret-secret")];
    assert_eq!(call(api, "POST", "/api/v1/reload", &headers, b"").status, 200);

    let url = format!("http://{api}");
    let path = |name: &str| server.path(name).display().to_string();
    let reload = ["reload", "--server", &url];
    assert_eq!(run(&[&reload[..], &["--token-file", &path("token")]].concat()).0, 0);
    let (code, said) = run(&[&reload[..], &["--token-file", &path("other")]].concat());
    assert_eq!(code, 1);
    assert!(said.contains("EVENKEEL_TOKEN"), "{said}");
    assert_eq!(run(&[&reload[..], &["--token-file", &path("gone")]].concat()).0, 2);
    let mut command = evenkeel();
    command.args(reload).env("EVENKEEL_TOKEN", "secret-secret").stdin(Stdio::null());
    assert!(command.output().unwrap().status.success());

    // A new token counts as soon as the files are read.
    server.write("token", "another-secret\n");
    let changed = [("Authorization", "Bearer another-secret")];
    until("the new token to count", || {
        call(api, "POST", "/api/v1/reload", &changed, b"").status == 200
    });
    call(api, "POST", "/api/v1/reload", &headers, b"").problem(401);
}

#[test]
fn not_healthy_before_steered_names_are_served() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (ready, readiness) = tokio::sync::watch::channel(false);
    // A control loop that takes nothing: health does not wait for it.
    let (requests, _full) = tokio::sync::mpsc::channel(1);
    let api = evenkeel::api::Api {
        snapshots: Publisher::new(Snapshot::default()).current(),
        registry: Registry::new(1),
        since: SystemTime::UNIX_EPOCH,
        requests,
        ready: readiness,
        keys: tokio::sync::watch::channel(None).1,
        tls: tokio::sync::watch::channel(None).1,
    };
    runtime.spawn(evenkeel::api::serve(listener, api));
    call(address, "GET", "/healthz", &[], b"").problem(503);
    ready.send_replace(true);
    assert_eq!(call(address, "GET", "/healthz", &[], b"").body, "ok\n");
}

#[test]
fn a_port_that_is_taken_is_said() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("zones")).unwrap();
    let config = folder.path().join("evenkeel.yaml");
    std::fs::write(&config, file(&format!("api: {{ listen: '{address}' }}"))).unwrap();
    std::fs::write(folder.path().join("zones/example.com.yaml"), ZONE).unwrap();
    let (code, said) = run(&["serve", "--config", &config.display().to_string()]);
    assert_eq!(code, 1);
    assert!(said.contains(&format!("`api` cannot listen on {address}")), "{said}");
    assert!(said.contains("hint: another program has it"), "{said}");
}

/// Runs a command to its end; what it says, be it data or a complaint.
#[track_caller]
pub(crate) fn run(arguments: &[&str]) -> (i32, String) {
    let mut command = evenkeel();
    command.args(arguments).stdin(Stdio::null()).env_remove("EVENKEEL_TOKEN");
    let output = command.env_remove("EVENKEEL_SERVER").output().expect("it is there");
    let code = output.status.code().expect("it ended by itself");
    let said = if code == 0 { output.stdout } else { [output.stdout, output.stderr].concat() };
    (code, String::from_utf8(said).expect("it says text"))
}
