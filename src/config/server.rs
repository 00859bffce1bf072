//! The mirror of the server file.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Amount, Entries, Field, Lasting, Percent,
    check::CheckFile,
    schema::{COUNTRY, HOST_PORT, PREFIX, SOCKET},
    zone::RampKey,
};
use crate::limits::{
    CONTROL_TARGETS_MAX, CORE_MAX, LATENCY_SAMPLES_MIN_MAX, UDP_BUFFER_LEN_MAX, UDP_BUFFER_LEN_MIN,
    UDP_THREADS_MAX,
};

/// The kinds of events, as [`WebhookFile::events`] names them.
const EVENTS: [&str; 8] =
    ["verdict", "override", "dial", "ramp", "blind", "over_budget", "overload", "reload"];

/// `evenkeel.yaml`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "the server file", bound(deserialize = "'de: 't"))]
#[schemars(rename = "ServerFile", extend("required" = ["version", "zones"]))]
pub struct ServerFile<'t> {
    /// The version of the format, 1.
    #[schemars(extend("type" = ["integer", "string"], "enum" = [1, "1"]))]
    pub version: Field<&'t str>,
    /// Where questions come in.
    #[serde(borrow)]
    #[schemars(length(min = 1), inner(regex(pattern = SOCKET)))]
    pub listen: Field<Vec<Field<&'t str>>>,
    /// How packets are taken in.
    pub udp: Field<UdpFile>,
    /// Folders and files.
    #[serde(borrow)]
    pub zones: Field<Vec<Field<&'t str>>>,
    /// Files that tell the places of addresses.
    #[serde(borrow)]
    pub geoip: Field<Vec<Field<&'t str>>>,
    /// What the operator knows of networks.
    #[serde(borrow)]
    #[schemars(extend("propertyNames" = { "pattern": PREFIX }))]
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
    #[serde(borrow)]
    pub prober: Field<ProberFile<'t>>,
    /// The API.
    #[serde(borrow)]
    pub api: Field<ApiFile<'t>>,
    /// Who may ask why.
    #[serde(borrow)]
    #[schemars(inner(regex(pattern = PREFIX)))]
    pub explain_from: Field<Vec<Field<&'t str>>>,
    /// How measured round trips are taken.
    pub latency: Field<LatencyFile>,
    /// The folder in which the state survives a restart.
    #[serde(borrow)]
    pub state: Field<&'t str>,
    /// Whom events are told.
    #[serde(borrow)]
    pub webhooks: Field<Vec<Field<WebhookFile<'t>>>>,
    /// What holds where a zone file says nothing.
    #[serde(borrow)]
    pub defaults: Field<DefaultsFile<'t>>,
}

/// What holds where a zone file says nothing.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "`defaults`", bound(deserialize = "'de: 't"))]
#[schemars(rename = "DefaultsFile")]
pub struct DefaultsFile<'t> {
    /// How pools come back.
    #[serde(borrow)]
    pub ramp: Field<RampKey<'t>>,
}

/// How packets are taken in.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "`udp`")]
#[schemars(rename = "UdpFile")]
pub struct UdpFile {
    /// Threads per address.
    #[schemars(range(min = 1, max = UDP_THREADS_MAX))]
    pub threads: Field<u64>,
    /// Cores for them, by their numbers.
    #[schemars(length(min = 1), inner(range(min = 0, max = CORE_MAX)))]
    pub cores: Field<Vec<Field<u64>>>,
    /// Octets of the kernel's buffer for what comes in.
    #[schemars(range(min = UDP_BUFFER_LEN_MIN, max = UDP_BUFFER_LEN_MAX))]
    pub receive_buffer: Field<u64>,
    /// Octets of the kernel's buffer for what goes out.
    #[schemars(range(min = UDP_BUFFER_LEN_MIN, max = UDP_BUFFER_LEN_MAX))]
    pub send_buffer: Field<u64>,
    /// How long a thread asks again before it sleeps.
    pub busy_poll: Field<Lasting>,
}

/// Whom events are told.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "a webhook", bound(deserialize = "'de: 't"))]
#[schemars(rename = "WebhookFile", extend("required" = ["url"]))]
pub struct WebhookFile<'t> {
    /// Where they are posted.
    #[serde(borrow)]
    #[schemars(regex(pattern = "^https?://"))]
    pub url: Field<&'t str>,
    /// The kinds of events.
    #[serde(borrow)]
    #[schemars(length(min = 1), extend("items" = { "enum": EVENTS }))]
    pub events: Field<Vec<Field<&'t str>>>,
    /// A file with what they are signed with.
    #[serde(borrow)]
    pub secret_file: Field<&'t str>,
}

