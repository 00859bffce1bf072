//! Steering: from a `steer` block to a policy and the probes of its endpoints.
//!
//! Not here: what may stand beside a steered name (`draft`), what a check is (`checks`), and what the
//! names that pools may be have (`aliases`).

mod order;
mod serves;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    PlannedName, World,
    aliases::Alias,
    checks::{Check, Checks, Probes, foreign_address, host_text, is_host},
    places::Region,
    ramp,
    rdata::name_octets,
    say_number,
    shelf::Context,
};
use crate::{
    config::{
        Amount, Field, Place, Report, suggest,
        zone::{EndpointFile, PoolFile, SteerFile},
    },
    geo::Coordinates,
    health::{self, Tree},
    limits::{ANSWERS_DEFAULT, ANSWERS_MAX, POOL_ENDPOINTS_MAX, POOLS_MAX, WEIGHT_MAX},
    steer::{AllDown, By, Endpoint, Load, Policy, Pool, Ramp, Target},
    wire::Name,
};

const TTL_MIN_DEFAULT: u32 = 5;

/// A list of check names, as a file says it.
type Refs<'t> = Field<Vec<Field<&'t str>>>;

/// A steered name, and whether its pools are of CNAME; none when there is nothing to steer to.
pub(super) fn plan(
    owner: &Name,
    place: Place,
    ttl: u32,
    file: &SteerFile<'_>,
    world: &mut World<'_>,
    origin: &Name,
) -> Option<(PlannedName, bool)> {
    let World { report, context, probes, aliases, .. } = world;
    let Context { regions, checks, ramp } = context;
    let ramp = ramp::read(&file.ramp, ramp.as_ref(), report);
    let mut planner = Planner { report, regions, checks, ramp, probes, aliases, owner, origin };
    planner.plan(place, ttl, file)
}

struct Planner<'w> {
    report: &'w Report,
    regions: &'w [Region],
    checks: &'w Checks,
    /// How pools come back that say nothing themselves.
    ramp: Option<Ramp>,
    probes: &'w mut Probes,
    aliases: &'w mut Vec<Alias>,
    owner: &'w Name,
    origin: &'w Name,
}

/// A pool, and what the file says of it.
struct Drafted<'f, 't> {
    place: Place,
    file: &'f PoolFile<'t>,
    pool: Pool,
    probes: Vec<Tree>,
}

/// What a pool's endpoints are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
    Name,
}

impl<'w> Planner<'w> {
    fn plan(
        &mut self,
        place: Place,
        ttl: u32,
        file: &SteerFile<'_>,
    ) -> Option<(PlannedName, bool)> {
        let ttl_min = file.ttl_min.given().map_or(TTL_MIN_DEFAULT.min(ttl), |it| it.0);
        if ttl < ttl_min {
            self.ttl_min_above(file.ttl_min.place().unwrap_or(place), ttl_min, ttl);
        }
        let answers_max = u64::try_from(ANSWERS_MAX).expect("a small number");
        let answers = say_number(self.report, "answers", &file.answers, 1..=answers_max);
        let answers = answers.and_then(|it| u8::try_from(it).ok());
        let answers = answers.unwrap_or(u8::try_from(ANSWERS_DEFAULT).expect("a small number"));

        let (drafted, cname) = self.pools(file);
        if file.pools.is_absent() || file.pools.given().is_some_and(|it| it.0.is_empty()) {
            self.no_pools(place);
        } else if POOLS_MAX < drafted.len() {
            self.too_many_pools(file.pools.place().unwrap_or(place), drafted.len());
        }
        if drafted.is_empty() {
            return None;
        }
        self.check_trickles(&drafted);
        self.check_fences(&drafted);
        let by = self.by(&file.by);
        self.check_regions(file.by.place().unwrap_or(place), by, &drafted);
        let slack = self.slack(&file.slack, by);
        let (pools, probes): (Vec<Pool>, _) =
            drafted.into_iter().map(|it| (it.pool, it.probes)).unzip();
        let policy = Policy {
            ttl,
            ttl_min,
            answers,
            by: by.unwrap_or(By::Weight),
            slack,
            sticky: self.sticky(&file.sticky),
            all_down: self.all_down(&file.all_down, &pools),
            eject_max_percent: file.eject_max.given().map(|it| it.0),
            min_up_percent: file.min_up.given().map(|it| it.0),
            demand: self.demand(&file.demand, &pools),
            pools: pools.into(),
        };
        let owner = self.owner.clone();
        Some((PlannedName { owner, policy: policy.into(), probes }, cname))
    }

