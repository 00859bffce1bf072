//! Checks: from the `checks` of the server file to the probes of endpoints.
//!
//! A check is a [`Template`]: together with an endpoint and the steered name it makes a
//! [`ProbeSpec`]. Equal specs are one probe.
//!
//! Not here: which endpoint refers to which check (`steer`).

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::{say_number, source_error};
use crate::{
    config::{
        Entries, Field, Key, Place, Report, Status,
        server::{CheckFile, HttpFile, HttpsFile},
    },
    health::{Http, Kind, ProbeSpec, Target, Tls},
    ids::ProbeId,
    limits::{CHECK_COUNT_MAX, CHECK_EVERY_MIN},
    wire::Name,
};

const EVERY_DEFAULT: Duration = Duration::from_secs(10);
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(3);
const FALL_DEFAULT: u32 = 3;
const RISE_DEFAULT: u32 = 2;

/// A check without the endpoint.
#[derive(Debug, Clone)]
pub(super) struct Template {
    name: Arc<str>,
    kind: Kind,
    /// Whether the host is still to come from the steered name.
    host_open: bool,
    /// Likewise the name asked for in the handshake.
    sni_open: bool,
    port: u16,
    target: Option<Target>,
    every: Duration,
    timeout: Duration,
    fall: u32,
    rise: u32,
}

/// The checks by name; none: that check has been complained of.
pub(super) type Checks = HashMap<String, Option<Template>>;

/// The distinct probes.
#[derive(Debug, Default)]
pub(super) struct Probes {
    ids: HashMap<Arc<ProbeSpec>, ProbeId>,
    pub(super) specs: Vec<Arc<ProbeSpec>>,
    /// The check that each was made from first.
    pub(super) names: Vec<Arc<str>>,
}

impl Probes {
    /// The probe of this spec, made from a check; it may be there already.
    pub(super) fn id(&mut self, check: &Template, spec: ProbeSpec) -> ProbeId {
        if let Some(id) = self.ids.get(&spec) {
            return *id;
        }
        let (spec, id) = (Arc::new(spec), ProbeId::at(self.specs.len()));
        self.ids.insert(Arc::clone(&spec), id);
        self.specs.push(spec);
        self.names.push(Arc::clone(&check.name));
        id
    }
}

impl Template {
    /// Whether it takes the host from the steered name, which then has to be one.
    pub(super) fn needs_host(&self) -> bool {
        self.host_open
    }

    /// Whether it looks the endpoint up, which then has to be a host.
    pub(super) fn needs_target(&self) -> bool {
        self.target.is_none()
    }

    /// What is probed for an endpoint of a steered name.
    pub(super) fn spec(&self, endpoint: Target, owner: &Name) -> ProbeSpec {
        let mut kind = self.kind.clone();
        if let Kind::Http(http) = &mut kind {
            if self.host_open {
                http.host = host_text(owner);
            }
            if let Some(tls) = http.tls.as_mut().filter(|_| self.sni_open) {
                tls.sni = split_port(&http.host).0.into();
            }
        }
        ProbeSpec {
            target: self.target.clone().unwrap_or(endpoint),
            port: self.port,
            kind,
            every: self.every,
            timeout: self.timeout,
            fall: self.fall,
            rise: self.rise,
        }
    }
}

/// The address whose certificate a probe would ask of somebody else. No handshake can: an address
/// is never sent as SNI (RFC 6066 section 3), so that it stands for whom one connects to.
pub(super) fn foreign_address(spec: &ProbeSpec) -> Option<IpAddr> {
    let Kind::Http(Http { tls: Some(tls), .. }) = &spec.kind else { return None };
    let address = tls.sni.trim_matches(['[', ']']).parse().ok()?;
    (spec.target != Target::Address(address)).then_some(address)
}

/// A name as a host: without the final dot.
pub(super) fn host_text(name: &Name) -> Box<str> {
    name.to_string().trim_end_matches('.').into()
}

