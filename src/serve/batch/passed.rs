//! Descriptors that a service manager has passed to this process (`sd_listen_fds(3)`).
//!
//! *Not here:* what they are good for (`serve::passed`).

use std::{
    io,
    os::fd::{FromRawFd as _, OwnedFd},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

/// The descriptors and the names that the manager gives them. They are given out once: another call
/// gives none.
///
/// # Errors
///
/// When what the environment says of them is wrong.
pub(in crate::serve) fn descriptors() -> io::Result<Vec<(OwnedFd, String)>> {
    static GIVEN: AtomicBool = AtomicBool::new(false);
    if GIVEN.swap(true, Relaxed) {
        return Ok(Vec::new());
    }
    let passed = sd_notify::listen_fds_with_names()?;
    // SAFETY: `LISTEN_PID` names this process, so by the protocol these descriptors were opened for it
    // before it began, and nothing in it owns them; that they are open, `sd_notify` has seen when it
    // marked them. `GIVEN` sees to it that they get one owner.
    Ok(passed.map(|(fd, name)| (unsafe { OwnedFd::from_raw_fd(fd) }, name)).collect())
}
