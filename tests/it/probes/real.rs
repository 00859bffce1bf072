//! Kinds against the real thing on loopback: nginx, openssl, NSD, gRPC's own health server.
//!
//! *Not here:* peers that misbehave in ways that real ones do not (`kinds`, `lower`).

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use evenkeel::health::{Claim, Dns, Grpc, Identity, Pattern, Relation};
use nix::sys::signal::Signal;

use super::*;
use crate::process::{PATIENCE, Process, free_address};

/// A machine that is busy with other tests.
const UNHURRIED: Duration = Duration::from_secs(5);

/// Executes until this comes of it.
#[track_caller]
fn becomes(spec: &ProbeSpec, expect: &Outcome) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let began = clock::now();
        loop {
            let outcome = execute(spec).await;
            if outcome == *expect {
                return;
            }
            assert!(clock::now() - began < PATIENCE, "{caller}: {outcome:?}, not {expect:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn patient(address: SocketAddr, kind: Kind) -> ProbeSpec {
    ProbeSpec { timeout: UNHURRIED, ..spec(address, kind) }
}

/// Debian keeps servers where not everybody's path leads.
fn program(name: &str) -> Command {
    let installed = Path::new("/usr/sbin").join(name);
    let mut command = Command::new(if installed.exists() { installed } else { name.into() });
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Files of a root, and of certificates from it.
struct Files {
    folder: tempfile::TempDir,
    root: Arc<[u8]>,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Files {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut root = rcgen::CertificateParams::new([]).unwrap();
        root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = root.self_signed(&key).unwrap().pem();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("root.pem"), &pem).unwrap();
        Self { folder, root: pem.into_bytes().into(), issuer: rcgen::Issuer::new(root, key) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes `name.pem` and `name.key`, for `www.example.com`.
    fn certificate(&self, name: &str, end: SystemTime) -> Arc<Identity> {
        let key = rcgen::KeyPair::generate().unwrap();
        let names = ["www.example.com".to_owned()];
        let mut leaf = rcgen::CertificateParams::new(names).unwrap();
        leaf.distinguished_name.push(rcgen::DnType::CommonName, name);
        leaf.not_before = (clock::wall() - Duration::from_hours(1)).into();
        leaf.not_after = end.into();
        let cert = leaf.signed_by(&key, &self.issuer).unwrap().pem();
        let key = key.serialize_pem();
        fs::write(self.path(&format!("{name}.pem")), &cert).unwrap();
        fs::write(self.path(&format!("{name}.key")), &key).unwrap();
        Arc::new(Identity { cert: cert.into_bytes().into(), key: key.into_bytes().into() })
    }

    fn tls(&self) -> Tls {
        Tls {
            sni: "www.example.com".into(),
            ca: Some(Arc::clone(&self.root)),
            verify: true,
            identity: None,
            expires_in: None,
        }
    }
}

const YEAR: Duration = Duration::from_hours(365 * 24);

const NGINX: &str = r#"
daemon off; master_process off; pid DIR/pid; error_log stderr crit;
events {}
http {
  access_log off;
  client_body_temp_path DIR/a; proxy_temp_path DIR/b; fastcgi_temp_path DIR/c;
  uwsgi_temp_path DIR/d; scgi_temp_path DIR/e;
  server {
    listen PLAIN;
    location /health { return 200 "all 3 are ok, said $host"; }
    location /data { return 200 '{"status": "ok", "replication_lag_s": 7}'; }
    location /down { return 503; }
    location /moved { return 301 /health; }
    location /big { root DIR; }
    location /slow { alias DIR/big; limit_rate 1; }
  }
  server {
    listen SECURE ssl http2;
    ssl_certificate DIR/server.pem; ssl_certificate_key DIR/server.key;
    ssl_client_certificate DIR/root.pem; ssl_verify_client on;
    location / { return 200 "$server_protocol $host $ssl_server_name $ssl_client_s_dn"; }
  }
}
"#;

#[tokio::test]
async fn nginx() {
    let files = Files::new();
    let end = clock::wall() + YEAR;
    files.certificate("server", end);
    let identity = files.certificate("prober", end);
    let (plain, secure) = (free_address(), free_address());
    let big = fs::File::create(files.path("big")).unwrap();
    big.set_len(1 << 30).unwrap();
    let text = NGINX
        .replace("DIR", files.folder.path().to_str().unwrap())
        .replace("PLAIN", &plain.to_string())
        .replace("SECURE", &secure.to_string());
    fs::write(files.path("nginx.conf"), text).unwrap();
    let mut nginx = program("nginx");
    let nginx = Process::start(nginx.arg("-c").arg(files.path("nginx.conf")));

    let at = |path: &str, http: Http| {
        patient(plain, Kind::Http(Box::new(Http { path: path.into(), ..http })))
    };
    becomes(&at("/health", http()), &GOOD).await;
    let check = async |path: &str, http: Http, expect: &Outcome| {
        assert_eq!(executed_in(&at(path, http), UNHURRIED).await, *expect, "{path}");
    };
    let body = |text: &str| Http { body: Some(text.into()), ..http() };
    check("/health", body("said www.example.com"), &GOOD).await;
    check("/down", http(), &Outcome::Failed(Why::Status(503))).await;
    check("/moved", http(), &Outcome::Failed(Why::Status(301))).await;
    let pattern = Pattern(regex::bytes::Regex::new(r"^all \d+ are ok").unwrap());
    check("/health", Http { body_regex: Some(pattern), ..http() }, &GOOD).await;
    let lag = |operand: &str| {
        let pointer = "/replication_lag_s".into();
        let claim = Claim { pointer, relation: Relation::AtMost, operand: operand.into() };
        Http { json: vec![claim], ..http() }
    };
    check("/data", lag("10"), &GOOD).await;
    let why = Why::Json("`/replication_lag_s` is 7, not <= 5".into());
    check("/data", lag("5"), &Outcome::Failed(why)).await;
    // A gigabyte, of which a mebibyte is read; and the same, an octet a second.
    check("/big", body("x"), &BODY).await;
    let within = Some(Duration::from_millis(500));
    let slow = Outcome::Failed(Why::Slow(Duration::from_millis(500)));
    check("/slow", Http { within, ..http() }, &slow).await;

    let over_tls = |identity: Option<&Arc<Identity>>, text: &str| {
        let tls = Tls { identity: identity.cloned(), ..files.tls() };
        let host = "other.example.com".into();
        let http = Http { tls: Some(tls), host, ..body(text) };
        patient(secure, Kind::Http(Box::new(http)))
    };
    let shown = "HTTP/2.0 other.example.com www.example.com CN=prober";
    assert_eq!(execute(&over_tls(Some(&identity), shown)).await, GOOD);
    assert_eq!(execute(&over_tls(None, "")).await, Outcome::Failed(Why::Status(400)));

    // Stopped, it still has its ports; the kernel takes connections for it.
    nginx.signal(Signal::SIGSTOP);
    let hanging = ProbeSpec { timeout: TIMEOUT, ..at("/health", http()) };
    assert_eq!(execute(&hanging).await, LATE);
    nginx.signal(Signal::SIGCONT);
    becomes(&at("/health", http()), &GOOD).await;
    nginx.kill();
    let refused = Outcome::Failed(Why::Connect(ErrorKind::ConnectionRefused));
    assert_eq!(execute(&at("/health", http())).await, refused);
}

/// Executes once, and sees to it that it ends in time.
async fn executed_in(spec: &ProbeSpec, timeout: Duration) -> Outcome {
    let began = clock::now();
    let outcome = execute(spec).await;
    assert!(clock::now() - began < timeout + GRACE);
    outcome
}

#[tokio::test]
async fn openssl_and_a_certificate_that_expires() {
    let files = Files::new();
    // Good for long enough to be seen good on a busy machine.
    let end = clock::wall() + Duration::from_secs(8);
    files.certificate("server", end);
    let address = free_address();
    let mut openssl = program("openssl");
    openssl.arg("s_server").arg("-accept").arg(address.to_string()).arg("-www").arg("-quiet");
    openssl.arg("-cert").arg(files.path("server.pem"));
    openssl.arg("-key").arg(files.path("server.key"));
    let _openssl = Process::start(&mut openssl);
    let tls = patient(address, Kind::Tls(files.tls()));
    let over = Http { tls: Some(files.tls()), ..http() };
    let https = patient(address, Kind::Http(Box::new(Http { path: "/".into(), ..over })));
    becomes(&tls, &GOOD).await;
    assert_eq!(execute(&https).await, GOOD);
    // It is too near its end for whoever asks for a day, and then it is over.
    let margin = Tls { expires_in: Some(Duration::from_hours(24)), ..files.tls() };
    let outcome = execute(&patient(address, Kind::Tls(margin))).await;
    assert!(matches!(outcome, Outcome::Failed(Why::Expires(..9))), "{outcome:?}");
    let mut outcome = execute(&tls).await;
    while outcome == GOOD {
        let late = clock::wall().duration_since(end).unwrap_or_default();
        assert!(late < PATIENCE, "it was over {late:?} ago");
        tokio::time::sleep(Duration::from_millis(20)).await;
        outcome = execute(&tls).await;
    }
    assert!(is_tls_failure(&outcome, "expired"), "{outcome:?}");
    let outcome = execute(&https).await;
    assert!(is_tls_failure(&outcome, "expired"), "{outcome:?}");
}

#[tokio::test]
async fn nsd() {
    let folder = tempfile::tempdir().unwrap();
    let (address, dir) = (free_address(), folder.path().display());
    let mut zone = "$ORIGIN example.com.\n$TTL 60\n@ SOA ns hostmaster 1 1h 1h 1h 1h\n@ NS ns\n\
                    ns A 192.0.2.53\nwww A 192.0.2.1\nwww A 192.0.2.2\n@ MX 10 Mail\n"
        .to_owned();
    // An answer that is cut off over UDP.
    zone.extend((0..200).map(|it| format!("many A 198.51.100.{it}\n")));
    fs::write(folder.path().join("example.com.zone"), zone).unwrap();
    let config = format!(
        "server:\n  ip-address: {}@{}\n  server-count: 1\n  username: \"\"\n  chroot: \"\"\n  \
         zonesdir: \"{dir}\"\n  database: \"\"\n  pidfile: \"\"\n  xfrdfile: \"\"\n  \
         xfrdir: \"{dir}\"\n  zonelistfile: \"{dir}/zone.list\"\nremote-control:\n  \
         control-enable: no\nzone:\n  name: example.com\n  zonefile: example.com.zone\n",
        address.ip(),
        address.port(),
    );
    fs::write(folder.path().join("nsd.conf"), config).unwrap();
    let mut nsd = program("nsd");
    let _nsd = Process::start(nsd.arg("-d").arg("-c").arg(folder.path().join("nsd.conf")));

    let question = |name: &[u8], rtype| {
        let name = [name, b"\x07example\x03com\x00"].concat().into();
        Dns { name, rtype, rcode: 0, answer: Vec::new(), tcp: false }
    };
    let asked = |dns: &Dns, tcp| patient(address, Kind::Dns(Dns { tcp, ..dns.clone() }));
    let www = question(b"\x03www", 1);
    becomes(&asked(&www, false), &GOOD).await;
    becomes(&asked(&www, true), &GOOD).await;
    let good = Dns { answer: vec![Box::from([192, 0, 2, 2])], ..www.clone() };
    let wrong = Dns { answer: vec![Box::from([192, 0, 2, 3])], ..www };
    let mail = b"\x00\x0A\x04mail\x07example\x03com\x00";
    let mail = Dns { answer: vec![Box::from(&mail[..])], ..question(b"", 15) };
    let many = Dns { answer: vec![Box::from([198, 51, 100, 199])], ..question(b"\x04many", 1) };
    let gone = Dns { rcode: 3, ..question(b"\x04gone", 1) };
    for tcp in [false, true] {
        assert_eq!(execute(&asked(&good, tcp)).await, GOOD);
        assert_eq!(execute(&asked(&wrong, tcp)).await, Outcome::Failed(Why::Answer));
        assert_eq!(execute(&asked(&mail, tcp)).await, GOOD);
        assert_eq!(execute(&asked(&many, tcp)).await, GOOD);
        assert_eq!(execute(&asked(&gone, tcp)).await, GOOD);
        let unwanted = Outcome::Failed(Why::Rcode("NXDOMAIN".into()));
        let wanted = Dns { rcode: 0, ..gone.clone() };
        assert_eq!(execute(&asked(&wanted, tcp)).await, unwanted);
    }
}

/// Serves until its input ends; a line `SERVICE STATUS` sets a status.
const GRPC_SERVER: &str = "
import sys
from concurrent import futures
import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
server = grpc.server(futures.ThreadPoolExecutor(2))
servicer = health.HealthServicer()
health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
_, port, cert, key = sys.argv
server.add_insecure_port('127.0.0.1:' + port)
pair = (open(key, 'rb').read(), open(cert, 'rb').read())
secure = server.add_secure_port('127.0.0.1:0', grpc.ssl_server_credentials([pair]))
server.start()
print(secure, flush=True)
for line in sys.stdin:
    service, status = line.split(' ')
    servicer.set(service, health_pb2.HealthCheckResponse.ServingStatus.Value(status.strip()))
";

#[tokio::test]
async fn the_health_server_of_grpc_itself() {
    use std::io::BufRead as _;
    let files = Files::new();
    files.certificate("server", clock::wall() + YEAR);
    let address = free_address();
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python");
    assert!(python.exists(), "`tests/run` installs what this test needs");
    let mut command = Command::new(python);
    command.arg("-c").arg(GRPC_SERVER).arg(address.port().to_string());
    command.arg(files.path("server.pem")).arg(files.path("server.key"));
    let mut server = Process::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut input = server.child().stdin.take().unwrap();
    let mut said = std::io::BufReader::new(server.child().stdout.take().unwrap());
    let mut port = String::new();
    said.read_line(&mut port).unwrap();
    let secure = SocketAddr::new(address.ip(), port.trim().parse().unwrap());

    let asked = |address, service: &str, tls| {
        let (service, host) = (service.into(), "www.example.com".into());
        patient(address, Kind::Grpc(Grpc { service, host, tls }))
    };
    let says = |why: &str| Outcome::Failed(Why::Grpc(why.into()));
    becomes(&asked(address, "", None), &GOOD).await;
    let unknown = says("the service is not known there");
    assert_eq!(execute(&asked(address, "db", None)).await, unknown);
    input.write_all(b"db SERVING\n").unwrap();
    becomes(&asked(address, "db", None), &GOOD).await;
    assert_eq!(execute(&asked(secure, "db", Some(files.tls()))).await, GOOD);
    input.write_all(b"db NOT_SERVING\n").unwrap();
    becomes(&asked(address, "db", None), &says("NOT_SERVING")).await;
    let other = Tls { sni: "api.example.com".into(), ..files.tls() };
    let outcome = execute(&asked(secure, "", Some(other))).await;
    assert!(is_tls_failure(&outcome, "not valid for"), "{outcome:?}");
    // Stopped, and gone.
    server.signal(Signal::SIGSTOP);
    let hanging = ProbeSpec { timeout: TIMEOUT, ..asked(address, "", None) };
    assert_eq!(execute(&hanging).await, LATE);
    server.signal(Signal::SIGCONT);
    becomes(&asked(address, "", None), &GOOD).await;
    server.kill();
    let refused = Outcome::Failed(Why::Connect(ErrorKind::ConnectionRefused));
    assert_eq!(execute(&asked(address, "", None)).await, refused);
}
