//! Regions with a capacity: what is computed, and what is answered, when one of them is lost.
//!
//! *Not here:* what runs over where, case by case (`steer::spill`).

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    sync::{Arc, Mutex},
};

use hickory_proto::{
    op::Message,
    rr::{RData, RecordType},
};
use serde_json::{Value, json};

use crate::{
    api::{call, run},
    failover::Region,
    process::{PATIENCE, free_address, until},
    server::{Server, question, question_of},
};

const QUESTIONS: u32 = 10_000;

/// Three regions `a`, `b` and `c`, and a server in front of them.
struct World {
    server: Server,
    api: SocketAddr,
    /// Each a process; none where a test has its own.
    regions: Vec<Region>,
    addresses: [Ipv4Addr; 3],
}

impl World {
    /// `steer` stands in the steered name, `server` in the server file. `net` tells the worlds of
    /// tests apart that run at one time.
    fn start(net: u8, server: &str, steer: &str) -> Self {
        let port = free_address().port();
        let regions = Region::start_all(port, addresses(net));
        Self::of(net, port, regions.into(), server, steer)
    }

    /// The same with regions that are there already.
    fn of(net: u8, port: u16, regions: Vec<Region>, server: &str, steer: &str) -> Self {
        let file = format!(
            "version: 1\nlisten: ['127.0.0.1:0']\nzones: zones/\napi: {{ listen: '127.0.0.1:0' }}\n\
             checks: {{ web: {{ http: {{ path: /Cargo.toml, port: {port} }}, every: 500ms, \
             timeout: 400ms, fall: 2 }} }}\n{server}\n"
        );
        let zone = format!(
            "zone: example.com\nrecords:\n  '@': {{ NS: ns1 }}\n  ns1: {{ A: 192.0.2.53 }}\n  \
             www:\n    steer:\n      check: web\n      pools:\n        \
             a: {{ A: 127.0.{net}.1 }}\n        b: {{ A: 127.0.{net}.2 }}\n        \
             c: {{ A: 127.0.{net}.3 }}\n{steer}\n"
        );
        let server = Server::start(&[("evenkeel.yaml", &file), ("zones/example.com.yaml", &zone)]);
        let api = server.api.expect("the file wants an API");
        Self { server, api, regions, addresses: addresses(net) }
    }

    fn get(&self, path: &str) -> Value {
        call(self.api, "GET", &format!("/api/v1/{path}"), &[], b"").json()
    }

    /// What each region is given, and can take, by `status`.
    fn loads(&self) -> BTreeMap<String, (f64, f64)> {
        let status = self.get("status");
        let regions = status["regions"].as_array().unwrap().iter();
        let load = |it: &Value| (it["load"].as_f64().unwrap(), it["capacity"].as_f64().unwrap());
        regions.map(|it| (it["name"].as_str().unwrap().to_owned(), load(it))).collect()
    }

    /// Waits until the regions are given this.
    #[track_caller]
    fn wait_for_loads(&self, expect: [f64; 3]) {
        let is_near = |(one, other): (f64, f64)| (one - other).abs() < 0.01;
        until(&format!("loads of {expect:?}"), || {
            self.loads().into_values().map(|it| it.0).zip(expect).all(is_near)
        });
    }

