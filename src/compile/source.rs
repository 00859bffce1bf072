//! Sources: files with their text, as complaints name them.

use std::{
    io::{Error, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::UNIX_EPOCH,
};

use crate::{
    config::{Place, Report},
    limits::SOURCE_LEN_MAX,
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

    fn new(path: &Path, octets: Vec<u8>, changed: u64, report: &Report) -> Option<Self> {
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
    let mut octets = Vec::new();
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
