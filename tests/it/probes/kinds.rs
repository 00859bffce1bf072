//! Kinds over TCP: what a body says, conversations, TLS, HTTP/2, gRPC, and peers that misbehave.

use bytes::Bytes;
use evenkeel::health::{Claim, Grpc, Pattern, Relation};
use http::{HeaderMap, Response};

use super::*;

/// A peer that does `act` at once, over TLS if there is an acceptor.
pub(super) async fn raw(act: Act, tls: Option<TlsAcceptor>) -> (SocketAddr, Ends) {
    listen(move |stream| {
        let (act, tls) = (act.clone(), tls.clone());
        async move {
            if let Act::Reset = act {
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
            match tls {
                None => perform(stream, act).await,
                Some(acceptor) => {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    perform(stream, act).await;
                }
            }
        }
    })
    .await
}

/// Ends a task with itself.
pub(super) struct Ends(pub(super) tokio::task::JoinHandle<()>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Does `each` with every connection.
pub(super) async fn listen<F>(each: impl Fn(TcpStream) -> F + Send + 'static) -> (SocketAddr, Ends)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(each(stream));
        }
    });
    (address, Ends(task))
}

fn failed(why: Why) -> Outcome {
    Outcome::Failed(why)
}

#[tokio::test]
async fn a_pattern_in_the_body() {
    let check = async |act, pattern: &str, expect: Outcome| {
        let pattern = Some(Pattern(regex::bytes::Regex::new(pattern).unwrap()));
        let http = Http { body_regex: pattern, ..http() };
        assert_eq!(outcome_with(act, http).await, expect);
    };
    check(Act::Say(ok("all 12 are ok")), r"^all \d+ are ok$", GOOD).await;
    check(Act::Say(ok("all 12 are ok, but")), r"^all \d+ are ok$", failed(Why::Pattern)).await;
    // The body is read to its end, or a MiB of it.
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nok".to_vec();
    check(Act::Hang(head.clone()), "ok", LATE).await;
    check(Act::Flood(head.clone(), b'x'), "^okx{100}", GOOD).await;
    check(Act::Flood(head, b'x'), "(x+x+)+y", failed(Why::Pattern)).await;
}

#[tokio::test]
async fn claims_about_json() {
    let check = async |act, operand: &str, why: Option<&str>| {
        let claim = |pointer: &str, relation, operand: &str| Claim {
            pointer: pointer.into(),
            relation,
            operand: operand.into(),
        };
        let json = vec![
            claim("/status", Relation::Equal, "ok"),
            claim("/replication_lag_s", Relation::AtMost, operand),
        ];
        let expect = why.map_or(GOOD, |why| failed(Why::Json(why.into())));
        assert_eq!(outcome_with(act, Http { json, ..http() }).await, expect, "{operand}");
    };
    let body = r#"{"status": "ok", "replication_lag_s": 7.25}"#;
    check(Act::Say(ok(body)), "7.25", None).await;
    check(Act::Say(ok(body)), "5", Some("`/replication_lag_s` is 7.25, not <= 5")).await;
    check(Act::Say(ok("ok")), "5", Some("the body is not JSON")).await;
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n".to_vec();
    check(Act::Flood(head, b'['), "5", Some("the body is not JSON")).await;
}

