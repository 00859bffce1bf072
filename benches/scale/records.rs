//! A zone of a million records: the time to the first answer, and the memory.

use std::{
    fs,
    io::{BufWriter, Write},
    net::SocketAddr,
    path::Path,
    process::Command,
};

use super::{
    common::{Result, median, questions::question, server::free_address},
    process::{Memory, start},
};

const RECORDS: usize = 1_000_000;

const ROUNDS: usize = 5;

const NSD_CONF: &str = "\
server:
  server-count: 1
  ip-address: 127.0.0.1@{port}
  username: \"\"
  chroot: \"\"
  zonesdir: {folder}
  pidfile: {folder}/nsd.pid
  xfrdfile: {folder}/xfrd.state
  zonelistfile: {folder}/zone.list
  logfile: {folder}/nsd.log
remote-control:
  control-enable: no
zone:
  name: big.example
  zonefile: big.zone
";

pub(super) fn run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let (ours, theirs) = (free_address()?, free_address()?);
    write_zone(folder)?;
    let server_file = format!("version: 1\nlisten: [\"{ours}\"]\nzones: [big.yaml]\n");
    fs::write(folder.join("evenkeel.yaml"), server_file)?;
    let conf = NSD_CONF.replace("{port}", &theirs.port().to_string());
    let conf = conf.replace("{folder}", &folder.display().to_string());
    fs::write(folder.join("nsd.conf"), conf)?;
    let mut evenkeel = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    evenkeel.args(["serve", "--config"]).arg(folder.join("evenkeel.yaml"));
    let mut nsd = Command::new("nsd");
    nsd.args(["-d", "-c"]).arg(folder.join("nsd.conf"));
    let has_nsd = Command::new("nsd").arg("-v").output().is_ok();
    if !has_nsd {
        println!("NSD is left out: there is no `nsd` here (Debian: `apt-get install nsd`)");
    }

    let question = question("host-700000.big.example");
    let (mut our_rounds, mut their_rounds) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let round = |command: &mut Command, address: SocketAddr| -> Result<_> {
            let (server, took) = start(command, address, folder, &question)?;
            Ok((took.as_secs_f64(), Memory::of(&server)?))
        };
        our_rounds.push(round(&mut evenkeel, ours)?);
        if has_nsd {
            their_rounds.push(round(&mut nsd, theirs)?);
        }
    }
    println!("{RECORDS} records in one zone, medians of {ROUNDS}: ms to the first answer, MB then");
    println!("and at the highest, summed over processes");
    say("Evenkeel, YAML", &our_rounds);
    say("NSD, master file", &their_rounds);
    if has_nsd {
        let rounds = our_rounds.iter().zip(&their_rounds);
        let ratios: Vec<f64> = rounds.map(|((ours, _), (theirs, _))| ours / theirs).collect();
        println!("{:>10.2} of NSD's time, within a round", median(&ratios));
    }
    Ok(())
}

fn say(what: &str, rounds: &[(f64, Memory)]) {
    if rounds.is_empty() {
        return;
    }
    let time = 1e3 * median(&rounds.iter().map(|(took, _)| *took).collect::<Vec<_>>());
    let most = |of: fn(&Memory) -> f64| {
        rounds.iter().map(|(_, memory)| of(memory)).max_by(f64::total_cmp).unwrap_or_default()
    };
    let (now, highest) = (most(|it| it.now), most(|it| it.highest));
    println!("{time:>10.1} {now:>8.0} {highest:>8.0}   {what}");
}

/// The same zone in both forms: of ten hosts seven have an address, one has two, one is an alias,
/// and one has mail and a text.
fn write_zone(folder: &Path) -> Result<()> {
    let mut yaml = BufWriter::new(fs::File::create(folder.join("big.yaml"))?);
    let mut master = BufWriter::new(fs::File::create(folder.join("big.zone"))?);
    write!(
        yaml,
        "zone: big.example\nttl: 1h\nsoa: {{ primary: ns1, contact: hostmaster@big.example, serial: 1 }}\n\
         records:\n  \"@\": {{ NS: [ns1, ns2] }}\n  ns1: {{ A: 192.0.2.53 }}\n  ns2: {{ A: 192.0.2.54 }}\n"
    )?;
    write!(
        master,
        "$ORIGIN big.example.\n$TTL 3600\n@ IN SOA ns1 hostmaster 1 3600 900 1209600 300\n\
         @ IN NS ns1\n@ IN NS ns2\nns1 IN A 192.0.2.53\nns2 IN A 192.0.2.54\n"
    )?;
    let mut written = 5;
    for host in 0_u32.. {
        if RECORDS <= written {
            break;
        }
        let [_, a, b, c] = host.to_be_bytes();
        written += match host % 10 {
            7 => {
                let v6 = format!("2001:db8::{a:x}:{:x}", host & 0xFFFF);
                writeln!(yaml, "  host-{host}: {{ A: 10.{a}.{b}.{c}, AAAA: \"{v6}\" }}")?;
                writeln!(master, "host-{host} IN A 10.{a}.{b}.{c}\nhost-{host} IN AAAA {v6}")?;
                2
            }
            8 => {
                writeln!(yaml, "  host-{host}: {{ CNAME: host-{} }}", host - 1)?;
                writeln!(master, "host-{host} IN CNAME host-{}", host - 1)?;
                1
            }
            9 => {
                let (mail, text) = (host - 2, format!("\"v=spf1 ip4:10.{a}.{b}.{c} -all\""));
                writeln!(yaml, "  host-{host}:\n    ttl: 5m")?;
                writeln!(yaml, "    MX: [10 host-{mail}, 20 ns2]\n    TXT: {text}")?;
                writeln!(
                    master,
                    "host-{host} 300 IN MX 10 host-{mail}\nhost-{host} 300 IN MX 20 ns2"
                )?;
                writeln!(master, "host-{host} 300 IN TXT {text}")?;
                3
            }
            _ => {
                writeln!(yaml, "  host-{host}: {{ A: 10.{a}.{b}.{c} }}")?;
                writeln!(master, "host-{host} IN A 10.{a}.{b}.{c}")?;
                1
            }
        };
    }
    yaml.flush()?;
    master.flush()?;
    Ok(())
}
