//! What an answer costs here and elsewhere: CPU time per question of Evenkeel, gdnsd, Knot, NSD,
//! `PowerDNS` and of a bare reflector, on equal data, in interleaved rounds.
//!
//! ```text
//!   for each round, for each scenario:
//!     start every server that can do it -> check what it answers -> measure one after the other
//! ```
//!
//! A ratio is taken within a round: what disturbs one disturbs all. Servers are started anew for
//! each round, so that where their memory happens to lie is not measured.
//!
//! A server is measured only when its replies are right: the address is one that this client may
//! get, drawn by weight where it can, and the client's network is repeated with a scope (RFC 7871).
//!
//! ```text
//! cargo bench --bench peers -- [--rounds N] [--json FILE]
//! ```

#[path = "../common/mod.rs"]
mod common;

mod check;
mod data;
mod peer;
mod report;
mod world;

use std::{fs, path::Path};

use common::{
    LOAD_CORE, Result, SERVER_CORE,
    load::{Expected, Load, Measured},
    option, pin,
    server::{REFLECTOR, Server, reflect},
};
use data::{Asked, Scenario, asked};
use peer::Peer;
use world::World;

const ROUNDS: usize = 7;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|it| it == REFLECTOR) {
        return reflect();
    }
    let rounds = option(&arguments, "--rounds")?.unwrap_or(ROUNDS);
    let json: Option<String> = option(&arguments, "--json")?;
    let peers = installed();
    let subjects = run(&peers, rounds)?;
    report::print_table(&subjects)?;
    if let Some(file) = json {
        fs::write(file, format!("{:#}\n", report::json(&subjects)?))?;
    }
    Ok(())
}

/// The servers that are there. Of the others it is said how they come.
fn installed() -> Vec<Peer> {
    let missing = peer::missing();
    if !missing.is_empty() {
        let missing = missing.into_iter().collect::<Vec<_>>().join(" ");
        eprintln!("missing, and left out: {missing}\nhint: apt-get install {missing}");
    }
    Peer::ALL.into_iter().filter(|it| it.missing().is_empty()).collect()
}

/// A server in a scenario, and what it took.
struct Subject {
    peer: Peer,
    scenario: Scenario,
    /// Octets of its reply to the first question.
    reply_len: usize,
    /// Round by round.
    measured: Vec<Measured>,
}

fn run(peers: &[Peer], rounds: usize) -> Result<Vec<Subject>> {
    let world = World::new();
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("world.mmdb");
    fs::write(&file, world.mmdb())?;
    let pairs = Scenario::ALL.into_iter().flat_map(|scenario| {
        let able = peers.iter().filter(move |it| it.can(scenario));
        able.map(move |peer| (scenario, *peer))
    });
    let mut subjects: Vec<Subject> = pairs
        .map(|(scenario, peer)| Subject { peer, scenario, reply_len: 0, measured: vec![] })
        .collect();
    for round in 1..=rounds {
        for scenario in Scenario::ALL {
            eprintln!("round {round} of {rounds}: {}", scenario.name());
            let asked = asked(scenario, &world);
            let subjects: Vec<&mut Subject> =
                subjects.iter_mut().filter(|it| it.scenario == scenario).collect();
            measure(subjects, &asked, &file)?;
        }
    }
    Ok(subjects)
}

/// One round of a scenario.
fn measure(subjects: Vec<&mut Subject>, asked: &[Asked], world: &Path) -> Result<()> {
    pin(SERVER_CORE)?;
    let folder = tempfile::tempdir()?;
    let mut servers: Vec<Server> = Vec::new();
    for (idx, subject) in subjects.iter().enumerate() {
        let folder = folder.path().join(idx.to_string());
        fs::create_dir(&folder)?;
        servers.push(subject.peer.start(subject.scenario, &folder, world)?);
    }
    pin(LOAD_CORE)?;
    let questions: Vec<Vec<u8>> = asked.iter().map(|it| it.octets.clone()).collect();
    let load = |peer: Peer| Load {
        name: peer.name(),
        questions: &questions,
        expected: Expected::of(peer != Peer::Reflector),
    };
    // All of them, before the first is measured: none reads its files while another one works.
    let mut lens = Vec::new();
    for (subject, server) in subjects.iter().zip(&mut servers) {
        load(subject.peer).wait_until_ready(server)?;
        lens.push(check::replies(subject.peer, subject.scenario, asked, server)?);
    }
    for ((subject, server), len) in subjects.into_iter().zip(&servers).zip(lens) {
        subject.measured.push(load(subject.peer).measure(server)?);
        subject.reply_len = len;
    }
    Ok(())
}
