//! The shelf: what was compiled of each zone file, kept from one reading of the files to the next.
//!
//! ```text
//!   each file, on several threads                          in the order of the files
//!   mark as it was? -----------------> kept --------------\
//!   read; octets and time as before? -> kept --------------+--> numbers of probes, shared policies,
//!   else compile on its own ----------> fresh, complaints -/    one report: `Stocked`
//! ```
//!
//! A reload of one changed zone among a hundred thousand reads one, and mostly goes the way of
//! [`again`].
//!
//! # Invariants
//!
//! - What is kept says what the file says: a file that may have changed while it was read, one with a
//!   mistake in it, and one that includes others are read anew.
//! - A zone that steers is kept only while regions, checks and defaults are as they were.
//! - Every number of a probe in a kept zone is good in the plan that it is used in.
//!
//! Not here: what files say together (`aliases`, and `plan` above).

mod again;

use std::{
    collections::{HashMap, HashSet},
    fs::Metadata,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::SystemTime,
};

use again::Last;
pub(super) use again::Whole;
use ring::digest::{SHA256, digest};

use super::{
    PlannedZone, World,
    aliases::Alias,
    checks::{Checks, Probes},
    master,
    places::Region,
    server::ZoneAt,
    source::{Looked, Mark, Source, read_octets, source_error},
    yaml,
};
use crate::{
    config::{Place, Report},
    health::ProbeSpec,
    ids::ProbeId,
    steer::{Policy, Ramp},
    wire::Name,
};

/// What zone files that steer are read against.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Context {
    pub(super) regions: Vec<Region>,
    pub(super) checks: Checks,
    /// How pools come back where a zone file says nothing.
    pub(super) ramp: Option<Ramp>,
}

/// What a zone file says. Places count files from the one itself.
#[derive(Debug)]
pub(super) struct Compiled {
    /// The apex and where it is said; none where that is wrong.
    pub(super) apex: Option<(Name, Place)>,
    /// None where anything is wrong.
    pub(super) zone: Option<Arc<PlannedZone>>,
    /// What pools refer to in the place of endpoints.
    pub(super) aliases: Vec<Alias>,
    /// The probes that the zone's names rest on, each once.
    probes: Vec<ProbeId>,
}

/// What was compiled of a file, and of which state of it.
#[derive(Debug, Clone)]
struct Kept {
    path: Arc<Path>,
    /// None: it may have changed while it was read.
    mark: Option<Mark>,
    digest: [u8; 32],
    /// When it was changed, in seconds since 1970: a serial may be made from it.
    changed: u64,
    compiled: Arc<Compiled>,
}

/// What was compiled last.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    context: Context,
    /// In the order of the server file.
    kept: Vec<Kept>,
    probes: Probes,
    policies: HashSet<Arc<Policy>>,
    /// How many policies there were when those were let go of that nobody uses.
    policies_swept: usize,
    last: Option<Last>,
}

/// What all zone files say, each by itself.
#[derive(Debug)]
pub(super) struct Stocked {
    /// With the number that each file has in the report.
    pub(super) files: Vec<(Arc<Compiled>, u32)>,
    /// The files of which the report knows the name alone.
    pub(super) kept: Vec<u32>,
    /// The files, as they were found.
    pub(super) looked: Vec<Looked>,
    /// Those that they include.
    pub(super) includes: Vec<Looked>,
}

/// What came of one file.
enum Taken {
    Kept(Kept),
    Fresh(Box<Fresh>),
    Unreadable(std::io::Error),
}

/// A file that was compiled, with numbers of its own.
struct Fresh {
    kept: Kept,
    zone: Option<PlannedZone>,
    includes: Vec<PathBuf>,
    probes: Probes,
    report: Report,
}

impl Shelf {
    /// Takes in what files say, which are read from `began` on.
    pub(super) fn stock(
        &mut self,
        files: Vec<ZoneAt>,
        context: Context,
        began: SystemTime,
        report: &Report,
    ) -> Stocked {
        let is_same = self.context == context;
        if !is_same {
            // All zones that rest on them are compiled anew.
            self.probes.forget_names();
        }
        self.context = context;
        let known = self.known(&files, is_same);
        let taken = take_all(&files, &known, &self.context, began);
        drop(known);
        self.kept.clear();
        let mut stocked = Stocked {
            files: Vec::with_capacity(files.len()),
            kept: Vec::new(),
            looked: Vec::with_capacity(files.len()),
            includes: Vec::new(),
        };
        let nothing: Arc<str> = Arc::default();
        for (ZoneAt { path, place, entry }, (mark, taken)) in files.into_iter().zip(taken) {
            let is_plain = entry.is_some();
            stocked.looked.push(Looked { path: Arc::clone(&path), mark: Some(mark), is_plain });
            match taken {
                Taken::Unreadable(error) => source_error(report, place, &path, &error),
                Taken::Kept(kept) => {
                    let file = report.add(path, Arc::clone(&nothing));
                    stocked.kept.push(file);
                    stocked.files.push((Arc::clone(&kept.compiled), file));
                    self.kept.push(kept);
                }
                Taken::Fresh(fresh) => self.add(*fresh, report, &mut stocked),
            }
        }
        stocked
    }

