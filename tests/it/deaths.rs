//! Endpoints that die at random times: how long they are answered, and how long a real resolver in
//! front hands them out.
//!
//! All of them die in one run of one server, each at a time of its own. With `RUN_SLOW_TESTS` set
//! the numbers are the default ones (10 s, 3 s, 3), and it takes some minutes:
//!
//! ```text
//! RUN_SLOW_TESTS=1 cargo it -- --nocapture deaths::
//! ```

use std::{
    collections::HashSet,
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use evenkeel::{
    clock,
    dice::{Dice, Roll},
};
use hickory_proto::{
    op::Message,
    rr::{RData, RecordType},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{
    process::{PATIENCE, Process, free_address, until},
    server::{Server, question},
};

/// What stays in an answer when the other address is dead.
const ALIVE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// The numbers of a run.
#[derive(Debug, Clone, Copy)]
struct Numbers {
    every: Duration,
    timeout: Duration,
    fall: u32,
    /// Over how long the deaths are spread.
    spread: Duration,
}

impl Numbers {
    fn new(fall: u32) -> Self {
        if std::env::var_os("RUN_SLOW_TESTS").is_some() {
            let [every, timeout, spread] = [10, 3, 60].map(Duration::from_secs);
            return Self { every, timeout, fall: 3, spread };
        }
        let [every, timeout, spread] = [1000, 500, 6000].map(Duration::from_millis);
        Self { every, timeout, fall, spread }
    }

    /// From a death to the latest answer with the dead address.
    fn bound(self) -> Duration {
        let found = self.every;
        found + self.every * (self.fall - 1) + self.timeout + Duration::from_secs(1)
    }
}

/// Endpoints that die, each by itself.
struct Mortals {
    port: u16,
    died: Arc<Mutex<Vec<Option<Instant>>>>,
    /// Dropping it ends them all.
    _runtime: tokio::runtime::Runtime,
}

/// How an endpoint dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    /// Connections are refused.
    Refuses,
    /// They are accepted, and nothing is said on them.
    Silent,
}

impl Mortals {
    /// So many, the first of which die from `after` on, and one more that does not: without it the
    /// last ones to die would look like a prober that lost its network.
    fn begin(count: usize, after: Duration, numbers: Numbers, deaths: &[Death]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("the system gives threads");
        let port = free_address().port();
        let died = Arc::new(Mutex::new(vec![None; count]));
        let seed = Dice::from_os().roll().bits();
        eprintln!("seed {seed}");
        let mut roll = Roll(seed);
        let spread = u64::try_from(numbers.spread.as_millis()).expect("it is short");
        for idx in 0..=count {
            let listener = runtime.block_on(TcpListener::bind((address(idx), port)));
            let listener = listener.expect("loopback is ours");
            let dies_at = clock::now() + after + Duration::from_millis(roll.below(spread));
            let death = deaths[idx % deaths.len()];
            let died = Arc::clone(&died);
            if idx == count {
                runtime.spawn(async move { serve(&listener).await });
                break;
            }
            runtime.spawn(async move {
                let serving = serve(&listener);
                let _ = tokio::time::timeout_at(dies_at.into(), serving).await;
                let mut held = Vec::new();
                if death == Death::Refuses {
                    drop(listener);
                    died.lock().unwrap()[idx] = Some(clock::now());
                    return;
                }
                died.lock().unwrap()[idx] = Some(clock::now());
                while let Ok((stream, _)) = listener.accept().await {
                    held.push(stream);
                }
            });
        }
        Self { port, died, _runtime: runtime }
    }

    fn died(&self, idx: usize) -> Option<Instant> {
        self.died.lock().unwrap()[idx]
    }
}

async fn serve(listener: &TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream));
    }
}

async fn answer(mut stream: TcpStream) {
    let mut request = [0; 1024];
    let _ = stream.read(&mut request).await;
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
}

fn address(idx: usize) -> Ipv4Addr {
    let number = u32::try_from(idx + 1).expect("few");
    Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(127, 21, 0, 0)) + number)
}

/// A name for each endpoint, with a TTL and a `ttl_min`, beside an address that does not die.
fn names(zone: &mut String, letter: char, count: usize, (ttl, ttl_min): (u64, u64)) {
    for idx in 0..count {
        writeln!(
            zone,
            "  {letter}{idx}: {{ ttl: {ttl}, steer: {{ ttl_min: {ttl_min}, pools: {{ p: {{ A: [{{ \
             address: {}, check: web }}, {ALIVE}] }} }} }} }}",
            address(idx)
        )
        .expect("a string takes it");
    }
}

