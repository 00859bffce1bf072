//! What peers cost that say more than was asked: so much memory for each probe, and no more.

use std::fs;

use bytes::Bytes;
use evenkeel::health::{Exec, Grpc};

use super::{
    kinds::{Two, listen, plain_tls, raw, two},
    *,
};

/// Probes of each kind at one time.
const PROBES: usize = 8;

/// What a peer says it will send.
const BODY_LEN: usize = 1 << 30;

/// Octets that a probe may hold: a mebibyte of a body, and what TLS, HTTP and the peer, which runs in
/// this process too, have in their buffers.
const PROBE_MEMORY_MAX: usize = 2 << 20;

/// Octets that this process has held at most until now.
fn memory_peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() << 10
}

#[tokio::test]
async fn a_gigabyte_costs_a_probe_no_more_than_a_mebibyte_and_its_buffers() {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY_LEN}\r\n\r\n");
    let flood = || Act::Flood(head.clone().into(), b'x');
    let one = authority_until(clock::wall() + 90 * DAY, &[b"http/1.1"]);
    let both = authority_until(clock::wall() + 90 * DAY, &[b"h2"]);
    let plain = Peer::start(flood(), None).await;
    let secret = Peer::start(flood(), Some(one.acceptor.clone())).await;
    let body = Bytes::from(vec![b'x'; 16 << 10]);
    let said = Two { status: 200, body, again: true, trailers: None };
    let acceptor = both.acceptor.clone();
    let over_tls = said.clone();
    let (second, _second) = listen(move |stream| {
        let (acceptor, said) = (acceptor.clone(), over_tls.clone());
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            two(stream, said, Arc::default()).await;
        }
    })
    .await;
    let (grpc, _grpc) = listen(move |stream| two(stream, said.clone(), Arc::default())).await;
    let (talker, _talker) = raw(Act::Flood(Vec::new(), b'x'), None).await;

    let wants = |tls| Kind::Http(Box::new(Http { tls, body: Some("ok".into()), ..http() }));
    let health = Grpc { service: "db".into(), host: "www.example.com".into(), tls: None };
    let expects = Tcp { expect: Some("ok".into()), ..Tcp::default() };
    let argv = vec!["yes".into()];
    let cases = [
        (plain.address, wants(None), BODY),
        (secret.address, wants(Some(plain_tls(Some(&one)))), BODY),
        (second, wants(Some(plain_tls(Some(&both)))), BODY),
        (grpc, Kind::Grpc(health), Outcome::Failed(Why::Grpc("the answer is too long".into()))),
        (talker, Kind::Tcp(expects), Outcome::Failed(Why::Expect)),
        (
            talker,
            Kind::Exec(Exec { argv }),
            Outcome::Failed(Why::Exec("the command writes too much".into())),
        ),
    ];
    let before = memory_peak();
    let mut running = tokio::task::JoinSet::new();
    for (address, kind, expect) in &cases {
        for _ in 0..PROBES {
            let spec = ProbeSpec {
                timeout: Duration::from_mins(1),
                every: Duration::from_secs(100),
                ..spec(*address, kind.clone())
            };
            let expect = expect.clone();
            running.spawn(async move { assert_eq!(execute(&spec).await, expect, "{spec:?}") });
        }
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
    let cost = memory_peak() - before;
    let allowed = cases.len() * PROBES * PROBE_MEMORY_MAX;
    assert!(cost <= allowed, "{cost} octets for what may cost {allowed}");
}
