//! The probe: one execution, from a fresh connection to an outcome.
//!
//! ```text
//!   connect -> (TLS) -> request -> status -> body, until the text is found or 1 MiB is read
//!   |<----------------------------- timeout ----------------------------->|
//! ```
//!
//! # Invariants
//!
//! - Every execution makes a connection of its own, and no TLS session is resumed: what is probed
//!   is what a new client would meet, its certificate included.
//! - An execution ends within its timeout and holds no more than `PROBE_BODY_LEN_MAX` octets of body.
//! - Redirects are not followed, and no proxy is used.
//! - Where no text has to occur in the body, the status decides and the body is not read.
//!
//! Not here: what outcomes add up to (`judge`), and which certificates are trusted (`trust`).

use std::{
    error::Error,
    fmt,
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
    sync::OnceLock,
    time::Duration,
};

use reqwest::{Client, ClientBuilder, Method, RequestBuilder, Response, redirect};

use super::{Http, Kind, ProbeSpec, Target, Tls, trust};
use crate::limits::PROBE_BODY_LEN_MAX;

/// What one execution came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be.
    Good,
    /// Not so.
    Failed(Why),
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
    /// The connection broke, or what came over it was not HTTP.
    Exchange,
    /// The status code is not among the good ones.
    Status(u16),
    /// The text does not occur in the part of the body that was read.
    Body,
    /// The request cannot be made as it was written.
    Request,
    /// The prober itself failed.
    Broken,
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
            Self::Exchange => f.write_str("the connection broke before the response was there"),
            Self::Status(code) => write!(f, "status {code}"),
            Self::Body => f.write_str("the text is not in the body"),
            Self::Request => f.write_str("the request cannot be made"),
            Self::Broken => f.write_str("the probe itself failed"),
        }
    }
}

/// Executes a probe once.
pub async fn execute(spec: &ProbeSpec) -> Outcome {
    let executed = async {
        match &spec.kind {
            Kind::Tcp => tcp(spec).await,
            Kind::Http(http) => exchange(spec, http).await,
        }
    };
    match tokio::time::timeout(spec.timeout, executed).await {
        Ok(Ok(())) => Outcome::Good,
        Ok(Err(why)) => Outcome::Failed(why),
        Err(_) => Outcome::Failed(Why::Timeout(spec.timeout)),
    }
}

async fn tcp(spec: &ProbeSpec) -> Result<(), Why> {
    let mut why = Why::Lookup;
    for address in addresses(spec).await? {
        match tokio::net::TcpStream::connect(address).await {
            Ok(_) => return Ok(()),
            Err(error) => why = Why::Connect(error.kind()),
        }
    }
    Err(why)
}

/// Where the target can be reached: at least one address.
async fn addresses(spec: &ProbeSpec) -> Result<Vec<SocketAddr>, Why> {
    match &spec.target {
        Target::Address(address) => Ok(vec![SocketAddr::new(*address, spec.port)]),
        Target::Host(host) => {
            let found = tokio::net::lookup_host((&**host, spec.port)).await;
            let found: Vec<_> = found.map_err(|_| Why::Lookup)?.collect();
            if found.is_empty() { Err(Why::Lookup) } else { Ok(found) }
        }
    }
}

/// Makes the request and judges the response.
async fn exchange(spec: &ProbeSpec, http: &Http) -> Result<(), Why> {
    let request = match &http.tls {
        None => plain(spec, http)?,
        Some(tls) => secured(spec, http, tls).await?,
    };
    let response = request.send().await.map_err(|error| why(&error))?;
    let code = response.status().as_u16();
    if !http.status.iter().any(|(first, last)| (*first..=*last).contains(&code)) {
        return Err(Why::Status(code));
    }
    match &http.body {
        None => Ok(()),
        Some(text) => find(response, text.as_bytes()).await,
    }
}

