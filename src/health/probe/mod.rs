//! The probe: one execution, from a fresh connection to an outcome.
//!
//! ```text
//!   look up -> connect -> (TLS) -> ask -> judge what comes, as far as it is needed
//!   |<----------------------------- timeout ----------------------------->|
//! ```
//!
//! # Invariants
//!
//! - Every execution makes a connection of its own, and no TLS session is resumed: what is probed
//!   is what a new client would meet, its certificate included.
//! - An execution ends within its timeout, and leaves nothing behind: no task, no connection, no
//!   process.
//! - It holds no more than `PROBE_BODY_LEN_MAX` octets of what the target says.
//! - Each kind has a file of its own; what comes from a target and gets into a reason goes through
//!   [`said`].
//!
//! *Not here:* what outcomes add up to (`judge`), which certificates are trusted (`trust`), and
//! heartbeats, for which nothing is executed (`prober`).

mod connect;
mod certificate;
mod tcp;
mod http;
mod json;
mod load;
mod dns;
mod icmp;
mod grpc;
mod exec;

use std::{fmt, io::ErrorKind, net::SocketAddr, time::Duration};

pub use certificate::Certificate;
pub use load::Utilization;

use super::{Kind, ProbeSpec};
use crate::clock;

/// What one execution came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be.
    Good,
    /// Not so.
    Failed(Why),
}

/// What one execution told.
#[derive(Debug, Clone, PartialEq)]
pub struct Executed {
    /// What it came to.
    pub outcome: Outcome,
    /// What the target told with it, good or not.
    pub told: Told,
    /// How long it took.
    pub took: Duration,
}

/// What a target tells besides.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Told {
    /// Its load.
    pub load: Option<Utilization>,
    /// How long its certificate is good yet; none: there is none that counts, or it did not come to it.
    pub certificate: Option<Certificate>,
}

impl From<Outcome> for Executed {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, told: Told::default(), took: Duration::ZERO }
    }
}

/// Why an execution failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// There was no outcome in time.
    Timeout(Duration),
    /// The host name of the target has no address.
    Lookup,
    /// No connection came about.
    Connect(ErrorKind),
    /// No TLS came about.
    Tls(Box<str>),
    /// The certificate ends too soon, in so many seconds.
    Expires(u64),
    /// The connection broke, or what came over it was not of the protocol.
    Exchange,
    /// The status code is not among the good ones.
    Status(u16),
    /// The full answer was not there within this time.
    Slow(Duration),
    /// The text does not occur in the part of the body that was read.
    Body,
    /// The part of the body that was read does not match.
    Pattern,
    /// What has to hold of the JSON in the body does not.
    Json(Box<str>),
    /// The text was not said over the connection.
    Expect,
    /// The response code is not the one wanted.
    Rcode(Box<str>),
    /// The record data is not in the answer.
    Answer,
    /// The kernel does not let this process send echo requests.
    Forbidden,
    /// The health service of gRPC says something other than `SERVING`.
    Grpc(Box<str>),
    /// The command says so, or could not be run.
    Exec(Box<str>),
    /// No heartbeat came for so long.
    Silent(Duration),
    /// It is good, and the check is inverted.
    Inverted,
    /// The request cannot be made as it was written.
    Request,
    /// The prober itself failed.
    Broken,
    /// What another prober said, which this one goes on from.
    Told(Box<str>),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good => f.write_str("good"),
            Self::Failed(why) => why.fmt(f),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(timeout) => write!(f, "no outcome within {timeout:?}"),
            Self::Lookup => f.write_str("the host name has no address"),
            Self::Connect(kind) => kind.fmt(f),
            Self::Tls(why) => write!(f, "TLS: {why}"),
            Self::Expires(seconds) => write!(f, "the certificate ends in {}", Rough(*seconds)),
            Self::Exchange => f.write_str("the connection broke before the response was there"),
            Self::Status(code) => write!(f, "status {code}"),
            Self::Slow(within) => write!(f, "the full answer was not there within {within:?}"),
            Self::Body => f.write_str("the text is not in the body"),
            Self::Pattern => f.write_str("the body does not match"),
            Self::Expect => f.write_str("what was expected was not said"),
            Self::Rcode(code) => write!(f, "rcode {code}"),
            Self::Answer => f.write_str("what was expected is not in the answer"),
            Self::Forbidden => f.write_str(
                "the kernel does not let this process send echo requests: \
                 its group is not in `net.ipv4.ping_group_range`",
            ),
            Self::Grpc(why) => write!(f, "gRPC: {why}"),
            Self::Json(why) | Self::Exec(why) | Self::Told(why) => f.write_str(why),
            Self::Silent(expires) => write!(f, "no heartbeat within {expires:?}"),
            Self::Inverted => f.write_str("good, and the check is inverted"),
            Self::Request => f.write_str("the request cannot be made"),
            Self::Broken => f.write_str("the probe itself failed"),
        }
    }
}

