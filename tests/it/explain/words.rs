//! How explanations are worded, stage by stage.

use std::{
    fs,
    time::{Duration, UNIX_EPOCH},
};

use evenkeel::{
    api::{Asked, body::Explained},
    compile,
    health::{Outcome, Report, Status, Told, Verdict},
    state::{Change, State},
    wire::Name,
};

/// A server whose regions are far apart, and whose clients are in three networks.
const SERVER: &str = "
version: 1
zones: zones/
geoip: []
networks:
  203.0.113.0/24: { country: DE, subdivision: BE, asn: 64500, at: [52.5, 13.4] }
  198.51.100.0/24: { country: US, at: [40, -75] }
regions:
  us: { at: [38.95, -77.45] }
  eu: { at: [53.35, -6.26] }
  ap: { at: [1.35, 103.8] }
checks:
  web: { tcp: { port: 80 } }
";

/// Explains `www` under a `steer` of flow YAML, of which the endpoints in `down` are down and those
/// in `shaky` are, and compares one line: a stage's, or that of `footing`, `ttl` or `scope`.
struct Case {
    steer: &'static str,
    client: &'static str,
    down: &'static [&'static str],
    shaky: &'static [&'static str],
    what_if: &'static [&'static str],
}

const US_EU: &str =
    "us: { weight: 60, A: [192.0.2.1, 192.0.2.2] }, eu: { weight: 40, A: 192.0.2.3 }";

fn case(steer: &'static str) -> Case {
    Case { steer, client: "203.0.113.7", down: &[], shaky: &[], what_if: &[] }
}

impl Case {
    fn told(&self) -> Explained {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("zones")).unwrap();
        let steer = self.steer.replace("US_EU", US_EU);
        let zone = format!(
            "zone: example.com\nrecords:\n  '@': {{ NS: [ns.example.net.] }}\n  \
             inner: {{ steer: {{ ttl_min: 3s, pools: {{ us: {{ A: 192.0.2.70 }}, \
             eu: {{ A: 192.0.2.71 }} }} }}, ttl: 10s }}\n  fixed: {{ ttl: 7s, A: 192.0.2.80 }}\n  \
             www:\n    ttl: 20s\n    steer: {{ check: web, {steer} }}\n"
        );
        fs::write(folder.path().join("zones/example.com.yaml"), zone).unwrap();
        fs::write(folder.path().join("evenkeel.yaml"), SERVER).unwrap();
        let plan = compile::load(&folder.path().join("evenkeel.yaml"));
        let plan = plan.unwrap_or_else(|complaints| panic!("{}", complaints.to_text()));
        let (mut state, effects) = State::begin(plan);
        for spec in effects.probes.unwrap() {
            let is_in = |list: &[&str]| list.contains(&&*spec.target.to_string());
            let verdict = if is_in(self.down) { Verdict::Down } else { Verdict::Up };
            let status = Status { verdict, shaky: is_in(self.shaky) };
            let report = Report {
                spec,
                status,
                outcome: Outcome::Good,
                told: Told::default(),
                took: Duration::ZERO,
                at: UNIX_EPOCH,
            };
            state.apply(Change::Probed(report));
        }
        let asked = Asked {
            name: Name::parse("www.example.com.", None).unwrap(),
            qtype: evenkeel::wire::Rtype::A,
            client: self.client.parse().unwrap(),
            down: self.what_if.iter().map(|it| (*it).into()).collect(),
        };
        asked
            .explain(&state.snapshot(UNIX_EPOCH).unwrap())
            .unwrap_or_else(|it| panic!("{}", it.detail))
    }

    /// `expect` is what remained and why, with a bar between.
    #[track_caller]
    fn check(&self, line: &str, expect: &str) {
        let told = self.told();
        let said = match line {
            "footing" => told.footing,
            "ttl" => format!("{} | {}", told.ttl, told.ttl_reason),
            "scope" => format!("{} | {}", told.scope, told.scope_reason),
            _ => {
                let stage = told.stages.iter().find(|it| it.stage == line).unwrap();
                format!("{} | {}", stage.left.join(" "), stage.why)
            }
        };
        assert_eq!(said, expect, "{line} of {}", self.steer);
    }
}

#[test]
fn places() {
    let check = |client, expect| {
        Case { client, ..case("pools: { US_EU }") }.check("place", expect);
    };
    check(
        "203.0.113.7",
        "DE-BE EU AS64500 52.5, 13.4 | 203.0.113.7, the client's address, is in 203.0.113.0/24, \
         which is DE-BE, EU, AS64500, 52.5, 13.4",
    );
    check(
        "198.51.100.0/25",
        "US NA 40, -75 | 198.51.100.0, the network that the client named, is in 198.51.100.0/24, \
         which is US, NA, 40, -75",
    );
    check("8.8.8.8", " | nothing is known of 8.8.8.8, the client's address");
    // A network that is nobody's does not count.
    check("10.0.0.0/8", " | nothing is known of 10.0.0.0, the client's address");
}

