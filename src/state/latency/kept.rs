//! The rows in which what was measured survives a restart: an entry a row, a region a line.
//!
//! ```text
//!   n203.0.113.0/24   1795188958 31.5 23.4 23 us-east-1     when, weight, ms, published or -, region
//!   s64500 DE         ...
//!   cDE               ...
//! ```
//!
//! What is published is kept as well, so that a restart moves no client within the hysteresis.
//!
//! *Not here:* where the rows lie (`store`).

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    hash::Hash,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{Entry, Latencies, Region, RegionIdx, Track, region_idx};
use crate::{
    compile::LatencySettings,
    geo::{Country, Geo, Place, Prefix},
    limits::{
        LATENCY_MS_MAX, LATENCY_NETWORKS_MAX, LATENCY_SYSTEMS_MAX, LATENCY_WEIGHT_MAX,
        LATENCY_WEIGHT_MIN,
    },
    state::store::Row,
};

/// What an entry is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Network(Prefix),
    System(u32, Country),
    Country(Country),
}

/// A row that is new, or with nothing one that is to be forgotten.
pub type Change = (Box<[u8]>, Option<Box<[u8]>>);

/// Which rows there are.
#[derive(Debug, Default)]
pub(super) struct Given {
    keys: HashSet<Key>,
    /// Samples up to then are in them.
    until: Option<Instant>,
}

impl Latencies {
    /// How the rows differ from those that were given before.
    pub fn changes(&mut self, now: Instant, wall: SystemTime) -> Vec<Change> {
        let since = self.given.until.replace(now);
        let mut changes = Vec::new();
        let mut given = std::mem::take(&mut self.given.keys);
        let mut keys = HashSet::with_capacity(given.len());
        let mut give = |key: Key, entry: &Entry| {
            keys.insert(key);
            let was_given = given.remove(&key);
            if !was_given || entry.tracks.iter().any(|(_, it)| since.is_none_or(|at| at < it.at)) {
                let text = row(entry, &self.regions, now, wall);
                changes.push((key.octets(), Some(text.into_bytes().into())));
            }
        };
        self.networks.iter().for_each(|(it, entry)| give(Key::Network(*it), entry));
        self.systems.iter().for_each(|(it, entry)| give(Key::System(it.0, it.1), entry));
        self.countries.iter().for_each(|(it, entry)| give(Key::Country(*it), entry));
        changes.extend(given.into_iter().map(|key| (key.octets(), None)));
        self.given.keys = keys;
        changes
    }

    /// All rows. What [`changes`](Self::changes) gives later is what differs from these.
    pub fn rows(&mut self, now: Instant, wall: SystemTime) -> Vec<Row> {
        self.given = Given::default();
        let changes = self.changes(now, wall).into_iter();
        changes.filter_map(|(key, row)| Some((key, row?))).collect()
    }

    /// Takes back what was kept. Regions have to be set. What is of no region, of no use any more or
    /// not readable is left out, and will be measured anew.
    pub fn restore(
        &mut self,
        rows: &[Row],
        geo: &Geo,
        settings: &LatencySettings,
        now: Instant,
        wall: SystemTime,
    ) {
        for (octets, text) in rows {
            let (Some(key), Ok(text)) = (Key::of(octets), std::str::from_utf8(text)) else {
                continue;
            };
            // So that it is forgotten there if it is not here.
            self.given.keys.insert(key);
            let entry = read(text, &self.regions, settings, now, wall);
            if entry.tracks.is_empty() {
                continue;
            }
            match key {
                Key::Network(network) if geo.is_usable(&network) => {
                    let located = geo.locate(network.address());
                    let is_one_place = located.prefix_len <= network.length();
                    let place = if is_one_place { *located.place } else { Place::NOWHERE };
                    let entry = Entry { place, ..entry };
                    put(&mut self.networks, network, entry, LATENCY_NETWORKS_MAX);
                }
                Key::Network(_) => {}
                Key::System(number, country) => {
                    put(&mut self.systems, (number, country), entry, LATENCY_SYSTEMS_MAX);
                }
                Key::Country(country) => put(&mut self.countries, country, entry, usize::MAX),
            }
        }
        self.given.until = Some(now);
        (self.has_news, self.has_gaps) = (!self.networks.is_empty(), !self.networks.is_empty());
    }
}

