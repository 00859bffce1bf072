//! Checks: from the `checks` of the server file to the probes of endpoints.
//!
//! ```text
//!   CheckFile --> Check, a tree of Templates --+ endpoint, steered name --> Tree of probes
//! ```
//!
//! A [`Template`] together with an endpoint and the steered name makes a [`ProbeSpec`]. Equal specs
//! are one probe.
//!
//! *Not here:* which endpoint refers to which check (`steer`), and what a tree says (`health`).

mod leaf;
mod kinds;
mod say;

use std::{
    collections::HashMap,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub(super) use leaf::{is_host, target_of};
pub(super) use say::bad_target;

use leaf::split_port;

use super::say_number;
use crate::{
    config::{
        Entries, Field, Key, Place, Report,
        check::{AtLeastFile, CheckFile, CheckRef},
    },
    health::{Flap, Kind, ProbeSpec, Target, Tree},
    ids::ProbeId,
    limits::{CHECK_DEPTH_MAX, CHECK_LEAVES_MAX},
    wire::Name,
};

const EVERY_DEFAULT: Duration = Duration::from_secs(10);
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(3);
const FALL_DEFAULT: u32 = 3;
const RISE_DEFAULT: u32 = 2;
const FLAP_CHANGES_DEFAULT: u32 = 6;
const FLAP_WINDOW_DEFAULT: Duration = Duration::from_mins(10);
const FLAP_HOLD_DEFAULT: Duration = Duration::from_mins(5);

/// The kinds, as a complaint lists them.
const KINDS: [&str; 12] = [
    "http", "https", "tcp", "tls", "dns", "icmp", "grpc", "exec", "push", "all_of", "any_of",
    "at_least",
];

/// A check without the endpoint.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Check {
    /// One that is probed.
    Leaf(Box<Template>),
    /// All of these.
    All(Vec<Check>),
    /// One of these.
    Any(Vec<Check>),
    /// So many of these.
    AtLeast(usize, Vec<Check>),
    /// The contrary of this, which is not a leaf.
    Not(Box<Check>),
}

/// A check that is probed, without the endpoint.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Template {
    /// The check it is in, by the name that the operator gave.
    name: Arc<str>,
    kind: Kind,
    /// Whether the host is still to come from the steered name.
    host_open: bool,
    /// Likewise the name asked for in the handshake.
    sni_open: bool,
    port: u16,
    target: Option<Target>,
    invert: bool,
    every: Duration,
    timeout: Duration,
    fall: u32,
    rise: u32,
    flap: Option<Flap>,
}

/// The checks by name; none: that check has been complained of.
pub(super) type Checks = HashMap<String, Option<Check>>;

/// The distinct probes.
#[derive(Debug, Default)]
pub(super) struct Probes {
    ids: HashMap<Arc<ProbeSpec>, ProbeId>,
    pub(super) specs: Vec<Arc<ProbeSpec>>,
    /// The check that each was made from first; none: that is to be seen again.
    names: Vec<Option<Arc<str>>>,
}

impl Probes {
    /// What an endpoint of a steered name rests on when all of `checks` must pass.
    pub(super) fn all(&mut self, checks: &[&Check], endpoint: &Target, owner: &Name) -> Tree {
        let members = checks.iter().map(|check| self.tree(check, endpoint, owner)).collect();
        all_of(members)
    }

    fn tree(&mut self, check: &Check, endpoint: &Target, owner: &Name) -> Tree {
        let mut each = |checks: &[Check]| -> Vec<Tree> {
            checks.iter().map(|it| self.tree(it, endpoint, owner)).collect()
        };
        match check {
            Check::Leaf(template) => Tree::Probe(self.id(template, template.spec(endpoint, owner))),
            Check::All(of) => all_of(each(of)),
            Check::Any(of) => Tree::Any(each(of).into()),
            Check::AtLeast(count, of) => Tree::AtLeast(*count, each(of).into()),
            Check::Not(of) => Tree::Not(Box::new(self.tree(of, endpoint, owner))),
        }
    }

