//! Real sockets around an empty snapshot: every question is REFUSED, and none is lost.
//!
//! Each test ends by comparing the server's counters with what it did.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream, UdpSocket},
    sync::Arc,
    thread,
    time::Duration,
};

use arc_swap::ArcSwap;
use evenkeel::{
    counters::{Before, Totals},
    limits::{UDP_BATCH_LEN, UDP_QUERY_LEN_MAX},
    serve::{Serving, Sockets, TcpLimits, UdpOptions},
    snapshot::{Served, Snapshot},
    wire::{Name, Rtype},
    zone::Builder,
};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// Longer than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

const NOERROR: u8 = 0;
/// RCODE of a name outside all zones.
const REFUSED: u8 = 5;
const FORMERR: u8 = 1;

fn serve(listen: &str, limits: TcpLimits) -> Serving {
    let sockets = Sockets::bind(&[listen.parse().unwrap()]).unwrap();
    sockets.serve(&Arc::new(ArcSwap::from_pointee(Snapshot::default())), limits).unwrap()
}

/// `www.example. A`, asked with this ID.
fn question(id: u16) -> Vec<u8> {
    let mut question = id.to_be_bytes().to_vec();
    question.extend(b"\0\0\0\x01\0\0\0\0\0\0\x03www\x07example\0\0\x01\0\x01");
    question
}

/// Zone `example.` with 64 TXT records of 255 octets at `www`.
fn zone_with_a_large_set() -> Snapshot {
    let name = |text| Name::parse(text, None).unwrap();
    let mut builder = Builder::new(name("example."));
    let soa = [&[0, 0][..], &[0; 20]].concat();
    builder.record(&name("example."), Rtype::SOA, 60, &soa);
    builder.record(&name("example."), Rtype::NS, 60, name("ns.").as_wire());
    for tag in 0..64 {
        let mut text = vec![tag; 256];
        text[0] = 255;
        builder.record(&name("www.example."), Rtype::TXT, 60, &text);
    }
    let (zone, steered, cells) = (Arc::new(builder.finish()), Arc::default(), Arc::default());
    Snapshot::new(1, vec![Served { zone, steered, cells }])
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut framed = u16::try_from(message.len()).unwrap().to_be_bytes().to_vec();
    framed.extend(message);
    framed
}

fn check_reply(reply: &[u8], id: u16, rcode: u8) {
    assert!(12 <= reply.len(), "{reply:02x?} holds no header");
    assert_eq!(reply[..2], id.to_be_bytes());
    assert_eq!((reply[2] >> 7, reply[3] & 0x0F), (1, rcode), "{reply:02x?}");
}

