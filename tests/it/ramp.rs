//! Regions that die and come back in steps, and what health may keep out: a real server, real
//! connections, and the shares of real answers.
//!
//! *Not here:* every way through a ramp (`state`, `state::ramp`), and what the files may say (`check`).

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, TcpListener},
    time::Duration,
};

use hickory_proto::rr::{RData, RecordType};
use serde_json::{Value, json};

use crate::{
    api::{call, run},
    process::until,
    server::Server,
};

/// Regions on addresses of their own; one that accepts connections is up.
struct World {
    server: Server,
    api: SocketAddr,
    port: u16,
    /// By the last number of the address.
    up: BTreeMap<u8, TcpListener>,
}

fn address(region: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, region])
}

impl World {
    /// Regions 2, 3 and so on, all up, as pools of one name with these keys.
    fn start(count: u8, defaults: &str, steer: &str) -> Self {
        let regions = 2..2 + count;
        let listen = |port: u16| -> Option<BTreeMap<u8, TcpListener>> {
            regions
                .clone()
                .map(|it| Some((it, TcpListener::bind((address(it), port)).ok()?)))
                .collect()
        };
        let (port, up) = (0..16)
            .find_map(|_| {
                let port = TcpListener::bind("127.0.0.2:0").ok()?.local_addr().ok()?.port();
                Some((port, listen(port)?))
            })
            .expect("some port is free on all addresses");
        let server = format!(
            "version: 1\nlisten: ['127.0.0.1:0']\nzones: zones/\ngeoip: []\nstate: state\n\
             api: {{ listen: '127.0.0.1:0' }}\n\
             checks: {{ web: {{ tcp: {{ port: {port} }}, every: 1s, timeout: 500ms, fall: 1, rise: 2 }} }}\n\
             {defaults}\n"
        );
        let zone = zone(count, steer);
        let server =
            Server::start(&[("evenkeel.yaml", &server), ("zones/example.com.yaml", &zone)]);
        let api = server.api.expect("the file wants an API");
        Self { server, api, port, up }
    }

    /// Starts it anew after a crash.
    fn restart(self) -> Self {
        // What a crash may take is a second old at most.
        std::thread::park_timeout(Duration::from_millis(1500));
        let server = Server::start_in(self.server.kill());
        let api = server.api.expect("the file wants an API");
        Self { server, api, ..self }
    }

    fn get(&self, path: &str) -> Value {
        call(self.api, "GET", &format!("/api/v1/{path}"), &[], b"").json()
    }

    fn fail(&mut self, region: u8) {
        self.up.remove(&region);
        let endpoint = || self.endpoint(region);
        until("the verdict", || endpoint()["verdict"] == "down");
    }

    fn recover(&mut self, region: u8) {
        let listener = TcpListener::bind((address(region), self.port)).expect("it was ours");
        self.up.insert(region, listener);
        until("the verdict", || self.endpoint(region)["verdict"] == "up");
    }

    fn endpoint(&self, region: u8) -> Value {
        let all = self.get("endpoints?name=www.example.com");
        let all = all["endpoints"].as_array().unwrap().clone();
        let address = address(region).to_string();
        all.into_iter().find(|it| it["address"] == *address).expect("it is there")
    }

    /// The step of a pool's ramp in percent; 100: it is back.
    fn percent(&self, region: u8) -> u64 {
        self.endpoint(region)["ramp"]["percent"].as_u64().unwrap_or(100)
    }

    /// How often each region is answered.
    fn shares(&self, n_questions: usize) -> BTreeMap<IpAddr, usize> {
        let mut shares = BTreeMap::new();
        for _ in 0..n_questions {
            for record in &self.server.ask("www.example.com.", RecordType::A).answers {
                let RData::A(address) = &record.data else { panic!("{record}") };
                *shares.entry(IpAddr::from(address.0)).or_default() += 1;
            }
        }
        shares
    }

    /// What is answered, and the TTLs.
    fn answered(&self) -> BTreeMap<IpAddr, u32> {
        let mut answered = BTreeMap::new();
        for _ in 0..60 {
            for record in &self.server.ask("www.example.com.", RecordType::A).answers {
                let RData::A(address) = &record.data else { panic!("{record}") };
                answered.insert(IpAddr::from(address.0), record.ttl);
            }
        }
        answered
    }

