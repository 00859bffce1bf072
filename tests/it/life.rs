//! The life of the process: starting, being told things, and ending.
//!
//! *Not here:* reloads under load (`reload`), and what health does to answers (`failover`).

use std::{
    fs,
    net::{SocketAddr, TcpListener, UdpSocket},
    os::unix::net::UnixDatagram,
    process::{Output, Stdio},
    time::Duration,
};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{RData, RecordType},
};
use nix::{sys::signal::Signal, unistd::Uid};

use crate::{
    process::{PATIENCE, Process, evenkeel, free_address, until},
    server::{Server, field, question},
};

const CONFIG: &str = "version: 1\nlisten: [\"127.0.0.1:0\"]\nzones: zones/\n";
const ZONE: &str = "zone: example.com\nrecords:\n  \"@\": { NS: ns1 }\n  ns1: { A: 192.0.2.53 }\n";

/// A name whose endpoints, at these ports of loopback addresses, are probed.
fn steered(endpoints: &[SocketAddr], ttl: u32) -> String {
    let pool = |it: &SocketAddr| {
        let (ip, port) = (it.ip(), it.port());
        format!("        p{port}: {{ check: c{port}, A: {ip} }}\n")
    };
    let pools = endpoints.iter().map(pool).collect::<Vec<_>>().concat();
    format!("{ZONE}  www:\n    ttl: {ttl}\n    steer:\n      ttl_min: 1\n      pools:\n{pools}")
}

/// The server file to it.
fn checked(listen: &str, endpoints: &[SocketAddr], kind: &str, more: &str) -> String {
    let every = |line: &dyn Fn(u16) -> String| {
        endpoints.iter().map(|it| line(it.port())).collect::<Vec<_>>().concat()
    };
    let regions = every(&|port| format!("  p{port}: {{}}\n"));
    let checks = every(&|port| {
        format!("  c{port}: {{ {kind}: {{ port: {port} }}, every: 20s, timeout: 15s }}\n")
    });
    format!(
        "version: 1\nlisten: [\"{listen}\"]\nzones: zones/\n{more}regions:\n{regions}\
         checks:\n{checks}"
    )
}

fn ask(server: SocketAddr, name: &str) -> Option<Message> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    socket.send(&question(name, RecordType::A)).unwrap();
    let mut reply = [0; 4096];
    let len = socket.recv(&mut reply).ok()?;
    Some(Message::from_vec(&reply[..len]).unwrap())
}

/// Runs a command on these files to its end.
fn run(command: &str, config: &str, zone: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("zones")).unwrap();
    fs::write(folder.path().join("zones/example.com.yaml"), zone).unwrap();
    fs::write(folder.path().join("evenkeel.yaml"), config).unwrap();
    let mut evenkeel = evenkeel();
    evenkeel.current_dir(folder.path()).args([command, "--config", "evenkeel.yaml"]);
    evenkeel.output().unwrap()
}

#[test]
fn steered_names_wait_for_their_first_probes_and_others_do_not() {
    // It takes connections and says nothing.
    let hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = hole.local_addr().unwrap();
    let address = free_address();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let wait = "prober: { startup_wait: 2s }\n";
    let config = checked(&address.to_string(), &[endpoint], "http", wait);
    fs::create_dir(folder.path().join("zones")).unwrap();
    fs::write(folder.path().join("zones/example.com.yaml"), steered(&[endpoint], 20)).unwrap();
    fs::write(folder.path().join("evenkeel.yaml"), config).unwrap();
    let mut command = evenkeel();
    command.args(["serve", "--config"]).arg(folder.path().join("evenkeel.yaml"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
    let process = Process::start(&mut command);

    let is_ready = || fs::read_to_string(&log).unwrap().contains("ready");
    until("a fixed name", || ask(address, "ns1.example.com.").is_some());
    let waiting = ask(address, "www.example.com.").unwrap();
    if !is_ready() {
        assert_eq!(waiting.metadata.response_code, ResponseCode::ServFail);
    }
    until("the server to be ready", is_ready);
    // What is unknown counts as up.
    let answered = ask(address, "www.example.com.").unwrap();
    assert_eq!(answered.metadata.response_code, ResponseCode::NoError);
    assert_eq!(answered.answers[0].ttl, 20);
    drop(process);
    let lines = fs::read_to_string(log).unwrap();
    assert_eq!(lines.matches("ready").count(), 1, "{lines}");
    assert!(lines.contains("WARN"), "that it did not wait longer is said: {lines}");
}

#[test]
fn a_reload_keeps_what_probes_have_found() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let open = listener.local_addr().unwrap();
    let closed = free_address();
    let endpoints = [open, SocketAddr::new("127.0.0.2".parse().unwrap(), closed.port())];
    let config = checked("127.0.0.1:0", &endpoints, "tcp", "");
    let zone = |ttl| steered(&endpoints, ttl);
    let mut server =
        Server::start(&[("evenkeel.yaml", &config), ("zones/example.com.yaml", &zone(20))]);
    server.write("zones/example.com.yaml", &zone(30));
    server.wait_for_log("reloaded", 0);
    // The next probes are many seconds away: what is known is known from before.
    for _ in 0..50 {
        let reply = server.ask("www.example.com.", RecordType::A);
        let RData::A(address) = reply.answers[0].data else { panic!("{reply}") };
        assert_eq!((address.to_string(), reply.answers[0].ttl), ("127.0.0.1".to_owned(), 30));
    }
    let verdicts = server.log().iter().filter(|line| line.contains(" verdict what=")).count();
    assert_eq!(verdicts, 2, "one for each endpoint at start");
    assert!(server.stop().0.success());
}

#[test]
fn what_takes_a_restart_is_refused() {
    let mut server = Server::start(&[("evenkeel.yaml", CONFIG), ("zones/example.com.yaml", ZONE)]);
    let address = server.address;
    let other = CONFIG.replace("127.0.0.1:0", "127.0.0.1:1");
    server.write("evenkeel.yaml", &format!("{other}user: nobody\n"));
    server.wait_for_log("reload refused", 0);
    server.wait_for_log("`listen` changed: that takes a restart", 0);
    server.wait_for_log("`user` changed: that takes a restart", 0);
    assert!(ask(address, "ns1.example.com.").is_some());
    assert!(server.stop().0.success());
}

#[test]
fn it_does_not_start_with_what_check_complains_of() {
    let zone = ZONE.replace("192.0.2.53", "192.0.2.530");
    let check = run("check", CONFIG, &zone);
    let serve = run("serve", CONFIG, &zone);
    assert_eq!((check.status.code(), serve.status.code()), (Some(1), Some(1)));
    assert!(!check.stdout.is_empty());
    assert_eq!(String::from_utf8(serve.stderr), String::from_utf8(check.stdout));
}

#[test]
fn it_does_not_start_without_its_address_or_its_user() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run("serve", &CONFIG.replace("127.0.0.1:0", &address), ZONE);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.starts_with(&format!("cannot listen on {address}")), "{text}");

    let output = run("serve", &format!("{CONFIG}user: no-such-user-here\n"), ZONE);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("there is no user `no-such-user-here`"), "{text}");
}

