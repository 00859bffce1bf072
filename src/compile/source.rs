//! Sources: files with their text, as complaints name them.

use std::{
    ffi::OsStr,
    fs::Metadata,
    io::{Error, Read},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Stat, open, statat};

use crate::{
    config::{Place, Report},
    limits::SOURCE_LEN_MAX,
    wire::name::hash_octets,
};

/// A file that was read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: Arc<str>,
    /// Its number in the report.
    pub(super) file: u32,
    /// When it was changed last, in seconds since 1970; 0 when nobody knows.
    pub(super) changed: u64,
}

/// Something that was read or looked for.
#[derive(Debug, Clone)]
pub struct Looked {
    /// Where it is.
    pub path: Arc<Path>,
    /// How it was just before it was read; none: it was not looked at.
    pub mark: Option<Mark>,
    /// Whether it is known to be a file that lies there itself, and not a link to one.
    pub is_plain: bool,
}

/// What tells one state of a file or a folder from another, short of reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// A file.
    File {
        /// The device that it is on.
        device: u64,
        /// Its number there.
        inode: u64,
        /// Octets.
        len: u64,
        /// When it was changed last, if anybody knows.
        modified: Option<SystemTime>,
    },
    /// A folder: how many files are in it, and the sum of what their names come to.
    Folder(u64, u64),
    /// Nothing.
    Missing,
}

/// By how much the time of a file may be before the time at which it was changed: file systems look
/// at the clock a hundred times a second or more often.
pub(super) const TIME_GRAIN: Duration = Duration::from_millis(100);

impl Looked {
    /// What nobody has looked at.
    #[must_use]
    pub fn at(path: impl Into<Arc<Path>>) -> Self {
        Self { path: path.into(), mark: None, is_plain: false }
    }
}

impl Mark {
    /// That of whatever is there now.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let Ok(metadata) = std::fs::metadata(path) else { return Self::Missing };
        if !metadata.is_dir() {
            return Self::of_file(&metadata);
        }
        // One that may not be listed holds nothing for us.
        let Ok(folder) = open_folder(path) else { return Self::Folder(0, 0) };
        let mut buffer = vec![MaybeUninit::uninit(); LISTING_LEN];
        let mut entries = RawDir::new(folder, &mut buffer);
        let (mut count, mut sum) = (0, 0_u64);
        while let Some(Ok(entry)) = entries.next() {
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            let Self::Folder(n, hash) = Self::of_folder([name].into_iter()) else { continue };
            (count, sum) = (count + n, sum.wrapping_add(hash));
        }
        Self::Folder(count, sum)
    }

    /// That of a file of which this is known.
    pub(super) fn of_file(metadata: &Metadata) -> Self {
        Self::File {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            modified: metadata.modified().ok(),
        }
    }

    /// The same of a file that was looked at in its folder; none: it is no file that lies there itself.
    fn of_stat(stat: &Stat) -> Option<Self> {
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return None;
        }
        let nanos = u32::try_from(stat.st_mtime_nsec).ok()?;
        let secs = Duration::from_secs(stat.st_mtime.unsigned_abs());
        let second = if stat.st_mtime < 0 {
            UNIX_EPOCH.checked_sub(secs)
        } else {
            UNIX_EPOCH.checked_add(secs)
        };
        Some(Self::File {
            device: stat.st_dev,
            inode: stat.st_ino,
            len: u64::try_from(stat.st_size).ok()?,
            modified: second.and_then(|it| it.checked_add(Duration::new(0, nanos))),
        })
    }

    /// That of a folder with these entries, in whatever order they come.
    pub(super) fn of_folder<N: AsRef<OsStr>>(names: impl Iterator<Item = N>) -> Self {
        let names = names.filter(|it| !is_by_product(it.as_ref()));
        let hashes = names.map(|it| hash_octets(it.as_ref().as_encoded_bytes()));
        let (count, sum) = hashes.fold((0, 0_u64), |(n, sum), it| (n + 1, sum.wrapping_add(it)));
        Self::Folder(count, sum)
    }

    /// When the file was changed last, if it is one and anybody knows.
    #[must_use]
    pub fn modified(&self) -> Option<SystemTime> {
        match self {
            Self::File { modified, .. } => *modified,
            Self::Folder(..) | Self::Missing => None,
        }
    }

    /// Whether it is a file that was changed well before `began`, so that a further change would show.
    pub(super) fn is_settled(&self, began: SystemTime) -> bool {
        self.modified().and_then(|it| it.checked_add(TIME_GRAIN)).is_some_and(|it| it < began)
    }
}

/// Octets of a folder's entries that are taken at once.
const LISTING_LEN: usize = 64 * 1024;

