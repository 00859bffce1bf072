//! Reloads under load: nothing is lost, nothing is wrong, and a bad one changes nothing.

use std::{
    fs,
    os::unix::fs::symlink,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use hickory_proto::rr::{RData, RecordType};
use nix::sys::signal::Signal;

use crate::{
    load::Load,
    process::{evenkeel, until},
    server::{Server, question},
};

const PER_SECOND: u64 = 20_000;
const RELOADS: u8 = 20;

const CONFIG: &str = "version: 1\nlisten: [\"127.0.0.1:0\"]\nzones: zones/\n";

/// The zone in its version `version`, which is the last octet of its one address.
fn zone(version: u8) -> String {
    format!(
        "zone: example.com\nrecords:\n  \"@\": {{ NS: ns1 }}\n  ns1: {{ A: 192.0.2.53 }}\n  \
         www: {{ A: 198.51.100.{version} }}\n"
    )
}

/// The zone with a mistake, at the place that its complaint names.
fn broken(version: u8) -> String {
    zone(version).replace("198.51.100.", "198.51.100.999")
}

fn start() -> Server {
    Server::start(&[("evenkeel.yaml", CONFIG), ("zones/example.com.yaml", &zone(0))])
}

#[test]
fn twenty_reloads_under_load() {
    let mut server = start();
    // The version before the reload under way, and the one after it.
    let versions = Arc::new([AtomicU8::new(0), AtomicU8::new(0)]);
    let load =
        Load::start(server.address, PER_SECOND, question("www.example.com.", RecordType::A), {
            let versions = Arc::clone(&versions);
            move |reply| {
                let last = *reply.last().expect("a reply has octets");
                let allowed = versions.each_ref().map(|it| it.load(Ordering::SeqCst));
                assert_eq!(reply[7], 1, "one answer");
                assert!(allowed.contains(&last), "{last} and not one of {allowed:?}");
            }
        });

    for reload in 1..=RELOADS {
        let logged = server.log().len();
        let answered = load.answered();
        if reload % 2 == 1 {
            versions[1].store(reload, Ordering::SeqCst);
            server.write("zones/example.com.yaml", &zone(reload));
            server.wait_for_log("reloaded", logged);
            // Questions that were under way when the reload was logged have been answered by now.
            let settled = load.answered() + PER_SECOND / 10;
            until("the load to go on", || settled < load.answered() || load.has_failed());
            versions[0].store(reload, Ordering::SeqCst);
        } else {
            server.write("zones/example.com.yaml", &broken(reload));
            let complaint = server.wait_for_log("example.com.yaml:5:", logged);
            assert!(complaint.contains("198.51.100.999"), "{complaint}");
        }
        let more = answered + PER_SECOND / 10;
        until("the load to go on", || more < load.answered() || load.has_failed());
        assert!(!load.has_failed(), "reload {reload}");
    }
    let asked = load.stop();
    let (status, stopped) = server.stop();
    assert!(status.success(), "{stopped}");
    assert!(stopped.contains(&format!("questions_udp={asked} ")), "{asked} asked: {stopped}");
}

#[test]
fn sighup_reloads_as_well() {
    let mut server = start();
    // A folder that is not watched as such: the file is written in place.
    fs::write(server.path("zones/example.com.yaml"), zone(7)).unwrap();
    server.signal(Signal::SIGHUP);
    until("the new answer", || address(&server) == "198.51.100.7");
    server.wait_for_log("reloaded", 0);
    assert!(server.stop().0.success());
}

/// A file of places is replaced by renaming and in place; a damaged one changes nothing.
#[test]
fn places_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, octets: &[u8]| fs::write(folder.path().join(name), octets).unwrap();
    let told = |name: &str| fs::read(format!("tests/geoip/{name}")).unwrap();
    put("evenkeel.yaml", format!("{CONFIG}geoip: places.mmdb\n").as_bytes());
    fs::create_dir(folder.path().join("zones")).unwrap();
    let steer = "steer: { pools: { x: { serves: US, A: 198.51.100.1 }, y: { A: 198.51.100.2 } } }";
    let with_steer = zone(0).replace("{ A: 198.51.100.0 }", &format!("{{ {steer} }}"));
    put("zones/example.com.yaml", with_steer.as_bytes());
    put("places.mmdb", &told("documentation.mmdb"));
    let mut server = Server::start_in(Arc::new(folder));
    assert_eq!(address_for(&server, "192.0.2.0/27"), "198.51.100.1");

    // Another database knows nothing of the client.
    let path = server.path("places.mmdb");
    fs::write(server.path("new"), told("GeoLite2-ASN-Test.mmdb")).unwrap();
    fs::rename(server.path("new"), &path).unwrap();
    server.wait_for_log("reloaded", 0);
    until("the new place", || address_for(&server, "192.0.2.0/27") == "198.51.100.2");

    let logged = server.log().len();
    fs::write(&path, &told("documentation.mmdb")[..1000]).unwrap();
    let complaint = server.wait_for_log("does not tell places", logged);
    assert!(complaint.contains("evenkeel.yaml:4:8:"), "{complaint}");
    assert_eq!(address_for(&server, "192.0.2.0/27"), "198.51.100.2");

    fs::write(&path, told("documentation.mmdb")).unwrap();
    server.wait_for_log("reloaded", logged);
    until("the old place", || address_for(&server, "192.0.2.0/27") == "198.51.100.1");
    assert!(server.stop().0.success());
}

