//! Measured round trips: from samples to what clients are told of them.
//!
//! ```text
//!   samples -> Latencies: network, system and country -> region -> smoothed, weight, age
//!                  |
//!               publish: enough samples? far enough from what was published? -> Measured -> views
//! ```
//!
//! # Smoothing
//!
//! A smoothed round trip is the mean of its samples, each weighted by its age: half after
//! `half_life`. The sum of those weights is what `samples_min` is compared with. With samples that
//! scatter by 20 % around their mean and 20 of them, the mean scatters by 2.6 %.
//!
//! # Steadiness
//!
//! A client moves when the order of its regions changes, so both are held:
//!
//! - A value is published anew only when it is more than `hysteresis` away from the one published. A
//!   narrow level begins with what it had from the wider one: it is published only where it differs.
//! - A region comes before another that was before it only when it is better by `hysteresis`. What
//!   was before is what was published, and before that what the distances let expect.
//! - What was published stays until half of `samples_min` is left.
//!
//! # Invariants
//!
//! - Pure: the time is an argument. Equal samples at equal times give equal tables.
//! - Published values of one entry differ from each other, so that there is an order.
//!
//! Not here: the form in which samples come (`config::samples`), and what a round trip means for a
//! client (`steer::class`).

pub mod kept;

use std::{collections::HashMap, fmt, hash::Hash, time::Instant};

use crate::{
    compile::LatencySettings,
    geo::{Bounds, Coordinates, Country, Geo, Place, Prefix, Ranges, rtt_estimate_ms},
    limits::{
        LATENCY_AGE_EVERY, LATENCY_LINE_SAMPLES_MAX, LATENCY_MS_MAX, LATENCY_NETWORKS_MAX,
        LATENCY_OUTLIER_FACTOR, LATENCY_PUBLISH_PAUSE, LATENCY_ROOM_DIVISOR, LATENCY_SYSTEMS_MAX,
        LATENCY_V4_LEN, LATENCY_V4_LEN_MIN, LATENCY_V6_LEN, LATENCY_V6_LEN_MIN, LATENCY_WEIGHT_MAX,
        LATENCY_WEIGHT_MIN,
    },
    steer::{Measured, RegionRtts},
};

/// By how much a value that has to come after another is greater.
const STEP: f32 = 1.001;

/// A round trip from a client's network to a region, or the mean of several.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The network, not narrower than round trips are told apart by.
    network: Prefix,
    region: Box<str>,
    ms: f32,
    /// At least one.
    samples: f32,
}

/// Why a sample is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The client is neither an address nor a network.
    Client,
    /// The network is too wide.
    Wide,
    /// The client is nobody in particular, and `networks` does not say where it is.
    SpecialUse,
    /// There is no such region.
    Region,
    /// That is no round trip.
    Milliseconds,
    /// That is no number of samples.
    Samples,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client => f.write_str("`client` is neither an address nor a network"),
            Self::Wide => write!(
                f,
                "the network is too wide: at least {LATENCY_V4_LEN_MIN} bits of IPv4 or \
                 {LATENCY_V6_LEN_MIN} of IPv6"
            ),
            Self::SpecialUse => f.write_str(
                "the client's address is a special-use one that `networks` does not hold",
            ),
            Self::Region => f.write_str("there is no such region"),
            Self::Milliseconds => {
                write!(f, "`ms` is not above 0 and at most {LATENCY_MS_MAX}")
            }
            Self::Samples => {
                write!(f, "`samples` is not a number from 1 to {LATENCY_LINE_SAMPLES_MAX}")
            }
        }
    }
}

impl Sample {
    /// The mean `ms` of so many `samples` from `client`, an address or a network, to `region`.
    ///
    /// # Errors
    ///
    /// See [`Refusal`]. Whether client and region are known is not asked here.
    pub fn new(client: &str, region: &str, ms: f64, samples: u32) -> Result<Self, Refusal> {
        let given: Prefix = client.parse().map_err(|_| Refusal::Client)?;
        let given = given.unwrapped();
        let (len_min, len) = match given.bounds() {
            Bounds::V4(_) => (LATENCY_V4_LEN_MIN, LATENCY_V4_LEN),
            Bounds::V6(_) => (LATENCY_V6_LEN_MIN, LATENCY_V6_LEN),
        };
        if given.length() < len_min {
            return Err(Refusal::Wide);
        }
        if !(0.0 < ms && ms <= LATENCY_MS_MAX) {
            return Err(Refusal::Milliseconds);
        }
        if !(1..=LATENCY_LINE_SAMPLES_MAX).contains(&samples) {
            return Err(Refusal::Samples);
        }
        #[allow(clippy::cast_possible_truncation)] // A round trip has few digits.
        let ms = (ms as f32).max(f32::MIN_POSITIVE);
        #[allow(clippy::cast_precision_loss)] // Above the weight's limit it does not matter.
        let samples = (samples as f32).min(LATENCY_WEIGHT_MAX);
        let network = Prefix::around(given.address(), given.length().min(len));
        Ok(Self { network, region: region.into(), ms, samples })
    }
}

