//! Kinds: what may be asked of a target, as values.
//!
//! *Not here:* how it is asked (`probe`), and how a file says it (`config`, `compile`).

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
    time::Duration,
};

/// What is asked of a target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A connection is accepted, and what is said over it is as it should be.
    Tcp(Tcp),
    /// A TLS connection comes about, with a good certificate.
    Tls(Tls),
    /// A request is answered as it should be.
    Http(Box<Http>),
    /// A question of DNS is answered as it should be.
    Dns(Dns),
    /// An echo comes back.
    Icmp,
    /// The health service of gRPC says `SERVING`.
    Grpc(Grpc),
    /// A command says so by its exit status.
    Exec(Exec),
    /// Heartbeats come in; nothing is asked.
    Push(Push),
}

/// What is said over a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Tcp {
    /// What the prober says first.
    pub send: Option<Box<str>>,
    /// Text that must occur in what the target says, within `PROBE_BODY_LEN_MAX`.
    pub expect: Option<Box<str>>,
}

/// An HTTP request, and what its response has to be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Http {
    /// TLS under it; none: plain.
    pub tls: Option<Tls>,
    /// The request method, such as `GET`.
    pub method: Box<str>,
    /// The request target, such as `/health`.
    pub path: Box<str>,
    /// The `Host` header, in HTTP/2 the authority.
    pub host: Box<str>,
    /// Further headers.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// Ranges of good status codes, ends included.
    pub status: Vec<(u16, u16)>,
    /// Text that must occur in the body's first MiB.
    pub body: Option<Box<str>>,
    /// What the body's first MiB must match.
    pub body_regex: Option<Pattern>,
    /// What must hold of values in the body, which then is JSON and at most a MiB long.
    pub json: Vec<Claim>,
    /// The time in which the full answer has to be there.
    pub within: Option<Duration>,
}

/// The TLS of a check.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tls {
    /// The name that is asked for and that the certificate must hold.
    pub sni: Box<str>,
    /// Trusted roots in PEM; none: the system's.
    pub ca: Option<Arc<[u8]>>,
    /// Whether the certificate has to be trusted and hold the name.
    pub verify: bool,
    /// What the prober shows of itself.
    pub identity: Option<Arc<Identity>>,
    /// The time for which the certificate has to be good at least.
    pub expires_in: Option<Duration>,
}

/// A client's certificate.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// It, and those above it, in PEM.
    pub cert: Box<[u8]>,
    /// Its key in PEM.
    pub key: Box<[u8]>,
}

/// A question of DNS, and what its answer has to be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Dns {
    /// The name in wire form.
    pub name: Box<[u8]>,
    /// The type's number.
    pub rtype: u16,
    /// The response code.
    pub rcode: u16,
    /// Record data in wire form, all of which must occur.
    pub answer: Vec<Box<[u8]>>,
    /// Whether it is asked over TCP.
    pub tcp: bool,
}

/// A question to the health service of gRPC.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Grpc {
    /// The service asked about; empty: the server as a whole.
    pub service: Box<str>,
    /// The authority of the request.
    pub host: Box<str>,
    /// TLS under it; none: plain.
    pub tls: Option<Tls>,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Exec {
    /// The program and its arguments; at least one.
    pub argv: Vec<Box<str>>,
}

/// Heartbeats.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Push {
    /// The name by which they come in.
    pub check: Box<str>,
    /// How long one lasts.
    pub expires: Duration,
}

/// A regular expression over octets. Equal texts are equal patterns.
#[derive(Debug, Clone)]
pub struct Pattern(pub regex::bytes::Regex);

/// What must hold of a value in a JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Where the value is (RFC 6901).
    pub pointer: Box<str>,
    /// How it is compared.
    pub relation: Relation,
    /// With what. Where `relation` is one of order, a number.
    pub operand: Box<str>,
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Relation {
    /// `=`
    Equal,
    /// `!=`
    Other,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
}

impl Relation {
    /// All of them; those of two characters first, as they are read.
    pub const ALL: [Self; 6] =
        [Self::AtMost, Self::AtLeast, Self::Other, Self::Equal, Self::Less, Self::More];

    /// How a file writes it.
    #[must_use]
    pub fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Other => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
        }
    }

    /// Whether only numbers can be compared so.
    #[must_use]
    pub fn is_order(self) -> bool {
        !matches!(self, Self::Equal | Self::Other)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_str().hash(state);
    }
}

impl fmt::Debug for Identity {
    /// A key does not get into a log by way of a spec.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.pointer, self.relation.sign(), self.operand)
    }
}
