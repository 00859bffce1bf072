//! What survives: the state folder of a server that is killed, and who hears of what happened.
//!
//! *Not here:* damaged files of all kinds (`state::store`), retries of webhooks (`app::webhook`).

mod killed;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    process::Stdio,
    sync::{Arc, mpsc},
    time::Duration,
};

use evenkeel::clock;
use hickory_proto::rr::{RData, RecordType};
use nix::unistd::Uid;
use serde_json::Value;

use crate::{
    api::{call, run},
    probes::{Act, DAY, Peer, authority_until, ok},
    process::{PATIENCE, Process, evenkeel},
    server::Server,
};

const ZONE: &str = "
zone: example.com
records:
  '@': { NS: [ns1] }
  ns1: { A: 192.0.2.53 }
  www:
    steer:
      pools:
        a: { A: 127.0.0.1, check: web }
        b: { A: 192.0.2.2 }
";

fn file(port: u16, more: &str) -> String {
    format!(
        "version: 1\nlisten: ['127.0.0.1:0']\nzones: zones/\ngeoip: []\n\
         api: {{ listen: '127.0.0.1:0' }}\nprober: {{ startup_wait: 20s }}\n\
         regions: {{ a: {{}}, b: {{}} }}\n\
         checks: {{ web: {{ http: {{ port: {port} }}, every: 20s, timeout: 15s, fall: 1 }} }}\n{more}\n"
    )
}

fn start(port: u16, more: &str) -> Server {
    let file = file(port, more);
    Server::start(&[("evenkeel.yaml", &file), ("zones/example.com.yaml", ZONE), ("secret", "s3\n")])
}

fn events(api: SocketAddr, parameters: &str) -> Vec<Value> {
    let answer = call(api, "GET", &format!("/api/v1/events{parameters}"), &[], b"").json();
    answer["events"].as_array().unwrap().clone()
}

fn addresses(server: &Server) -> Vec<String> {
    let message = server.ask("www.example.com.", RecordType::A);
    let address = |it: &hickory_proto::rr::Record| match &it.data {
        RData::A(address) => address.to_string(),
        other => panic!("{other}"),
    };
    message.answers.iter().map(address).collect()
}

#[test]
fn verdicts_and_events_survive_a_kill() {
    // Nobody listens: the target is down.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = start(port, "state: state");
    let noted = events(server.api.unwrap(), "");
    let [verdict] = noted.as_slice() else { panic!("{noted:?}") };
    assert_eq!((&verdict["kind"], &verdict["id"]), (&"verdict".into(), &1.into()));
    assert_eq!(verdict["subject"], "www.example.com./a/127.0.0.1");
    assert_eq!((&verdict["from"], &verdict["to"]), (&"unknown".into(), &"down".into()));
    assert!(verdict["why"].as_str().unwrap().contains("refused"), "{verdict}");
    // What a crash may take is a second old at most.
    std::thread::park_timeout(Duration::from_millis(1500));
    let folder = server.kill();

    // Now it takes connections and says nothing: the first probe takes long, and the server knows
    // all the same.
    let hole = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let began = clock::now();
    let mut server = Server::start_in(folder);
    assert!(began.elapsed() < Duration::from_secs(10), "it waits for no probe");
    for _ in 0..50 {
        assert_eq!(addresses(&server), ["192.0.2.2"]);
    }
    let api = server.api.unwrap();
    assert_eq!(events(api, ""), noted, "no verdict has changed");
    assert_eq!(call(api, "POST", "/api/v1/reload", &[], b"").status, 200);
    let later = events(api, "?after=1");
    assert!(1 < later[0]["id"].as_u64().unwrap(), "{later:?}");
    assert_eq!(later[0]["kind"], "reload");

    // A damaged file is set aside, and the server starts without it.
    let path = server.path("state/state.redb");
    let folder = server.kill();
    drop(hole);
    fs::write(&path, "something else").unwrap();
    server = Server::start_in(folder);
    let line = server.wait_for_log("the state cannot be read", 0);
    assert!(line.contains("state.redb.damaged-"), "{line}");
    let noted = events(server.api.unwrap(), "");
    assert_eq!((noted.len(), &noted[0]["kind"]), (1, &"verdict".into()), "{noted:?}");
    // Another one may not have the same.
    let mut second = evenkeel();
    let config = server.path("evenkeel.yaml");
    let output = second.args(["serve", "--config"]).arg(config).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("another process has"), "{said}");
    assert!(server.stop().0.success());
}