    /// The probe of this spec, made from a check; it may be there already.
    fn id(&mut self, check: &Template, spec: ProbeSpec) -> ProbeId {
        match self.ids.get(&spec) {
            Some(id) => *id,
            None => self.add(Arc::new(spec), Arc::clone(&check.name)),
        }
    }

    fn add(&mut self, spec: Arc<ProbeSpec>, name: Arc<str>) -> ProbeId {
        let id = ProbeId::at(self.specs.len());
        self.ids.insert(Arc::clone(&spec), id);
        self.specs.push(spec);
        self.names.push(Some(name));
        id
    }

    /// Takes others in, and says which number each of them has here.
    pub(super) fn absorb(&mut self, other: Self) -> Vec<ProbeId> {
        let others = other.specs.into_iter().zip(other.names);
        let id = |(spec, name): (_, Option<_>)| {
            let name = name.expect("each was made from a check");
            match self.ids.get(&spec) {
                Some(id) => {
                    self.names[id.idx()].get_or_insert(name);
                    *id
                }
                None => self.add(spec, name),
            }
        };
        others.map(id).collect()
    }

    /// Forgets which checks they were made from: these may have other names now.
    pub(super) fn forget_names(&mut self) {
        self.names.fill(None);
    }

    /// The check that each was made from first.
    pub(super) fn names(&self) -> Vec<Arc<str>> {
        let name = |it: &Option<Arc<str>>| Arc::clone(it.as_ref().expect("it was seen again"));
        self.names.iter().map(name).collect()
    }

    /// Lets go of those that are not used; where there are any, says which number each of the others
    /// has now: the last ones take the places that are free.
    pub(super) fn keep(&mut self, is_used: &[bool]) -> Option<Vec<ProbeId>> {
        let mut numbers: Vec<ProbeId> = (0..self.specs.len()).map(ProbeId::at).collect();
        let mut last = self.specs.len();
        let mut at = 0;
        while at < last {
            if is_used[numbers[at].idx()] {
                at += 1;
                continue;
            }
            last -= 1;
            let gone = self.specs.swap_remove(at);
            self.names.swap_remove(at);
            self.ids.remove(&gone);
            numbers.swap(at, last);
        }
        if last == numbers.len() {
            return None;
        }
        let mut now = vec![ProbeId(0); numbers.len()];
        for (idx, spec) in self.specs.iter().enumerate() {
            self.ids.insert(Arc::clone(spec), ProbeId::at(idx));
            now[numbers[idx].idx()] = ProbeId::at(idx);
        }
        Some(now)
    }
}

/// All of these, each once; one alone is itself.
fn all_of(members: Vec<Tree>) -> Tree {
    let mut distinct: Vec<Tree> = Vec::with_capacity(members.len());
    for member in members {
        if !distinct.contains(&member) {
            distinct.push(member);
        }
    }
    if distinct.len() == 1 { distinct.remove(0) } else { Tree::All(distinct.into()) }
}

impl Check {
    /// Whether it takes the host from the steered name, which then has to be one.
    pub(super) fn needs_host(&self) -> bool {
        self.any_leaf(&|it| it.host_open)
    }

    /// Whether it looks the endpoint up, which then has to be a host.
    pub(super) fn needs_target(&self) -> bool {
        self.any_leaf(&|it| it.target.is_none() && !matches!(it.kind, Kind::Push(_)))
    }

    fn any_leaf(&self, is_such: &impl Fn(&Template) -> bool) -> bool {
        match self {
            Self::Leaf(template) => is_such(template),
            Self::All(of) | Self::Any(of) | Self::AtLeast(_, of) => {
                of.iter().any(|it| it.any_leaf(is_such))
            }
            Self::Not(of) => of.any_leaf(is_such),
        }
    }

    fn leaves(&self) -> usize {
        match self {
            Self::Leaf(_) => 1,
            Self::All(of) | Self::Any(of) | Self::AtLeast(_, of) => {
                of.iter().map(Self::leaves).sum()
            }
            Self::Not(of) => of.leaves(),
        }
    }
}