#[test]
fn levels() {
    let served =
        "pools: { us: { serves: [DE], A: 192.0.2.1 }, eu: { serves: ['*'], A: 192.0.2.3 } }";
    case(served).check("match", "us | `DE` is the most specific level that a pool serves");
    case(served).check(
        "scope",
        "24 | all of 203.0.113.0/24 have these candidates with these weights, no wider network has",
    );
    Case { down: &["192.0.2.1"], ..case(served) }.check(
        "match",
        "eu | nothing is available for `DE` (us), so the next wider level counts: `*`",
    );
    Case { client: "198.51.100.9", ..case(served) }
        .check("match", "eu | `*` is the most specific level that a pool serves");
    let fenced = "pools: { us: { serves: [203.0.113.0/25], fence: true, A: 192.0.2.1 }, \
                  eu: { serves: ['*'], A: 192.0.2.3 } }";
    case(fenced).check(
        "match",
        "us | `203.0.113.0/25` is the most specific level that a pool serves, and its fence keeps \
         the client here",
    );
    let fallen = Case { down: &["192.0.2.1"], ..case(fenced) };
    fallen.check(
        "match",
        "us | `203.0.113.0/25` is the last level that may be tried, and its fence keeps the client \
         here",
    );
    fallen.check(
        "pick",
        "us | nothing is left: `all_down: serve_all`: all count as up; by effective weight: us 100 %",
    );
    let nobody = "pools: { us: { serves: [AS64501, JP, OC], A: 192.0.2.1 } }";
    case(nobody).check("match", " | no pool serves this client");
    Case { client: "203.0.113.7", ..case("pools: { us: { serves: [EU], A: 192.0.2.1 } }") }
        .check("match", "us | `EU` is the most specific level that a pool serves");
    case("pools: { us: { AAAA: '2001:db8::1' } }")
        .check("match", " | no pool that this client may be sent to has A");
}

#[test]
fn availability() {
    let check = |down, steer, expect| Case { down, ..case(steer) }.check("available", expect);
    check(&[], "pools: { US_EU }", "us eu | all are");
    check(&["192.0.2.1"], "pools: { US_EU }", "us eu | all are");
    check(&["192.0.2.3"], "pools: { US_EU }", "us | eu is down: 192.0.2.3 is");
    check(
        &["192.0.2.1", "192.0.2.2", "192.0.2.3"],
        "pools: { US_EU }",
        " | us is down: all 2 endpoints are; eu is down: 192.0.2.3 is",
    );
    check(
        &["192.0.2.1"],
        "min_up: 60%, pools: { US_EU }",
        "eu | us is down: 50 % of its endpoint weight is up, `min_up` is 60%",
    );
    check(&[], "pools: { us: { A: 192.0.2.1 }, eu: { AAAA: '2001:db8::1' } }", "us | eu has no A");
    check(
        &["192.0.2.1"],
        "pools: { us: { A: 192.0.2.1, AAAA: '2001:db8::1' }, eu: { A: 192.0.2.3 } }",
        "eu | us has no A endpoint that is up",
    );
}

#[test]
fn tiers_and_nearness() {
    case("pools: { us: { weight: 0, A: 192.0.2.1 }, eu: { A: 192.0.2.3 } }").check(
        "tier",
        "eu | tier 1 is the lowest with a pool left; us has weight 0, a last resort",
    );
    let tiers = "pools: { us: { A: 192.0.2.1 }, eu: { tier: 2, trickle: 5%, A: 192.0.2.3 }, \
                 ap: { tier: 3, A: 192.0.2.4 } }";
    case(tiers).check(
        "tier",
        "us eu | tier 1 is the lowest with a pool left; eu of tier 2 keeps its trickle of 5 %; ap \
         waits in later tiers",
    );
    case(tiers).check("pick", "us eu | by effective weight: us 95 %, eu 5 %");
    Case { down: &["192.0.2.1", "192.0.2.3"], ..case(tiers) }
        .check("tier", "ap | tier 3 is the lowest with a pool left");

    case("pools: { US_EU }").check("near", "us eu | by weight: where clients are does not count");
    case("by: distance, pools: { US_EU }")
        .check("near", "eu | the nearest, with no slack: us 6732 km, eu 1317 km");
    case("by: distance, slack: 6000km, pools: { US_EU }")
        .check("near", "us eu | the nearest, with a slack of 6000 km: us 6732 km, eu 1317 km");
    case("by: latency, slack: 15%, pools: { US_EU }").check(
        "near",
        "eu | the nearest, with a slack of 15 %: us 130.0 ms (estimated from distance), eu 36.3 ms \
         (estimated from distance)",
    );
    Case { client: "8.8.8.8", ..case("by: latency, pools: { US_EU }") }
        .check("near", "us eu | nothing is known of how near the pools are: passes everything on");
    case("pools: { US_EU }").check("spill", "us eu | not configured: passes everything on");
}

