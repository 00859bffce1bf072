//! A million malformed packets over UDP and TCP: no crash, no reply that is not DNS, and right
//! answers during and after.

use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpStream, UdpSocket},
    time::Duration,
};

use hickory_proto::{op::Message, rr::RecordType};

use crate::{
    garbage::Garbage,
    server::{Server, question},
};

const PACKETS_UDP: u32 = 900_000;
const PACKETS_TCP: u32 = 100_000;

/// Packets between two good questions. So many wait in the socket's buffer without loss.
const BURST: u32 = 100;

const CONFIG: &str = "version: 1\nlisten: [\"127.0.0.1:0\"]\nzones: zones/\n";

const ZONE: &str = r#"
zone: example.com
records:
  "@": { NS: ns1, MX: ["10 mail"] }
  ns1: { A: 192.0.2.53 }
  mail: { A: 192.0.2.25 }
  txt: { TXT: ["one", "two"] }
  chain: { CNAME: txt }
  "*.c.d": { A: 192.0.2.99 }
  sub: { NS: ns.sub }
  ns.sub: { A: 192.0.2.54 }
  old: { DNAME: new }
  www:
    steer:
      pools:
        a: { region: none, weight: 60, A: [192.0.2.10, 192.0.2.11] }
        b: { region: none, weight: 40, A: 192.0.2.20, AAAA: "2001:db8::20" }
"#;

#[test]
fn a_million_malformed_packets() {
    let server = Server::start(&[("evenkeel.yaml", CONFIG), ("zones/example.com.yaml", ZONE)]);
    over_udp(&server);
    over_tcp(&server);
    let (status, stopped) = server.stop();
    assert!(status.success());
    assert!(stopped.contains("panics=0"), "{stopped}");
}

fn over_udp(server: &Server) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut garbage = Garbage::new(1);
    let mut replies = 0;
    for burst in 0..PACKETS_UDP / BURST {
        for _ in 0..BURST {
            socket.send(&garbage.packet()).unwrap();
        }
        // A good question behind the burst; its answer comes after those to the burst, because
        // one socket of the server has them all.
        let id = 0xEEEE;
        socket.send(&good_question(id)).unwrap();
        let mut reply = [0; 4096];
        loop {
            let len = socket.recv(&mut reply).unwrap_or_else(|error| {
                panic!("burst {burst}: a good question was not answered: {error}")
            });
            check_is_dns(&reply[..len]);
            replies += 1;
            if reply[..2] == id.to_be_bytes() && is_good_answer(&reply[..len]) {
                break;
            }
        }
    }
    // Most of it has a header, and so gets a reply.
    assert!(PACKETS_UDP / 2 < replies, "only {replies} replies");
}

fn over_tcp(server: &Server) {
    let mut garbage = Garbage::new(2);
    let mut sent = 0;
    while sent < PACKETS_TCP {
        let mut stream = server.connect();
        let mut bytes = Vec::new();
        for _ in 0..100 {
            let packet = garbage.packet();
            // Now and then the length is not that of what follows.
            let len = packet.len() + usize::from(sent % 97 == 0);
            bytes.extend(u16::try_from(len).unwrap().to_be_bytes());
            bytes.extend(packet);
            sent += 1;
        }
        // The server may close a connection that makes no sense; it must not do more.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        read_replies(&mut stream);
        check_good_over_tcp(server);
    }
}

fn read_replies(stream: &mut TcpStream) {
    let mut replies = Vec::new();
    match stream.read_to_end(&mut replies) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    let mut rest = &replies[..];
    while let Some((len, behind)) = rest.split_first_chunk() {
        // A reset may cut the last reply.
        let Some((reply, behind)) = behind.split_at_checked(usize::from(u16::from_be_bytes(*len)))
        else {
            return;
        };
        check_is_dns(reply);
        rest = behind;
    }
}

fn check_good_over_tcp(server: &Server) {
    let mut stream = server.connect();
    let question = good_question(7);
    let mut bytes = u16::try_from(question.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(question);
    stream.write_all(&bytes).unwrap();
    let mut len = [0; 2];
    stream.read_exact(&mut len).unwrap();
    let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut reply).unwrap();
    assert!(is_good_answer(&reply), "{reply:02x?}");
}

fn good_question(id: u16) -> Vec<u8> {
    let mut question = question("txt.example.com.", RecordType::TXT);
    question[..2].copy_from_slice(&id.to_be_bytes());
    question
}

fn is_good_answer(reply: &[u8]) -> bool {
    let message = Message::from_vec(reply).expect("checked before");
    message.answers.len() == 2
        && message.answers.iter().all(|it| it.record_type() == RecordType::TXT)
}

/// Every reply is a response that an independent parser reads to its end.
#[track_caller]
fn check_is_dns(reply: &[u8]) {
    let message = Message::from_vec(reply);
    assert!(message.is_ok(), "{message:?}: {reply:02x?}");
    assert_ne!(reply[2] & 0x80, 0, "not a response: {reply:02x?}");
}
