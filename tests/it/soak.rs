//! Memory stays flat under load while verdicts change and zones are reloaded: the short form of
//! `cargo bench --bench soak`.
//!
//! *Not here:* what is answered meanwhile (`reload`, `deaths`).

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use hickory_proto::rr::{RData, RecordType};

use crate::{
    load::Load,
    process::until,
    server::{Server, question},
};

const PER_SECOND: u64 = 10_000;

/// Of all names a snapshot holds what is given now, and each reload makes all of it anew.
const NAMES: usize = 5000;

/// Changes of the verdict, each with a reload, until the server has all memory that it will need.
const TURNS_FIRST: u8 = 10;

const TURNS: u8 = 20;

/// What is allowed beside, in KiB. If the snapshots that turns replace were kept, it would be more than
/// twice as much.
const GROWTH_KIB_MAX: u64 = 3 << 10;

const CONFIG: &str = "version: 1
listen: [\"127.0.0.1:0\"]
zones: zones/
checks:
  heart:
    tcp: { expect: beats }
    target: \"127.0.0.1:{port}\"
    every: 100ms
    timeout: 90ms
    fall: 1
    rise: 1
";

/// Names that rest on a heart.
fn zone(version: u8) -> String {
    let mut zone = format!(
        "zone: example.com\nrecords:\n  \"@\": {{ NS: ns1 }}\n  ns1: {{ A: 192.0.2.53 }}\n  \
         www: {{ A: 198.51.100.{version} }}\n"
    );
    for name in 0..NAMES {
        writeln!(
            zone,
            "  n{name}: {{ steer: {{ pools: {{ x: {{ check: heart, region: none, A: 192.0.2.10 }}, \
             y: {{ tier: 2, region: none, A: 192.0.2.20 }} }} }} }}"
        )
        .expect("a String takes everything");
    }
    zone
}

fn resident_kib(server: &mut Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn address(server: &Server, name: &str) -> String {
    match &server.ask(name, RecordType::A).answers[0].data {
        RData::A(address) => address.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn memory_stays_flat() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let beats = Arc::new(AtomicBool::new(true));
    let says = Arc::clone(&beats);
    std::thread::spawn(move || {
        for mut probe in listener.incoming().flatten() {
            // Whoever is gone does not want to know.
            let _ = probe.write_all(if says.load(SeqCst) { b"beats" } else { b"stands" });
        }
    });
    let config = CONFIG.replace("{port}", &port.to_string());
    let mut server =
        Server::start(&[("evenkeel.yaml", &*config), ("zones/example.com.yaml", &zone(0))]);
    let asked = question("n7.example.com.", RecordType::A);
    let load = Load::start(server.address, PER_SECOND, asked, |reply| {
        assert_eq!((reply[3] % 16, reply[7]), (0, 1), "one answer");
    });

    let mut settled_kib = 0;
    for turn in 1..=TURNS_FIRST + TURNS {
        let is_up = !beats.fetch_not(SeqCst);
        server.write("zones/example.com.yaml", &zone(turn));
        let expect = if is_up { "192.0.2.10" } else { "192.0.2.20" };
        until("the verdict", || address(&server, "n7.example.com.") == expect);
        let version = format!("198.51.100.{turn}");
        until("the reload", || address(&server, "www.example.com.") == version);
        assert!(!load.has_failed(), "turn {turn}");
        if turn == TURNS_FIRST {
            settled_kib = resident_kib(&mut server);
        }
    }
    let kib = resident_kib(&mut server);
    load.stop();
    assert!(kib < settled_kib + GROWTH_KIB_MAX, "{kib} KiB after {settled_kib}");
    let (status, stopped) = server.stop();
    assert!(status.success(), "{stopped}");
}