fn put<K: Eq + Hash>(entries: &mut HashMap<K, Entry>, key: K, entry: Entry, len_max: usize) {
    if entries.len() < len_max {
        entries.insert(key, entry);
    }
}

impl Key {
    fn octets(self) -> Box<[u8]> {
        let text = match self {
            Self::Network(network) => format!("n{network}"),
            Self::System(number, country) => format!("s{number} {country}"),
            Self::Country(country) => format!("c{country}"),
        };
        text.into_bytes().into()
    }

    fn of(octets: &[u8]) -> Option<Self> {
        let (kind, rest) = std::str::from_utf8(octets).ok()?.split_at_checked(1)?;
        match kind {
            "n" => rest.parse().ok().map(Self::Network),
            "c" => rest.parse().ok().map(Self::Country),
            "s" => {
                let (number, country) = rest.split_once(' ')?;
                Some(Self::System(number.parse().ok()?, country.parse().ok()?))
            }
            _ => None,
        }
    }
}

fn row(entry: &Entry, regions: &[Region], now: Instant, wall: SystemTime) -> String {
    let mut text = String::new();
    for (region, Track { ms, weight, at }) in &entry.tracks {
        let at = wall.checked_sub(now.saturating_duration_since(*at)).unwrap_or(wall);
        let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        write!(text, "{seconds} {weight} {ms} ").expect("a String takes everything");
        match entry.published.iter().find(|(it, _)| it == region) {
            Some((_, published)) => write!(text, "{published}"),
            None => write!(text, "-"),
        }
        .expect("a String takes everything");
        writeln!(text, " {}", regions[usize::from(*region)].name)
            .expect("a String takes everything");
    }
    text
}

/// Reads a row, with the weights that are left of it.
fn read(
    text: &str,
    regions: &[Region],
    settings: &LatencySettings,
    now: Instant,
    wall: SystemTime,
) -> Entry {
    let mut entry = Entry::default();
    for (region, track, published) in
        text.lines().filter_map(|it| line(it, regions, settings, now, wall))
    {
        if entry.tracks.iter().all(|(it, _)| *it != region) {
            entry.tracks.push((region, track));
            entry.published.extend(published.map(|ms| (region, ms)));
        }
    }
    entry.published.sort_unstable_by_key(|(region, _)| *region);
    entry
}

