//! Files: noticing that what was read has changed.
//!
//! ```text
//!   the kernel --event--> settle (200 ms of quiet, at most 2 s) --> "look again"
//!                         look again: is the fingerprint another? --> reload
//! ```
//!
//! Folders are watched and not files, because editors and deployments put a new file in the place
//! of the old.
//!
//! # Invariants
//!
//! - Reading the files is no change: only what alters a file or a folder is an event.
//! - Where watching does not work, the log says so and SIGHUP still does.
//!
//! Not here: what is read (`compile`).

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, timeout_at},
};

use crate::{
    clock,
    compile::{Loaded, Looked, Mark, Plan, changed},
    config::Complaints,
    limits::{LINKS_MAX, RELOAD_SETTLE, RELOAD_SETTLE_MAX},
};

/// What tells one state of the sources from another, short of reading them.
#[derive(Debug)]
pub(super) struct Fingerprint {
    marks: Vec<(Arc<Path>, Mark)>,
    zones: Arc<Vec<Looked>>,
    /// Whether a file was changed while it was read, so that what was read may be older.
    doubtful: bool,
    /// Those whose entries decide what the sources are.
    folders: BTreeSet<PathBuf>,
}

impl Fingerprint {
    /// What files say that are read from `began` on, and the state that they were in.
    pub(super) fn of(loaded: Loaded, began: SystemTime) -> (Result<Plan, Complaints>, Self) {
        let Loaded { plan, sources, zones } = loaded;
        (plan, Self::of_sources(sources, zones, began))
    }

    fn of_sources(sources: Vec<Looked>, zones: Arc<Vec<Looked>>, began: SystemTime) -> Self {
        let folders = folders_of(sources.iter().chain(&*zones));
        let mark = |Looked { path, mark, .. }: Looked| {
            let mark = mark.unwrap_or_else(|| Mark::of(&path));
            (path, mark)
        };
        let marks: Vec<_> = sources.into_iter().map(mark).collect();
        let now = clock::wall();
        let is_new = |mark: &Mark| mark.modified().is_some_and(|at| began <= at && at <= now);
        let all = marks.iter().map(|(_, mark)| mark);
        let mut all = all.chain(zones.iter().filter_map(|it| it.mark.as_ref()));
        let doubtful = all.any(is_new);
        Self { marks, zones, doubtful, folders }
    }

    /// Whether a file was changed while it was read.
    pub(super) fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// Whether what was read is what the sources hold.
    pub(super) fn holds(&self) -> bool {
        !self.doubtful
            && self.marks.iter().all(|(path, mark)| *mark == Mark::of(path))
            && changed(&self.zones).is_empty()
    }

    /// The folders whose entries decide what the sources are.
    pub(super) fn folders(&self) -> &BTreeSet<PathBuf> {
        &self.folders
    }
}

/// The watch over the folders that the sources lie in.
#[derive(Debug)]
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    touched: Arc<Notify>,
}

impl Watch {
    /// Begins to watch, and gives a message whenever something in these folders may have changed and
    /// settled.
    pub(super) fn begin(folders: &BTreeSet<PathBuf>) -> (Self, mpsc::Receiver<()>) {
        let touched = Arc::new(Notify::new());
        let (changes_in, changes) = mpsc::channel(1);
        tokio::spawn(settle(Arc::clone(&touched), changes_in));
        let told = Arc::clone(&touched);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // After an error, something may have gone by unseen.
            if event.as_ref().map_or(true, alters) {
                told.notify_one();
            }
        });
        let watcher = watcher
            .inspect_err(|error| tracing::warn!(%error, "files are not watched; use SIGHUP"))
            .ok();
        let mut watch = Self { watcher, folders: BTreeSet::new(), touched };
        watch.follow(folders);
        (watch, changes)
    }

    /// Watches these folders and no others, and says whether all of them were watched before.
    pub(super) fn follow(&mut self, folders: &BTreeSet<PathBuf>) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        for gone in self.folders.difference(folders) {
            // A folder that was removed is not watched any more either.
            let _ = watcher.unwatch(gone);
        }
        // A folder that was removed and made again under its name is another one, so that those
        // that stay are asked for again as well.
        for folder in folders {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                let folder = folder.display();
                tracing::warn!(%folder, %error, "a folder is not watched; use SIGHUP");
            }
        }
        let were_watched = folders.is_subset(&self.folders);
        self.folders.clone_from(folders);
        were_watched
    }

    /// Gives a message as if something had happened.
    pub(super) fn look_again(&self) {
        self.touched.notify_one();
    }
}

/// Whether an event may mean other content.
fn alters(event: &notify::Event) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => event.need_rescan(),
        _ => true,
    }
}

