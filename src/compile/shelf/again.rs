//! Once more: the zone files are those of the last reading, and a few of them changed.
//!
//! ```text
//!   the same files? --no--> all are gone through (`stock`)
//!        |  each is looked at, on all cores
//!   a few changed: compiled; is each still the zone that it was, and right? --no--> likewise
//!        |
//!   they take their places in what is kept
//! ```
//!
//! Of a file that did not change nothing is touched but its mark: of a hundred thousand, that is what a
//! reload consists of.
//!
//! # Invariants
//!
//! - What comes of it is what going through all files would come to. Whatever might be complained of is
//!   left to that, before or after the changes took their places.

use std::{path::PathBuf, sync::Arc, thread, time::SystemTime};

use super::{Compiled, Context, Kept, Shelf, Taken, take};
use crate::{
    compile::{
        PlannedZone, aliases, apexes,
        source::{Looked, Mark, changed},
    },
    config::{Place, Report},
    limits::ZONES_AGAIN_MAX,
};

/// The last reading, where nothing was wrong and every file is on the shelf: `looked` and `zones` are
/// in the order of `kept`.
#[derive(Debug)]
pub(super) struct Last {
    /// What the server file names.
    named: Vec<PathBuf>,
    /// The folders among it.
    folders: Vec<Looked>,
    looked: Arc<Vec<Looked>>,
    zones: Vec<Arc<PlannedZone>>,
    /// Files that may have changed while they were read.
    unsettled: Vec<usize>,
    /// How many pools are other names.
    n_aliases: usize,
}

/// The zone files when nothing is wrong with them.
#[derive(Debug, Default)]
pub(in crate::compile) struct Whole {
    pub(in crate::compile) zones: Vec<Arc<PlannedZone>>,
    pub(in crate::compile) looked: Arc<Vec<Looked>>,
    /// The folders that they lie in, as far as the server file names these.
    pub(in crate::compile) folders: Vec<Looked>,
}

/// What became of a file that changed: where it stands, and its mark now.
type Changed = (usize, Mark, Taken);

impl Shelf {
    /// Remembers a reading in which nothing was wrong, if every file of it is kept.
    pub(in crate::compile) fn remember(&mut self, named: &[(PathBuf, Place)], whole: &Whole) {
        if self.kept.len() != whole.looked.len() || self.kept.len() != whole.zones.len() {
            return;
        }
        let is_unsettled = |idx: &usize| self.kept[*idx].mark.is_none();
        self.last = Some(Last {
            named: named.iter().map(|(path, _)| path.clone()).collect(),
            folders: whole.folders.clone(),
            looked: Arc::clone(&whole.looked),
            zones: whole.zones.clone(),
            unsettled: (0..self.kept.len()).filter(is_unsettled).collect(),
            n_aliases: self.kept.iter().map(|it| it.compiled.aliases.len()).sum(),
        });
    }

    /// Takes in what changed since the last reading; none where all has to be gone through.
    pub(in crate::compile) fn again(
        &mut self,
        named: &[(PathBuf, Place)],
        context: &Context,
        began: SystemTime,
    ) -> Option<Whole> {
        let mut last = self.last.take()?;
        let is_same = self.context == *context
            && last.named.iter().eq(named.iter().map(|(path, _)| path))
            && changed(&last.folders).is_empty();
        if !is_same {
            return None;
        }
        let changed = self.changed(&last, began)?;
        let has_left = !changed.is_empty() && self.exchange(&mut last, changed);
        if 0 < last.n_aliases && !self.aliases_lead_somewhere() {
            return None;
        }
        if has_left {
            self.renumber(&mut last.zones);
        }
        let Last { zones, looked, folders, .. } = &last;
        let whole =
            Whole { zones: zones.clone(), looked: Arc::clone(looked), folders: folders.clone() };
        self.last = Some(last);
        Some(whole)
    }

