//! The country data inside the binary: `geoip/country.mmdb` as `build.rs` has packed it.
//!
//! The tree of the file is mostly pointers. Packed are its runs: how far each starts after the one
//! before, and the country, in columns, deflated. It takes a third, and is there in a fifth of the
//! time.
//!
//! ```text
//!   codes   u8 how many, two letters each        then IPv4, then IPv6:
//!                                                u32 how many runs
//!                                                shifts   u8 each: zero bits at the end of a step
//!                                                steps    LEB128 each: the step without them
//!                                                places   u8 each: 0 nowhere, n the n-th code
//! ```
//!
//! Not here: the packing (`build.rs`), and files as they are (the module above).

use super::{finished, record};
use crate::geo::{Address, Builder, Geo, Interner, PlaceId, Ranges, Run};

const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/country.packed"));

/// The places that the country data inside the binary tells.
#[must_use]
pub fn embedded() -> Geo {
    let octets = miniz_oxide::inflate::decompress_to_vec(PACKED)
        .expect("`build.rs` has deflated it, and a test reads it");
    let mut rest = &octets[..];
    let mut interner = Interner::default();
    let n_codes = usize::from(take(&mut rest, 1)[0]);
    let codes = take(&mut rest, 2 * n_codes).chunks_exact(2).map(|code| {
        let code = std::str::from_utf8(code).expect("codes are letters");
        interner.intern(record::place_of_code(code))
    });
    let ids: Vec<PlaceId> = [PlaceId::NOWHERE].into_iter().chain(codes).collect();
    let v4 = line(&mut rest, &ids, |shift, step| {
        u32::try_from(step << shift).expect("a step of an IPv4 line")
    });
    let v6 = line(&mut rest, &ids, |shift, step| step << shift);
    assert!(rest.is_empty());
    finished(Geo { v4, v6, places: interner.places() })
}

fn line<A: Address + std::ops::Add<Output = A>>(
    rest: &mut &[u8],
    ids: &[PlaceId],
    step: impl Fn(u8, u128) -> A,
) -> Ranges<A, PlaceId> {
    let n_runs = take(rest, 4).try_into().expect("four octets were taken");
    let n_runs = usize::try_from(u32::from_be_bytes(n_runs)).expect("a count of runs");
    let shifts = take(rest, n_runs);
    let mut start = A::FIRST;
    let mut starts = Vec::with_capacity(n_runs);
    for shift in shifts {
        start = start + step(*shift, leb128(rest));
        starts.push(start);
    }
    let places = take(rest, n_runs);
    let mut builder = Builder::new(PlaceId::NOWHERE);
    for (idx, place) in places.iter().enumerate() {
        let next = starts.get(idx + 1).and_then(|next| next.before());
        let run = Run { first: starts[idx], last: next.unwrap_or(A::LAST) };
        assert!(builder.put(run, ids[usize::from(*place)]));
    }
    builder.finish()
}

fn leb128(rest: &mut &[u8]) -> u128 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let octet = take(rest, 1)[0];
        value |= u128::from(octet & 0x7F) << shift;
        if octet & 0x80 == 0 {
            break;
        }
    }
    value
}

fn take<'o>(rest: &mut &'o [u8], len: usize) -> &'o [u8] {
    let (taken, left) = rest.split_at(len);
    *rest = left;
    taken
}
