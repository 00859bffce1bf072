//! The description of the API: that it is one, and that the server does what it says.
//!
//! *Not here:* what each call does (`api`, `overrides`, `explain`).

use std::{
    io::Write as _,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;

use super::{OPEN, call, start};

/// A program of the packages that the tests bring along.
fn python(program: &str) -> Command {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "target/python/bin", program].iter().collect();
    assert!(path.exists(), "`tests/run` installs what this test needs");
    Command::new(path)
}

pub(super) fn document(api: SocketAddr) -> Value {
    call(api, "GET", "/openapi.json", &[], b"").json()
}

/// Every call that is described: its method, its path, and what is said of it.
pub(super) fn calls(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().expect("there are paths");
    let calls = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().expect("a path has methods");
        methods.iter().map(|(method, call)| (method.to_uppercase(), path.clone(), call))
    });
    calls.collect()
}

#[test]
fn the_description_is_valid() {
    let (_server, api) = start(OPEN, &[]);
    let text = call(api, "GET", "/openapi.json", &[], b"").body;
    let mut validator = python("openapi-spec-validator")
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it is there");
    validator.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = validator.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_is_described_is_there_and_says_so() {
    let (_server, api) = start(OPEN, &[]);
    let document = document(api);
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let all = calls(&document);
    assert!(10 < all.len());
    for (method, path, call) in &all {
        for key in ["operationId", "summary", "tags"] {
            assert!(call[key] != Value::Null, "{method} {path} has no {key}");
        }
        for parameter in call["parameters"].as_array().into_iter().flatten() {
            let is_said = |key: &str| parameter[key].as_str().is_some_and(|it| !it.is_empty());
            assert!(is_said("description"), "{method} {path}: {parameter}");
        }
        for (status, answer) in call["responses"].as_object().expect("a call is answered") {
            let problem = &answer["content"]["application/problem+json"];
            assert_eq!(
                "400" <= status.as_str(),
                *problem != Value::Null,
                "{method} {path} {status}"
            );
            if *problem != Value::Null {
                assert_eq!(problem["example"]["status"].to_string(), *status, "{method} {path}");
            }
        }
    }
    // What is not described is not there.
    for path in document["paths"].as_object().unwrap().keys() {
        let real = path.replace(['{', '}'], "");
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            if all.iter().any(|(known, at, _)| known == method && at == path) {
                continue;
            }
            let refused = call(api, method, &real, &[], b"");
            refused.problem(405);
            assert!(refused.head.contains("\r\nallow: "), "{method} {path}: {}", refused.head);
        }
    }
}

#[test]
fn a_thousand_calls_find_nothing_that_is_not_described() {
    let (file, tokens) = super::tokens::make(&["read", "operate", "admin"]);
    let with_tokens = "api: { listen: '127.0.0.1:0', token_file: tokens }";
    let (server, api) = start(with_tokens, &[("tokens", &file)]);
    let admin = &tokens[2];
    let hooks =
        [env!("CARGO_MANIFEST_DIR"), "tests/it/api/schemathesis.py"].iter().collect::<PathBuf>();
    let output = python("schemathesis")
        .args(["run", &format!("http://{api}/openapi.json"), "--no-color"])
        // A stream has no end to wait for.
        .args(["--exclude-path", "/api/v1/events/stream"])
        .args(["--header", &format!("Authorization: Bearer {admin}")])
        .args(["--checks", "all", "--max-examples", "12"])
        .args(["--request-timeout", "20", "--generation-database", "none"])
        .env("SCHEMATHESIS_HOOKS", hooks)
        .current_dir(server.path("zones"))
        .output()
        .expect("it is there");
    let said = String::from_utf8_lossy(&output.stdout);
    let warned = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{warned}");
    // It asked, and the server is as well as before.
    let generated = said.lines().find_map(|it| it.trim().split_once(" generated,")?.0.parse().ok());
    assert!(generated.is_some_and(|it: usize| 300 < it), "{said}");
    let bearer = format!("Bearer {admin}");
    let status = call(api, "GET", "/api/v1/status", &[("Authorization", &bearer)], b"").json();
    assert_eq!(status["ready"], true);
}