/// All that was measured.
#[derive(Debug, Default)]
pub struct Latencies {
    regions: Vec<Region>,
    networks: HashMap<Prefix, Entry>,
    systems: HashMap<(u32, Country), Entry>,
    countries: HashMap<Country, Entry>,
    /// Whether a sample came since the last publication.
    has_news: bool,
    /// Whether something that was published is gone.
    has_gaps: bool,
    published_at: Option<Instant>,
    given: kept::Given,
}

/// A region, and where it is.
#[derive(Debug, Clone, PartialEq)]
struct Region {
    name: Box<str>,
    at: Option<Coordinates>,
}

/// A region's place in [`Latencies::regions`].
type RegionIdx = u16;

/// What is known of one network, system or country.
#[derive(Debug, Clone, Default)]
struct Entry {
    tracks: Vec<(RegionIdx, Track)>,
    /// Where this differs from the wider levels, by region.
    published: Vec<(RegionIdx, f32)>,
    /// The place of the latest sample's client.
    place: Place,
}

/// The samples of an entry to one region.
#[derive(Debug, Clone, Copy)]
struct Track {
    ms: f32,
    /// How many samples there are, by their age.
    weight: f32,
    /// When that was the weight.
    at: Instant,
}

impl Track {
    fn weight(&self, now: Instant, settings: &LatencySettings) -> f32 {
        let age = now.saturating_duration_since(self.at).as_secs_f32();
        // A half-life of nothing would make nothing of everything.
        self.weight * (-age / settings.half_life.as_secs_f32().max(1.0)).exp2()
    }

    fn take(&mut self, sample: &Sample, now: Instant, settings: &LatencySettings) {
        let (low, high) = (self.ms / LATENCY_OUTLIER_FACTOR, self.ms * LATENCY_OUTLIER_FACTOR);
        let ms = sample.ms.clamp(low, high);
        let weight = self.weight(now, settings).min(LATENCY_WEIGHT_MAX - sample.samples).max(0.0);
        let sum = weight + sample.samples;
        self.ms += (ms - self.ms) * sample.samples / sum;
        (self.weight, self.at) = (sum, now);
        assert!(0.0 < self.ms && self.ms.is_finite());
    }
}

impl Entry {
    fn take(
        &mut self,
        region: RegionIdx,
        sample: &Sample,
        place: &Place,
        now: Instant,
        settings: &LatencySettings,
    ) {
        self.place = *place;
        if let Some((_, track)) = self.tracks.iter_mut().find(|(it, _)| *it == region) {
            track.take(sample, now, settings);
        } else {
            self.tracks.push((region, Track { ms: sample.ms, weight: sample.samples, at: now }));
        }
    }

    fn weight(&self, now: Instant, settings: &LatencySettings) -> f32 {
        self.tracks.iter().map(|(_, track)| track.weight(now, settings)).sum()
    }

    /// Other regions, by what their places were.
    fn renumber(&mut self, places: &[Option<RegionIdx>]) {
        self.tracks.retain_mut(|(region, _)| renumber(region, places));
        self.published.retain_mut(|(region, _)| renumber(region, places));
        self.published.sort_unstable_by_key(|(region, _)| *region);
    }
}

fn renumber(region: &mut RegionIdx, places: &[Option<RegionIdx>]) -> bool {
    let place = places[usize::from(*region)];
    *region = place.unwrap_or(*region);
    place.is_some()
}