#[test]
fn picks_and_answers() {
    case("pools: { US_EU }").check("pick", "us eu | by effective weight: us 60 %, eu 40 %");
    let sticky = case("sticky: client, pools: { us: { A: 192.0.2.1 } }");
    sticky.check("pick", "us | sticky: the network 203.0.113.0/24 has us by weighted hashing");
    sticky.check("scope", "24 | sticky: clients are told apart by /24, here 203.0.113.0/24");
    sticky.check("answer", "192.0.2.1 | the one endpoint of the pool");
    let us = "pools: { us: { A: [192.0.2.1, 192.0.2.2] } }";
    case(us)
        .check("answer", "192.0.2.1 192.0.2.2 | all of the pool, drawn by weight, in random order");
    Case { down: &["192.0.2.2"], ..case(us) }
        .check("answer", "192.0.2.1 | the one endpoint of the pool; 192.0.2.2 is down");
    case("answers: 1, pools: { us: { A: [192.0.2.1, 192.0.2.2] } }")
        .check("answer", "192.0.2.1 192.0.2.2 | 1 of the pool, drawn by weight, in random order");
    case("pools: { eu: { region: none, alias: inner } }").check(
        "answer",
        "inner.example.com. | eu is inner.example.com., which gives this client us 50 %, eu 50 %",
    );
    case("pools: { eu: { region: none, alias: fixed } }")
        .check("answer", "fixed.example.com. | eu is fixed.example.com., whose records are fixed");
    case("pools: { us: { CNAME: cdn.example.net. } }")
        .check("answer", "cdn.example.net. | one name, drawn by weight");
}

#[test]
fn when_nothing_is_left() {
    const ALL: &[&str] = &["192.0.2.1", "192.0.2.2", "192.0.2.3"];
    let dead = |steer| Case { down: ALL, ..case(steer) };
    let check = |steer, pick, footing, ttl| {
        dead(steer).check("pick", pick);
        dead(steer).check("footing", footing);
        dead(steer).check("ttl", ttl);
    };
    check(
        "pools: { US_EU }",
        "us eu | nothing is left: `all_down: serve_all`: all count as up; by effective weight: us \
         60 %, eu 40 %",
        "failed_open",
        "5 | ttl_min: failed_open, so the answer changes any moment",
    );
    check(
        "all_down: refuse, pools: { US_EU }",
        " | nothing is left: `all_down: refuse`",
        "healthy",
        "0 | a failure is not to be kept",
    );
    dead("all_down: refuse, pools: { US_EU }")
        .check("answer", " | SERVFAIL with EDE 22 (No Reachable Authority)");
    check(
        "all_down: eu, pools: { US_EU }",
        "eu | nothing is left: `all_down` names eu, whatever its verdict; by effective weight: eu \
         100 %",
        "fallback",
        "5 | ttl_min: fallback, so the answer changes any moment",
    );
    check(
        "all_down: last_good, pools: { US_EU }",
        "us eu | nothing is left: `all_down: last_good`, but nothing was ever good, so all count as \
         up; by effective weight: us 60 %, eu 40 %",
        "failed_open",
        "5 | ttl_min: failed_open, so the answer changes any moment",
    );
    // What was good is known when the regions only are taken to be down.
    let what_if = Case { what_if: &["us", "eu"], ..case("all_down: last_good, pools: { US_EU }") };
    what_if.check("footing", "last_good");
}

#[test]
fn ttls_and_scopes() {
    case("pools: { US_EU }").check("ttl", "20 | full: no change is in sight");
    case("pools: { US_EU }").check("scope", "0 | the answer does not depend on the client");
    Case { shaky: &["192.0.2.3"], ..case("pools: { US_EU }") }.check(
        "ttl",
        "5 | ttl_min with 192.0.2.3: its latest probe failed, and not enough good ones came since; \
         without it 20 s",
    );
    case("pools: { eu: { region: none, alias: inner } }")
        .check("ttl", "10 | 10 s is what the name that eu is gives at most");
    case("pools: { eu: { region: none, alias: fixed } }")
        .check("ttl", "7 | 7 s is what the name that eu is gives at most");
    case("pools: { us: { AAAA: '2001:db8::1' } }")
        .check("ttl", "300 | 300 s, as the zone's SOA says for what is not there");
    Case { what_if: &["eu"], ..case("by: distance, pools: { US_EU }") }
        .check("scope", "0 | the answer does not depend on the client");
}
