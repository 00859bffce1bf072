//! Metrics: the scrape of a live server, and the rules and pages that rest on it.
//!
//! *Not here:* whether everything is counted (`counts`).

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use evenkeel::limits::METRICS_POOLS_MAX;
use hickory_proto::rr::RecordType;

use super::{OPEN, ZONE, call, start};
use crate::process::until;

/// A zone with a name and a pool that have to be escaped in labels.
const ODD: &str = r#"zone: odd.example
records:
  "@": { NS: ns.x. }
  'a\"b\\c': { steer: { pools: { 'us "1" \ x': { region: us-east-1, A: 192.0.2.10 } } } }
"#;

fn scrape(api: SocketAddr) -> String {
    let answer = call(api, "GET", "/metrics", &[], b"");
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
    answer.body
}

fn promtool(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool is there");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[track_caller]
fn passes(output: &Output) {
    let said = [&output.stdout[..], &output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// The value of a series.
fn value(text: &str, series: &str) -> Option<f64> {
    let line =
        text.lines().find(|it| it.strip_prefix(series).is_some_and(|it| it.starts_with(' ')));
    line.map(|it| it[series.len() + 1..].parse().unwrap())
}

/// The families of a scrape.
fn families(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|it| it.strip_prefix("# TYPE "));
    types.map(|it| it.split(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn a_live_scrape_is_what_prometheus_takes() {
    let (server, api) = start(OPEN, &[("zones/odd.yaml", ODD)]);
    server.ask("www.example.com.", RecordType::A);
    server.ask("nothing.example.com.", RecordType::A);
    let text = scrape(api);
    passes(&promtool(&["check", "metrics"], &text));
    let check =
        |series: &str, expect: f64| assert_eq!(value(&text, series), Some(expect), "{text}");
    check("evenkeel_ready", 1.0);
    check("evenkeel_control_up", 1.0);
    check("evenkeel_blind", 0.0);
    check("evenkeel_questions_total{transport=\"udp\"}", 2.0);
    check("evenkeel_replies_total{rcode=\"NXDOMAIN\"}", 1.0);
    check("evenkeel_zone_questions_total{zone=\"example.com.\"}", 2.0);
    check("evenkeel_answers_by_footing_total{name=\"www.example.com.\",footing=\"healthy\"}", 1.0);
    check("evenkeel_endpoints{region=\"us-east-1\",verdict=\"down\"}", 1.0);
    check("evenkeel_region_state{region=\"us-east-1\",state=\"mixed\"}", 1.0);
    check("evenkeel_region_dial_ratio{region=\"spare\"}", 1.0);
    let pool = "{name=\"dead.example.com.\",pool=\"us-east-1\",region=\"us-east-1\"}";
    check(&format!("evenkeel_pool_weight{pool}"), 1.0);
    check(&format!("evenkeel_pool_effective_weight{pool}"), 0.0);
    assert!(value(&text, "evenkeel_probes_total{check=\"web\",outcome=\"failed\"}") >= Some(1.0));
    assert!(value(&text, "evenkeel_probe_duration_seconds_count{check=\"web\"}") >= Some(1.0));
    // Names and pools as they are written, each `\` and `"` escaped once more.
    let odd = r#"{name="a\\\"b\\\\c.odd.example.",pool="us \"1\" \\ x",region="us-east-1"}"#;
    check(&format!("evenkeel_pool_effective_weight{odd}"), 1.0);

    let headers = [("Accept", "application/openmetrics-text; version=1.0.0, text/plain;q=0.5")];
    let answer = call(api, "GET", "/metrics", &headers, b"");
    assert!(answer.head.contains("content-type: application/openmetrics-text; version=1.0.0"));
    assert!(answer.body.ends_with("# EOF\n"), "{}", answer.body);
    assert!(answer.body.contains("# TYPE evenkeel_questions counter\n"));
}

#[test]
fn names_beyond_the_limit_are_summed() {
    let name = |it: usize| {
        format!("  n{it:04}: {{ steer: {{ pools: {{ eu-west-1: {{ A: 192.0.2.1 }} }} }} }}\n")
    };
    let names = (0..METRICS_POOLS_MAX + 2).map(name).collect::<Vec<_>>().concat();
    let zone = format!("zone: a.example\nrecords:\n  '@': {{ NS: ns.x. }}\n{names}");
    let (server, api) = start(OPEN, &[("zones/a.yaml", &zone)]);
    let last = METRICS_POOLS_MAX - 1;
    for name in [0, last, last + 1, last + 2] {
        server.ask(&format!("n{name:04}.a.example."), RecordType::A);
    }
    let text = scrape(api);
    let answers = |name: &str, pool: &str| {
        let labels = format!("name=\"{name}\",pool=\"{pool}\",region=\"eu-west-1\"");
        value(&text, &format!("evenkeel_answers_total{{{labels}}}"))
    };
    assert_eq!(answers("n0000.a.example.", "eu-west-1"), Some(1.0));
    assert_eq!(answers(&format!("n{last:04}.a.example."), "eu-west-1"), Some(1.0));
    assert_eq!(answers(&format!("n{:04}.a.example.", last + 1), "eu-west-1"), None);
    assert_eq!(answers("*others", "*others"), Some(2.0));
    let others = "{name=\"*others\",footing=\"healthy\"}";
    let footing = value(&text, &format!("evenkeel_answers_by_footing_total{others}"));
    assert_eq!(footing, Some(2.0));
    let pools = text.lines().filter(|it| it.starts_with("evenkeel_pool_weight{"));
    assert_eq!(pools.count(), METRICS_POOLS_MAX);
}

#[test]
fn what_reloads_and_dials_do_shows() {
    let (server, api) = start(OPEN, &[]);
    let is = |series: &str, expect: f64| value(&scrape(api), series) == Some(expect);
    server.write("zones/example.com.yaml", "zone: [");
    until("the refusal", || is("evenkeel_reload_successful", 0.0));
    assert!(is("evenkeel_reloads_total{result=\"refused\"}", 1.0));
    server.write("zones/example.com.yaml", &ZONE.replace("weight: 3", "weight: 4"));
    until("the reload", || is("evenkeel_reload_successful", 1.0));
    let dial = br#"{ "percent": 30, "reason": "test" }"#;
    call(api, "POST", "/api/v1/dials/us-east-1", &[], dial).json();
    until("the dial", || is("evenkeel_region_dial_ratio{region=\"us-east-1\"}", 0.3));
    let pool = "{name=\"www.example.com.\",pool=\"us-east-1\",region=\"us-east-1\"}";
    until("the weight", || is(&format!("evenkeel_pool_effective_weight{pool}"), 0.3));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

#[test]
fn the_page_lists_what_there_is() {
    let (_server, api) = start(OPEN, &[]);
    let page = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let rows = page.lines().filter_map(|it| it.strip_prefix("| `evenkeel_"));
    let listed: BTreeSet<String> =
        rows.map(|it| format!("evenkeel_{}", it.split(['`', '{']).next().unwrap())).collect();
    assert_eq!(listed, families(&scrape(api)));
}

/// The words of a text that are names of ours.
fn names_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
    words.filter(|it| it.starts_with("evenkeel_")).map(str::to_owned).collect()
}

/// What a series is called without what histograms add.
fn family(name: &str) -> &str {
    let ends = ["_bucket", "_count", "_sum"];
    ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

#[test]
fn alerts_and_dashboard_name_metrics_that_there_are() {
    let (_server, api) = start(OPEN, &[]);
    let known = families(&scrape(api));
    for (file, at_least) in [("prometheus/alerts.yaml", 12), ("grafana/evenkeel.json", 20)] {
        let text = fs::read_to_string(root().join("examples").join(file)).unwrap();
        let named = names_in(&text);
        assert!(at_least <= named.len(), "{file}: {named:?}");
        for name in named {
            assert!(known.contains(family(&name)), "{file}: there is no `{name}`");
        }
    }
    let dashboard = fs::read_to_string(root().join("examples/grafana/evenkeel.json")).unwrap();
    serde_json::from_str::<serde_json::Value>(&dashboard).expect("it is JSON");
}

#[test]
fn alerts_fire_and_are_quiet() {
    let rules = root().join("examples/prometheus/alerts.yaml").display().to_string();
    passes(&promtool(&["check", "rules", &rules], ""));
    let tests = root().join("examples/prometheus/alerts_test.yaml").display().to_string();
    passes(&promtool(&["test", "rules", &tests], ""));
    let (rules, tests) = (fs::read_to_string(rules).unwrap(), fs::read_to_string(tests).unwrap());
    let alerts: Vec<_> = rules.split("- alert: ").skip(1).collect();
    assert!(!alerts.is_empty());
    let page = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let heads = page.lines().filter(|it| it.starts_with('#'));
    let anchors: BTreeSet<String> = heads
        .map(|it| it.trim_start_matches(['#', ' ']).to_lowercase().replace(' ', "-"))
        .collect();
    for alert in alerts {
        let name = alert.split_whitespace().next().unwrap();
        let (_, link) = alert.split_once("runbook_url: docs/operations.md#").expect(name);
        let anchor = link.split_whitespace().next().unwrap();
        assert!(anchors.contains(anchor), "{name}: no section `{anchor}`");
        let is_tested = |more: &str| tests.contains(&format!("- name: {name}{more}\n"));
        assert!(is_tested("") && is_tested(", all is well"), "{name} is not tested");
    }
}
