//! Previews: what is foreseen is what comes, and until then nothing changes.

use serde_json::{Value, json};

use super::World;
use crate::{process::until, server::Server};

const ZONE: &str = "
zone: example.com
records:
  '@': { NS: [ns1] }
  ns1: { A: 192.0.2.53 }
  www:
    steer:
      demand: 100
      pools:
        us-east-1: { A: [192.0.2.10, 192.0.2.11] }
        eu-west-1: { A: 198.51.100.10 }
        ap-south-1: { weight: 0, A: 203.0.113.10 }
  outer: { steer: { pools: { us-east-1: { A: 192.0.2.20 }, other: { region: none, alias: www } } } }
  only: { steer: { pools: { us-east-1: { A: 192.0.2.30 } } } }
";

const FILE: &str = "version: 1
listen: ['127.0.0.1:0']
zones: zones/
geoip: []
api: { listen: '127.0.0.1:0' }
regions:
  us-east-1: { capacity: 80 }
  eu-west-1: { capacity: 80 }
  ap-south-1: { capacity: 80 }
";

fn start() -> World {
    World::of(Server::start(&[("evenkeel.yaml", FILE), ("zones/example.com.yaml", ZONE)]))
}

/// What a preview says of a region: share, load and capacity, before and after.
fn region(preview: &Value, name: &str) -> [[Option<f64>; 2]; 3] {
    let regions = preview["regions"].as_array().unwrap();
    let it = regions.iter().find(|it| it["region"] == name).expect("it is there");
    ["share", "load", "capacity"].map(|key| ["before", "after"].map(|when| it[key][when].as_f64()))
}

/// What a zone says that clients of each pool of a name are given.
fn shares(world: &World, name: &str) -> Vec<(String, f64)> {
    let zone = world.get("zones/example.com");
    let names = zone["steered_names"].as_array().unwrap();
    let pools = names.iter().find(|it| it["name"] == name).expect("it is there")["pools"].clone();
    let share = |it: &Value| {
        (it["pool"].as_str().unwrap().to_owned(), it["shares"][0]["share"].as_f64().unwrap())
    };
    pools.as_array().unwrap().iter().map(share).collect()
}

/// What a preview says that they would be given.
fn foreseen(preview: &Value, name: &str) -> Vec<(String, f64)> {
    let names = preview["names"].as_array().unwrap();
    let pools = names.iter().find(|it| it["name"] == name).expect("it is there")["pools"].clone();
    let of_v4 = pools.as_array().unwrap().clone().into_iter().filter(|it| it["family"] == "A");
    let share = |it: Value| {
        (it["pool"].as_str().unwrap().to_owned(), it["share"]["after"].as_f64().unwrap())
    };
    of_v4.map(share).collect()
}

#[test]
fn what_is_foreseen_is_what_comes() {
    let world = start();
    let state = |world: &World| {
        let status = world.get("status");
        [world.get("overrides"), world.get("events"), status]
    };
    let before = state(&world);
    let drain =
        json!({ "target": "www.example.com/us-east-1", "state": "drain", "reason": "disks" });
    let preview = world.post("overrides?preview=true", &drain).json();
    // Europe can take 80 of the 100, and the last resort the rest.
    assert_eq!(
        region(&preview, "eu-west-1"),
        [[Some(0.5), Some(0.8)], [Some(50.0), Some(80.0)], [Some(80.0), Some(80.0)]],
        "{preview}"
    );
    assert_eq!(region(&preview, "us-east-1")[1], [Some(50.0), Some(0.0)]);
    let dial = json!({ "percent": 50, "reason": "slowly" });
    let dialed = world.post("dials/us-east-1?preview=true", &dial).json();
    assert_eq!(region(&dialed, "us-east-1")[2], [Some(80.0), Some(40.0)]);
    assert_eq!(state(&world), before, "nothing was done");

    for (path, body, preview) in [
        ("overrides", &drain, &preview),
        ("overrides/1", &Value::Null, &preview),
        ("dials/us-east-1", &dial, &dialed),
    ] {
        if body.is_null() {
            let back = world.delete(&format!("{path}?preview=true")).json();
            assert_eq!(region(&back, "eu-west-1")[0], [Some(0.8), Some(0.5)], "{back}");
            assert_eq!(world.get("overrides")["overrides"][0]["id"], 1, "nothing was done");
            world.delete(path).json();
            until("it to be as before", || {
                (shares(&world, "www.example.com.")[0].1 - 0.5).abs() < 1e-9
            });
            continue;
        }
        world.post(path, body).json();
        let expect = foreseen(preview, "www.example.com.");
        until("what was foreseen to come", || shares(&world, "www.example.com.") == expect);
        for it in world.get("status")["regions"].as_array().unwrap() {
            let [_, load, capacity] = region(preview, it["name"].as_str().unwrap());
            assert_eq!(
                (it["load"].as_f64(), it["capacity"].as_f64()),
                (load[1], capacity[1]),
                "{it}"
            );
        }
    }
}

#[test]
fn what_would_be_refused_is_refused_beforehand() {
    let world = start();
    let mut drain = json!({ "target": "us-east-1", "state": "drain", "reason": "disks" });
    let refused = world.post("overrides?preview=true", &drain).problem(409);
    assert_eq!(refused["names"], json!(["only.example.com."]));
    drain["force"] = true.into();
    let preview = world.post("overrides?preview=true", &drain).json();
    assert_eq!(foreseen(&preview, "only.example.com."), [("us-east-1".to_owned(), 0.0)]);
    assert_eq!(world.get("overrides")["overrides"], json!([]));
    world.post("overrides?preview=perhaps", &drain).problem(400);
    world.delete("overrides/1?preview=true").problem(404);
    let none = json!({ "target": "mars", "state": "drain", "reason": "disks" });
    world.post("overrides?preview=true", &none).problem(404);
    let same =
        world.post("dials/us-east-1?preview=true", &json!({ "percent": 100, "reason": "x" }));
    assert_eq!(same.json()["names"], json!([]));
}

#[test]
fn a_preview_by_command() {
    let world = start();
    let command = "override set www.example.com/us-east-1 drain --reason disks";
    let expect = "nothing was done; this would follow\n\
                  ap-south-1  share 0 -> 20 %  load 0 -> 20 of 80\n\
                  eu-west-1   share 50 -> 80 %  load 50 -> 80 of 80\n\
                  us-east-1   share 50 -> 0 %  load 50 -> 0 of 80\n\
                  www.example.com. A: us-east-1 50 -> 0 %, eu-west-1 50 -> 80 %, \
                  ap-south-1 0 -> 20 %\n";
    let said = world.done(&format!("{command} --preview"));
    assert_eq!(said, expect);
    assert_eq!(world.get("overrides")["overrides"], json!([]));
    world.done(command);
    let said = world.done("override clear 1 --preview");
    assert!(
        said.contains("www.example.com. A: us-east-1 0 -> 50 %, eu-west-1 80 -> 50 %"),
        "{said}"
    );
    assert_eq!(world.done("override clear 1"), "cleared: 1\n");
    let said = world.done("dial us-east-1 50 --reason slowly --preview");
    assert!(said.contains("of 40\n"), "{said}");
    let said = world.done("override set us-east-1 up --reason sure --preview");
    assert!(said.ends_with("no client would get anything else\n"), "{said}");
}
