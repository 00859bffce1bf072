//! The demo's client: asks as a resolver would, and counts what it is told.
//!
//! *Not here:* how the counts are shown (`view`).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
};

use hickory_proto::{
    op::{Message, OpCode, Query},
    rr::{Name, RData, RecordType},
};

use super::region::Region;
use crate::{
    dice::Dice,
    limits::{DEMO_QUESTIONS, DEMO_REPLY_WAIT_MAX, UDP_REPLY_LEN_MAX},
};

/// A client with a question.
pub(super) struct Client {
    socket: UdpSocket,
    question: Vec<u8>,
}

/// What one question led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// The first address of the answer.
    Address { ip: IpAddr, ttl: u32 },
    /// A reply without an address.
    Nothing,
    /// No reply.
    Silence,
}

/// What many questions led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tally {
    /// Per region, in the order of the regions.
    pub(super) regions: Vec<Share>,
    /// Replies without an address, or with an unknown one.
    pub(super) elsewhere: usize,
    /// Questions without a reply.
    pub(super) silence: usize,
}

/// What one region got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Share {
    pub(super) clients: usize,
    /// The TTL of its latest answer.
    pub(super) ttl: u32,
}

impl Client {
    pub(super) fn new(server: SocketAddr, name: &str) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(DEMO_REPLY_WAIT_MAX))?;
        let mut message = Message::query();
        message.metadata.op_code = OpCode::Query;
        let name = Name::from_ascii(name).expect("the name of the example is a name");
        message.add_query(Query::query(name, RecordType::A));
        let question = message.to_vec().expect("a question fits a message");
        Ok(Self { socket, question })
    }

    /// Asks [`DEMO_QUESTIONS`] times.
    pub(super) fn ask_many(&self, regions: &[Region]) -> io::Result<Tally> {
        let mut tally =
            Tally { regions: vec![Share::default(); regions.len()], elsewhere: 0, silence: 0 };
        for _ in 0..DEMO_QUESTIONS {
            match self.ask()? {
                Seen::Address { ip, ttl } => {
                    match regions.iter().position(|region| region.ip() == ip) {
                        Some(idx) => {
                            tally.regions[idx].clients += 1;
                            tally.regions[idx].ttl = ttl;
                        }
                        None => tally.elsewhere += 1,
                    }
                }
                Seen::Nothing => tally.elsewhere += 1,
                Seen::Silence => {
                    tally.silence += 1;
                    // Whoever waits for each of a thousand sees nothing for minutes.
                    break;
                }
            }
        }
        Ok(tally)
    }

    pub(super) fn ask(&self) -> io::Result<Seen> {
        let id = Dice::from_os().roll().bits().to_be_bytes();
        let mut question = self.question.clone();
        question[..2].copy_from_slice(&id[..2]);
        let mut reply = [0; UDP_REPLY_LEN_MAX];
        let exchanged = self.socket.send(&question).and_then(|_| {
            loop {
                let len = self.socket.recv(&mut reply)?;
                // A late reply to a question before this one is passed over.
                if reply[..len].starts_with(&question[..2]) {
                    return Ok(len);
                }
            }
        });
        match exchanged {
            Ok(len) => Ok(seen(&reply[..len])),
            // The server is away, or takes its time.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock
                        | io::ErrorKind::TimedOut
                        | io::ErrorKind::ConnectionRefused
                ) =>
            {
                Ok(Seen::Silence)
            }
            Err(error) => Err(error),
        }
    }
}

fn seen(reply: &[u8]) -> Seen {
    let Ok(message) = Message::from_vec(reply) else { return Seen::Nothing };
    let mut addresses = message.answers.iter().filter_map(|record| match record.data {
        RData::A(address) => Some(Seen::Address { ip: IpAddr::V4(address.0), ttl: record.ttl }),
        _ => None,
    });
    addresses.next().unwrap_or(Seen::Nothing)
}
