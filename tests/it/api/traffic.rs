//! Traffic over HTTP: what is told of the answers that were sent.
//!
//! *Not here:* whether everything is counted (`counts`).

use std::net::SocketAddr;

use hickory_proto::rr::RecordType;
use serde_json::{Value, json};

use super::{OPEN, ZONE, call, file};
use crate::{
    process::{free_address, until},
    server::Server,
};

fn traffic(api: SocketAddr) -> Value {
    call(api, "GET", "/api/v1/traffic", &[], b"").json()
}

fn name<'v>(traffic: &'v Value, name: &str) -> &'v Value {
    let names = traffic["names"].as_array().unwrap();
    names.iter().find(|it| it["name"] == name).expect("it is there")
}

#[test]
fn answers_by_pool_and_what_they_rest_on() {
    let zone = ZONE.replace("198.51.100.10, check: []", "127.0.0.2");
    assert_ne!(zone, ZONE);
    // At an address by which another process finds it.
    let file = file(OPEN).replacen("127.0.0.1:0", &free_address().to_string(), 1);
    let server = Server::start(&[("evenkeel.yaml", &file), ("zones/example.com.yaml", &zone)]);
    let api = server.api.expect("the file wants an API");
    let begun = traffic(api);
    assert_eq!(begun["questions"], 0);
    for _ in 0..3 {
        server.ask("www.example.com.", RecordType::A);
        server.ask("dead.example.com.", RecordType::A);
    }
    server.ask("ns1.example.com.", RecordType::A);
    let told = traffic(api);
    assert_eq!((&told["questions"], &told["since"]), (&7.into(), &begun["since"]));
    let www = name(&told, "www.example.com.");
    let footings = |it: &Value| {
        ["healthy", "failed_open", "last_good", "fallback", "refused"].map(|word| it[word].clone())
    };
    assert_eq!(footings(www), [3, 0, 0, 0, 0]);
    let dead = name(&told, "dead.example.com.");
    assert_eq!(footings(dead), [0, 3, 0, 0, 0]);
    let pools = dead["pools"].as_array().unwrap();
    assert_eq!(pools.iter().filter_map(|it| it["answers"].as_u64()).sum::<u64>(), 3);
    assert_eq!(www["pools"][0]["pool"], "us-east-1");
    assert_eq!(www["pools"][1]["region"], "eu-west-1");
    assert_eq!(told["ecs"], json!({ "sent": 0, "used": 0 }));

    // Another process goes on from there.
    let next: Server = server.take_over();
    let api = next.api.expect("it was taken over");
    next.ask("www.example.com.", RecordType::A);
    assert_eq!(traffic(api)["since"], begun["since"]);
    // The last counts come when the process before has left.
    until("all counts", || name(&traffic(api), "www.example.com.")["healthy"] == 4);
}