#[test]
fn a_new_file_with_a_mistake_is_read_again_when_it_is_mended() {
    let mut server = start();
    let new = |version| zone(version).replace("example.com", "new.test");
    server.write("zones/new.test.yaml", &new(9).replace("198.51.100.", "198.51.100.999"));
    server.wait_for_log("new.test.yaml:5:", 0);
    server.write("zones/new.test.yaml", &new(9));
    server.wait_for_log(" reloaded ", 0);
    assert_eq!(server.ask("www.new.test.", RecordType::A).answers.len(), 1);
    assert!(server.stop().0.success());
}

#[test]
fn a_folder_that_vanishes_is_read_again_when_it_is_back() {
    let mut server = start();
    fs::remove_dir_all(server.path("zones")).unwrap();
    server.wait_for_log("is no folder and no zone file", 0);
    assert_eq!(address(&server), "198.51.100.0", "it goes on as it was");
    // First empty, and then with the file.
    fs::create_dir(server.path("zones")).unwrap();
    server.wait_for_log("there are no zone files", 0);
    server.write("zones/example.com.yaml", &zone(7));
    server.wait_for_log(" reloaded ", 0);
    assert_eq!(address(&server), "198.51.100.7");
    assert!(server.stop().0.success());
}

#[test]
fn a_link_that_is_swapped_is_a_change() {
    // As Kubernetes mounts a ConfigMap: the files are links through `..data`, which is swapped.
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let at = |name: &str| folder.path().join(name);
    let swap = |version: u8| {
        let data = at(&format!("..{version}"));
        fs::create_dir(&data).unwrap();
        fs::write(data.join("evenkeel.yaml"), CONFIG).unwrap();
        fs::write(data.join("example.com.yaml"), zone(version)).unwrap();
        symlink(format!("..{version}"), at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
    };
    swap(1);
    symlink("..data/evenkeel.yaml", at("evenkeel.yaml")).unwrap();
    fs::create_dir(at("zones")).unwrap();
    symlink("../..data/example.com.yaml", at("zones/example.com.yaml")).unwrap();
    let mut server = Server::start_in(Arc::clone(&folder));
    for version in [2, 3] {
        let logged = server.log().len();
        swap(version);
        server.wait_for_log(" reloaded ", logged);
        assert_eq!(address(&server), format!("198.51.100.{version}"));
    }
    assert!(server.stop().0.success());
}

#[test]
fn killed_and_started_again_it_answers_the_same() {
    let server = start();
    let before = server.ask("www.example.com.", RecordType::A).answers;
    let folder = server.kill();
    let server = Server::start_in(folder);
    assert_eq!(server.ask("www.example.com.", RecordType::A).answers, before);
    assert!(server.stop().0.success());
}

/// What a client of this network gets.
fn address_for(server: &Server, client: &str) -> String {
    let output = evenkeel()
        .args(["query", "www.example.com", "A", "--client", client, "--at"])
        .arg(server.address.to_string())
        .output()
        .expect("the command under test is there");
    let said = String::from_utf8_lossy(&output.stdout);
    let found = ["198.51.100.1", "198.51.100.2"].into_iter().find(|it| said.contains(it));
    found.unwrap_or_else(|| panic!("{said}")).to_owned()
}

fn address(server: &Server) -> String {
    let reply = server.ask("www.example.com.", RecordType::A);
    let RData::A(address) = reply.answers[0].data else { panic!("{reply}") };
    address.to_string()
}