fn serve_names(zone: &str, mortals: &Mortals, numbers: Numbers) -> Server {
    let immortal = address(mortals.died.lock().unwrap().len());
    let config = format!(
        "version: 1\nlisten: [\"127.0.0.1:0\"]\nzones: zones/\nprober: {{ blind_above: 100% }}\n\
         checks: {{ web: {{ http: {{ port: {}, body: ok }}, every: {}ms, timeout: {}ms, \
         fall: {}, rise: 2 }} }}\n",
        mortals.port,
        numbers.every.as_millis(),
        numbers.timeout.as_millis(),
        numbers.fall,
    );
    let zone = format!(
        "zone: example.com\nrecords:\n  \"@\": {{ NS: ns1 }}\n  ns1: {{ A: 192.0.2.53 }}\n  \
         immortal: {{ steer: {{ check: web, pools: {{ p: {{ A: {immortal} }} }} }} }}\n{zone}"
    );
    Server::start(&[("evenkeel.yaml", &config), ("zones/example.com.yaml", &zone)])
}

/// Asks for addresses, and how long they may be kept.
struct Asker(UdpSocket);

impl Asker {
    fn new(whom: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(whom).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    fn ask(&self, name: &str) -> (HashSet<Ipv4Addr>, u32) {
        let mut reply = [0; 512];
        let mut query = question(&format!("{name}.example.com."), RecordType::A);
        query[2] |= 1; // Recursion is desired: one of those asked is a resolver.
        self.0.send(&query).unwrap();
        let len = self.0.recv(&mut reply).expect("every question is answered");
        let message = Message::from_vec(&reply[..len]).unwrap();
        let address = |record: &hickory_proto::rr::Record| match record.data {
            RData::A(address) => address.0,
            _ => panic!("{message}"),
        };
        let addresses: HashSet<_> = message.answers.iter().map(address).collect();
        assert!(addresses.contains(&ALIVE), "{name}: {message}");
        (addresses, message.answers.iter().map(|it| it.ttl).min().unwrap())
    }
}

/// How long it went on after each death, in seconds.
struct Lasted(Vec<f64>);

impl Lasted {
    fn longest(&self) -> f64 {
        self.0.iter().copied().fold(0.0, f64::max)
    }

