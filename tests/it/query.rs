//! `evenkeel query` against real sockets.

use std::{
    io,
    net::{TcpListener, TcpStream, UdpSocket},
    process::{Command, Output},
    sync::Arc,
    thread,
};

use evenkeel::serve::{Sockets, TcpLimits};

fn query(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_evenkeel")).arg("query").args(arguments).output().unwrap()
}

#[test]
fn a_refused_question_shows_the_reply_and_fails_with_a_hint() {
    let listen = ["127.0.0.1:0".parse().unwrap()];
    let serving =
        Sockets::bind(&listen).unwrap().serve(&Arc::default(), TcpLimits::default()).unwrap();
    let at = serving.addresses()[0].to_string();
    for (tcp, transport) in [(&[][..], "(UDP)"), (&["--tcp"], "(TCP)")] {
        let mut arguments = vec!["www.example", "TYPE65280", "--at", &at];
        arguments.extend(["--client", "203.0.113.7/24"]);
        arguments.extend(tcp);
        let output = query(&arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("status: REFUSED"), "{text}");
        assert!(text.contains(";www.example.\t\tIN\tTYPE65280"), "{text}");
        assert!(text.contains(transport), "{text}");
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(complaint.contains("answered REFUSED\nhint: "), "{complaint}");
        assert_eq!(output.status.code(), Some(1));
    }
    let totals = serving.stop();
    assert_eq!((totals.questions_udp, totals.questions_tcp), (1, 1));
}

#[test]
fn a_truncated_reply_is_asked_for_again_over_tcp() {
    // Truncates over UDP, and over TCP passes everything on to a real server.
    let listen = ["127.0.0.1:0".parse().unwrap()];
    let serving =
        Sockets::bind(&listen).unwrap().serve(&Arc::default(), TcpLimits::default()).unwrap();
    let at = serving.addresses()[0];
    let other = UdpSocket::bind("127.0.0.9:0").unwrap();
    let relay = TcpListener::bind(other.local_addr().unwrap()).unwrap();
    let there = other.local_addr().unwrap().to_string();
    let servant = thread::spawn(move || {
        let mut packet = [0; 512];
        let (len, client) = other.recv_from(&mut packet).unwrap();
        packet[2] |= 0x82;
        other.send_to(&packet[..len], client).unwrap();
        let (mut client, _) = relay.accept().unwrap();
        let mut server = TcpStream::connect(at).unwrap();
        let mut back = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let up = thread::spawn(move || io::copy(&mut client, &mut server));
        let _ = io::copy(&mut back.0, &mut back.1);
        let _ = up.join();
    });
    let output = query(&["www.example", "--at", &there]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("status: REFUSED") && text.contains("(TCP)"), "{text}");
    let totals = serving.stop();
    assert_eq!((totals.questions_udp, totals.questions_tcp), (0, 1));
    servant.join().unwrap();
}

#[test]
fn no_server_is_said_with_what_to_do() {
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for tcp in [&[][..], &["--tcp"]] {
        let output = query(&[&["www.example", "--at", &nobody], tcp].concat());
        assert_eq!(output.status.code(), Some(1));
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(complaint.contains(&format!("no answer from {nobody}: ")), "{complaint}");
        assert!(complaint.contains("\nhint: "), "{complaint}");
    }
}

#[test]
fn a_question_that_makes_no_sense_is_a_usage_error() {
    for arguments in
        [&["www.example", "NOPE"][..], &["a..b"], &["a", "--at", "b"], &["a", "--client", "::/129"]]
    {
        assert_eq!(query(arguments).status.code(), Some(2), "{arguments:?}");
    }
}
