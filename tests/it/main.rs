//! The one integration-test binary.

mod answers;
mod api;
mod blind;
mod check;
mod conformance;
mod deaths;
mod demo;
mod docs;
mod explain;
mod failover;
mod garbage;
mod garbled;
mod geoip;
mod life;
mod load;
mod malformed;
mod places;
mod probes;
mod process;
mod query;
mod reload;
mod server;
mod sockets;
mod state;
mod steering;
mod tidy;