impl Latencies {
    /// Names the regions that there are. What was measured to others is forgotten.
    pub fn set_regions<'r>(
        &mut self,
        regions: impl IntoIterator<Item = (&'r str, Option<Coordinates>)>,
    ) {
        let mut known: Vec<Region> = Vec::new();
        for (name, at) in regions {
            if !known.iter().any(|it| *it.name == *name) {
                known.push(Region { name: name.into(), at });
            }
        }
        known.sort_by(|one, other| one.name.cmp(&other.name));
        known.truncate(usize::from(RegionIdx::MAX));
        if known == self.regions {
            return;
        }
        let places: Vec<_> = self.regions.iter().map(|it| region_idx(&known, &it.name)).collect();
        let entries = self.networks.values_mut().chain(self.systems.values_mut());
        entries.chain(self.countries.values_mut()).for_each(|it| it.renumber(&places));
        self.regions = known;
        (self.has_news, self.has_gaps) = (!self.networks.is_empty(), !self.networks.is_empty());
    }

    /// Takes a sample in.
    ///
    /// # Errors
    ///
    /// When the client is nobody in particular, or the region is not there.
    pub fn take(
        &mut self,
        sample: &Sample,
        geo: &Geo,
        settings: &LatencySettings,
        now: Instant,
    ) -> Result<(), Refusal> {
        let region = region_idx(&self.regions, &sample.region).ok_or(Refusal::Region)?;
        if !geo.is_usable(&sample.network) {
            return Err(Refusal::SpecialUse);
        }
        let located = geo.locate(sample.network.address());
        // A network that lies in several places says nothing of any of them.
        let is_one_place = located.prefix_len <= sample.network.length();
        let place = if is_one_place { *located.place } else { Place::NOWHERE };
        let weight = |entry: &Entry| entry.weight(now, settings);

        self.has_gaps |=
            make_room(&mut self.networks, &sample.network, LATENCY_NETWORKS_MAX, weight);
        let network = self.networks.entry(sample.network).or_default();
        network.take(region, sample, &place, now, settings);
        if let Some(system) = place.asn.zip(place.country) {
            self.has_gaps |= make_room(&mut self.systems, &system, LATENCY_SYSTEMS_MAX, weight);
            let system = self.systems.entry(system).or_default();
            system.take(region, sample, &place, now, settings);
        }
        if let Some(country) = place.country {
            // There are fewer countries than pairs of two letters.
            let country = self.countries.entry(country).or_default();
            country.take(region, sample, &place, now, settings);
        }
        self.has_news = true;
        Ok(())
    }

    /// How many networks have round trips of their own.
    #[must_use]
    pub fn n_networks(&self) -> usize {
        self.networks.len()
    }

