//! The mirror of the server file.

use std::net::SocketAddr;

use serde::Deserialize;

use super::{Entries, Field, Lasting, Percent, Status};

/// `evenkeel.yaml`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename = "the server file", bound(deserialize = "'de: 't"))]
pub struct ServerFile<'t> {
    /// The version of the format, 1.
    pub version: Field<&'t str>,
    /// Where questions come in.
    #[serde(borrow)]
    pub listen: Field<Vec<Field<&'t str>>>,
    /// Folders and files.
    #[serde(borrow)]
    pub zones: Field<Vec<Field<&'t str>>>,
    /// Files that tell the places of addresses.
    #[serde(borrow)]
    pub geoip: Field<Vec<Field<&'t str>>>,
    /// What the operator knows of networks.
    #[serde(borrow)]
    pub networks: Field<Entries<'t, NetworkFile<'t>>>,
    /// The regions that pools may be in.
    #[serde(borrow)]
    pub regions: Field<Entries<'t, RegionFile<'t>>>,
    /// The checks that pools and endpoints may name.
    #[serde(borrow)]
    pub checks: Field<Entries<'t, CheckFile<'t>>>,
    /// Whom to become.
    #[serde(borrow)]
    pub user: Field<&'t str>,
    /// The prober.
    pub prober: Field<ProberFile>,
    /// The API.
    #[serde(borrow)]
    pub api: Field<ApiFile<'t>>,
    /// Who may ask why.
    #[serde(borrow)]
    pub explain_from: Field<Vec<Field<&'t str>>>,
    /// How measured round trips are taken.
    pub latency: Field<LatencyFile>,
    /// The folder in which the state survives a restart.
    #[serde(borrow)]
    pub state: Field<&'t str>,
    /// Whom events are told.
    #[serde(borrow)]
    pub webhooks: Field<Vec<Field<WebhookFile<'t>>>>,
}

/// Whom events are told.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename = "a webhook", bound(deserialize = "'de: 't"))]
pub struct WebhookFile<'t> {
    /// Where they are posted.
    #[serde(borrow)]
    pub url: Field<&'t str>,
    /// The kinds of events.
    #[serde(borrow)]
    pub events: Field<Vec<Field<&'t str>>>,
    /// A file with what they are signed with.
    #[serde(borrow)]
    pub secret_file: Field<&'t str>,
}

/// What is known of a network.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename = "a network", bound(deserialize = "'de: 't"))]
pub struct NetworkFile<'t> {
    /// Its country.
    #[serde(borrow)]
    pub country: Field<&'t str>,
    /// The part of that country.
    #[serde(borrow)]
    pub subdivision: Field<&'t str>,
    /// The autonomous system.
    #[serde(borrow)]
    pub asn: Field<&'t str>,
    /// Where it is.
    #[serde(borrow)]
    pub at: Field<AtFile<'t>>,
}

/// A region.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename = "a region", bound(deserialize = "'de: 't"))]
pub struct RegionFile<'t> {
    /// Where it is.
    #[serde(borrow)]
    pub at: Field<AtFile<'t>>,
}

/// A point on the earth.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "'de: 't"))]
pub enum AtFile<'t> {
    /// A region of a public cloud.
    Text(&'t str),
    /// Degrees north and east.
    List(#[serde(borrow)] Vec<Field<&'t str>>),
}

/// The API.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename = "`api`", bound(deserialize = "'de: 't"))]
pub struct ApiFile<'t> {
    /// Where it listens.
    #[serde(borrow)]
    pub listen: Field<&'t str>,
    /// A file with what a caller has to know.
    #[serde(borrow)]
    pub token_file: Field<&'t str>,
}

/// How measured round trips are taken.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename = "`latency`")]
pub struct LatencyFile {
    /// Samples below which a round trip does not count.
    pub samples_min: Field<u64>,
    /// The time in which a sample loses half of its weight.
    pub half_life: Field<Lasting>,
    /// By how much a round trip has to change.
    pub hysteresis: Field<Percent>,
}

/// The prober.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename = "`prober`")]
pub struct ProberFile {
    /// How long steered names wait for their first probes.
    pub startup_wait: Field<Lasting>,
}

/// A check; one of the kinds is given.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename = "a check", bound(deserialize = "'de: 't"))]
pub struct CheckFile<'t> {
    /// A request over TCP.
    #[serde(borrow)]
    pub http: Field<HttpFile<'t>>,
    /// A request over TLS.
    #[serde(borrow)]
    pub https: Field<HttpsFile<'t>>,
    /// A connection.
    pub tcp: Field<TcpFile>,
    /// The period.
    pub every: Field<Lasting>,
    /// The longest execution.
    pub timeout: Field<Lasting>,
    /// Failures until down.
    pub fall: Field<u64>,
    /// Successes until up.
    pub rise: Field<u64>,
    /// `host:port` instead of the endpoint's address.
    #[serde(borrow)]
    pub target: Field<&'t str>,
}

/// The keys of `http`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename = "`http`", bound(deserialize = "'de: 't"))]
pub struct HttpFile<'t> {
    /// The request target.
    #[serde(borrow)]
    pub path: Field<&'t str>,
    /// The port.
    pub port: Field<u64>,
    /// The `Host` header.
    #[serde(borrow)]
    pub host: Field<&'t str>,
    /// The method.
    #[serde(borrow)]
    pub method: Field<&'t str>,
    /// Further headers.
    #[serde(borrow)]
    pub headers: Field<Entries<'t, &'t str>>,
    /// Good status codes.
    pub status: Field<Vec<Field<Status>>>,
    /// Text that must occur.
    #[serde(borrow)]
    pub body: Field<&'t str>,
}

/// The keys of `https`: those of `http` and some for TLS.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename = "`https`", bound(deserialize = "'de: 't"))]
pub struct HttpsFile<'t> {
    /// The request target.
    #[serde(borrow)]
    pub path: Field<&'t str>,
    /// The port.
    pub port: Field<u64>,
    /// The `Host` header.
    #[serde(borrow)]
    pub host: Field<&'t str>,
    /// The method.
    #[serde(borrow)]
    pub method: Field<&'t str>,
    /// Further headers.
    #[serde(borrow)]
    pub headers: Field<Entries<'t, &'t str>>,
    /// Good status codes.
    pub status: Field<Vec<Field<Status>>>,
    /// Text that must occur.
    #[serde(borrow)]
    pub body: Field<&'t str>,
    /// The name asked for in the handshake.
    #[serde(borrow)]
    pub sni: Field<&'t str>,
    /// A file of trusted roots.
    #[serde(borrow)]
    pub ca: Field<&'t str>,
    /// Whether the certificate has to be good.
    pub verify: Field<bool>,
}

/// The keys of `tcp`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename = "`tcp`")]
pub struct TcpFile {
    /// The port.
    pub port: Field<u64>,
}

/// What `listen` is where it is absent.
#[must_use]
pub fn listen_default() -> Vec<SocketAddr> {
    use std::net::{Ipv4Addr, Ipv6Addr};
    vec![(Ipv4Addr::UNSPECIFIED, 53).into(), (Ipv6Addr::UNSPECIFIED, 53).into()]
}
