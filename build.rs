//! Packs `geoip/country.mmdb` for the binary; `src/compile/geoip/embedded.rs` has the form.
//!
//! Here and not by hand, so that the data is in the repository once.

use std::{
    collections::BTreeMap,
    env, fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use maxminddb::{PathElement, Reader, WithinOptions};

/// Between the sizes of level 1 and 9 are 6 %, and most of the time.
const DEFLATE_LEVEL: u8 = 6;

/// First address, one after the last (none: the end of the line), and the country's code.
type Network = (u128, Option<u128>, [u8; 2]);

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=geoip/country.mmdb");
    let source = Path::new("geoip/country.mmdb");
    let octets = fs::read(source).expect("geoip/country.mmdb is there: geoip/update fetches it");
    let packed = pack(&Reader::from_source(octets).expect("geoip/country.mmdb can be read"));
    let target = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names the folder"));
    let deflated = miniz_oxide::deflate::compress_to_vec(&packed, DEFLATE_LEVEL);
    fs::write(target.join("country.packed"), deflated).expect("cargo's folder can be written");
}

fn pack(reader: &Reader<Vec<u8>>) -> Vec<u8> {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for network in reader.networks(WithinOptions::default()).expect("the tree can be walked") {
        let network = network.expect("the tree can be walked");
        let code: Option<&str> =
            network.decode_path(&[PathElement::Key("country_code")]).expect("a record");
        let Some(&[a, b]) = code.map(str::as_bytes) else { continue };
        let prefix = network.network().expect("a network");
        let size = |bits: u8| 1_u128.checked_shl(u32::from(bits - prefix.prefix()));
        match prefix.ip() {
            IpAddr::V4(first) => {
                let first = u128::from(first.to_bits());
                let after = first + size(32).expect("fewer than 2^128");
                v4.push((first, Some(after).filter(|after| *after < 1 << 32), [a, b]));
            }
            IpAddr::V6(first) => {
                let first = first.to_bits();
                let after = size(128).and_then(|size| first.checked_add(size));
                v6.push((first, after, [a, b]));
            }
        }
    }
    let mut codes: BTreeMap<[u8; 2], u8> = v4.iter().chain(&v6).map(|it| (it.2, 0)).collect();
    let mut packed = vec![u8::try_from(codes.len()).expect("fewer than 256 countries")];
    for ((code, place), n) in codes.iter_mut().zip(1..) {
        packed.extend(code);
        *place = n;
    }
    pack_line(&mut packed, &v4, &codes);
    pack_line(&mut packed, &v6, &codes);
    packed
}

fn pack_line(packed: &mut Vec<u8>, networks: &[Network], codes: &BTreeMap<[u8; 2], u8>) {
    let mut cuts: Vec<(u128, u8)> = vec![(0, 0)];
    let mut cut = |start: u128, place: u8| {
        if cuts.last().is_some_and(|(last, _)| *last == start) {
            cuts.pop();
        }
        if cuts.last().is_none_or(|(_, last)| *last != place) {
            cuts.push((start, place));
        }
    };
    for (first, after, code) in networks {
        cut(*first, codes[code]);
        if let Some(after) = after {
            cut(*after, 0);
        }
    }
    let steps = cuts.iter().scan(0, |before, (start, _)| {
        let step = start - *before;
        *before = *start;
        Some((if step == 0 { 0 } else { step.trailing_zeros() }, step))
    });
    packed.extend(u32::try_from(cuts.len()).expect("fewer than 2^32 runs").to_be_bytes());
    packed.extend(steps.clone().map(|(shift, _)| u8::try_from(shift).expect("at most 127")));
    for (shift, step) in steps {
        let mut step = step >> shift;
        while 0x7F < step {
            packed.push(0x80 | u8::try_from(step & 0x7F).expect("seven bits"));
            step >>= 7;
        }
        packed.push(u8::try_from(step).expect("seven bits"));
    }
    packed.extend(cuts.iter().map(|(_, place)| place));
}