    /// Percent of the answers to clients in a network that each region has, in 10,000 questions.
    fn shares(&self, network: Option<[u8; 3]>) -> [f64; 3] {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(self.server.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let (name, rtype) = ("www.example.com.", RecordType::A);
        let packet = match network {
            Some(network) => question_of(name, rtype, network),
            None => question(name, rtype),
        };
        let mut counts = [0_u32; 3];
        let mut reply = [0; 512];
        for _ in 0..QUESTIONS {
            socket.send(&packet).unwrap();
            let len = socket.recv(&mut reply).expect("every question is answered");
            let message = Message::from_vec(&reply[..len]).unwrap();
            let [record] = &message.answers[..] else { panic!("{message}") };
            let RData::A(address) = &record.data else { panic!("{message}") };
            let region = self.addresses.iter().position(|it| *it == address.0);
            counts[region.expect("it is one of ours")] += 1;
        }
        counts.map(|it| f64::from(it) * 100.0 / f64::from(QUESTIONS))
    }

    /// Compares shares with what they have to be, within two points.
    #[track_caller]
    fn check_shares(&self, network: Option<[u8; 3]>, expect: [f64; 3]) {
        let shares = self.shares(network);
        let is_near = |(one, other): (f64, f64)| (one - other).abs() < 2.0;
        assert!(shares.into_iter().zip(expect).all(is_near), "{shares:?}, expected {expect:?}");
    }

    /// The events about overloads, as pairs of a region and what it is now.
    fn overloads(&self) -> Vec<(String, String)> {
        let events = self.get("events?after=0&limit=1000");
        let events = events["events"].as_array().unwrap().iter();
        let text = |it: &Value, key: &str| it[key].as_str().unwrap().to_owned();
        let overloads = events.filter(|it| it["kind"] == "overload");
        overloads.map(|it| (text(it, "subject"), text(it, "to"))).collect()
    }

    /// Runs a command of ours against this server.
    #[track_caller]
    fn done(&self, command: &[&str]) -> String {
        let url = format!("http://{}", self.api);
        let (code, said) = run(&[command, &["--server", &url]].concat());
        assert_eq!(code, 0, "{command:?}: {said}");
        said
    }

    /// The line of `explain` about the stage.
    #[track_caller]
    fn spill(&self, client: &str, down: &str) -> String {
        let mut command = vec!["explain", "www.example.com", "--client", client];
        if !down.is_empty() {
            command.extend(["--down", down]);
        }
        let said = self.done(&command);
        said.lines().find(|it| it.starts_with("spill ")).expect("each stage is told").to_owned()
    }
}

fn addresses(net: u8) -> [Ipv4Addr; 3] {
    [1, 2, 3].map(|host| Ipv4Addr::new(127, 0, net, host))
}

const REGIONS: &str =
    "regions: { a: { capacity: 100 }, b: { capacity: 100 }, c: { capacity: 100 } }";

#[test]
fn at_60_percent_each_the_two_that_are_left_take_it() {
    let mut world = World::start(31, REGIONS, "      demand: 180");
    world.wait_for_loads([60.0; 3]);
    world.check_shares(None, [100.0 / 3.0; 3]);
    let said = world.spill("192.0.2.1", "c");
    assert!(said.contains("a is given 90 of 100, b is given 90 of 100"), "{said}");

    world.regions[2].kill();
    world.wait_for_loads([90.0, 90.0, 0.0]);
    assert!(world.loads().values().all(|(load, capacity)| load <= capacity));
    // As answered: 180 times the share is at most 100, within what chance does.
    world.check_shares(None, [50.0, 50.0, 0.0]);

    // An operator's word does the same.
    world.regions[2].start();
    world.wait_for_loads([60.0; 3]);
    world.done(&["override", "set", "a", "drain", "--reason", "disks"]);
    world.wait_for_loads([0.0, 90.0, 90.0]);
    world.done(&["override", "clear", "a"]);
    world.wait_for_loads([60.0; 3]);
    // A dial scales weight and capacity: all of the rest is given to those that have room.
    world.done(&["dial", "b", "20", "--reason", "disks"]);
    world.wait_for_loads([1800.0 / 22.0, 360.0 / 22.0, 1800.0 / 22.0]);
    assert!((world.loads()["b"].1 - 20.0).abs() < 0.01);
    world.done(&["dial", "c", "80", "--reason", "disks"]);
    world.wait_for_loads([90.0, 18.0, 72.0]);
    world.check_shares(None, [50.0, 10.0, 40.0]);
    assert_eq!(world.overloads(), []);
    // 180 cannot go into 100, 20 and 50.
    world.done(&["dial", "c", "50", "--reason", "disks"]);
    world.wait_for_loads([1800.0 / 17.0, 360.0 / 17.0, 900.0 / 17.0]);
}

#[test]
fn at_80_percent_each_the_overload_is_even_and_announced() {
    let mut world = World::start(32, REGIONS, "      demand: 240");
    world.wait_for_loads([80.0; 3]);
    assert_eq!(world.overloads(), []);
    let said = world.spill("192.0.2.1", "c");
    assert!(said.contains("there is no room elsewhere"), "{said}");

    world.regions[2].kill();
    world.wait_for_loads([120.0, 120.0, 0.0]);
    world.check_shares(None, [50.0, 50.0, 0.0]);
    let overloaded = |it: &str| (it.to_owned(), "overloaded".to_owned());
    until("the overload to be told", || world.overloads() == [overloaded("a"), overloaded("b")]);
    assert!(world.server.log().iter().any(|it| it.contains("more than its capacity")));
    let said = world.done(&["status"]);
    assert!(said.contains("load 120 of 100"), "{said}");

    world.regions[2].start();
    world.wait_for_loads([80.0; 3]);
    let within = |it: &str| (it.to_owned(), "within capacity".to_owned());
    until("the end of the overload to be told", || {
        world.overloads()[2..] == [within("a"), within("b")]
    });
}

#[test]
fn clients_of_the_nearest_spill_to_the_next_nearest() {
    // Three networks of a size, each near to one region; from `a` it is nearer to `b` than to `c`.
    let server = "\
geoip: []
networks:
  20.0.0.0/8: { at: [50, 0] }
  30.0.0.0/8: { at: [50, 20] }
  40.0.0.0/8: { at: [50, 60] }
regions:
  a: { at: [50, 0], capacity: 100 }
  b: { at: [50, 20], capacity: 100 }
  c: { at: [50, 60], capacity: 100 }";
    let mut world = World::start(33, server, "      demand: 180\n      by: latency");
    let [a, b, c] = [[20, 1, 2], [30, 1, 2], [40, 1, 2]].map(Some);
    world.wait_for_loads([60.0; 3]);
    world.check_shares(a, [100.0, 0.0, 0.0]);
    assert!(world.spill("20.1.2.3", "").contains("passes everything on"));

    world.regions[0].kill();
    world.wait_for_loads([0.0, 100.0, 80.0]);
    let shares = [a, b, c].map(|network| world.shares(network));
    // What a region is given of what is answered: a third of the demand comes from each network.
    let answered = [0, 1, 2].map(|region| shares.iter().map(|it| it[region] * 0.6).sum::<f64>());
    for (answered, expect) in answered.into_iter().zip([0.0, 100.0, 80.0]) {
        assert!((answered - expect).abs() < 2.0, "{answered}, expected {expect}: {shares:?}");
    }
    // Of the clients of `a` and of those that were in `b` before, the same part goes on to `c`.
    world.check_shares(a, [0.0, 500.0 / 6.0, 100.0 / 6.0]);
    world.check_shares(b, [0.0, 500.0 / 6.0, 100.0 / 6.0]);
    world.check_shares(c, [0.0, 0.0, 100.0]);
    let said = world.spill("20.1.2.3", "");
    assert!(
        said.contains("b gets 83.33 % instead of 100 %, c gets 16.67 % instead of 0 %"),
        "{said}"
    );
    assert!(said.contains("b is given 100 of 100 and is full, c is given 80 of 100"), "{said}");
    let explained = world.get("explain?name=www.example.com&client=20.1.2.3");
    assert_eq!(explained["scope"], json!(8), "{explained}");
}

/// A region that is good, and reports what it is told to report.
fn reporter(address: Ipv4Addr, port: u16) -> Arc<Mutex<String>> {
    let listener = TcpListener::bind((address, port)).unwrap();
    let report = Arc::new(Mutex::new(String::new()));
    let told = Arc::clone(&report);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let head = told.lock().unwrap().clone();
            let _ = stream.read(&mut [0; 4096]);
            let response = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{head}\r\n");
            let _ = stream.write_all(response.as_bytes());
        }
    });
    report
}

