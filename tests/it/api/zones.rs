//! Zones over HTTP: what their names give, and what the checks of endpoints came to.
//!
//! *Not here:* whether a choice is right (`steering`).

use serde_json::{Value, json};

use super::{OPEN, call, start};
use crate::process::until;

fn get(api: std::net::SocketAddr, path: &str) -> Value {
    call(api, "GET", &format!("/api/v1/{path}"), &[], b"").json()
}

#[test]
fn zones_and_what_their_names_give() {
    let weighted = "zone: a.example\nrecords:\n  \"@\": { NS: ns.x. }\n  w:\n    steer:\n      pools:\n        \
                    us-east-1: { weight: 3, A: [192.0.2.10, 192.0.2.11] }\n        \
                    eu-west-1: { weight: 1, A: 198.51.100.10 }\n";
    let (_server, api) = start(OPEN, &[("zones/a.yaml", weighted)]);
    let zones = get(api, "zones");
    let expect = json!([
        { "zone": "a.example.", "names": 2, "steered": 1 },
        { "zone": "example.com.", "names": 5, "steered": 2 },
    ]);
    assert_eq!(zones["zones"], expect);
    let name = |name: &str| {
        let zone = get(api, "zones/a.example");
        let names = zone["steered_names"].as_array().unwrap().clone();
        names.into_iter().find(|it| it["name"] == name).expect("it is there")
    };
    let pool = |pool: usize| name("w.a.example.")["pools"][pool].clone();
    let [us, eu] = [pool(0), pool(1)];
    assert_eq!(
        (&us["pool"], &us["region"], &us["tier"]),
        (&"us-east-1".into(), &"us-east-1".into(), &1.into())
    );
    assert_eq!((&us["weight"], &us["effective_weight"]), (&3.into(), &3.0.into()));
    assert_eq!(us["shares"][0], json!({ "family": "A", "share": 0.75 }));
    assert_eq!(us["verdicts"], json!({ "up": 2, "down": 0, "unknown": 0 }));
    assert_eq!(eu["shares"][0]["share"], 0.25);
    let family = &name("w.a.example.")["families"][0];
    assert_eq!((&family["footings"], &family["unserved"]), (&json!(["healthy"]), &0.0.into()));

    // A dial scales what a pool gets of the clients.
    let dial = json!({ "percent": 50, "reason": "test" }).to_string();
    call(api, "POST", "/api/v1/dials/us-east-1", &[], dial.as_bytes()).json();
    until("the dial to count", || pool(0)["shares"][0]["share"] == 0.6);
    assert_eq!((&pool(0)["weight"], &pool(0)["effective_weight"]), (&3.into(), &1.5.into()));

    // What is down gets nothing, and is not what its operator wrote.
    let example = get(api, "zones/example.com.");
    let dead = example["steered_names"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["name"] == "dead.example.com.");
    let dead = &dead.expect("it is there")["pools"][0];
    assert_eq!((&dead["effective_weight"], &dead["verdicts"]["down"]), (&0.0.into(), &1.into()));
    assert_eq!(dead["shares"][0]["share"], 0.0);
    call(api, "GET", "/api/v1/zones/nope.example", &[], b"").problem(404);
    call(api, "GET", "/api/v1/zones/a..b", &[], b"").problem(404);

    let regions = get(api, "status")["regions"].clone();
    let at = |idx: usize| regions[idx]["at"].as_array().map(|it| it[0].as_f64().unwrap().round());
    assert_eq!([at(0), at(1), at(2)], [Some(53.0), None, Some(39.0)]);
}

#[test]
fn what_the_latest_executions_came_to() {
    let (_server, api) = start(OPEN, &[]);
    let check = || {
        let path = "endpoints/history?name=dead.example.com";
        get(api, path)["endpoints"][0]["checks"][0].clone()
    };
    until("two executions", || 2 <= check()["history"].as_array().unwrap().len());
    let check = check();
    for it in check["history"].as_array().unwrap() {
        assert_eq!(it["good"], false, "{it}");
        assert!(
            it["ms"].as_u64().unwrap() < 1000 && it["at"].as_str().unwrap().ends_with('Z'),
            "{it}"
        );
    }
    let latest = check["history"].as_array().unwrap().last().unwrap();
    assert_eq!(latest["at"], check["at"]);
    let without = get(api, "endpoints?name=dead.example.com");
    assert_eq!(without["endpoints"][0]["checks"][0]["history"], Value::Null);
    call(api, "GET", "/api/v1/endpoints/history", &[], b"").problem(400);
    call(api, "GET", "/api/v1/endpoints/history?name=no.example.com", &[], b"").problem(404);
}
