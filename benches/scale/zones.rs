//! A hundred thousand zones, and one of them that changes under load.
//!
//! ```text
//!   write one file, SIGHUP --> ask it until the new address comes      (this thread)
//!   a question each pause, and the replies to them                     (a thread)
//! ```

use std::{
    fs,
    net::UdpSocket,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use evenkeel::clock;

use super::{
    common::{
        Result,
        load::{Expected, Load},
        questions::question,
        schedule::{Asked, Between, ask},
        server::{Server, free_address},
    },
    millis,
    process::{Memory, answer, hang_up, start},
};

const ZONES: usize = 100_000;

const RELOADS: usize = 21;

/// Between two questions of the load: 10,000 a second.
const PAUSE: Duration = Duration::from_micros(100);

/// How long the load goes on without reloads.
const CALM: Duration = Duration::from_secs(5);

pub(super) fn run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let address = free_address()?;
    fs::create_dir(folder.join("zones"))?;
    for idx in 0..ZONES {
        write_zone(folder, idx, 1)?;
    }
    let server_file = format!("version: 1\nlisten: [\"{address}\"]\nzones: zones/\n");
    fs::write(folder.join("evenkeel.yaml"), server_file)?;
    let mut evenkeel = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    evenkeel.args(["serve", "--config"]).arg(folder.join("evenkeel.yaml"));
    let steered = question(&format!("www.z{:06}.example", ZONES / 2));
    let (server, took) = start(&mut evenkeel, address, folder, &steered)?;
    let memory = Memory::of(&server)?;
    println!(
        "{ZONES} zone files with a steered name each: ms to the first answer, MB then and at the"
    );
    println!(
        "highest; ms from SIGHUP to the new answer of one changed zone, median and worst of {RELOADS}"
    );
    println!("{:>10} {:>8.0} {:>8.0}   start", millis(took), memory.now, memory.highest);

    let ((), calm) = under_load(&server, &steered, || {
        thread::sleep(CALM);
        Ok(())
    })?;
    let reloads = || (0..RELOADS).map(|turn| reload(folder, &server, turn)).collect();
    let (mut times, busy): (Vec<Duration>, Asked) = under_load(&server, &steered, reloads)?;
    times.sort_unstable();
    let (middle, worst) = (times[RELOADS / 2], times[RELOADS - 1]);
    println!("{:>10} {:>8}            reload", millis(middle), millis(worst));
    say("without reloads", &calm);
    say("with reloads", &busy);
    Ok(())
}

/// From the signal to the new answer.
fn reload(folder: &Path, server: &Server, turn: usize) -> Result<Duration> {
    let zone = turn * 997 % ZONES;
    write_zone(folder, zone, u8::try_from(turn + 2)?)?;
    // What was written just now is read again at the next reload; that is not what is measured.
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server.address)?;
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    let question = question(&format!("www.z{zone:06}.example"));
    let began = clock::now();
    hang_up(server)?;
    while answer(&socket, &question).map(|it| it[3]) != Some(u8::try_from(turn + 2)?) {
        thread::sleep(Duration::from_millis(1));
    }
    let took = clock::now() - began;
    // What watches the files looks once more after a reload.
    thread::sleep(Duration::from_millis(700));
    Ok(took)
}

fn write_zone(folder: &Path, idx: usize, last: u8) -> Result<()> {
    let text = format!(
        "zone: z{idx:06}.example\nttl: 1h\nsoa: {{ serial: {last} }}\nrecords:\n  \
         \"@\": {{ NS: ns1, MX: [10 mail] }}\n  ns1: {{ A: 192.0.2.53 }}\n  mail: {{ A: 192.0.2.54 }}\n  \
         txt: {{ TXT: \"v=spf1 -all\" }}\n  www:\n    ttl: 20s\n    steer:\n      pools:\n        \
         east: {{ A: 10.{}.{}.{last} }}\n        west: {{ weight: 0, A: 192.0.2.1 }}\n",
        idx / 256 % 256,
        idx % 256,
    );
    let path = folder.join(format!("zones/z{idx:06}.example.yaml"));
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(new, path)?;
    Ok(())
}

/// What becomes of questions at a steady rate while something is done.
fn under_load<T>(
    server: &Server,
    question: &[u8],
    work: impl FnOnce() -> Result<T>,
) -> Result<(T, Asked)> {
    let questions = [question.to_vec()];
    let load = Load { name: "Evenkeel", questions: &questions, expected: Expected::Answer };
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let is_over = |_| over.load(Relaxed);
            let asked = ask(&load, server.address, PAUSE, Between::Sleeps, is_over);
            asked.map_err(|error| error.to_string())
        });
        let done = work();
        over.store(true, Relaxed);
        let asked = asking.join().expect("it does not panic")?;
        Ok((done?, asked))
    })
}

fn say(what: &str, Asked { times, lost, .. }: &Asked) {
    let micros = |quantile| times.value_at_quantile(quantile) / 1000;
    println!(
        "{:>10} us p50 {:>8} us p99.9, {lost} lost of {}   {what}",
        micros(0.5),
        micros(0.999),
        times.len() + lost,
    );
}
