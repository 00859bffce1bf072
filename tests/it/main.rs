//! The one integration-test binary.

mod sockets;
