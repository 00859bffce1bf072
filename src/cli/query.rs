//! `evenkeel query`: one question, and the reply as dig prints it.
//!
//! ```text
//!   question -> UDP, a few times -> truncated? -> TCP -> text -> exit code
//! ```
//!
//! The exit code says whether the server did its duty: 0 for NOERROR and NXDOMAIN, 1 for every
//! other reply and for none. That makes the command a health check of a container.
//!
//! Not here: how a reply becomes text (`reply_text`), and anything of the server: the message is
//! written and read by another implementation (hickory-proto), which also makes it a test.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    process::ExitCode,
    str::FromStr,
    time::{Duration, Instant},
};

use hickory_proto::{
    op::{Edns, Message, OpCode, Query as Asked, ResponseCode},
    rr::{
        Name, RecordType,
        rdata::opt::{ClientSubnet, EdnsOption},
    },
};

use super::reply_text::{self, Received};
use crate::{
    clock,
    dice::Dice,
    limits::{QUERY_TRIES_MAX, QUERY_WAIT_MAX, TCP_MESSAGE_LEN_MAX, UDP_REPLY_LEN_MAX},
    wire::{Rtype, Transport},
};

/// One question.
#[derive(Debug, clap::Args)]
pub(super) struct Query {
    /// The name to ask for.
    #[arg(value_parser = name)]
    name: Name,
    /// The record type, by mnemonic or as TYPE123.
    #[arg(value_name = "TYPE", default_value = "A", value_parser = rtype)]
    rtype: Rtype,
    /// The server to ask.
    #[arg(long, value_name = "IP[:PORT]", default_value = "127.0.0.1:53", value_parser = server)]
    at: SocketAddr,
    /// Ask as a resolver of this client's would (EDNS Client Subnet).
    #[arg(long, value_name = "IP[/LEN]")]
    client: Option<Subnet>,
    /// Ask over TCP at once, and not only when the reply over UDP is truncated.
    #[arg(long)]
    tcp: bool,
}

/// A client's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Subnet {
    /// The bits behind `len` are 0.
    address: IpAddr,
    len: u8,
}

/// Why there is no reply.
#[derive(Debug)]
enum NoReply {
    Unreachable(io::Error),
    TimedOut,
    Unreadable(String),
}

pub(super) fn run(query: &Query) -> ExitCode {
    let id = u16::try_from(Dice::from_os().roll().bits() >> 48).expect("16 of 64 bits are left");
    match exchange(query, id) {
        Ok(received) => {
            print!("{}", reply_text::dig(&received));
            match judge(received.message.metadata.response_code) {
                Ok(()) => ExitCode::SUCCESS,
                Err(complaint) => {
                    eprintln!("{complaint}");
                    ExitCode::FAILURE
                }
            }
        }
        Err(no_reply) => {
            eprintln!("error: no answer from {}: {no_reply}", query.at);
            ExitCode::FAILURE
        }
    }
}

/// What the reply code means for whoever asked; none when the server did its duty.
fn judge(code: ResponseCode) -> Result<(), String> {
    let hint = match code {
        ResponseCode::NoError | ResponseCode::NXDomain => return Ok(()),
        ResponseCode::Refused => {
            "the name is in none of the server's zones; `evenkeel check` shows what is wrong with \
             them"
        }
        ResponseCode::ServFail => {
            "the server knows the name and has nothing to answer with; the EDE line above says why"
        }
        _ => "the server did not take the question; its log and the EDE line above may say why",
    };
    Err(format!("error: the server answered {}\nhint: {hint}", reply_text::status(code)))
}

fn exchange(query: &Query, id: u16) -> Result<Received, NoReply> {
    let question = question(query, id);
    let octets = question.to_vec().map_err(|error| NoReply::Unreadable(error.to_string()))?;
    let begun = clock::now();
    let mut transport = if query.tcp { Transport::Tcp } else { Transport::Udp };
    let mut reply = match transport {
        Transport::Udp => over_udp(query.at, &octets)?,
        Transport::Tcp => over_tcp(query.at, &octets)?,
    };
    let mut message = read(&reply)?;
    if transport == Transport::Udp && message.metadata.truncation {
        transport = Transport::Tcp;
        reply = over_tcp(query.at, &octets)?;
        message = read(&reply)?;
    }
    Ok(Received {
        message,
        len: reply.len(),
        server: query.at,
        transport,
        took: clock::now().saturating_duration_since(begun),
        at: clock::wall(),
    })
}

fn question(query: &Query, id: u16) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(u16::try_from(UDP_REPLY_LEN_MAX).expect("it is 1232"));
    if let Some(Subnet { address, len }) = query.client {
        edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(address, len, 0)));
    }
    let mut message = Message::query();
    message.metadata.id = id;
    message.metadata.op_code = OpCode::Query;
    message.add_query(Asked::query(query.name.clone(), RecordType::from(query.rtype.0)));
    message.set_edns(edns);
    message
}

fn read(reply: &[u8]) -> Result<Message, NoReply> {
    Message::from_vec(reply).map_err(|error| NoReply::Unreadable(error.to_string()))
}

