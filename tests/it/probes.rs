//! Probes against peers on loopback that behave as the networks of this world do.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use evenkeel::{
    clock,
    health::{
        Http, Kind, Outcome, ProbeSpec, Target, Tcp, Tls, Told, Why, execute, execute_and_hear,
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivatePkcs8KeyDer},
};

mod kinds;
mod lower;
mod memory;
mod real;

/// When an execution gives up.
const TIMEOUT: Duration = Duration::from_millis(400);

pub(crate) const DAY: Duration = Duration::from_hours(24);

/// How much longer a busy machine may take.
const GRACE: Duration = Duration::from_secs(2);

/// What a peer does with a connection.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Reads the request, says this and closes.
    Say(Vec<u8>),
    /// Reads the request, says this and then the same octet without end.
    Flood(Vec<u8>, u8),
    /// Reads the request and says this, one octet at a time, ten in a second.
    Trickle(Vec<u8>),
    /// Reads the request, says this and no more.
    Hang(Vec<u8>),
    /// Does nothing, not even TLS.
    Silence,
    /// Reads the request and breaks the connection.
    Reset,
}

/// What a peer was told.
#[derive(Debug, Clone, Default)]
struct Heard {
    sni: Option<String>,
    /// The head of the request.
    head: String,
}

/// A peer that listens until it is dropped.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    pub(crate) async fn start(act: Act, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::default();
        let ears = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(meet(stream, act.clone(), tls.clone(), Arc::clone(&ears)));
            }
        });
        Self { address, heard, task }
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

async fn meet(stream: TcpStream, act: Act, tls: Option<TlsAcceptor>, ears: Arc<Mutex<Vec<Heard>>>) {
    match (&act, tls) {
        (Act::Silence, _) => std::future::pending().await,
        (_, None) => {
            if let Act::Reset = act {
                // Closing then sends a reset.
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
            serve(stream, act, Heard::default(), &ears).await;
        }
        (_, Some(acceptor)) => {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let sni = stream.get_ref().1.server_name().map(str::to_owned);
            serve(stream, act, Heard { sni, head: String::new() }, &ears).await;
        }
    }
}

/// Does what `act` says; a probe that goes away in the middle is no matter.
async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    act: Act,
    mut heard: Heard,
    ears: &Mutex<Vec<Heard>>,
) {
    while !heard.head.ends_with("\r\n\r\n") {
        let Ok(octet) = stream.read_u8().await else { return };
        heard.head.push(char::from(octet));
    }
    ears.lock().unwrap().push(heard);
    perform(stream, act).await;
}

/// Does what `act` says, whatever was read before.
async fn perform(mut stream: impl AsyncWrite + Unpin, act: Act) {
    match act {
        Act::Say(text) => {
            let _ = stream.write_all(&text).await;
            let _ = stream.shutdown().await;
        }
        Act::Flood(text, octet) => {
            let _ = stream.write_all(&text).await;
            let more = vec![octet; 64 << 10];
            while stream.write_all(&more).await.is_ok() {}
        }
        Act::Trickle(text) => {
            for octet in text {
                if stream.write_u8(octet).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Act::Hang(text) => {
            let _ = stream.write_all(&text).await;
            let _ = stream.flush().await;
            std::future::pending::<()>().await;
        }
        Act::Silence | Act::Reset => {}
    }
}

pub(crate) fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into()
}

fn spec(address: SocketAddr, kind: Kind) -> ProbeSpec {
    ProbeSpec {
        target: Target::Address(address.ip()),
        port: address.port(),
        kind,
        invert: false,
        every: Duration::from_secs(10),
        timeout: TIMEOUT,
        fall: 3,
        rise: 2,
        flap: None,
    }
}

fn http() -> Http {
    Http {
        tls: None,
        method: "GET".into(),
        path: "/health?deep=1".into(),
        host: "www.example.com".into(),
        headers: Vec::new(),
        status: vec![(200, 299)],
        body: None,
        body_regex: None,
        json: Vec::new(),
        within: None,
    }
}

fn connection() -> Kind {
    Kind::Tcp(Tcp::default())
}

/// Executes once and sees to it that it ends in time.
async fn executed(spec: &ProbeSpec) -> Outcome {
    let began: Instant = clock::now();
    let outcome = execute(spec).await;
    assert!(clock::now() - began < spec.timeout + GRACE);
    outcome
}

/// What a probe that wants `body` makes of a peer that does `act`.
async fn outcome_of(act: Act, body: Option<&str>) -> Outcome {
    outcome_with(act, Http { body: body.map(Into::into), ..http() }).await
}

/// What a probe makes of a peer that does `act`.
async fn outcome_with(act: Act, http: Http) -> Outcome {
    let floods = matches!(act, Act::Flood(..));
    let peer = Peer::start(act, None).await;
    let spec = spec(peer.address, Kind::Http(Box::new(http)));
    executed(&if floods { patient(spec) } else { spec }).await
}

/// With time for a mebibyte, which a busy machine may need.
fn patient(spec: ProbeSpec) -> ProbeSpec {
    ProbeSpec { timeout: 20 * TIMEOUT, ..spec }
}

async fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    listener.local_addr().unwrap()
}

