//! Aliases: pools that are other names of this server, and whether those have what it takes.
//!
//! Looked up when all zones are there, as an answer looks them up: at the closest enclosing zone,
//! through wildcards.
//!
//! # Invariants
//!
//! - Afterwards no alias leads to nothing, to itself, or farther than an answer follows.
//! - A name in a zone that is wrong itself is not complained of: it may be there when that is put
//!   right.
//!
//! Not here: what an alias gives (`answer`), and who is decided anew after whom (`state`).

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::{PlannedZone, shelf::Compiled};
use crate::{
    config::{Place, Report, list},
    limits::ALIAS_DEPTH_MAX,
    wire::{Family, Folded, Name, Rtype},
    zone::{Found, Zone},
};

/// A pool that is another name.
#[derive(Debug, Clone)]
pub(super) struct Alias {
    /// Where the file says it.
    pub(super) place: Place,
    /// The steered name.
    pub(super) owner: Name,
    /// The name that its pool is.
    pub(super) target: Name,
}

/// By its owner, the steered names that a name's pools are, each with the alias that says so. Sorted,
/// so that what is complained of does not change from run to run.
type Leads<'w> = BTreeMap<&'w Name, Vec<(Place, &'w Name)>>;

/// What there is at a target.
enum At<'z> {
    Fixed,
    /// The owner, which is another name than the target where that is below a wildcard.
    Steered(&'z Name),
    /// Its zone is wrong.
    Unknown,
    Wrong(Wrong),
}

enum Wrong {
    NoZone,
    NoName,
    NoAddress,
    Cname,
    Dname,
    Delegated,
}

/// Complains of the aliases that lead nowhere or too far.
pub(super) fn check(
    files: &[(Arc<Compiled>, u32)],
    apexes: &HashMap<&Name, Place>,
    report: &Report,
) {
    if files.iter().all(|(file, _)| file.aliases.is_empty()) {
        return;
    }
    let zones = files.iter().filter_map(|(it, _)| it.zone.as_deref());
    let zones = Zones { apexes, by_apex: zones.map(|it| (it.zone.apex(), it)).collect() };
    let mut leads = Leads::new();
    for (file, number) in files {
        for alias in &file.aliases {
            let place = Place { file: number + alias.place.file, ..alias.place };
            match at(&alias.target, &zones) {
                At::Steered(owner) => {
                    leads.entry(&alias.owner).or_default().push((place, owner));
                }
                At::Fixed | At::Unknown => {}
                At::Wrong(wrong) => not_there(report, apexes, place, &alias.target, &wrong),
            }
        }
    }
    let heights = heights(&leads);
    find_loops(&leads, &heights, report);
    for (owner, height) in &heights {
        // Who leads to these is too far away as well, and put right with them.
        if *height == ALIAS_DEPTH_MAX + 1 {
            too_far(report, owner, &leads, &heights);
        }
    }
}

/// The zones by their apexes, and those of which the apex alone is known.
struct Zones<'z> {
    apexes: &'z HashMap<&'z Name, Place>,
    by_apex: HashMap<&'z Name, &'z PlannedZone>,
}

fn at<'z>(target: &Name, zones: &Zones<'z>) -> At<'z> {
    let mut around = std::iter::successors(Some(target.clone()), Name::parent);
    let Some(apex) = around.find(|it| zones.apexes.contains_key(it)) else {
        return At::Wrong(Wrong::NoZone);
    };
    let Some(planned) = zones.by_apex.get(&apex) else { return At::Unknown };
    let mut folded = Folded::default();
    folded.fold(target.as_wire()).expect("a name is valid");
    let zone: &Zone = &planned.zone;
    match (zone.find(&folded, Rtype::A), zone.find(&folded, Rtype::AAAA)) {
        (Found::Steered(_, Family::Name), _) => At::Wrong(Wrong::Cname),
        (Found::Steered(id, _), _) => At::Steered(&planned.steered[id.idx()].owner),
        (Found::Data(..), _) | (_, Found::Data(..)) => At::Fixed,
        (Found::Alias(_), _) => At::Wrong(Wrong::Cname),
        (Found::Redirect(..), _) => At::Wrong(Wrong::Dname),
        (Found::Referral(..), _) => At::Wrong(Wrong::Delegated),
        (Found::Nothing, _) => At::Wrong(Wrong::NoName),
        (Found::NoData | Found::Any, _) => At::Wrong(Wrong::NoAddress),
    }
}

