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
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    sync::OnceLock,
    time::Duration,
};

use reqwest::{Client, ClientBuilder, Method, RequestBuilder, Response, redirect};
use tokio::sync::Semaphore;

use super::{Http, Kind, ProbeSpec, Target, trust};
use crate::limits::{PROBE_BODY_LEN_MAX, PROBE_LOOKUPS_MAX};

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
        Target::Host(host) => look_up(host.clone(), spec.port).await,
    }
}

/// Asks the system's resolver, which cannot be interrupted: a lookup that nobody waits for any more
/// still has its thread, and its place among those that are allowed.
async fn look_up(host: Box<str>, port: u16) -> Result<Vec<SocketAddr>, Why> {
    static PLACES: Semaphore = Semaphore::const_new(PROBE_LOOKUPS_MAX);

    let place = PLACES.acquire().await.map_err(|_| Why::Broken)?;
    let looked_up = tokio::task::spawn_blocking(move || {
        let _place = place;
        (&*host, port).to_socket_addrs().map(Iterator::collect)
    });
    let found: Vec<_> = looked_up.await.map_err(|_| Why::Broken)?.map_err(|_| Why::Lookup)?;
    if found.is_empty() { Err(Why::Lookup) } else { Ok(found) }
}

/// Makes the request and judges the response.
async fn exchange(spec: &ProbeSpec, http: &Http) -> Result<(), Why> {
    let request = request(spec, http).await?;
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

/// The request. Its URL holds the name that TLS asks for; whom to connect to and the `Host` header
/// stand apart.
async fn request(spec: &ProbeSpec, http: &Http) -> Result<RequestBuilder, Why> {
    static PLAIN: OnceLock<Client> = OnceLock::new();

    let (scheme, name) = match &http.tls {
        None => ("http", spec.target.to_string()),
        Some(tls) => ("https", as_in_url(&tls.sni)),
    };
    let client = match (&http.tls, &spec.target) {
        // One client for them all: it keeps no connections, and connects to the URL's address.
        (None, Target::Address(_)) => PLAIN.get_or_init(|| {
            builder(trust::unused()).build().expect("nothing in it depends on the outside")
        }),
        // A client for this one execution, so that ten thousand targets keep no ten thousand
        // clients. It costs some microseconds, a handshake some hundred.
        (tls, _) => {
            let trusted = match tls {
                None => trust::unused(),
                Some(tls) => trust::config(tls).map_err(|it| Why::Tls(it.to_string().into()))?,
            };
            // reqwest connects to an address in a URL and to nothing else.
            let bare = name.trim_matches(['[', ']']);
            if bare.parse::<IpAddr>().is_ok() && name != spec.target.to_string() {
                return Err(Why::Request);
            }
            let addresses = addresses(spec).await?;
            let builder = builder(trusted).resolve_to_addrs(&name, &addresses);
            &builder.build().map_err(|_| Why::Request)?
        }
    };
    let method = Method::from_bytes(http.method.as_bytes()).map_err(|_| Why::Request)?;
    let url = format!("{scheme}://{name}:{}{}", spec.port, http.path);
    let mut request = client.request(method, url).header("host", &*http.host);
    for (name, value) in &http.headers {
        request = request.header(&**name, &**value);
    }
    Ok(request)
}

/// An IPv6 address stands in brackets. No address is ever sent as SNI (RFC 6066 section 3), but the
/// certificate has to hold it.
fn as_in_url(name: &str) -> String {
    match name.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => name.to_owned(),
    }
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

/// What an error of reqwest comes down to: its own words are about requests, not about networks.
fn why(error: &reqwest::Error) -> Why {
    match error.source().and_then(cause) {
        Some(why @ Why::Tls(_)) => why,
        Some(why) if error.is_connect() => why,
        _ if error.is_builder() => Why::Request,
        _ if error.is_connect() => Why::Connect(ErrorKind::Other),
        _ => Why::Exchange,
    }
}

/// The deepest cause that says something of TLS or the connection.
fn cause(error: &(dyn Error + 'static)) -> Option<Why> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(Why::Tls(tls.to_string().into()));
    }
    match error.downcast_ref::<io::Error>() {
        // What an I/O error holds is not its source.
        Some(io) => match io.get_ref() {
            Some(inner) => cause(inner),
            None => Some(Why::Connect(io.kind())),
        },
        None => error.source().and_then(cause),
    }
}
