//! The main job: weighted answers over three real regions, one of which dies and comes back.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, UdpSocket},
    process::Stdio,
    time::Duration,
};

use evenkeel::clock;
use hickory_proto::{
    op::Message,
    rr::{RData, RecordType},
};

use crate::{
    process::{Process, free_address, until},
    server::{SLACK, Server, question},
};

const QUESTIONS: u32 = 10_000;
const TTL: u32 = 20;
const TTL_MIN: u32 = 5;

/// A region's HTTP server: a process of its own.
pub(crate) struct Region {
    pub(crate) address: Ipv4Addr,
    port: u16,
    process: Option<Process>,
}

impl Region {
    /// Starts regions with the same port at several addresses, as several machines would have it.
    pub(crate) fn start_all<const N: usize>(port: u16, addresses: [Ipv4Addr; N]) -> [Self; N] {
        addresses.map(|address| {
            let mut region = Self { address, port, process: None };
            region.start();
            region
        })
    }

    pub(crate) fn start(&mut self) {
        let mut command = std::process::Command::new("python3");
        command.args(["-m", "http.server", "--bind"]).arg(self.address.to_string());
        command.arg(self.port.to_string()).args(["--directory", env!("CARGO_MANIFEST_DIR")]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(Process::start(&mut command));
        let at = (self.address, self.port);
        until("a region to listen", || std::net::TcpStream::connect(at).is_ok());
    }

    pub(crate) fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }
}

#[test]
fn a_region_dies_and_comes_back() {
    let port = free_address().port();
    let addresses = [1, 2, 3].map(|host| Ipv4Addr::new(127, 0, 7, host));
    let mut regions = Region::start_all(port, addresses);
    let (every, timeout, fall) = (Duration::from_secs(1), Duration::from_millis(500), 3);
    let config = format!(
        "version: 1\nlisten: [\"127.0.0.1:0\"]\nzones: zones/\n\
         regions: {{ a: {{}}, b: {{}}, c: {{}} }}\n\
         checks: {{ web: {{ http: {{ path: /Cargo.toml, port: {port}, body: evenkeel }}, \
         every: 1s, timeout: 500ms, fall: {fall}, rise: 2 }} }}\n"
    );
    let zone = format!(
        "zone: example.com\nrecords:\n  \"@\": {{ NS: ns1 }}\n  ns1: {{ A: 192.0.2.53 }}\n  \
         www:\n    ttl: {TTL}\n    steer:\n      check: web\n      ttl_min: {TTL_MIN}\n      \
         pools:\n        a: {{ weight: 60, A: 127.0.7.1 }}\n        \
         b: {{ weight: 30, A: 127.0.7.2 }}\n        c: {{ weight: 10, A: 127.0.7.3 }}\n"
    );
    let server = Server::start(&[("evenkeel.yaml", &config), ("zones/example.com.yaml", &zone)]);

    let [a, b, c] = regions.each_ref().map(|region| region.address);
    check_shares(&server, &[(a, 60.0), (b, 30.0), (c, 10.0)]);

    let dead_since = clock::now();
    regions[1].kill();
    // While the verdict is still up but probes fail, caches are kept short-lived.
    let mut ttl_before_end = None;
    until("the dead region to leave the answers", || {
        let (shares, ttl) = ask(&server, 200);
        if shares.contains_key(&b) {
            ttl_before_end = ttl.get(&b).copied();
        }
        !shares.contains_key(&b)
    });
    let gone_after = clock::now().duration_since(dead_since);
    let bound = every + every * (fall - 1) + timeout + Duration::from_secs(1);
    assert!(gone_after < bound + SLACK, "gone after {gone_after:?}, the bound is {bound:?}");
    assert_eq!(ttl_before_end, Some(TTL_MIN), "the TTL of the last answers with the dead region");
    check_shares(&server, &[(a, 60.0 / 0.7), (c, 10.0 / 0.7)]);

    regions[1].start();
    until("the region to come back", || ask(&server, 200).0.contains_key(&b));
    check_shares(&server, &[(a, 60.0), (b, 30.0), (c, 10.0)]);

    let (status, stopped) = server.stop();
    assert!(status.success(), "{stopped}");
}

/// Asks ten thousand times: each address has its share in percent within two points, and no other
/// address is there.
#[track_caller]
fn check_shares(server: &Server, expect: &[(Ipv4Addr, f64)]) {
    let (shares, ttls) = ask(server, QUESTIONS);
    assert_eq!(
        shares.keys().copied().collect::<Vec<_>>(),
        expect.iter().map(|(address, _)| *address).collect::<Vec<_>>()
    );
    for (address, percent) in expect {
        let got = f64::from(shares[address]) * 100.0 / f64::from(QUESTIONS);
        assert!((got - percent).abs() < 2.0, "{address}: {got} %, expected {percent} %");
        assert_eq!(ttls[address], TTL, "{address}");
    }
}

/// Asks so many times for `www.example.com A`, as dig would, and gives how often each address came
/// and the least TTL that it came with.
fn ask(server: &Server, questions: u32) -> (BTreeMap<Ipv4Addr, u32>, BTreeMap<Ipv4Addr, u32>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server.address).unwrap();
    socket.set_read_timeout(Some(crate::process::PATIENCE)).unwrap();
    let question = question("www.example.com.", RecordType::A);
    let mut hits = BTreeMap::new();
    let mut ttls = BTreeMap::new();
    let mut reply = [0; 512];
    for _ in 0..questions {
        socket.send(&question).unwrap();
        let len = socket.recv(&mut reply).expect("every question is answered");
        let message = Message::from_vec(&reply[..len]).unwrap();
        assert_eq!(message.answers.len(), 1, "{message}");
        let RData::A(address) = message.answers[0].data else { panic!("{message}") };
        *hits.entry(address.0).or_insert(0) += 1;
        let ttl = ttls.entry(address.0).or_insert(u32::MAX);
        *ttl = (*ttl).min(message.answers[0].ttl);
    }
    (hits, ttls)
}