/// The folders whose entries decide what the sources are: those that hold them or a link on the way
/// to them, and the folders among them.
fn folders_of<'l>(sources: impl IntoIterator<Item = &'l Looked>) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    // Files that are no links themselves and lie in one folder have the same way to them: it is
    // walked once.
    let mut walked: Option<&Path> = None;
    for Looked { path: source, is_plain, .. } in sources {
        let folder = source.parent().filter(|_| *is_plain);
        let is_walked = |it: &Path| walked.is_some_and(|at| at.as_os_str() == it.as_os_str());
        if folder.is_some_and(is_walked) {
            continue;
        }
        walked = folder;
        if source.is_dir() {
            folders.insert(real(source));
        }
        let mut path = source.to_path_buf();
        for _ in 0..LINKS_MAX {
            folders.insert(real(path.parent().unwrap_or(&path)));
            // Whoever puts another link in its place (`current`, the `..data` of a Kubernetes
            // volume) changes what is behind it, and touches no folder there.
            let Some((link, target)) = link_in(&path) else { break };
            let holder = link.parent().unwrap_or(Path::new(""));
            folders.insert(real(holder));
            let behind = path.strip_prefix(&link).unwrap_or(Path::new(""));
            path = holder.join(target).join(behind);
        }
    }
    folders
}

/// The first link on a path, and where it leads.
fn link_in(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let ancestors: Vec<_> = path.ancestors().collect();
    let mut from_root = ancestors.into_iter().rev();
    from_root.find_map(|it| Some((it.to_owned(), fs::read_link(it).ok()?)))
}

/// A folder without links on the way, so that each has one name; the nearest that is there, if it
/// is not.
fn real(folder: &Path) -> PathBuf {
    let named = |it: &Path| if it.as_os_str().is_empty() { ".".into() } else { it.to_owned() };
    let there = folder.ancestors().map(named).find(|it| it.is_dir());
    let there = there.unwrap_or_else(|| ".".into());
    there.canonicalize().unwrap_or(there)
}

/// Waits until what goes on has settled, and then says so, once.
async fn settle(touched: Arc<Notify>, changes: mpsc::Sender<()>) {
    loop {
        touched.notified().await;
        let latest = Instant::now() + RELOAD_SETTLE_MAX;
        loop {
            let quiet = (Instant::now() + RELOAD_SETTLE).min(latest);
            if timeout_at(quiet, touched.notified()).await.is_err() {
                break;
            }
        }
        if changes.send(()).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_fingerprint_holds_until_a_source_changes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "one").unwrap();
        let check = |change: &dyn Fn(), expect: bool| {
            let sources = vec![Looked::at(folder.path()), Looked::at(file.as_path())];
            let began = clock::wall() + Duration::from_secs(1);
            let before = Fingerprint::of_sources(sources, Arc::default(), began);
            change();
            assert_eq!(before.holds(), expect);
        };
        check(&|| {}, true);
        check(&|| drop(fs::read(&file).unwrap()), true);
        check(&|| fs::write(&file, "other").unwrap(), false);
        check(&|| fs::write(folder.path().join(".a.yaml.swp"), "").unwrap(), true);
        check(&|| fs::write(folder.path().join("b.yaml"), "").unwrap(), false);
        check(
            &|| {
                fs::write(folder.path().join(".new"), "OTHER").unwrap();
                fs::rename(folder.path().join(".new"), &file).unwrap();
            },
            false,
        );
        check(&|| fs::remove_file(&file).unwrap(), false);
    }

    #[test]
    fn a_source_is_watched_where_any_link_to_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().canonicalize().unwrap().join(name);
        // As Kubernetes mounts a ConfigMap, below a link as a deployment makes it.
        fs::create_dir_all(at("releases/1/..one")).unwrap();
        fs::write(at("releases/1/..one/a.yaml"), "").unwrap();
        std::os::unix::fs::symlink("..one", at("releases/1/..data")).unwrap();
        std::os::unix::fs::symlink("..data/a.yaml", at("releases/1/a.yaml")).unwrap();
        std::os::unix::fs::symlink("releases/1", at("current")).unwrap();
        let check = |source: &str, expect: &[&str]| {
            let expect: BTreeSet<_> = expect.iter().map(|it| real(&at(it))).collect();
            assert_eq!(folders_of(&[Looked::at(at(source))]), expect, "{source}");
        };
        check("current/a.yaml", &["", "releases/1", "releases/1/..one"]);
        check("releases/1/..one/a.yaml", &["releases/1/..one"]);
        check("current", &["", "releases/1", "releases"]);
        // What is not there is waited for where it would come to be.
        check("releases/2/zones/b.yaml", &["releases"]);
    }

    #[test]
    fn what_changed_during_reading_is_doubtful() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "one").unwrap();
        let modified = fs::metadata(&file).unwrap().modified().unwrap();
        let looked = || vec![Looked::at(file.as_path())];
        let of = |began| Fingerprint::of_sources(looked(), Arc::default(), began);
        let doubtful = |began| of(began).doubtful;
        assert!(doubtful(modified));
        assert!(!of(modified).holds());
        assert!(!doubtful(modified + Duration::from_millis(1)));
    }

    #[tokio::test]
    async fn a_rename_over_a_file_is_told_and_a_read_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "one").unwrap();
        let (_watch, mut changes) = Watch::begin(&folders_of(&[Looked::at(file.as_path())]));
        fs::read(&file).unwrap();
        let quiet = tokio::time::timeout(RELOAD_SETTLE * 3, changes.recv()).await;
        assert!(quiet.is_err(), "reading is no change");
        fs::write(folder.path().join("new"), "two").unwrap();
        fs::rename(folder.path().join("new"), &file).unwrap();
        tokio::time::timeout(Duration::from_secs(10), changes.recv()).await.unwrap().unwrap();
    }
}
