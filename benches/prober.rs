//! What it costs to probe ten thousand endpoints, and how late the living are for the sake of the dead.
//!
//! ```text
//!   core 0                                   core 1
//!   the prober (this program)  --http or tcp-->  the endpoints (this program again): 127.x.y.z, one
//!                                            port for all of them
//! ```
//!
//! Three in ten are black holes in the last part: their port is another one, on which there is a
//! listener that accepts nothing and whose queue is full, so that the kernel answers no SYN. That
//! is what a host behind a filter looks like to a prober: each execution takes the whole timeout.
//!
//! *Lateness* is how much longer than `every` a period was, from start to start, of the targets that
//! are not black holes; a period that was shortened by chance
//! is not late, which hides what is less than the shortening (none to 1/16 of `every`, evenly): the
//! greatest lateness of many periods is the one to look at. CPU time is that of all
//! threads of the prober's process with what the kernel does for it; on loopback that includes the
//! other end's part of the network's work.
//!
//! ```text
//! cargo bench --bench prober -- [--json] [--seconds N] [--targets N]
//! ```

use std::{
    error::Error,
    fs,
    io::{BufRead, BufReader},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use evenkeel::{
    clock,
    health::{Http, Kind, News, Outcome, Past, ProbeSpec, Prober, Sanity, Target, Tcp, execute},
};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    sys::resource::{Resource, getrlimit, setrlimit},
    unistd::Pid,
};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::mpsc,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const EVERY: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(3);
const PROBER_CORE: usize = 0;
const PEER_CORE: usize = 1;

/// Black holes of ten targets.
const HOLES_OF_TEN: u32 = 3;

/// What the program was asked for.
struct Options {
    json: bool,
    seconds: u64,
    targets: u32,
}

/// One part of the measurement.
#[derive(Clone, Copy)]
struct Part {
    kind: &'static str,
    holes: bool,
}

fn main() -> Result<()> {
    let mut options = Options { json: false, seconds: 60, targets: 10_000 };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|it| it.parse::<u64>().ok());
        match &*arg {
            "--json" => options.json = true,
            "--seconds" => options.seconds = number().ok_or("--seconds needs a number")?,
            "--targets" => {
                let targets = number().ok_or("--targets needs a number")?;
                options.targets = u32::try_from(targets)?;
            }
            "peer" => return peer(),
            // Cargo adds it to every bench.
            "--bench" => {}
            _ => return Err(format!("unknown argument {arg}").into()),
        }
    }
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    stay_on(PROBER_CORE)?;
    let mut results = Vec::new();
    for (kind, holes) in [("tcp", false), ("http", false), ("http", true)] {
        let part = Part { kind, holes };
        results.push(measure(part, &options)?);
    }
    if options.json {
        println!(
            "{}",
            json!({ "targets": options.targets, "every_s": EVERY.as_secs(), "parts": results })
        );
    } else {
        print(&options, &results);
    }
    Ok(())
}

fn print(options: &Options, results: &[Value]) {
    println!("{} targets, every {EVERY:?}, for {} s", options.targets, options.seconds);
    println!(
        "kind  holes  CPU %  starts/s max  mean  late p50 ms  p99 ms  max ms  failed  RSS MiB"
    );
    for it in results {
        let number = |name: &str| it[name].as_f64().unwrap_or_default();
        println!(
            "{:<5} {:>5} {:>6.1} {:>13.0} {:>5.0} {:>12.1} {:>7.1} {:>7.1} {:>7.0} {:>8.0}",
            it["kind"].as_str().unwrap_or_default(),
            number("holes"),
            number("cpu_percent"),
            number("starts_max"),
            number("starts_mean"),
            number("late_p50_ms"),
            number("late_p99_ms"),
            number("late_max_ms"),
            number("failed"),
            number("rss_mib"),
        );
    }
}

fn stay_on(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core)?;
    // A machine of one core measures both ends on it, and says so by its numbers.
    let _ = sched_setaffinity(Pid::from_raw(0), &cores);
    Ok(())
}

// ---- The endpoints ----

/// Accepts on all addresses of loopback, and says where.
fn peer() -> Result<()> {
    stay_on(PEER_CORE)?;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())?;
        socket.listen(4096)?;
        socket.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(socket.into())?;
        println!("{}", listener.local_addr()?.port());
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { continue };
            tokio::spawn(async move {
                let mut request = [0; 1024];
                if let Ok(1..) = stream.read(&mut request).await {
                    let reply =
                        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
                    let _ = stream.write_all(reply).await;
                }
            });
        }
    })
}

/// The endpoints' process.
struct Peer {
    child: Child,
    port: u16,
}

impl Peer {
    fn start() -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("peer").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("it is piped")?).read_line(&mut line)?;
        Ok(Self { child, port: line.trim().parse()? })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of all loopback addresses on which the kernel answers no SYN.
struct Hole {
    port: u16,
    _listener: Socket,
    _waiting: Vec<TcpStream>,
}

impl Hole {
    fn dig() -> Result<Self> {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        listener.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())?;
        listener.listen(0)?;
        let port = listener.local_addr()?.as_socket().ok_or("it is IPv4")?.port();
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // The queue is full when a connection does not come about any more.
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&to, Duration::from_millis(300)) {
            waiting.push(stream);
        }
        Ok(Self { port, _listener: listener, _waiting: waiting })
    }
}

// ---- The prober ----