impl Why {
    /// Whether it says something of the target, and not of the prober.
    fn is_of_the_target(&self) -> bool {
        !matches!(self, Self::Forbidden | Self::Request | Self::Broken)
    }
}

/// Executes a probe once, and gives what it came to.
pub async fn execute(spec: &ProbeSpec) -> Outcome {
    execute_and_hear(spec).await.outcome
}

/// Executes a probe once, and gives also what the target told besides.
pub async fn execute_and_hear(spec: &ProbeSpec) -> Executed {
    let mut told = Told::default();
    let began = clock::now();
    let executed = async {
        match &spec.kind {
            Kind::Tcp(tcp) => tcp::converse(spec, tcp).await,
            Kind::Tls(tls) => {
                let alpn = super::trust::Alpn::Unsaid;
                connect::over_tls(spec, tls, alpn, &mut told).await.map(drop)
            }
            Kind::Http(http) => http::exchange(spec, http, &mut told).await,
            Kind::Dns(dns) => dns::ask(spec, dns).await,
            Kind::Icmp => icmp::echo(spec).await,
            Kind::Grpc(grpc) => grpc::check(spec, grpc, &mut told).await,
            Kind::Exec(exec) => exec::run(spec, exec).await,
            // Heartbeats come to the prober; there is nothing to execute.
            Kind::Push(_) => Err(Why::Broken),
        }
    };
    let result = match tokio::time::timeout(spec.timeout, executed).await {
        Ok(result) => result,
        Err(_) => Err(Why::Timeout(spec.timeout)),
    };
    let outcome = match result {
        Ok(()) if spec.invert => Outcome::Failed(Why::Inverted),
        // What the prober cannot do says nothing of the target, one way or the other.
        Err(why) if spec.invert && why.is_of_the_target() => Outcome::Good,
        Ok(()) => Outcome::Good,
        Err(why) => Outcome::Failed(why),
    };
    Executed { outcome, told, took: clock::now() - began }
}

/// What a target said, fit for a line of a log: the beginning of its first line, without control
/// characters.
fn said(text: &[u8]) -> String {
    /// Characters of it: a reason is short.
    const LEN_MAX: usize = 120;
    let line = text.split(|it| *it == b'\n').find(|it| !it.trim_ascii().is_empty());
    let line = String::from_utf8_lossy(line.unwrap_or_default().trim_ascii());
    line.chars().map(|it| if it.is_control() { ' ' } else { it }).take(LEN_MAX).collect()
}

/// Seconds in the greatest unit that fits.
struct Rough(u64);

impl fmt::Display for Rough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            it @ ..60 => write!(f, "{it}s"),
            it @ ..3600 => write!(f, "{}m", it / 60),
            it @ ..172_800 => write!(f, "{}h", it / 3600),
            it => write!(f, "{}d", it / 86_400),
        }
    }
}

/// The first of the addresses on which `each` succeeds, else why it failed on the last.
async fn first_of<T, F>(
    addresses: Vec<SocketAddr>,
    each: impl Fn(SocketAddr) -> F,
) -> Result<T, Why>
where
    F: Future<Output = Result<T, Why>>,
{
    let mut why = Why::Lookup;
    for address in addresses {
        match each(address).await {
            Ok(it) => return Ok(it),
            Err(it) => why = it,
        }
    }
    Err(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_targets_say_is_short_and_on_one_line() {
        let check = |text: &[u8], expect: &str| assert_eq!(said(text), expect);
        check(b"", "");
        check(b"\n\n  OK - all well \r\nmore", "OK - all well");
        check(b"a\x1b[31mred\xFF", "a [31mred\u{FFFD}");
        assert_eq!(said(&[b'x'; 5000]).len(), 120);
    }

    #[test]
    fn rough_times() {
        let check = |seconds, expect: &str| assert_eq!(Rough(seconds).to_string(), expect);
        check(0, "0s");
        check(59, "59s");
        check(3599, "59m");
        check(47 * 3600, "47h");
        check(48 * 3600, "2d");
    }
}
