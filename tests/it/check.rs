//! `check`: every complaint, its place and its words.

use std::{fs, path::Path, process::Command, time::UNIX_EPOCH};

use evenkeel::{
    compile::{self, Memory, Plan},
    health::{Kind, Target, Tree},
    steer::AllDown,
};
use tempfile::TempDir;

mod checks;
mod complaints;
mod kept;
mod keys;
mod ramps;

const SERVER: &str = "\
version: 1
zones: [z.yaml]
regions: { us: {}, eu: {} }
checks:
  web: { http: { path: /health } }
  port: { tcp: { port: 443 } }
";

const ZONE: &str = "\
zone: example.com
records:
  \"@\": { NS: ns.example.net. }
";

/// Writes the files into a folder of their own.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    folder
}

fn load(files: &[(&str, &str)]) -> (TempDir, Result<Plan, Vec<String>>) {
    let folder = folder(files);
    let plan = compile::load(&folder.path().join("evenkeel.yaml")).map_err(|complaints| {
        let prefix = format!("{}/", folder.path().display());
        let line = |it: &evenkeel::config::Complaint| {
            let file = it.file.trim_start_matches(&prefix);
            let text = format!("{file}:{}:{}: {} | {}", it.line, it.column, it.message, it.hint);
            text.replace(&prefix, "")
        };
        complaints.as_slice().iter().map(line).collect()
    });
    (folder, plan)
}

/// What is read or listed for the server file of a folder, as paths from there.
fn sources_of(folder: &TempDir) -> Vec<String> {
    let path = folder.path().join("evenkeel.yaml");
    let loaded = compile::load_with(&path, &Memory::default(), UNIX_EPOCH);
    let paths = loaded.sources.iter().chain(&*loaded.zones).map(|it| &it.path);
    paths.map(|it| it.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned()).collect()
}

/// Whether the server file, or with `zone` the zone file, gets exactly these complaints. A
/// complaint is matched from its beginning, so that a case may leave out the hint.
#[track_caller]
fn check_files(files: &[(&str, &str)], expect: &[&str]) {
    let (_folder, plan) = load(files);
    let got = plan.err().unwrap_or_default();
    let same = got.len() == expect.len()
        && got.iter().zip(expect).all(|(got, expect)| got.starts_with(expect));
    assert!(same, "{files:#?}\ngot {got:#?}\nexpected {expect:#?}");
}