    fn explained(&self) -> Value {
        self.get("explain?name=www.example.com&client=203.0.113.7")
    }

    /// Events of a kind, as `from to`, the subject left out.
    fn events(&self, kind: &str) -> Vec<String> {
        let events = self.get("events?after=0&limit=1000");
        let events = events["events"].as_array().unwrap().iter().filter(|it| it["kind"] == kind);
        let text = |it: &Value| {
            format!("{} to {}", it["from"].as_str().unwrap(), it["to"].as_str().unwrap())
        };
        events.map(text).collect()
    }
}

/// A zone with a name whose pools are so many regions.
fn zone(count: u8, steer: &str) -> String {
    let pools: String = (2..2 + count).fold(String::new(), |pools, it| {
        format!("{pools}        region-{it}: {{ A: {} }}\n", address(it))
    });
    format!(
        "zone: example.com\nttl: 20s\nrecords:\n  '@': {{ NS: [ns1] }}\n  ns1: {{ A: 192.0.2.53 }}\n  \
         www:\n    steer:\n      check: web\n      {steer}\n      pools:\n{pools}"
    )
}

#[test]
fn a_region_that_was_killed_comes_back_in_steps() {
    let mut world =
        World::start(2, "defaults: { ramp: { steps: [10%, 50%, 100%], every: 4s } }", "answers: 1");
    assert_eq!(world.percent(2), 100);
    world.fail(2);
    until("the region to be out", || world.answered().into_keys().eq([address(3)]));
    assert_eq!(world.events("ramp"), [] as [&str; 0]);

    world.recover(2);
    // What was answered while each step lasted.
    let mut answered: BTreeMap<u64, (usize, usize)> = BTreeMap::new();
    let mut why = BTreeMap::new();
    until("the whole share", || {
        let percent = world.percent(2);
        let explained = world.explained();
        let shares = world.shares(200);
        if percent == world.percent(2) {
            let (its, all) = answered.entry(percent).or_default();
            *its += shares.get(&address(2)).copied().unwrap_or(0);
            *all += shares.values().sum::<usize>();
            why.insert(percent, explained["stages"][6]["why"].as_str().unwrap().to_owned());
        }
        answered.contains_key(&100)
    });
    for (percent, share) in [(10, 0.1 / 1.1), (50, 0.5 / 1.5), (100, 0.5)] {
        let Some((its, all)) = answered.get(&percent) else { panic!("no {percent}: {answered:?}") };
        #[allow(clippy::cast_precision_loss)] // A few thousand.
        let (its, all) = (*its as f64, *all as f64);
        let deviation = (all * share * (1.0 - share)).sqrt();
        // Missed by chance once in a million.
        assert!((its - all * share).abs() < 5.0 * deviation, "{percent}: {its} of {all}");
    }
    assert!(
        why[&10].ends_with("region-2 has 10 % of its weight: it comes back, by step 1 of 3 (10 %)"),
        "{why:?}"
    );
    assert!(why[&50].contains("by step 2 of 3 (50 %)"), "{why:?}");
    assert_eq!(world.events("ramp"), ["out to 10 %", "10 % to 50 %", "50 % to 100 %"]);
}