    /// The files that changed; none where some of them are not to be taken for what they were.
    fn changed(&self, last: &Last, began: SystemTime) -> Option<Vec<Changed>> {
        let mut differ = changed_on_all_cores(&last.looked);
        let unsettled = last.unsettled.iter().copied();
        let unsettled =
            unsettled.filter(|idx| differ.binary_search_by_key(idx, |it| it.0).is_err());
        let unsettled: Vec<usize> = unsettled.collect();
        let mark = |idx: usize| last.looked[idx].mark.clone().expect("it was looked at");
        differ.extend(unsettled.into_iter().map(|idx| (idx, mark(idx))));
        if ZONES_AGAIN_MAX < differ.len() {
            return None;
        }
        let taken = differ.into_iter().map(|(idx, mark)| {
            let known = &self.kept[idx];
            let taken = take(&known.path, &mark, Some(known), &self.context, began);
            is_expected(&taken, known).then_some((idx, mark, taken))
        });
        taken.collect()
    }

    /// Puts what changed in its place; whether anything rested on probes before.
    fn exchange(&mut self, last: &mut Last, changed: Vec<Changed>) -> bool {
        let mut rested = false;
        let looked = Arc::make_mut(&mut last.looked);
        last.unsettled.clear();
        for (idx, mark, taken) in changed {
            looked[idx].mark = Some(mark);
            let kept = match taken {
                Taken::Fresh(fresh) => self.number(*fresh).0,
                Taken::Kept(kept) => kept,
                Taken::Unreadable(_) => unreachable!("it is not expected"),
            };
            let before = std::mem::replace(&mut self.kept[idx], kept);
            let Kept { compiled, mark, .. } = &self.kept[idx];
            last.zones[idx] = Arc::clone(compiled.zone.as_ref().expect("nothing is wrong with it"));
            last.n_aliases += compiled.aliases.len();
            last.n_aliases -= before.compiled.aliases.len();
            last.unsettled.extend(mark.is_none().then_some(idx));
            rested |= !before.compiled.probes.is_empty();
        }
        last.unsettled.sort_unstable();
        self.sweep_policies();
        rested
    }

    /// Whether all aliases of all files do; what is wrong with those that do not is said elsewhere.
    fn aliases_lead_somewhere(&self) -> bool {
        let scratch = Report::default();
        let files = (0..).zip(&self.kept).map(|(idx, it)| (Arc::clone(&it.compiled), idx));
        let files: Vec<(Arc<Compiled>, u32)> = files.collect();
        aliases::check(&files, &apexes(&files, &scratch), &scratch);
        scratch.count() == 0
    }

    /// Lets go of probes that nobody uses any more, and numbers the others.
    fn renumber(&mut self, zones: &mut [Arc<PlannedZone>]) {
        let Some(numbers) = self.keep_used(|kept, is_used| {
            for it in kept {
                it.compiled.mark_used(is_used);
            }
        }) else {
            return;
        };
        for (kept, zone) in self.kept.iter_mut().zip(zones) {
            if kept.compiled.has_moved(&numbers) {
                kept.compiled = Arc::new(kept.compiled.renumbered(&numbers));
                *zone = Arc::clone(kept.compiled.zone.as_ref().expect("nothing is wrong with it"));
            }
        }
    }
}

/// Whether a file is still the zone that it was, and nothing is wrong with it by itself.
fn is_expected(taken: &Taken, known: &Kept) -> bool {
    let apex = |it: &Kept| it.compiled.apex.as_ref().map(|(apex, _)| apex.clone());
    match taken {
        Taken::Kept(_) => true,
        Taken::Unreadable(_) => false,
        Taken::Fresh(fresh) => fresh.is_good() && apex(&fresh.kept) == apex(known),
    }
}

/// Those that are not as they were, in their order.
fn changed_on_all_cores(looked: &[Looked]) -> Vec<(usize, Mark)> {
    let n_threads = thread::available_parallelism().map_or(1, Into::into);
    let part = looked.len().div_ceil(n_threads).max(FILES_PER_THREAD_MIN);
    thread::scope(|scope| {
        let parts = looked.chunks(part).enumerate().map(|(number, looked)| {
            scope.spawn(move || {
                let changed = changed(looked).into_iter();
                changed.map(|(idx, mark)| (number * part + idx, mark)).collect::<Vec<_>>()
            })
        });
        let parts: Vec<_> = parts.collect();
        // What a thread could not do for a bug is the bug of all.
        let join = |it: thread::ScopedJoinHandle<'_, Vec<_>>| {
            it.join().unwrap_or_else(|it| std::panic::resume_unwind(it))
        };
        parts.into_iter().flat_map(join).collect()
    })
}

/// Below that, a thread costs more than it brings.
const FILES_PER_THREAD_MIN: usize = 1000;
