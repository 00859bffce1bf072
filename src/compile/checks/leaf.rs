//! Checks that are probes: when, against whom, and what is asked.
//!
//! *Not here:* what each kind asks (`kinds`), and checks of checks (the module itself).

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use super::{
    Check, EVERY_DEFAULT, FALL_DEFAULT, FLAP_CHANGES_DEFAULT, FLAP_HOLD_DEFAULT,
    FLAP_WINDOW_DEFAULT, RISE_DEFAULT, Reader, TIMEOUT_DEFAULT, Template, bad_target,
};
use crate::{
    compile::say_number,
    config::{
        Field, Place,
        check::{CheckFile, FlapFile},
    },
    health::{Flap, Kind, Target},
    limits::{CHECK_COUNT_MAX, CHECK_EVERY_MIN, FLAP_CHANGES_MAX},
    wire::Name,
};

/// What a kind says: itself, its port, and what is still open.
pub(super) struct Asked {
    pub(super) kind: Kind,
    pub(super) port: Port,
    /// Whether the steered name is still to be filled in.
    pub(super) host_open: bool,
    /// Likewise the name asked for in the handshake.
    pub(super) sni_open: bool,
}

/// The port that a kind speaks of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Port {
    /// It knows no ports.
    Unknown,
    /// It is to be given, and is not.
    Missing,
    /// This one, by default.
    Default(u16),
    /// The one that stands here; none: it has been complained of.
    Said(Place, Option<u16>),
}

/// How often, and how many times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) every: Duration,
    pub(super) timeout: Duration,
    fall: u32,
    rise: u32,
}

impl Reader<'_, '_> {
    /// A check of one kind that is probed.
    pub(super) fn leaf(
        &mut self,
        place: Place,
        name: Option<&str>,
        check: &CheckFile<'_>,
    ) -> Option<Check> {
        let times = self.times(place, check);
        let flap = check.flap.placed().map(|(place, flap)| self.flap(place, flap));
        let asked = self.asked(place, name, check, &times);
        let with_port = asked.as_ref().is_none_or(|it| !matches!(it.port, Port::Unknown));
        let target = self.target(&check.target, with_port);
        let asked = asked?;
        let is_targeted = !check.target.is_absent();
        let port = match (asked.port, &target) {
            (Port::Said(place, _), _) if is_targeted => {
                self.port_twice(place);
                None
            }
            (Port::Unknown, target) => {
                Some(target.as_ref().and_then(|(_, port)| *port).unwrap_or(0))
            }
            (_, Some((_, port))) => *port,
            (Port::Said(_, port), None) => port,
            (Port::Default(port), None) => Some(port),
            (Port::Missing, None) => {
                if !is_targeted {
                    self.no_port(place);
                }
                None
            }
        };
        let name = name.or(self.way.last().copied()).unwrap_or_default();
        Some(Check::Leaf(Box::new(Template {
            name: name.into(),
            kind: asked.kind,
            host_open: asked.host_open,
            sni_open: asked.sni_open,
            port: port?,
            target: target.map(|(target, _)| target),
            invert: check.invert.given().copied().unwrap_or(false),
            every: times.every,
            timeout: times.timeout,
            fall: times.fall,
            rise: times.rise,
            flap,
        })))
    }

    fn times(&self, place: Place, check: &CheckFile<'_>) -> Times {
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
        Times { every, timeout, fall, rise }
    }

    fn count(&self, name: &str, field: &Field<u64>, default: u32) -> u32 {
        let number = say_number(self.report, name, field, 1..=CHECK_COUNT_MAX);
        number.and_then(|it| u32::try_from(it).ok()).unwrap_or(default)
    }

    pub(super) fn port(&self, field: &Field<u64>, default: Option<u16>) -> Port {
        let number = say_number(self.report, "port", field, 1..=u64::from(u16::MAX));
        match (field.place(), default) {
            (Some(place), _) => Port::Said(place, number.and_then(|it| u16::try_from(it).ok())),
            (None, Some(port)) => Port::Default(port),
            (None, None) => Port::Missing,
        }
    }

    fn flap(&self, place: Place, flap: &FlapFile) -> Flap {
        let changes = say_number(self.report, "changes", &flap.changes, 2..=FLAP_CHANGES_MAX);
        let changes = changes.and_then(|it| u32::try_from(it).ok()).unwrap_or(FLAP_CHANGES_DEFAULT);
        let window = flap.window.given().map_or(FLAP_WINDOW_DEFAULT, |it| it.0);
        let hold = flap.hold.given().map_or(FLAP_HOLD_DEFAULT, |it| it.0);
        for (name, field, lasting) in [("window", &flap.window, window), ("hold", &flap.hold, hold)]
        {
            if lasting.is_zero() {
                self.flap_zero(field.place().unwrap_or(place), name);
            }
        }
        Flap { changes, window, hold }
    }

    fn target(&self, field: &Field<&str>, with_port: bool) -> Option<(Target, Option<u16>)> {
        let (place, text) = field.placed()?;
        let target = target_of(text).filter(|(_, port)| !with_port || port.is_some());
        if target.is_none() {
            bad_target(self.report, place, text, with_port);
        }
        target
    }
}

/// `host` or `host:port` as a target and its port.
pub(in crate::compile) fn target_of(text: &str) -> Option<(Target, Option<u16>)> {
    let (host, port) = split_port(text);
    if port == Some(0) {
        return None;
    }
    let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some((Target::Address(address), port));
    }
    is_host(host).then(|| (Target::Host(host.into()), port))
}

/// `host:port` as its halves; an IPv6 address is in brackets.
pub(super) fn split_port(text: &str) -> (&str, Option<u16>) {
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
pub(in crate::compile) fn is_host(text: &str) -> bool {
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