#[tokio::test]
async fn the_time_to_the_full_answer() {
    let short = Duration::from_millis(150);
    let (within, slow) = (Some(short), failed(Why::Slow(short)));
    let check = async |act, expect: &Outcome| {
        assert_eq!(&outcome_with(act, Http { within, ..http() }).await, expect);
    };
    check(Act::Say(ok("ok")), &GOOD).await;
    check(Act::Silence, &slow).await;
    check(Act::Trickle(ok("ok")), &slow).await;
    // Without `within` the head would be enough.
    check(Act::Hang(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n".to_vec()), &slow).await;
}

#[tokio::test]
async fn an_inverted_check() {
    let inverted = async |act| {
        let (address, _ends) = raw(act, None).await;
        let tcp = Tcp { expect: Some("open".into()), ..Tcp::default() };
        executed(&ProbeSpec { invert: true, ..spec(address, Kind::Tcp(tcp)) }).await
    };
    assert_eq!(inverted(Act::Say(b"open".to_vec())).await, failed(Why::Inverted));
    assert_eq!(inverted(Act::Say(b"shut".to_vec())).await, GOOD);
    assert_eq!(inverted(Act::Hang(Vec::new())).await, GOOD);
    // What cannot be asked says nothing, either way.
    let http = Http { path: "\n".into(), ..http() };
    let (address, _ends) = raw(Act::Hang(Vec::new()), None).await;
    let spec = spec(address, Kind::Http(Box::new(http)));
    let outcome = executed(&ProbeSpec { invert: true, ..spec }).await;
    assert_eq!(outcome, failed(Why::Request));
}

#[tokio::test]
async fn what_is_said_over_a_connection() {
    let check = async |act, expect: Outcome| {
        let (address, _ends) = raw(act, None).await;
        let tcp = Tcp { send: Some("EHLO a\r\n".into()), expect: Some("220 ".into()) };
        assert_eq!(executed(&spec(address, Kind::Tcp(tcp))).await, expect);
    };
    check(Act::Hang(b"220 mail".to_vec()), GOOD).await;
    check(Act::Say(b"554 go away".to_vec()), failed(Why::Expect)).await;
    check(Act::Say(Vec::new()), failed(Why::Expect)).await;
    check(Act::Hang(b"22".to_vec()), LATE).await;
    check(Act::Trickle(b"220-and so on".to_vec()), LATE).await;
    check(Act::Trickle(b"220 ".to_vec()), GOOD).await;
    check(Act::Flood(Vec::new(), b'x'), failed(Why::Expect)).await;
    // What is asked comes first: a peer that echoes says what it was sent.
    let (address, _ends) = listen(async |mut stream| {
        let mut said = [0; 5];
        stream.read_exact(&mut said).await.unwrap();
        stream.write_all(&said).await.unwrap();
    })
    .await;
    let tcp = Tcp { send: Some("PING\n".into()), expect: Some("PING".into()) };
    assert_eq!(executed(&spec(address, Kind::Tcp(tcp))).await, GOOD);
}

#[tokio::test]
async fn a_connection_that_nobody_takes() {
    // The kernel accepts it; the process that should has stopped.
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let tcp = Tcp { expect: Some("220 ".into()), ..Tcp::default() };
    assert_eq!(executed(&spec(address, Kind::Tcp(tcp))).await, LATE);
    assert_eq!(executed(&spec(address, Kind::Http(Box::new(http())))).await, LATE);
    assert_eq!(executed(&spec(address, grpc(None))).await, LATE);
    assert_eq!(executed(&spec(address, Kind::Tls(plain_tls(None)))).await, LATE);
}

// ---- TLS ----

pub(super) fn plain_tls(authority: Option<&Authority>) -> Tls {
    Tls {
        sni: "www.example.com".into(),
        ca: authority.map(|it| Arc::clone(&it.pem)),
        verify: authority.is_some(),
        identity: None,
        expires_in: None,
    }
}

#[tokio::test]
async fn a_tls_connection() {
    let authority = authority_until(clock::wall() + 5 * DAY + DAY / 24, &[]);
    let acceptor = Some(authority.acceptor.clone());
    let check = async |act, tls: Option<TlsAcceptor>| {
        let (address, _ends) = raw(act, tls).await;
        executed(&spec(address, Kind::Tls(plain_tls(Some(&authority))))).await
    };
    assert_eq!(check(Act::Hang(Vec::new()), acceptor).await, GOOD);
    assert_eq!(check(Act::Hang(Vec::new()), None).await, LATE);
    assert_eq!(check(Act::Trickle(b"\x16\x03\x03\x40\x00".repeat(20)), None).await, LATE);
    let outcome = check(Act::Reset, None).await;
    assert!(matches!(outcome, Outcome::Failed(Why::Exchange)), "{outcome:?}");
    let outcome = check(Act::Flood(Vec::new(), b'x'), None).await;
    assert!(is_tls_failure(&outcome, ""), "{outcome:?}");
    assert_eq!(check(Act::Say(Vec::new()), None).await, EXCHANGE);
}

#[tokio::test]
async fn a_certificate_that_ends_soon() {
    let authority = authority_until(clock::wall() + 5 * DAY + DAY / 24, &[]);
    let peer = Peer::start(Act::Say(ok("ok")), Some(authority.acceptor.clone())).await;
    let check = async |days: u32, expect: fn(&Outcome) -> bool| {
        let tls = Tls { expires_in: Some(DAY * days), ..plain_tls(Some(&authority)) };
        let over = Http { tls: Some(tls.clone()), ..http() };
        for kind in [Kind::Tls(tls.clone()), Kind::Http(Box::new(over))] {
            let outcome = executed(&spec(peer.address, kind)).await;
            assert!(expect(&outcome), "{days}: {outcome:?}");
        }
    };
    check(5, |it| *it == GOOD).await;
    check(6, |it| {
        let days = 5 * 86_400..=5 * 86_400 + 3600;
        matches!(it, Outcome::Failed(Why::Expires(left)) if days.contains(left))
    })
    .await;
    // It is looked at where nothing else of it matters, too.
    let tls = Tls { expires_in: Some(6 * DAY), ..plain_tls(None) };
    let outcome = executed(&spec(peer.address, Kind::Tls(tls))).await;
    assert_eq!(outcome.to_string(), "the certificate ends in 5d");
}

#[tokio::test]
async fn what_is_told_of_a_certificate() {
    let told = async |end: SystemTime, tls: &dyn Fn(&Authority) -> Tls| {
        let authority = authority_until(end, &[]);
        let peer = Peer::start(Act::Say(ok("ok")), Some(authority.acceptor.clone())).await;
        let over = Http { tls: Some(tls(&authority)), ..http() };
        let [one, other] = [Kind::Tls(tls(&authority)), Kind::Http(Box::new(over))]
            .map(|kind| async { execute_and_hear(&spec(peer.address, kind)).await.told });
        let word = |it: Told| it.certificate.map(|it| it.to_string());
        let (one, other) = (word(Box::pin(one).await), word(Box::pin(other).await));
        assert_eq!(one, other);
        one
    };
    let (day, now) = (DAY, clock::wall());
    let trusted = |authority: &Authority| plain_tls(Some(authority));
    let of = |it: Option<String>| it.unwrap_or_default();
    assert_eq!(of(told(now + 400 * day, &trusted).await), "it is good for long enough");
    assert_eq!(of(told(now + 5 * day + day / 24, &trusted).await), "it ends in 5d");
    assert_eq!(of(told(now - day, &trusted).await), "it is over");
    // What fails is told in any case.
    let strict = |it: &Authority| Tls { expires_in: Some(500 * day), ..plain_tls(Some(it)) };
    assert_eq!(of(told(now + 400 * day + day / 24, &strict).await), "it ends in 400d");
    // Nobody asks how long this one is good.
    assert_eq!(told(now - day, &|_| plain_tls(None)).await, None);
}

// ---- HTTP/2 ----

/// What a peer of HTTP/2 says.
#[derive(Clone)]
pub(super) struct Two {
    pub(super) status: u16,
    pub(super) body: Bytes,
    /// Whether the body is said again and again.
    pub(super) again: bool,
    pub(super) trailers: Option<&'static str>,
}

/// A peer that speaks HTTP/2 as it should, and what it heard.
pub(super) async fn two<S>(stream: S, said: Two, heard: Arc<Mutex<Vec<String>>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let host = request.headers().get("host").is_some();
        heard.lock().unwrap().push(format!("{} {} host {host}", request.method(), request.uri()));
        let said = said.clone();
        tokio::spawn(async move {
            let response = Response::builder().status(said.status).body(()).unwrap();
            let mut body = respond.send_response(response, false).unwrap();
            let mut left = if said.again { usize::MAX } else { 1 };
            while 0 < left && !said.body.is_empty() {
                left -= 1;
                body.reserve_capacity(said.body.len());
                let Some(Ok(_)) = std::future::poll_fn(|it| body.poll_capacity(it)).await else {
                    return;
                };
                let is_end = left == 0 && said.trailers.is_none();
                if body.send_data(said.body.clone(), is_end).is_err() {
                    return;
                }
            }
            if let Some(status) = said.trailers {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", status.parse().unwrap());
                let _ = body.send_trailers(trailers);
            }
        });
    }
}

#[tokio::test]
async fn http_2_where_both_know_it() {
    let authority = authority_until(clock::wall() + 90 * DAY, &[b"h2", b"http/1.1"]);
    let heard = Arc::<Mutex<Vec<String>>>::default();
    let check = async |said: Two, body: Option<&str>| {
        let (acceptor, ears) = (authority.acceptor.clone(), Arc::clone(&heard));
        let (address, _ends) = listen(move |stream| {
            let (acceptor, said, ears) = (acceptor.clone(), said.clone(), Arc::clone(&ears));
            async move { two(acceptor.accept(stream).await.unwrap(), said, ears).await }
        })
        .await;
        let http = Http {
            tls: Some(plain_tls(Some(&authority))),
            host: "other.example.com:8443".into(),
            body: body.map(Into::into),
            ..http()
        };
        executed(&patient(spec(address, Kind::Http(Box::new(http))))).await
    };
    let say = |status, text: &'static str| Two {
        status,
        body: Bytes::from_static(text.as_bytes()),
        again: false,
        trailers: None,
    };
    assert_eq!(check(say(200, "it is ok"), Some("ok")).await, GOOD);
    assert_eq!(check(say(200, "it is not"), Some("ok")).await, BODY);
    assert_eq!(check(say(503, ""), None).await, failed(Why::Status(503)));
    // The authority is the host, whatever the certificate is for, and there is no other.
    let expect = "GET https://other.example.com:8443/health?deep=1 host false";
    assert_eq!(heard.lock().unwrap()[0], expect);
    let flood = Two { again: true, body: Bytes::from(vec![b'x'; 10_000]), ..say(200, "") };
    assert_eq!(check(flood, Some("ok")).await, BODY);
}

