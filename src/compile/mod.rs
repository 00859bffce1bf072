//! Compilation: from files to a plan. `check` stops here, `serve` goes on.
//!
//! # Invariants
//!
//! - One validator: whatever can be wrong with the files is found here, all of it in one run.
//! - A [`Plan`] is right by construction; nobody validates it again.
//!
//! ```text
//!   server file --server--> settings, regions, checks, networks
//!                                    \                      \
//!   *.yaml --yaml---> records, steer --draft--> zone::Builder --shelf--> aliases --> Plan
//!   *.zone --master-> records       /                                               /
//!   *.mmdb --geoip--> atlas -------------------------------------------------------'
//! ```
//!
//! Not here: how YAML becomes values (`config`), and what the plan is used for (`state`).

pub mod facts;
pub mod geoip;
pub mod keys;

mod aliases;
mod api;
mod atlas;
mod checks;
mod draft;
mod keeping;
mod master;
mod places;
mod ramp;
mod rdata;
mod server;
mod shelf;
mod source;
mod steer;
mod udp;
mod webhooks;
mod words;
mod yaml;

pub use source::{Looked, Mark, changed};

use std::{
    collections::HashMap,
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use crate::{
    config::{Complaints, Field, Place, Report},
    geo::{Coordinates, Geo, Prefix},
    health::{Identity, ProbeSpec, Sanity, Tree},
    steer::Policy,
    wire::{Name, Rtype},
    zone::Zone,
};
use atlas::Atlas;
use keys::Keys;
use shelf::{Compiled, Context, Shelf, Stocked, Whole};
use source::Source;
pub use webhooks::{EventKind, Secret, Webhook};

/// Everything that the files say.
#[derive(Debug)]
pub struct Plan {
    /// What concerns the process and not the zones.
    pub settings: Settings,
    /// The zones, each apex once.
    pub zones: Vec<Arc<PlannedZone>>,
    /// What is known of addresses: the operator's networks over the files.
    pub geo: Arc<Geo>,
    /// The regions that are declared, in the order of the file.
    pub regions: Vec<Box<str>>,
    /// Where those of them are that say so.
    pub places: HashMap<Box<str>, Coordinates>,
    /// How much those of them can take that say so, in the operator's unit; above 0.
    pub capacities: HashMap<Box<str>, f64>,
    /// The distinct probes that the zones' endpoints refer to.
    pub probes: Vec<Arc<ProbeSpec>>,
    /// For each of them, the check that it executes; of equal ones the first.
    pub checks: Vec<Arc<str>>,
}

/// What concerns the process and not the zones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where questions come in, each over UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// How packets are taken in.
    pub udp: UdpSettings,
    /// Whom to become after binding.
    pub user: Option<String>,
    /// How long steered names wait for their first probes.
    pub startup_wait: Duration,
    /// When the prober is to doubt itself.
    pub sanity: Sanity,
    /// Where the API is; none: nowhere.
    pub api: Option<ApiSettings>,
    /// Whose questions for `explain.<name> TXT` are answered.
    pub explain_from: Arc<[Prefix]>,
    /// How measured round trips are taken.
    pub latency: LatencySettings,
    /// The folder in which the state survives a restart; none: it does not.
    pub state: Option<PathBuf>,
    /// Whom events are told.
    pub webhooks: Vec<Webhook>,
}

/// How packets are taken in. What is not said is as the machine has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UdpSettings {
    /// Threads per address.
    pub threads: Option<usize>,
    /// Cores that the threads take in turn; none: any.
    pub cores: Vec<usize>,
    /// Octets of the kernel's buffer for what comes in, per thread.
    pub receive_buffer_len: Option<usize>,
    /// Octets of the kernel's buffer for what goes out, per thread.
    pub send_buffer_len: Option<usize>,
    /// How long a thread asks again before it sleeps.
    pub busy_poll: Duration,
}

/// Where the API is, and who may use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiSettings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What callers have to know; none: nothing, and `listen` is a loopback address.
    pub keys: Option<Arc<Keys>>,
    /// What connections are encrypted with; none: they are not.
    pub tls: Option<Arc<Identity>>,
}

/// How measured round trips are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatencySettings {
    /// Samples below which a round trip does not count.
    pub samples_min: u32,
    /// The time in which a sample loses half of its weight.
    pub half_life: Duration,
    /// Percent by which a round trip has to change before clients are told.
    pub hysteresis_percent: u16,
}

/// What an empty server file says, but for its addresses.
impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            udp: UdpSettings::default(),
            user: None,
            startup_wait: server::STARTUP_WAIT_DEFAULT,
            sanity: Sanity::default(),
            api: None,
            explain_from: Arc::default(),
            latency: LatencySettings::default(),
            state: None,
            webhooks: Vec::new(),
        }
    }
}

impl Default for LatencySettings {
    fn default() -> Self {
        Self { samples_min: 20, half_life: Duration::from_hours(1), hysteresis_percent: 15 }
    }
}