const GOOD: Outcome = Outcome::Good;
const LATE: Outcome = Outcome::Failed(Why::Timeout(TIMEOUT));
const EXCHANGE: Outcome = Outcome::Failed(Why::Exchange);
const BODY: Outcome = Outcome::Failed(Why::Body);

#[tokio::test]
async fn the_status_decides_where_no_text_is_wanted() {
    assert_eq!(outcome_of(Act::Say(ok("fine")), None).await, GOOD);
    let status = |line: &str| Act::Say(format!("HTTP/1.1 {line}\r\n\r\n").into());
    let failed = |code| Outcome::Failed(Why::Status(code));
    assert_eq!(outcome_of(status("204 No Content"), None).await, GOOD);
    assert_eq!(outcome_of(status("500 Oops"), None).await, failed(500));
    assert_eq!(outcome_of(status("302 Found\r\nLocation: /"), None).await, failed(302));
    // What comes after the head is not waited for.
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n".to_vec();
    assert_eq!(outcome_of(Act::Hang(head.clone()), None).await, GOOD);
    assert_eq!(outcome_of(Act::Flood(head, b'x'), None).await, GOOD);
}

#[tokio::test]
async fn ranges_of_good_status_codes() {
    let unauthorized = b"HTTP/1.1 401 Who?\r\nContent-Length: 0\r\n\r\n".to_vec();
    let peer = Peer::start(Act::Say(unauthorized), None).await;
    let check = async |ranges: &[(u16, u16)], expect: Outcome| {
        let http = Http { status: ranges.to_vec(), ..http() };
        assert_eq!(
            executed(&spec(peer.address, Kind::Http(Box::new(http)))).await,
            expect,
            "{ranges:?}"
        );
    };
    check(&[(200, 299), (401, 401)], GOOD).await;
    check(&[(400, 499)], GOOD).await;
    check(&[(200, 400), (402, 599)], Outcome::Failed(Why::Status(401))).await;
}

#[tokio::test]
async fn a_text_in_the_body() {
    assert_eq!(outcome_of(Act::Say(ok("all is ok here")), Some("ok")).await, GOOD);
    assert_eq!(outcome_of(Act::Say(ok("all is well")), Some("ok")).await, BODY);
    assert_eq!(outcome_of(Act::Say(ok("")), Some("ok")).await, BODY);
    // Found: the rest is not waited for, and the parts need not come at once.
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxo\r\n1\r\nk\r\n";
    assert_eq!(outcome_of(Act::Hang(format!("{head}ok").into()), Some("ok")).await, GOOD);
    assert_eq!(outcome_of(Act::Hang(chunked.into()), Some("ok")).await, GOOD);
    assert_eq!(outcome_of(Act::Hang(format!("{head}o").into()), Some("ok")).await, LATE);
    // The connection breaks in the middle of the body.
    assert_eq!(outcome_of(Act::Say(format!("{head}o").into()), Some("ok")).await, EXCHANGE);
}

#[tokio::test]
async fn a_mebibyte_of_the_body_is_judged() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
    assert_eq!(outcome_of(Act::Flood(head.into(), b'x'), Some("ok")).await, BODY);
    let within = format!("{head}{}ok", "x".repeat((1 << 20) - 2));
    assert_eq!(outcome_of(Act::Flood(within.into(), b'x'), Some("ok")).await, GOOD);
    let beyond = format!("{head}{}ok", "x".repeat((1 << 20) - 1));
    assert_eq!(outcome_of(Act::Flood(beyond.into(), b'x'), Some("ok")).await, BODY);
}