    /// Whether it is time to publish: samples came, or those that are there grow old.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        let passed =
            |pause| self.published_at.is_none_or(|at| pause <= now.saturating_duration_since(at));
        self.has_news && passed(LATENCY_PUBLISH_PAUSE)
            || !self.networks.is_empty() && passed(LATENCY_AGE_EVERY)
    }

    /// What clients are to be told from now on; none when that is what they are told already.
    pub fn publish(&mut self, now: Instant, settings: &LatencySettings) -> Option<Measured> {
        self.has_news = false;
        self.published_at = Some(now);
        let mut changed = std::mem::take(&mut self.has_gaps);
        changed |= forget(&mut self.networks, now, settings);
        changed |= forget(&mut self.systems, now, settings);
        changed |= forget(&mut self.countries, now, settings);

        let press = Press { regions: &self.regions, now, settings };
        for entry in self.countries.values_mut() {
            changed |= press.publish(entry, &press.nothing());
        }
        for ((_, country), entry) in &mut self.systems {
            let mut wider = press.nothing();
            lay(&mut wider, self.countries.get(country));
            changed |= press.publish(entry, &wider);
        }
        let mut order: Vec<Prefix> = self.networks.keys().copied().collect();
        order.sort_unstable();
        // A wider network is sorted before those in it: the open ones are those around the next.
        let mut open: Vec<Prefix> = Vec::new();
        for network in &order {
            open.retain(|around| around.holds(network));
            let place = self.networks[network].place;
            let mut wider = press.nothing();
            lay(&mut wider, place.country.and_then(|it| self.countries.get(&it)));
            let system = place.asn.zip(place.country);
            lay(&mut wider, system.and_then(|it| self.systems.get(&it)));
            for around in &open {
                lay(&mut wider, self.networks.get(around));
            }
            let entry = self.networks.get_mut(network).expect("the order is of its keys");
            changed |= press.publish(entry, &wider);
            open.push(*network);
        }
        changed.then(|| self.measured(&order))
    }

    /// What is published, in the form in which views are made of it.
    fn measured(&self, order: &[Prefix]) -> Measured {
        let rtts = |entry: &Entry| -> RegionRtts { self.named(&entry.published) };
        let is_told = |entry: &Entry| !entry.published.is_empty();
        let (mut v4, mut v6, mut networks) = (Vec::new(), Vec::new(), Vec::new());
        // Networks that are told the same have one number, and are one to a view.
        let mut numbers: HashMap<Vec<(RegionIdx, u32)>, u32> = HashMap::new();
        // A network has what the networks around it have, but for what it knows better.
        let mut open: Vec<(Prefix, Vec<(RegionIdx, f32)>)> = Vec::new();
        for network in order {
            let entry = &self.networks[network];
            open.retain(|(around, _)| around.holds(network));
            if !is_told(entry) {
                continue;
            }
            let mut all = open.last().map_or(Vec::new(), |(_, around)| around.clone());
            all.retain(|(region, _)| entry.published.iter().all(|(own, _)| own != region));
            all.extend(&entry.published);
            all.sort_unstable_by_key(|(region, _)| *region);
            let key: Vec<(RegionIdx, u32)> =
                all.iter().map(|(region, ms)| (*region, ms.to_bits())).collect();
            let number = *numbers.entry(key).or_insert_with(|| {
                networks.push(self.named(&all));
                u32::try_from(networks.len()).expect("at most LATENCY_NETWORKS_MAX")
            });
            open.push((*network, all));
            match network.bounds() {
                Bounds::V4(run) => v4.push((run, number)),
                Bounds::V6(run) => v6.push((run, number)),
            }
        }
        let systems = self.systems.iter().filter(|(_, it)| is_told(it));
        let countries = self.countries.iter().filter(|(_, it)| is_told(it));
        Measured {
            v4: Ranges::from_blocks(0, v4),
            v6: Ranges::from_blocks(0, v6),
            networks,
            systems: systems.map(|(key, it)| (*key, rtts(it))).collect(),
            countries: countries.map(|(key, it)| (*key, rtts(it))).collect(),
        }
    }

    fn named(&self, rtts: &[(RegionIdx, f32)]) -> RegionRtts {
        let name = |region: RegionIdx| self.regions[usize::from(region)].name.clone();
        rtts.iter().map(|(region, ms)| (name(*region), *ms)).collect()
    }
}

fn region_idx(regions: &[Region], name: &str) -> Option<RegionIdx> {
    let idx = regions.binary_search_by(|it| (*it.name).cmp(name)).ok()?;
    Some(RegionIdx::try_from(idx).expect("there are no more regions than that"))
}

/// A published value has few digits, so that many networks have the same and are looked at once.
/// It is off by less than any hysteresis that steadies anything.
fn rounded(ms: f32) -> f32 {
    if 10.0 <= ms { ms.round() } else { ((ms * 10.0).round() / 10.0).max(0.1) }
}

/// Lays what is published of an entry over what the wider levels say.
fn lay(wider: &mut [f32], entry: Option<&Entry>) {
    for (region, ms) in entry.into_iter().flat_map(|it| &it.published) {
        wider[usize::from(*region)] = *ms;
    }
}

/// Lets go of those with the least weight when a new one would be one too many; says whether any of
/// it was published.
fn make_room<K: Copy + Eq + Hash + Ord>(
    entries: &mut HashMap<K, Entry>,
    key: &K,
    len_max: usize,
    weight: impl Fn(&Entry) -> f32,
) -> bool {
    if entries.len() < len_max || entries.contains_key(key) {
        return false;
    }
    let mut least: Vec<(f32, K)> = entries.iter().map(|(key, it)| (weight(it), *key)).collect();
    // By the key where weights are equal, so that equal samples leave equal tables.
    least.sort_unstable_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
    let gone = least[..len_max.div_ceil(LATENCY_ROOM_DIVISOR)].iter();
    let gone = gone.filter_map(|(_, key)| entries.remove(key));
    gone.fold(false, |was_told, it| was_told | !it.published.is_empty())
}

/// Drops what is too old to matter; says whether any of it was published.
fn forget<K: Eq + Hash>(
    entries: &mut HashMap<K, Entry>,
    now: Instant,
    settings: &LatencySettings,
) -> bool {
    let mut was_told = false;
    entries.retain(|_, entry| {
        entry.tracks.retain(|(_, track)| LATENCY_WEIGHT_MIN <= track.weight(now, settings));
        let is_kept = !entry.tracks.is_empty();
        was_told |= !is_kept && !entry.published.is_empty();
        is_kept
    });
    was_told
}