/// A zone and the steered names in it.
#[derive(Debug, Clone)]
pub struct PlannedZone {
    /// The records.
    pub zone: Arc<Zone>,
    /// Indexed by `SteeredId`.
    pub steered: Vec<PlannedName>,
}

/// A steered name, and the probes of its endpoints.
#[derive(Debug, Clone)]
pub struct PlannedName {
    /// The name.
    pub owner: Name,
    /// How it is answered.
    pub policy: Arc<Policy>,
    /// Per pool and endpoint of the policy, what it rests on.
    pub probes: Vec<Vec<Tree>>,
}

/// What is remembered from one reading of the files to the next.
#[derive(Debug, Default)]
pub struct Memory {
    atlas: Atlas,
    shelf: Mutex<Shelf>,
}

/// What reading the files came to.
#[derive(Debug)]
pub struct Loaded {
    /// What they say, or everything that is wrong with them.
    pub plan: Result<Plan, Complaints>,
    /// What was read or looked for, good or bad, but for what `zones` has: who mends a file wants it
    /// read again.
    pub sources: Vec<Looked>,
    /// The zone files.
    pub zones: Arc<Vec<Looked>>,
}

/// Reads the server file and all that it refers to.
///
/// # Errors
///
/// Says everything that is wrong with any of the files.
pub fn load(path: &Path) -> Result<Plan, Complaints> {
    // Read at no known time, nothing is remembered, and nobody would ask for it.
    load_with(path, &Memory::default(), SystemTime::UNIX_EPOCH).plan
}

/// The same for whoever does it again and again: what is remembered is not read anew. `began` is now.
pub fn load_with(path: &Path, memory: &Memory, began: SystemTime) -> Loaded {
    let mut shelf = memory.shelf.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let report = Report::default();
        let mut reading = Reading {
            report: &report,
            sources: Vec::new(),
            zones: Arc::default(),
            kept: Vec::new(),
        };
        let plan = reading.plan(path, &memory.atlas, &mut shelf, began);
        let Reading { sources, zones, kept, .. } = reading;
        // To show a line of a file, it has to be read. Then nothing is kept, and the next turn is
        // the last.
        if report.concerns(|file| kept.binary_search(&file).is_ok()) {
            *shelf = Shelf::default();
            continue;
        }
        let plan = match (report.finish(), plan) {
            (Some(complaints), _) => Err(complaints),
            (None, plan) => Ok(plan.expect("a plan is missing only where there is a complaint")),
        };
        return Loaded { plan, sources, zones };
    }
}

/// All files, on the way to a plan.
struct Reading<'r> {
    report: &'r Report,
    sources: Vec<Looked>,
    zones: Arc<Vec<Looked>>,
    /// The files of which the report knows the name alone, in order.
    kept: Vec<u32>,
}

impl Reading<'_> {
    fn plan(
        &mut self,
        path: &Path,
        atlas: &Atlas,
        memory: &mut Shelf,
        began: SystemTime,
    ) -> Option<Plan> {
        let report = self.report;
        let mut sources = vec![path.to_owned()];
        let server = Source::first(path, report).and_then(|source| {
            // The other files are looked at afterwards.
            server::read(&source, report, &mut sources)
        });
        self.sources = sources.into_iter().map(Looked::at).collect();
        let mut server = server?;
        let declared = server.regions.iter().map(|it| it.name.as_str().into()).collect();
        // What a region can take is nothing to its zones.
        let capacity =
            |it: &mut places::Region| Some((it.name.as_str().into(), it.capacity.take()?));
        let capacities = server.regions.iter_mut().filter_map(capacity).collect();
        let place = |it: &places::Region| Some((it.name.as_str().into(), it.at?));
        let places = server.regions.iter().filter_map(place).collect();
        let context = Context { regions: server.regions, checks: server.checks, ramp: server.ramp };
        let again =
            if report.count() == 0 { memory.again(&server.zones, &context, began) } else { None };
        let whole = again.unwrap_or_else(|| self.all_zones(&server.zones, context, memory, began));
        self.sources.extend(whole.folders);
        self.zones = whole.looked;
        let base = atlas.base(&server.geoip, began, report)?;
        if report.count() != 0 {
            return None;
        }
        let geo = atlas.with_networks(&base, server.networks);
        let (probes, checks) = memory.probes();
        Some(Plan {
            settings: server.settings,
            zones: whole.zones,
            geo,
            regions: declared,
            places,
            capacities,
            probes,
            checks,
        })
    }

    /// Goes through all zone files. Of those with a mistake no zone is given.
    fn all_zones(
        &mut self,
        named: &[(PathBuf, Place)],
        context: Context,
        memory: &mut Shelf,
        began: SystemTime,
    ) -> Whole {
        let report = self.report;
        let (files, folders) = server::zone_files(named, report, &mut self.sources);
        let Stocked { mut files, kept, looked, includes } =
            memory.stock(files, context, began, report);
        self.sources.extend(includes);
        self.kept = kept;
        let apexes = apexes(&files, report);
        aliases::check(&files, &apexes, report);
        drop(apexes);
        let mut whole = Whole { zones: Vec::new(), looked: looked.into(), folders };
        if report.count() == 0 {
            memory.sweep(&mut files);
            whole.zones = files.iter().filter_map(|(file, _)| file.zone.clone()).collect();
            memory.remember(named, &whole);
        }
        whole
    }
}

