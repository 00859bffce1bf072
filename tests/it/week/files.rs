//! Files of a random server, as a value that may be changed here and there, and as text.
//!
//! Checks differ in what they ask, so that none is known by what another said. Half of the servers ask
//! everything at one pace with the default numbers: of those it can be said when a lost network has to
//! be noticed before anything falls.
//!
//! *Not here:* what becomes of the targets (`world`).

use std::fmt::Write as _;

use evenkeel::dice::Roll;

use super::chance::{below, one_of, percent};

/// Regions that are declared; the last one gets pools only now and then.
pub(super) const REGIONS: [&str; 4] = ["r0", "r1", "r2", "r3"];
/// Hosts of a region.
pub(super) const HOSTS: usize = 4;
/// What is always there as long as the prober's own network is.
const CONTROL: &str = "192.0.2.250";

/// How pools may come back; `none` hides what is said around it.
const RAMPS: [&str; 4] = [
    "{ steps: [5%, 25%, 50%, 100%], every: 1m }",
    "{ steps: [1%, 10%, 100%], every: 10m }",
    "{ steps: [50%, 100%], every: 15s }",
    "none",
];

const NAMES_MAX: usize = 20;
const CHECKS_MAX: usize = 5;

/// What the files say.
#[derive(Debug, Clone)]
pub(super) struct Files {
    /// Whether all checks have the default numbers.
    pub(super) even: bool,
    control: bool,
    /// That of the defaults.
    ramp: Option<&'static str>,
    /// By region; none: nobody says.
    capacities: [Option<u32>; REGIONS.len()],
    checks: Vec<Check>,
    names: Vec<Named>,
    /// Names are not used again.
    name_next: usize,
}

#[derive(Debug, Clone)]
struct Check {
    kind: CheckKind,
    every: u32,
    /// Half seconds.
    timeout: u32,
    fall: u32,
    rise: u32,
    flap: bool,
}

#[derive(Debug, Clone)]
enum CheckKind {
    Tcp,
    Http,
    /// Over checks before it.
    Of(&'static str, Vec<usize>),
}

#[derive(Debug, Clone)]
struct Named {
    number: usize,
    check: Vec<usize>,
    pools: Vec<Pool>,
    all_down: &'static str,
    min_up: Option<u32>,
    sticky: bool,
    answers: usize,
    ttl: (u32, u32),
    by_distance: bool,
    ramp: Option<&'static str>,
    eject_max: Option<u32>,
    demand: Option<u32>,
    /// The number of a name that is one more pool.
    alias: Option<usize>,
}

#[derive(Debug, Clone)]
struct Pool {
    region: usize,
    weight: u32,
    tier: u32,
    trickle: Option<u32>,
    serves: Option<&'static str>,
    fence: bool,
    ramp: Option<&'static str>,
    /// Hosts with their weights.
    v4: Vec<(usize, u32)>,
    v6: Vec<usize>,
}

impl Files {
    pub(super) fn random(roll: &mut Roll) -> Self {
        let even = percent(roll, 50);
        let control = percent(roll, 25);
        let (ramp, capacities) = (ramp(roll, 30), capacities(roll));
        let (checks, names) = (vec![], vec![]);
        let mut files = Self { even, control, ramp, capacities, checks, names, name_next: 0 };
        for _ in 0..2 + below(roll, CHECKS_MAX - 1) {
            files.add_check(roll);
        }
        for _ in 0..2 + below(roll, NAMES_MAX - 1) {
            files.add_name(roll);
        }
        files
    }

