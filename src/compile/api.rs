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

use super::{
    ApiSettings, keys,
    source::{read_octets, source_error},
};
use crate::{
    config::{
        Field, Place, Report,
        server::{ApiFile, TlsFile},
    },
    health::{Identity, TrustError, is_identity},
};

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
    let tls = file.tls.placed().and_then(|(place, it)| tls(place, it, folder, report, sources));
    Some(ApiSettings { listen, keys, tls })
}

fn listen(place: Place, text: &str, report: &Report) -> Option<SocketAddr> {
    let listen = text.parse().ok();
    if listen.is_none() {
        let message = format!("`{text}` is not an address and a port");
        report.say(place, message, "write `127.0.0.1:8053` or `[::1]:8053`");
    }
    listen
}

/// A certificate and its key, which belong together.
fn tls(
    place: Place,
    file: &TlsFile<'_>,
    folder: &Path,
    report: &Report,
    sources: &mut Vec<PathBuf>,
) -> Option<Arc<Identity>> {
    for (field, key) in [(&file.cert, "cert"), (&file.key, "key")] {
        if field.is_absent() {
            half_tls(report, place, key);
        }
    }
    let mut read = |(place, name): (Place, &&str)| {
        let path = folder.join(name);
        sources.push(path.clone());
        read_octets(&path).map_err(|error| source_error(report, place, &path, &error)).ok()
    };
    let (cert, key) = (file.cert.placed(), file.key.placed());
    let (cert_text, key_text) = (cert.and_then(&mut read), key.and_then(&mut read));
    let identity = Identity { cert: cert_text?.0.into(), key: key_text?.0.into() };
    if let Err(error) = is_identity(&identity) {
        let (place, name) = if error == TrustError::Cert { cert? } else { key? };
        bad_tls(report, place, name, error);
        return None;
    }
    Some(Arc::new(identity))
}

// ---- Complaints ----

fn half_tls(report: &Report, place: Place, key: &str) {
    report.say(place, format!("`tls` has no `{key}`"), "write `tls: { cert: FILE, key: FILE }`");
}

fn bad_tls(report: &Report, place: Place, name: &str, error: TrustError) {
    let hint = match error {
        TrustError::Key => "it has to be PEM: `-----BEGIN PRIVATE KEY-----`, without a password",
        TrustError::Mismatch => "`key` has to be what `cert` was issued for",
        TrustError::Cert | TrustError::Roots => {
            "it has to be PEM: `-----BEGIN CERTIFICATE-----` and so on"
        }
    };
    report.say(place, format!("`{name}`: {error}"), hint);
}

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
