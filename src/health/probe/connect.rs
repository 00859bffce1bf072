//! Connections: to where a target is, over TCP and over TLS.
//!
//! *Not here:* which certificates are trusted (`trust`).

use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
};

use rustls::{CertificateError, pki_types::ServerName};
use tokio::{net::TcpStream, sync::Semaphore};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Certificate, Told, Why, certificate, first_of};
use crate::{
    health::{
        ProbeSpec, Target, Tls,
        trust::{self, Alpn},
    },
    limits::PROBE_LOOKUPS_MAX,
};

/// A connection to the target.
pub(super) async fn over_tcp(spec: &ProbeSpec) -> Result<TcpStream, Why> {
    let connected = first_of(addresses(spec).await?, async |address| {
        TcpStream::connect(address).await.map_err(|error| Why::Connect(error.kind()))
    });
    let stream = connected.await?;
    // What is asked goes out at once.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// A TLS connection to the target, whose certificate is good for long enough yet; how long that is
/// is left in `told`.
pub(super) async fn over_tls(
    spec: &ProbeSpec,
    tls: &Tls,
    alpn: Alpn,
    told: &mut Told,
) -> Result<TlsStream<TcpStream>, Why> {
    let config = trust::config(tls, alpn).map_err(|it| Why::Tls(it.to_string().into()))?;
    let name = ServerName::try_from(tls.sni.trim_matches(['[', ']']).to_owned());
    let name = name.map_err(|_| Why::Request)?;
    let stream = over_tcp(spec).await?;
    let stream = TlsConnector::from(config).connect(name, stream).await;
    let stream = stream.map_err(|error| {
        told.certificate = is_expired(&error).then_some(Certificate::Over);
        tls_failure(&error)
    })?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    certificate::check(spec, tls, shown.ok_or(Why::Exchange)?, told)?;
    Ok(stream)
}

/// Where the target can be reached: at least one address.
pub(super) async fn addresses(spec: &ProbeSpec) -> Result<Vec<SocketAddr>, Why> {
    match &spec.target {
        Target::Address(address) => Ok(vec![SocketAddr::new(*address, spec.port)]),
        Target::Host(host) => match host.parse::<IpAddr>() {
            Ok(address) => Ok(vec![SocketAddr::new(address, spec.port)]),
            Err(_) => look_up(host.clone(), spec.port).await,
        },
    }
}

/// Asks the system's resolver, which cannot be interrupted: a lookup that nobody waits for any more
/// still has its thread, and its place among those that are allowed.
async fn look_up(host: Box<str>, port: u16) -> Result<Vec<SocketAddr>, Why> {
    static PLACES: Semaphore = Semaphore::const_new(PROBE_LOOKUPS_MAX);

    let place = PLACES.acquire().await.map_err(|_| Why::Broken)?;
    let looked_up = tokio::task::spawn_blocking(move || {
        let _place = place;
        (&*host, port).to_socket_addrs().map(Iterator::collect)
    });
    let found: Vec<_> = looked_up.await.map_err(|_| Why::Broken)?.map_err(|_| Why::Lookup)?;
    if found.is_empty() { Err(Why::Lookup) } else { Ok(found) }
}

/// Whether a handshake failed because the certificate is over, or the one of whom it is signed by.
fn is_expired(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|it| it.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::InvalidCertificate(why)) = error else { return false };
    matches!(why, CertificateError::Expired | CertificateError::ExpiredContext { .. })
}

/// What an error of a handshake comes down to: one of TLS, or of the connection under it.
fn tls_failure(error: &io::Error) -> Why {
    match error.get_ref().and_then(|it| it.downcast_ref::<rustls::Error>()) {
        Some(tls) => Why::Tls(tls.to_string().into()),
        None if error.kind() == io::ErrorKind::InvalidData => Why::Tls(error.to_string().into()),
        None => Why::Exchange,
    }
}