const PLAN_SERVER: &str = "\
version: 1
listen: \"127.0.0.1:0\"
zones: zones
user: nobody
prober: { startup_wait: 500ms }
regions: { us: {}, eu: {} }
checks:
  web: { https: { path: /health, body: ok }, every: 1s, timeout: 500ms }
  db: { tcp: {}, target: \"db.example:5432\" }
";

const PLAN_ZONE: &str = "\
zone: example.com
records:
  \"@\": { NS: ns.example.net. }
  w:
    ttl: 20s
    steer:
      check: [web, db]
      all_down: eu
      min_up: 50%
      pools:
        us: { weight: 60, A: [192.0.2.1, { address: 192.0.2.2, weight: 3, check: db, label: a }] }
        eu: { AAAA: \"2001:db8::1\" }
  x: { steer: { check: web, pools: { us: { A: 192.0.2.1 } } } }
  y: { ttl: 2, steer: { check: web, pools: { one: { region: none, CNAME: Host.example.net. } } } }
  z: { steer: { check: db, pools: { us: { A: 192.0.2.9 } } } }
";

/// What comes out when nothing is wrong.
#[test]
fn the_plan() {
    let master = "$TTL 1h\n@ SOA ns.x. h.x. 1 2 3 4 5\n NS ns.x.\n";
    let files = [
        ("evenkeel.yaml", PLAN_SERVER),
        ("zones/a.yaml", PLAN_ZONE),
        ("zones/example.org.zone", master),
    ];
    let (folder, plan) = load(&files);
    let plan = plan.expect("nothing is wrong");

    assert_eq!(plan.settings.listen, ["127.0.0.1:0".parse().expect("an address")]);
    assert_eq!(plan.settings.user.as_deref(), Some("nobody"));
    assert_eq!(plan.settings.startup_wait.as_millis(), 500);
    let expect = ["evenkeel.yaml", "zones", "zones/a.yaml", "zones/example.org.zone"];
    assert_eq!(sources_of(&folder), expect);

    let zones: Vec<_> = plan.zones.iter().map(|it| it.zone.apex().to_string()).collect();
    assert_eq!(zones, ["example.com.", "example.org."]);
    let [w, x, y, z] = plan.zones[0].steered.as_slice() else { panic!("four steered names") };
    let policy = &w.policy;
    assert_eq!((policy.ttl, policy.ttl_min, policy.answers), (20, 5, 8));
    assert_eq!((policy.all_down, policy.min_up_percent), (AllDown::Pool(1), Some(50)));
    assert_eq!(policy.pools[0].region.as_deref(), Some("us"));
    assert_eq!((policy.pools[0].weight, policy.pools[1].weight), (60, 1));
    assert_eq!(policy.pools[0].endpoints[1].label.as_deref(), Some("a"));
    assert_eq!((y.policy.ttl_min, y.policy.pools[0].region.as_deref()), (2, None));

    // `db` has a target of its own, so it is one probe whoever refers to it; `web` is one per
    // address and host.
    let specs: Vec<String> = plan
        .probes
        .iter()
        .map(|it| {
            let target = match &it.target {
                Target::Address(address) => address.to_string(),
                Target::Host(host) => host.to_string(),
            };
            let host = match &it.kind {
                Kind::Http(http) => &http.host,
                _ => "tcp",
            };
            format!("{target} {} {host}", it.port)
        })
        .collect();
    assert_eq!(
        specs,
        [
            "192.0.2.1 443 w.example.com",
            "db.example 5432 tcp",
            "2001:db8::1 443 w.example.com",
            "192.0.2.1 443 x.example.com",
            "host.example.net 443 y.example.com",
        ]
    );
    let probes = |name: &compile::PlannedName| -> Vec<Vec<u32>> {
        let each = |tree: &Tree| {
            let mut ids = Vec::new();
            tree.for_each_probe(&mut |id| ids.push(id.0));
            ids
        };
        name.probes.iter().flatten().map(each).collect()
    };
    assert_eq!(probes(w), [vec![0, 1], vec![1], vec![2, 1]]);
    assert_eq!((probes(x), probes(z)), (vec![vec![3]], vec![vec![1]]));
}

const TWELVE: &[(&str, &str)] = &[
    (
        "evenkeel.yaml",
        "\
version: 1
lisen: [\"127.0.0.1:5300\"]
zones: zones/
identity: ns1
regions: { us-east-1: {}, eu-west-1: {} }
checks:
  web:
    https: { path: /health }
    every: 3s
    timeout: 3s
",
    ),
    (
        "zones/example.com.yaml",
        "\
zone: example.com
records:
  \"@\": { NS: ns1 }
  ns1: { A: 192.0.2.53 }
  WWW: { TXT: x }
  www.example.com.: { TXT: y }
  alias: { CNAME: www, TXT: x }
  out.example.net.: { A: 192.0.2.1 }
  six: { A: \"2001:db8::1\" }
  mail: { MX: [ten mail] }
  app:
    steer:
      check: wbe
      pools:
        us-est-1: { A: 192.0.2.10 }
        eu-west-1: { weight: 65536, A: 192.0.2.11 }
",
    ),
    (
        "zones/other.example.zone",
        "\
@ 1h SOA ns.x. host.x. 1 2 3 4 5
     NS  ns.x.
a    A   192.0.2.256
",
    ),
    ("zones/twice.yaml", "zone: example.com\nrecords: { \"@\": { NS: ns.x. } }\n"),
];

fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .current_dir(folder)
        .args(["check", "--config", "evenkeel.yaml"])
        .args(arguments)
        .output()
        .expect("the binary runs");
    assert!(output.stderr.is_empty(), "{output:?}");
    (output.status.code(), String::from_utf8(output.stdout).expect("text"))
}

#[test]
fn all_mistakes_in_one_run() {
    let folder = folder(TWELVE);
    let (code, text) = run(folder.path(), &[]);
    assert_eq!(code, Some(1));
    let places: Vec<&str> = text
        .lines()
        .filter(|it| it.contains(".yaml:") || it.contains(".zone:"))
        .filter(|it| !it.starts_with("hint"))
        .collect();
    let expect = [
        "evenkeel.yaml:2:1: unknown key `lisen` in the server file",
        "evenkeel.yaml:4:1: `identity` is not supported yet",
        "evenkeel.yaml:10:14: `timeout` (3s) is not less than `every` (3s)",
        "zones/example.com.yaml:6:3: the name `www.example.com.` is there twice",
        "zones/example.com.yaml:7:19: `alias.example.com.` has a CNAME beside other data (TXT)",
        "zones/example.com.yaml:8:3: `out.example.net.` is outside of the zone `example.com.`",
        "zones/example.com.yaml:9:13: `2001:db8::1` is not an IPv4 address",
        "zones/example.com.yaml:10:16: `ten` is not a number from 0 to 65535",
        "zones/example.com.yaml:13:14: the check `wbe` is not declared",
        "zones/example.com.yaml:15:9: the region `us-est-1` is not declared",
        "zones/example.com.yaml:16:30: `weight` is 65536, which is out of range",
        "zones/other.example.zone:3:10: `192.0.2.256` is not an IPv4 address",
        "zones/twice.yaml:1:7: the zone `example.com.` is there twice",
    ];
    assert_eq!(places, expect);
    let whole = "\
zones/example.com.yaml:13:14: the check `wbe` is not declared
        check: wbe
               ^
hint: did you mean `web`?
";
    assert!(text.contains(whole), "{text}");
    assert!(text.ends_with("\n13 complaints\n"), "{text}");

    let (code, json) = run(folder.path(), &["--json"]);
    assert_eq!(code, Some(1));
    let json: Vec<serde_json::Value> = serde_json::from_str(&json).expect("an array");
    assert_eq!(json.len(), expect.len());
    let first = serde_json::json!({
        "file": "evenkeel.yaml",
        "line": 2,
        "column": 1,
        "message": "unknown key `lisen` in the server file",
        "hint": "did you mean `listen`?",
    });
    assert_eq!(json[0], first);
}

#[test]
fn nothing_to_complain_of() {
    let folder = folder(&[("evenkeel.yaml", SERVER), ("z.yaml", ZONE)]);
    assert_eq!(
        run(folder.path(), &[]),
        (Some(0), "ok: 1 zone, 0 steered names, 0 probes\n".to_owned())
    );
    assert_eq!(run(folder.path(), &["--json"]), (Some(0), "[]\n".to_owned()));
}
