//! What is scraped, family by family.
//!
//! Not here: how a family is written (`sheet`).

use std::{
    collections::BTreeMap,
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    collector::Collector, encoding::DescriptorEncoder, encoding::text, registry::Registry,
};

use super::{
    Gauges, OTHERS, PROBE_SECONDS, ProbeMeter,
    sheet::{Histogram, Sheet},
};
use crate::{
    api::Api,
    counters::{TIMES_MICROS, TYPES, Totals},
    geo::Country,
    limits::{METRICS_POOLS_MAX, METRICS_ZONES_MAX},
    snapshot::{Snapshot, Steered},
    state::{RegionReport, RegionState},
    steer::{Footing, Outcome, Pool},
    tally::NameTally,
};

/// What one scrape tells.
#[derive(Debug)]
pub(super) struct Scrape {
    pub(super) api: Api,
    /// None: the control loop did not answer in time.
    pub(super) gauges: Option<Gauges>,
}

impl Scrape {
    /// All of it, in the text form of `OpenMetrics`.
    pub(super) fn into_openmetrics(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        text::encode(&mut text, &registry).expect("a String takes everything");
        text
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut sheet = Sheet(encoder);
        let (totals, snapshot) = (self.api.registry.totals(), self.api.snapshots.load_full());
        let named = Named::of(&self.api, &snapshot);
        questions(&mut sheet, &totals)?;
        drops(&mut sheet, &totals)?;
        named.tell_answers(&mut sheet)?;
        named.tell_pools(&mut sheet)?;
        footings(&mut sheet, &snapshot)?;
        server(&mut sheet, self, &snapshot)?;
        if let Some(gauges) = &self.gauges {
            control(&mut sheet, gauges)?;
            regions(&mut sheet, &gauges.status.regions)?;
            probes(&mut sheet, gauges)?;
        }
        Ok(())
    }
}

/// What came in, and what became of it.
fn questions(sheet: &mut Sheet<'_>, totals: &Totals) -> fmt::Result {
    const RCODES: [&str; 6] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];
    let transports = [("udp", totals.questions_udp), ("tcp", totals.questions_tcp)];
    sheet.counter(
        "evenkeel_questions",
        "Messages that came in",
        transports.map(|(transport, count)| ([("transport", transport)], count)),
    )?;
    let types: Vec<String> = TYPES.iter().map(ToString::to_string).collect();
    let types = types.iter().map(String::as_str).chain(["other"]).zip(totals.types);
    sheet.counter(
        "evenkeel_replies_by_type",
        "Replies by the type that was asked for",
        types.map(|(rtype, count)| ([("type", rtype)], count)),
    )?;
    let rcodes = RCODES.into_iter().zip(totals.rcodes).chain([("other", totals.rcodes_other)]);
    sheet.counter(
        "evenkeel_replies",
        "Replies by response code",
        rcodes.map(|(rcode, count)| ([("rcode", rcode)], count)),
    )?;
    sheet.count("evenkeel_replies_truncated", "Replies with TC set", totals.truncated)?;
    sheet.count(
        "evenkeel_ecs_questions",
        "Questions that named the network of a client",
        totals.subnets_sent,
    )?;
    sheet.count(
        "evenkeel_ecs_answers",
        "Answers of steered names that were decided by that network",
        totals.subnets_used,
    )?;
    let country = |it: &Option<Country>| it.map_or(String::new(), |it| it.as_str().to_owned());
    let countries = totals.countries.iter().map(|(it, count)| (country(it), *count));
    let countries: Vec<(String, u64)> = countries.collect();
    sheet.counter(
        "evenkeel_sampled_questions",
        "Questions for steered names by country, of one in 64; without a country: not known",
        countries.iter().map(|(country, count)| ([("country", country.as_str())], *count)),
    )?;
    answer_times(sheet, totals)
}