    /// Changes something.
    pub(super) fn edit(&mut self, roll: &mut Roll) {
        let name = below(roll, self.names.len());
        let check = below(roll, self.checks.len());
        match below(roll, 12) {
            0 if self.names.len() < NAMES_MAX => self.add_name(roll),
            1 if 2 < self.names.len() => {
                let gone = self.names.remove(name).number;
                for name in &mut self.names {
                    name.alias = name.alias.filter(|it| *it != gone);
                }
            }
            2 if !self.even => {
                let Check { every, timeout, fall, rise, flap, .. } = self.check(roll);
                let kind = self.checks[check].kind.clone();
                self.checks[check] = Check { kind, every, timeout, fall, rise, flap };
            }
            3 => self.names[name].check = self.some_checks(roll),
            4 => {
                let pools = &mut self.names[name].pools;
                if 1 < pools.len() {
                    pools.remove(below(roll, pools.len()));
                }
                close_tiers(pools);
            }
            5 => {
                let pools = Self::pools(roll);
                self.names[name].pools = pools;
            }
            6 => self.names[name].all_down = all_down(roll),
            7 => self.capacities = capacities(roll),
            8 => self.names[name].demand = demand(roll),
            9 => self.names[name].eject_max = eject_max(roll),
            10 if percent(roll, 20) => self.ramp = ramp(roll, 50),
            10 => self.names[name].ramp = ramp(roll, 60),
            _ => {
                for pool in &mut self.names[name].pools {
                    pool.weight = weight(roll);
                }
            }
        }
    }

    fn add_check(&mut self, roll: &mut Roll) {
        let mut check = self.check(roll);
        if 2 <= self.checks.len() && percent(roll, 40) {
            let of: Vec<usize> = (0..self.checks.len()).filter(|_| percent(roll, 70)).collect();
            if 2 <= of.len() {
                check.kind = CheckKind::Of(one_of(roll, &["all_of", "any_of", "at_least"]), of);
            }
        }
        self.checks.push(check);
    }

    fn check(&self, roll: &mut Roll) -> Check {
        let kind = if percent(roll, 50) { CheckKind::Tcp } else { CheckKind::Http };
        if self.even {
            return Check { kind, every: 10, timeout: 6, fall: 3, rise: 2, flap: false };
        }
        let every = one_of(roll, &[5, 10, 20, 30, 60]);
        Check {
            kind,
            every,
            timeout: one_of(roll, &[1, 3, 6, 9]),
            fall: one_of(roll, &[1, 2, 3, 3, 4]),
            rise: one_of(roll, &[1, 2, 3]),
            flap: percent(roll, 30),
        }
    }

    fn some_checks(&self, roll: &mut Roll) -> Vec<usize> {
        match below(roll, 10) {
            0 => vec![],
            1 | 2 => {
                let one = below(roll, self.checks.len());
                let other = below(roll, self.checks.len());
                if one == other { vec![one] } else { vec![one, other] }
            }
            _ => vec![below(roll, self.checks.len())],
        }
    }

    fn add_name(&mut self, roll: &mut Roll) {
        let numbers: Vec<usize> = self.names.iter().map(|it| it.number).collect();
        let alias = percent(roll, 15) && !numbers.is_empty();
        let name = Named {
            number: self.name_next,
            check: self.some_checks(roll),
            pools: Self::pools(roll),
            all_down: all_down(roll),
            min_up: percent(roll, 20).then(|| one_of(roll, &[50, 60, 100])),
            sticky: percent(roll, 20),
            answers: one_of(roll, &[1, 2, 8]),
            ttl: one_of(roll, &[(20, 5), (60, 5), (20, 20), (300, 10)]),
            by_distance: percent(roll, 15),
            ramp: ramp(roll, 30),
            eject_max: eject_max(roll),
            demand: demand(roll),
            alias: alias.then(|| one_of(roll, &numbers)),
        };
        self.name_next += 1;
        self.names.push(name);
    }

    fn pools(roll: &mut Roll) -> Vec<Pool> {
        let mut pools: Vec<Pool> = Vec::new();
        for region in 0..REGIONS.len() {
            if percent(roll, if region + 1 < REGIONS.len() { 80 } else { 20 }) {
                pools.push(pool(roll, region));
            }
        }
        if pools.is_empty() {
            pools.push(pool(roll, 0));
        }
        close_tiers(&mut pools);
        pools
    }