    /// The pools, and whether they are of CNAME.
    fn pools<'f, 't>(&mut self, file: &'f SteerFile<'t>) -> (Vec<Drafted<'f, 't>>, bool) {
        let checks = self.checks_of(&file.check);
        let mut drafted = Vec::new();
        let mut cname = None;
        for (key, pool) in file.pools.given().iter().flat_map(|it| &it.0) {
            let (Some((place, name)), Some(file)) = (key.placed(), pool.given()) else { continue };
            let of_names = !file.cname.is_absent();
            let first = *cname.get_or_insert(of_names);
            if first != of_names {
                self.mixed_pools(place, name);
            }
            if let Some((pool, probes)) = self.pool(place, name, file, &checks) {
                drafted.push(Drafted { place, file, pool, probes });
            }
        }
        (drafted, cname == Some(true))
    }

    /// The normal load of the name. It is counted in the regions of the pools.
    fn demand(&self, field: &Field<Amount>, pools: &[Pool]) -> Option<Load> {
        let (place, amount) = field.placed()?;
        if pools.iter().all(|it| it.region.is_none()) {
            self.demand_nowhere(place);
        }
        Load::new(amount.0)
    }

    fn all_down(&self, field: &Field<&str>, pools: &[Pool]) -> AllDown {
        let Some((place, word)) = field.placed() else { return AllDown::ServeAll };
        // A word before a pool of that name: the word is what the documentation says.
        match *word {
            "serve_all" => return AllDown::ServeAll,
            "refuse" => return AllDown::Refuse,
            "last_good" => return AllDown::LastGood,
            _ => {}
        }
        if let Some(idx) = pools.iter().position(|it| *it.name == **word) {
            return AllDown::Pool(u16::try_from(idx).unwrap_or(u16::MAX));
        }
        let names = pools.iter().map(|it| &*it.name);
        let words: Vec<&str> =
            ["serve_all", "last_good", "refuse"].into_iter().chain(names).collect();
        self.no_such_word(place, "all_down", word, &words);
        AllDown::ServeAll
    }

    fn pool(
        &mut self,
        place: Place,
        name: &str,
        file: &PoolFile<'_>,
        checks: &[&Check],
    ) -> Option<(Pool, Vec<Tree>)> {
        let region = self.region(place, name, &file.region);
        let weight = say_number(self.report, "weight", &file.weight, 0..=u64::from(WEIGHT_MAX));
        let weight = weight.and_then(|it| u32::try_from(it).ok()).unwrap_or(1);
        let own = (!file.check.is_absent()).then(|| self.checks_of(&file.check));
        let checks = own.as_deref().unwrap_or(checks);

        let (endpoints, probes) = match file.alias.placed() {
            Some((at, text)) => self.alias(at, text, file).into_iter().unzip(),
            None => self.endpoints(name, file, checks),
        };
        let addresses = file.a.place().or(file.aaaa.place());
        if let (Some(alias), Some(_)) = (file.alias.place(), addresses.or(file.cname.place())) {
            self.alias_beside(alias, name);
        } else if let (Some(cname), Some(_)) = (file.cname.place(), addresses) {
            self.mixed_endpoints(cname, name);
        } else if addresses.is_none() && file.cname.is_absent() && file.alias.is_absent() {
            self.empty_pool(place, name);
        }
        if POOL_ENDPOINTS_MAX < endpoints.len() {
            self.too_many_endpoints(place, name, endpoints.len());
        }
        let tier = say_number(self.report, "tier", &file.tier, 1..=u64::from(u16::MAX));
        let pool = Pool {
            name: name.into(),
            at: region.as_deref().and_then(|it| self.at(it)),
            region,
            weight,
            tier: tier.and_then(|it| u16::try_from(it).ok()).unwrap_or(1),
            trickle: file.trickle.given().map_or(0, |it| it.0),
            serves: self.serves(&file.serves),
            fence: self.fence(file),
            ramp: ramp::read(&file.ramp, self.ramp.as_ref(), self.report),
            endpoints: endpoints.into(),
        };
        (!pool.endpoints.is_empty()).then_some((pool, probes))
    }

