//! The API's settings: where it listens, and the token that its callers know.
//!
//! # Invariants
//!
//! - No complaint and no log shows the token: what is wrong with its file is said where it is named.
//! - Without a token nobody but this machine is let in.
//!
//! Not here: who is let in (`api`).

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{ApiSettings, source::read_line};
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
    let token = file.token_file.placed().and_then(|(place, name)| {
        let path = folder.join(name);
        sources.push(path.clone());
        token(place, &path, report)
    });
    if file.token_file.is_absent() && !listen.ip().to_canonical().is_loopback() {
        needs_token(report, place, listen);
    }
    Some(ApiSettings { listen, token })
}

fn listen(place: Place, text: &str, report: &Report) -> Option<SocketAddr> {
    let listen = text.parse().ok();
    if listen.is_none() {
        let message = format!("`{text}` is not an address and a port");
        report.say(place, message, "write `127.0.0.1:8053` or `[::1]:8053`");
    }
    listen
}

fn token(place: Place, path: &Path, report: &Report) -> Option<Arc<str>> {
    let wrong = |line: &[u8]| {
        if line.iter().any(u8::is_ascii_whitespace) {
            Some("has white space in its line")
        } else {
            let is_text = line.iter().all(u8::is_ascii_graphic);
            (!is_text).then_some("has octets that are no printable ASCII")
        }
    };
    let hint = "it has to hold one token in one line, without white space";
    let line = read_line(place, path, wrong, hint, report)?;
    String::from_utf8(line).ok().map(Arc::from)
}

// ---- Complaints ----

fn is_for_dns(report: &Report, place: Place, listen: SocketAddr) {
    let message = format!("`{listen}` is an address of `listen`, for questions over TCP");
    report.say(place, message, "give the API another port");
}

fn needs_token(report: &Report, place: Place, listen: SocketAddr) {
    let message = format!("`{listen}` is reached from other machines, and there is no token");
    let hint = "write `token_file: FILE` with one token in the file, or listen on `127.0.0.1:8053`";
    report.say(place, message, hint);
}
