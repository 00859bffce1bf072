//! Limits: what one client may ask of the API, and what a page of another site may.
//!
//! *Not here:* how calls are counted (`api::rate`).

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
};

use super::{OPEN, call, start};
use crate::{
    blind::{ip, leave},
    process::until,
};

#[test]
fn heads_are_bounded() {
    let (_server, api) = start(OPEN, &[]);
    let many: Vec<String> = (0..100).map(|idx| format!("X-{idx}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|it| (it.as_str(), "1")).collect();
    assert_eq!(call(api, "GET", "/healthz", &many[..10], b"").status, 200);
    assert_eq!(call(api, "GET", "/healthz", &many, b"").status, 431);
    let long = "x".repeat(20_000);
    assert_eq!(call(api, "GET", "/healthz", &[("X", &long)], b"").status, 431);
    let status = call(api, "GET", &format!("/{long}"), &[], b"").status;
    assert!([414, 431].contains(&status), "{status}");
    assert_eq!(call(api, "GET", "/healthz", &[], b"").status, 200);
}

#[test]
fn pages_of_other_sites_are_told_nothing() {
    let (_server, api) = start(OPEN, &[]);
    let foreign = [
        ("Origin", "https://example.com"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization"),
    ];
    for (method, path, status) in [
        ("OPTIONS", "/api/v1/reload", 405),
        ("GET", "/api/v1/status", 200),
        ("POST", "/api/v1/reload", 403),
        ("DELETE", "/api/v1/overrides/1", 403),
    ] {
        let answer = call(api, method, path, &foreign, b"");
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(!answer.head.to_lowercase().contains("access-control-"), "{}", answer.head);
    }
}

/// What is answered to so many calls on one connection, none of which waits for the one before.
fn many(api: SocketAddr, n_calls: usize) -> String {
    let mut stream = TcpStream::connect(api).unwrap();
    let call = |end: &str| format!("GET /healthz HTTP/1.1\r\nHost: {api}\r\n{end}\r\n");
    let calls = call("").repeat(n_calls) + &call("Connection: close\r\n");
    let mut reader = stream.try_clone().unwrap();
    let reading = thread::spawn(move || {
        let mut said = String::new();
        reader.read_to_string(&mut said).map(|_| said)
    });
    stream.write_all(calls.as_bytes()).unwrap();
    reading.join().unwrap().unwrap()
}

#[test]
fn a_client_that_calls_too_often_waits_and_this_machine_does_not() {
    let run = || {
        if leave().is_none() {
            eprintln!("not run: leaving the machine's network takes root");
            return;
        }
        ip("addr add 192.0.2.1/32 dev lo");
        let listen = "api: { listen: '0.0.0.0:0', token_file: t }";
        let (_server, api) = start(listen, &[("t", "secret-secret\n")]);
        let from =
            |address: [u8; 4]| call((address, api.port()).into(), "GET", "/healthz", &[], b"");
        let mut said = String::new();
        until("calls to be refused", || {
            said = many(([192, 0, 2, 1], api.port()).into(), 1000);
            said.contains("HTTP/1.1 429 ")
        });
        let refused = said.split("HTTP/1.1 429 ").nth(1).unwrap();
        assert!(refused.to_lowercase().contains("\r\nretry-after: 1\r\n"), "{refused}");
        assert!(refused.contains("\"retry_after\": 1"), "{refused}");
        for _ in 0..300 {
            assert_eq!(from([127, 0, 0, 1]).status, 200);
        }
        until("calls to be taken again", || from([192, 0, 2, 1]).status == 200);
    };
    thread::spawn(run).join().unwrap();
}
