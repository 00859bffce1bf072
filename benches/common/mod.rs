//! What measurements of a server have in common: processes on a core of their own, a bare
//! reflector, a load, and what the kernel says it took.
//!
//! ```text
//!   core 0                                core 1
//!   a server, or the reflector        <->  the load: a window of questions in flight, a new one
//!   (this program again)                   for each reply
//! ```
//!
//! The reflector does the same system calls as a packet thread and nothing else: it sets QR and
//! sends back what came. It is the floor on a machine.
//!
//! Not here: what is asked, of whom, and what is made of the figures (the benches).

// Each bench is a program of its own and uses its part.
#![allow(dead_code)]

pub(crate) mod files;
pub(crate) mod load;
pub(crate) mod questions;
pub(crate) mod schedule;
pub(crate) mod server;

use std::error::Error;

use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

pub(crate) const SERVER_CORE: usize = 0;
pub(crate) const LOAD_CORE: usize = 1;

/// Puts this thread, and the processes that it starts from now on, on one core.
pub(crate) fn pin(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &cores)?)
}

/// The argument after `flag`, if it is there.
pub(crate) fn option<T>(arguments: &[String], flag: &str) -> Result<Option<T>>
where
    T: std::str::FromStr,
    T::Err: Error + 'static,
{
    let Some(at) = arguments.iter().position(|it| it == flag) else { return Ok(None) };
    let text = arguments.get(at + 1).ok_or_else(|| format!("{flag} takes a value"))?;
    Ok(Some(text.parse()?))
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[len / 2],
        len => f64::midpoint(sorted[len / 2 - 1], sorted[len / 2]),
    }
}
