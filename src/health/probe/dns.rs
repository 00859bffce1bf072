//! `dns`: a question is answered as it should be.
//!
//! # Invariants
//!
//! - A reply counts when its id and its question are those of what was asked; anything else that
//!   arrives is passed over, and waited on.
//! - A reply that is cut off and lacks what is looked for is asked for again over TCP.
//!
//! *Not here:* the server's own messages (`wire`): what is read here is what strangers say, off the
//! answer path.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_proto::{
    op::Message,
    rr::RData,
    serialize::binary::{BinDecodable as _, BinDecoder},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
};

use super::{Why, connect, first_of};
use crate::{
    dice::Dice,
    health::{Dns, ProbeSpec},
    limits::UDP_REPLY_LEN_MAX,
};

/// Asks and judges the answer.
pub(super) async fn ask(spec: &ProbeSpec, dns: &Dns) -> Result<(), Why> {
    let addresses = connect::addresses(spec).await?;
    let id = u16::try_from(Dice::from_os().roll().below(1 << 16)).expect("below 2^16");
    let question = question(dns, id);
    if !dns.tcp {
        let reply =
            first_of(addresses.clone(), |address| over_udp(address, dns, &question)).await?;
        let judged = judge(&reply, dns);
        if judged.is_ok() || !reply.metadata.truncation {
            return judged;
        }
    }
    judge(&first_of(addresses, |address| over_tcp(address, dns, &question)).await?, dns)
}

/// A question that wants recursion, which authoritative servers pass over and resolvers need.
fn question(dns: &Dns, id: u16) -> Vec<u8> {
    const RECURSION_DESIRED: u8 = 0x01;
    const CLASS_IN: [u8; 2] = [0, 1];
    let mut octets = Vec::with_capacity(12 + dns.name.len() + 4);
    octets.extend(id.to_be_bytes());
    octets.extend([RECURSION_DESIRED, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    octets.extend_from_slice(&dns.name);
    octets.extend(dns.rtype.to_be_bytes());
    octets.extend(CLASS_IN);
    octets
}

async fn over_udp(address: SocketAddr, dns: &Dns, question: &[u8]) -> Result<Message, Why> {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let failed = |error: std::io::Error| Why::Connect(error.kind());
    let socket = UdpSocket::bind((any, 0)).await.map_err(failed)?;
    socket.connect(address).await.map_err(failed)?;
    socket.send(question).await.map_err(failed)?;
    let mut reply = [0; UDP_REPLY_LEN_MAX];
    loop {
        let len = socket.recv(&mut reply).await.map_err(failed)?;
        if let Some(message) = read(&reply[..len], dns, question) {
            return Ok(message);
        }
    }
}

async fn over_tcp(address: SocketAddr, dns: &Dns, question: &[u8]) -> Result<Message, Why> {
    let mut stream =
        TcpStream::connect(address).await.map_err(|error| Why::Connect(error.kind()))?;
    let len = u16::try_from(question.len()).map_err(|_| Why::Request)?;
    let framed = [&len.to_be_bytes()[..], question].concat();
    stream.write_all(&framed).await.map_err(|_| Why::Exchange)?;
    let len = stream.read_u16().await.map_err(|_| Why::Exchange)?;
    let mut reply = vec![0; usize::from(len)];
    stream.read_exact(&mut reply).await.map_err(|_| Why::Exchange)?;
    // Over TCP there is nobody else to say anything.
    read(&reply, dns, question).ok_or(Why::Exchange)
}

/// A reply to the question, if it is one.
fn read(reply: &[u8], dns: &Dns, question: &[u8]) -> Option<Message> {
    const RESPONSE: u8 = 0x80;
    if reply.get(..2)? != &question[..2] || reply.get(2)? & RESPONSE == 0 {
        return None;
    }
    // The question is echoed as it was sent but for the case of letters; servers that refuse a
    // question may leave it out.
    let asked = &question[12..];
    let is_echoed = reply.get(4..6)? == [0, 1]
        && reply.get(12..12 + asked.len()).is_some_and(|it| it.eq_ignore_ascii_case(asked));
    let is_left_out = reply.get(4..6)? == [0, 0] && dns.rcode != 0;
    (is_echoed || is_left_out).then(|| Message::from_bytes(reply).ok())?
}

fn judge(reply: &Message, dns: &Dns) -> Result<(), Why> {
    let code = reply.metadata.response_code;
    if u16::from(code) != dns.rcode {
        return Err(Why::Rcode(format!("{code:?}").to_ascii_uppercase().into()));
    }
    let given = |wanted: &[u8]| {
        let mut decoder = BinDecoder::new(wanted);
        let len = u16::try_from(wanted.len()).ok()?;
        let restricted = hickory_proto::serialize::binary::Restrict::new(len);
        let wanted = RData::read(&mut decoder, dns.rtype.into(), restricted).ok()?;
        reply.answers.iter().find(|record| record.data == wanted)
    };
    if dns.answer.iter().all(|it| given(it).is_some()) { Ok(()) } else { Err(Why::Answer) }
}
