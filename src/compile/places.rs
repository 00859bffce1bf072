//! Places in the files: networks, countries, systems and coordinates, and the regions that have them.
//!
//! What is known of networks is written `country: DE`; whom a pool serves, `serves: [DE]`. Both read
//! the same codes here, and so are refused in the same words.
//!
//! Not here: which address is where (`geoip`, `atlas`), and what a pool's list means (`steer`).

use super::facts;
use crate::{
    config::{
        Entries, Field, Key, Place, Report,
        server::{AtFile, NetworkFile, RegionFile},
        suggest,
    },
    geo::{self, Coordinates, Country, NetworkError, Networks, Prefix, Subdivision},
};

/// A region that pools may be in.
#[derive(Debug, PartialEq)]
pub(super) struct Region {
    pub(super) name: String,
    pub(super) at: Option<Coordinates>,
    /// Whether the file says where it is, be it in a way that was refused.
    pub(super) says_at: bool,
    /// How much it can take, in the operator's unit.
    pub(super) capacity: Option<f64>,
}

/// Reads the `regions`.
pub(super) fn regions(
    entries: Option<&Entries<'_, RegionFile<'_>>>,
    report: &Report,
) -> Vec<Region> {
    let region = |(key, file): &(Key<'_>, Field<RegionFile<'_>>)| {
        let name = (*key.given()?).to_owned();
        let Some(file) = file.given() else {
            return Some(Region { name, at: None, says_at: true, capacity: None });
        };
        let capacity = file.capacity.given().map(|it| it.0);
        Some(Region { name, at: at(&file.at, report), says_at: !file.at.is_absent(), capacity })
    };
    entries.into_iter().flat_map(|it| &it.0).filter_map(region).collect()
}

/// Reads the `networks`.
pub(super) fn networks(
    entries: Option<&Entries<'_, NetworkFile<'_>>>,
    report: &Report,
) -> Networks {
    let mut networks = Networks::default();
    for (key, file) in entries.into_iter().flat_map(|it| &it.0) {
        let (Some((at, text)), Some(file)) = (key.placed(), file.given()) else { continue };
        let before = report.count();
        let prefix = prefix(at, text, report);
        let place = place(file, report);
        if before < report.count() {
            continue;
        }
        let Some(prefix) = prefix else { continue };
        if place == geo::Place::NOWHERE {
            nothing_known(report, at, text);
        } else if let Err(error) = networks.insert(prefix, place) {
            bad_network(report, at, text, error);
        }
    }
    networks
}

fn place(file: &NetworkFile<'_>, report: &Report) -> geo::Place {
    let country = file.country.placed().and_then(|(at, text)| country(at, text, report));
    let part = |(at, text): (Place, &&str)| match (text.contains('-'), country) {
        (true, _) => subdivision(at, text, report),
        (false, Some(country)) => Subdivision::of(country, text)
            .map_err(|wrong| report.say(at, format!("`{text}` is no subdivision"), wrong.0))
            .ok(),
        (false, None) => {
            if file.country.is_absent() {
                part_of_nothing(report, at, text);
            }
            None
        }
    };
    geo::Place {
        country,
        subdivision: file.subdivision.placed().and_then(part),
        asn: file.asn.placed().and_then(|(at, text)| asn(at, text, report)),
        at: at(&file.at, report),
        ..geo::Place::NOWHERE
    }
}

/// Reads a point: degrees, or the name of a region of a public cloud.
fn at(field: &Field<AtFile<'_>>, report: &Report) -> Option<Coordinates> {
    let (place, file) = field.placed()?;
    let parts = match file {
        AtFile::Text(name) => {
            let known = facts::region(name);
            if known.is_none() {
                no_cloud_region(report, place, name);
            }
            return known;
        }
        AtFile::List(parts) => parts,
    };
    let parts: Option<Vec<f32>> = parts
        .iter()
        .map(|it| it.given().filter(|it| is_decimal(it)).and_then(|it| it.parse().ok()))
        .collect();
    let point = match parts.as_deref() {
        Some([lat, lon]) => Coordinates::new(*lat, *lon),
        _ => None,
    };
    if point.is_none() {
        no_point(report, place);
    }
    point
}

/// Whether it is a decimal number as people write one: `f32` would read `inf` and `1e1` as well.
fn is_decimal(text: &str) -> bool {
    text.bytes().all(|it| it.is_ascii_digit() || matches!(it, b'.' | b'-'))
}

