//! `evenkeel demo` does what it says: a region fails, leaves the answers, and comes back.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::PathBuf,
    process::{ChildStdin, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use hickory_proto::{
    op::{Message, Query},
    rr::{Name, RData, RecordType},
};

use crate::{
    api::{Answer, call},
    process::{Process, evenkeel, until},
};

/// Questions after which a region of a tenth of the weight has been seen: it is missed by chance
/// once in 10^13 times.
const QUESTIONS: usize = 300;

/// Where `examples/three-regions/` puts the region that fails.
const US_EAST_1: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 1);

#[test]
fn a_region_fails_and_comes_back() {
    let mut demo = Process::start(
        evenkeel().arg("demo").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()),
    );
    let mut stdin = demo.child().stdin.take().expect("it is piped");
    let output = follow(&mut demo);
    until("the demo to be ready", || {
        assert!(demo.ended().is_none(), "the demo ended: {}", output.lock().unwrap());
        output.lock().unwrap().contains("\nready\n")
    });
    let client = Client::of(&output.lock().unwrap());

    assert_eq!(client.regions().len(), 3, "all regions are answered");
    let page = page(&output.lock().unwrap());
    assert!(page.body.contains("<title>Evenkeel</title>"), "{}", page.body);
    say(&mut stdin, "fail us-east-1");
    until("the region to leave the answers", || !client.regions().contains(&US_EAST_1));
    assert_eq!(client.regions().len(), 2, "the others stay");
    say(&mut stdin, "restore us-east-1");
    until("the region to be back", || client.regions().len() == 3);
    let zone_file = client.zone_file.clone();
    let zone = fs::read_to_string(&zone_file).expect("it is named by the demo");
    fs::write(&zone_file, zone.replace("weight: 60", "weight: 606060")).unwrap();
    until("the complaint", || output.lock().unwrap().contains("`weight` is 606060"));
    fs::write(&zone_file, zone.replace("weight: 60", "weight: 0")).unwrap();
    until("the new weight", || !client.regions().contains(&US_EAST_1));
    until("the word of it", || output.lock().unwrap().contains("\nreloaded "));
    say(&mut stdin, "quit");
    assert!(demo.wait().success(), "{}", output.lock().unwrap());

    let output = output.lock().unwrap();
    for said in ["done: fail us-east-1", "done: restore us-east-1", "TTL 20"] {
        assert!(output.contains(said), "no `{said}` in\n{output}");
    }
    client.expect_silence();
}

/// What a browser gets at the address that the demo's own output says.
fn page(output: &str) -> Answer {
    let mut lines = output.lines().skip_while(|it| !it.contains("in a browser")).skip(1);
    let url = lines.next().expect("the demo has a page").trim();
    let address = url.strip_prefix("http://").and_then(|it| it.strip_suffix('/')).expect(url);
    call(address.parse().expect(url), "GET", "/", &[], b"")
}

fn say(stdin: &mut ChildStdin, line: &str) {
    writeln!(stdin, "{line}").expect("the demo reads its input");
}

/// Collects the output, so that the demo is never held up by a full pipe.
fn follow(demo: &mut Process) -> Arc<Mutex<String>> {
    let stdout = demo.child().stdout.take().expect("it is piped");
    let output = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&output);
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let mut kept = kept.lock().unwrap();
            kept.push_str(&line);
            kept.push('\n');
        }
    });
    output
}

/// Asks what the demo's own output says can be asked.
struct Client {
    socket: UdpSocket,
    question: Vec<u8>,
    zone_file: PathBuf,
}

impl Client {
    fn of(output: &str) -> Self {
        let line = output.lines().find(|line| line.trim_start().starts_with("dig ")).unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        let ["dig", server, "-p", port, name] = words[..] else {
            panic!("not to be typed: {line}")
        };
        let ip = server.trim_start_matches('@').parse().unwrap();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect(SocketAddr::new(ip, port.parse().unwrap())).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
        let mut lines = output.lines().map(str::trim);
        let zone_file = lines.find(|line| line.ends_with("zones/example.com.yaml")).unwrap().into();
        Self { socket, question: message.to_vec().unwrap(), zone_file }
    }

    /// The addresses that are answered, each once.
    fn regions(&self) -> Vec<Ipv4Addr> {
        let mut regions = Vec::new();
        for _ in 0..QUESTIONS {
            self.socket.send(&self.question).unwrap();
            let mut reply = [0; 1232];
            let len = self.socket.recv(&mut reply).unwrap();
            for record in Message::from_vec(&reply[..len]).unwrap().answers {
                let RData::A(address) = record.data else { panic!("not an address: {record}") };
                if !regions.contains(&address.0) {
                    regions.push(address.0);
                }
            }
        }
        regions
    }

    /// The server has gone with the demo: nobody holds its port.
    fn expect_silence(&self) {
        let address = self.socket.peer_addr().unwrap();
        assert!(UdpSocket::bind(address).is_ok(), "somebody still serves at {address}");
    }
}