/// Where each apex is said; complains of those that are there twice.
fn apexes<'f>(files: &'f [(Arc<Compiled>, u32)], report: &Report) -> HashMap<&'f Name, Place> {
    let mut apexes: HashMap<&Name, Place> = HashMap::with_capacity(files.len());
    for (compiled, file) in files {
        let Some((apex, place)) = &compiled.apex else { continue };
        let place = Place { file: file + place.file, ..*place };
        match apexes.get(apex) {
            None => drop(apexes.insert(apex, place)),
            Some(first) => zone_twice(report, apex, place, *first),
        }
    }
    apexes
}

fn zone_twice(report: &Report, apex: &Name, place: Place, first: Place) {
    let [first, again] = [first, place].map(|it| report.place_text(it));
    let hint = if first == again {
        "`zones` names this file twice; remove one".to_owned()
    } else {
        format!("the first is at {first}; remove one")
    };
    report.say(place, format!("the zone `{apex}` is there twice"), hint);
}

/// What a zone file is read against, and what is found in it besides records.
struct World<'r> {
    report: &'r Report,
    context: &'r Context,
    probes: checks::Probes,
    includes: Vec<PathBuf>,
    /// The apex, and where it is said.
    apex: Option<(Name, Place)>,
    /// What pools refer to in the place of endpoints.
    aliases: Vec<aliases::Alias>,
}

impl<'r> World<'r> {
    fn new(report: &'r Report, context: &'r Context) -> Self {
        Self {
            report,
            context,
            probes: checks::Probes::default(),
            includes: Vec::new(),
            apex: None,
            aliases: Vec::new(),
        }
    }
}

// ---- Complaints that both kinds of zone file have ----

impl World<'_> {
    fn outside(&self, place: Place, name: &Name, apex: &Name) {
        let message = format!("`{name}` is outside of the zone `{apex}`");
        let hint = "remove the final dot if the name is meant to be relative to the zone";
        self.report.say(place, message, hint);
    }

    fn bad_name(&self, place: Place, text: &str, (message, hint): (String, &str)) {
        self.report.say(place, format!("`{text}` is not a name: {message}"), hint);
    }

    fn bad_data(&self, place: Place, wrong: rdata::Wrong) {
        self.report.say(place, wrong.message, wrong.hint);
    }

    fn open_quote(&self, place: Place) {
        let hint = r#"close it, or write `\"` for a quote that is meant"#;
        self.report.say(place, "a quote is not closed", hint);
    }

    fn unknown_type(&self, place: Place, text: &str) {
        const COMMON: [&str; 19] = [
            "A", "AAAA", "CAA", "CNAME", "DNAME", "DS", "HTTPS", "MX", "NAPTR", "NS", "PTR", "SOA",
            "SRV", "SSHFP", "SVCB", "TLSA", "TXT", "steer", "ttl",
        ];
        let hint =
            crate::config::suggest(text, COMMON, "any type can be written as `TYPE123`; known are");
        self.report.say(place, format!("`{text}` is no record type"), hint);
    }

    /// Complains of a type that can not stand in a zone, and says whether it did.
    fn refuse_type(&self, place: Place, rtype: Rtype) -> bool {
        if rtype.is_meta() || rtype.0 == 0 {
            let message = format!("`{rtype}` can not stand in a zone");
            self.report.say(
                place,
                message,
                "it is a question or a part of the protocol; remove it",
            );
            return true;
        }
        let signed = matches!(
            rtype,
            Rtype::RRSIG | Rtype::NSEC | Rtype::NSEC3 | Rtype::NSEC3PARAM | Rtype::SIG | Rtype::NXT
        );
        if signed {
            let hint = "remove it; zones are served unsigned";
            self.report.say(place, format!("`{rtype}` is not supported yet"), hint);
        }
        signed
    }
}

/// The number in a field when it is in range; complains when it is not.
fn say_number(
    report: &Report,
    name: &str,
    field: &Field<u64>,
    range: RangeInclusive<u64>,
) -> Option<u64> {
    let (place, number) = field.placed()?;
    if range.contains(number) {
        return Some(*number);
    }
    let (low, high) = range.into_inner();
    let message = format!("`{name}` is {number}, which is out of range");
    report.say(place, message, format!("write a number from {low} to {high}"));
    None
}
