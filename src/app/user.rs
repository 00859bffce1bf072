//! Giving up root.
//!
//! # Invariants
//!
//! - Afterwards the process has the user's id, group and groups and no way back; otherwise there is
//!   an error and the server does not start.

use std::{
    ffi::CString,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, lchown},
    path::Path,
};

use nix::unistd::{Gid, Uid, User, getresgid, getresuid, initgroups, setgid, setuid};

use crate::state::store;

/// Becomes `name` for good. It has to happen before the first thread is started.
pub(super) fn become_user(name: &str) -> Result<(), String> {
    let user = User::from_name(name)
        .map_err(|error| format!("cannot look up the user `{name}`: {error}"))?
        .ok_or_else(|| {
            format!("there is no user `{name}`\nhint: create it, or leave `user` out")
        })?;
    if is(user.uid, user.gid) {
        return Ok(());
    }
    if !Uid::effective().is_root() {
        return Err(format!(
            "only root can become `{name}`\nhint: start as root, or leave `user` out"
        ));
    }
    let failed = |error| format!("cannot become `{name}`: {error}");
    // The groups first: without root they can no longer be changed.
    let c_name = CString::new(name).map_err(|_| format!("there is no user `{name}`"))?;
    initgroups(&c_name, user.gid).map_err(failed)?;
    setgid(user.gid).map_err(failed)?;
    setuid(user.uid).map_err(failed)?;
    if !is(user.uid, user.gid) {
        return Err(format!("the process did not become `{name}`"));
    }
    if !user.uid.is_root() && (setuid(Uid::from_raw(0)).is_ok() || setgid(Gid::from_raw(0)).is_ok())
    {
        return Err(format!("after becoming `{name}`, root could be had again"));
    }
    tracing::info!(user = name, "root is given up");
    Ok(())
}

/// Makes the state folder of a server that is about to become `name`, and gives it to that user with
/// the file in it. A folder that is not root's, or holds anything else, is left as it is: the one is
/// in other hands, and the other may be named by mistake.
pub(super) fn give_state(folder: &Path, name: &str) -> Result<(), String> {
    let failed = |error: io::Error| {
        format!("the state folder `{}` cannot be given to `{name}`: {error}", folder.display())
    };
    let Ok(Some(user)) = User::from_name(name) else { return Ok(()) };
    if !Uid::effective().is_root() || user.uid.is_root() {
        return Ok(());
    }
    if !folder.is_dir() {
        DirBuilder::new().mode(0o700).create(folder).map_err(failed)?;
    }
    if fs::metadata(folder).map_err(failed)?.uid() != 0 {
        return Ok(());
    }
    let mut ours = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().to_string_lossy().starts_with(store::FILE) {
            return Ok(());
        }
        ours.push(entry.path());
    }
    for path in ours {
        // A link is given and not what it leads to.
        lchown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).map_err(failed)?;
    }
    Ok(())
}

/// Whether the process is this user in every respect: real, effective and saved.
fn is(uid: Uid, gid: Gid) -> bool {
    let uids = getresuid().is_ok_and(|it| [it.real, it.effective, it.saved] == [uid; 3]);
    uids && getresgid().is_ok_and(|it| [it.real, it.effective, it.saved] == [gid; 3])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_user_is_refused() {
        let error = become_user("no-such-user-here").unwrap_err();
        assert!(error.starts_with("there is no user `no-such-user-here`"), "{error}");
    }

    #[test]
    fn who_one_is_already_one_may_stay() {
        let me = User::from_uid(Uid::current()).unwrap().unwrap();
        assert_eq!(become_user(&me.name), Ok(()));
    }
}
