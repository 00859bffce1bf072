//! The kinds: from the keys of each to what is asked.
//!
//! *Not here:* when and against whom (`leaf`).

use std::{net::IpAddr, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use super::{
    Reader,
    leaf::{Asked, Port, Times, is_host, split_port},
};
use crate::{
    compile::{
        rdata::{self, name_octets},
        source::source_error,
        words,
    },
    config::{
        Entries, Field, Lasting, Place, Status,
        check::{
            CheckFile, DnsFile, ExecFile, GrpcFile, HttpFile, HttpsFile, PushFile, TcpFile, TlsFile,
        },
    },
    health::{
        Claim, Dns, Exec, Grpc, Http, Identity, Kind, Pattern, Push, Relation, Tcp, Tls,
        TrustError, is_identity, is_roots,
    },
    limits::{CHECK_EVERY_MIN, CHECK_PATTERN_LEN_MAX},
    wire::{Name, Rtype},
};

/// Response codes by their numbers (RFC 1035 section 4.1.1, RFC 2136 section 2.2).
const RCODES: [&str; 11] = [
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET",
    "NXRRSET", "NOTAUTH", "NOTZONE",
];

/// The keys that `http` and `https` have in common.
struct Web<'f, 't> {
    path: &'f Field<&'t str>,
    host: &'f Field<&'t str>,
    method: &'f Field<&'t str>,
    headers: &'f Field<Entries<'t, &'t str>>,
    status: &'f Field<Vec<Field<Status>>>,
    body: &'f Field<&'t str>,
    body_regex: &'f Field<&'t str>,
    json: &'f Field<Entries<'t, &'t str>>,
    within: &'f Field<Lasting>,
}

/// The keys of TLS, wherever they stand.
#[derive(Default)]
struct Secure<'f, 't> {
    sni: Option<&'f Field<&'t str>>,
    ca: Option<&'f Field<&'t str>>,
    cert: Option<&'f Field<&'t str>>,
    key: Option<&'f Field<&'t str>>,
    verify: Option<bool>,
    expires_in: Option<Duration>,
}

/// It has been complained of.
struct Said;

macro_rules! web {
    ($file:expr) => {
        Web {
            path: &$file.path,
            host: &$file.host,
            method: &$file.method,
            headers: &$file.headers,
            status: &$file.status,
            body: &$file.body,
            body_regex: &$file.body_regex,
            json: &$file.json,
            within: &$file.within,
        }
    };
}

impl Reader<'_, '_> {
    /// What the kind that is given asks; none: it has been complained of.
    pub(super) fn asked(
        &mut self,
        place: Place,
        name: Option<&str>,
        check: &CheckFile<'_>,
        times: &Times,
    ) -> Option<Asked> {
        let plain = |kind, port| Asked { kind, port, host_open: false, sni_open: false };
        if let Some(http) = check.http.given() {
            Some(self.http(http, times))
        } else if let Some(https) = check.https.given() {
            self.https(https, times)
        } else if let Some(tcp) = check.tcp.given() {
            Some(plain(tcp_kind(tcp), self.port(&tcp.port, None)))
        } else if let Some(tls) = check.tls.given() {
            self.tls(tls)
        } else if let Some((place, dns)) = check.dns.placed() {
            Some(plain(self.dns(place, dns)?, self.port(&dns.port, Some(53))))
        } else if check.icmp.given().is_some() {
            Some(plain(Kind::Icmp, Port::Unknown))
        } else if let Some(grpc) = check.grpc.given() {
            self.grpc(grpc)
        } else if let Some((place, exec)) = check.exec.placed() {
            Some(plain(self.exec(place, exec)?, Port::Unknown))
        } else {
            let (at, push) = check.push.placed()?;
            Some(plain(self.push(place, at, name, check, push)?, Port::Unknown))
        }
    }

    fn http(&mut self, http: &HttpFile<'_>, times: &Times) -> Asked {
        let (kind, host_open) = self.web(&web!(http), None, times);
        let port = self.port(&http.port, Some(80));
        Asked { kind, port, host_open, sni_open: false }
    }

    fn https(&mut self, https: &HttpsFile<'_>, times: &Times) -> Option<Asked> {
        let (tls, sni_open) = self.secure(&Secure {
            sni: Some(&https.sni),
            ca: Some(&https.ca),
            cert: Some(&https.cert),
            key: Some(&https.key),
            verify: https.verify.given().copied(),
            expires_in: https.expires_in.given().map(|it| it.0),
        })?;
        let (kind, host_open) = self.web(&web!(https), Some(tls), times);
        Some(Asked { kind, port: self.port(&https.port, Some(443)), host_open, sni_open })
    }

    fn tls(&mut self, tls: &TlsFile<'_>) -> Option<Asked> {
        let (kind, open) = self.secure(&Secure {
            sni: Some(&tls.sni),
            ca: Some(&tls.ca),
            verify: tls.verify.given().copied(),
            expires_in: tls.expires_in.given().map(|it| it.0),
            ..Secure::default()
        })?;
        let port = self.port(&tls.port, Some(443));
        Some(Asked { kind: Kind::Tls(kind), port, host_open: open, sni_open: open })
    }

    fn grpc(&mut self, grpc: &GrpcFile<'_>) -> Option<Asked> {
        let is_secure = grpc.tls.given().copied().unwrap_or(false);
        if !is_secure {
            let keys = [
                ("sni", grpc.sni.place()),
                ("ca", grpc.ca.place()),
                ("verify", grpc.verify.place()),
            ];
            for (key, place) in keys {
                if let Some(place) = place {
                    self.tls_of_plain(place, key);
                }
            }
        }
        let (tls, open) = self.secure(&Secure {
            sni: Some(&grpc.sni),
            ca: Some(&grpc.ca),
            verify: grpc.verify.given().copied(),
            ..Secure::default()
        })?;
        let kind = Grpc {
            service: grpc.service.given().map_or("", |it| it).into(),
            // The authority is the name that is asked for in the handshake.
            host: tls.sni.clone(),
            tls: is_secure.then_some(tls),
        };
        let port = self.port(&grpc.port, None);
        Some(Asked { kind: Kind::Grpc(kind), port, host_open: open, sni_open: open })
    }

    fn dns(&self, place: Place, dns: &DnsFile<'_>) -> Option<Kind> {
        if dns.name.is_absent() {
            self.no_question(place);
        }
        let (at, text) = dns.name.placed()?;
        let name = name_octets(text, Some(&Name::root()))
            .map_err(|(why, _)| self.bad_question(at, text, &why))
            .ok()?;
        let rtype = match dns.r#type.placed() {
            None => Rtype::A,
            Some((place, text)) => match text.parse::<Rtype>() {
                Ok(rtype) if !rtype.is_meta() && rtype.0 != 0 => rtype,
                _ => {
                    self.bad_type(place, text);
                    return None;
                }
            },
        };
        let rcode = match dns.rcode.placed() {
            None => 0,
            Some((place, text)) => {
                let number = RCODES.iter().position(|it| it.eq_ignore_ascii_case(text));
                if number.is_none() {
                    self.bad_rcode(place, text, &RCODES);
                }
                u16::try_from(number?).ok()?
            }
        };
        let mut answer = Vec::new();
        for (place, text) in dns.answer.given().into_iter().flatten().filter_map(Field::placed) {
            answer.push(self.rdata(place, rtype, text)?);
        }
        let tcp = dns.tcp.given().copied().unwrap_or(false);
        Some(Kind::Dns(Dns { name: name.into(), rtype: rtype.0, rcode, answer, tcp }))
    }

    /// Record data as in a zone file.
    fn rdata(&self, place: Place, rtype: Rtype, text: &str) -> Option<Box<[u8]>> {
        let mut octets = Vec::new();
        let is_one_string = rtype == Rtype::TXT && !text.contains('"') && !text.starts_with(r"\#");
        let encoded = if is_one_string {
            rdata::one_string(text, &mut octets)
        } else {
            let Some(words) = words::cut(text, place) else {
                let hint = r#"close it, or write `\"` for a quote that is meant"#;
                self.report.say(place, "a quote is not closed", hint);
                return None;
            };
            rdata::encode(rtype, &words, &Name::root(), &mut octets)
        };
        encoded.map_err(|wrong| self.report.say(place, wrong.message, wrong.hint)).ok()?;
        Some(octets.into())
    }

    fn exec(&self, place: Place, exec: &ExecFile<'_>) -> Option<Kind> {
        let words: Vec<_> =
            exec.argv.given().into_iter().flatten().filter_map(Field::placed).collect();
        let Some((at, program)) = words.first() else {
            self.no_argv(exec.argv.place().unwrap_or(place));
            return None;
        };
        // One without a slash is looked for in `PATH` when it is run.
        let path = if program.contains('/') { self.folder.join(program) } else { program.into() };
        if program.contains('/') && !is_executable(&path) {
            self.not_executable(*at, &path);
        }
        let rest = words.iter().skip(1).map(|(_, it)| Box::from(**it));
        let argv = std::iter::once(path.to_string_lossy().into()).chain(rest).collect();
        Some(Kind::Exec(Exec { argv }))
    }

    fn push(
        &self,
        place: Place,
        at: Place,
        name: Option<&str>,
        check: &CheckFile<'_>,
        push: &PushFile,
    ) -> Option<Kind> {
        let foreign = [
            ("every", check.every.place()),
            ("timeout", check.timeout.place()),
            ("fall", check.fall.place()),
            ("rise", check.rise.place()),
            ("target", check.target.place()),
            ("invert", check.invert.place()),
        ];
        for (key, place) in foreign {
            if let Some(place) = place {
                self.not_of_push(place, key);
            }
        }
        match push.expires.placed() {
            None if push.expires.is_absent() => self.no_expires(at),
            Some((place, expires)) if expires.0 < CHECK_EVERY_MIN => self.expires_zero(place),
            _ => {}
        }
        let Some(name) = name else {
            self.push_unnamed(place);
            return None;
        };
        Some(Kind::Push(Push { check: name.into(), expires: push.expires.given()?.0 }))
    }

    /// What is asked over HTTP, and whether its host is open.
    fn web(&mut self, web: &Web<'_, '_>, tls: Option<Tls>, times: &Times) -> (Kind, bool) {
        let host = self.host("host", web.host);
        let host_open = host.is_none();
        let within = web.within.placed().map(|(place, it)| (place, it.0));
        if let Some((place, within)) = within.filter(|(_, it)| times.timeout <= *it) {
            self.within_not_below(place, within, times.timeout);
        }
        let http = Http {
            tls,
            method: self.method(web.method),
            path: self.path(web.path),
            host: host.unwrap_or_default(),
            headers: self.headers(web.headers),
            status: status(web.status),
            body: web.body.given().map(|it| (*it).into()),
            body_regex: self.pattern(web.body_regex),
            json: self.claims(web.json),
            within: within.map(|(_, it)| it),
        };
        (Kind::Http(Box::new(http)), host_open)
    }

    /// The TLS of a check, and whether the name asked for is open.
    fn secure(&mut self, secure: &Secure<'_, '_>) -> Option<(Tls, bool)> {
        let sni = secure.sni.and_then(|it| self.host("sni", it));
        let ca = match secure.ca.and_then(|it| it.placed()) {
            Some((place, file)) => Some(self.roots(place, file)?),
            None => None,
        };
        let identity = self.identity(secure).ok()?;
        let open = sni.is_none();
        let tls = Tls {
            sni: sni.unwrap_or_default(),
            ca,
            verify: secure.verify.unwrap_or(true),
            identity,
            expires_in: secure.expires_in,
        };
        Some((tls, open))
    }

    /// What the prober shows of itself, if that is given; an error has been complained of.
    fn identity(&mut self, secure: &Secure<'_, '_>) -> Result<Option<Arc<Identity>>, Said> {
        let cert = secure.cert.filter(|it| !it.is_absent());
        let key = secure.key.filter(|it| !it.is_absent());
        let (cert, key) = match (cert, key) {
            (None, None) => return Ok(None),
            (Some(cert), Some(key)) => (cert.placed().ok_or(Said)?, key.placed().ok_or(Said)?),
            (Some(cert), None) => {
                self.half_identity(cert.place().ok_or(Said)?, "cert", "key");
                return Err(Said);
            }
            (None, Some(key)) => {
                self.half_identity(key.place().ok_or(Said)?, "key", "cert");
                return Err(Said);
            }
        };
        let texts = (self.file(cert.0, cert.1), self.file(key.0, key.1));
        let (Some(cert_text), Some(key_text)) = texts else { return Err(Said) };
        let identity = Identity { cert: cert_text.into(), key: key_text.into() };
        if let Err(error) = is_identity(&identity) {
            let (place, file) = if error == TrustError::Cert { cert } else { key };
            self.bad_identity(place, file, error);
            return Err(Said);
        }
        Ok(Some(Arc::new(identity)))
    }

    fn roots(&mut self, place: Place, file: &str) -> Option<Arc<[u8]>> {
        let pem = self.file(place, file)?;
        if is_roots(&pem) {
            return Some(pem.into());
        }
        self.no_certificates(place, file);
        None
    }

    fn file(&mut self, place: Place, file: &str) -> Option<Vec<u8>> {
        let path = self.folder.join(file);
        self.sources.push(path.clone());
        std::fs::read(&path).map_err(|error| source_error(self.report, place, &path, &error)).ok()
    }

    fn pattern(&self, field: &Field<&str>) -> Option<Pattern> {
        let (place, text) = field.placed()?;
        let built = regex::bytes::RegexBuilder::new(text).size_limit(CHECK_PATTERN_LEN_MAX).build();
        let say = |error: regex::Error| {
            // The last line says what, those before draw where.
            let error = error.to_string();
            let why = error.lines().last().unwrap_or_default();
            self.bad_regex(place, text, why.strip_prefix("error: ").unwrap_or(why));
        };
        built.map_err(say).ok().map(Pattern)
    }

    fn claims(&self, field: &Field<Entries<'_, &str>>) -> Vec<Claim> {
        let mut claims = Vec::new();
        for (pointer, claim) in field.given().iter().flat_map(|it| &it.0) {
            let (Some((at, pointer)), Some((place, text))) = (pointer.placed(), claim.placed())
            else {
                continue;
            };
            if !is_pointer(pointer) {
                self.bad_pointer(at, pointer);
            }
            match relation(text) {
                Some((relation, operand)) => claims.push(Claim {
                    pointer: (*pointer).into(),
                    relation,
                    operand: operand.into(),
                }),
                None => self.bad_claim(place, text),
            }
        }
        claims
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
}

fn tcp_kind(tcp: &TcpFile<'_>) -> Kind {
    let text = |field: &Field<&str>| field.given().map(|it| Box::from(*it));
    Kind::Tcp(Tcp { send: text(&tcp.send), expect: text(&tcp.expect) })
}

/// A comparison: a sign, and what is compared with. Without a sign it is `=`.
fn relation(text: &str) -> Option<(Relation, &str)> {
    let text = text.trim();
    let signed = Relation::ALL.into_iter().find_map(|it| Some((it, text.strip_prefix(it.sign())?)));
    let (relation, operand) = signed.unwrap_or((Relation::Equal, text));
    let operand = operand.trim();
    let is_number = operand.parse::<f64>().is_ok_and(f64::is_finite);
    (!operand.is_empty() && (is_number || !relation.is_order())).then_some((relation, operand))
}

/// RFC 6901 section 3.
fn is_pointer(text: &str) -> bool {
    let is_escape = |after: &str| after.starts_with(['0', '1']);
    (text.is_empty() || text.starts_with('/')) && text.split('~').skip(1).all(is_escape)
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

fn status(field: &Field<Vec<Field<Status>>>) -> Vec<(u16, u16)> {
    match field.given() {
        None => vec![(200, 299)],
        Some(ranges) => {
            ranges.iter().filter_map(Field::given).map(|Status(low, high)| (*low, *high)).collect()
        }
    }
}

/// A token of HTTP (RFC 9110 section 5.6.2).
fn is_token(text: &str) -> bool {
    let good = |it: u8| it.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&it);
    !text.is_empty() && text.bytes().all(good)
}