fn udp_client(address: &str) -> UdpSocket {
    let client = UdpSocket::bind(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

fn tcp_client(serving: &Serving) -> TcpStream {
    let client = TcpStream::connect(serving.addresses()[0]).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.set_write_timeout(Some(PATIENCE)).unwrap();
    client
}

fn read_reply(client: &mut TcpStream) -> Vec<u8> {
    let mut prefix = [0; 2];
    client.read_exact(&mut prefix).unwrap();
    let mut reply = vec![0; usize::from(u16::from_be_bytes(prefix))];
    client.read_exact(&mut reply).unwrap();
    reply
}

/// Waits until the server has closed the connection; nothing more comes before that.
fn check_closed(client: &mut TcpStream) {
    match client.read(&mut [0; 16]) {
        Ok(0) => (),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => (),
        other => panic!("the connection is not closed: {other:?}"),
    }
}

fn check_sums(totals: &Totals, questions: (u64, u64)) {
    assert_eq!((totals.questions_udp, totals.questions_tcp), questions, "{totals}");
    assert_eq!(totals.questions(), totals.replies() + totals.ignored + totals.panics, "{totals}");
    assert_eq!((totals.panics, totals.send_failures, totals.receive_failures), (0, 0, 0));
}

#[test]
fn a_reply_leaves_from_the_address_that_was_asked() {
    let mut asked = vec![("0.0.0.0:0", "127.0.0.1"), ("0.0.0.0:0", "127.0.0.2")];
    if UdpSocket::bind("[::1]:0").is_ok() {
        asked.push(("[::]:0", "::1"));
    }
    for (listen, host) in asked {
        let serving = serve(listen, TcpLimits::default());
        let to = SocketAddr::new(host.parse().unwrap(), serving.addresses()[0].port());
        let client = udp_client(if to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" });
        client.send_to(&question(7), to).unwrap();
        let mut reply = [0; 512];
        let (len, from) = client.recv_from(&mut reply).unwrap();
        assert_eq!(from, to);
        check_reply(&reply[..len], 7, REFUSED);
        check_sums(&serving.stop(), (1, 0));
    }
}

#[test]
fn more_than_a_batch_at_once_loses_nothing() {
    // What a client's receive buffer of the usual length holds.
    let questions = 3 * u16::try_from(UDP_BATCH_LEN).unwrap();
    let serving = serve("127.0.0.1:0", TcpLimits::default());
    let client = udp_client("127.0.0.1:0");
    client.connect(serving.addresses()[0]).unwrap();
    for id in 0..questions {
        client.send(&question(id)).unwrap();
    }
    let mut reply = [0; 512];
    for id in 0..questions {
        let len = client.recv(&mut reply).unwrap();
        check_reply(&reply[..len], id, REFUSED);
    }
    let totals = serving.stop();
    check_sums(&totals, (questions.into(), 0));
    assert!(totals.batches <= questions.into());
}

#[test]
fn what_is_queued_when_the_server_stops_is_answered() {
    let serving = serve("127.0.0.1:0", TcpLimits::default());
    let client = udp_client("127.0.0.1:0");
    client.connect(serving.addresses()[0]).unwrap();
    let mut stream = tcp_client(&serving);
    for id in 0..100 {
        client.send(&question(id)).unwrap();
        stream.write_all(&framed(&question(id))).unwrap();
    }
    check_sums(&serving.stop(), (100, 100));
    let mut reply = [0; 512];
    for id in 0..100 {
        let len = client.recv(&mut reply).unwrap();
        check_reply(&reply[..len], id, REFUSED);
        check_reply(&read_reply(&mut stream), id, REFUSED);
    }
    check_closed(&mut stream);
}

#[test]
fn a_datagram_beyond_what_we_read_is_a_format_error() {
    let serving = serve("127.0.0.1:0", TcpLimits::default());
    let client = udp_client("127.0.0.1:0");
    client.connect(serving.addresses()[0]).unwrap();
    let mut long = question(1);
    long.resize(UDP_QUERY_LEN_MAX + 1, 0);
    for datagram in [&long[..], &[], &[0; 11], &question(2)] {
        client.send(datagram).unwrap();
    }
    let mut reply = [0; 512];
    for (id, rcode) in [(1, FORMERR), (2, REFUSED)] {
        let len = client.recv(&mut reply).unwrap();
        check_reply(&reply[..len], id, rcode);
    }
    let totals = serving.stop();
    check_sums(&totals, (4, 0));
    assert_eq!(totals.ignored, 2);
}

#[test]
fn two_servers_do_not_share_a_port_unawares() {
    let first = Sockets::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
    let error = Sockets::bind(first.addresses()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    let text = error.to_string();
    assert!(text.contains(&first.addresses()[0].to_string()), "{text}");
    assert!(text.contains("\nhint: "), "{text}");
}

#[test]
fn a_reload_can_tell_whether_the_addresses_changed() {
    let listen: Vec<SocketAddr> =
        ["127.0.0.1:0", "127.0.0.2:0"].iter().map(|it| it.parse().unwrap()).collect();
    let serving =
        Sockets::bind(&listen).unwrap().serve(&Arc::default(), TcpLimits::default()).unwrap();
    assert_eq!(serving.addresses().len(), 2);
    assert!(serving.listens_on(&[listen[1], listen[0]]));
    assert!(!serving.listens_on(&listen[..1]));
}

#[test]
fn a_hundred_questions_in_one_write_are_answered_in_order() {
    let serving = serve("127.0.0.1:0", TcpLimits::default());
    let mut client = tcp_client(&serving);
    let questions: Vec<u8> = (0..100).flat_map(|id| framed(&question(id))).collect();
    client.write_all(&questions).unwrap();
    // The client is done asking; it still gets all answers.
    client.shutdown(Shutdown::Write).unwrap();
    for id in 0..100 {
        check_reply(&read_reply(&mut client), id, REFUSED);
    }
    check_closed(&mut client);
    check_sums(&serving.stop(), (0, 100));
}

#[test]
fn a_question_may_come_octet_by_octet() {
    let serving = serve("127.0.0.1:0", TcpLimits::default());
    let mut client = tcp_client(&serving);
    client.set_nodelay(true).unwrap();
    for id in [1, 2] {
        for octet in framed(&question(id)) {
            client.write_all(&[octet]).unwrap();
        }
        check_reply(&read_reply(&mut client), id, REFUSED);
    }
    drop(client);
    check_sums(&serving.stop(), (0, 2));
}

#[test]
fn a_message_of_the_greatest_length_is_read() {
    let serving = serve("127.0.0.1:0", TcpLimits::default());
    let mut client = tcp_client(&serving);
    let mut long = question(3);
    long.resize(usize::from(u16::MAX), 0xFF);
    client.write_all(&framed(&long)).unwrap();
    client.write_all(&framed(&question(4))).unwrap();
    let first = read_reply(&mut client);
    assert_eq!((&first[..2], first[2] >> 7), (&[0, 3][..], 1));
    check_reply(&read_reply(&mut client), 4, REFUSED);
    check_sums(&serving.stop(), (0, 2));
}

#[test]
fn a_length_of_zero_ends_the_connection() {
    let serving = serve("127.0.0.1:0", TcpLimits::default());
    let mut client = tcp_client(&serving);
    let mut octets = framed(&question(1));
    octets.extend([0, 0]);
    client.write_all(&octets).unwrap();
    check_reply(&read_reply(&mut client), 1, REFUSED);
    check_closed(&mut client);
    let totals = serving.stop();
    check_sums(&totals, (0, 1));
    assert_eq!(totals.connections_cut, 1);
}

#[test]
fn silence_between_questions_ends_a_connection_in_time() {
    let limits = TcpLimits { idle_max: Duration::from_millis(50), ..TcpLimits::default() };
    let serving = serve("127.0.0.1:0", limits);
    let mut client = tcp_client(&serving);
    client.write_all(&framed(&question(1))).unwrap();
    check_reply(&read_reply(&mut client), 1, REFUSED);
    check_closed(&mut client);
    let totals = serving.stop();
    check_sums(&totals, (0, 1));
    assert_eq!((totals.connections_accepted, totals.connections_cut), (1, 0));
}

#[test]
fn half_a_message_ends_a_connection_in_time() {
    let limits = TcpLimits { message_wait_max: Duration::from_millis(50), ..TcpLimits::default() };
    let serving = serve("127.0.0.1:0", limits);
    for half in [&[0][..], &[0, 30, 1]] {
        let mut client = tcp_client(&serving);
        client.write_all(half).unwrap();
        check_closed(&mut client);
    }
    let totals = serving.stop();
    check_sums(&totals, (0, 0));
    assert_eq!((totals.connections_accepted, totals.connections_cut), (2, 2));
}

#[test]
fn who_asks_and_does_not_read_is_cut_off() {
    let limits = TcpLimits { message_wait_max: Duration::from_millis(100), ..TcpLimits::default() };
    let serving = serve("127.0.0.1:0", limits);
    let mut slow = tcp_client(&serving);
    let questions: Vec<u8> = (0..1000).flat_map(|id| framed(&question(id))).collect();
    // The kernel's buffers fill up, then the server's, then it stops reading, then it closes.
    let error = loop {
        if let Err(error) = slow.write_all(&questions) {
            break error.kind();
        }
    };
    assert!(matches!(error, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error:?}");
    // Meanwhile and afterwards others are served.
    let mut other = tcp_client(&serving);
    other.write_all(&framed(&question(1))).unwrap();
    check_reply(&read_reply(&mut other), 1, REFUSED);
    let totals = serving.stop();
    assert_eq!((totals.connections_accepted, totals.connections_cut), (2, 1));
    assert_eq!(totals.questions_tcp, totals.replies());
}

#[test]
fn replies_far_beyond_the_buffers_all_arrive() {
    let limits = TcpLimits::default();
    let snapshots = Arc::new(ArcSwap::from_pointee(zone_with_a_large_set()));
    let sockets = Sockets::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
    let serving = sockets.serve(&snapshots, limits).unwrap();
    let mut client = tcp_client(&serving);
    let mut large = question(0);
    let type_at = large.len() - 4;
    large[type_at + 1] = 16;
    let mut asker = client.try_clone().unwrap();
    // 200 replies of some 16 KB; who asks does not wait for them.
    let asking = thread::spawn(move || {
        for id in 0_u16..200 {
            large[..2].copy_from_slice(&id.to_be_bytes());
            asker.write_all(&framed(&large)).unwrap();
        }
        asker.shutdown(Shutdown::Write).unwrap();
    });
    for id in 0..200 {
        let reply = read_reply(&mut client);
        check_reply(&reply, id, NOERROR);
        assert!(64 * 256 < reply.len());
    }
    check_closed(&mut client);
    asking.join().unwrap();
    check_sums(&serving.stop(), (0, 200));
}

#[test]
fn a_client_gets_so_many_connections_and_a_seat_that_is_left_is_free() {
    let limits = TcpLimits { connections_per_client_max: 2, ..TcpLimits::default() };
    let serving = serve("127.0.0.1:0", limits);
    let ask = |client: &mut TcpStream| {
        client.write_all(&framed(&question(1))).unwrap();
        check_reply(&read_reply(client), 1, REFUSED);
    };
    let (mut first, mut second) = (tcp_client(&serving), tcp_client(&serving));
    ask(&mut first);
    ask(&mut second);
    check_closed(&mut tcp_client(&serving));
    // The server closes only when it has seen us close.
    first.shutdown(Shutdown::Write).unwrap();
    check_closed(&mut first);
    ask(&mut tcp_client(&serving));
    ask(&mut second);
    let totals = serving.stop();
    check_sums(&totals, (0, 4));
    assert_eq!((totals.connections_accepted, totals.connections_refused), (3, 1));
}

#[test]
fn there_are_so_many_connections_in_all() {
    let limits = TcpLimits { connections_max: 3, ..TcpLimits::default() };
    let serving = serve("127.0.0.1:0", limits);
    let mut clients: Vec<TcpStream> = (0..3).map(|_| tcp_client(&serving)).collect();
    for client in &mut clients {
        client.write_all(&framed(&question(1))).unwrap();
        check_reply(&read_reply(client), 1, REFUSED);
    }
    check_closed(&mut tcp_client(&serving));
    let totals = serving.stop();
    assert_eq!((totals.connections_accepted, totals.connections_refused), (3, 1));
}

/// Two that serve the same sockets, as two processes do; one of them leaves.
#[test]
fn what_another_one_has_too_is_left_as_it_is() {
    let one = serve("127.0.0.1:0", TcpLimits::default());
    let address = one.addresses()[0];
    let client = udp_client("127.0.0.1:0");
    let mut connection = tcp_client(&one);
    connection.write_all(&framed(&question(1))).unwrap();
    check_reply(&read_reply(&mut connection), 1, REFUSED);

    // It wants another number of threads, and keeps the sockets that there are.
    let given = one.share().unwrap();
    let count_given = given[0].udp.len();
    let options = UdpOptions { threads: count_given + 1, ..UdpOptions::default() };
    let sockets = Sockets::bind_beside(&[address], options, given).unwrap();
    assert_eq!(sockets.addresses(), [address]);
    let snapshots = Arc::new(ArcSwap::from_pointee(Snapshot::default()));
    let other = sockets.serve(&snapshots, TcpLimits::default()).unwrap();
    assert_eq!(other.share().unwrap()[0].udp.len(), count_given);
    let (heir, mut moved) = tokio::sync::mpsc::channel(8);
    let mut asked = 0;
    let mut send = || {
        asked += 1;
        client.send_to(&question(asked), address).unwrap();
        asked
    };
    for _ in 0..100 {
        send();
    }
    let counted = one.leave(&[address], heir);
    let count = send();
    let mut reply = [0; 512];
    let mut ids: Vec<u16> = (0..count)
        .map(|_| {
            client.recv(&mut reply).expect("each question is answered by one of the two");
            u16::from_be_bytes([reply[0], reply[1]])
        })
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=count).collect::<Vec<_>>());
    for socket in other.share().unwrap().iter().flat_map(|it| &it.udp) {
        let flags = fcntl(socket, FcntlArg::F_GETFL).unwrap();
        assert!(!OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK), "its thread spins");
    }

    // The connection goes on where it is brought to.
    let stream = moved.try_recv().expect("it was between two questions");
    assert!(moved.try_recv().is_err());
    other.arrivals().blocking_send(stream).unwrap();
    other.registry().go_on_from(Before { totals: counted, ..Before::default() });
    connection.write_all(&framed(&question(2))).unwrap();
    check_reply(&read_reply(&mut connection), 2, REFUSED);
    let totals = other.stop();
    check_sums(&totals, (u64::from(count), 2));
    assert_eq!(totals.connections_accepted, 1);
}
