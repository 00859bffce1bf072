//! The stages of one explanation: what went in, what remained, and why in one sentence each.

use std::{net::IpAddr, slice};

use super::{Answer, Candidate, Explanation, Nested, Stage, Told, possible, text};
use crate::{
    geo::{Place, Prefix, Unwrapped, unwrapped},
    snapshot::Snapshot,
    steer::{
        self, AllDown, By, Condition, Footing, Level, LevelKind, Outcome, Overflow, Pool, PoolSet,
        Slack, Target, Way,
    },
    wire::Family,
};

impl Told<'_> {
    /// All eight, in their order.
    pub(super) fn stages(&self, client: IpAddr, place_len: u8, snapshot: &Snapshot) -> Vec<Stage> {
        let all = PoolSet::where_(self.steered.policy.pools.len(), |_| true);
        let stages = &self.stages;
        let passed = stages.tier.or(&stages.trickle);
        let sent_on = self.sent_on();
        let near = stages.near.or(&sent_on).or(&stages.trickle);
        let spilled = self.spilled(&near);
        let stage = |stage, given: &PoolSet, left: &PoolSet, why| Stage {
            stage,
            given: self.names(given),
            left: self.names(left),
            why,
        };
        let picked: Vec<String> = possible(self.candidates).map(|it| it.pool.to_string()).collect();
        let candidates = self.candidates.iter().map(|it| it.pool.to_string()).collect();
        vec![
            self.place(client, place_len),
            stage("match", &all, &stages.matched, self.why_match()),
            stage("available", &stages.matched, &stages.available, self.why_available()),
            stage("tier", &stages.available, &passed, self.why_tier()),
            stage("near", &passed, &near, self.why_near(snapshot)),
            stage("spill", &near, &spilled, self.why_spill()),
            Stage {
                stage: "pick",
                given: self.names(&spilled),
                left: if self.is_sticky() { picked.clone() } else { candidates },
                why: self.why_pick(&spilled),
            },
            Stage {
                stage: "answer",
                given: picked,
                left: self.endpoints(),
                why: self.why_answer(),
            },
        ]
    }

    pub(super) fn pools(&self) -> &[Pool] {
        &self.steered.policy.pools
    }

    fn names(&self, pools: &PoolSet) -> Vec<String> {
        pools.iter().map(|pool| self.pools()[pool].name.to_string()).collect()
    }

    fn list(&self, pools: &PoolSet) -> String {
        text::and(&self.names(pools))
    }

    fn is_sticky(&self) -> bool {
        matches!(&self.decision.outcome, Outcome::Draw(candidates) if candidates.sticky)
    }

    fn endpoints(&self) -> Vec<String> {
        let endpoints = possible(self.candidates).flat_map(|it| &it.endpoints);
        endpoints.map(|it| it.target.clone()).collect()
    }

    fn place(&self, client: IpAddr, place_len: u8) -> Stage {
        let address = self.seat.address;
        let known = text::place(self.place);
        let whose = match (self.seat.is_subnet, address == client) {
            (true, _) => "the network that the client named",
            (false, true) => "the client's address",
            (false, false) => "the address that the question came from",
        };
        let why = if *self.place == Place::NOWHERE {
            format!("nothing is known of {address}, {whose}")
        } else {
            let prefix = Prefix::around(address, place_len);
            format!("{address}, {whose}, is in {prefix}, which is {known}")
        };
        Stage {
            stage: "place",
            given: vec![address.to_string()],
            left: text::words(self.place),
            why,
        }
    }

    fn why_match(&self) -> String {
        if self.decision.outcome == Outcome::NoData {
            let family = self.now.family.rtype();
            return format!("no pool that this client may be sent to has {family}");
        }
        let Some(level) = self.stages.level else {
            return "no pool serves this client".to_owned();
        };
        let passed: Vec<String> = self
            .class
            .levels
            .iter()
            .take_while(|it| **it != level)
            .map(|it| format!("{} ({})", self.level(it), self.list(&it.pools)))
            .collect();
        let is_served = !self.stages.available.is_empty();
        let mut why = match (is_served, passed.is_empty()) {
            (true, true) => {
                format!("{} is the most specific level that a pool serves", self.level(&level))
            }
            (true, false) => format!(
                "nothing is available for {}, so the next wider level counts: {}",
                text::and(&passed),
                self.level(&level)
            ),
            (false, _) => format!("{} is the last level that may be tried", self.level(&level)),
        };
        if level.fence {
            why.push_str(", and its fence keeps the client here");
        }
        why
    }

    /// A level as an operator writes it.
    fn level(&self, level: &Level) -> String {
        let Place { country, subdivision, continent, asn, .. } = self.place;
        let known = match level.kind {
            LevelKind::Prefix(lacks) => {
                let address = match unwrapped(self.seat.address) {
                    Unwrapped::V4 { address, .. } => IpAddr::from(address.to_be_bytes()),
                    Unwrapped::V6(address) => IpAddr::from(address.to_be_bytes()),
                };
                Some(Prefix::around(address, 128 - lacks).to_string())
            }
            LevelKind::Asn => asn.map(|asn| format!("AS{asn}")),
            LevelKind::Subdivision => subdivision.map(|it| it.as_str().to_owned()),
            LevelKind::Country => country.map(|it| it.as_str().to_owned()),
            LevelKind::Continent => continent.map(|it| it.as_str().to_owned()),
            LevelKind::Any => Some("*".to_owned()),
        };
        format!("`{}`", known.unwrap_or_default())
    }

    fn why_available(&self) -> String {
        let lost = self.stages.matched.filter(|it| !self.stages.available.contains(it));
        if self.stages.matched.is_empty() {
            return "there is none to look at".to_owned();
        }
        let reasons: Vec<String> = lost
            .iter()
            .map(|idx| {
                let pool = &self.pools()[idx];
                format!("{} {}", pool.name, self.unavailable(pool, &self.now.conditions[idx]))
            })
            .collect();
        let mut why = if reasons.is_empty() { "all are".to_owned() } else { reasons.join("; ") };
        let kept = self.over_budget(&self.stages.available);
        if !kept.is_empty() {
            let percent = self.steered.policy.eject_max_percent.unwrap_or(100);
            let (is, stays) = if kept.len() == 1 { ("is", "stays") } else { ("are", "stay") };
            let kept = text::and(&kept);
            why = format!("{why}; {kept} {is} down and {stays} in: `eject_max` is {percent}%");
        }
        why
    }

    /// Endpoints of the family in these pools that are down and stay in.
    fn over_budget(&self, pools: &PoolSet) -> Vec<String> {
        let pools = pools.iter().map(|idx| (&self.pools()[idx], &self.now.conditions[idx]));
        let endpoints = pools.flat_map(|(pool, conditions)| pool.endpoints.iter().zip(conditions));
        let kept = endpoints
            .filter(|(it, condition)| condition.over_budget && self.is_of_family(&it.target));
        kept.map(|(it, _)| it.target.to_string()).collect()
    }

    fn is_of_family(&self, target: &Target) -> bool {
        match target {
            Target::Address(address) => address.is_ipv4() == (self.now.family == Family::V4),
            Target::Name(_) | Target::Alias(_) => true,
        }
    }

    /// Why a pool cannot be answered from.
    fn unavailable(&self, pool: &Pool, conditions: &[Condition]) -> String {
        let pairs = || pool.endpoints.iter().zip(conditions);
        let family = self.now.family;
        let mut of_family =
            pairs().filter(|(it, condition)| self.is_of_family(&it.target) && condition.present);
        let Some((first, _)) = of_family.clone().next() else {
            return format!("has no {}", family.rtype());
        };
        if of_family.clone().all(|(_, condition)| condition.is_withdrawn()) {
            return "is withdrawn by an override or its region's dial".to_owned();
        }
        if !of_family.any(|(_, condition)| condition.up && !condition.is_withdrawn()) {
            return match &first.target {
                Target::Alias(name) => format!("is {name}, which has nothing that is up"),
                _ if pool.endpoints.len() == 1 => format!("is down: {} is", first.target),
                _ if pairs().any(|(_, it)| it.up) => {
                    format!("has no {} endpoint that is up", family.rtype())
                }
                _ => format!("is down: all {} endpoints are", pool.endpoints.len()),
            };
        }
        let weight = |only_up: bool| -> u64 {
            let is_up = |it: &Condition| it.up && !it.is_withdrawn();
            let counted = pairs().filter(|(_, it)| is_up(it) || !only_up && !it.up);
            counted.map(|(it, _)| u64::from(it.weight)).sum()
        };
        let min_up = self.steered.policy.min_up_percent.unwrap_or(0);
        let percent = weight(true) * 100 / weight(false).max(1);
        format!("is down: {percent} % of its endpoint weight is up, `min_up` is {min_up}%")
    }

    fn why_tier(&self) -> String {
        let stages = &self.stages;
        if stages.available.is_empty() {
            return "there is none left".to_owned();
        }
        let pools = self.pools();
        let tier = stages.tier.iter().map(|pool| pools[pool].tier).min().unwrap_or(1);
        let rest = stages.available.filter(|it| !stages.tier.contains(it));
        let last_resort = rest.filter(|it| pools[it].tier == tier);
        let goes_on = stages.trickle.or(&self.sent_on());
        let waiting = rest.filter(|it| pools[it].tier != tier && !goes_on.contains(it));
        let mut reasons = vec![format!("tier {tier} is the lowest with a pool left")];
        if !last_resort.is_empty() {
            reasons.push(format!(
                "{} {} weight 0, a last resort",
                self.list(&last_resort),
                if last_resort.len() == 1 { "has" } else { "have" }
            ));
        }
        for pool in stages.trickle.iter().map(|pool| &pools[pool]) {
            let share = text::hundredths(u64::from(pool.trickle));
            let trickle =
                format!("{} of tier {} keeps its trickle of {share}", pool.name, pool.tier);
            reasons.push(trickle);
        }
        if !waiting.is_empty() {
            let waits = if waiting.len() == 1 { "waits" } else { "wait" };
            reasons.push(format!("{} {waits} in later tiers", self.list(&waiting)));
        }
        reasons.join("; ")
    }

    /// Pools that get clients because others may not have them all.
    fn sent_on(&self) -> PoolSet {
        self.overflow.filter(|_| self.is_chosen()).map_or(PoolSet::default(), |it| it.to)
    }

    /// Whether the stages left something, so that `all_down` did not decide.
    fn is_chosen(&self) -> bool {
        !self.stages.near.is_empty()
    }

    /// Who goes on to the next choice because of dials and ramps.
    fn why_overflow(&self) -> Option<String> {
        let Overflow { from, kept, to, is_short } = self.overflow?;
        let (keep, its) = if from.len() == 1 { ("keeps", "its") } else { ("keep", "their") };
        let short = if is_short {
            ", relative to the largest share, as nobody may have all that comes"
        } else {
            ""
        };
        let (from, kept, to) = (self.list(&from), text::hundredths(kept), self.list(&to));
        Some(format!("{from} {keep} {kept} of {its} clients; the rest goes on to {to}{short}"))
    }

    fn why_near(&self, snapshot: &Snapshot) -> String {
        let why = self.why_nearest(snapshot);
        let overflow = self.why_overflow().filter(|_| self.is_chosen());
        [why].into_iter().chain(overflow).collect::<Vec<_>>().join("; ")
    }

    fn why_nearest(&self, snapshot: &Snapshot) -> String {
        let policy = &self.steered.policy;
        if policy.by == By::Weight {
            return "by weight: where clients are does not count".to_owned();
        }
        if self.stages.tier.is_empty() {
            return "there is none left".to_owned();
        }
        if self.class.near.is_none() {
            return "nothing is known of how near the pools are: passes everything on".to_owned();
        }
        let network = snapshot.measured.network(self.seat.address);
        let ways: Vec<String> = self
            .stages
            .tier
            .iter()
            .map(|idx| {
                let pool = &self.pools()[idx];
                let rtt = |region: &str| snapshot.measured.rtt_ms(network, self.place, region);
                let way = Way::to(pool, policy.by, self.place, rtt);
                let way = match way {
                    None => "at an unknown distance".to_owned(),
                    Some(Way::Distance(km)) => format!("{km:.0} km"),
                    Some(Way::Measured(ms)) => format!("{ms:.1} ms (measured)"),
                    Some(Way::Estimated(ms)) => format!("{ms:.1} ms (estimated from distance)"),
                };
                format!("{} {way}", pool.name)
            })
            .collect();
        let slack = match (policy.slack, policy.by) {
            (Slack::Absolute(0) | Slack::Percent(0), _) => "no slack".to_owned(),
            (Slack::Percent(percent), _) => format!("a slack of {percent} %"),
            (Slack::Absolute(it), By::Distance) => format!("a slack of {} km", f64::from(it) / 1e3),
            (Slack::Absolute(it), _) => format!("a slack of {} ms", f64::from(it) / 1e3),
        };
        format!("the nearest, with {slack}: {}", ways.join(", "))
    }

    fn why_pick(&self, near: &PoolSet) -> String {
        if let Outcome::Draw(_) = self.decision.outcome {
            let names: Vec<String> = self
                .candidates
                .iter()
                .map(|it| format!("{} {}", it.pool, text::percent(it.probability)))
                .collect();
            let how = if self.is_sticky() {
                let network = Prefix::around(self.seat.address, self.seat.sticky_len);
                let picked = possible(self.candidates).map(|it| it.pool.to_string());
                let picked = text::and(&picked.collect::<Vec<_>>());
                format!("sticky: the network {network} has {picked} by weighted hashing")
            } else {
                format!("by effective weight: {}", names.join(", "))
            };
            let scaled = self.scaled(near);
            let overflow = self.why_overflow().filter(|_| !self.is_chosen());
            let how =
                [how].into_iter().chain(overflow).chain(scaled).collect::<Vec<_>>().join("; ");
            return match self.all_down() {
                Some(why) => format!("nothing is left: {why}; {how}"),
                None => how,
            };
        }
        match self.decision.outcome {
            Outcome::NotReady => {
                let waiting = "the first probes are not over: nothing is answered yet";
                waiting.to_owned()
            }
            Outcome::NoData => format!("no pool has {}", self.now.family.rtype()),
            _ if near.is_empty() => {
                format!("nothing is left: {}", self.all_down().unwrap_or_default())
            }
            _ => "nothing may be answered".to_owned(),
        }
    }

    /// Pools that have less than their weight, and why.
    fn scaled<'t>(&'t self, pools: &PoolSet) -> impl Iterator<Item = String> + 't {
        let pools = *pools;
        (0..self.pools().len()).filter(move |idx| pools.contains(*idx)).filter_map(|idx| {
            let pool = &self.pools()[idx];
            let condition = self.now.conditions[idx].iter().max_by_key(|it| it.share())?;
            let dial = format!("its region's dial is at {} %", condition.dial);
            let ramp = || {
                let steps = pool.ramp.as_ref().map_or(0, |it| it.steps.len());
                let step = pool.ramp.as_ref().map_or(0, |it| it.step(condition.ramp));
                format!("it comes back, by step {step} of {steps} ({} %)", condition.ramp)
            };
            let why = match (condition.dial, condition.ramp) {
                (100, 100) => return None,
                (100, _) => ramp(),
                (_, 100) => dial,
                _ => format!("{dial}, and {}", ramp()),
            };
            let share = text::hundredths(condition.share());
            Some(format!("{} has {share} of its weight: {why}", pool.name))
        })
    }

    /// What `all_down` says, where it decided.
    fn all_down(&self) -> Option<String> {
        let policy = &self.steered.policy;
        match (self.decision.footing, &self.decision.outcome) {
            (Footing::Healthy, Outcome::NoReachableAuthority) => Some(match policy.all_down {
                AllDown::Pool(_) => {
                    "the pool that `all_down` names is outside of the fence".to_owned()
                }
                _ => "`all_down: refuse`".to_owned(),
            }),
            (Footing::Healthy, _) => None,
            (Footing::FailedOpen, _) if policy.all_down == AllDown::LastGood => Some(
                "`all_down: last_good`, but nothing was ever good, so all count as up".to_owned(),
            ),
            (Footing::FailedOpen, _) => Some("`all_down: serve_all`: all count as up".to_owned()),
            (Footing::LastGood, _) => {
                Some("`all_down: last_good`: what was answered while something was up".to_owned())
            }
            (Footing::Fallback, _) => {
                let AllDown::Pool(idx) = policy.all_down else { return None };
                let pool = self.pools().get(usize::from(idx))?;
                Some(format!("`all_down` names {}, whatever its verdict", pool.name))
            }
        }
    }

    fn why_answer(&self) -> String {
        match &self.decision.outcome {
            Outcome::NoData | Outcome::NoDataFor(_) => {
                return "NOERROR without records, and the zone's SOA".to_owned();
            }
            Outcome::NoReachableAuthority => {
                return "SERVFAIL with EDE 22 (No Reachable Authority)".to_owned();
            }
            Outcome::NotReady => return "SERVFAIL with EDE 14 (Not Ready)".to_owned(),
            Outcome::Draw(_) => {}
        }
        let aliases: Vec<String> = possible(self.candidates).filter_map(nested_text).collect();
        if !aliases.is_empty() {
            return aliases.join("; ");
        }
        let Outcome::Draw(drawn) = &self.decision.outcome else { return String::new() };
        let is_possible = |it: &&steer::Candidate| {
            let pool = self.pools().get(usize::from(it.pool));
            pool.is_some_and(|pool| possible(self.candidates).any(|it| it.pool == pool.name))
        };
        let possible_pools = drawn.pools.iter().filter(is_possible);
        let most = possible_pools.map(|it| it.members.len()).max().unwrap_or(0);
        let order = if drawn.sticky { "by the client's network" } else { "in random order" };
        let mut why = match (self.now.family, most <= usize::from(drawn.answers)) {
            (Family::Name, _) => "one name, drawn by weight".to_owned(),
            (_, true) if most == 1 => "the one endpoint of the pool".to_owned(),
            (_, true) => format!("all of the pool, drawn by weight, {order}"),
            (_, false) => format!("{} of the pool, drawn by weight, {order}", drawn.answers),
        };
        if self.decision.footing == Footing::Healthy {
            let down: Vec<String> = self.down_endpoints().collect();
            if !down.is_empty() {
                let is = if down.len() == 1 { "is" } else { "are" };
                why = format!("{why}; {} {is} down", text::and(&down));
            }
        }
        why
    }

    /// Endpoints of the candidates that are down.
    fn down_endpoints(&self) -> impl Iterator<Item = String> {
        let pools = self.pools().iter().zip(&*self.now.conditions);
        let is_candidate = |pool: &Pool| possible(self.candidates).any(|it| it.pool == pool.name);
        let pools = pools.filter(move |(pool, _)| is_candidate(pool));
        let endpoints = pools.flat_map(|(pool, conditions)| pool.endpoints.iter().zip(conditions));
        endpoints
            .filter(move |(it, condition)| {
                (!condition.up || condition.is_withdrawn()) && self.is_of_family(&it.target)
            })
            .map(|(it, _)| it.target.to_string())
    }

    /// The least and the most seconds that an answer may be kept, and why.
    pub(super) fn ttl(&self) -> (u32, u32, String) {
        let policy = &self.steered.policy;
        match self.decision.outcome {
            Outcome::Draw(_) => {}
            // What the zone says of what is not there may be less, and then counts.
            Outcome::NoData => return (u32::MAX, u32::MAX, String::new()),
            Outcome::NoDataFor(ttl) => {
                let why = "ttl_min: nothing is up, so the answer changes any moment";
                return (ttl, ttl, why.to_owned());
            }
            Outcome::NoReachableAuthority | Outcome::NotReady => {
                return (0, 0, "a failure is not to be kept".to_owned());
            }
        }
        let members = possible(self.candidates).flat_map(|it| &it.endpoints);
        let own = members.clone().map(|it| it.ttl).min().unwrap_or(0);
        let of = |it: &Candidate, most: bool| {
            let ttls = it.endpoints.iter().map(|it| it.ttl);
            let own = if most { ttls.max() } else { ttls.min() }.unwrap_or(0);
            match &it.nested {
                Some(Nested::Steered(nested)) => {
                    own.min(if most { nested.ttl_max } else { nested.ttl })
                }
                Some(Nested::Fixed(ttl)) => own.min(*ttl),
                Some(Nested::Nothing) | None => own,
            }
        };
        let least = possible(self.candidates).map(|it| of(it, false)).min().unwrap_or(0);
        let most = possible(self.candidates).map(|it| of(it, true)).max().unwrap_or(0);
        if least < own {
            let by = possible(self.candidates).find(|it| of(it, false) == least);
            let by = by.map_or_else(String::new, |it| it.pool.to_string());
            return (least, most, format!("{least} s is what the name that {by} is gives at most"));
        }
        let full = policy.ttl;
        let why = if self.decision.footing != Footing::Healthy {
            format!("ttl_min: {}, so the answer changes any moment", self.decision.footing.as_str())
        } else if own < full {
            let short = members.filter(|it| it.ttl < full).map(|it| it.target.clone());
            let rest = if most == full { format!("; without it {full} s") } else { String::new() };
            format!("ttl_min with {}{rest}", self.why_short(short.collect()))
        } else {
            "full: no change is in sight".to_owned()
        };
        (least, most, why)
    }

    /// Why the answers with these endpoints are short-lived.
    fn why_short(&self, short: Vec<String>) -> String {
        let all = PoolSet::where_(self.pools().len(), |_| true);
        let over_budget = self.over_budget(&all);
        let (kept, shaky): (Vec<_>, Vec<_>) =
            short.into_iter().partition(|it| over_budget.contains(it));
        let mut reasons = Vec::new();
        if !shaky.is_empty() {
            let latest = if shaky.len() == 1 { "its latest probe" } else { "their latest probes" };
            let shaky = text::and(&shaky);
            let good = "not enough good ones came since";
            reasons.push(format!("{shaky}: {latest} failed, and {good}"));
        }
        if !kept.is_empty() {
            let is = if kept.len() == 1 { "it is" } else { "they are" };
            reasons.push(format!("{}: {is} down, and over the budget", text::and(&kept)));
        }
        reasons.join("; ")
    }

    /// The bits of the client's address for which all this is true, and why.
    pub(super) fn scope(&self, scope_len: u8) -> (u8, String) {
        let sticky_len = if self.is_sticky() { self.seat.sticky_len } else { 0 };
        let nested = possible(self.candidates).filter_map(Candidate::explanation);
        let nested: Option<&Explanation> = nested.max_by_key(|it| it.scope);
        let nested_len = nested.map_or(0, |it| it.scope);
        let len = scope_len.max(sticky_len).max(nested_len);
        let prefix = Prefix::around(self.seat.address, len);
        let why = if len == 0 {
            "the answer does not depend on the client".to_owned()
        } else if len == scope_len {
            format!(
                "all of {prefix} have these candidates with these weights, no wider network has"
            )
        } else if len == sticky_len {
            format!("sticky: clients are told apart by /{len}, here {prefix}")
        } else {
            let name = nested.map_or_else(String::new, |it| it.name.to_string());
            format!("{name}, which a pool is, depends on {prefix}")
        };
        (len, why)
    }
}

/// What the other name that a candidate is says.
fn nested_text(candidate: &Candidate) -> Option<String> {
    let target = candidate.endpoints.first()?.target.as_str();
    Some(match candidate.nested.as_ref()? {
        Nested::Steered(nested) => {
            let pools = slice::from_ref(nested).iter().flat_map(|it| possible(&it.candidates));
            let pools: Vec<String> =
                pools.map(|it| format!("{} {}", it.pool, text::percent(it.probability))).collect();
            let gives = match nested.result {
                Answer::Records => pools.join(", "),
                Answer::NoData => "no records".to_owned(),
                Answer::Unreachable | Answer::NotReady => "a failure".to_owned(),
            };
            format!("{} is {target}, which gives this client {gives}", candidate.pool)
        }
        Nested::Fixed(_) => format!("{} is {target}, whose records are fixed", candidate.pool),
        Nested::Nothing => format!("{} is {target}, which has nothing of the type", candidate.pool),
    })
}
