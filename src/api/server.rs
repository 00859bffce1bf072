//! The server: connections, at most so many, and the calls on each.

use std::{io, sync::Arc};

use axum::Router;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::sleep,
};

use super::{Api, calls};
use crate::limits::{API_CONNECTIONS_MAX, API_HEADER_WAIT_MAX, TCP_ACCEPT_WAIT};

/// Serves the API on a socket that is bound, for as long as the process lives.
///
/// # Errors
///
/// When the system does not take the socket.
pub async fn serve(listener: std::net::TcpListener, api: Api) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let routes = calls::routes(api);
    let places = Arc::new(Semaphore::new(API_CONNECTIONS_MAX));
    loop {
        // Who comes when all places are taken waits until one is free.
        let place = Arc::clone(&places).acquire_owned().await;
        let Ok((stream, _)) = listener.accept().await else {
            sleep(TCP_ACCEPT_WAIT).await;
            continue;
        };
        let routes = routes.clone();
        tokio::spawn(async move {
            let _place = place;
            converse(stream, routes).await;
        });
    }
}

/// Answers the calls of one connection, until it is silent for too long.
async fn converse(stream: TcpStream, routes: Router) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(API_HEADER_WAIT_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to the API broke");
    }
}
