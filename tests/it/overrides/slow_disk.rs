//! A disk that takes too long while an operator has something to say: he is told that it does not hold,
//! which is true, also after a restart and in another process that takes over; and meanwhile verdicts
//! are as quick as ever.
//!
//! *Not here:* what is written how (`state`).

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    thread::{self, JoinHandle},
};

use serde_json::json;

use super::World;
use crate::{
    api::{Answer, call},
    process::{evenkeel, free_address, until},
    server::Server,
};

/// What comes between the server and its disk: as long as a file is there, nothing reaches the disk. It
/// becomes longer when something is about to.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static int when_quick(const char *name, int fd) {
    const char *slow = getenv("EVENKEEL_TEST_SLOW");
    int mark = slow ? open(slow, O_WRONLY | O_APPEND) : -1;
    if (0 <= mark) {
        (void)!write(mark, "x", 1);
        close(mark);
    }
    while (slow && access(slow, F_OK) == 0) usleep(10000);
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return real(fd);
}

int fsync(int fd) { return when_quick("fsync", fd); }
int fdatasync(int fd) { return when_quick("fdatasync", fd); }
"#;

const ZONE: &str = "
zone: example.com
records:
  '@': { NS: [ns1] }
  ns1: { A: 192.0.2.53 }
  www: { steer: { pools: { us-east-1: { A: 192.0.2.10 }, eu-west-1: { A: 198.51.100.10 } } } }
  live: { steer: { check: web, pools: { spare: { A: [127.0.0.1, 127.0.0.2] } } } }
";

fn shim(folder: &Path) -> PathBuf {
    let (source, shim) = (folder.join("shim.c"), folder.join("shim.so"));
    fs::write(&source, SHIM).unwrap();
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-o"]).args([&shim, &source]).arg("-ldl");
    assert!(command.status().expect("there is a C compiler").success());
    shim
}

/// A server whose disk can be made slow, and two targets.
struct Slow {
    world: World,
    /// As long as this file is there.
    brake: PathBuf,
    first: TcpListener,
    _second: TcpListener,
}

impl Slow {
    fn start() -> Self {
        // Who takes over finds the other process by its address.
        let (listen, port) = (free_address(), free_address().port());
        let file = format!(
            "version: 1\nlisten: ['{listen}']\nzones: zones/\ngeoip: []\nstate: state\n\
             api: {{ listen: '127.0.0.1:0' }}\n\
             regions: {{ us-east-1: {{}}, eu-west-1: {{}}, spare: {{}} }}\n\
             checks: {{ web: {{ tcp: {{ port: {port} }}, every: 1s, timeout: 500ms, fall: 1 }} }}\n"
        );
        let first = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let second = TcpListener::bind(("127.0.0.2", port)).unwrap();
        let folder = Arc::new(tempfile::tempdir().unwrap());
        fs::create_dir(folder.path().join("zones")).unwrap();
        fs::write(folder.path().join("evenkeel.yaml"), file).unwrap();
        fs::write(folder.path().join("zones/example.com.yaml"), ZONE).unwrap();
        let brake = folder.path().join("slow");
        let mut command = evenkeel();
        command.env("LD_PRELOAD", shim(folder.path())).env("EVENKEEL_TEST_SLOW", &brake);
        let world = World::of(Server::start_by(command, folder));
        world.soon("live.example.com.", &["127.0.0.1", "127.0.0.2"]);
        Self { world, brake, first, _second: second }
    }

    /// An operator has something to say.
    fn say(&self, reason: &str) -> JoinHandle<Answer> {
        let body =
            json!({ "target": "us-east-1", "state": "drain", "reason": reason, "for": "1h" });
        let (api, body) = (self.world.api, body.to_string());
        thread::spawn(move || {
            let headers = [("Content-Type", "application/json")];
            call(api, "POST", "/api/v1/overrides", &headers, body.as_bytes())
        })
    }
}

fn refused(answer: &Answer) {
    let problem = answer.problem(503);
    assert!(problem["detail"].as_str().unwrap().contains("the disk takes too long"), "{problem}");
}

#[test]
fn what_a_slow_disk_did_not_take_does_not_hold() {
    let it = Slow::start();
    fs::write(&it.brake, "").unwrap();
    let (first, second) = (it.say("first"), it.say("second"));
    let Slow { world, brake, first: listener, _second } = it;
    // Nobody waits for the disk but those two.
    drop(listener);
    until("a verdict", || world.endpoint("live.example.com", "127.0.0.1")["verdict"] == "down");
    world.soon("live.example.com.", &["127.0.0.2"]);
    assert!(!first.is_finished() && !second.is_finished(), "the disk is slow");
    for late in [first, second] {
        refused(&late.join().unwrap());
    }
    let nothing = json!({ "overrides": [], "dials": [] });
    assert_eq!(world.get("overrides"), nothing);
    world.soon("www.example.com.", &["192.0.2.10", "198.51.100.10"]);

    fs::remove_file(&brake).unwrap();
    // What comes later is written later.
    world.done("dial eu-west-1 50 --reason third");
    let world = World::of(Server::start_in(world.server.kill()));
    let kept = world.get("overrides");
    assert_eq!(kept["overrides"], json!([]), "what was refused came back");
    assert_eq!(kept["dials"][0]["reason"], "third");
    world.soon("www.example.com.", &["192.0.2.10", "198.51.100.10"]);
}

/// Nobody takes over while it is not decided whether a word holds, and then knows what was decided.
#[test]
fn who_takes_over_knows_whether_it_holds() {
    for is_quick_in_time in [true, false] {
        let it = Slow::start();
        // With what was to be written before.
        it.world.done("dial eu-west-1 100 --reason before");
        fs::write(&it.brake, "").unwrap();
        let said = it.say("meanwhile");
        until("it to be written", || fs::metadata(&it.brake).unwrap().len() != 0);
        let Slow { world: World { mut server, .. }, brake, first, _second } = it;
        let mut next = Server::begin(server.folder(), &["--takeover"]);
        server.wait_for_log("is taking over", 0);
        drop(first);
        server.wait_for_log("to=down", 0);
        assert!(!said.is_finished(), "the disk is slow");
        let answer = if is_quick_in_time {
            fs::remove_file(&brake).unwrap();
            said.join().unwrap()
        } else {
            let answer = said.join().unwrap();
            fs::remove_file(&brake).unwrap();
            answer
        };
        next.get_ready();
        assert!(server.wait().success());
        let world = World::of(next);
        let expect: &[&str] = if is_quick_in_time {
            assert_eq!(answer.status, 200, "{}", answer.body);
            &["198.51.100.10"]
        } else {
            refused(&answer);
            &["192.0.2.10", "198.51.100.10"]
        };
        let holds = world.get("overrides");
        assert_eq!(holds["overrides"].as_array().unwrap().len(), usize::from(is_quick_in_time));
        world.soon("www.example.com.", expect);
        let world = World::of(Server::start_in(world.server.kill()));
        assert_eq!(world.get("overrides"), holds, "and on the disk");
        world.soon("www.example.com.", expect);
    }
}