/// What is known of a network.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "a network", bound(deserialize = "'de: 't"))]
#[schemars(rename = "NetworkFile", extend("minProperties" = 1))]
pub struct NetworkFile<'t> {
    /// Its country.
    #[serde(borrow)]
    #[schemars(regex(pattern = COUNTRY))]
    pub country: Field<&'t str>,
    /// The part of that country.
    #[serde(borrow)]
    pub subdivision: Field<&'t str>,
    /// The autonomous system.
    #[serde(borrow)]
    #[schemars(extend("type" = ["string", "integer"], "pattern" = "^([Aa][Ss])?[0-9]{1,10}$", "minimum" = 0, "maximum" = u32::MAX))]
    pub asn: Field<&'t str>,
    /// Where it is.
    #[serde(borrow)]
    pub at: Field<AtFile<'t>>,
}

/// A region.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "a region", bound(deserialize = "'de: 't"))]
#[schemars(rename = "RegionFile")]
pub struct RegionFile<'t> {
    /// Where it is.
    #[serde(borrow)]
    pub at: Field<AtFile<'t>>,
    /// How much it can take.
    pub capacity: Field<Amount>,
}

/// A point on the earth.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(bound(deserialize = "'de: 't"))]
#[schemars(untagged)]
pub enum AtFile<'t> {
    /// A region of a public cloud.
    Text(#[schemars(regex(pattern = "^(aws|gcp|azure)/[a-z0-9-]+$"))] &'t str),
    /// Degrees north and east.
    List(
        #[serde(borrow)]
        #[schemars(with = "[f64; 2]")]
        Vec<Field<&'t str>>,
    ),
}

/// The API.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "`api`", bound(deserialize = "'de: 't"))]
#[schemars(rename = "ApiFile")]
pub struct ApiFile<'t> {
    /// Where it listens.
    #[serde(borrow)]
    #[schemars(regex(pattern = SOCKET))]
    pub listen: Field<&'t str>,
    /// A file with what callers have to know.
    #[serde(borrow)]
    pub token_file: Field<&'t str>,
    /// What connections are encrypted with.
    #[serde(borrow)]
    pub tls: Field<TlsFile<'t>>,
}

/// A certificate and its key.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "`tls`", bound(deserialize = "'de: 't"))]
#[schemars(rename = "TlsFile")]
pub struct TlsFile<'t> {
    /// A file with the certificate and those above it.
    #[serde(borrow)]
    pub cert: Field<&'t str>,
    /// A file with its key.
    #[serde(borrow)]
    pub key: Field<&'t str>,
}

/// How measured round trips are taken.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "`latency`")]
#[schemars(rename = "LatencyFile")]
pub struct LatencyFile {
    /// Samples below which a round trip does not count.
    #[schemars(range(min = 1, max = LATENCY_SAMPLES_MIN_MAX))]
    pub samples_min: Field<u64>,
    /// The time in which a sample loses half of its weight.
    pub half_life: Field<Lasting>,
    /// By how much a round trip has to change.
    pub hysteresis: Field<Percent>,
}

/// The prober.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "`prober`", bound(deserialize = "'de: 't"))]
#[schemars(rename = "ProberFile")]
pub struct ProberFile<'t> {
    /// How long steered names wait for their first probes.
    pub startup_wait: Field<Lasting>,
    /// What is always there.
    #[serde(borrow)]
    #[schemars(length(min = 1, max = CONTROL_TARGETS_MAX))]
    pub control: Field<Vec<Field<ControlFile<'t>>>>,
    /// The share of targets whose failure is the prober's own.
    pub blind_above: Field<Percent>,
    /// How long it doubts itself at most.
    pub blind_for: Field<Lasting>,
}

/// A control target of the prober.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "a control target", bound(deserialize = "'de: 't"))]
#[schemars(rename = "ControlFile", extend("required" = ["tcp"]))]
pub struct ControlFile<'t> {
    /// Something that accepts connections.
    #[serde(borrow)]
    #[schemars(regex(pattern = HOST_PORT))]
    pub tcp: Field<&'t str>,
}

/// What `listen` is where it is absent.
#[must_use]
pub fn listen_default() -> Vec<SocketAddr> {
    use std::net::{Ipv4Addr, Ipv6Addr};
    vec![(Ipv4Addr::UNSPECIFIED, 53).into(), (Ipv6Addr::UNSPECIFIED, 53).into()]
}