#[tokio::test]
async fn peers_that_misbehave_over_http_2() {
    let authority = authority_until(clock::wall() + 90 * DAY, &[b"h2"]);
    let check = async |act, expect: &[Outcome]| {
        let (address, _ends) = raw(act, Some(authority.acceptor.clone())).await;
        let http = Http { tls: Some(plain_tls(Some(&authority))), ..http() };
        let outcome = executed(&spec(address, Kind::Http(Box::new(http)))).await;
        assert!(expect.contains(&outcome), "{outcome:?}");
    };
    check(Act::Hang(Vec::new()), &[LATE]).await;
    check(Act::Say(Vec::new()), &[EXCHANGE]).await;
    check(Act::Reset, &[EXCHANGE]).await;
    check(Act::Flood(Vec::new(), b'x'), &[EXCHANGE]).await;
    check(Act::Trickle(vec![0; 100]), &[LATE]).await;
    // Settings without end: each is acknowledged, and none is kept.
    check(Act::Flood(vec![0, 0, 0, 4, 0, 0, 0, 0, 0], 0), &[LATE, EXCHANGE]).await;
}

// ---- gRPC ----

fn grpc(tls: Option<Tls>) -> Kind {
    Kind::Grpc(Grpc { service: "db".into(), host: "www.example.com".into(), tls })
}

