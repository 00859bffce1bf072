//! Kinds that are not over a connection: DNS, echoes, commands.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use evenkeel::health::{Dns, Exec};
use tokio::net::UdpSocket;

use super::{kinds::Ends, *};

// ---- DNS ----

fn dns() -> Dns {
    let name = b"\x03www\x07example\x03com\x00";
    Dns { name: Box::from(&name[..]), rtype: 1, rcode: 0, answer: vec![], tcp: false }
}

/// The reply to a question, with so many flags, response code and addresses.
fn reply(question: &[u8], flags: u8, rcode: u8, addresses: &[[u8; 4]]) -> Vec<u8> {
    let mut octets = question.to_vec();
    octets[2] |= 0x84 | flags;
    octets[3] = rcode;
    octets[7] = u8::try_from(addresses.len()).unwrap();
    for address in addresses {
        octets.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        octets.extend(address);
    }
    octets
}

/// A server over UDP that says to each question what `say` makes of it.
async fn over_udp(say: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> (SocketAddr, Ends) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut question = [0; 512];
        loop {
            let (len, from) = socket.recv_from(&mut question).await.unwrap();
            for octets in say(&question[..len]) {
                socket.send_to(&octets, from).await.unwrap();
            }
        }
    });
    (address, Ends(task))
}

#[tokio::test]
async fn a_question_and_its_answer() {
    let (address, _ends) =
        over_udp(|it| vec![reply(it, 0, 0, &[[192, 0, 2, 1], [192, 0, 2, 2]])]).await;
    let check = async |dns: Dns, expect: Outcome| {
        assert_eq!(executed(&spec(address, Kind::Dns(dns))).await, expect);
    };
    let answer = |last: u8| Box::<[u8]>::from([192, 0, 2, last]);
    check(dns(), GOOD).await;
    check(Dns { answer: vec![answer(2)], ..dns() }, GOOD).await;
    check(Dns { answer: vec![answer(1), answer(2)], ..dns() }, GOOD).await;
    check(Dns { answer: vec![answer(1), answer(3)], ..dns() }, Outcome::Failed(Why::Answer)).await;
    check(Dns { rcode: 3, ..dns() }, Outcome::Failed(Why::Rcode("NOERROR".into()))).await;
}

#[tokio::test]
async fn replies_that_are_none() {
    let check = async |say: fn(&[u8]) -> Vec<Vec<u8>>, expect: Outcome| {
        let (address, _ends) = over_udp(say).await;
        assert_eq!(executed(&spec(address, Kind::Dns(dns()))).await, expect);
    };
    check(|_| vec![], LATE).await;
    check(|_| vec![b"no".to_vec()], LATE).await;
    check(|it| vec![it.to_vec()], LATE).await;
    check(|it| vec![reply(it, 0, 2, &[])], Outcome::Failed(Why::Rcode("SERVFAIL".into()))).await;
    // Another id, another question, and then the right one.
    check(
        |it| {
            let (mut id, mut name) = (reply(it, 0, 0, &[]), reply(it, 0, 0, &[]));
            id[0] ^= 1;
            name[14] = b'x';
            vec![id, name]
        },
        LATE,
    )
    .await;
    check(
        |it| {
            let (mut id, mut name) = (reply(it, 0, 2, &[]), reply(it, 0, 0, &[]));
            id[0] ^= 1;
            name[12..].make_ascii_uppercase();
            vec![id, name]
        },
        GOOD,
    )
    .await;
    let refused = Outcome::Failed(Why::Connect(ErrorKind::ConnectionRefused));
    assert_eq!(executed(&spec(closed_port().await, Kind::Dns(dns()))).await, refused);
}

#[tokio::test]
async fn a_question_over_tcp() {
    let check = async |act: fn(&[u8]) -> (Vec<u8>, bool), over_tcp: bool, expect: Outcome| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let _task = Ends(tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut question = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut question).await.unwrap();
            let (octets, closes) = act(&question);
            stream.write_all(&octets).await.unwrap();
            if !closes {
                std::future::pending::<()>().await;
            }
        }));
        // Over UDP the answer is cut off.
        let socket = UdpSocket::bind(address).await.unwrap();
        let _udp = Ends(tokio::spawn(async move {
            let mut question = [0; 512];
            let (len, from) = socket.recv_from(&mut question).await.unwrap();
            let octets = reply(&question[..len], 0x02, 0, &[]);
            socket.send_to(&octets, from).await.unwrap();
        }));
        let dns = Dns { answer: vec![Box::from([192, 0, 2, 1])], tcp: over_tcp, ..dns() };
        assert_eq!(executed(&spec(address, Kind::Dns(dns))).await, expect);
    };
    let framed = |it: &[u8]| {
        let octets = reply(it, 0, 0, &[[192, 0, 2, 1]]);
        ([&u16::try_from(octets.len()).unwrap().to_be_bytes()[..], &octets].concat(), false)
    };
    check(framed, true, GOOD).await;
    check(framed, false, GOOD).await;
    check(|_| (vec![], false), true, LATE).await;
    check(|_| (vec![0xFF], false), true, LATE).await;
    check(|_| (vec![0xFF, 0xFF, 1, 2], true), true, EXCHANGE).await;
    check(|_| (vec![0, 4, 1, 2, 3, 4], false), true, EXCHANGE).await;
}

// ---- Echoes ----

