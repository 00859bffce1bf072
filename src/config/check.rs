//! The mirror of a check.
//!
//! `http` and `https` have most keys in common and are two mirrors all the same: what a file may say
//! where is what the mirror has.
//!
//! *Not here:* which keys go together, and which of the kinds is given (`compile`).

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{
    Entries, Field, Lasting, Status,
    schema::{NAME, PATH, TOKEN},
};
use crate::limits::{CHECK_COUNT_MAX, CHECK_LEAVES_MAX, FLAP_CHANGES_MAX};

/// The keys that say of what kind a check is.
const KINDS: [&str; 12] = [
    "http", "https", "tcp", "tls", "dns", "icmp", "grpc", "exec", "push", "all_of", "any_of",
    "at_least",
];

/// The response codes that a check can ask for (RFC 6895 section 2.3).
const RCODES: [&str; 11] = [
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET",
    "NXRRSET", "NOTAUTH", "NOTZONE",
];

/// A check; one of the kinds is given.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "a check", bound(deserialize = "'de: 't"))]
#[schemars(rename = "CheckFile", extend("oneOf" = KINDS.map(|it| json!({ "required": [it] }))))]
pub struct CheckFile<'t> {
    /// A request over TCP.
    #[serde(borrow)]
    pub http: Field<HttpFile<'t>>,
    /// A request over TLS.
    #[serde(borrow)]
    pub https: Field<HttpsFile<'t>>,
    /// A connection.
    #[serde(borrow)]
    pub tcp: Field<TcpFile<'t>>,
    /// A TLS connection.
    #[serde(borrow)]
    pub tls: Field<TlsFile<'t>>,
    /// A question.
    #[serde(borrow)]
    pub dns: Field<DnsFile<'t>>,
    /// An echo.
    pub icmp: Field<IcmpFile>,
    /// A health service.
    #[serde(borrow)]
    pub grpc: Field<GrpcFile<'t>>,
    /// A command.
    #[serde(borrow)]
    pub exec: Field<ExecFile<'t>>,
    /// Heartbeats.
    pub push: Field<PushFile>,
    /// Checks that all must pass.
    #[serde(borrow)]
    #[schemars(length(min = 1))]
    pub all_of: Field<Vec<Field<CheckRef<'t>>>>,
    /// Checks one of which must pass.
    #[serde(borrow)]
    #[schemars(length(min = 1))]
    pub any_of: Field<Vec<Field<CheckRef<'t>>>>,
    /// Checks so many of which must pass.
    #[serde(borrow)]
    pub at_least: Field<AtLeastFile<'t>>,
    /// The period.
    pub every: Field<Lasting>,
    /// The longest execution.
    pub timeout: Field<Lasting>,
    /// Failures until down.
    #[schemars(range(min = 1, max = CHECK_COUNT_MAX))]
    pub fall: Field<u64>,
    /// Successes until up.
    #[schemars(range(min = 1, max = CHECK_COUNT_MAX))]
    pub rise: Field<u64>,
    /// `host:port` instead of the endpoint's address.
    #[serde(borrow)]
    pub target: Field<&'t str>,
    /// Whether good is bad.
    pub invert: Field<bool>,
    /// When to hold down what changes too often.
    pub flap: Field<FlapFile>,
}

/// When to hold down what changes too often.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "`flap`")]
#[schemars(rename = "FlapFile")]
pub struct FlapFile {
    /// Changes of the verdict.
    #[schemars(range(min = 2, max = FLAP_CHANGES_MAX))]
    pub changes: Field<u64>,
    /// Within how long.
    pub window: Field<Lasting>,
    /// How long it has to be good then.
    pub hold: Field<Lasting>,
}

/// A check in a list of checks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(bound(deserialize = "'de: 't"))]
#[schemars(untagged)]
pub enum CheckRef<'t> {
    /// Its name.
    Text(&'t str),
    /// Itself.
    Map(#[serde(borrow)] Box<CheckFile<'t>>),
}

/// The keys of `http`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "`http`", bound(deserialize = "'de: 't"))]
#[schemars(rename = "HttpFile")]
pub struct HttpFile<'t> {
    /// The request target.
    #[serde(borrow)]
    #[schemars(regex(pattern = PATH))]
    pub path: Field<&'t str>,
    /// The port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Field<u64>,
    /// The `Host` header.
    #[serde(borrow)]
    pub host: Field<&'t str>,
    /// The method.
    #[serde(borrow)]
    #[schemars(regex(pattern = TOKEN))]
    pub method: Field<&'t str>,
    /// Further headers.
    #[serde(borrow)]
    #[schemars(extend("propertyNames" = { "pattern": TOKEN }))]
    pub headers: Field<Entries<'t, &'t str>>,
    /// Good status codes.
    pub status: Field<Vec<Field<Status>>>,
    /// Text that must occur.
    #[serde(borrow)]
    pub body: Field<&'t str>,
    /// What the body must match.
    #[serde(borrow)]
    pub body_regex: Field<&'t str>,
    /// What must hold of values in it.
    #[serde(borrow)]
    #[schemars(extend("propertyNames" = { "pattern": "^(/|$)" }))]
    pub json: Field<Entries<'t, &'t str>>,
    /// The time to the full answer.
    pub within: Field<Lasting>,
}