/// Those of `looked` that are not as they were, with what they are now. Files that lie in one folder
/// are looked at by way of that.
#[must_use]
pub fn changed(looked: &[Looked]) -> Vec<(usize, Mark)> {
    let mut folder: Option<(&[u8], OwnedFd)> = None;
    let mut changed = Vec::new();
    for (idx, Looked { path, mark, is_plain }) in looked.iter().enumerate() {
        let octets = path.as_os_str().as_bytes();
        let at = octets.iter().rposition(|it| *it == b'/').filter(|_| *is_plain);
        let now = at.and_then(|at| {
            let (parent, name) = (&octets[..=at], &octets[at + 1..]);
            if folder.as_ref().is_none_or(|(it, _)| *it != parent) {
                folder = Some((parent, open_folder(Path::new(OsStr::from_bytes(parent))).ok()?));
            }
            let (_, folder) = folder.as_ref()?;
            let stat = statat(folder.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
            Mark::of_stat(&stat)
        });
        // What is a link now, or not there, is looked at as whatever it is.
        let now = now.unwrap_or_else(|| Mark::of(path));
        if mark.as_ref() != Some(&now) {
            changed.push((idx, now));
        }
    }
    changed
}

fn open_folder(path: &Path) -> rustix::io::Result<OwnedFd> {
    open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Whether an editor leaves such a file beside the one that is edited.
fn is_by_product(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b".") || name.ends_with(b"~")
}

impl Source {
    /// Reads the file that the command line names.
    pub(super) fn first(path: &Path, report: &Report) -> Option<Self> {
        match read_octets(path) {
            Ok((text, changed)) => Some(Self::new(path, text, changed, report)?),
            Err(error) => {
                let file = report.add_file(path.display().to_string(), "".into());
                first_error(report, Place { file, line: 1, column: 1 }, path, &error);
                None
            }
        }
    }

    /// Reads a file that is named at `place`.
    pub(super) fn read(path: &Path, place: Place, report: &Report) -> Option<Self> {
        match read_octets(path) {
            Ok((text, changed)) => Self::new(path, text, changed, report),
            Err(error) => {
                source_error(report, place, path, &error);
                None
            }
        }
    }

    /// Its beginning.
    pub(super) fn top(&self) -> Place {
        Place { file: self.file, line: 1, column: 1 }
    }

    /// Takes what was read of a file.
    pub(super) fn new(path: &Path, octets: Vec<u8>, changed: u64, report: &Report) -> Option<Self> {
        let name = path.display().to_string();
        match String::from_utf8(octets) {
            Ok(text) => {
                let text: Arc<str> = text.into();
                let file = report.add_file(name, Arc::clone(&text));
                Some(Self { path: path.to_owned(), text, file, changed })
            }
            Err(error) => {
                let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let before = String::from_utf8_lossy(before);
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
                let text = String::from_utf8_lossy(error.as_bytes()).as_ref().into();
                let number = |it| u32::try_from(it).unwrap_or(u32::MAX);
                let file = report.add_file(name, text);
                not_utf8(report, Place { file, line: number(line), column: number(column) });
                None
            }
        }
    }
}

/// The octets of a file, and when it was changed last, in seconds since 1970; 0 when nobody knows.
pub(super) fn read_octets(path: &Path) -> Result<(Vec<u8>, u64), Error> {
    let file = std::fs::File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(Error::other("it is a folder"));
    }
    let changed = metadata.modified().ok().and_then(|it| it.duration_since(UNIX_EPOCH).ok());
    let room = usize::try_from(metadata.len().min(SOURCE_LEN_MAX)).unwrap_or(0);
    let mut octets = Vec::with_capacity(room + 1);
    // A pipe has no length, so what is read is bounded and not what was announced.
    file.take(SOURCE_LEN_MAX + 1).read_to_end(&mut octets)?;
    if SOURCE_LEN_MAX < octets.len() as u64 {
        return Err(Error::other("it is longer than 1 GiB"));
    }
    Ok((octets, changed.map_or(0, |it| it.as_secs())))
}

/// The one line of a file that holds nothing else, without its end; `wrong` says what else is amiss
/// with a line, and `hint` what has to be in the file.
pub(super) fn read_line(
    place: Place,
    path: &Path,
    wrong: impl FnOnce(&[u8]) -> Option<&'static str>,
    hint: &str,
    report: &Report,
) -> Option<Vec<u8>> {
    let octets = match read_octets(path) {
        Ok((octets, _)) => octets,
        Err(error) => {
            source_error(report, place, path, &error);
            return None;
        }
    };
    // An editor ends the line; the copy of whoever has the other one may have no end.
    let line = octets.strip_suffix(b"\n").unwrap_or(&octets);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let wrong = if line.is_empty() {
        Some("is empty")
    } else if line.contains(&b'\n') {
        Some("has more than one line")
    } else {
        wrong(line)
    };
    let Some(wrong) = wrong else { return Some(line.to_vec()) };
    report.say(place, format!("`{}` {wrong}", path.display()), hint);
    None
}

// ---- Complaints ----

/// A file that `place` names can not be read.
pub(super) fn source_error(report: &Report, place: Place, path: &Path, error: &Error) {
    let message = format!("`{}` can not be read: {error}", path.display());
    report.say(place, message, "relative paths are relative to the file that names them");
}

/// The file that the command line names can not be read.
fn first_error(report: &Report, place: Place, path: &Path, error: &Error) {
    let message = format!("`{}` can not be read: {error}", path.display());
    report.say(place, message, "name the server file: `--config FILE`");
}

fn not_utf8(report: &Report, place: Place) {
    let hint = "save the file as UTF-8; write other octets as `\\DDD`";
    report.say(place, "this is not UTF-8", hint);
}
