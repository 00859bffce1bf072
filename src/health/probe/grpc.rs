//! `grpc`: the health service of gRPC (`grpc.health.v1.Health/Check`) says `SERVING`.
//!
//! The two messages have a field each, and are written and read here: a text, and a number.
//!
//! *Not here:* HTTP/2 (`http`), and the connection (`connect`).

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, header};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Told, Why, connect, http as over_http, load::reported, said};
use crate::{
    health::{Grpc, ProbeSpec, trust::Alpn},
    limits::PROBE_GRPC_LEN_MAX,
};

/// `ServingStatus.SERVING`.
const SERVING: u64 = 1;

/// Asks, and judges the answer.
pub(super) async fn check(spec: &ProbeSpec, grpc: &Grpc, told: &mut Told) -> Result<(), Why> {
    match &grpc.tls {
        None => ask(connect::over_tcp(spec).await?, grpc, told).await,
        Some(tls) => ask(connect::over_tls(spec, tls, Alpn::H2, told).await?, grpc, told).await,
    }
}

async fn ask<S>(stream: S, grpc: &Grpc, told: &mut Told) -> Result<(), Why>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = request(grpc)?;
    let (sender, connection) = over_http::open_2(stream).await?;
    let talk = async {
        let mut sender = sender.ready().await.map_err(|_| Why::Exchange)?;
        let (response, mut body) = sender.send_request(request, false).map_err(|_| Why::Request)?;
        body.send_data(message(&grpc.service), true).map_err(|_| Why::Exchange)?;
        judge(response.await.map_err(|_| Why::Exchange)?, told).await
    };
    over_http::drive(connection, talk).await
}

fn request(grpc: &Grpc) -> Result<Request<()>, Why> {
    let scheme = if grpc.tls.is_some() { "https" } else { "http" };
    let target = format!("{scheme}://{}/grpc.health.v1.Health/Check", grpc.host);
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.parse().map_err(|_| Why::Request)?;
    let agent = concat!("evenkeel/", env!("CARGO_PKG_VERSION"));
    for (name, value) in [
        (header::CONTENT_TYPE, "application/grpc"),
        (header::TE, "trailers"),
        (header::USER_AGENT, agent),
    ] {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(request)
}

/// `HealthCheckRequest { string service = 1; }` in gRPC's frame: not compressed, and its length.
fn message(service: &str) -> Bytes {
    let mut field = BytesMut::new();
    if !service.is_empty() {
        field.put_u8(1 << 3 | 2);
        put_varint(&mut field, service.len() as u64);
        field.put_slice(service.as_bytes());
    }
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(field.len()).expect("a name is short"));
    frame.put_slice(&field);
    frame.freeze()
}

async fn judge(response: http::Response<h2::RecvStream>, told: &mut Told) -> Result<(), Why> {
    told.load = reported(response.headers());
    let code = response.status().as_u16();
    if code != 200 {
        return Err(Why::Status(code));
    }
    // A failure comes without a message, and its status with the head.
    failure(response.headers())?;
    let mut body = response.into_body();
    let mut message = Vec::new();
    while let Some(part) = over_http::part_2(&mut body).await? {
        message.extend_from_slice(&part);
        if PROBE_GRPC_LEN_MAX < message.len() {
            return Err(Why::Grpc("the answer is too long".into()));
        }
    }
    let trailers = body.trailers().await.map_err(|_| Why::Exchange)?;
    let Some(trailers) = trailers.filter(|it| it.contains_key("grpc-status")) else {
        return Err(Why::Exchange);
    };
    told.load = reported(&trailers).or(told.load);
    failure(&trailers)?;
    match status(&message) {
        Some(SERVING) => Ok(()),
        Some(2) => Err(Why::Grpc("NOT_SERVING".into())),
        Some(3) => Err(Why::Grpc("SERVICE_UNKNOWN".into())),
        Some(0) => Err(Why::Grpc("UNKNOWN".into())),
        Some(other) => Err(Why::Grpc(format!("status {other}").into())),
        None => Err(Why::Grpc("the answer cannot be read".into())),
    }
}

/// The failure that trailers speak of, if they do.
fn failure(trailers: &HeaderMap) -> Result<(), Why> {
    const OK: &[u8] = b"0";
    const NOT_FOUND: &[u8] = b"5";
    const UNIMPLEMENTED: &[u8] = b"12";
    match trailers.get("grpc-status").map(HeaderValue::as_bytes) {
        None | Some(OK) => Ok(()),
        Some(NOT_FOUND) => Err(Why::Grpc("the service is not known there".into())),
        Some(UNIMPLEMENTED) => Err(Why::Grpc("there is no health service".into())),
        Some(code) => {
            let message = trailers.get("grpc-message").map_or(&[][..], HeaderValue::as_bytes);
            Err(Why::Grpc(format!("code {} {}", said(code), said(message)).into()))
        }
    }
}

/// `HealthCheckResponse { ServingStatus status = 1; }` out of its frame. Fields of later versions
/// are passed over.
fn status(frame: &[u8]) -> Option<u64> {
    let (head, mut message) = frame.split_at_checked(5)?;
    let len = u32::from_be_bytes(head[1..].try_into().ok()?);
    // We said nothing of compression, so that there is none.
    if head[0] != 0 || usize::try_from(len).ok()? != message.len() {
        return None;
    }
    // What is absent has the value 0.
    let mut status = 0;
    while !message.is_empty() {
        let tag;
        (tag, message) = varint(message)?;
        match tag & 7 {
            0 => {
                let value;
                (value, message) = varint(message)?;
                if tag >> 3 == 1 {
                    status = value;
                }
            }
            1 => message = message.get(8..)?,
            2 => {
                let len;
                (len, message) = varint(message)?;
                message = message.get(usize::try_from(len).ok()?..)?;
            }
            5 => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

/// A number of variable length, and what comes after it.
fn varint(octets: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (idx, octet) in octets.iter().enumerate().take(10) {
        number |= u64::from(octet & 0x7F) << (7 * idx);
        if octet & 0x80 == 0 {
            return Some((number, &octets[idx + 1..]));
        }
    }
    None
}

fn put_varint(octets: &mut BytesMut, mut number: u64) {
    while 0x7F < number {
        octets.put_u8(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    octets.put_u8(number.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages() {
        assert_eq!(&message("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&message("db")[..], [0, 0, 0, 0, 4, 0x0A, 2, b'd', b'b']);
        let long = message(&"x".repeat(300));
        assert_eq!(long[..8], [0, 0, 0, 1, 47, 0x0A, 0xAC, 0x02]);
    }

    #[test]
    fn statuses() {
        let check = |frame: &[u8], expect| assert_eq!(status(frame), expect, "{frame:?}");
        check(&[0, 0, 0, 0, 2, 8, 1], Some(1));
        check(&[0, 0, 0, 0, 0], Some(0));
        check(&[0, 0, 0, 0, 6, 0x12, 2, b'h', b'i', 8, 2], Some(2));
        // Another length, compressed, cut off.
        check(&[0, 0, 0, 0, 3, 8, 1], None);
        check(&[1, 0, 0, 0, 2, 8, 1], None);
        check(&[0, 0, 0, 0, 1, 8], None);
        check(&[0, 0], None);
    }

    proptest! {
        #[test]
        fn any_message_is_read(octets in prop::collection::vec(any::<u8>(), 0..40)) {
            let len = u32::try_from(octets.len()).unwrap();
            let frame = [&[0][..], &len.to_be_bytes(), &octets].concat();
            let _ = status(&frame);
        }
    }
}
