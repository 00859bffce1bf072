//! The API's settings: where it listens, and the tokens that its callers know.
//!
//! # Invariants
//!
//! - Without a token nobody but this machine is let in.
//!
//! Not here: who is let in (`api`).

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{ApiSettings, keys};
use crate::config::{Field, Place, Report, server::ApiFile};

const PORT_DEFAULT: u16 = 8053;

/// Reads `api`; `folder` is where its files are, `dns` where questions come in.
pub(super) fn read(
    field: &Field<ApiFile<'_>>,
    folder: &Path,
    dns: &[SocketAddr],
    report: &Report,
    sources: &mut Vec<PathBuf>,
) -> Option<ApiSettings> {
    let (place, file) = field.placed()?;
    let listen = match file.listen.placed() {
        Some((place, text)) => (place, listen(place, text, report)?),
        None => (place, (Ipv4Addr::LOCALHOST, PORT_DEFAULT).into()),
    };
    let (place, listen) = listen;
    if listen.port() != 0 && dns.contains(&listen) {
        is_for_dns(report, place, listen);
    }
    let keys = file.token_file.placed().and_then(|(place, name)| {
        let path = folder.join(name);
        sources.push(path.clone());
        keys::read(place, &path, report).map(Arc::new)
    });
    if file.token_file.is_absent() && !listen.ip().to_canonical().is_loopback() {
        needs_token(report, place, listen);
    }
    Some(ApiSettings { listen, keys })
}

fn listen(place: Place, text: &str, report: &Report) -> Option<SocketAddr> {
    let listen = text.parse().ok();
    if listen.is_none() {
        let message = format!("`{text}` is not an address and a port");
        report.say(place, message, "write `127.0.0.1:8053` or `[::1]:8053`");
    }
    listen
}

// ---- Complaints ----

fn is_for_dns(report: &Report, place: Place, listen: SocketAddr) {
    let message = format!("`{listen}` is an address of `listen`, for questions over TCP");
    report.say(place, message, "give the API another port");
}

fn needs_token(report: &Report, place: Place, listen: SocketAddr) {
    let message = format!("`{listen}` is reached from other machines, and there is no token");
    let hint = "write `token_file: FILE`, for which `evenkeel token new` makes lines, or listen on \
                `127.0.0.1:8053`";
    report.say(place, message, hint);
}
