//! What the view knows of a server: what it asks, how often, and what it keeps of the answers.
//!
//! Not here: what is called how (`api`), and what is shown where (`view`).

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use reqwest::Method;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    api::body::{Event, Events, Status},
    cli::{
        client::{Refused, Server},
        overrides::Said,
    },
    limits::WATCHED_NAMES_MAX,
};

/// How old what is told of names and endpoints may be when no event says that it changed.
const DETAILS_AGE_MAX: Duration = Duration::from_secs(10);
/// Events that are shown at most.
const EVENTS: &str = "100";

/// What is known.
pub(super) struct Known {
    pub(super) status: Status,
    /// The oldest first.
    pub(super) events: Vec<Event>,
    pub(super) details: Details,
}

/// What takes longer to ask for.
#[derive(Clone, Default)]
pub(super) struct Details {
    pub(super) said: Said,
    /// What is out, what is wrong, and then the others, at most `WATCHED_NAMES_MAX`.
    pub(super) names: Vec<NameLine>,
    /// How many names there are.
    pub(super) n_names: usize,
    /// Endpoints that are not simply up.
    pub(super) out: Vec<Out>,
}

/// A steered name.
#[derive(Clone, Default)]
pub(super) struct NameLine {
    pub(super) name: String,
    pub(super) n_in: usize,
    pub(super) n_endpoints: usize,
    /// Pools, and the share of clients that each gets.
    pub(super) shares: Vec<(String, f64)>,
    /// What answers rest on, where it is not what is up.
    pub(super) footing: Option<String>,
}

/// An endpoint that is not simply up.
#[derive(Clone)]
pub(super) struct Out {
    /// `down`, `drain`, and so on.
    pub(super) state: String,
    pub(super) what: String,
    pub(super) why: String,
}

#[derive(Deserialize)]
struct Endpoints {
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    name: String,
    pool: String,
    address: String,
    verdict: String,
    shaky: bool,
    #[serde(rename = "override")]
    said: Option<Word>,
    over_budget: bool,
    ramp: Option<Ramp>,
    checks: Vec<Check>,
}

#[derive(Deserialize)]
struct Word {
    state: String,
    reason: String,
}

#[derive(Deserialize)]
struct Ramp {
    percent: u8,
}

#[derive(Deserialize)]
struct Check {
    check: String,
    outcome: Option<String>,
}

#[derive(Deserialize)]
struct Zones {
    zones: Vec<ZoneLine>,
}

#[derive(Deserialize)]
struct ZoneLine {
    zone: String,
}

#[derive(Deserialize)]
struct Zone {
    steered_names: Vec<SteeredName>,
}

#[derive(Deserialize)]
struct SteeredName {
    name: String,
    families: Vec<Family>,
    pools: Vec<Pool>,
}

#[derive(Deserialize)]
struct Family {
    footings: Vec<String>,
}

#[derive(Deserialize)]
struct Pool {
    pool: String,
    shares: Vec<Share>,
}

#[derive(Deserialize)]
struct Share {
    share: f64,
}

/// Asks, and remembers what need not be asked each time.
#[derive(Default)]
pub(super) struct Asker {
    latest: Option<(u64, Instant, Details)>,
}

impl Asker {
    /// Asks how the server is, and what follows from what happened there.
    pub(super) fn ask(&mut self, server: &Server, now: Instant) -> Result<Known, Refused> {
        let status = get(server, "status", &[])?;
        let Events { events } = get(server, "events", &[("limit", EVENTS)])?;
        let last = events.last().map_or(0, |it| it.id);
        let is_new = |(seen, at, _): &(u64, Instant, Details)| {
            *seen == last && now.duration_since(*at) < DETAILS_AGE_MAX
        };
        let details = match self.latest.take().filter(is_new) {
            Some((_, at, details)) => (last, at, details),
            None => (last, now, Details::ask(server)?),
        };
        Ok(Known { status, events, details: self.latest.insert(details).2.clone() })
    }
}

impl Details {
    fn ask(server: &Server) -> Result<Self, Refused> {
        let said = get(server, "overrides", &[])?;
        let Endpoints { endpoints } = get(server, "endpoints", &[])?;
        let out = endpoints.iter().filter_map(Endpoint::out).collect();
        let mut names = gather(&endpoints);
        let n_names = names.len();
        names.sort_by_key(|it| Reverse(it.n_endpoints - it.n_in));
        names.truncate(WATCHED_NAMES_MAX);
        let Zones { zones } = get(server, "zones", &[])?;
        let zones: BTreeSet<String> = zones.into_iter().map(|it| it.zone).collect();
        let wanted: BTreeSet<&str> =
            names.iter().filter_map(|it| zone_of(&zones, &it.name)).collect();
        let mut steered = HashMap::new();
        for zone in wanted {
            let Zone { steered_names } = get(server, &format!("zones/{zone}"), &[])?;
            steered.extend(steered_names.into_iter().map(|it| (it.name.clone(), it)));
        }
        for name in &mut names {
            if let Some(known) = steered.get(&name.name) {
                name.learn(known);
            }
        }
        Ok(Self { said, names, n_names, out })
    }
}