#[tokio::test]
async fn the_health_service_of_grpc() {
    let check = async |status: u16, body: &'static [u8], trailers, expect: Outcome| {
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let ears = Arc::clone(&heard);
        let said = Two { status, body: Bytes::from_static(body), again: false, trailers };
        let (address, _ends) =
            listen(move |stream| two(stream, said.clone(), Arc::clone(&ears))).await;
        assert_eq!(executed(&spec(address, grpc(None))).await, expect);
        let expect = "POST http://www.example.com/grpc.health.v1.Health/Check host false";
        assert_eq!(*heard.lock().unwrap(), [expect]);
    };
    let says = |why: &str| failed(Why::Grpc(why.into()));
    check(200, &[0, 0, 0, 0, 2, 8, 1], Some("0"), GOOD).await;
    check(200, &[0, 0, 0, 0, 2, 8, 2], Some("0"), says("NOT_SERVING")).await;
    check(200, &[0, 0, 0, 0, 0], Some("0"), says("UNKNOWN")).await;
    check(200, b"", Some("5"), says("the service is not known there")).await;
    check(200, b"", Some("12"), says("there is no health service")).await;
    check(200, b"<html>", Some("0"), says("the answer cannot be read")).await;
    check(404, b"<html>", None, failed(Why::Status(404))).await;
    // Without a status the answer was cut off.
    check(200, &[0, 0, 0, 0, 2, 8, 1], None, EXCHANGE).await;
}

#[tokio::test]
async fn peers_that_misbehave_over_grpc() {
    let check = async |act, expect: &[Outcome]| {
        let (address, _ends) = raw(act, None).await;
        let outcome = executed(&spec(address, grpc(None))).await;
        assert!(expect.contains(&outcome), "{outcome:?}");
    };
    check(Act::Hang(Vec::new()), &[LATE]).await;
    check(Act::Reset, &[EXCHANGE]).await;
    check(Act::Say(Vec::new()), &[EXCHANGE]).await;
    check(Act::Say(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()), &[EXCHANGE]).await;
    check(Act::Flood(Vec::new(), b'x'), &[EXCHANGE]).await;
    check(Act::Trickle(vec![0; 100]), &[LATE]).await;
    let flood =
        Two { status: 200, body: Bytes::from(vec![0; 10_000]), again: true, trailers: None };
    let (address, _ends) = listen(move |stream| two(stream, flood.clone(), Arc::default())).await;
    let outcome = executed(&patient(spec(address, grpc(None)))).await;
    assert_eq!(outcome, failed(Why::Grpc("the answer is too long".into())));
}
