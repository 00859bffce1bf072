//! Tokens: who may do what, for every call that is described.
//!
//! *Not here:* how a file of them is read (`compile::keys`), and its complaints (`check`).

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{
    Answer, call,
    document::{calls, document},
    run, start,
};
use crate::process::until;

/// An API with these scopes, each with a token of its own.
const WITH_TOKENS: &str = "api: { listen: '127.0.0.1:0', token_file: tokens }";

/// A file of tokens, and the token of each scope.
pub(super) fn make(scopes: &[&str]) -> (String, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens").display().to_string();
    let new = |scope: &&str| {
        let name = format!("{scope}er");
        let (code, token) =
            run(&["token", "new", "--name", &name, "--scope", scope, "--append", &path]);
        assert_eq!(code, 0, "{token}");
        token.trim_end().to_owned()
    };
    let tokens = scopes.iter().map(new).collect();
    (std::fs::read_to_string(&path).unwrap(), tokens)
}

fn with(api: SocketAddr, token: &str, method: &str, path: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer {token}");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    call(api, method, path, &[("Authorization", &bearer)], body.as_bytes())
}

/// What shows whether anything was done, but for what calls do that may be made.
fn state(api: SocketAddr, token: &str) -> [Value; 3] {
    let get = |path: &str| with(api, token, "GET", path, &Value::Null).json();
    [get("/api/v1/overrides"), get("/api/v1/events"), get("/api/v1/status")]
}

/// A body that a call would take.
fn body_of(path: &str) -> Value {
    match path {
        "/api/v1/overrides" => json!({ "target": "us-east-1", "state": "drain", "reason": "test" }),
        "/api/v1/dials/{region}" => json!({ "percent": 50, "reason": "test" }),
        "/api/v1/latency" => json!({ "client": "203.0.113.7", "region": "us-east-1", "ms": 20 }),
        _ => Value::Null,
    }
}

#[test]
fn every_call_takes_a_token_of_its_scope() {
    let (file, tokens) = make(&["read", "operate", "admin"]);
    let (_server, api) = start(WITH_TOKENS, &[("tokens", &file)]);
    let document = document(api);
    let before = state(api, &tokens[2]);
    let scopes = ["read", "operate", "admin"];
    let (mut n_guarded, mut allowed) = (0, Vec::new());
    for (method, path, described) in calls(&document) {
        let path_now = path.replace("{region}", "us-east-1").replace(['{', '}'], "");
        let security = described["security"].as_array();
        let needed = security.and_then(|it| it.iter().find_map(|it| it["token"][0].as_str()));
        let Some(needed) = needed else {
            assert!(!path.starts_with("/api/"), "{method} {path} takes no token");
            assert_eq!(call(api, &method, &path_now, &[], b"").status, 200, "{path}");
            continue;
        };
        n_guarded += 1;
        let body = body_of(&path);
        let what = format!("{method} {path}");
        let nobody = call(api, &method, &path_now, &[], body.to_string().as_bytes());
        assert_eq!(nobody.problem(401)["scope"], needed, "{what}");
        assert!(nobody.head.contains("www-authenticate: Bearer realm="), "{}", nobody.head);
        let guessed = tokens[2].replace(|it: char| it.is_ascii_digit(), "7");
        with(api, &guessed, &method, &path_now, &body).problem(401);
        let rank = scopes.iter().position(|it| *it == needed).expect("it is a scope");
        for token in &tokens[..rank] {
            let short = with(api, token, &method, &path_now, &body);
            assert_eq!(short.problem(403)["scope"], needed, "{what}");
            assert!(short.head.contains("insufficient_scope"), "{}", short.head);
        }
        allowed.push((method, path_now, body, rank));
    }
    assert!(10 < n_guarded);
    // Of all that, nothing was done.
    assert_eq!(state(api, &tokens[2]), before);
    for (method, path, body, rank) in allowed.iter().filter(|it| !it.1.ends_with("/stream")) {
        for token in &tokens[*rank..] {
            let status = with(api, token, method, path, body).status;
            assert!(![401, 403, 405, 500].contains(&status), "{method} {path}: {status}");
        }
    }
    assert_ne!(state(api, &tokens[2]), before);
}

