//! A region of the demo: an HTTP server on a loopback address of its own.
//!
//! *Not here:* what clients are told about it (the server finds out by itself).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
};

use axum::{Router, routing::get};
use tokio::runtime::Runtime;

use crate::limits::DEMO_TRIES_MAX;

/// The regions of `examples/three-regions/`, and where each is.
pub(super) const REGIONS: [(&str, Ipv4Addr); 3] = [
    ("us-east-1", Ipv4Addr::new(127, 0, 1, 1)),
    ("eu-west-1", Ipv4Addr::new(127, 0, 1, 2)),
    ("ap-southeast-1", Ipv4Addr::new(127, 0, 1, 3)),
];

/// A region.
pub(super) struct Region {
    name: &'static str,
    address: SocketAddr,
    /// None: it failed. A runtime of its own, so that a failure ends every task at once, as it
    /// does when a machine loses its power.
    running: Option<Runtime>,
}

/// Starts all regions, on one port that the kernel chooses.
pub(super) fn start_all() -> io::Result<Vec<Region>> {
    let mut result = Err(io::ErrorKind::AddrInUse.into());
    for _ in 0..DEMO_TRIES_MAX {
        result = try_start_all();
        if result.is_ok() {
            break;
        }
    }
    result
}

fn try_start_all() -> io::Result<Vec<Region>> {
    let mut port = 0;
    let mut regions = Vec::new();
    for (name, ip) in REGIONS {
        let listener = TcpListener::bind((ip, port))?;
        let address = listener.local_addr()?;
        // The first one chose.
        port = address.port();
        regions.push(Region { name, address, running: Some(serve(listener, name)?) });
    }
    Ok(regions)
}

impl Region {
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    pub(super) fn runs(&self) -> bool {
        self.running.is_some()
    }

    /// Stops listening and drops all connections.
    pub(super) fn fail(&mut self) {
        if let Some(runtime) = self.running.take() {
            runtime.shutdown_background();
        }
    }

    /// Listens again.
    pub(super) fn restore(&mut self) -> io::Result<()> {
        if self.running.is_none() {
            self.running = Some(serve(TcpListener::bind(self.address)?, self.name)?);
        }
        Ok(())
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        self.fail();
    }
}

fn serve(listener: TcpListener, name: &'static str) -> io::Result<Runtime> {
    listener.set_nonblocking(true)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let listener = {
        let _entered = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let router = Router::new()
        .route("/", get(move || async move { format!("{name}\n") }))
        .route("/health", get(|| async { "ok\n" }));
    // It serves until the runtime ends.
    runtime.spawn(async move { axum::serve(listener, router).await });
    Ok(runtime)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_failed_region_refuses_connections_until_it_is_restored() {
        let mut regions = start_all().unwrap();
        let region = &mut regions[0];
        assert!(TcpStream::connect(region.address()).is_ok());
        region.fail();
        assert!(!region.runs());
        // The listener is closed by the thread that the runtime leaves behind.
        while TcpStream::connect(region.address()).is_ok() {}
        region.restore().unwrap();
        assert!(TcpStream::connect(region.address()).is_ok());
    }
}
