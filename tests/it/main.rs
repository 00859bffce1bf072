//! The one integration-test binary.

mod conformance;
mod process;
mod query;
mod sockets;
mod tidy;
mod probes;