/// Reads the `checks`; `folder` is where their files are.
pub(super) fn read(
    entries: Option<&Entries<'_, CheckFile<'_>>>,
    folder: &Path,
    report: &Report,
    sources: &mut Vec<PathBuf>,
) -> Checks {
    let mut checks = Checks::new();
    for (key, check) in entries.iter().flat_map(|it| &it.0) {
        let mut reader = Reader { report, folder, sources };
        let template = match (key, check) {
            (Key::Given(place, name), Field::Given(_, check)) => reader.check(*place, name, check),
            _ => None,
        };
        if let Some(name) = key.given() {
            checks.insert((*name).to_owned(), template);
        }
    }
    checks
}

struct Reader<'r> {
    report: &'r Report,
    folder: &'r Path,
    sources: &'r mut Vec<PathBuf>,
}

/// What a kind says: itself, its port, and what is still open.
struct Asked {
    kind: Kind,
    port: Option<u16>,
    port_place: Option<Place>,
    host_open: bool,
    sni_open: bool,
}

impl Reader<'_> {
    fn check(&mut self, place: Place, name: &str, check: &CheckFile<'_>) -> Option<Template> {
        let before = self.report.count();
        let kinds = [check.http.place(), check.https.place(), check.tcp.place()];
        let mut kinds = kinds.into_iter().flatten();
        match (kinds.next(), kinds.max()) {
            (None, _) => self.no_kind(place),
            (Some(_), Some(second)) => self.several_kinds(second),
            (Some(_), None) => {}
        }
        let every = check.every.given().map_or(EVERY_DEFAULT, |it| it.0);
        let timeout = check.timeout.given().map_or(TIMEOUT_DEFAULT, |it| it.0);
        if every < CHECK_EVERY_MIN {
            self.every_short(check.every.place().unwrap_or(place));
        } else if every <= timeout {
            let at = check.timeout.place().or(check.every.place()).unwrap_or(place);
            self.timeout_not_below(at, timeout, every);
        } else if timeout.is_zero() {
            self.timeout_zero(check.timeout.place().unwrap_or(place));
        }
        let fall = self.count("fall", &check.fall, FALL_DEFAULT);
        let rise = self.count("rise", &check.rise, RISE_DEFAULT);
        let target = self.target(&check.target);
        let asked = if let Some(http) = check.http.given() {
            Some(self.http(http))
        } else if let Some(https) = check.https.given() {
            self.https(https)
        } else {
            check.tcp.given().map(|tcp| Asked {
                kind: Kind::Tcp,
                port: self.port(&tcp.port),
                port_place: tcp.port.place(),
                host_open: false,
                sni_open: false,
            })
        }?;
        let port = match (&target, asked.port) {
            (Some(_), _) if asked.port_place.is_some() => {
                self.port_twice(asked.port_place.unwrap_or(place));
                None
            }
            (Some((_, port)), _) => Some(*port),
            (None, Some(port)) => Some(port),
            (None, None) => {
                if asked.port_place.is_none() && check.target.is_absent() {
                    self.no_port(place);
                }
                None
            }
        };
        (self.report.count() == before).then_some(Template {
            name: name.into(),
            kind: asked.kind,
            host_open: asked.host_open,
            sni_open: asked.sni_open,
            port: port?,
            target: target.map(|(target, _)| target),
            every,
            timeout,
            fall,
            rise,
        })
    }

    fn count(&self, name: &str, field: &Field<u64>, default: u32) -> u32 {
        let number = say_number(self.report, name, field, 1..=CHECK_COUNT_MAX);
        number.and_then(|it| u32::try_from(it).ok()).unwrap_or(default)
    }

    fn port(&self, field: &Field<u64>) -> Option<u16> {
        let number = say_number(self.report, "port", field, 1..=u64::from(u16::MAX));
        number.and_then(|it| u16::try_from(it).ok())
    }

    fn target(&self, field: &Field<&str>) -> Option<(Target, u16)> {
        let (place, text) = field.placed()?;
        let read = || {
            let (host, port) = split_port(text);
            let port = port.filter(|it| *it != 0)?;
            let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
            if let Ok(address) = bare.parse::<IpAddr>() {
                return Some((Target::Address(address), port));
            }
            is_host(host).then(|| (Target::Host(host.into()), port))
        };
        let target = read();
        if target.is_none() {
            self.bad_target(place, text);
        }
        target
    }

    fn http(&mut self, http: &HttpFile<'_>) -> Asked {
        let host = self.host("host", &http.host);
        let kind = Http {
            tls: None,
            method: self.method(&http.method),
            path: self.path(&http.path),
            host: host.clone().unwrap_or_default(),
            headers: self.headers(&http.headers),
            status: status(&http.status),
            body: http.body.given().map(|it| (*it).into()),
        };
        Asked {
            kind: Kind::Http(kind),
            port: if http.port.is_absent() { Some(80) } else { self.port(&http.port) },
            port_place: http.port.place(),
            host_open: host.is_none(),
            sni_open: false,
        }
    }

    fn https(&mut self, https: &HttpsFile<'_>) -> Option<Asked> {
        let host = self.host("host", &https.host);
        let sni = self.host("sni", &https.sni);
        let ca = match https.ca.placed() {
            Some((place, file)) => Some(self.certificates(place, file)?),
            None => None,
        };
        // An open SNI is filled together with the host.
        let tls = Tls {
            sni: sni.clone().unwrap_or_default(),
            ca,
            verify: https.verify.given().copied().unwrap_or(true),
        };
        let kind = Http {
            tls: Some(tls),
            method: self.method(&https.method),
            path: self.path(&https.path),
            host: host.clone().unwrap_or_default(),
            headers: self.headers(&https.headers),
            status: status(&https.status),
            body: https.body.given().map(|it| (*it).into()),
        };
        Some(Asked {
            kind: Kind::Http(kind),
            port: if https.port.is_absent() { Some(443) } else { self.port(&https.port) },
            port_place: https.port.place(),
            host_open: host.is_none(),
            sni_open: sni.is_none(),
        })
    }

    fn host(&self, key: &str, field: &Field<&str>) -> Option<Box<str>> {
        let (place, text) = field.placed()?;
        let host = if key == "host" { split_port(text).0 } else { text };
        let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        if !is_host(host) && bare.is_none_or(|it| it.parse::<IpAddr>().is_err()) {
            self.bad_host(place, key, text);
        }
        Some((*text).into())
    }

    fn method(&self, field: &Field<&str>) -> Box<str> {
        let Some((place, text)) = field.placed() else { return "GET".into() };
        if !is_token(text) {
            self.bad_method(place, text);
        }
        (*text).into()
    }

    fn path(&self, field: &Field<&str>) -> Box<str> {
        let Some((place, text)) = field.placed() else { return "/".into() };
        if !text.starts_with('/') || !text.bytes().all(|it| it.is_ascii_graphic()) {
            self.bad_path(place, text);
        }
        (*text).into()
    }

    fn headers(&self, field: &Field<Entries<'_, &str>>) -> Vec<(Box<str>, Box<str>)> {
        let mut headers = Vec::new();
        for (name, value) in field.given().iter().flat_map(|it| &it.0) {
            let (Some((place, name)), Some((_, value))) = (name.placed(), value.placed()) else {
                continue;
            };
            let plain = value.bytes().all(|it| it.is_ascii_graphic() || it == b' ');
            if !is_token(name) || !plain {
                self.bad_header(place, name);
            } else if name.eq_ignore_ascii_case("host") {
                self.host_header(place);
            }
            headers.push(((*name).into(), (*value).into()));
        }
        headers
    }

    fn certificates(&mut self, place: Place, file: &str) -> Option<Arc<[u8]>> {
        let path = self.folder.join(file);
        self.sources.push(path.clone());
        let pem = match std::fs::read(&path) {
            Ok(pem) => pem,
            Err(error) => {
                source_error(self.report, place, &path, &error);
                return None;
            }
        };
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        match certificates {
            Ok(certificates) if !certificates.is_empty() => Some(pem.into()),
            _ => {
                self.no_certificates(place, file);
                None
            }
        }
    }
}