#[test]
fn a_region_that_reports_too_much_is_full() {
    let port = free_address().port();
    let reports = addresses(34).map(|it| reporter(it, port));
    let steer = "      demand: 180\n    ttl: 1s";
    // No region has a capacity.
    let world = World::of(34, port, Vec::new(), "regions: { a: {}, b: {}, c: {} }", steer);
    let region = |name: &str| {
        let status = world.get("status");
        let mut regions = status["regions"].as_array().unwrap().iter();
        regions.find(|it| it["name"] == name).unwrap().clone()
    };
    assert_eq!(
        (&region("b")["capacity"], &region("b")["utilization"]),
        (&Value::Null, &Value::Null)
    );
    // `b` can take 40, and says how much of it it is given.
    let say = |can_take: f64| {
        let load = region("b")["load"].as_f64().unwrap();
        let text = format!("TEXT application_utilization={:.4},rps_fractional=7", load / can_take);
        *reports[1].lock().unwrap() = format!("Endpoint-Load-Metrics: {text}\r\n");
        load
    };
    let is_near = |one: f64, other: f64| (one - other).abs() < 0.5;
    until("b to be given what it can take", || is_near(say(40.0), 40.0));
    world.check_shares(None, [70.0 / 1.8, 40.0 / 1.8, 70.0 / 1.8]);
    assert!(is_near(region("b")["capacity"].as_f64().unwrap(), 40.0), "{}", region("b"));
    until("b to be as full as it says", || {
        is_near(say(40.0), 40.0) && is_near(region("b")["utilization"].as_f64().unwrap(), 1.0)
    });
    let endpoints = world.get("endpoints?name=www.example.com");
    let reported = |at: usize| endpoints["endpoints"][at]["utilization"].clone();
    assert!(reported(0).is_null() && reported(1).is_number(), "{endpoints}");
    let said = world.spill("192.0.2.1", "");
    assert!(said.contains("b gets 22.22 % instead of 33.33 %"), "{said}");
    assert!(world.done(&["status"]).contains("load 40 of 40, reports 100 %"));

    // It can take more again, and is given more, step by step up to what was too much.
    until("b to be given more again", || 55.0 < say(200.0));
    // And what it said is forgotten when it says nothing more.
    reports[1].lock().unwrap().clear();
    until("what b said to be forgotten", || region("b")["utilization"].is_null());
    until("its limit to be gone", || region("b")["capacity"].is_null());
}
