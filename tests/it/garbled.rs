//! Files that are no files: garbled, random, long. They get complaints; nothing panics.

use std::{fmt::Write as _, fs};

use evenkeel::{compile, config};
use proptest::{prelude::*, test_runner::TestRunner};
use tempfile::TempDir;

const SERVER: &str = "\
version: 1
listen: [\"127.0.0.1:0\"]
zones: [z.yaml, z.zone]
regions: { us: { at: aws/us-east-1 }, eu: { at: [53.35, -6.26] } }
user: nobody
geoip: []
networks: { 10.0.0.0/8: { country: DE, subdivision: BE, asn: AS64512, at: [52.5, 13.4] } }
api: { listen: \"127.0.0.1:8053\" }
explain_from: [127.0.0.0/8, \"::1\"]
latency: { samples_min: 20, half_life: 1h, hysteresis: 15% }
checks:
  web: { https: { path: /health, status: [200-299, 301], headers: { A: b } }, every: 10s, fall: 2 }
  db: { tcp: {}, target: \"db.example:5432\" }
";

const ZONE: &str = "\
zone: example.com
ttl: 1h
soa: { primary: ns1, contact: host.master@example.com, serial: auto, refresh: 1h }
records:
  \"@\": { NS: [ns1, ns2.example.net.], MX: 10 mail, TXT: [\"v=spf1 -all\", '\"a\" \"b\"'] }
  ns1: &address { A: 192.0.2.53, AAAA: \"2001:db8::53\" }
  mail: *address
  \"*.w\": { CNAME: ns1 }
  d: { DNAME: example.net. }
  s: { SVCB: 1 . alpn=h2 port=1, TYPE65280: '\\# 2 0102', DS: 1 8 2 ABCD }
  www:
    ttl: 20s
    steer:
      check: [web, db]
      all_down: eu
      min_up: 50%
      pools:
        us: { weight: 60, A: [192.0.2.1, { address: 192.0.2.2, weight: 3 }] }
        eu: { AAAA: \"2001:db8::1\" }
  near:
    steer:
      by: latency
      slack: 10ms
      sticky: client
      all_down: last_good
      pools:
        us: { serves: [US-CA, AS64500, country:SA, 192.0.2.0/24, EU], fence: true, A: 192.0.2.1 }
        eu: { tier: 2, trickle: 0.5%, alias: www }
        x: { region: none, alias: ns1 }
";

const MASTER: &str = "\
$ORIGIN example.org.
$TTL 1h
@ IN SOA ns1 host (
    1 ; serial
    1h 15m 2w 5m )
  NS ns1
ns1 300 IN A 192.0.2.1
    IN 300 AAAA 2001:db8::1
t TXT \"one; two\" three \\# four\\034
u TYPE65280 \\# 3 01 0203
$INCLUDE nope.zone sub
";

/// What tends to mean something.
const PIECES: &[&str] = &[
    "\n",
    " ",
    "\t",
    ":",
    ": ",
    ",",
    "-",
    "- ",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "#",
    "&a ",
    "*a",
    "|\n",
    ">\n",
    "!",
    "?",
    "%",
    "@",
    "\\",
    "(",
    ")",
    ";",
    "$",
    "\0",
    "\u{FEFF}",
    "\u{85}",
    "ü",
    "<<: ",
    "---\n",
    "...\n",
    "0",
    "99999999999999999999",
    "-1",
    "\\#",
    "\\256",
    "\r",
    "  ",
    "~",
    "*address",
    "$INCLUDE z.zone\n",
    "$ORIGIN .\n",
    "SOA",
    "CNAME",
    "DNAME",
    "steer",
    "pools",
    "serves",
    "alias: near",
    "alias: www",
];

fn load(folder: &TempDir, server: &str, zone: &str, master: &str) {
    for (name, text) in [("e.yaml", server), ("z.yaml", zone), ("z.zone", master)] {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    if let Err(complaints) = compile::load(&folder.path().join("e.yaml")) {
        // Showing them must not panic either.
        assert!(!complaints.to_string().is_empty());
        for it in complaints.as_slice() {
            assert!(0 < it.line && 0 < it.column && !it.message.is_empty() && !it.hint.is_empty());
        }
    }
}

/// Each change cuts out some characters at a place and puts a piece there.
fn garble(text: &str, changes: &[(prop::sample::Index, usize, usize)]) -> String {
    let mut text: Vec<char> = text.chars().collect();
    for (at, cut, piece) in changes {
        let at = at.index(text.len() + 1);
        let end = text.len().min(at + cut);
        text.splice(at..end, PIECES[piece % PIECES.len()].chars());
    }
    text.into_iter().collect()
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, usize, usize)>> {
    prop::collection::vec((any::<prop::sample::Index>(), 0..12_usize, 0..PIECES.len()), 0..6)
}

fn runner(cases: u32) -> TestRunner {
    let slow = std::env::var_os("RUN_SLOW_TESTS").is_some();
    let cases = if slow { cases * 10 } else { cases };
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config)
}

#[test]
fn garbled_files() {
    let folder = TempDir::new().expect("a folder");
    let all = (changes(), changes(), changes());
    let outcome = runner(2000).run(&all, |(server, zone, master)| {
        load(&folder, &garble(SERVER, &server), ZONE, MASTER);
        load(&folder, SERVER, &garble(ZONE, &zone), &garble(MASTER, &master));
        Ok(())
    });
    outcome.expect("nothing panics");
}

#[test]
fn any_text() {
    let folder = TempDir::new().expect("a folder");
    let outcome = runner(1000).run(
        &("\\PC{0,60}", prop::collection::vec(0..PIECES.len(), 0..80)),
        |(text, pieces)| {
            let pieces: String = pieces.iter().map(|it| PIECES[*it]).collect();
            load(&folder, SERVER, &text, &pieces);
            load(&folder, SERVER, &pieces, &text);
            load(&folder, &pieces, ZONE, MASTER);
            Ok(())
        },
    );
    outcome.expect("nothing panics");
}

#[test]
fn the_files_are_good_before() {
    let report = config::Report::default();
    assert!(config::parse(ZONE, 0, &report).is_some());
    let folder = TempDir::new().expect("a folder");
    let master = MASTER.replace("$INCLUDE nope.zone sub\n", "");
    for (name, text) in [("e.yaml", SERVER), ("z.yaml", ZONE), ("z.zone", &master)] {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    let plan = compile::load(&folder.path().join("e.yaml"));
    assert_eq!(plan.err().map(|it| it.to_string()), None);
}

#[test]
fn no_utf8() {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("e.yaml"), b"version: 1\nuser: \xFF\n").expect("a file");
    let complaints = compile::load(&folder.path().join("e.yaml")).expect_err("a complaint");
    let it = &complaints.as_slice()[0];
    assert_eq!((it.line, it.column, it.message.as_str()), (2, 7, "this is not UTF-8"));
}

/// A step that is not linear would take minutes here; nothing is timed.
#[test]
fn long_zones() {
    const RECORDS: usize = 100_000;
    let mut zone = "zone: example.com\nrecords:\n  \"@\": { NS: ns.example.net. }\n".to_owned();
    let mut master = "$TTL 1\n@ SOA a. b. 1 2 3 4 5\n NS ns.example.net.\n".to_owned();
    for it in 0..RECORDS {
        let (high, low) = (it / 256 % 256, it % 256);
        writeln!(zone, "  n{it}: {{ A: 10.{}.{high}.{low} }}", it >> 16).expect("a String");
        writeln!(master, "n{it} A 10.{}.{high}.{low}", it >> 16).expect("a String");
    }
    let folder = TempDir::new().expect("a folder");
    for (name, text) in [
        ("e.yaml", "version: 1\nzones: [z.yaml, z.zone]\n"),
        ("z.yaml", &zone),
        ("z.zone", &master),
    ] {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    let plan = compile::load(&folder.path().join("e.yaml"));
    assert_eq!(plan.err().map(|it| it.to_string()), None);

    // As many complaints.
    let zone = zone.replace("A: 10.", "A: 999.");
    fs::write(folder.path().join("z.yaml"), &zone).expect("a file");
    let complaints = compile::load(&folder.path().join("e.yaml")).expect_err("complaints");
    assert_eq!(complaints.as_slice().len(), RECORDS);
}