/// The keys of `https`: those of `http` and some for TLS.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "`https`", bound(deserialize = "'de: 't"))]
#[schemars(rename = "HttpsFile")]
pub struct HttpsFile<'t> {
    /// The request target.
    #[serde(borrow)]
    #[schemars(regex(pattern = PATH))]
    pub path: Field<&'t str>,
    /// The port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Field<u64>,
    /// The `Host` header.
    #[serde(borrow)]
    pub host: Field<&'t str>,
    /// The method.
    #[serde(borrow)]
    #[schemars(regex(pattern = TOKEN))]
    pub method: Field<&'t str>,
    /// Further headers.
    #[serde(borrow)]
    #[schemars(extend("propertyNames" = { "pattern": TOKEN }))]
    pub headers: Field<Entries<'t, &'t str>>,
    /// Good status codes.
    pub status: Field<Vec<Field<Status>>>,
    /// Text that must occur.
    #[serde(borrow)]
    pub body: Field<&'t str>,
    /// What the body must match.
    #[serde(borrow)]
    pub body_regex: Field<&'t str>,
    /// What must hold of values in it.
    #[serde(borrow)]
    #[schemars(extend("propertyNames" = { "pattern": "^(/|$)" }))]
    pub json: Field<Entries<'t, &'t str>>,
    /// The time to the full answer.
    pub within: Field<Lasting>,
    /// The name asked for in the handshake.
    #[serde(borrow)]
    pub sni: Field<&'t str>,
    /// A file of trusted roots.
    #[serde(borrow)]
    pub ca: Field<&'t str>,
    /// Whether the certificate has to be good.
    pub verify: Field<bool>,
    /// A file with the prober's own certificate.
    #[serde(borrow)]
    pub cert: Field<&'t str>,
    /// A file with its key.
    #[serde(borrow)]
    pub key: Field<&'t str>,
    /// The time for which the certificate has to be good at least.
    pub expires_in: Field<Lasting>,
}

/// The keys of `tcp`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "`tcp`", bound(deserialize = "'de: 't"))]
#[schemars(rename = "TcpFile")]
pub struct TcpFile<'t> {
    /// The port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Field<u64>,
    /// What is said first.
    #[serde(borrow)]
    pub send: Field<&'t str>,
    /// Text that must be said then.
    #[serde(borrow)]
    pub expect: Field<&'t str>,
}

/// The keys of `tls`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "`tls`", bound(deserialize = "'de: 't"))]
#[schemars(rename = "TlsFile")]
pub struct TlsFile<'t> {
    /// The port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Field<u64>,
    /// The name asked for in the handshake.
    #[serde(borrow)]
    pub sni: Field<&'t str>,
    /// A file of trusted roots.
    #[serde(borrow)]
    pub ca: Field<&'t str>,
    /// Whether the certificate has to be good.
    pub verify: Field<bool>,
    /// The time for which the certificate has to be good at least.
    pub expires_in: Field<Lasting>,
}

/// The keys of `dns`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "`dns`", bound(deserialize = "'de: 't"))]
#[schemars(rename = "DnsFile", extend("required" = ["name"]))]
pub struct DnsFile<'t> {
    /// The port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Field<u64>,
    /// The name asked about.
    #[serde(borrow)]
    #[schemars(regex(pattern = NAME))]
    pub name: Field<&'t str>,
    /// The type asked for.
    #[serde(borrow)]
    #[schemars(regex(pattern = "^[A-Za-z][A-Za-z0-9]*$"))]
    pub r#type: Field<&'t str>,
    /// The response code.
    #[serde(borrow)]
    #[schemars(extend("enum" = RCODES))]
    pub rcode: Field<&'t str>,
    /// Record data that must occur.
    #[serde(borrow)]
    pub answer: Field<Vec<Field<&'t str>>>,
    /// Whether it is asked over TCP.
    pub tcp: Field<bool>,
}

/// The keys of `icmp`: none.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "`icmp`")]
#[schemars(rename = "IcmpFile")]
pub struct IcmpFile {}

/// The keys of `grpc`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "`grpc`", bound(deserialize = "'de: 't"))]
#[schemars(rename = "GrpcFile")]
pub struct GrpcFile<'t> {
    /// The port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Field<u64>,
    /// The service asked about.
    #[serde(borrow)]
    pub service: Field<&'t str>,
    /// Whether it is asked over TLS.
    pub tls: Field<bool>,
    /// The name asked for in the handshake.
    #[serde(borrow)]
    pub sni: Field<&'t str>,
    /// A file of trusted roots.
    #[serde(borrow)]
    pub ca: Field<&'t str>,
    /// Whether the certificate has to be good.
    pub verify: Field<bool>,
}

/// The keys of `exec`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "`exec`", bound(deserialize = "'de: 't"))]
#[schemars(rename = "ExecFile", extend("required" = ["argv"]))]
pub struct ExecFile<'t> {
    /// The program and its arguments.
    #[serde(borrow)]
    #[schemars(length(min = 1))]
    pub argv: Field<Vec<Field<&'t str>>>,
}

/// The keys of `push`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "`push`")]
#[schemars(rename = "PushFile", extend("required" = ["expires"]))]
pub struct PushFile {
    /// How long a heartbeat lasts.
    pub expires: Field<Lasting>,
}

/// The keys of `at_least`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "`at_least`", bound(deserialize = "'de: 't"))]
#[schemars(rename = "AtLeastFile", extend("required" = ["of"]))]
pub struct AtLeastFile<'t> {
    /// The checks.
    #[serde(borrow)]
    #[schemars(length(min = 1))]
    pub of: Field<Vec<Field<CheckRef<'t>>>>,
    /// How many of them.
    #[schemars(range(min = 1, max = CHECK_LEAVES_MAX))]
    pub count: Field<u64>,
    /// What share of them.
    #[schemars(range(min = 1, max = 100))]
    pub percent: Field<u64>,
}
