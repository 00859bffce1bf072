//! The one integration-test binary.

mod query;
mod sockets;