    /// For each file, what is known of it.
    fn known(&self, files: &[ZoneAt], is_same: bool) -> Vec<Option<&Kept>> {
        let steers = |it: &Kept| it.compiled.zone.as_ref().is_some_and(|it| !it.steered.is_empty());
        let is_good = |it: &&Kept| is_same || !steers(it);
        // Mostly all files are there still, and where they were.
        let is_there = |(idx, file): (usize, &ZoneAt)| {
            self.kept.get(idx).is_some_and(|it| it.path.as_os_str() == file.path.as_os_str())
        };
        if self.kept.len() == files.len() && files.iter().enumerate().all(is_there) {
            return self.kept.iter().map(|it| Some(it).filter(is_good)).collect();
        }
        let by_path: HashMap<_, _> = self.kept.iter().map(|it| (it.path.as_os_str(), it)).collect();
        let find = |file: &ZoneAt| by_path.get(file.path.as_os_str()).copied().filter(is_good);
        files.iter().map(find).collect()
    }

    /// Takes in what was compiled anew, under the numbers and among the policies of all.
    fn add(&mut self, fresh: Fresh, report: &Report, stocked: &mut Stocked) {
        let is_good = fresh.is_good();
        let (kept, includes, own) = self.number(fresh);
        let file = report.absorb(own);
        stocked.files.push((Arc::clone(&kept.compiled), file));
        if is_good {
            self.kept.push(kept);
        }
        stocked.includes.extend(includes.into_iter().map(Looked::at));
    }

    /// What was compiled anew under the numbers and among the policies of all; what it includes, and
    /// what is wrong with it.
    fn number(&mut self, fresh: Fresh) -> (Kept, Vec<PathBuf>, Report) {
        let Fresh { mut kept, zone, includes, probes, report } = fresh;
        let compiled = Arc::get_mut(&mut kept.compiled).expect("nobody else has it yet");
        compiled.zone = zone.map(|mut zone| {
            let ids: Vec<ProbeId> = self.probes.absorb(probes);
            for name in &mut zone.steered {
                name.policy = self.policy(&name.policy);
                for tree in name.probes.iter_mut().flatten() {
                    tree.renumber(&|id| ids[id.idx()]);
                }
            }
            compiled.probes = ids;
            Arc::new(zone)
        });
        (kept, includes, report)
    }

    /// The policy that is equal to this one, so that names that differ in nothing are decided once.
    fn policy(&mut self, policy: &Arc<Policy>) -> Arc<Policy> {
        if let Some(known) = self.policies.get(policy) {
            return Arc::clone(known);
        }
        self.policies.insert(Arc::clone(policy));
        Arc::clone(policy)
    }

    /// The probes that the zones rest on, and the checks they are of.
    pub(super) fn probes(&self) -> (Vec<Arc<ProbeSpec>>, Vec<Arc<str>>) {
        (self.probes.specs.clone(), self.probes.names())
    }

    /// Lets go of what nobody uses any more, when all files were gone through.
    pub(super) fn sweep(&mut self, files: &mut [(Arc<Compiled>, u32)]) {
        let numbers = self.keep_used(|_, is_used| {
            for (file, _) in files.iter() {
                file.mark_used(is_used);
            }
        });
        if let Some(numbers) = numbers {
            // Only where a probe went is a zone renumbered, and only one that the last ones were of.
            for (file, _) in files.iter_mut().filter(|(file, _)| file.has_moved(&numbers)) {
                *file = Arc::new(file.renumbered(&numbers));
            }
            self.kept_again(files);
        }
        self.sweep_policies();
    }

    /// Lets go of the probes that are not marked; the numbers of the others, if some of them are new.
    fn keep_used(&mut self, mark: impl FnOnce(&[Kept], &mut [bool])) -> Option<Vec<ProbeId>> {
        let mut is_used = vec![false; self.probes.specs.len()];
        mark(&self.kept, &mut is_used);
        self.probes.keep(&is_used)
    }

    /// Lets go of policies that nobody has any more, if it may be that they are many.
    fn sweep_policies(&mut self) {
        let few = self.policies_swept / 8 + POLICIES_FEW;
        if self.policies_swept + few < self.policies.len() {
            self.policies.retain(|it| 1 < Arc::strong_count(it));
            self.policies_swept = self.policies.len();
        }
    }

    /// Keeps the files as they are numbered now.
    fn kept_again(&mut self, files: &[(Arc<Compiled>, u32)]) {
        let by_apex: HashMap<&Name, &Arc<Compiled>> =
            files.iter().filter_map(|(it, _)| Some((&it.apex.as_ref()?.0, it))).collect();
        for kept in &mut self.kept {
            let apex = kept.compiled.apex.as_ref().map(|(apex, _)| apex);
            let now = apex.and_then(|it| by_apex.get(it)).expect("each kept file is a file");
            kept.compiled = Arc::clone(now);
        }
    }
}