/// What decides about publication, for all entries.
struct Press<'a> {
    regions: &'a [Region],
    now: Instant,
    settings: &'a LatencySettings,
}

/// A region as an entry sees it.
#[derive(Debug, Clone, Copy)]
struct Seen {
    region: RegionIdx,
    /// What clients are told, or would take it for; infinite if there is nothing to go by.
    before: f32,
    /// What is believed now.
    believed: f32,
    /// What it is to be told as, but for the order.
    told: f32,
}

impl Press<'_> {
    /// What a level has from the wider ones when there is none.
    fn nothing(&self) -> Vec<f32> {
        vec![f32::INFINITY; self.regions.len()]
    }

    /// The part of a value that is no difference.
    fn margin(&self) -> f32 {
        f32::from(self.settings.hysteresis_percent) / 100.0
    }

    fn is_near(&self, ms: f32, before: f32) -> bool {
        (ms - before).abs() <= self.margin() * before
    }

    /// Publishes an entry that has `wider` from the levels around it; says whether that changed it.
    fn publish(&self, entry: &mut Entry, wider: &[f32]) -> bool {
        let seen = (0..).take(self.regions.len());
        let seen = seen.filter_map(|region| self.see(entry, region, wider)).collect();
        let mut published = Vec::new();
        let mut last = 0.0_f32;
        for seen in self.in_order(seen) {
            last = if last < seen.told { seen.told } else { last * STEP };
            #[allow(clippy::float_cmp)] // It is the same value, or it is another.
            if last != wider[usize::from(seen.region)] {
                published.push((seen.region, last));
            }
        }
        published.sort_unstable_by_key(|(region, _)| *region);
        let is_new = published != entry.published;
        entry.published = published;
        is_new
    }

    /// A region as an entry sees it; none when nothing was measured.
    fn see(&self, entry: &Entry, region: RegionIdx, wider: &[f32]) -> Option<Seen> {
        let own = entry.published.iter().find(|(it, _)| *it == region).map(|(_, ms)| *ms);
        let wider = wider[usize::from(region)];
        #[allow(clippy::cast_precision_loss)] // A number of samples is small.
        let samples_min = self.settings.samples_min as f32;
        let enough = if own.is_some() { samples_min / 2.0 } else { samples_min };
        let track = entry.tracks.iter().find(|(it, _)| *it == region).map(|(_, track)| *track);
        let track = track.filter(|it| enough <= it.weight(self.now, self.settings));

        let before = own.unwrap_or(wider);
        let told = match track {
            None => wider,
            // Nothing is as near to infinity as infinity.
            Some(track) if before.is_finite() && self.is_near(track.ms, before) => before,
            Some(track) => rounded(track.ms),
        };
        if told.is_infinite() {
            return None;
        }
        let believed = track.map_or(told, |it| it.ms);
        let before = if before.is_finite() { before } else { self.expected(entry, region) };
        Some(Seen { region, before, believed, told })
    }

    /// What the distance lets expect.
    fn expected(&self, entry: &Entry, region: RegionIdx) -> f32 {
        let at = self.regions[usize::from(region)].at;
        let km = entry.place.at.zip(at).map(|(from, to)| from.distance_km(&to));
        km.map_or(f32::INFINITY, rtt_estimate_ms)
    }

    /// The regions, the best first: as they were, unless one is better by the margin than all that
    /// are left, whose first it would come after.
    fn in_order(&self, mut left: Vec<Seen>) -> Vec<Seen> {
        left.sort_by(|one, other| {
            let by_before = one.before.total_cmp(&other.before);
            by_before.then(one.believed.total_cmp(&other.believed))
        });
        let mut order = Vec::with_capacity(left.len());
        while let Some(first) = left.first() {
            let believed = |(_, seen): &(usize, &Seen)| seen.believed;
            let best = left.iter().enumerate();
            let best = best.min_by(|one, other| believed(one).total_cmp(&believed(other)));
            let (idx, best) = best.expect("one is left at least");
            let wins = best.believed * (1.0 + self.margin()) < first.believed;
            order.push(left.remove(if wins { idx } else { 0 }));
        }
        order
    }
}

#[cfg(test)]
mod tests;