fn line(
    text: &str,
    regions: &[Region],
    settings: &LatencySettings,
    now: Instant,
    wall: SystemTime,
) -> Option<(RegionIdx, Track, Option<f32>)> {
    let mut fields = text.splitn(5, ' ');
    let at = UNIX_EPOCH.checked_add(Duration::from_secs(fields.next()?.parse().ok()?))?;
    let weight: f32 = fields.next()?.parse().ok()?;
    let ms = |text: &str| {
        let ms: f32 = text.parse().ok()?;
        (0.0 < ms && f64::from(ms) <= LATENCY_MS_MAX).then_some(ms)
    };
    let (track_ms, published) = (ms(fields.next()?)?, ms(fields.next()?));
    let region = region_idx(regions, fields.next()?)?;
    // A clock that went back makes nothing younger than it was.
    let age = wall.duration_since(at).unwrap_or_default().as_secs_f32();
    let left = (-age / settings.half_life.as_secs_f32().max(1.0)).exp2();
    let weight = weight.clamp(0.0, LATENCY_WEIGHT_MAX) * left;
    let track = Track { ms: track_ms, weight, at: now };
    (LATENCY_WEIGHT_MIN <= weight).then_some((region, track, published))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{clock, state::latency::Sample};

    const REGIONS: [(&str, Option<crate::geo::Coordinates>); 2] = [("eu west", None), ("us", None)];

    fn settings() -> LatencySettings {
        LatencySettings { samples_min: 5, ..LatencySettings::default() }
    }

    fn begin() -> Latencies {
        let mut latencies = Latencies::default();
        latencies.set_regions(REGIONS);
        latencies
    }

    fn take(latencies: &mut Latencies, client: &str, region: &str, ms: f64, now: Instant) {
        let sample = Sample::new(client, region, ms, 20).unwrap();
        latencies.take(&sample, &Geo::nowhere(), &settings(), now).unwrap();
    }

    /// The rows that come of changes.
    fn apply(rows: &mut BTreeMap<Box<[u8]>, Box<[u8]>>, changes: Vec<Change>) -> usize {
        let count = changes.len();
        for (key, row) in changes {
            match row {
                Some(row) => drop(rows.insert(key, row)),
                None => assert!(rows.remove(&key).is_some()),
            }
        }
        count
    }

    #[test]
    fn what_was_measured_survives_a_restart() {
        let hour = Duration::from_hours(1);
        let (now, wall) = (clock::now(), UNIX_EPOCH + 500_000 * hour);
        let mut latencies = begin();
        take(&mut latencies, "8.8.8.0/24", "us", 20.5, now);
        take(&mut latencies, "8.8.8.0/24", "eu west", 90.0, now);
        take(&mut latencies, "2600::/48", "us", 30.0, now);
        let told = latencies.publish(now, &settings()).unwrap();
        let mut rows = BTreeMap::new();
        assert_eq!(apply(&mut rows, latencies.changes(now, wall)), 2);
        let later = now + Duration::from_secs(1);
        assert_eq!(apply(&mut rows, latencies.changes(later, wall)), 0, "nothing changed");
        take(&mut latencies, "8.8.4.0/24", "us", 20.0, later + Duration::from_secs(1));
        assert_eq!(apply(&mut rows, latencies.changes(later + hour, wall)), 1);
        rows.remove(&b"n8.8.4.0/24"[..]);

        // An hour goes by, which is the half-life.
        let kept: Vec<_> = rows.into_iter().collect();
        let mut again = begin();
        again.restore(&kept, &Geo::nowhere(), &settings(), now, wall + hour);
        assert_eq!(again.n_networks(), 2);
        assert_eq!(again.publish(now, &settings()).unwrap(), told);
        let track = again.networks[&"8.8.8.0/24".parse().unwrap()].tracks[0].1;
        assert!((track.weight - 10.0).abs() < 0.1, "{track:?}");
        assert_eq!(again.changes(now + Duration::from_secs(1), wall), []);

        // A region less, and what is too old: both are forgotten on the disk as well.
        let mut less = Latencies::default();
        less.set_regions([("eu west", None)]);
        less.restore(&kept, &Geo::nowhere(), &settings(), now, wall);
        assert_eq!(less.n_networks(), 1);
        let gone = less.changes(now + Duration::from_secs(1), wall);
        assert_eq!(gone, [(b"n2600::/48"[..].into(), None)]);
        let mut old = begin();
        old.restore(&kept, &Geo::nowhere(), &settings(), now, wall + 30 * hour);
        assert_eq!((old.n_networks(), old.changes(now, wall).len()), (0, 2));
    }

    #[test]
    fn what_is_not_readable_is_left_out() {
        let (now, wall) = (clock::now(), UNIX_EPOCH);
        let check = |key: &str, text: &str, expect: usize| {
            let mut latencies = begin();
            let rows = [(key.as_bytes().into(), text.as_bytes().into())];
            latencies.restore(&rows, &Geo::nowhere(), &settings(), now, wall);
            assert_eq!(latencies.n_networks(), expect, "{key} {text}");
        };
        check("n8.8.8.0/24", "0 20 20.5 - us\n", 1);
        check("n8.8.8.0/24", "0 20 20.5 - us\n0 20 nan - us\nx\n", 1);
        for text in ["", "0 20 20.5 -", "0 20 20.5 - x", "0 20 0 - us", "0 20 inf - us"] {
            check("n8.8.8.0/24", text, 0);
        }
        check("n8.8.8.0/24", "0 nan 20.5 - us", 0);
        for key in ["", "n", "x8.8.8.0/24", "n10.0.0.0/24", "s1", "é"] {
            check(key, "0 20 20.5 - us\n", 0);
        }
    }
}