fn status(field: &Field<Vec<Field<Status>>>) -> Vec<(u16, u16)> {
    match field.given() {
        None => vec![(200, 299)],
        Some(ranges) => {
            ranges.iter().filter_map(Field::given).map(|Status(low, high)| (*low, *high)).collect()
        }
    }
}

/// `host:port` as its halves; an IPv6 address is in brackets.
fn split_port(text: &str) -> (&str, Option<u16>) {
    match text.rsplit_once(':') {
        Some((host, port))
            if !host.is_empty() && port.bytes().all(|it| it.is_ascii_digit()) && port.len() < 6 =>
        {
            match port.parse() {
                Ok(port) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
                _ => (text, None),
            }
        }
        _ => (text, None),
    }
}

/// Whether a text is a host name or an IPv4 address.
pub(super) fn is_host(text: &str) -> bool {
    let good = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'.' | b'_');
    !text.is_empty()
        && text.bytes().all(good)
        && Name::parse(text, Some(&Name::root())).is_ok()
        && (!ends_in_number(text) || text.parse::<Ipv4Addr>().is_ok())
}

/// Whether the last label is a number: in a URL all of it is an IPv4 address then, though it may be
/// one that only C knows (`1.2.3`, `0x7f.1`).
fn ends_in_number(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let last = text.rsplit('.').next().unwrap_or_default();
    let is_decimal = !last.is_empty() && last.bytes().all(|it| it.is_ascii_digit());
    let hex = last.strip_prefix("0x").or(last.strip_prefix("0X"));
    is_decimal || hex.is_some_and(|it| it.bytes().all(|it| it.is_ascii_hexdigit()))
}