#[test]
fn root_is_given_up_after_binding() {
    if !Uid::effective().is_root() {
        // Who is not root has nothing to give up, and is told so.
        let output = run("serve", &format!("{CONFIG}user: nobody\n"), ZONE);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8(output.stderr).unwrap().contains("only root can become"));
        return;
    }
    let config = format!("{CONFIG}user: nobody\n");
    let mut server = Server::start(&[("evenkeel.yaml", &config), ("zones/example.com.yaml", ZONE)]);
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    for line in status.lines().filter(|line| line.starts_with("Uid:") || line.starts_with("Gid:")) {
        assert!(!line.split_whitespace().any(|id| id == "0"), "{line}");
    }
    assert!(ask(server.address, "ns1.example.com.").is_some());
    assert!(server.stop().0.success());
}

#[test]
fn the_service_manager_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let next = || {
        let mut text = [0; 256];
        let len = manager.recv(&mut text).expect("the server tells its manager");
        String::from_utf8(text[..len].to_vec()).unwrap()
    };
    fs::create_dir(folder.path().join("zones")).unwrap();
    fs::write(folder.path().join("zones/example.com.yaml"), ZONE).unwrap();
    fs::write(folder.path().join("evenkeel.yaml"), CONFIG).unwrap();
    let mut command = evenkeel();
    command.env("NOTIFY_SOCKET", &path).args(["serve", "--config"]);
    command.arg(folder.path().join("evenkeel.yaml"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut process = Process::start(&mut command);
    assert_eq!(next(), "READY=1\n");
    process.signal(Signal::SIGHUP);
    assert!(next().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(next(), "READY=1\n");
    process.signal(Signal::SIGTERM);
    assert_eq!(next(), "STOPPING=1\n");
    assert!(process.wait().success());
}

#[test]
fn the_service_manager_hears_that_the_server_turns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    fs::create_dir(folder.path().join("zones")).unwrap();
    fs::write(folder.path().join("zones/example.com.yaml"), ZONE).unwrap();
    fs::write(folder.path().join("evenkeel.yaml"), CONFIG).unwrap();
    let mut command = evenkeel();
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "50000").args(["serve", "--config"]);
    command.arg(folder.path().join("evenkeel.yaml"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut process = Process::start(&mut command);
    let mut turns = 0;
    while turns < 3 {
        let mut text = [0; 256];
        let len = manager.recv(&mut text).expect("the server tells its manager");
        turns += usize::from(text[..len] == *b"WATCHDOG=1\n");
    }
    process.signal(Signal::SIGTERM);
    assert!(process.wait().success());
}

#[test]
fn told_twice_it_stops_at_once() {
    let mut server = Server::start(&[("evenkeel.yaml", CONFIG), ("zones/example.com.yaml", ZONE)]);
    assert_eq!(field(&server.wait_for_log(" ready ", 0), "zones"), "1");
    // A message that was begun keeps the drain going.
    let mut connection = server.connect();
    std::io::Write::write_all(&mut connection, &[0, 100, 1]).unwrap();
    assert!(ask(server.address, "ns1.example.com.").is_some());
    server.signal(Signal::SIGINT);
    server.wait_for_log("stopping", 0);
    server.signal(Signal::SIGTERM);
    let status = server.wait();
    let log = server.log().join("\n");
    // It may have been done before it was told again.
    let at_once = log.contains("stopped at once");
    assert_eq!(status.code(), Some(i32::from(at_once)), "{log}");
}
