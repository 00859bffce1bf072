//! What a scrape of `/metrics` takes with ten thousand endpoints, and a call that asks the control
//! loop alone.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
    time::Duration,
};

use evenkeel::clock;

use super::{
    common::{Result, questions::question, server::free_address},
    millis,
    process::start,
};

const ZONES: usize = 10;
const NAMES: usize = 100;
const POOLS: usize = 10;

const SCRAPES: usize = 101;

pub(super) fn run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let (address, api) = (free_address()?, free_address()?);
    write(folder, address, api)?;
    let mut evenkeel = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    evenkeel.args(["serve", "--config"]).arg(folder.join("evenkeel.yaml"));
    let _server = start(&mut evenkeel, address, folder, &question("ns.z0.example"))?;
    println!(
        "{} endpoints of {} names; ms of a call, median and worst of {SCRAPES}, and its octets",
        ZONES * NAMES * POOLS,
        ZONES * NAMES
    );
    for path in ["/metrics", "/api/v1/status", "/healthz"] {
        let stream = TcpStream::connect(api)?;
        let mut reader = BufReader::new(stream);
        let mut calls =
            (0..SCRAPES).map(|_| call(&mut reader, path)).collect::<Result<Vec<_>>>()?;
        calls.sort_unstable();
        let (middle, worst) = (calls[SCRAPES / 2], calls[SCRAPES - 1]);
        println!("{:>10} {:>8} {:>10}   {path}", millis(middle.0), millis(worst.0), worst.1);
    }
    Ok(())
}

/// One call on a connection that stays: how long it took to the last octet of the body, and how many
/// there were.
fn call(stream: &mut BufReader<TcpStream>, path: &str) -> Result<(Duration, usize)> {
    let began = clock::now();
    stream.get_mut().write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())?;
    let mut len = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            len = value.trim().parse()?;
        }
    }
    stream.read_exact(&mut vec![0; len])?;
    Ok((clock::now() - began, len))
}

fn write(folder: &Path, address: SocketAddr, api: SocketAddr) -> Result<()> {
    fs::create_dir(folder.join("zones"))?;
    let region = |it: usize| format!("  r{it}: {{ capacity: 5000 }}\n");
    let regions = (0..POOLS).map(region).collect::<Vec<_>>().concat();
    fs::write(
        folder.join("evenkeel.yaml"),
        format!(
            "version: 1\nlisten: [\"{address}\"]\nzones: zones/\ngeoip: []\n\
             api: {{ listen: \"{api}\" }}\nregions:\n{regions}\
             checks: {{ web: {{ tcp: {{ port: 9 }}, every: 1m, timeout: 1s }} }}\n"
        ),
    )?;
    for zone in 0..ZONES {
        let head = format!(
            "zone: z{zone}.example\nrecords:\n  \"@\": {{ NS: ns }}\n  ns: {{ A: 192.0.2.53 }}\n"
        );
        let name = |name: usize| {
            let pool = |it: usize| format!("r{it}: {{ A: 127.{}.{name}.{} }}", zone + 1, it + 1);
            let pools = (0..POOLS).map(pool).collect::<Vec<_>>().join(", ");
            format!("  n{name}: {{ steer: {{ check: web, demand: 10, pools: {{ {pools} }} }} }}\n")
        };
        let names = (0..NAMES).map(name).collect::<Vec<_>>().concat();
        fs::write(folder.join(format!("zones/z{zone}.yaml")), head + &names)?;
    }
    Ok(())
}