impl Template {
    /// What is probed for an endpoint of a steered name.
    fn spec(&self, endpoint: &Target, owner: &Name) -> ProbeSpec {
        let mut kind = self.kind.clone();
        match &mut kind {
            Kind::Http(http) => {
                if self.host_open {
                    http.host = host_text(owner);
                }
                if let Some(tls) = http.tls.as_mut().filter(|_| self.sni_open) {
                    tls.sni = split_port(&http.host).0.into();
                }
            }
            Kind::Tls(tls) if self.sni_open => tls.sni = host_text(owner),
            Kind::Grpc(grpc) if self.host_open => {
                grpc.host = host_text(owner);
                if let Some(tls) = &mut grpc.tls {
                    tls.sni = grpc.host.clone();
                }
            }
            Kind::Push(push) => return self.heartbeat(push.expires, kind),
            _ => {}
        }
        ProbeSpec {
            target: self.target.clone().unwrap_or_else(|| endpoint.clone()),
            port: self.port,
            kind,
            invert: self.invert,
            every: self.every,
            timeout: self.timeout,
            fall: self.fall,
            rise: self.rise,
            flap: self.flap,
        }
    }

    /// A heartbeat is of a check and not of an endpoint, and the latest one decides.
    fn heartbeat(&self, expires: Duration, kind: Kind) -> ProbeSpec {
        ProbeSpec {
            target: Target::Host(Box::default()),
            port: self.port,
            kind,
            invert: false,
            every: expires,
            timeout: expires,
            fall: 1,
            rise: 1,
            flap: self.flap,
        }
    }
}

/// The address whose certificate a probe would ask of somebody else. No handshake can: an address
/// is never sent as SNI (RFC 6066 section 3), so that it stands for whom one connects to.
pub(super) fn foreign_address(spec: &ProbeSpec) -> Option<IpAddr> {
    let tls = match &spec.kind {
        Kind::Http(http) => http.tls.as_ref(),
        Kind::Tls(tls) => Some(tls),
        Kind::Grpc(grpc) => grpc.tls.as_ref(),
        _ => None,
    };
    let address = tls?.sni.trim_matches(['[', ']']).parse().ok()?;
    (spec.target != Target::Address(address)).then_some(address)
}

/// A name as a host: without the final dot.
pub(super) fn host_text(name: &Name) -> Box<str> {
    name.to_string().trim_end_matches('.').into()
}

/// Reads the `checks`; `folder` is where their files are.
pub(super) fn read(
    entries: Option<&Entries<'_, CheckFile<'_>>>,
    folder: &Path,
    report: &Report,
    sources: &mut Vec<PathBuf>,
) -> Checks {
    let entries = entries.map_or(&[][..], |it| &it.0);
    let files = entries.iter().filter_map(|(key, check)| match key {
        Key::Given(place, name) => Some((*name, (*place, check))),
        _ => None,
    });
    let mut reader = Reader {
        report,
        folder,
        sources,
        files: files.collect(),
        done: Checks::new(),
        way: Vec::new(),
    };
    for (key, _) in entries {
        if let Some((place, name)) = key.placed() {
            let _ = reader.named(name, place);
        }
    }
    reader.done
}

struct Reader<'r, 'f> {
    report: &'r Report,
    folder: &'r Path,
    sources: &'r mut Vec<PathBuf>,
    /// What stands under `checks`.
    files: HashMap<&'f str, (Place, &'f Field<CheckFile<'f>>)>,
    /// What of it has been read.
    done: Checks,
    /// What is being read, from the outside inwards.
    way: Vec<&'f str>,
}