#[test]
fn who_says_something_is_whose_token_it_is() {
    let (file, tokens) = make(&["operate"]);
    let (server, api) = start(WITH_TOKENS, &[("tokens", &file)]);
    // Nobody has a token for asking alone, so that it takes none.
    assert_eq!(call(api, "GET", "/api/v1/status", &[], b"").status, 200);
    // A command with a token leaves that to the server.
    let token = server.path("token");
    std::fs::write(&token, &tokens[0]).unwrap();
    let url = format!("http://{api}");
    let (code, _) = run(&[
        "dial",
        "us-east-1",
        "50",
        "--reason",
        "slowly",
        "--server",
        &url,
        "--token-file",
        token.to_str().unwrap(),
    ]);
    let dials = call(api, "GET", "/api/v1/overrides", &[], b"").json()["dials"].clone();
    assert_eq!((code, &dials[0]["author"]), (0, &"operateer".into()), "{dials}");
    let mut body = body_of("/api/v1/overrides");
    with(api, &tokens[0], "POST", "/api/v1/overrides", &body).json();
    body["author"] = "ann".into();
    with(api, &tokens[0], "POST", "/api/v1/overrides", &body).json();
    with(api, &tokens[0], "DELETE", "/api/v1/overrides/2", &Value::Null).json();
    let said = call(api, "GET", "/api/v1/overrides", &[], b"").json();
    assert_eq!(said["overrides"][0]["author"], "operateer", "{said}");
    let events = call(api, "GET", "/api/v1/events", &[], b"").json();
    let why: Vec<&str> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .take(3)
        .map(|it| it["why"].as_str().unwrap())
        .collect();
    let expect = ["an operator took it back (operateer)", "test (ann)", "test (operateer)"];
    assert_eq!(why, expect);

    // A file with other tokens counts as soon as it is read, a wrong one does not.
    server.write("tokens", "operateer admin sha256:00\n");
    let mut server = server;
    server.wait_for_log("ends with no hash", 0);
    assert_eq!(with(api, &tokens[0], "POST", "/api/v1/overrides", &body).status, 200);
    let (file, others) = make(&["read", "admin"]);
    server.write("tokens", &file);
    until("the new tokens to count", || {
        with(api, &others[1], "POST", "/api/v1/reload", &Value::Null).status == 200
    });
    with(api, &tokens[0], "POST", "/api/v1/overrides", &body).problem(401);
    call(api, "GET", "/api/v1/status", &[], b"").problem(401);
    assert_eq!(with(api, &others[0], "GET", "/api/v1/status", &Value::Null).status, 200);
}

#[test]
fn a_token_is_made_once_and_kept_as_a_hash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    let file = path.display().to_string();
    let new = |name: &str, more: &[&str]| {
        run(&[&["token", "new", "--name", name, "--scope", "read"], more].concat())
    };
    let (code, token) = new("ann", &["--append", &file]);
    assert_eq!((code, token.len()), (0, "ek_".len() + 64 + 1), "{token}");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("ann read sha256:") && !text.contains(token.trim_end()), "{text}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let (code, said) = new("ann", &["--append", &file]);
    assert!(code == 1 && said.contains("has a token `ann` already\nhint: "), "{said}");
    assert_eq!(new("bob", &["--append", &file]).0, 0);
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
    std::fs::write(&path, "one-plain-token\n").unwrap();
    let (code, said) = new("ann", &["--append", &file]);
    assert!(code == 1 && said.contains("holds one token and nothing else"), "{said}");
    assert_eq!(new("a b", &[]).0, 1);
    assert_eq!(run(&["token", "new", "--name", "ann", "--scope", "root"]).0, 2);
    let output = crate::process::evenkeel()
        .args(["token", "new", "--name", "ann", "--scope", "admin"])
        .output()
        .unwrap();
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(line.starts_with("ann admin sha256:") && line.lines().count() == 1, "{line}");
}
