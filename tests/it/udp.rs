//! What `udp` in the server file does to the threads that take packets.
//!
//! *Not here:* what can be wrong with it (`check`), and the buffers, which only the server can see
//! (`serve::sockets`).

use std::{fs, io::ErrorKind};

use evenkeel::serve::{Sockets, UdpOptions};
use hickory_proto::rr::RecordType;
use nix::{
    sched::{CpuSet, sched_getaffinity},
    unistd::Pid,
};

use crate::{process::until, server::Server};

const ZONE: &str = "zone: example.com\nrecords:\n  \"@\": { NS: ns1 }\n  ns1: { A: 192.0.2.53 }\n";

fn config(udp: &str) -> String {
    format!("version: 1\nlisten: [\"127.0.0.1:0\"]\nzones: zones/\n{udp}\n")
}

fn start(udp: &str) -> Server {
    Server::start(&[("evenkeel.yaml", &config(udp)), ("zones/example.com.yaml", ZONE)])
}

/// A file of each packet thread's folder below `/proc`.
fn of_threads(server: &mut Server, file: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.id())).unwrap();
    let tasks = tasks.map(|task| task.unwrap().path());
    let is_packet = |name: String| name.starts_with("udp-");
    tasks
        .filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(is_packet))
        .map(|task| fs::read_to_string(task.join(file)).unwrap())
        .collect()
}

/// Nanoseconds that the packet threads ran.
fn ran_ns(server: &mut Server) -> u64 {
    let stats = of_threads(server, "schedstat");
    stats.iter().map(|it| it.split(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn threads_are_as_many_and_where_the_file_says() {
    let ours = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let core = (0..CpuSet::count()).rfind(|core| ours.is_set(*core).unwrap()).unwrap();
    let mut server = start(&format!("udp: {{ threads: 3, cores: [{core}] }}"));
    assert!(!server.ask("ns1.example.com.", RecordType::A).answers.is_empty());
    let allowed = format!("Cpus_allowed_list:\t{core}\n");
    until("all packet threads on the core", || {
        let threads = of_threads(&mut server, "status");
        assert_eq!(threads.len(), 3);
        threads.iter().all(|it| it.contains(&allowed))
    });

    server.write("evenkeel.yaml", &config("udp: { threads: 2 }"));
    server.wait_for_log("`udp` changed: that takes a restart", 0);
    assert_eq!(of_threads(&mut server, "comm").len(), 3);
}

#[test]
fn a_thread_per_core_that_is_named() {
    let ours = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let core = (0..CpuSet::count()).find(|core| ours.is_set(*core).unwrap()).unwrap();
    let mut server = start(&format!("udp: {{ cores: [{core}] }}"));
    assert_eq!(of_threads(&mut server, "comm").len(), 1);
}

#[test]
fn a_core_that_is_not_there_is_said() {
    let options = UdpOptions { cores: vec![CpuSet::count() - 1], ..UdpOptions::default() };
    let error = Sockets::bind_with(&["127.0.0.1:0".parse().unwrap()], options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("is not there, or not for this process\nhint: "), "{error}");
}

#[test]
fn a_thread_that_polls_stays_awake_after_a_question() {
    let (mut polls, mut sleeps) = (start("udp: { busy_poll: 250ms }"), start(""));
    let before = [ran_ns(&mut polls), ran_ns(&mut sleeps)];
    // Each is asked as often; on a busy machine staying awake is no more than wanting to run.
    until("a thread that stays awake", || {
        for server in [&polls, &sleeps] {
            assert!(!server.ask("ns1.example.com.", RecordType::A).answers.is_empty());
        }
        100_000_000 < ran_ns(&mut polls) - before[0]
    });
    let slept = ran_ns(&mut sleeps) - before[1];
    assert!(slept < 50_000_000, "{slept} ns");
}
