//! The prober's network and a region's, cut in network namespaces of their own.
//!
//! ```text
//!   the test, evenkeel  --up0 ------ r0--  six endpoints in three regions, on lo
//!   (a namespace)                          (another)
//! ```
//!
//! A thread that has left the network of the machine takes what it starts with it. That takes root;
//! where it is not to be had these tests say so and show nothing.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, TcpListener},
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

use evenkeel::clock;
use hickory_proto::rr::{RData, RecordType};
use nix::sched::{CloneFlags, unshare};

use crate::{
    process::until,
    server::{SLACK, Server},
};

const PORT: u16 = 8000;
const TTL: u32 = 20;
const TTL_MIN: u32 = 5;

/// From a death to absence: `every` + `every` * (`fall` - 1) + `timeout` + 1 s, as configured below.
const BOUND: Duration = Duration::from_millis(1000 + 2 * 1000 + 500 + 1000);

/// Leaves the machine's network for one of the calling thread's own. Gives the thread's id, by which
/// others find that network.
pub(crate) fn leave() -> Option<String> {
    unshare(CloneFlags::CLONE_NEWNET).ok()?;
    ip("link set lo up");
    let thread = std::fs::read_link("/proc/thread-self").ok()?;
    Some(thread.file_name()?.to_str()?.to_owned())
}

/// Runs `ip` of iproute2 in the network of the calling thread.
#[track_caller]
pub(crate) fn ip(args: &str) {
    let status = Command::new("ip").args(args.split(' ')).status().expect("iproute2 is there");
    assert!(status.success(), "ip {args}");
}

fn endpoint(region: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 7, region, host)
}

fn endpoints() -> BTreeSet<Ipv4Addr> {
    (1..=3).flat_map(|region| [endpoint(region, 1), endpoint(region, 2)]).collect()
}

/// The regions, in a network of their own.
struct Regions {
    id: String,
    /// What `ip` is to do there.
    orders: mpsc::Sender<String>,
    done: mpsc::Receiver<()>,
}

impl Regions {
    fn start() -> Option<Self> {
        let (id_in, id) = mpsc::channel();
        let (orders, orders_out) = mpsc::channel::<String>();
        let (done_in, done) = mpsc::channel();
        thread::spawn(move || {
            let left = leave();
            let is_there = left.is_some();
            let _ = id_in.send(left);
            if !is_there {
                return;
            }
            for address in endpoints() {
                ip(&format!("addr add {address}/32 dev lo"));
            }
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap();
            thread::spawn(move || listener.incoming().for_each(drop));
            for order in orders_out {
                ip(&order);
                let _ = done_in.send(());
            }
        });
        Some(Self { id: id.recv().ok()??, orders, done })
    }

    fn ip(&self, args: &str) {
        self.orders.send(args.to_owned()).unwrap();
        self.done.recv().unwrap();
    }
}

/// Runs `test` with a server that probes the regions, in a thread that has left the machine's
/// network.
fn in_a_world(test: impl FnOnce(&Regions, Server) + Send + 'static) {
    let run = move || {
        let (Some(_), Some(regions)) = (leave(), Regions::start()) else {
            eprintln!("not run: leaving the machine's network takes root");
            return;
        };
        ip("link add up0 type veth peer name r0");
        ip(&format!("link set r0 netns {}", regions.id));
        ip("addr add 10.7.0.1/24 dev up0");
        regions.ip("addr add 10.7.0.2/24 dev r0");
        regions.ip("link set r0 up");
        connect();
        let config = format!(
            "version: 1\nlisten: [\"127.0.0.1:0\"]\nzones: zones/\n\
             checks: {{ web: {{ tcp: {{ port: {PORT} }}, every: 1s, timeout: 500ms, fall: 3 }} }}\n"
        );
        let pool = |region: u8| {
            let [one, other] = [1, 2].map(|host| endpoint(region, host));
            format!("        r{region}: {{ A: [{one}, {other}] }}\n")
        };
        let zone = format!(
            "zone: example.com\nrecords:\n  \"@\": {{ NS: ns1 }}\n  ns1: {{ A: 192.0.2.53 }}\n  \
             www:\n    ttl: {TTL}\n    steer:\n      check: web\n      ttl_min: {TTL_MIN}\n      \
             pools:\n{}",
            [1, 2, 3].map(pool).concat()
        );
        let files = [("evenkeel.yaml", &*config), ("zones/example.com.yaml", &*zone)];
        test(&regions, Server::start(&files));
    };
    thread::spawn(run).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// Gives the prober its network.
fn connect() {
    ip("link set up0 up");
    ip("route add default via 10.7.0.2");
}

/// All addresses and TTLs of a few answers. Of three pools none is missed but once in 10^14.
fn ask(server: &Server) -> (BTreeSet<Ipv4Addr>, BTreeSet<u32>) {
    let mut addresses = BTreeSet::new();
    let mut ttls = BTreeSet::new();
    for _ in 0..80 {
        for record in server.ask("www.example.com.", RecordType::A).answers {
            let RData::A(address) = record.data else { panic!("{record}") };
            addresses.insert(address.0);
            ttls.insert(record.ttl);
        }
    }
    (addresses, ttls)
}

#[track_caller]
fn nothing_fell(server: &Server) {
    let log = server.log();
    assert!(!log.iter().any(|line| line.contains(" to=down")), "{}", log.join("\n"));
}

#[test]
fn a_prober_without_network_takes_nothing_out_and_recovers() {
    in_a_world(|_, mut server| {
        assert_eq!(ask(&server), (endpoints(), BTreeSet::from([TTL])));
        ip("link set up0 down");
        let blind = server.wait_for_log("the prober is blind", 0);
        assert!(blind.contains("targets that were up fail"), "{blind}");
        // Twice as long as it takes to eject what is dead.
        let end = clock::now() + 2 * BOUND;
        while clock::now() < end {
            assert_eq!(ask(&server).0, endpoints());
            thread::park_timeout(Duration::from_millis(50));
        }
        assert_eq!(ask(&server).1, BTreeSet::from([TTL_MIN]), "what fails is kept shortly");
        nothing_fell(&server);
        connect();
        server.wait_for_log("the prober sees again", 0);
        until("all to be good again", || ask(&server).1 == BTreeSet::from([TTL]));
        assert_eq!(ask(&server).0, endpoints());
        nothing_fell(&server);
    });
}

#[test]
fn a_region_without_network_is_taken_out() {
    in_a_world(|regions, server| {
        assert_eq!(ask(&server), (endpoints(), BTreeSet::from([TTL])));
        let died = clock::now();
        for host in [1, 2] {
            regions.ip(&format!("addr del {}/32 dev lo", endpoint(3, host)));
        }
        let left: BTreeSet<_> = endpoints().into_iter().filter(|it| it.octets()[2] != 3).collect();
        until("the region to leave the answers", || ask(&server).0 == left);
        let took = clock::now().duration_since(died);
        assert!(took < BOUND + SLACK, "gone after {took:?}, the bound is {BOUND:?}");
        assert_eq!(ask(&server), (left, BTreeSet::from([TTL])), "nobody else's TTL changes");
        assert!(!server.log().iter().any(|line| line.contains("blind")));
        for host in [1, 2] {
            regions.ip(&format!("addr add {}/32 dev lo", endpoint(3, host)));
        }
        until("the region to come back", || ask(&server).0 == endpoints());
    });
}