/// Root makes the folder, and the user that it becomes has it.
#[test]
fn the_folder_belongs_to_the_user() {
    if !Uid::effective().is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(folder.path().join("zones")).unwrap();
    fs::write(folder.path().join("zones/example.com.yaml"), ZONE).unwrap();
    let file = file(1, "state: state\nuser: nobody");
    fs::write(folder.path().join("evenkeel.yaml"), file).unwrap();
    let folder = Arc::new(folder);
    let owner = |path: &str| fs::metadata(folder.path().join(path)).unwrap().uid();
    for made_by_root in [true, false] {
        let server = Server::start_in(Arc::clone(&folder));
        assert_ne!(owner("state"), 0);
        assert_eq!(owner("state"), owner("state/state.redb"));
        assert!(server.stop().0.success());
        if made_by_root {
            // As a server without `user` would have left it.
            for path in ["state", "state/state.redb"] {
                std::os::unix::fs::chown(folder.path().join(path), Some(0), Some(0)).unwrap();
            }
        }
    }
    // A folder of root with other things in it is no folder of the server's.
    std::os::unix::fs::chown(folder.path().join("state"), Some(0), Some(0)).unwrap();
    fs::write(folder.path().join("state/other"), "").unwrap();
    let mut command = evenkeel();
    let config = folder.path().join("evenkeel.yaml");
    let output = command.args(["serve", "--config"]).arg(config).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("state folder cannot be used"), "{said}");
    assert_eq!(owner("state"), 0);
}

#[test]
fn a_server_without_a_folder_says_so() {
    let mut server = start(1, "");
    server.wait_for_log("overrides and verdicts do not survive a restart", 0);
    let file = file(1, "state: state");
    server.write("evenkeel.yaml", &file);
    server.wait_for_log("`state` changed: that takes a restart", 0);
    // A refused reload is an event as well.
    let noted = events(server.api.unwrap(), "?limit=1");
    assert_eq!((&noted[0]["kind"], &noted[0]["to"]), (&"reload".into(), &"refused".into()));
}

#[test]
fn pages_of_events() {
    let server = start(1, "");
    let api = server.api.unwrap();
    for _ in 0..3 {
        assert_eq!(call(api, "POST", "/api/v1/reload", &[], b"").status, 200);
    }
    let ids = |parameters: &str| -> Vec<u64> {
        events(api, parameters).iter().map(|it| it["id"].as_u64().unwrap()).collect()
    };
    assert_eq!(ids(""), [1, 2, 3, 4]);
    assert_eq!(ids("?limit=2"), [3, 4]);
    assert_eq!(ids("?after=1&limit=2"), [2, 3]);
    assert_eq!(ids("?after=4"), [] as [u64; 0]);
    for wrong in ["?limit=0", "?limit=1001", "?after=x", "?before=1"] {
        let answer = call(api, "GET", &format!("/api/v1/events{wrong}"), &[], b"");
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(answer.body.contains("hint"), "{wrong}: {}", answer.body);
    }
    assert_eq!(call(api, "GET", "/api/v1/events/stream?after=x", &[], b"").status, 400);
    let url = format!("http://{api}");
    let (code, text) = run(&["events", "--server", &url, "--limit", "1"]);
    assert_eq!(code, 0);
    assert!(text.starts_with("     4  20") && text.contains("  reload       "), "{text}");
    let (code, json) = run(&["events", "--server", &url, "--after", "3", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &json["events"][0]["id"]), (0, &4.into()));
}

#[test]
fn who_follows_hears_what_happened_and_what_happens() {
    let server = start(1, "");
    let api = server.api.unwrap();
    assert_eq!(call(api, "POST", "/api/v1/reload", &[], b"").status, 200);
    let mut stream = TcpStream::connect(api).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET /api/v1/events/stream HTTP/1.1\r\nHost: {api}\r\nLast-Event-ID: 1\r\n\r\n")
        .unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "HTTP/1.1 200 OK");
    assert!(lines.by_ref().any(|it| it == "content-type: text/event-stream"));
    assert!(lines.by_ref().any(|it| it == "id: 2"));

    let mut command = evenkeel();
    command.args(["events", "--follow", "--json", "--server", &format!("http://{api}")]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = Process::start(&mut command);
    let out = process.child().stdout.take().unwrap();
    let mut followed = BufReader::new(out).lines().map(Result::unwrap);
    let mut next = || -> Value { serde_json::from_str(&followed.next().unwrap()).unwrap() };
    assert_eq!([&next()["id"], &next()["id"]], [1, 2]);

    assert_eq!(call(api, "POST", "/api/v1/reload", &[], b"").status, 200);
    assert!(lines.by_ref().any(|it| it == "id: 3"));
    let data = lines.next().unwrap();
    let event: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(event, next());
    assert_eq!((&event["id"], &event["kind"]), (&3.into(), &"reload".into()));
    process.kill();
}