/// How many aliases follow one another from a name on, at most; those that lead into a loop have no
/// such number.
fn heights<'w>(leads: &Leads<'w>) -> HashMap<&'w Name, usize> {
    let mut left: HashMap<&Name, usize> = HashMap::new();
    let mut led_to_by: HashMap<&Name, Vec<&Name>> = HashMap::new();
    for (owner, to) in leads {
        left.insert(owner, to.len());
        for (_, next) in to {
            left.entry(next).or_default();
            led_to_by.entry(next).or_default().push(owner);
        }
    }
    // From the ends backwards: a name's turn comes when all that it leads to have had theirs.
    let mut pending: Vec<&Name> =
        left.iter().filter(|(_, left)| **left == 0).map(|(name, _)| *name).collect();
    let mut heights: HashMap<&Name, usize> = HashMap::new();
    while let Some(name) = pending.pop() {
        let nexts = leads.get(name).into_iter().flatten();
        let height = nexts.map(|(_, next)| 1 + heights[next]).max().unwrap_or(0);
        heights.insert(name, height);
        for owner in led_to_by.get(name).into_iter().flatten() {
            let left = left.get_mut(owner).expect("every name has an entry");
            *left -= 1;
            if *left == 0 {
                pending.push(owner);
            }
        }
    }
    heights
}

/// Complains of loops, each once.
fn find_loops(leads: &Leads<'_>, heights: &HashMap<&Name, usize>, report: &Report) {
    let mut seen: HashSet<&Name> = HashSet::new();
    for owner in leads.keys().filter(|it| !heights.contains_key(*it)) {
        let mut path: Vec<(Place, &Name)> = Vec::new();
        let mut at = *owner;
        // Whoever leads into a loop leads to somebody who does, or is in it.
        while seen.insert(at) {
            let next = leads[at].iter().find(|(_, next)| !heights.contains_key(next));
            let (place, next) = next.expect("a name without a height leads to one without");
            path.push((*place, at));
            at = *next;
        }
        // Otherwise it joins a walk before, and the loop was found there.
        if let Some(begin) = path.iter().position(|(_, it)| *it == at) {
            is_loop(report, &path[begin..]);
        }
    }
}

// ---- Complaints ----

fn not_there(
    report: &Report,
    apexes: &HashMap<&Name, Place>,
    place: Place,
    target: &Name,
    wrong: &Wrong,
) {
    let (message, hint) = match wrong {
        Wrong::NoZone => {
            let mut apexes: Vec<String> = apexes.keys().map(ToString::to_string).collect();
            apexes.sort();
            let apexes = list(apexes.iter().map(String::as_str));
            (
                format!("`{target}` is in no zone of this server"),
                format!("those are {apexes}; a name of another server goes under `CNAME`"),
            )
        }
        Wrong::NoName => (
            format!("there is no name `{target}`"),
            "give it addresses or a `steer` block, or correct the alias".to_owned(),
        ),
        Wrong::NoAddress => (
            format!("`{target}` has no addresses"),
            "an alias is a name with A or AAAA records or with pools of them".to_owned(),
        ),
        Wrong::Cname => (
            format!("`{target}` is a CNAME"),
            "name what it leads to, if that is a name of this server".to_owned(),
        ),
        Wrong::Dname => (
            format!("`{target}` is below a DNAME"),
            "name what it leads to, if that is a name of this server".to_owned(),
        ),
        Wrong::Delegated => (
            format!("`{target}` is delegated to other servers"),
            "an alias is answered by this one; name a name of its own zones".to_owned(),
        ),
    };
    report.say(place, message, hint);
}

fn is_loop(report: &Report, path: &[(Place, &Name)]) {
    // Shown from where it stands first in the files, so that the complaint is always the same.
    let first = path.iter().enumerate().min_by_key(|(_, (place, _))| *place);
    let (first, (place, owner)) = first.expect("a loop has a name");
    let names = path[first..].iter().chain(&path[..first]).map(|(_, name)| *name);
    let names = chain(names.chain([*owner]));
    report.say(*place, format!("aliases lead in a loop: {names}"), "change one of them");
}

fn too_far(report: &Report, owner: &Name, leads: &Leads<'_>, heights: &HashMap<&Name, usize>) {
    let highest = |name: &Name| {
        let to = leads.get(name)?;
        to.iter().max_by_key(|(place, next)| (heights[next], std::cmp::Reverse(*place)))
    };
    let (place, first) = highest(owner).expect("its height is not 0");
    let rest = std::iter::successors(Some(*first), |at| highest(at).map(|(_, next)| *next));
    let names = chain([owner].into_iter().chain(rest));
    let hint = format!("an answer follows at most {ALIAS_DEPTH_MAX}; shorten the chain");
    report.say(*place, format!("too many aliases follow one another: {names}"), hint);
}

fn chain<'n>(names: impl Iterator<Item = &'n Name>) -> String {
    let names: Vec<String> = names.map(ToString::to_string).collect();
    format!("`{}`", names.join(" -> "))
}
