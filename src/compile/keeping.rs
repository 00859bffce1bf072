//! Keeping: the folder in which the state survives a restart.
//!
//! *Not here:* what is in it (`state::store`).

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::unistd::{AccessFlags, access};

use crate::config::{Field, Place, Report};

/// Reads `state`; `folder` is that of the server file. A folder that is not there yet is made by
/// `serve`, where the one around it is there.
pub(super) fn read(field: &Field<&str>, folder: &Path, report: &Report) -> Option<PathBuf> {
    let (place, name) = field.placed()?;
    if name.is_empty() {
        report.say(place, "`state` names no folder", "write `state: /var/lib/evenkeel`");
        return None;
    }
    let path = folder.join(name);
    match fs::metadata(&path) {
        Ok(it) if !it.is_dir() => not_a_folder(report, place, &path),
        Ok(_) => writable(report, place, &path),
        Err(_) => match path.parent().filter(|it| !it.as_os_str().is_empty()) {
            Some(around) if !around.is_dir() => nowhere(report, place, &path, around),
            // Who checks the files elsewhere, or as somebody else, does not make it.
            _ => {}
        },
    }
    Some(path)
}

fn writable(report: &Report, place: Place, path: &Path) {
    if let Err(error) = access(path, AccessFlags::W_OK | AccessFlags::X_OK) {
        let message = format!("`{}` can not be written: {}", path.display(), error.desc());
        report.say(place, message, "it has to belong to the user that the server runs as");
    }
}

// ---- Complaints ----

fn not_a_folder(report: &Report, place: Place, path: &Path) {
    let message = format!("`{}` is not a folder", path.display());
    report.say(place, message, "name a folder of the server's own, such as `/var/lib/evenkeel`");
}

fn nowhere(report: &Report, place: Place, path: &Path, around: &Path) {
    let message = format!("`{}` can not be made", path.display());
    report.say(place, message, format!("there is no folder `{}`", around.display()));
}