    fn say(&self, what: &str, limit: Duration) {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let (count, median) = (sorted.len(), sorted[sorted.len() / 2]);
        let longest = self.longest();
        eprintln!(
            "{what}: {count} deaths, median {median:.2} s, longest {longest:.2} s, limit {limit:?}"
        );
    }
}

#[test]
fn two_hundred_dead_endpoints_are_out_of_the_answers_within_the_bound() {
    const COUNT: usize = 200;
    let numbers = Numbers::new(3);
    let (ttl, ttl_min) = (20, 5);
    let mut zone = String::new();
    names(&mut zone, 'd', COUNT, (ttl, ttl_min));
    let deaths = [Death::Refuses, Death::Silent];
    let mortals = Mortals::begin(COUNT, Duration::from_secs(3), numbers, &deaths);
    let server = serve_names(&zone, &mortals, numbers);
    let asker = Asker::new(server.address);

    let mut gone: Vec<Option<Instant>> = vec![None; COUNT];
    // Until when a cache may hold the dead address.
    let mut kept: Vec<Instant> = vec![clock::now(); COUNT];
    until_all_are_gone(&mut gone, numbers, |idx, gone| {
        let (addresses, ttl) = asker.ask(&format!("d{idx}"));
        let now = clock::now();
        if addresses.contains(&address(idx)) {
            assert_eq!(*gone, None, "d{idx} is back");
            kept[idx] = kept[idx].max(now + Duration::from_secs(ttl.into()));
        } else if gone.is_none() {
            assert!(mortals.died(idx).is_some(), "d{idx} went before it died");
            *gone = Some(now);
        }
    });
    let died = |idx: usize| mortals.died(idx).unwrap();
    let since = |at: Instant, idx| at.saturating_duration_since(died(idx)).as_secs_f64();
    let lasted = |death: Death, at: &dyn Fn(usize) -> Instant| {
        let died_so = (0..COUNT).filter(|idx| deaths[idx % 2] == death);
        Lasted(died_so.map(|idx| since(at(idx), idx)).collect())
    };
    let bound = numbers.bound();
    let [full, short] = [ttl, ttl_min].map(Duration::from_secs);
    for death in deaths {
        let absent = lasted(death, &|idx| gone[idx].unwrap());
        absent.say(&format!("{death:?}, in answers"), bound);
        assert!(absent.longest() <= bound.as_secs_f64());
        // The first failure is known `every` after the death; of who is silent, a timeout later.
        let known = if death == Death::Silent { numbers.timeout } else { Duration::ZERO };
        // A busy machine is what the second of the bound is for; here it stands for itself.
        let limit = (bound + short).max(numbers.every + known + full) + Duration::from_millis(500);
        let kept = lasted(death, &|idx| kept[idx]);
        kept.say(&format!("{death:?}, in caches"), limit);
        assert!(kept.longest() <= limit.as_secs_f64());
    }
    let (status, stopped) = server.stop();
    assert!(status.success(), "{stopped}");
}

/// Calls `look` for each that is not gone, round after round, until all are.
fn until_all_are_gone(
    gone: &mut [Option<Instant>],
    numbers: Numbers,
    mut look: impl FnMut(usize, &mut Option<Instant>),
) {
    let patience = numbers.spread + numbers.bound() * 2 + PATIENCE;
    let deadline = clock::now() + patience;
    while gone.iter().any(Option::is_none) {
        assert!(clock::now() < deadline, "not all are gone after {patience:?}");
        for (idx, gone) in gone.iter_mut().enumerate() {
            look(idx, gone);
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

// ---- Behind a resolver ----

/// A caching resolver that asks `server` for `example.com`.
fn unbound(server: SocketAddr, folder: &std::path::Path) -> (Process, SocketAddr) {
    let address = free_address();
    let config = format!(
        "server:\n  interface: {}@{}\n  do-daemonize: no\n  username: \"\"\n  chroot: \"\"\n  \
         directory: \"{folder}\"\n  pidfile: \"\"\n  use-syslog: no\n  logfile: \"\"\n  \
         num-threads: 1\n  do-not-query-localhost: no\n  module-config: \"iterator\"\n  \
         qname-minimisation: no\nremote-control:\n  control-enable: no\n\
         stub-zone:\n  name: \"example.com\"\n  stub-addr: {}@{}\n",
        address.ip(),
        address.port(),
        server.ip(),
        server.port(),
        folder = folder.display(),
    );
    let path = folder.join("unbound.conf");
    std::fs::write(&path, config).unwrap();
    let mut command = Command::new("unbound");
    command.arg("-d").arg("-c").arg(path);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let process = Process::start(&mut command);
    let query = question("ns1.example.com.", RecordType::A);
    until("unbound to answer", || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        socket.send(&query).is_ok() && socket.recv(&mut [0; 512]).is_ok()
    });
    (process, address)
}

#[test]
fn a_resolver_in_front_forgets_the_dead_soon() {
    const COUNT: usize = 100;
    let numbers = Numbers::new(6);
    let (ttl, ttl_min) = if numbers.every.as_secs() == 1 { (8, 1) } else { (60, 5) };
    let mut zone = String::new();
    names(&mut zone, 's', COUNT, (ttl, ttl_min));
    // The same endpoints without anticipation.
    names(&mut zone, 'l', COUNT, (ttl, ttl));
    let mortals = Mortals::begin(COUNT, Duration::from_secs(4), numbers, &[Death::Refuses]);
    let server = serve_names(&zone, &mortals, numbers);
    let folder = tempfile::tempdir().unwrap();
    let (resolver, at) = unbound(server.address, folder.path());
    let asker = Asker::new(at);

    let mut gone: Vec<Option<Instant>> = vec![None; 2 * COUNT];
    until_all_are_gone(&mut gone, numbers, |idx, gone| {
        let (letter, endpoint) = if idx < COUNT { ('s', idx) } else { ('l', idx - COUNT) };
        let (addresses, _) = asker.ask(&format!("{letter}{endpoint}"));
        if addresses.contains(&address(endpoint)) {
            assert_eq!(*gone, None, "{letter}{endpoint} is back");
        } else {
            gone.get_or_insert_with(clock::now);
        }
    });
    let lasted = |range: std::ops::Range<usize>| {
        let since = |idx: usize| {
            let died = mortals.died(idx % COUNT).unwrap();
            gone[idx].unwrap().saturating_duration_since(died).as_secs_f64()
        };
        Lasted(range.map(since).collect())
    };
    let [full, short] = [ttl, ttl_min].map(Duration::from_secs);
    let limit = (numbers.bound() + short).max(numbers.every + full);
    // The resolver counts in whole seconds, of which the one that has begun is not over.
    let limit = limit + Duration::from_secs(1);
    let anticipating = lasted(0..COUNT);
    anticipating.say("anticipating", limit);
    let plain = lasted(COUNT..2 * COUNT);
    plain.say("`ttl_min` = `ttl`", numbers.bound() + full + Duration::from_secs(1));
    assert!(anticipating.longest() <= limit.as_secs_f64());
    assert!(limit.as_secs_f64() < plain.longest(), "it shows no difference");
    drop(resolver);
    let (status, stopped) = server.stop();
    assert!(status.success(), "{stopped}");
}