/// A request without TLS. The URL names whom to connect to; the `Host` header stands apart.
fn plain(spec: &ProbeSpec, http: &Http) -> Result<RequestBuilder, Why> {
    static CLIENT: OnceLock<Client> = OnceLock::new();

    // All plain probes share one client: it keeps no connections, and nothing in it depends on
    // the target.
    let client = CLIENT.get_or_init(|| {
        builder(trust::unused()).build().expect("nothing in it depends on the outside")
    });
    let url = format!("http://{}:{}{}", spec.target, spec.port, http.path);
    request(client, http, &url)
}

/// A request over TLS. The URL holds the name that TLS asks for; whom to connect to stands apart.
///
/// The client is made for this one execution. That costs some microseconds beside a handshake of
/// some hundred, and ten thousand targets keep no ten thousand clients.
async fn secured(spec: &ProbeSpec, http: &Http, tls: &Tls) -> Result<RequestBuilder, Why> {
    let trusted = trust::config(tls).map_err(|error| Why::Tls(error.to_string().into()))?;
    let mut builder = builder((*trusted).clone());
    let name = match tls.sni.parse::<IpAddr>() {
        // An address is never sent as SNI (RFC 6066 section 3), but the certificate must hold it.
        Ok(address) if spec.target == Target::Address(address) => spec.target.to_string(),
        // reqwest connects to an address in a URL and to nothing else.
        Ok(_) => return Err(Why::Request),
        Err(_) => {
            builder = builder.resolve_to_addrs(&tls.sni, &addresses(spec).await?);
            tls.sni.to_string()
        }
    };
    let client = builder.build().map_err(|_| Why::Request)?;
    request(&client, http, &format!("https://{name}:{}{}", spec.port, http.path))
}

fn builder(tls: rustls::ClientConfig) -> ClientBuilder {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .http1_only()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .pool_max_idle_per_host(0)
        .user_agent(concat!("evenkeel/", env!("CARGO_PKG_VERSION")))
}

fn request(client: &Client, http: &Http, url: &str) -> Result<RequestBuilder, Why> {
    let method = Method::from_bytes(http.method.as_bytes()).map_err(|_| Why::Request)?;
    let mut request = client.request(method, url).header("host", &*http.host);
    for (name, value) in &http.headers {
        request = request.header(&**name, &**value);
    }
    Ok(request)
}

/// Reads the body until `text` occurs in it.
async fn find(mut response: Response, text: &[u8]) -> Result<(), Why> {
    let mut body = Vec::new();
    loop {
        let Some(chunk) = response.chunk().await.map_err(|error| why(&error))? else {
            return if text.is_empty() { Ok(()) } else { Err(Why::Body) };
        };
        // The text may begin in what was there before.
        let begin = body.len().saturating_sub(text.len().saturating_sub(1));
        let room = PROBE_BODY_LEN_MAX - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if text.is_empty() || body[begin..].windows(text.len()).any(|window| window == text) {
            return Ok(());
        }
        if PROBE_BODY_LEN_MAX <= body.len() {
            return Err(Why::Body);
        }
    }
}

/// What the causes of an error say: reqwest's own words are about requests, not about networks.
fn why(error: &reqwest::Error) -> Why {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(it) = cause {
        if let Some(tls) = it.downcast_ref::<rustls::Error>() {
            return Why::Tls(tls.to_string().into());
        }
        if let Some(io) = it.downcast_ref::<io::Error>() {
            // TLS errors travel inside of I/O errors.
            let inside = io.get_ref().and_then(|inside| inside.downcast_ref::<rustls::Error>());
            match inside {
                Some(tls) => return Why::Tls(tls.to_string().into()),
                None if error.is_connect() && io.get_ref().is_none() => {
                    return Why::Connect(io.kind());
                }
                None => {}
            }
        }
        cause = it.source();
    }
    match (error.is_builder(), error.is_connect()) {
        (true, _) => Why::Request,
        (false, true) => Why::Lookup,
        (false, false) => Why::Exchange,
    }
}