/// Policies that may lie about unused.
const POLICIES_FEW: usize = 64;

impl Fresh {
    /// Whether nothing is wrong with the file by itself, and it is all that there is to its zone.
    fn is_good(&self) -> bool {
        self.report.count() == 0 && self.zone.is_some() && self.includes.is_empty()
    }
}

impl Compiled {
    fn mark_used(&self, is_used: &mut [bool]) {
        self.probes.iter().for_each(|id| is_used[id.idx()] = true);
    }

    fn has_moved(&self, numbers: &[ProbeId]) -> bool {
        self.probes.iter().any(|id| numbers[id.idx()] != *id)
    }

    fn renumbered(&self, numbers: &[ProbeId]) -> Self {
        let zone = self.zone.as_ref().map(|zone| {
            let mut zone = PlannedZone::clone(zone);
            let trees = zone.steered.iter_mut().flat_map(|it| it.probes.iter_mut().flatten());
            trees.for_each(|tree| tree.renumber(&|id| numbers[id.idx()]));
            Arc::new(zone)
        });
        Self {
            apex: self.apex.clone(),
            zone,
            aliases: self.aliases.clone(),
            probes: self.probes.iter().map(|id| numbers[id.idx()]).collect(),
        }
    }
}

/// Reads the files that are not as they are known to be, on several threads.
fn take_all(
    files: &[ZoneAt],
    known: &[Option<&Kept>],
    context: &Context,
    began: SystemTime,
) -> Vec<(Mark, Taken)> {
    let cores = thread::available_parallelism().map_or(1, Into::into);
    // Where there is something to keep, something is served, and not all cores are ours.
    let is_first = known.iter().all(Option::is_none);
    let n_threads = if is_first { cores } else { cores.div_ceil(2) }.min(files.len());
    let next = AtomicUsize::new(0);
    let all: Mutex<Vec<Option<(Mark, Taken)>>> = Mutex::new(files.iter().map(|_| None).collect());
    let work = || {
        loop {
            let first = next.fetch_add(FILES_AT_ONCE, Relaxed);
            let end = files.len().min(first + FILES_AT_ONCE);
            if end <= first {
                return;
            }
            let look = |idx: usize| {
                let ZoneAt { path, entry, .. } = &files[idx];
                let metadata = entry.as_ref().and_then(|it| it.metadata().ok());
                let metadata = metadata.filter(Metadata::is_file);
                let mark = metadata.map_or_else(|| Mark::of(path), |it| Mark::of_file(&it));
                let taken = take(path, &mark, known[idx], context, began);
                (mark, taken)
            };
            let some: Vec<_> = (first..end).map(look).collect();
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            all[first..end].iter_mut().zip(some).for_each(|(slot, it)| *slot = Some(it));
        }
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..n_threads).map(|_| scope.spawn(work)).collect();
        work();
        // What a thread could not do for a bug is the bug of all.
        for other in others {
            other.join().unwrap_or_else(|it| std::panic::resume_unwind(it));
        }
    });
    let all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    all.into_iter().map(|it| it.expect("every file was taken")).collect()
}

/// Files that a thread takes together.
const FILES_AT_ONCE: usize = 64;

/// What a file says that looks like this, which is read if need be.
fn take(
    path: &Arc<Path>,
    mark: &Mark,
    known: Option<&Kept>,
    context: &Context,
    began: SystemTime,
) -> Taken {
    if let Some(known) = known
        && known.mark.as_ref() == Some(mark)
    {
        return Taken::Kept(known.clone());
    }
    let (octets, changed) = match read_octets(path) {
        Ok(read) => read,
        Err(error) => return Taken::Unreadable(error),
    };
    let settled = mark.is_settled(began).then(|| mark.clone());
    let hash: [u8; 32] = digest(&SHA256, &octets).as_ref().try_into().expect("of that length");
    let kept =
        |compiled| Kept { path: Arc::clone(path), mark: settled, digest: hash, changed, compiled };
    if let Some(known) = known
        && (known.digest, known.changed) == (hash, changed)
    {
        return Taken::Kept(kept(Arc::clone(&known.compiled)));
    }
    let report = Report::default();
    let mut world = World::new(&report, context);
    let source = Source::new(path, octets, changed, &report);
    let zone = source.and_then(|source| match path.extension() {
        Some(extension) if extension == "zone" => master::read(&source, &mut world),
        _ => yaml::read(&source, &mut world),
    });
    let World { apex, aliases, probes, includes, .. } = world;
    let compiled = Compiled { apex, zone: None, aliases, probes: Vec::new() };
    let fresh = Fresh { kept: kept(Arc::new(compiled)), zone, includes, probes, report };
    Taken::Fresh(Box::new(fresh))
}