#[test]
fn a_restart_and_a_reload_go_on_where_the_ramp_stood() {
    let ramp = "ramp: { steps: [10%, 100%], every: 1h }";
    let mut world = World::start(2, "", ramp);
    world.fail(2);
    until("the region to be out", || world.answered().into_keys().eq([address(3)]));
    world.recover(2);
    until("the first step", || world.percent(2) == 10);
    let stands = world.endpoint(2)["ramp"].clone();
    assert_eq!((&stands["step"], &stands["steps"]), (&1.into(), &2.into()));
    assert!(stands["next"].as_str().unwrap().ends_with('Z'), "{stands}");
    assert_eq!(world.endpoint(2)["effective_weight"], json!(0.1));
    let few = |world: &World| {
        let shares = world.shares(300);
        let its = shares.get(&address(2)).copied().unwrap_or(0);
        // 27 of 300, with a deviation of 5; half would be 150.
        assert!((1..60).contains(&its), "{shares:?}");
    };
    few(&world);

    let mut world = world.restart();
    // From the first answer on.
    few(&world);
    assert_eq!(world.endpoint(2)["ramp"], stands);
    let url = format!("http://{}", world.api);
    let (code, status) = run(&["status", "--server", &url]);
    assert_eq!(code, 0);
    let line = status.lines().find(|it| it.starts_with("region-2")).unwrap();
    assert!(line.ends_with("  1 coming back"), "{status}");
    let status = world.get("status");
    assert_eq!(status["regions"][0]["returning"], 1, "{status}");

    // A pool more, which comes in by the first step as well; it is up as soon as it is there.
    world.up.insert(4, TcpListener::bind((address(4), world.port)).expect("nobody else has it"));
    world.server.write("zones/example.com.yaml", &zone(3, ramp));
    until("the third region", || {
        world.get("endpoints")["endpoints"].as_array().unwrap().len() == 3
    });
    assert_eq!(world.endpoint(2)["ramp"], stands);
    until("its first step", || world.percent(4) == 10);
    few(&world);

    // A failure on the way starts over, and the operator ends it.
    world.fail(2);
    world.recover(2);
    until("the first step again", || world.percent(2) == 10);
    assert_eq!(world.events("ramp")[2..], ["10 % to out", "out to 10 %"]);
    let (code, said) = run(&[
        "override",
        "set",
        "region-2",
        "up",
        "--reason",
        "warm",
        "--server",
        &url_of(&world),
    ]);
    assert_eq!(code, 0, "{said}");
    until("the end of the ramp", || world.percent(2) == 100);
    assert_eq!(world.percent(4), 10);
    assert_eq!(world.events("ramp")[4..], ["10 % to 100 %"]);
}

fn url_of(world: &World) -> String {
    format!("http://{}", world.api)
}

#[test]
fn health_alone_keeps_out_no_more_than_the_budget() {
    let mut world = World::start(3, "", "eject_max: 67%");
    let is_kept = |world: &World| -> Vec<bool> {
        (2..5).map(|it| world.endpoint(it)["over_budget"].as_bool().unwrap()).collect()
    };
    world.fail(4);
    world.fail(2);
    until("two to be out", || world.answered().into_keys().eq([address(3)]));
    world.fail(3);
    // The last come stays in, with the short TTL.
    until("the mark", || is_kept(&world) == [false, true, false]);
    assert_eq!(world.answered(), BTreeMap::from([(address(3), 5)]));
    assert_eq!(world.endpoint(3)["effective_weight"], 1.0);
    let explained = world.explained();
    let why = explained["stages"][2]["why"].as_str().unwrap();
    assert!(why.ends_with("; 127.0.0.3 is down and stays in: `eject_max` is 67%"), "{why}");
    assert_eq!((&explained["footing"], &explained["ttl"]), (&"healthy".into(), &5.into()));
    let why = explained["ttl_reason"].as_str().unwrap();
    assert_eq!(why, "ttl_min with 127.0.0.3: it is down, and over the budget");
    assert_eq!(world.events("over_budget"), ["down to over budget"]);

    // The order survives a crash.
    let mut world = world.restart();
    assert_eq!(is_kept(&world), [false, true, false]);
    assert_eq!(world.answered(), BTreeMap::from([(address(3), 5)]));

    // When one that is out recovers, there is room for it.
    world.recover(2);
    until("it to leave", || world.answered() == BTreeMap::from([(address(2), 20)]));
    assert_eq!(is_kept(&world), [false; 3]);
    until("the event", || {
        world.events("over_budget").last().is_some_and(|it| it == "over budget to down")
    });
    // What is asked beforehand is what would happen.
    let explained = world.get("explain?name=www.example.com&client=203.0.113.7&down=region-2");
    let candidates: Vec<_> =
        explained["candidates"].as_array().unwrap().iter().map(|it| &it["pool"]).collect();
    assert_eq!(candidates, ["region-2"], "{explained}");
    assert_eq!(explained["ttl"], 5);
}