    fn endpoints(
        &mut self,
        pool: &str,
        file: &PoolFile<'_>,
        checks: &[&Check],
    ) -> (Vec<Endpoint>, Vec<Tree>) {
        let mut endpoints = Vec::new();
        let mut probes = Vec::new();
        let families =
            [(&file.a, Family::V4), (&file.aaaa, Family::V6), (&file.cname, Family::Name)];
        for (list, family) in families {
            for endpoint in list.given().into_iter().flatten() {
                let Some((place, endpoint)) = endpoint.placed() else { continue };
                if let Some((endpoint, its)) = self.endpoint(place, endpoint, family, checks) {
                    if endpoints.iter().any(|it: &Endpoint| it.target == endpoint.target) {
                        self.endpoint_twice(place, pool, &endpoint.target);
                    }
                    endpoints.push(endpoint);
                    probes.push(its);
                }
            }
        }
        (endpoints, probes)
    }

    /// The one endpoint of a pool that is another name. It has no probes: what is known of it is
    /// known of its name.
    fn alias(&mut self, place: Place, text: &str, file: &PoolFile<'_>) -> Option<(Endpoint, Tree)> {
        if let Some(check) = file.check.place() {
            self.alias_checked(check);
        }
        let octets = name_octets(text, Some(self.origin))
            .map_err(|(message, hint)| self.bad_target(place, text, &message, hint))
            .ok()?;
        let target = Name::from_wire(&octets)?;
        self.aliases.push(Alias { place, owner: self.owner.clone(), target: target.clone() });
        let endpoint = Endpoint { target: Target::Alias(target), weight: 1, label: None };
        Some((endpoint, Tree::nothing()))
    }

    /// The region of a pool: what it says, else what it is named after.
    fn region(&self, place: Place, name: &str, field: &Field<&str>) -> Option<Box<str>> {
        let (place, region, said) = match field.placed() {
            Some((_, &"none")) => return None,
            Some((place, region)) => (place, *region, true),
            None => (place, name, false),
        };
        // Where no regions are declared there are those that pools are named after.
        if self.regions.is_empty() || self.regions.iter().any(|it| it.name == region) {
            return Some(region.into());
        }
        self.undeclared_region(place, region, said);
        None
    }

    /// Where a region is.
    fn at(&self, region: &str) -> Option<Coordinates> {
        self.regions.iter().find(|it| it.name == region).and_then(|it| it.at)
    }

    fn endpoint(
        &mut self,
        place: Place,
        file: &EndpointFile<'_>,
        family: Family,
        pool_checks: &[&Check],
    ) -> Option<(Endpoint, Tree)> {
        let (address, weight, own, label) = match file {
            EndpointFile::Text(text) => (Some((place, *text)), Some(1), None, None),
            EndpointFile::Map(map) => {
                if map.address.is_absent() {
                    self.no_address(place);
                }
                let weight = if map.weight.is_absent() {
                    Some(1)
                } else {
                    say_number(self.report, "weight", &map.weight, 1..=u64::from(WEIGHT_MAX))
                };
                let own = (!map.check.is_absent()).then(|| self.checks_of(&map.check));
                let address = map.address.placed().map(|(place, text)| (place, *text));
                (address, weight, own, map.label.given())
            }
        };
        let (place, text) = address?;
        let target = self.target(place, text, family)?;
        let checks = own.as_deref().unwrap_or(pool_checks);
        let whom = match &target {
            Target::Address(address) => Some(health::Target::Address(*address)),
            Target::Name(name) => Some(health::Target::Host(host_text(name))),
            // An alias is what its name is: what probes say of that is counted there.
            Target::Alias(_) => None,
        };
        let tree = whom.map_or_else(Tree::nothing, |it| self.rests_on(place, checks, &it));
        let weight = weight.and_then(|it| u32::try_from(it).ok())?;
        let label = label.map(|it| (*it).into());
        Some((Endpoint { target, weight, label }, tree))
    }