fn over_udp(server: SocketAddr, question: &[u8]) -> Result<Vec<u8>, NoReply> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    // A connected socket takes replies from the server alone, and is told when there is none.
    socket.connect(server)?;
    let mut reply = vec![0; TCP_MESSAGE_LEN_MAX];
    for _ in 0..QUERY_TRIES_MAX {
        socket.send(question)?;
        let end = clock::now() + QUERY_WAIT_MAX;
        while let Some(left) = left_until(end) {
            socket.set_read_timeout(Some(left))?;
            match socket.recv(&mut reply) {
                Ok(len) if answers(&reply[..len], question) => {
                    reply.truncate(len);
                    return Ok(reply);
                }
                // A reply to another question.
                Ok(_) => (),
                Err(error) if is_timeout(&error) => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
    Err(NoReply::TimedOut)
}

fn over_tcp(server: SocketAddr, question: &[u8]) -> Result<Vec<u8>, NoReply> {
    let end = clock::now() + QUERY_WAIT_MAX;
    let mut stream = TcpStream::connect_timeout(&server, QUERY_WAIT_MAX)?;
    stream.set_write_timeout(Some(QUERY_WAIT_MAX))?;
    let len = u16::try_from(question.len()).expect("a name and an OPT record are short");
    stream.write_all(&[&len.to_be_bytes(), question].concat())?;
    let mut octets = Vec::new();
    loop {
        if let Some((prefix, reply)) = octets.split_first_chunk() {
            let len = usize::from(u16::from_be_bytes(*prefix));
            if let Some(reply) = reply.get(..len) {
                if answers(reply, question) {
                    return Ok(reply.to_vec());
                }
                return Err(NoReply::Unreadable("it is not a reply to the question".into()));
            }
        }
        stream.set_read_timeout(Some(left_until(end).ok_or(NoReply::TimedOut)?))?;
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk)? {
            0 => {
                return Err(NoReply::Unreadable(
                    "the connection ended before the reply did".into(),
                ));
            }
            len => octets.extend_from_slice(&chunk[..len]),
        }
    }
}

/// Whether `reply` is a response with the question's ID.
fn answers(reply: &[u8], question: &[u8]) -> bool {
    reply.len() > 2 && reply[..2] == question[..2] && reply[2] & 0x80 != 0
}

fn left_until(end: Instant) -> Option<Duration> {
    Some(end.saturating_duration_since(clock::now())).filter(|left| !left.is_zero())
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

impl From<io::Error> for NoReply {
    fn from(error: io::Error) -> Self {
        if is_timeout(&error) { Self::TimedOut } else { Self::Unreachable(error) }
    }
}

impl fmt::Display for NoReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => write!(
                f,
                "{error}\nhint: start a server there (`evenkeel serve --config FILE`), or say with \
                 `--at IP:PORT` where it is"
            ),
            Self::TimedOut => write!(
                f,
                "nothing came in time\nhint: a firewall may drop the packets, UDP or TCP; `--at \
                 IP:PORT` asks elsewhere"
            ),
            Self::Unreadable(what) => write!(
                f,
                "the reply cannot be read: {what}\nhint: `--at` may name something that is not a \
                 DNS server"
            ),
        }
    }
}

fn name(text: &str) -> Result<Name, String> {
    let mut name = Name::from_ascii(text)
        .map_err(|error| format!("{error}; write an international name in its `xn--` form"))?;
    name.set_fqdn(true);
    Ok(name)
}

fn rtype(text: &str) -> Result<Rtype, String> {
    text.parse().map_err(|_| "no such record type; TYPE123 asks for any by its number".into())
}

fn server(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .or_else(|_| text.parse::<IpAddr>().map(|address| (address, 53).into()))
        .map_err(|_| "not an address; write 192.0.2.1:53 or [2001:db8::1]:53".into())
}

impl FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hint =
            || "not a network; write 203.0.113.7, 203.0.113.0/24 or 2001:db8::/56".to_owned();
        let (address, len) = match text.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| hint())?;
        let len_max = if address.is_ipv4() { 32 } else { 128 };
        let len: u8 = len.map_or(Ok(len_max), str::parse).map_err(|_| hint())?;
        if len_max < len {
            return Err(hint());
        }
        // The bits behind the prefix have to be 0 (RFC 7871 section 6).
        let beyond = u32::from(len_max - len);
        let address = match address {
            IpAddr::V4(it) => {
                let kept = u32::MAX.checked_shl(beyond).unwrap_or(0);
                Ipv4Addr::from_bits(it.to_bits() & kept).into()
            }
            IpAddr::V6(it) => {
                let kept = u128::MAX.checked_shl(beyond).unwrap_or(0);
                Ipv6Addr::from_bits(it.to_bits() & kept).into()
            }
        };
        Ok(Self { address, len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_address_or_a_network() {
        let check = |text: &str, address: &str, len| {
            let address = address.parse().unwrap();
            assert_eq!(text.parse(), Ok(Subnet { address, len }), "{text}");
        };
        check("203.0.113.7", "203.0.113.7", 32);
        check("203.0.113.7/24", "203.0.113.0", 24);
        check("203.0.113.7/0", "0.0.0.0", 0);
        check("2001:db8::7/56", "2001:db8::", 56);
        check("2001:db8::7/0", "::", 0);
        check("2001:db8::7", "2001:db8::7", 128);
        for text in ["", "203.0.113.7/33", "203.0.113.7/", "203.0.113.7/-1", "::/129", "a/8"] {
            assert!(text.parse::<Subnet>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_server_may_leave_out_its_port() {
        assert_eq!(server("192.0.2.1"), Ok("192.0.2.1:53".parse().unwrap()));
        assert_eq!(server("::1"), Ok("[::1]:53".parse().unwrap()));
        assert_eq!(server("[::1]:5300"), Ok("[::1]:5300".parse().unwrap()));
        assert!(server("localhost").is_err());
    }

    #[test]
    fn a_name_is_taken_as_absolute() {
        assert_eq!(name("www.example").unwrap(), name("www.example.").unwrap());
        assert!(name("..").is_err());
    }
}