/// Reads a block of addresses that clients come from.
pub(super) fn prefix(place: Place, text: &str, report: &Report) -> Option<Prefix> {
    let prefix: Prefix = match text.parse() {
        Ok(prefix) => prefix,
        Err(geo::Malformed(hint)) => {
            no_prefix(report, place, text, hint);
            return None;
        }
    };
    let unwrapped = prefix.unwrapped();
    if unwrapped != prefix {
        bad_network(report, place, text, NetworkError::Wrapped(unwrapped));
        return None;
    }
    Some(prefix)
}

/// Reads the number of an autonomous system, with or without `AS`.
pub(super) fn asn(place: Place, text: &str, report: &Report) -> Option<u32> {
    let has_letters = text.get(..2).is_some_and(|it| it.eq_ignore_ascii_case("AS"));
    let digits = if has_letters { &text[2..] } else { text };
    let number = digits.parse().ok().filter(|_| digits.bytes().all(|it| it.is_ascii_digit()));
    match number {
        Some(number) if number != 0 => Some(number),
        _ => {
            let hint = "write `AS64512` or `64512`; the greatest is 4294967295";
            report.say(place, format!("`{text}` is not the number of an AS"), hint);
            None
        }
    }
}

/// Reads a country that exists.
pub(super) fn country(place: Place, text: &str, report: &Report) -> Option<Country> {
    let country: Option<Country> = text.parse().ok();
    let known = country.filter(|it| facts::country(*it).is_some());
    if known.is_none() {
        no_country(report, place, text);
    }
    known
}

/// Reads a part of a country that exists, written with the country.
pub(super) fn subdivision(place: Place, text: &str, report: &Report) -> Option<Subdivision> {
    match text.parse::<Subdivision>() {
        Ok(part) => country(place, part.country().as_str(), report).map(|_| part),
        Err(wrong) => {
            report.say(place, format!("`{text}` is no subdivision"), wrong.0);
            None
        }
    }
}

// ---- Complaints ----

fn no_prefix(report: &Report, place: Place, text: &str, hint: &str) {
    // The usual mistake is the address of a host with the length of its network.
    let meant = text.split_once('/').and_then(|(address, len)| {
        let (address, len) = (address.parse().ok()?, len.parse().ok()?);
        Some(Prefix::around(address, len)).filter(|it| it.length() == len)
    });
    let hint = meant.map_or_else(|| hint.to_owned(), |it| format!("did you mean `{it}`?"));
    report.say(place, format!("`{text}` is not a network"), hint);
}

fn bad_network(report: &Report, place: Place, text: &str, error: NetworkError) {
    let hint = match error {
        NetworkError::Repeated => "merge the two".to_owned(),
        NetworkError::Wrapped(v4) => format!("write `{v4}`"),
        NetworkError::Contradiction => "remove the country, or correct it".to_owned(),
    };
    let message = match error {
        NetworkError::Repeated => format!("`{text}` is there twice"),
        NetworkError::Wrapped(_) => format!("clients of `{text}` are looked up as IPv4"),
        NetworkError::Contradiction => format!("`{text}`: {error}"),
    };
    report.say(place, message, hint);
}

fn nothing_known(report: &Report, place: Place, text: &str) {
    let message = format!("nothing is said of the network `{text}`");
    report.say(place, message, "give it a `country`, a `subdivision`, an `asn` or `at`");
}

fn part_of_nothing(report: &Report, place: Place, text: &str) {
    let hint = "write the country before it, such as `US-CA`, or give the network a `country`";
    report.say(place, format!("`{text}` is a part of no country"), hint);
}

fn no_cloud_region(report: &Report, place: Place, name: &str) {
    let near = suggest(name, facts::regions(), "");
    let hint = if near.starts_with("did") {
        near
    } else {
        "write `at: [LAT, LON]` in degrees, or `aws/us-east-1`, `gcp/us-east1`, `azure/eastus`"
            .to_owned()
    };
    report.say(place, format!("`{name}` is no region of a public cloud"), hint);
}

fn no_point(report: &Report, place: Place) {
    let hint = "write degrees north and degrees east, such as `[38.95, -77.45]`";
    report.say(place, "this is no point on the earth", hint);
}

fn no_country(report: &Report, place: Place, text: &str) {
    // Codes of two letters are all near each other, so only mistakes that are known are put right.
    let meant = match text.to_ascii_uppercase().as_str() {
        "UK" | "ENG" => Some("GB".to_owned()),
        "EL" => Some("GR".to_owned()),
        code => {
            let swapped: String = code.chars().rev().collect();
            let is_known = |it: &Country| facts::country(*it).is_some();
            swapped.parse().ok().filter(is_known).map(|it: Country| it.to_string())
        }
    };
    let hint = meant.map_or_else(
        || "countries are two letters of ISO 3166-1, such as `DE`".to_owned(),
        |it| format!("did you mean `{it}`?"),
    );
    report.say(place, format!("`{text}` is no country"), hint);
}
