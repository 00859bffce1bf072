//! `http` and `https`: a request is answered as it should be.
//!
//! ```text
//!   connect -> (TLS) -> HTTP/2, if both sides know it, else HTTP/1.1 -> status -> body
//! ```
//!
//! # Invariants
//!
//! - Redirects are not followed, and no proxy is used.
//! - The body is read as far as its judgement needs: not at all where the status decides, until the
//!   text occurs where that is all that is wanted, else to its end or `PROBE_BODY_LEN_MAX`.
//! - A connection is driven by the execution itself, not by a task of its own: it goes when the
//!   execution goes.
//!
//! *Not here:* the connection (`connect`), and claims about JSON (`json`).

use std::pin::pin;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Told, Why, connect, json, load::reported, tcp::Search};
use crate::{
    health::{Http, ProbeSpec, trust::Alpn},
    limits::{PROBE_BODY_LEN_MAX, PROBE_HEAD_LEN_MAX, PROBE_WINDOW_LEN},
};

/// Makes the request and judges the response; what it tells besides is left in `told`.
pub(super) async fn exchange(spec: &ProbeSpec, http: &Http, told: &mut Told) -> Result<(), Why> {
    let asked = ask(spec, http, told);
    match http.within {
        None => asked.await,
        Some(within) => tokio::time::timeout(within, asked).await.unwrap_or(Err(Why::Slow(within))),
    }
}

async fn ask(spec: &ProbeSpec, http: &Http, told: &mut Told) -> Result<(), Why> {
    let Some(tls) = &http.tls else {
        return over_1(connect::over_tcp(spec).await?, http, told).await;
    };
    let stream = connect::over_tls(spec, tls, Alpn::Http, told).await?;
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        over_2(stream, http, told).await
    } else {
        over_1(stream, http, told).await
    }
}

/// The exchange over HTTP/1.1.
async fn over_1<S>(stream: S, http: &Http, told: &mut Told) -> Result<(), Why>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let target: Uri = http.path.parse().map_err(|_| Why::Request)?;
    let mut request = request(http, target)?;
    let host = HeaderValue::from_str(&http.host).map_err(|_| Why::Request)?;
    request.headers_mut().insert(header::HOST, host);

    let mut builder = hyper::client::conn::http1::Builder::new();
    builder.max_buf_size(PROBE_HEAD_LEN_MAX);
    let (mut sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(|_| Why::Exchange)?;
    let request = request.map(|()| Empty::<Bytes>::new());
    let talk = async {
        let response = sender.send_request(request).await.map_err(|_| Why::Exchange)?;
        told.load = reported(response.headers());
        let code = response.status().as_u16();
        judge(http, code, Body::One(response.into_body())).await
    };
    drive(connection, talk).await
}

/// The exchange over HTTP/2.
async fn over_2<S>(stream: S, http: &Http, told: &mut Told) -> Result<(), Why>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let target = format!("https://{}{}", http.host, http.path);
    let request = request(http, target.parse().map_err(|_| Why::Request)?)?;
    let (sender, connection) = open_2(stream).await?;
    let talk = async {
        let mut sender = sender.ready().await.map_err(|_| Why::Exchange)?;
        let (response, _) = sender.send_request(request, true).map_err(|_| Why::Request)?;
        let response = response.await.map_err(|_| Why::Exchange)?;
        told.load = reported(response.headers());
        let code = response.status().as_u16();
        judge(http, code, Body::Two(response.into_body())).await
    };
    drive(connection, talk).await
}

/// Begins HTTP/2 on a connection. What the target may send unasked for is little.
pub(super) async fn open_2<S>(
    stream: S,
) -> Result<(h2::client::SendRequest<Bytes>, h2::client::Connection<S>), Why>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    h2::client::Builder::new()
        .enable_push(false)
        .initial_window_size(PROBE_WINDOW_LEN)
        .initial_connection_window_size(PROBE_WINDOW_LEN)
        .max_header_list_size(u32::try_from(PROBE_HEAD_LEN_MAX).expect("a small number"))
        .handshake(stream)
        .await
        .map_err(|_| Why::Exchange)
}

/// Drives a connection until the talk over it is over. A connection that ends does not end the
/// talk: what came before is still there to be read.
pub(super) async fn drive<T>(connection: impl Future, talk: impl Future<Output = T>) -> T {
    let (mut talk, connection) = (pin!(talk), pin!(connection));
    tokio::select! {
        said = &mut talk => return said,
        _ = connection => {}
    }
    talk.await
}

/// The request, but for whom it is for.
fn request(http: &Http, target: Uri) -> Result<Request<()>, Why> {
    let method = Method::from_bytes(http.method.as_bytes()).map_err(|_| Why::Request)?;
    let mut headers = HeaderMap::new();
    for (name, value) in &http.headers {
        let name: HeaderName = name.parse().map_err(|_| Why::Request)?;
        headers.append(name, HeaderValue::from_str(value).map_err(|_| Why::Request)?);
    }
    let agent = HeaderValue::from_static(concat!("evenkeel/", env!("CARGO_PKG_VERSION")));
    headers.entry(header::USER_AGENT).or_insert(agent);
    headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = target;
    *request.headers_mut() = headers;
    Ok(request)
}

/// What comes after the head.
enum Body {
    One(hyper::body::Incoming),
    Two(h2::RecvStream),
}

impl Body {
    /// The next part; none: it was the last.
    async fn part(&mut self) -> Result<Option<Bytes>, Why> {
        match self {
            Self::One(body) => loop {
                match body.frame().await {
                    None => return Ok(None),
                    Some(Err(_)) => return Err(Why::Exchange),
                    // Trailers are no data.
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            return Ok(Some(data));
                        }
                    }
                }
            },
            Self::Two(body) => part_2(body).await,
        }
    }
}

/// The next part of a body in HTTP/2; once it is read, the target may send more.
pub(super) async fn part_2(body: &mut h2::RecvStream) -> Result<Option<Bytes>, Why> {
    match body.data().await {
        None => Ok(None),
        Some(Err(_)) => Err(Why::Exchange),
        Some(Ok(data)) => {
            body.flow_control().release_capacity(data.len()).map_err(|_| Why::Exchange)?;
            Ok(Some(data))
        }
    }
}

async fn judge(http: &Http, code: u16, mut body: Body) -> Result<(), Why> {
    if !http.status.iter().any(|(first, last)| (*first..=*last).contains(&code)) {
        return Err(Why::Status(code));
    }
    let is_kept = http.body_regex.is_some() || !http.json.is_empty();
    let is_whole = is_kept || http.within.is_some();
    let mut search = Search::new(http.body.as_deref().unwrap_or_default().as_bytes());
    let mut kept = Vec::new();
    while search.read < PROBE_BODY_LEN_MAX && (is_whole || !search.is_found) {
        let Some(part) = body.part().await? else { break };
        if is_kept {
            kept.extend_from_slice(&part[..part.len().min(PROBE_BODY_LEN_MAX - kept.len())]);
        }
        search.take(&part);
    }
    if !search.is_found {
        return Err(Why::Body);
    }
    if http.body_regex.as_ref().is_some_and(|pattern| !pattern.0.is_match(&kept)) {
        return Err(Why::Pattern);
    }
    for claim in &http.json {
        json::check(&kept, claim).map_err(|it| Why::Json(it.into()))?;
    }
    Ok(())
}
