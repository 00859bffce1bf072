//! Words and lines of explanations.

use std::net::IpAddr;

use super::{Explanation, Question, explain};
use crate::{
    geo::{Place, Prefix},
    limits::EXPLAIN_STRING_LEN_MAX,
    snapshot::Snapshot,
    wire::{Name, Rtype},
};

/// The explanation of a name as TXT data, a record a line; none if there is nothing to explain.
///
/// Of the two address types it is the first that the name has.
#[must_use]
pub fn for_dns(
    snapshot: &Snapshot,
    name: &[u8],
    subnet: Option<Prefix>,
    client: IpAddr,
) -> Option<Vec<Vec<u8>>> {
    let name = Name::from_wire(name)?;
    let explain =
        |qtype| explain(snapshot, &Question { name: &name, qtype, subnet, client, down: &[] }).ok();
    let v4 = explain(Rtype::A)?;
    let is_empty = v4.result == super::Answer::NoData;
    let v6 = is_empty.then(|| explain(Rtype::AAAA)).flatten();
    let told = v6.filter(|it| it.result != super::Answer::NoData).unwrap_or(v4);
    Some(lines(&told).iter().map(|line| character_string(line)).collect())
}

/// An explanation as a few lines.
fn lines(told: &Explanation) -> Vec<String> {
    let head = format!("{} {} for {}", told.name, told.rtype, told.seat.address);
    let stages = told.stages.iter().map(|it| {
        let left = if it.left.is_empty() { "none".to_owned() } else { it.left.join(" ") };
        format!("{}: {left}; {}", it.stage, it.why)
    });
    let tail = [
        format!("footing: {}", told.footing.as_str()),
        format!("ttl: {}; {}", told.ttl, told.ttl_reason),
        format!("scope: /{}; {}", told.scope, told.scope_reason),
    ];
    [head].into_iter().chain(stages).chain(tail).collect()
}

/// One character string (RFC 1035 section 3.3): what does not fit is left out.
fn character_string(line: &str) -> Vec<u8> {
    let fits = line.floor_char_boundary(EXPLAIN_STRING_LEN_MAX);
    let mut text = line[..fits].to_owned();
    if fits < line.len() {
        text.truncate(text.floor_char_boundary(EXPLAIN_STRING_LEN_MAX - 3));
        text.push_str("...");
    }
    let len = u8::try_from(text.len()).expect("at most EXPLAIN_STRING_LEN_MAX");
    [&[len][..], text.as_bytes()].concat()
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn and(words: &[String]) -> String {
    match words {
        [] => "none".to_owned(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// A share of 1 in percent.
#[must_use]
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let is_whole = (percent - percent.round()).abs() < 0.005;
    if is_whole { format!("{percent:.0} %") } else { format!("{percent:.2} %") }
}

/// Hundredths of a percent, in percent.
pub(super) fn hundredths(parts: u64) -> String {
    #[allow(clippy::cast_precision_loss)] // At most ten thousand.
    percent(parts as f64 / 10_000.0)
}

/// What is known of a place, a word each.
pub(super) fn words(place: &Place) -> Vec<String> {
    let Place { country, subdivision, continent, asn, at } = place;
    let country = country.filter(|_| subdivision.is_none());
    [
        subdivision.map(|it| it.as_str().to_owned()),
        country.map(|it| it.as_str().to_owned()),
        continent.map(|it| it.as_str().to_owned()),
        asn.map(|it| format!("AS{it}")),
        at.map(|it| it.to_string()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What is known of a place, in one phrase.
pub(super) fn place(place: &Place) -> String {
    words(place).join(", ")
}