    /// What an endpoint rests on when all of `checks` must pass.
    fn rests_on(&mut self, place: Place, checks: &[&Check], whom: &health::Target) -> Tree {
        if let health::Target::Host(host) = whom
            && checks.iter().any(|it| it.needs_target())
            && !is_host(host)
        {
            self.target_no_host(place, host);
        }
        let tree = self.probes.all(checks, whom, self.owner);
        let mut foreign = Vec::new();
        tree.for_each_probe(&mut |id| {
            let spec = &self.probes.specs[id.idx()];
            foreign.extend(foreign_address(spec).map(|it| (spec.target.clone(), it)));
        });
        for (target, address) in foreign {
            self.foreign_address(place, &target, address);
        }
        tree
    }

    fn target(&self, place: Place, text: &str, family: Family) -> Option<Target> {
        let v4 = text.parse::<Ipv4Addr>().ok();
        let v6 = text.parse::<Ipv6Addr>().ok();
        match (family, v4, v6) {
            (Family::V4, Some(address), _) => return Some(Target::Address(IpAddr::V4(address))),
            (Family::V6, _, Some(address)) => return Some(Target::Address(IpAddr::V6(address))),
            (Family::Name, None, None) => match name_octets(text, Some(self.origin)) {
                Ok(octets) => return Name::from_wire(&octets).map(Target::Name),
                Err((message, hint)) => self.bad_target(place, text, &message, hint),
            },
            (_, None, None) => self.no_ip(place, text, family),
            (_, Some(_), _) => self.wrong_family(place, text, "an IPv4 address", "A"),
            (_, _, Some(_)) => self.wrong_family(place, text, "an IPv6 address", "AAAA"),
        }
        None
    }

    /// The checks that a list of names means; the undeclared ones are complained of.
    fn checks_of(&self, refs: &Refs<'_>) -> Vec<&'w Check> {
        let mut templates = Vec::new();
        for (place, name) in refs.given().into_iter().flatten().filter_map(Field::placed) {
            match self.checks.get(*name) {
                None => self.undeclared_check(place, name),
                Some(Some(check)) if check.needs_host() && !is_host(&host_text(self.owner)) => {
                    self.owner_no_host(place, name);
                }
                Some(check) => templates.extend(check),
            }
        }
        templates
    }
}

// ---- Complaints ----

impl Planner<'_> {
    fn no_such_word(&self, place: Place, key: &str, word: &str, words: &[&str]) {
        let hint = suggest(word, words.iter().copied(), "write one of");
        self.report.say(place, format!("`{key}` can not be `{word}`"), hint);
    }

    fn ttl_min_above(&self, place: Place, ttl_min: u32, ttl: u32) {
        let message = format!("`ttl_min` ({ttl_min}) is greater than the TTL of the name ({ttl})");
        self.report.say(place, message, "lower it, or raise the `ttl` of the name");
    }

    fn no_pools(&self, place: Place) {
        let hint = "write `pools: { NAME: { A: [ADDRESS] } }`";
        self.report.say(place, "`steer` has no pools", hint);
    }

    fn too_many_pools(&self, place: Place, count: usize) {
        let message = format!("there are {count} pools");
        self.report.say(place, message, format!("a name has at most {POOLS_MAX}"));
    }

    fn mixed_pools(&self, place: Place, pool: &str) {
        let message = format!("the pool `{pool}` is of another kind than those before it");
        let hint = "all pools of a name hold addresses, or all hold a CNAME";
        self.report.say(place, message, hint);
    }

    fn mixed_endpoints(&self, place: Place, pool: &str) {
        let message = format!("the pool `{pool}` has a CNAME beside addresses");
        self.report.say(place, message, "a pool holds addresses, or target names");
    }

