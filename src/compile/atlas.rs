//! The atlas: the map of the world that a plan takes its places from, kept from one reading of the
//! files to the next.
//!
//! To draw it takes some hundred milliseconds where a file knows every city. Most reloads are for a
//! zone, so it is drawn anew only when one of its files or the operator's networks changed.
//!
//! # Invariants
//!
//! - A file that may have changed while it was read is not remembered.
//! - A damaged file is complained of and leaves what is remembered as it was.
//!
//! Not here: what is in a file (`geoip`).

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::SystemTime,
};

use super::{
    geoip,
    source::{TIME_GRAIN, read_octets, source_error},
};
use crate::{
    config::{Field, Place, Report},
    geo::{Geo, Networks},
};

static INSIDE: LazyLock<Arc<Geo>> = LazyLock::new(|| Arc::new(geoip::embedded()));

/// What was drawn last, for whoever reads the files again and again.
#[derive(Debug, Default)]
pub(super) struct Atlas {
    /// What these files say.
    files: Mutex<Option<(Vec<Mark>, Arc<Geo>)>>,
    whole: Mutex<Option<Whole>>,
}

/// What the operator knows, laid over what files say.
#[derive(Debug)]
struct Whole {
    base: Arc<Geo>,
    networks: Networks,
    geo: Arc<Geo>,
}

/// Where places come from.
#[derive(Debug)]
pub(super) enum Sources {
    /// The country data inside the binary.
    Inside,
    /// Files, the best first, each with the place that names it.
    Files(Vec<(PathBuf, Place)>),
}

/// What tells one state of a file from another, short of reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    path: PathBuf,
    device: u64,
    inode: u64,
    len: u64,
    modified: SystemTime,
}

impl Sources {
    /// Reads `geoip`; `folder` is where its files are.
    pub(super) fn read(
        field: &Field<Vec<Field<&str>>>,
        folder: &Path,
        report: &Report,
        sources: &mut Vec<PathBuf>,
    ) -> Self {
        if field.is_absent() {
            return Self::Inside;
        }
        let mut files: Vec<(PathBuf, Place)> = Vec::new();
        for (place, text) in field.given().into_iter().flatten().filter_map(Field::placed) {
            let path = folder.join(text);
            if files.iter().any(|(it, _)| *it == path) {
                twice(report, place, text);
                continue;
            }
            sources.push(path.clone());
            files.push((path, place));
        }
        Self::Files(files)
    }
}

impl Atlas {
    /// What the sources say of addresses, which are read from `began` on; none when something is
    /// wrong with them.
    pub(super) fn base(
        &self,
        sources: &Sources,
        began: SystemTime,
        report: &Report,
    ) -> Option<Arc<Geo>> {
        let files = match sources {
            Sources::Inside => return Some(Arc::clone(&INSIDE)),
            Sources::Files(files) => files,
        };
        let mut remembered = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let marks = marks(files, began);
        if let (Some(marks), Some((of, geo))) = (&marks, &*remembered)
            && marks == of
        {
            return Some(Arc::clone(geo));
        }
        let geo = Arc::new(read(files, report)?);
        // It is what the marks say only if they are the same afterwards.
        if let Some(marks) = marks.filter(|it| self::marks(files, began).as_ref() == Some(it)) {
            *remembered = Some((marks, Arc::clone(&geo)));
        }
        Some(geo)
    }

    /// What the operator knows over what the sources say.
    pub(super) fn with_networks(&self, base: &Arc<Geo>, networks: Networks) -> Arc<Geo> {
        if networks.is_empty() {
            return Arc::clone(base);
        }
        let mut remembered = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(whole) = &*remembered
            && Arc::ptr_eq(&whole.base, base)
            && whole.networks == networks
        {
            return Arc::clone(&whole.geo);
        }
        let geo = Arc::new(geoip::with_networks(base, &networks));
        *remembered = Some(Whole { base: Arc::clone(base), networks, geo: Arc::clone(&geo) });
        geo
    }
}

/// The marks of files; none where one is missing or may be changing.
fn marks(files: &[(PathBuf, Place)], began: SystemTime) -> Option<Vec<Mark>> {
    let mark = |(path, _): &(PathBuf, Place)| {
        let metadata = std::fs::metadata(path).ok()?;
        let modified = metadata.modified().ok()?;
        let is_settled = modified.checked_add(TIME_GRAIN)? < began;
        let (device, inode, len) = (metadata.dev(), metadata.ino(), metadata.len());
        is_settled.then(|| Mark { path: path.clone(), device, inode, len, modified })
    };
    files.iter().map(mark).collect()
}