/// A token of HTTP (RFC 9110 section 5.6.2).
fn is_token(text: &str) -> bool {
    let good = |it: u8| it.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&it);
    !text.is_empty() && text.bytes().all(good)
}

// ---- Complaints ----

impl Reader<'_> {
    fn no_kind(&self, place: Place) {
        self.report.say(place, "this check is of no kind", "give it one of `http`, `https`, `tcp`");
    }

    fn several_kinds(&self, place: Place) {
        let hint = "leave one; a pool may name several checks, and then all must pass";
        self.report.say(place, "this check is of several kinds", hint);
    }

    fn every_short(&self, place: Place) {
        let hint = format!("the shortest is {CHECK_EVERY_MIN:?}");
        self.report.say(place, "`every` is too short", hint);
    }

    fn timeout_not_below(&self, place: Place, timeout: Duration, every: Duration) {
        let message = format!("`timeout` ({timeout:?}) is not less than `every` ({every:?})");
        let hint = "an execution ends before the next one begins; lower `timeout` or raise `every`";
        self.report.say(place, message, hint);
    }

    fn timeout_zero(&self, place: Place) {
        self.report.say(
            place,
            "`timeout` is zero",
            "nothing answers in no time; the default is 3s",
        );
    }

    fn port_twice(&self, place: Place) {
        let hint = "remove `port`, or the `target`";
        self.report.say(place, "`target` has a port already", hint);
    }

    fn no_port(&self, place: Place) {
        self.report.say(place, "this check has no port", "write `tcp: { port: 443 }`");
    }

    fn bad_target(&self, place: Place, text: &str) {
        let message = format!("`{text}` is not a host and a port");
        let hint = "write `192.0.2.1:443`, `[2001:db8::1]:443` or `host.example:443`";
        self.report.say(place, message, hint);
    }

    fn bad_host(&self, place: Place, key: &str, text: &str) {
        let message = format!("`{text}` is not a host");
        self.report.say(place, message, format!("write `{key}: www.example.com`"));
    }

    fn bad_method(&self, place: Place, text: &str) {
        let message = format!("`{text}` is not a method of HTTP");
        self.report.say(place, message, "write `GET` or `HEAD`");
    }

    fn bad_path(&self, place: Place, text: &str) {
        let message = format!("`{text}` is not a path");
        let hint = "a path begins with `/` and has neither spaces nor characters outside of ASCII";
        self.report.say(place, message, hint);
    }

    fn bad_header(&self, place: Place, name: &str) {
        let message =
            format!("`{name}` is not a header of HTTP, or its value is not one line of ASCII");
        self.report.say(place, message, "write `headers: { Accept: text/plain }`");
    }

    fn host_header(&self, place: Place) {
        self.report.say(
            place,
            "the host is not a header here",
            "write `host: NAME` beside `headers`",
        );
    }

    fn no_certificates(&self, place: Place, file: &str) {
        let message = format!("`{file}` holds no certificates");
        let hint = "it has to be PEM: `-----BEGIN CERTIFICATE-----` and so on";
        self.report.say(place, message, hint);
    }
}