#[allow(clippy::cast_precision_loss)] // Of a sum that is an estimate.
fn answer_times(sheet: &mut Sheet<'_>, totals: &Totals) -> fmt::Result {
    let bounds = TIMES_MICROS.map(|it| it as f64 / 1e6);
    let lowers = [0.0].into_iter().chain(bounds);
    let uppers = bounds.into_iter().chain([bounds[bounds.len() - 1]]);
    let middles = lowers.zip(uppers).map(|(lower, upper)| f64::midpoint(lower, upper));
    // How long each took is not kept: the sum takes it to have been in the middle.
    let sum = middles.zip(totals.times).map(|(middle, count)| middle * count as f64).sum();
    sheet.histogram::<0>(
        "evenkeel_answer_duration_seconds",
        "From the arrival of a batch over UDP to its replies, of one batch in 64; the sum is estimated",
        [([], Histogram { bounds: &bounds, counts: &totals.times, sum })],
    )
}

/// What was not answered, or not to the end.
fn drops(sheet: &mut Sheet<'_>, totals: &Totals) -> fmt::Result {
    let causes = [
        ("short", totals.ignored_short),
        ("response", totals.ignored.saturating_sub(totals.ignored_short)),
        ("panic", totals.panics),
        ("send_failure", totals.send_failures),
        ("receive_failure", totals.receive_failures),
        ("connection_refused", totals.connections_refused),
        ("connection_cut", totals.connections_cut),
    ];
    sheet.counter(
        "evenkeel_drops",
        "What was met with silence, lost, or refused",
        causes.map(|(cause, count)| ([("cause", cause)], count)),
    )?;
    sheet.count(
        "evenkeel_connections",
        "Connections over TCP that were let in",
        totals.connections_accepted,
    )
}

/// Zones and steered names that are told one by one, and the sums of the others.
struct Named {
    zones: Vec<(String, u64)>,
    zones_others: u64,
    names: Vec<Line>,
    /// By region: answers of all other names.
    answers_others: BTreeMap<String, u64>,
    footings_others: [u64; FOOTINGS.len()],
}

/// A steered name.
struct Line {
    name: String,
    pools: Vec<PoolLine>,
    footings: [u64; FOOTINGS.len()],
}

struct PoolLine {
    pool: String,
    region: String,
    answers: u64,
    weight: u32,
    /// Of 1, what operators, ramps and verdicts leave of it.
    scale: f64,
    /// How far it has come back; none: it has no ramp.
    ramp: Option<f64>,
}

const FOOTINGS: [&str; 5] = ["healthy", "failed_open", "last_good", "fallback", "refused"];

impl Named {
    fn of(api: &Api, snapshot: &Snapshot) -> Self {
        let mut named = Self {
            zones: Vec::new(),
            zones_others: 0,
            names: Vec::new(),
            answers_others: BTreeMap::new(),
            footings_others: [0; FOOTINGS.len()],
        };
        let mut n_pools = 0;
        for (tally, served) in snapshot.tallies(&api.registry).zip(snapshot.zones().iter()) {
            if named.zones.len() < METRICS_ZONES_MAX {
                named.zones.push((tally.apex.to_string(), tally.questions));
            } else {
                named.zones_others += tally.questions;
            }
            for (name, steered) in tally.names.iter().zip(served.steered.iter()) {
                n_pools += name.pools.len();
                if n_pools <= METRICS_POOLS_MAX {
                    named.names.push(Line::of(name, steered));
                } else {
                    named.add_other(name, steered);
                }
            }
        }
        named
    }

    fn add_other(&mut self, name: &NameTally<'_>, steered: &Steered) {
        for (pool, answers) in steered.policy.pools.iter().zip(&name.pools) {
            let region = pool.region.as_deref().unwrap_or_default();
            match self.answers_others.get_mut(region) {
                Some(sum) => *sum += answers,
                None => drop(self.answers_others.insert(region.to_owned(), *answers)),
            }
        }
        let others = self.footings_others.iter_mut();
        others.zip(footing_counts(name)).for_each(|(sum, count)| *sum += count);
    }