#[tokio::test]
async fn peers_that_misbehave() {
    assert_eq!(outcome_of(Act::Silence, None).await, LATE);
    assert_eq!(outcome_of(Act::Hang(Vec::new()), None).await, LATE);
    assert_eq!(outcome_of(Act::Trickle(ok("ok")), None).await, LATE);
    assert_eq!(outcome_of(Act::Reset, None).await, EXCHANGE);
    assert_eq!(outcome_of(Act::Say(Vec::new()), None).await, EXCHANGE);
    assert_eq!(outcome_of(Act::Say(b"220 mail here\r\n".to_vec()), None).await, EXCHANGE);
    // A head without end is not kept without end.
    assert_eq!(
        outcome_of(Act::Flood(b"HTTP/1.1 200 OK\r\nA: ".into(), b'x'), None).await,
        EXCHANGE
    );
}

#[tokio::test]
async fn nobody_there() {
    let refused = Outcome::Failed(Why::Connect(ErrorKind::ConnectionRefused));
    let address = closed_port().await;
    assert_eq!(executed(&spec(address, Kind::Http(Box::new(http())))).await, refused);
    assert_eq!(executed(&spec(address, connection())).await, refused);
    let nowhere = Target::Host("does-not-exist.invalid".into());
    for kind in [connection(), Kind::Http(Box::new(http()))] {
        let outcome = executed(&ProbeSpec { target: nowhere.clone(), ..spec(address, kind) }).await;
        // A machine without a resolver waits for one.
        assert!([LATE, Outcome::Failed(Why::Lookup)].contains(&outcome), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_connection_is_enough_for_tcp() {
    let peer = Peer::start(Act::Silence, None).await;
    assert_eq!(executed(&spec(peer.address, connection())).await, GOOD);
    let by_name = Target::Host("localhost".into());
    let spec = ProbeSpec { target: by_name, ..spec(peer.address, connection()) };
    assert_eq!(executed(&spec).await, GOOD);
}

#[tokio::test]
async fn the_request_is_as_it_was_written_on_a_connection_of_its_own() {
    let peer = Peer::start(Act::Say(ok("ok")), None).await;
    let http = Http {
        method: "HEAD".into(),
        headers: vec![("X-Probe".into(), "yes".into()), ("User-Agent".into(), "mine".into())],
        ..http()
    };
    let spec = spec(peer.address, Kind::Http(Box::new(http)));
    let by_name = ProbeSpec { target: Target::Host("localhost".into()), ..spec.clone() };
    assert_eq!(executed(&spec).await, GOOD);
    assert_eq!(executed(&by_name).await, GOOD);
    assert_eq!(peer.heard().len(), 2);
    for Heard { head, .. } in peer.heard() {
        let head = head.to_ascii_lowercase();
        assert!(head.starts_with("head /health?deep=1 http/1.1\r\n"), "{head}");
        assert_eq!(head.matches("\r\nhost:").count(), 1, "{head}");
        assert_eq!(head.matches("\r\nuser-agent:").count(), 1, "{head}");
        for line in ["host: www.example.com", "x-probe: yes", "user-agent: mine"] {
            assert!(head.contains(&format!("\r\n{line}\r\n")), "{head}");
        }
    }
}

// ---- TLS ----

/// A root, and a peer's side of TLS with a certificate from it for `www.example.com`.
pub(crate) struct Authority {
    pub(crate) pem: Arc<[u8]>,
    pub(crate) acceptor: TlsAcceptor,
}

fn authority(expired: bool) -> Authority {
    let end = rcgen::date_time_ymd(if expired { 2020 } else { 2100 }, 1, 1);
    authority_until(end.into(), &[])
}

/// One whose certificate ends then, and who speaks these protocols.
pub(crate) fn authority_until(end: SystemTime, alpn: &[&[u8]]) -> Authority {
    let root_key = rcgen::KeyPair::generate().unwrap();
    let mut root = rcgen::CertificateParams::new([]).unwrap();
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root_pem = root.self_signed(&root_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(root, root_key);

    let key = rcgen::KeyPair::generate().unwrap();
    let names = ["www.example.com".to_owned(), "127.0.0.1".to_owned()];
    let mut leaf = rcgen::CertificateParams::new(names).unwrap();
    leaf.not_after = end.into();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|it| it.to_vec()).collect();
    Authority { pem: root_pem.into_bytes().into(), acceptor: TlsAcceptor::from(Arc::new(config)) }
}

fn tls(sni: &str, ca: Option<&Authority>, verify: bool) -> Kind {
    let ca = ca.map(|it| Arc::clone(&it.pem));
    let tls = Tls { sni: sni.into(), ca, verify, identity: None, expires_in: None };
    Kind::Http(Box::new(Http { tls: Some(tls), host: "other.example.com".into(), ..http() }))
}

fn is_tls_failure(outcome: &Outcome, text: &str) -> bool {
    matches!(outcome, Outcome::Failed(Why::Tls(why)) if why.contains(text))
}

#[tokio::test]
async fn sni_and_host_stand_apart_from_the_address() {
    let authority = authority(false);
    let peer = Peer::start(Act::Say(ok("ok")), Some(authority.acceptor.clone())).await;
    let spec = spec(peer.address, tls("www.example.com", Some(&authority), true));
    let by_name = ProbeSpec { target: Target::Host("localhost".into()), ..spec.clone() };
    assert_eq!(executed(&spec).await, GOOD);
    assert_eq!(executed(&by_name).await, GOOD);
    let heard = peer.heard();
    assert_eq!(heard.len(), 2);
    for Heard { sni, head } in heard {
        assert_eq!(sni.as_deref(), Some("www.example.com"));
        assert!(head.to_ascii_lowercase().contains("\r\nhost: other.example.com\r\n"), "{head}");
    }
}

#[tokio::test]
async fn a_certificate_has_to_be_trusted_and_hold_the_name() {
    let (ours, other) = (authority(false), authority(false));
    let peer = Peer::start(Act::Say(ok("ok")), Some(ours.acceptor.clone())).await;
    let outcome = async |kind| executed(&spec(peer.address, kind)).await;

    let of_other = outcome(tls("www.example.com", Some(&other), true)).await;
    assert!(is_tls_failure(&of_other, "invalid peer certificate"), "{of_other:?}");
    let of_system = outcome(tls("www.example.com", None, true)).await;
    assert!(is_tls_failure(&of_system, "UnknownIssuer"), "{of_system:?}");
    let wrong_name = outcome(tls("api.example.com", Some(&ours), true)).await;
    assert!(is_tls_failure(&wrong_name, "not valid for"), "{wrong_name:?}");
    // An address as the name is verified and not sent.
    assert_eq!(outcome(tls("127.0.0.1", Some(&ours), true)).await, GOOD);
    assert_eq!(peer.heard().pop().unwrap().sni, None);
    let other_address = outcome(tls("192.0.2.1", Some(&ours), true)).await;
    assert!(is_tls_failure(&other_address, "not valid for"), "{other_address:?}");
    // `verify: false` takes all of it.
    assert_eq!(outcome(tls("api.example.com", None, false)).await, GOOD);
}

#[tokio::test]
async fn an_expired_certificate_fails_each_time() {
    let authority = authority(true);
    let peer = Peer::start(Act::Say(ok("ok")), Some(authority.acceptor.clone())).await;
    let spec = spec(peer.address, tls("www.example.com", Some(&authority), true));
    for _ in 0..2 {
        let outcome = executed(&spec).await;
        assert!(is_tls_failure(&outcome, "expired"), "{outcome:?}");
    }
}

#[tokio::test]
async fn peers_that_misbehave_over_tls() {
    let authority = authority(false);
    let kind = || tls("www.example.com", Some(&authority), true);
    let silent = Peer::start(Act::Silence, Some(authority.acceptor.clone())).await;
    assert_eq!(executed(&spec(silent.address, kind())).await, LATE);
    let hanging = Peer::start(Act::Hang(Vec::new()), Some(authority.acceptor.clone())).await;
    assert_eq!(executed(&spec(hanging.address, kind())).await, LATE);
    let refused = executed(&spec(closed_port().await, kind())).await;
    assert_eq!(refused, Outcome::Failed(Why::Connect(ErrorKind::ConnectionRefused)));

    // A root that is none, and a peer that speaks no TLS.
    let tls = Tls {
        sni: "www.example.com".into(),
        ca: Some(Arc::from(*b"-")),
        verify: true,
        identity: None,
        expires_in: None,
    };
    let kind = Kind::Http(Box::new(Http { tls: Some(tls), ..http() }));
    let outcome = executed(&spec(silent.address, kind)).await;
    assert!(is_tls_failure(&outcome, "`ca` cannot be read"), "{outcome:?}");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let talker = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"220 mail here, and what it has to say\r\n").await.unwrap();
        std::future::pending::<()>().await;
    });
    let outcome = executed(&spec(address, self::tls("www.example.com", None, false))).await;
    assert!(is_tls_failure(&outcome, ""), "{outcome:?}");
    talker.abort();
}
