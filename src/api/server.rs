//! The server: connections, at most so many, and the calls on each.
//!
//! A connection is encrypted if there is a certificate by the time it comes.

use std::{io, net::IpAddr, sync::Arc};

use axum::Router;
use hyper::service::{Service as _, service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{Api, calls};
use crate::limits::{
    API_CONNECTIONS_MAX, API_HEAD_LEN_MAX, API_HEADER_WAIT_MAX, API_HEADERS_MAX, TCP_ACCEPT_WAIT,
};

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Client(pub(super) IpAddr);

/// Serves the API on a socket that is bound, for as long as the process lives.
///
/// # Errors
///
/// When the system does not take the socket.
pub async fn serve(listener: std::net::TcpListener, api: Api) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let tls = api.tls.clone();
    let routes = calls::routes(api);
    let places = Arc::new(Semaphore::new(API_CONNECTIONS_MAX));
    loop {
        // Who comes when all places are taken waits until one is free.
        let place = Arc::clone(&places).acquire_owned().await;
        let Ok((stream, peer)) = listener.accept().await else {
            sleep(TCP_ACCEPT_WAIT).await;
            continue;
        };
        let (routes, tls) = (routes.clone(), tls.borrow().clone());
        tokio::spawn(async move {
            let _place = place;
            let client = Client(peer.ip());
            match tls {
                None => converse(stream, client, routes).await,
                Some(tls) => converse_in_private(stream, client, routes, tls).await,
            }
        });
    }
}

/// What a server shows and speaks with a certificate and its key, both in PEM; none: they are not that.
#[must_use]
pub fn tls(cert: &[u8], key: &[u8]) -> Option<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_slice_iter(cert).collect::<Result<Vec<_>, _>>().ok()?;
    let key = PrivateKeyDer::from_pem_slice(key).ok()?;
    let provider = rustls::crypto::ring::default_provider();
    let mut config = ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .expect("ring has what TLS 1.2 and 1.3 need")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .ok()?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Some(config.into())
}

async fn converse_in_private(
    stream: TcpStream,
    client: Client,
    routes: Router,
    tls: Arc<ServerConfig>,
) {
    let accepted = timeout(API_HEADER_WAIT_MAX, TlsAcceptor::from(tls).accept(stream));
    match accepted.await {
        Ok(Ok(stream)) => converse(stream, client, routes).await,
        Ok(Err(error)) => tracing::debug!(%error, "a caller of the API speaks no TLS"),
        Err(_) => tracing::debug!("a caller of the API takes too long over TLS"),
    }
}

/// Answers the calls of one connection, until it is silent for too long.
async fn converse<S>(stream: S, client: Client, routes: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let calls = TowerToHyperService::new(routes);
    let calls = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(client);
        calls.call(request)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(API_HEADER_WAIT_MAX)
        .max_headers(API_HEADERS_MAX)
        .max_buf_size(API_HEAD_LEN_MAX)
        .serve_connection(TokioIo::new(stream), calls);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to the API broke");
    }
}