/// A peer that takes events in, its URL, and the requests that it hears.
fn hook() -> (String, mpsc::Receiver<String>) {
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x", peer.local_addr().unwrap());
    let (requests_in, requests) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in peer.incoming() {
            let mut stream = stream.unwrap();
            let mut octets = vec![0; 4096];
            let mut len = 0;
            // The body is one line of JSON and ends the request.
            while !octets[..len].ends_with(b"}") {
                len += stream.read(&mut octets[len..]).unwrap();
            }
            stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").unwrap();
            let request = String::from_utf8_lossy(&octets[..len]).into_owned();
            // The test may be over.
            let _ = requests_in.send(request);
        }
    });
    (url, requests)
}

#[test]
fn a_webhook_is_told() {
    let (url, requests) = hook();
    let server =
        start(1, &format!("webhooks: [{{ url: '{url}', events: reload, secret_file: secret }}]"));
    assert_eq!(call(server.api.unwrap(), "POST", "/api/v1/reload", &[], b"").status, 200);
    let request = requests.recv_timeout(PATIENCE).unwrap();
    assert!(request.starts_with("POST /x HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nx-evenkeel-signature: sha256="), "{request}");
    assert!(request.contains(r#""kind":"reload""#), "no verdict: {request}");
    assert!(!server.log().iter().any(|line| line.contains("s3")), "no secret is in the log");
}

#[test]
fn a_certificate_that_ends_soon_is_told_once() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let authority = authority_until(clock::wall() + 5 * DAY + DAY / 24, &[]);
    let acceptor = Some(authority.acceptor.clone());
    let peer = runtime.block_on(Peer::start(Act::Say(ok("ok")), acceptor));
    let (url, requests) = hook();
    let state = tempfile::tempdir().unwrap();
    let port = peer.address.port();
    let check = format!("https: {{ port: {port}, host: www.example.com, ca: ca.pem }}");
    let more = format!(
        "webhooks: [{{ url: '{url}', events: [certificate, reload] }}]\nstate: '{}'",
        state.path().display()
    );
    let file = file(port, &more).replace(&format!("http: {{ port: {port} }}"), &check);
    let ca = String::from_utf8(authority.pem.to_vec()).unwrap();
    let files = [("evenkeel.yaml", &*file), ("zones/example.com.yaml", ZONE), ("ca.pem", &*ca)];
    let server = Server::start(&files);
    let request = requests.recv_timeout(PATIENCE).unwrap();
    let body = request.split("\r\n\r\n").nth(1).unwrap();
    let event: Value = serde_json::from_str(body).unwrap();
    let told = ["kind", "from", "to", "why"].map(|it| event[it].as_str().unwrap());
    assert_eq!(told, ["certificate", "good", "ends soon", "it ends in 5d"]);
    assert!(event["subject"].as_str().unwrap().contains(&port.to_string()), "{event}");
    let is_told = |it: &Value| it["kind"] == "certificate";
    let count =
        |server: &Server| events(server.api.unwrap(), "").iter().filter(|it| is_told(it)).count();
    assert_eq!(count(&server), 1);

    // Who starts again knows that it was told, and meets the same certificate.
    assert!(server.stop().0.success());
    let server = Server::start(&files);
    let is_probed = || {
        let answer = call(server.api.unwrap(), "GET", "/api/v1/endpoints", &[], b"").json();
        let mut endpoints = answer["endpoints"].as_array().unwrap().iter();
        endpoints.any(|it| it["checks"][0]["outcome"].is_string())
    };
    let deadline = clock::now() + PATIENCE;
    while !is_probed() {
        assert!(clock::now() < deadline, "it is not probed");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(count(&server), 1);
}