    fn demand_nowhere(&self, place: Place) {
        let message = "`demand`, and no pool is in a region";
        let hint = "a load is counted in regions: name those of the pools, or remove the key";
        self.report.say(place, message, hint);
    }

    fn empty_pool(&self, place: Place, pool: &str) {
        let message = format!("the pool `{pool}` has no endpoints");
        self.report.say(place, message, "give it `A`, `AAAA`, `CNAME` or `alias`");
    }

    fn alias_beside(&self, place: Place, pool: &str) {
        let message = format!("the pool `{pool}` has an alias beside endpoints");
        self.report.say(place, message, "make it two pools, or remove one of the two");
    }

    fn alias_checked(&self, place: Place) {
        let message = "a pool with an alias has no checks of its own";
        self.report.say(place, message, "give the checks to the name that the alias leads to");
    }

    fn too_many_endpoints(&self, place: Place, pool: &str, count: usize) {
        let message = format!("the pool `{pool}` has {count} endpoints");
        self.report.say(place, message, format!("a pool has at most {POOL_ENDPOINTS_MAX}"));
    }

    fn endpoint_twice(&self, place: Place, pool: &str, target: &Target) {
        let target = match target {
            Target::Address(address) => address.to_string(),
            Target::Name(name) | Target::Alias(name) => name.to_string(),
        };
        let message = format!("`{target}` is twice in the pool `{pool}`");
        self.report.say(place, message, "remove one; `weight` gives an endpoint a greater share");
    }

    fn undeclared_region(&self, place: Place, region: &str, said: bool) {
        let regions = self.regions.iter().map(|it| it.name.as_str());
        let near = suggest(region, regions, "declared are");
        let hint = if said || near.starts_with("did") {
            near
        } else {
            format!("{near}; name the pool after one, or write `region: NAME` or `region: none`")
        };
        self.report.say(place, format!("the region `{region}` is not declared"), hint);
    }

    fn undeclared_check(&self, place: Place, check: &str) {
        let mut checks: Vec<&str> = self.checks.keys().map(String::as_str).collect();
        checks.sort_unstable();
        let hint = suggest(check, checks.iter().copied(), "declared in the server file are");
        self.report.say(place, format!("the check `{check}` is not declared"), hint);
    }

    fn owner_no_host(&self, place: Place, check: &str) {
        let message = format!("the check `{check}` has no `host`, and `{}` is none", self.owner);
        self.report.say(place, message, "give the check a `host`");
    }

    fn target_no_host(&self, place: Place, host: &str) {
        let message = format!("`{host}` is not a host, so that it can not be probed");
        self.report.say(place, message, "give the check a `target`, or the endpoint no check");
    }

    fn foreign_address(&self, place: Place, target: &health::Target, address: IpAddr) {
        let message = format!("`{target}` can not be asked for the certificate of `{address}`");
        let hint =
            "an address is no SNI (RFC 6066 section 3); give the check an `sni` that is a name";
        self.report.say(place, message, hint);
    }

    fn no_address(&self, place: Place) {
        let hint = "write `{ address: ADDRESS, weight: 2 }`";
        self.report.say(place, "this endpoint has no `address`", hint);
    }

    fn bad_target(&self, place: Place, text: &str, message: &str, hint: &str) {
        self.report.say(place, format!("`{text}` is not a name: {message}"), hint);
    }

    fn no_ip(&self, place: Place, text: &str, family: Family) {
        let (what, hint) = match family {
            Family::V4 => {
                ("an IPv4 address", "write `A: 192.0.2.1`; a target name goes under `CNAME`")
            }
            _ => (
                "an IPv6 address",
                "write `AAAA: \"2001:db8::1\"`; a target name goes under `CNAME`",
            ),
        };
        self.report.say(place, format!("`{text}` is not {what}"), hint);
    }

    fn wrong_family(&self, place: Place, text: &str, what: &str, key: &str) {
        let message = format!("`{text}` is {what}");
        self.report.say(place, message, format!("write it under `{key}`"));
    }
}