impl NameLine {
    /// Takes in what its zone says of it, for the first family.
    fn learn(&mut self, known: &SteeredName) {
        let share = |it: &Pool| Some((it.pool.clone(), it.shares.first()?.share));
        self.shares = known.pools.iter().filter_map(share).collect();
        let footings = known.families.first().map_or(&[][..], |it| &it.footings);
        self.footing = footings.iter().find(|it| *it != "healthy").cloned();
    }
}

impl Endpoint {
    fn is_in(&self) -> bool {
        match &self.said {
            Some(word) => word.state == "up",
            None => self.verdict == "up",
        }
    }

    /// What is to be said of it, if it is not simply up.
    fn out(&self) -> Option<Out> {
        let (state, why) = match (&self.said, &self.ramp) {
            (Some(word), _) => (word.state.clone(), format!("says an operator: {}", word.reason)),
            (None, _) if self.over_budget => ("stays in".to_owned(), self.failed()),
            (None, _) if self.verdict != "up" => (self.verdict.clone(), self.failed()),
            (None, _) if self.shaky => ("shaky".to_owned(), self.failed()),
            (None, Some(ramp)) => ("returns".to_owned(), format!("at {} %", ramp.percent)),
            (None, None) => return None,
        };
        let Self { name, pool, address, .. } = self;
        Some(Out { state, what: format!("{name}/{pool}/{address}"), why })
    }

    /// What its checks last came to, where that is not good.
    fn failed(&self) -> String {
        let bad = |it: &Check| {
            let outcome = it.outcome.as_deref().unwrap_or("not probed yet");
            (outcome != "good").then(|| format!("{}: {outcome}", it.check))
        };
        self.checks.iter().filter_map(bad).collect::<Vec<_>>().join(", ")
    }
}

/// Names with the number of their endpoints, in the order of the files.
fn gather(endpoints: &[Endpoint]) -> Vec<NameLine> {
    let mut names: Vec<NameLine> = Vec::new();
    for it in endpoints {
        if names.last().is_none_or(|last| last.name != it.name) {
            names.push(NameLine { name: it.name.clone(), ..NameLine::default() });
        }
        let last = names.last_mut().expect("one was pushed");
        last.n_endpoints += 1;
        last.n_in += usize::from(it.is_in());
    }
    names
}

/// The zone that a name is in: the nearest above it, or itself.
fn zone_of<'z>(zones: &'z BTreeSet<String>, name: &str) -> Option<&'z str> {
    let mut rest = name;
    loop {
        if let Some(zone) = zones.get(rest) {
            return Some(zone);
        }
        rest = rest.split_once('.')?.1;
    }
}

fn get<T: DeserializeOwned>(
    server: &Server,
    path: &str,
    parameters: &[(&str, &str)],
) -> Result<T, Refused> {
    let body = server.call(Method::GET, &format!("/api/v1/{path}"), parameters)?;
    serde_json::from_str(&body)
        .map_err(|error| Refused::No(format!("the server's answer cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_zone_is_the_one() {
        let zones = ["example.com.", "eu.example.com."].map(str::to_owned).into();
        assert_eq!(zone_of(&zones, "www.example.com."), Some("example.com."));
        assert_eq!(zone_of(&zones, "www.eu.example.com."), Some("eu.example.com."));
        assert_eq!(zone_of(&zones, "eu.example.com."), Some("eu.example.com."));
        assert_eq!(zone_of(&zones, "www.example.org."), None);
    }

    #[test]
    fn what_is_said_of_endpoints() {
        let endpoint = |more: &str| {
            let text = format!(
                r#"{{"name": "www.example.", "pool": "a", "address": "192.0.2.1", "verdict": "up",
                "shaky": false, "override": null, "over_budget": false, "ramp": null,
                "checks": [{{"check": "web", "outcome": "timed out"}}]{more}}}"#
            );
            // The latest of two values of a key counts.
            serde_json::from_value::<Endpoint>(serde_json::from_str(&text).unwrap()).unwrap()
        };
        let told = |more: &str| endpoint(more).out().map(|it| format!("{}: {}", it.state, it.why));
        assert_eq!(told(""), None);
        assert_eq!(told(r#", "verdict": "down""#).unwrap(), "down: web: timed out");
        assert_eq!(told(r#", "shaky": true"#).unwrap(), "shaky: web: timed out");
        assert_eq!(told(r#", "ramp": {"percent": 25}"#).unwrap(), "returns: at 25 %");
        let drain = r#", "verdict": "down", "override": {"state": "drain", "reason": "disks"}"#;
        assert_eq!(told(drain).unwrap(), "drain: says an operator: disks");
        assert!(!endpoint(drain).is_in() && endpoint("").is_in());
    }
}