    fn pools(&self) -> impl Iterator<Item = (&str, &PoolLine)> {
        self.names.iter().flat_map(|it| it.pools.iter().map(|pool| (&*it.name, pool)))
    }

    fn tell_answers(&self, sheet: &mut Sheet<'_>) -> fmt::Result {
        let zones = self.zones.iter().map(|(zone, count)| ([("zone", &**zone)], *count));
        let has_others = METRICS_ZONES_MAX <= self.zones.len();
        let others = has_others.then_some(([("zone", OTHERS)], self.zones_others));
        sheet.counter(
            "evenkeel_zone_questions",
            "Questions whose name is in the zone",
            zones.chain(others),
        )?;
        let pools = self.pools().map(|(name, it)| (labels(name, it), it.answers));
        let others = self.answers_others.iter().map(|(region, answers)| {
            ([("name", OTHERS), ("pool", OTHERS), ("region", &**region)], *answers)
        });
        sheet.counter(
            "evenkeel_answers",
            "Answers of a steered name by pool, whatever they rest on",
            pools.chain(others),
        )?;
        let names = self.names.iter().map(|it| (&*it.name, &it.footings));
        let others = (!self.answers_others.is_empty()).then_some((OTHERS, &self.footings_others));
        let series = names.chain(others).flat_map(|(name, counts)| {
            let counts = FOOTINGS.into_iter().zip(*counts);
            counts.map(move |(footing, count)| ([("name", name), ("footing", footing)], count))
        });
        sheet.counter(
            "evenkeel_answers_by_footing",
            "Answers of a steered name by what they rest on; refused: SERVFAIL",
            series,
        )
    }

    fn tell_pools(&self, sheet: &mut Sheet<'_>) -> fmt::Result {
        sheet.gauge(
            "evenkeel_pool_weight",
            "The weight of a pool as it is written",
            self.pools().map(|(name, it)| (labels(name, it), f64::from(it.weight))),
        )?;
        sheet.gauge(
            "evenkeel_pool_effective_weight",
            "The weight of a pool by verdicts, overrides, dial and ramp; 0: it is out",
            self.pools().map(|(name, it)| (labels(name, it), f64::from(it.weight) * it.scale)),
        )?;
        sheet.gauge(
            "evenkeel_pool_ramp_ratio",
            "How far a pool with a ramp has come back; 1: it has all of its weight",
            self.pools().filter_map(|(name, it)| Some((labels(name, it), it.ramp?))),
        )
    }
}

fn labels<'l>(name: &'l str, it: &'l PoolLine) -> [(&'static str, &'l str); 3] {
    [("name", name), ("pool", &it.pool), ("region", &it.region)]
}

fn footing_counts(it: &NameTally<'_>) -> [u64; FOOTINGS.len()] {
    [it.healthy(), it.failed_open, it.last_good, it.fallback, it.refused]
}

impl Line {
    fn of(name: &NameTally<'_>, steered: &Steered) -> Self {
        let pools = steered.policy.pools.iter().zip(&name.pools).enumerate();
        Self {
            name: name.owner.to_string(),
            pools: pools
                .map(|(idx, (pool, answers))| PoolLine::of(pool, *answers, idx, steered))
                .collect(),
            footings: footing_counts(name),
        }
    }
}

impl PoolLine {
    fn of(pool: &Pool, answers: u64, idx: usize, steered: &Steered) -> Self {
        let families = steered.families.iter().flat_map(|it| &it.conditions[idx]);
        let present = families.filter(|it| it.present);
        let (mut scale, mut ramp) = (0, 0);
        for it in present {
            ramp = ramp.max(it.ramp);
            if it.up {
                scale = scale.max(u32::from(it.dial) * u32::from(it.ramp));
            }
        }
        Self {
            pool: pool.name.to_string(),
            region: pool.region.as_deref().unwrap_or_default().to_owned(),
            answers,
            weight: pool.weight,
            scale: f64::from(scale) / 10_000.0,
            ramp: pool.ramp.as_ref().map(|_| f64::from(ramp) / 100.0),
        }
    }
}

