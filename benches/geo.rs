//! What knowing the world costs: to load it, to hold it, and to ask it.
//!
//! ```text
//! cargo bench --bench geo -- [FILE.mmdb]...      without a file: the data inside the binary
//! ```

use std::{
    env, fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    time::Duration,
};

use evenkeel::{
    clock,
    compile::geoip::{embedded, load},
    dice::Roll,
    geo::{Bounds, Geo, Prefix},
};

const LOOKUPS: u32 = 5_000_000;

fn main() {
    let files: Vec<PathBuf> =
        env::args().skip(1).filter(|it| !it.starts_with('-')).map(PathBuf::from).collect();
    let read = |path: &PathBuf| (path.clone(), fs::read(path).expect("the file can be read"));
    let files: Vec<(PathBuf, Vec<u8>)> = files.iter().map(read).collect();
    let (geo, took) =
        timed(
            || {
                if files.is_empty() { embedded() } else { load(files).expect("the files are good") }
            },
        );
    println!("loaded in {took:.1?}: {geo:?}");
    println!("holds {:.1} MB, at most {}", megabytes(geo.size()), peak());

    let n_places = u32::try_from(geo.places.len()).expect("an id is a u32");
    for n_outcomes in [4, n_places] {
        let outcome = |id: evenkeel::geo::PlaceId| id.0 % n_outcomes;
        let ((v4, v6), took) = timed(|| (geo.v4.map(outcome), geo.v6.map(outcome)));
        let n_runs = v4.n_runs() + v6.n_runs();
        println!("mapped to {n_outcomes} outcomes in {took:.1?}: {n_runs} runs");
    }
    let (_, took) = timed(|| geo.over(&geo));
    println!("laid over itself in {took:.1?}");

    for (what, addresses) in [("IPv4", v4_addresses()), ("IPv6", v6_addresses(&geo))] {
        let (sum, took) = timed(|| {
            let ask = |idx: u32| geo.locate(addresses[idx as usize % addresses.len()]);
            (0..LOOKUPS).map(|idx| u64::from(ask(idx).prefix_len)).sum::<u64>()
        });
        let mean = f64::from(u32::try_from(sum / u64::from(LOOKUPS)).expect("at most 128"));
        println!("{what}: {:.0} ns a lookup, prefixes of {mean} bits", nanoseconds(took));
    }
}

/// Addresses from everywhere, as many as do not fit a near cache.
fn v4_addresses() -> Vec<IpAddr> {
    let mut roll = Roll(1);
    let address = || Ipv4Addr::from_bits(u32::try_from(roll.bits() >> 32).expect("32 bits")).into();
    std::iter::repeat_with(address).take(1 << 20).collect()
}

/// Addresses from the runs that there are: most of the space is empty.
fn v6_addresses(geo: &Geo) -> Vec<IpAddr> {
    let runs: Vec<_> = geo.v6.runs().map(|(run, _)| run.first).collect();
    let mut roll = Roll(2);
    let address = || {
        let first = runs[usize::try_from(roll.below(runs.len() as u64)).expect("an index")];
        let around = Prefix::around(Ipv6Addr::from_bits(first).into(), 48).bounds();
        let Bounds::V6(run) = around else { unreachable!("an IPv6 address") };
        Ipv6Addr::from_bits(run.first | u128::from(roll.bits())).into()
    };
    std::iter::repeat_with(address).take(1 << 20).collect()
}

fn timed<T>(f: impl FnOnce() -> T) -> (T, Duration) {
    let start = clock::now();
    let value = f();
    (value, clock::now() - start)
}

fn nanoseconds(took: Duration) -> f64 {
    took.as_secs_f64() * 1e9 / f64::from(LOOKUPS)
}

#[allow(clippy::cast_precision_loss)] // To a tenth of a megabyte.
fn megabytes(octets: usize) -> f64 {
    octets as f64 / 1e6
}

/// The most memory that the process has had.
fn peak() -> String {
    let status = fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.expect("Linux tells it").trim().to_owned()
}