fn read(files: &[(PathBuf, Place)], report: &Report) -> Option<Geo> {
    let mut octets = Vec::with_capacity(files.len());
    for (path, place) in files {
        match read_octets(path) {
            Ok((it, _)) => octets.push((path.clone(), it)),
            Err(error) => source_error(report, *place, path, &error),
        }
    }
    // The others are read all the same: what is wrong with them is said in the same run.
    let is_complete = octets.len() == files.len();
    match geoip::load(octets) {
        Ok(geo) => is_complete.then_some(geo),
        Err(refused) => {
            for (path, reason) in refused {
                let place = files.iter().find(|(it, _)| *it == path).map(|(_, place)| *place);
                refuse(report, place.expect("what was read is one of the files"), &path, &reason);
            }
            None
        }
    }
}

// ---- Complaints ----

fn twice(report: &Report, place: Place, text: &str) {
    report.say(place, format!("`{text}` is there twice"), "remove one");
}

fn refuse(report: &Report, place: Place, path: &Path, reason: &str) {
    let message = format!("`{}` does not tell places: {reason}", path.display());
    let hint =
        "it has to be a whole file in MaxMind's format (`.mmdb`); fetch it anew, or remove it";
    report.say(place, message, hint);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const BEGAN_LATER: Duration = Duration::from_hours(1);

    struct World {
        folder: tempfile::TempDir,
        atlas: Atlas,
    }

    impl World {
        fn base(&self, after: Duration) -> Result<Arc<Geo>, String> {
            let report = Report::default();
            let file = report.add_file("e.yaml".to_owned(), "".into());
            let place = Place { file, line: 1, column: 1 };
            let sources = Sources::Files(vec![(self.path(), place)]);
            let modified = std::fs::metadata(self.path()).unwrap().modified().unwrap();
            let geo = self.atlas.base(&sources, modified + after, &report);
            geo.ok_or_else(|| report.finish().unwrap().to_text())
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("a.mmdb")
        }

        fn put(&self, name: &str) {
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/geoip").join(name);
            std::fs::copy(from, self.folder.path().join("new")).unwrap();
            std::fs::rename(self.folder.path().join("new"), self.path()).unwrap();
        }
    }

    #[test]
    fn a_map_is_drawn_when_a_file_changed_and_only_then() {
        let world = World { folder: tempfile::tempdir().unwrap(), atlas: Atlas::default() };
        world.put("documentation.mmdb");
        let first = world.base(BEGAN_LATER).unwrap();
        assert!(Arc::ptr_eq(&first, &world.base(BEGAN_LATER).unwrap()));

        world.put("GeoLite2-ASN-Test.mmdb");
        let second = world.base(BEGAN_LATER).unwrap();
        assert!(first != second);
        assert!(Arc::ptr_eq(&second, &world.base(BEGAN_LATER).unwrap()));

        std::fs::write(world.path(), "junk").unwrap();
        let refused = world.base(BEGAN_LATER).unwrap_err();
        assert!(refused.contains("a.mmdb` does not tell places"), "{refused}");
        world.put("GeoLite2-ASN-Test.mmdb");
        assert!(world.base(BEGAN_LATER).is_ok());
    }

    #[test]
    fn what_may_still_change_is_not_remembered() {
        let world = World { folder: tempfile::tempdir().unwrap(), atlas: Atlas::default() };
        world.put("documentation.mmdb");
        let first = world.base(Duration::from_millis(50)).unwrap();
        assert!(!Arc::ptr_eq(&first, &world.base(BEGAN_LATER).unwrap()));
    }

    #[test]
    fn networks_are_laid_over_once() {
        let atlas = Atlas::default();
        let base = Arc::new(Geo::nowhere());
        let networks = |country: &str| {
            let mut networks = Networks::default();
            let country = country.parse().ok();
            let place = crate::geo::Place { country, ..crate::geo::Place::NOWHERE };
            networks.insert("10.0.0.0/8".parse().unwrap(), place).unwrap();
            networks
        };
        assert!(Arc::ptr_eq(&base, &atlas.with_networks(&base, Networks::default())));
        let first = atlas.with_networks(&base, networks("DE"));
        assert!(Arc::ptr_eq(&first, &atlas.with_networks(&base, networks("DE"))));
        assert!(!Arc::ptr_eq(&first, &atlas.with_networks(&base, networks("FR"))));
    }
}