/// How many names rest on what.
fn footings(sheet: &mut Sheet<'_>, snapshot: &Snapshot) -> fmt::Result {
    let mut counts = [0.0; FOOTINGS.len()];
    for steered in snapshot.zones().iter().flat_map(|it| it.steered.iter()) {
        counts[worst(steered)] += 1.0;
    }
    sheet.gauge(
        "evenkeel_names",
        "Steered names by the worst that answers for some of their clients rest on",
        FOOTINGS.into_iter().zip(counts).map(|(footing, count)| ([("footing", footing)], count)),
    )
}

/// The place among [`FOOTINGS`] of the worst that a name gives.
fn worst(steered: &Steered) -> usize {
    let decisions = steered.families.iter().flat_map(|it| it.outlook.decisions());
    let places = decisions.map(|it| match (&it.outcome, it.footing) {
        (Outcome::NoReachableAuthority | Outcome::NotReady, _) => (4, 4),
        (_, Footing::FailedOpen) => (3, 1),
        (_, Footing::LastGood) => (2, 2),
        (_, Footing::Fallback) => (1, 3),
        (_, Footing::Healthy) => (0, 0),
    });
    places.max().map_or(0, |(_, place)| place)
}

/// What is known without the control loop.
fn server(sheet: &mut Sheet<'_>, scrape: &Scrape, snapshot: &Snapshot) -> fmt::Result {
    sheet.gauge(
        "evenkeel_build_info",
        "The version, as a label",
        [([("version", env!("CARGO_PKG_VERSION"))], 1.0)],
    )?;
    sheet.value(
        "evenkeel_counting_since_timestamp_seconds",
        "When the counting began: of the process, or of the one whose place it took",
        seconds(scrape.api.since),
    )?;
    let is_ready = *scrape.api.ready.borrow();
    sheet.value("evenkeel_ready", "1: steered names are served", flag(is_ready))?;
    #[allow(clippy::cast_precision_loss)] // Beyond 2^53 snapshots.
    let generation = snapshot.generation as f64;
    sheet.value("evenkeel_snapshot_generation", "The number of the snapshot", generation)?;
    #[allow(clippy::cast_precision_loss)] // As many zones as fit into memory.
    let n_zones = snapshot.zones().len() as f64;
    sheet.value("evenkeel_zones", "Zones that are served", n_zones)?;
    sheet.value(
        "evenkeel_control_up",
        "1: the control loop answered; 0: what it alone knows is missing",
        flag(scrape.gauges.is_some()),
    )
}

/// What the control loop says of itself.
#[allow(clippy::cast_precision_loss)] // As many as fit into memory.
fn control(sheet: &mut Sheet<'_>, gauges: &Gauges) -> fmt::Result {
    sheet.value(
        "evenkeel_process_start_time_seconds",
        "When the process began",
        seconds(gauges.began),
    )?;
    sheet.value(
        "evenkeel_snapshot_timestamp_seconds",
        "When the snapshot was published",
        seconds(gauges.published_at),
    )?;
    sheet.value(
        "evenkeel_blind",
        "1: the prober takes itself to be cut off, and verdicts stay as they are",
        flag(gauges.status.blind),
    )?;
    sheet.counter(
        "evenkeel_reloads",
        "Times that changed files were read",
        ["followed", "refused"]
            .into_iter()
            .zip(gauges.reloads)
            .map(|(it, n)| ([("result", it)], n)),
    )?;
    sheet.value(
        "evenkeel_reload_successful",
        "1: the files on the disk are what is served, as far as they were read",
        flag(gauges.reloaded),
    )?;
    sheet.gauge::<0>(
        "evenkeel_reload_timestamp_seconds",
        "When changed files were read last",
        gauges.reloaded_at.map(|it| ([], seconds(it))),
    )?;
    sheet.value("evenkeel_overrides", "Overrides that hold", gauges.overrides as f64)?;
    sheet.count("evenkeel_events", "Events that were taken down", gauges.events)?;
    sheet.count(
        "evenkeel_webhook_events_lost",
        "Events that a webhook was to be told of and was not",
        gauges.untold,
    )?;
    let series = gauges.verdicts.iter().flat_map(|(region, counts)| {
        let counts = ["up", "down", "unknown"].into_iter().zip(counts);
        counts.map(|(it, n)| ([("region", &**region), ("verdict", it)], *n as f64))
    });
    sheet.gauge(
        "evenkeel_endpoints",
        "Endpoints by what their checks say; without a region: of pools that are in none",
        series,
    )
}