fn spec(number: u32, port: u16, kind: &str) -> Arc<ProbeSpec> {
    let address = Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + number);
    let http = || Http {
        tls: None,
        method: "GET".into(),
        path: "/health".into(),
        host: "www.example.com".into(),
        headers: Vec::new(),
        status: vec![(200, 299)],
        body: Some("ok".into()),
        body_regex: None,
        json: Vec::new(),
        within: None,
    };
    Arc::new(ProbeSpec {
        target: Target::Address(IpAddr::V4(address)),
        port,
        kind: if kind == "tcp" { Kind::Tcp(Tcp::default()) } else { Kind::Http(http().into()) },
        invert: false,
        every: EVERY,
        timeout: TIMEOUT,
        fall: 3,
        rise: 2,
        flap: None,
    })
}

/// When probes were started, of which target.
type Starts = Arc<Mutex<Vec<(Instant, u32)>>>;

fn measure(part: Part, options: &Options) -> Result<Value> {
    let peer = Peer::start()?;
    let hole = Hole::dig()?;
    let is_hole = |number: u32| part.holes && number % 10 < HOLES_OF_TEN;
    let port_of = |number| if is_hole(number) { hole.port } else { peer.port };
    let specs: Vec<_> = (0..options.targets).map(|it| spec(it, port_of(it), part.kind)).collect();
    let starts: Starts = Arc::default();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (cpu, failed) = runtime.block_on(async {
        let (news_in, mut news) = mpsc::channel(1024);
        let log = Arc::clone(&starts);
        let first = u32::from(Ipv4Addr::new(127, 1, 0, 1));
        let prober = Prober::start_alone(
            move |spec: Arc<ProbeSpec>| {
                if let Target::Address(IpAddr::V4(address)) = spec.target {
                    let mut log = log.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    log.push((clock::now(), address.to_bits() - first));
                }
                async move { execute(&spec).await }
            },
            news_in,
            Past::default(),
        )?;
        prober.set(specs, Sanity::default());
        // The first round, and the one in which all come to their phases, are not measured.
        let mut failed = 0_u64;
        let mut cpu = None;
        let warm_at = clock::now() + EVERY * 2;
        let end_at = warm_at + Duration::from_secs(options.seconds);
        while let Ok(Some(news)) = tokio::time::timeout_at(end_at.into(), news.recv()).await {
            let is_warm = warm_at <= clock::now();
            if is_warm && cpu.is_none() {
                cpu = Some(cpu_time()?);
            }
            if let News::Probed(report) = news
                && is_warm
                && report.outcome != Outcome::Good
                && report.spec.port == peer.port
            {
                failed += 1;
            }
        }
        let before = cpu.ok_or("nothing was reported")?;
        Ok::<_, Box<dyn Error>>((cpu_time()?.saturating_sub(before), failed))
    })?;
    let starts = std::mem::take(&mut *starts.lock().map_err(|_| "a probe crashed")?);
    Ok(summed_up(part, options, &starts, is_hole, cpu, failed))
}

/// The row of a part.
fn summed_up(
    part: Part,
    options: &Options,
    starts: &[(Instant, u32)],
    is_hole: impl Fn(u32) -> bool,
    cpu: Duration,
    failed: u64,
) -> Value {
    let warm_at = starts[0].0 + EVERY * 2;
    let settled: Vec<_> = starts.iter().filter(|(at, _)| warm_at <= *at).collect();
    // Any second, in steps of 50 ms.
    let all: Vec<Instant> = settled.iter().map(|(at, _)| *at).collect();
    let in_second = |step: u64| {
        let begin = warm_at + Duration::from_millis(50 * step);
        let end = begin + Duration::from_secs(1);
        all.partition_point(|it| *it < end) - all.partition_point(|it| *it < begin)
    };
    let busiest = (0..(options.seconds - 1) * 20).map(in_second).max().unwrap_or_default();
    let mut latest = vec![None; options.targets as usize];
    let mut late_ms = Vec::new();
    for (at, number) in settled.iter().copied().filter(|(_, number)| !is_hole(*number)) {
        if let Some(before) = latest[*number as usize].replace(*at) {
            let late = at.duration_since(before).saturating_sub(EVERY);
            late_ms.push(late.as_secs_f64() * 1000.0);
        }
    }
    late_ms.sort_by(f64::total_cmp);
    let at = |percent: usize| late_ms[(late_ms.len() - 1) * percent / 100];
    #[allow(clippy::cast_precision_loss)] // A hundred thousand or so.
    let mean = all.len() as f64 / Duration::from_secs(options.seconds).as_secs_f64();
    json!({
        "kind": part.kind,
        "holes": (0..options.targets).filter(|it| is_hole(*it)).count(),
        "cpu_percent": cpu.as_secs_f64() * 100.0 / Duration::from_secs(options.seconds).as_secs_f64(),
        "starts_max": busiest,
        "starts_mean": mean,
        "late_p50_ms": at(50),
        "late_p99_ms": at(99),
        "late_max_ms": at(100),
        "failed": failed,
        "rss_mib": rss_mib(),
    })
}

/// CPU time of all threads of this process, from the kernel's own count.
fn cpu_time() -> Result<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir("/proc/self/task")? {
        let stat = fs::read_to_string(task?.path().join("schedstat"))?;
        nanos += stat.split(' ').next().unwrap_or("0").parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}

fn rss_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|it| it.parse().ok());
    kib.unwrap_or(0_u64) / 1024
}
