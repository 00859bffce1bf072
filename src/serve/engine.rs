//! The engine: from the bytes of a question to those of the reply.

use std::net::IpAddr;

use crate::{counters::Counters, dice::Dice, snapshot::Snapshot, wire::Folded};

/// Who asks, and how.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// What the question came over.
    pub transport: Transport,
}

/// What a question came over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// One datagram; the reply may have to be cut.
    Udp,
    /// A stream; the reply may have any length.
    Tcp,
}

/// One thread's means of answering.
#[derive(Debug)]
pub struct Engine {
    dice: Dice,
    /// The name asked for.
    name: Folded,
}

impl Default for Engine {
    fn default() -> Self {
        Self { dice: Dice::from_os(), name: Folded::default() }
    }
}

impl Engine {
    /// Answers the message `packet` into `reply` and says how long the reply is; 0: say nothing.
    ///
    /// `reply` holds at least `UDP_REPLY_LEN_MAX` octets, over TCP `TCP_MESSAGE_LEN_MAX`. A panic
    /// is caught: that question gets no reply, and is counted and logged.
    pub fn respond(
        &mut self,
        snapshot: &Snapshot,
        packet: &[u8],
        client: Client,
        reply: &mut [u8],
        counters: &Counters,
    ) -> usize {
        let _ = (snapshot, packet, client, reply, counters, self.dice.roll(), &self.name);
        0
    }
}