/// What is known of regions.
#[allow(clippy::cast_precision_loss)] // As many as fit into memory.
fn regions(sheet: &mut Sheet<'_>, regions: &[RegionReport]) -> fmt::Result {
    const STATES: [(&str, RegionState); 4] = [
        ("up", RegionState::Up),
        ("down", RegionState::Down),
        ("mixed", RegionState::Mixed),
        ("drain", RegionState::Drain),
    ];
    let states = regions.iter().flat_map(|it| {
        let of = |(word, state): (&'static str, RegionState)| {
            ([("region", &*it.name), ("state", word)], flag(it.state == state))
        };
        STATES.map(of)
    });
    sheet.gauge("evenkeel_region_state", "1 for what a region is, 0 for what it is not", states)?;
    let mut each = |name: &str, help: &str, of: &dyn Fn(&RegionReport) -> Option<f64>| {
        sheet.gauge(
            name,
            help,
            regions.iter().filter_map(|it| Some(([("region", &*it.name)], of(it)?))),
        )
    };
    each("evenkeel_region_dial_ratio", "The share of its normal traffic that it may get", &|it| {
        Some(f64::from(it.dial) / 100.0)
    })?;
    each("evenkeel_region_capacity", "What it can take now, in the operator's unit", &|it| {
        it.capacity
    })?;
    each("evenkeel_region_load", "What it is given, computed from demand, in that unit", &|it| {
        it.load
    })?;
    each("evenkeel_region_overloaded", "1: it is given more than it can take", &|it| {
        Some(flag(it.capacity?.mul_add(1.0 + 1e-9, 1e-9) < it.load?))
    })?;
    each(
        "evenkeel_region_utilization_ratio",
        "How much of what they can take its endpoints report to be given",
        &|it| it.utilization,
    )?;
    each("evenkeel_region_pools_returning", "Pools that come back by a ramp", &|it| {
        Some(it.returning as f64)
    })?;
    each(
        "evenkeel_region_endpoints_over_budget",
        "Endpoints that are down and stay in, because enough of their names is out",
        &|it| Some(it.over_budget as f64),
    )
}

/// What probes came to.
fn probes(sheet: &mut Sheet<'_>, gauges: &Gauges) -> fmt::Result {
    let series = gauges.checks.iter().flat_map(|(check, meter)| {
        let counts = ["good", "timeout", "failed"].into_iter().zip(meter.outcomes);
        counts.map(|(it, count)| ([("check", &**check), ("outcome", it)], count))
    });
    sheet.counter("evenkeel_probes", "Executions of a check by what they came to", series)?;
    let series = gauges.checks.iter().map(|(check, it)| {
        let ProbeMeter { times, seconds, .. } = it;
        let histogram = Histogram { bounds: &PROBE_SECONDS, counts: times, sum: *seconds };
        ([("check", &**check)], histogram)
    });
    sheet.histogram(
        "evenkeel_probe_duration_seconds",
        "How long executions of a check took",
        series,
    )
}

fn flag(it: bool) -> f64 {
    f64::from(u8::from(it))
}

/// Since 1970.
fn seconds(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