impl<'f> Reader<'_, 'f> {
    /// The check of this name; none: it has been complained of. `at` is where it is named.
    fn named(&mut self, name: &str, at: Place) -> Option<Check> {
        if let Some(done) = self.done.get(name) {
            return done.clone();
        }
        let Some((name, (place, file))) = self.files.get_key_value(name) else {
            self.undeclared(at, name);
            return None;
        };
        let (name, place, file): (&'f str, Place, &'f Field<CheckFile<'f>>) = (name, *place, file);
        if let Some(begin) = self.way.iter().position(|it| *it == name) {
            self.circle(at, name, &self.way[begin..]);
            return None;
        }
        self.way.push(name);
        let check = file.given().and_then(|file| self.check(place, Some(name), file, 1));
        self.way.pop();
        self.done.insert(name.to_owned(), check.clone());
        check
    }

    fn check(
        &mut self,
        place: Place,
        name: Option<&str>,
        check: &CheckFile<'_>,
        depth: usize,
    ) -> Option<Check> {
        let before = self.report.count();
        let places = [
            check.http.place(),
            check.https.place(),
            check.tcp.place(),
            check.tls.place(),
            check.dns.place(),
            check.icmp.place(),
            check.grpc.place(),
            check.exec.place(),
            check.push.place(),
            check.all_of.place(),
            check.any_of.place(),
            check.at_least.place(),
        ];
        let mut kinds = places.into_iter().flatten();
        match (kinds.next(), kinds.max()) {
            (None, _) => self.no_kind(place),
            (Some(first), Some(second)) => self.several_kinds(first.max(second)),
            (Some(_), None) => {}
        }
        let read = match places.iter().position(Option::is_some) {
            Some(kind) if 9 <= kind => self.composite(check, KINDS[kind], depth),
            _ => self.leaf(place, name, check),
        }?;
        let leaves = read.leaves();
        if CHECK_LEAVES_MAX < leaves {
            self.too_many_leaves(place, leaves);
        }
        (self.report.count() == before).then_some(read)
    }

    /// A check of checks.
    fn composite(&mut self, check: &CheckFile<'_>, kind: &str, depth: usize) -> Option<Check> {
        let foreign = [
            ("every", check.every.place()),
            ("timeout", check.timeout.place()),
            ("fall", check.fall.place()),
            ("rise", check.rise.place()),
            ("target", check.target.place()),
            ("flap", check.flap.place()),
        ];
        for (key, place) in foreign {
            if let Some(place) = place {
                self.of_members(place, key, kind);
            }
        }
        let read = if let Some((place, of)) = check.all_of.placed() {
            Check::All(self.members(place, kind, of, depth)?)
        } else if let Some((place, of)) = check.any_of.placed() {
            Check::Any(self.members(place, kind, of, depth)?)
        } else {
            let (at, file) = check.at_least.placed()?;
            let of = file.of.given().map_or(&[][..], |it| it);
            let members = self.members(file.of.place().unwrap_or(at), kind, of, depth);
            let count = self.count_of(at, file, of.len())?;
            Check::AtLeast(count, members?)
        };
        let is_inverted = check.invert.given() == Some(&true);
        Some(if is_inverted { Check::Not(Box::new(read)) } else { read })
    }

    /// How many of the members of an `at_least` have to pass.
    fn count_of(&self, place: Place, file: &AtLeastFile<'_>, members: usize) -> Option<usize> {
        if file.count.is_absent() == file.percent.is_absent() {
            self.no_number(place);
            return None;
        }
        if let Some((place, count)) = file.count.placed() {
            say_number(self.report, "count", &file.count, 1..=CHECK_LEAVES_MAX as u64)?;
            let number = usize::try_from(*count).ok()?;
            if members < number && 0 < members {
                self.count_above(place, *count, members);
                return None;
            }
            return Some(number);
        }
        let percent = say_number(self.report, "percent", &file.percent, 1..=100)?;
        // What is not a whole number of checks is one more.
        Some((members * usize::try_from(percent).ok()?).div_ceil(100))
    }

    fn members(
        &mut self,
        place: Place,
        kind: &str,
        of: &[Field<CheckRef<'_>>],
        depth: usize,
    ) -> Option<Vec<Check>> {
        if of.is_empty() {
            self.no_members(place, kind);
            return None;
        }
        // Names lead deeper, too: each on the way is a level.
        if CHECK_DEPTH_MAX < depth + self.way.len() {
            self.too_deep(place);
            return None;
        }
        let mut members = Some(Vec::with_capacity(of.len()));
        for (place, member) in of.iter().filter_map(Field::placed) {
            let member = match member {
                CheckRef::Text(name) => self.named(name, place),
                CheckRef::Map(file) => self.check(place, None, file, depth + 1),
            };
            // One that is missing has been complained of; the others may be wrong as well.
            match (&mut members, member) {
                (Some(members), Some(member)) => members.push(member),
                _ => members = None,
            }
        }
        members.filter(|it| it.len() == of.len())
    }
}