#[tokio::test]
async fn an_echo() {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ping_group_range").unwrap();
    let mut range = range.split_whitespace().map(|it| it.parse::<u32>().unwrap());
    let group = nix::unistd::getegid().as_raw();
    let is_allowed = range.next().unwrap() <= group && group <= range.next().unwrap();
    let expect = if is_allowed { GOOD } else { Outcome::Failed(Why::Forbidden) };
    let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    assert_eq!(executed(&spec(address, Kind::Icmp)).await, expect);
    let address = SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), 0);
    let outcome = executed(&spec(address, Kind::Icmp)).await;
    let has_v6 = std::net::UdpSocket::bind(address).is_ok();
    assert!(outcome == expect || !has_v6, "{outcome:?}");
    if is_allowed {
        // From a network for documentation nothing comes back.
        let address = SocketAddr::new(Ipv4Addr::new(192, 0, 2, 1).into(), 0);
        assert_ne!(executed(&spec(address, Kind::Icmp)).await, GOOD);
    }
}

// ---- Commands ----

/// A script in a folder of its own.
struct Script {
    folder: tempfile::TempDir,
    path: PathBuf,
}

impl Script {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("check");
        fs::write(&path, format!("#!/bin/sh\ncd {}\n{text}\n", folder.path().display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, path }
    }

    async fn outcome(&self, timeout: Duration) -> Outcome {
        let argv = vec![self.path.to_str().unwrap().into(), "an argument; exit 9".into()];
        let address = "192.0.2.7:53".parse().unwrap();
        let spec = ProbeSpec { timeout, ..spec(address, Kind::Exec(Exec { argv })) };
        let began = clock::now();
        let outcome = execute(&spec).await;
        assert!(clock::now() - began < timeout + GRACE);
        outcome
    }

    /// The process whose number the script wrote into `pid`, if it still is one.
    fn is_alive(&self) -> bool {
        let Ok(id) = fs::read_to_string(self.folder.path().join("pid")) else { return false };
        // One that waits to be reaped has ended.
        let status = fs::read_to_string(format!("/proc/{}/status", id.trim()));
        status.is_ok_and(|it| !it.contains("State:\tZ"))
    }
}

/// Enough for a shell on a busy machine.
const LONG: Duration = Duration::from_secs(20);

fn says(why: &str) -> Outcome {
    Outcome::Failed(Why::Exec(why.into()))
}

#[tokio::test]
async fn a_commands_exit_status_decides() {
    let check = async |text: &str, expect: Outcome| {
        assert_eq!(Script::new(text).outcome(LONG).await, expect, "{text}");
    };
    check("exit 0", GOOD).await;
    check("exit 3", says("exit status 3")).await;
    check("echo 'CRITICAL - no disk'; exit 2", says("exit status 2: CRITICAL - no disk")).await;
    check("echo 'no such thing' >&2; exit 1", says("exit status 1: no such thing")).await;
    check("kill -9 $$", says("ended by a signal")).await;
    // The arguments are arguments, and the environment is what was said and nothing else.
    check("test \"$1\" = 'an argument; exit 9' && test $# = 1", GOOD).await;
    let environment = "test $EVENKEEL_ADDRESS = 192.0.2.7 && test $EVENKEEL_PORT = 53 && \
                       test -n \"$EVENKEEL_TIMEOUT_MS\" && test -z \"$CARGO_MANIFEST_DIR\"";
    check(environment, GOOD).await;
    check("exec >&- 2>&-; exit 0", GOOD).await;
}

#[tokio::test]
async fn commands_that_cannot_be_run() {
    let check = async |program: &str, expect: Outcome| {
        let exec = Exec { argv: vec![program.into()] };
        let address = "192.0.2.7:53".parse().unwrap();
        assert_eq!(execute(&spec(address, Kind::Exec(exec))).await, expect);
    };
    check("/does/not/exist", says("`/does/not/exist` cannot be run: entity not found")).await;
    check("/dev/null", says("`/dev/null` cannot be run: permission denied")).await;
}

#[tokio::test]
async fn a_command_is_ended_with_all_that_it_started() {
    // One that hangs, and has started one that hangs.
    let script = Script::new("sleep 1000 & echo $! >pid; wait");
    let timeout = Duration::from_secs(2);
    assert_eq!(script.outcome(timeout).await, Outcome::Failed(Why::Timeout(timeout)));
    gone(&script).await;
    // One that is done, and has left one behind that holds its output open.
    let script = Script::new("sleep 1000 & echo $! >pid; exit 0");
    assert_eq!(script.outcome(LONG).await, GOOD);
    gone(&script).await;
    // One that writes without end, and one that writes slowly.
    let script = Script::new("echo $$ >pid; exec yes");
    assert_eq!(script.outcome(LONG).await, says("the command writes too much"));
    gone(&script).await;
    let script = Script::new("echo $$ >pid; while :; do echo x; sleep 1; done");
    assert_eq!(script.outcome(timeout).await, Outcome::Failed(Why::Timeout(timeout)));
    gone(&script).await;
}

/// Waits until the script's process is no more.
async fn gone(script: &Script) {
    let began = clock::now();
    while script.is_alive() {
        assert!(clock::now() - began < GRACE, "it is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(script.folder.path().join("pid").exists(), "it began");
}

#[tokio::test]
async fn more_commands_than_may_run_wait_their_turn() {
    let script = Script::new("echo + >>log; sleep 0.2; echo - >>log");
    let mut running = tokio::task::JoinSet::new();
    let script = Arc::new(script);
    for _ in 0..100 {
        let script = Arc::clone(&script);
        running.spawn(async move { script.outcome(LONG).await });
    }
    while let Some(outcome) = running.join_next().await {
        assert_eq!(outcome.unwrap(), GOOD);
    }
    let (mut now, mut most) = (0_usize, 0);
    for line in fs::read_to_string(script.folder.path().join("log")).unwrap().lines() {
        now = if line == "+" { now + 1 } else { now - 1 };
        most = most.max(now);
    }
    assert_eq!(now, 0);
    assert!(most <= 64, "{most}");
}
