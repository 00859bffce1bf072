//! The units of systemd, and sockets that it opens for the server.

use std::{
    fs,
    net::{SocketAddr, TcpStream, UdpSocket},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::RecordType,
};
use nix::sys::signal::Signal;

use crate::{
    process::{PATIENCE, Process, evenkeel, free_address},
    server::{Server, field, question},
};

const ZONE: &str = "zone: example.com\nrecords:\n  \"@\": { NS: ns1 }\n  ns1: { A: 192.0.2.53 }\n";

/// A systemd that has opened these sockets, and starts our command when something comes in. It opens
/// those of one kind alone, and passes on what it was given: the one for packets starts the other.
fn activate(udp: &[SocketAddr], tcp: &[SocketAddr]) -> Command {
    let mut words: Vec<String> = Vec::new();
    for (addresses, option) in [(udp, Some("--datagram")), (tcp, None)] {
        if addresses.is_empty() {
            continue;
        }
        words.push("systemd-socket-activate".into());
        words.extend(option.map(str::to_owned));
        words.extend(addresses.iter().map(|it| format!("--listen={it}")));
    }
    words.push(evenkeel().get_program().to_str().unwrap().to_owned());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// Asks until there is an answer.
fn ask_until_answered(server: SocketAddr) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let deadline = evenkeel::clock::now() + PATIENCE;
    while evenkeel::clock::now() < deadline {
        // Before systemd listens, nobody does.
        let _ = socket.send_to(&question("ns1.example.com.", RecordType::A), server);
        let mut reply = [0; 4096];
        if let Ok((len, _)) = socket.recv_from(&mut reply) {
            return Message::from_vec(&reply[..len]).unwrap();
        }
    }
    panic!("no answer in {PATIENCE:?}");
}

fn folder(server_file: &str) -> Arc<tempfile::TempDir> {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("zones")).unwrap();
    fs::write(folder.path().join("zones/example.com.yaml"), ZONE).unwrap();
    fs::write(folder.path().join("evenkeel.yaml"), server_file).unwrap();
    Arc::new(folder)
}

#[test]
fn the_server_answers_on_sockets_that_systemd_opened() {
    let address = free_address();
    let folder = folder(&format!(
        "version: 1\ngeoip: []\nlisten: \"{address}\"\nzones: zones/\nudp: {{ threads: 3 }}\n"
    ));
    let asking = std::thread::spawn(move || ask_until_answered(address));
    // The port for connections is taken: only whoever was given it can answer there.
    let mut server = Server::start_by(activate(&[address], &[address]), folder);
    assert_eq!(server.address, address);
    assert_eq!(asking.join().unwrap().metadata.response_code, ResponseCode::NoError);
    let dig = |more: &[&str]| {
        let mut dig = Command::new("dig");
        dig.args(["+short", "@127.0.0.1", "-p", &address.port().to_string()]);
        let output = dig.args(more).args(["ns1.example.com", "A"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(dig(&[]), "192.0.2.53\n");
    assert_eq!(dig(&["+tcp"]), "192.0.2.53\n");

    // Who takes over takes these sockets too.
    let mut next = server.take_over();
    assert!(server.wait().success());
    assert_eq!([dig(&[]), dig(&["+tcp"])], ["192.0.2.53\n", "192.0.2.53\n"]);
    next.signal(Signal::SIGTERM);
    assert!(next.wait().success());
    assert_eq!(field(&next.wait_for_log(" ready ", 0), "zones"), "1");
}

#[test]
fn what_is_not_passed_is_bound_and_the_api_may_be_passed() {
    let (address, api) = (free_address(), free_address());
    let folder = folder(&format!(
        "version: 1\ngeoip: []\nlisten: \"{address}\"\nzones: zones/\napi: {{ listen: \"{api}\" }}\n"
    ));
    let asking = std::thread::spawn(move || ask_until_answered(address));
    let server = Server::start_by(activate(&[address], &[api]), folder);
    assert_eq!((server.address, server.api), (address, Some(api)));
    assert_eq!(asking.join().unwrap().metadata.response_code, ResponseCode::NoError);
    assert!(TcpStream::connect(address).is_ok());
    assert_eq!(crate::api::call(api, "GET", "/healthz", &[], b"").status, 200);
}

#[test]
fn a_socket_that_is_nobodys_keeps_the_server_from_starting() {
    let (listened, passed) = (free_address(), free_address());
    let folder = folder(&format!("version: 1\ngeoip: []\nlisten: \"{listened}\"\nzones: zones/\n"));
    let mut command = activate(&[], &[passed]);
    command.args(["serve", "--config"]).arg(folder.path().join("evenkeel.yaml"));
    let log = folder.path().join("log");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
    let mut process = Process::start(&mut command);
    crate::process::until("systemd to listen", || TcpStream::connect(passed).is_ok());
    assert_eq!(process.wait().code(), Some(1));
    let said = fs::read_to_string(log).unwrap();
    let expect = format!(
        "the service manager passes a TCP socket at {passed} (`unknown`), which the server file \
         does not name\nhint: add the address to `listen`"
    );
    assert!(said.contains(&expect), "{said}");
}

/// The bound is that of a unit that systemd calls "OK" with something to spare.
#[test]
fn the_unit_is_hardened() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/evenkeel.service");
    let mut command = Command::new("systemd-analyze");
    command.args(["security", "--offline=true", "--threshold=19", "--no-pager"]).arg(unit);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "the exposure is above 1.9:\n{said}\n{output:?}");
    assert!(said.contains("Overall exposure level for evenkeel.service"), "{said}");
}