    /// The server file.
    pub(super) fn server(&self) -> String {
        let mut text = "version: 1\nlisten: ['127.0.0.1:53']\nzones: zones/\ngeoip: []\n\
                        networks: { 20.0.0.0/8: { country: DE, at: [51, 9] } }\n"
            .to_owned();
        if let Some(ramp) = self.ramp {
            writeln!(text, "defaults: {{ ramp: {ramp} }}").unwrap();
        }
        text += "regions:\n";
        let places = ["39, -77", "53, -6", "1, 103", "-23, -46"];
        for ((region, at), capacity) in REGIONS.iter().zip(places).zip(self.capacities) {
            let capacity = capacity.map_or(String::new(), |it| format!(", capacity: {it}"));
            writeln!(text, "  {region}: {{ at: [{at}]{capacity} }}").unwrap();
        }
        text += "checks:\n";
        for (idx, check) in self.checks.iter().enumerate() {
            writeln!(text, "  c{idx}: {{ {} }}", check.text(idx)).unwrap();
        }
        if self.control {
            writeln!(text, "prober: {{ control: [ {{ tcp: '{CONTROL}:443' }} ] }}").unwrap();
        }
        text
    }

    /// The file of the zone.
    pub(super) fn zone(&self) -> String {
        let mut text =
            "zone: example.com\nttl: 20s\nrecords:\n  '@': { NS: ns.example.net. }\n".to_owned();
        for name in &self.names {
            name.write(&mut text, &self.checks);
        }
        text
    }
}

impl Check {
    fn text(&self, idx: usize) -> String {
        let port = 8000 + idx;
        let kind = match &self.kind {
            CheckKind::Tcp => format!("tcp: {{ port: {port} }}"),
            CheckKind::Http => format!("http: {{ port: {port}, host: www.example.com }}"),
            CheckKind::Of(word, of) => {
                let of: Vec<String> = of.iter().map(|it| format!("c{it}")).collect();
                let of = of.join(", ");
                return match *word {
                    "at_least" => format!("at_least: {{ of: [{of}], percent: 60 }}"),
                    word => format!("{word}: [{of}]"),
                };
            }
        };
        let Self { every, timeout, fall, rise, flap, .. } = self;
        let mut text = format!(
            "{kind}, every: {every}s, timeout: {}ms, fall: {fall}, rise: {rise}",
            timeout * 500
        );
        if *flap {
            text += ", flap: { changes: 4, window: 10m, hold: 3m }";
        }
        text
    }
}

impl Named {
    fn write(&self, text: &mut String, checks: &[Check]) {
        let Self { number, ttl, all_down, answers, .. } = self;
        writeln!(text, "  n{number}:\n    ttl: {}s\n    steer:", ttl.0).unwrap();
        writeln!(text, "      ttl_min: {}s\n      answers: {answers}", ttl.1).unwrap();
        writeln!(text, "      all_down: {all_down}").unwrap();
        if !self.check.is_empty() {
            let checks: Vec<String> = self.check.iter().map(|it| format!("c{it}")).collect();
            writeln!(text, "      check: [{}]", checks.join(", ")).unwrap();
        }
        if let Some(min_up) = self.min_up {
            writeln!(text, "      min_up: {min_up}%").unwrap();
        }
        if let Some(ramp) = self.ramp {
            writeln!(text, "      ramp: {ramp}").unwrap();
        }
        if let Some(eject_max) = self.eject_max {
            writeln!(text, "      eject_max: {eject_max}%").unwrap();
        }
        if let Some(demand) = self.demand {
            writeln!(text, "      demand: {demand}").unwrap();
        }
        if self.sticky {
            text.push_str("      sticky: client\n");
        }
        if self.by_distance {
            text.push_str("      by: distance\n      slack: 30%\n");
        }
        text.push_str("      pools:\n");
        for pool in &self.pools {
            writeln!(text, "        {}: {{ {} }}", REGIONS[pool.region], pool.text()).unwrap();
        }
        if let Some(alias) = self.alias {
            let region = if self.by_distance { "r3" } else { "none" };
            writeln!(text, "        nested: {{ region: {region}, alias: n{alias} }}").unwrap();
        }
        assert!(checks.len() <= 2 * CHECKS_MAX);
    }
}

impl Pool {
    fn text(&self) -> String {
        let Self { region, weight, tier, .. } = self;
        let mut text = format!("weight: {weight}, tier: {tier}");
        if let Some(trickle) = self.trickle {
            write!(text, ", trickle: {trickle}%").unwrap();
        }
        if let Some(serves) = self.serves {
            write!(text, ", serves: {serves}").unwrap();
        }
        if self.fence {
            text += ", fence: true";
        }
        if let Some(ramp) = self.ramp {
            write!(text, ", ramp: {ramp}").unwrap();
        }
        let v4 = self.v4.iter().map(|(host, weight)| {
            format!("{{ address: {}, weight: {weight} }}", address_v4(*region, *host))
        });
        write!(text, ", A: [{}]", v4.collect::<Vec<_>>().join(", ")).unwrap();
        if !self.v6.is_empty() {
            let v6 = self.v6.iter().map(|host| format!("'{}'", address_v6(*region, *host)));
            write!(text, ", AAAA: [{}]", v6.collect::<Vec<_>>().join(", ")).unwrap();
        }
        text
    }
}

fn address_v4(region: usize, host: usize) -> String {
    format!("198.51.{region}.{}", 10 + host)
}

fn address_v6(region: usize, host: usize) -> String {
    format!("2001:db8::{region}:{}", 10 + host)
}

fn pool(roll: &mut Roll, region: usize) -> Pool {
    let hosts = 1 + below(roll, HOSTS - 1);
    let begin = below(roll, HOSTS - hosts + 1);
    let tier = if percent(roll, 25) { 2 } else { 1 };
    let serves =
        percent(roll, 20).then(|| one_of(roll, &["[DE]", "[20.1.0.0/16, '*']", "[EU, '*']"]));
    Pool {
        region,
        weight: weight(roll),
        tier,
        trickle: (tier == 2 && percent(roll, 50)).then_some(5),
        serves,
        fence: serves == Some("[DE]") && percent(roll, 40),
        ramp: ramp(roll, 15),
        v4: (begin..begin + hosts).map(|it| (it, one_of(roll, &[1, 1, 3]))).collect(),
        v6: if percent(roll, 30) { vec![begin] } else { vec![] },
    }
}

/// A trickle is of a later tier than the first; those that serve the same are fenced alike.
fn close_tiers(pools: &mut [Pool]) {
    let lowest = pools.iter().map(|it| it.tier).min().unwrap_or(1);
    let fenced = pools.iter().any(|it| it.fence);
    for pool in pools {
        if pool.tier == lowest {
            pool.trickle = None;
        }
        pool.fence = fenced && pool.serves == Some("[DE]");
    }
}

fn weight(roll: &mut Roll) -> u32 {
    one_of(roll, &[0, 1, 1, 1, 10, 50, 1000])
}

fn all_down(roll: &mut Roll) -> &'static str {
    one_of(roll, &["serve_all", "serve_all", "serve_all", "last_good", "refuse"])
}

/// A ramp, with so many percent of chance.
fn ramp(roll: &mut Roll, chance: u64) -> Option<&'static str> {
    percent(roll, chance).then(|| one_of(roll, &RAMPS))
}

fn eject_max(roll: &mut Roll) -> Option<u32> {
    percent(roll, 20).then(|| one_of(roll, &[20, 30, 60, 67, 100]))
}

fn demand(roll: &mut Roll) -> Option<u32> {
    percent(roll, 40).then(|| one_of(roll, &[10, 50, 100]))
}

fn capacities(roll: &mut Roll) -> [Option<u32>; REGIONS.len()] {
    let is_known = percent(roll, 60);
    REGIONS.map(|_| (is_known && percent(roll, 80)).then(|| one_of(roll, &[50, 200, 1000])))
}
