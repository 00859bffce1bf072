//! Certificates: how long the one that a target shows is good yet.
//!
//! Of a certificate only the end of its validity is read (RFC 5280 section 4.1). Whether it may be
//! trusted at all was decided before, by `rustls`.
//!
//! *Not here:* trust (`trust`).

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls::pki_types::CertificateDer;

use super::{Rough, Told, Why};
use crate::{
    clock,
    health::{ProbeSpec, Tls},
    limits::{
        CERTIFICATE_WARN_BEFORE_MAX, CERTIFICATE_WARN_EVERY, CERTIFICATE_WARN_PART,
        CERTIFICATE_WARNED_MAX,
    },
};

/// How long a certificate is good yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificate {
    /// For long enough.
    Good,
    /// For so many seconds: it should have been renewed by now.
    Soon(u64),
    /// No more.
    Over,
}

/// From when to when a certificate is good, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Validity {
    begins: u64,
    ends: u64,
}

/// Fails when the certificate ends too soon, and warns when it ends soon; how long it is good yet is
/// left in `told`, if that matters to anybody.
pub(super) fn check(
    spec: &ProbeSpec,
    tls: &Tls,
    shown: &CertificateDer<'_>,
    told: &mut Told,
) -> Result<(), Why> {
    let Some(validity) = validity(shown) else {
        // What cannot be read is a failure only for whom it matters to.
        return if tls.expires_in.is_some() {
            Err(Why::Tls("the validity of the certificate cannot be read".into()))
        } else {
            Ok(())
        };
    };
    let now = clock::wall().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
    let left = validity.ends.saturating_sub(now);
    let is_too_late = tls.expires_in.is_some_and(|margin| left < margin.as_secs());
    if tls.verify || tls.expires_in.is_some() {
        told.certificate = Some(match left {
            0 => Certificate::Over,
            _ if is_too_late || is_soon(validity, left) => Certificate::Soon(left),
            _ => Certificate::Good,
        });
    }
    if is_too_late {
        return Err(Why::Expires(left));
    }
    if tls.verify && is_soon(validity, left) && is_to_be_said(&spec.to_string(), clock::wall()) {
        tracing::warn!(check = %spec, sni = &*tls.sni, left = %Rough(left), "certificate ends soon");
    }
    Ok(())
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good => f.write_str("it is good for long enough"),
            Self::Soon(left) => write!(f, "it ends in {}", Rough(*left)),
            Self::Over => f.write_str("it is over"),
        }
    }
}

/// Whether a certificate should have been renewed by now: those of a few days are renewed late in
/// days, those of a year weeks before.
fn is_soon(validity: Validity, left: u64) -> bool {
    let life = validity.ends.saturating_sub(validity.begins);
    left < (life / CERTIFICATE_WARN_PART).min(CERTIFICATE_WARN_BEFORE_MAX.as_secs())
}

/// Whether it was not said lately: once a day is enough.
fn is_to_be_said(what: &str, now: SystemTime) -> bool {
    static SAID: OnceLock<Mutex<HashMap<Box<str>, SystemTime>>> = OnceLock::new();

    let mut said = SAID.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let is_recent = |at: &SystemTime| {
        now.duration_since(*at).unwrap_or(Duration::ZERO) < CERTIFICATE_WARN_EVERY
    };
    if said.get(what).is_some_and(is_recent) {
        return false;
    }
    if CERTIFICATE_WARNED_MAX <= said.len() {
        said.retain(|_, at| is_recent(at));
        if CERTIFICATE_WARNED_MAX <= said.len() {
            return false;
        }
    }
    said.insert(what.into(), now);
    true
}

/// Reads the validity of a certificate.
fn validity(der: &[u8]) -> Option<Validity> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xA0;

    let (tag, certificate, _) = element(der)?;
    let (inner, mut rest, _) = element(certificate)?;
    if tag != SEQUENCE || inner != SEQUENCE {
        return None;
    }
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    // The serial number, the algorithm, the issuer.
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (tag, validity, _) = element(rest)?;
    let (begins_tag, begins, rest) = element(validity)?;
    let (ends_tag, ends, _) = element(rest)?;
    (tag == SEQUENCE)
        .then_some(Validity { begins: time(begins_tag, begins)?, ends: time(ends_tag, ends)? })
}

/// The element of DER that `der` begins with: its tag, its content, and what comes after it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        0x81..=0x84 => {
            let (len, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
            (len.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((tag, content, rest))
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ` (RFC 5280 section 4.1.2.5), in seconds since 1970.
fn time(tag: u8, text: &[u8]) -> Option<u64> {
    const UTC: u8 = 0x17;
    const GENERALIZED: u8 = 0x18;

    let two = |at: usize| -> Option<i64> {
        let digits = text.get(at..at + 2)?;
        let digit = |it: u8| it.is_ascii_digit().then(|| i64::from(it - b'0'));
        Some(digit(digits[0])? * 10 + digit(digits[1])?)
    };
    let (year, at) = match tag {
        // RFC 5280: 50 and above are of the century before.
        UTC => (two(0)? + if two(0)? < 50 { 2000 } else { 1900 }, 2),
        GENERALIZED => (two(0)? * 100 + two(2)?, 4),
        _ => return None,
    };
    let (month, day) = (two(at)?, two(at + 2)?);
    let (hour, minute, second) = (two(at + 4)?, two(at + 6)?, two(at + 8)?);
    if text.get(at + 10..) != Some(b"Z") || !(1..=12).contains(&month) {
        return None;
    }
    // Days since 1970 in the Gregorian calendar: years begin in March, so that leap days end them.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    let seconds = (days - 719_468) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: u64 = 86_400;

    #[test]
    fn times() {
        let check =
            |tag, text: &str, expect| assert_eq!(time(tag, text.as_bytes()), expect, "{text}");
        check(0x17, "700101000000Z", Some(0));
        check(0x17, "261120144000Z", Some(1_795_185_600));
        check(0x18, "20000229235959Z", Some(951_868_799));
        check(0x18, "20500101000000Z", Some(2_524_608_000));
        check(0x17, "491231235959Z", Some(2_524_607_999));
        // No end: RFC 5280 section 4.1.2.5.
        check(0x18, "99991231235959Z", Some(253_402_300_799));
        check(0x17, "500101000000Z", Some(0));
        for bad in ["", "7001010000Z", "700101000000", "70010100000xZ", "701301000000Z"] {
            check(0x17, bad, None);
        }
        check(0x16, "700101000000Z", None);
    }

    #[test]
    fn the_validity_of_a_certificate() {
        let mut params = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 2, 29);
        params.not_after = rcgen::date_time_ymd(2051, 1, 1);
        let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let expect = Validity { begins: 1_582_934_400, ends: 2_556_144_000 };
        assert_eq!(validity(certificate.der()), Some(expect));
    }

    #[test]
    fn when_a_certificate_ends_soon() {
        let check = |life, left, expect| {
            assert_eq!(is_soon(Validity { begins: 0, ends: life }, left), expect, "{life} {left}");
        };
        check(365 * DAY, 15 * DAY, false);
        check(365 * DAY, 13 * DAY, true);
        check(6 * DAY, 3 * DAY, false);
        check(6 * DAY, DAY / 2, true);
    }

    #[test]
    fn it_is_said_once_a_day() {
        let at = |hours| UNIX_EPOCH + Duration::from_hours(hours);
        assert!(is_to_be_said("said once a day", at(0)));
        assert!(!is_to_be_said("said once a day", at(23)));
        assert!(is_to_be_said("said once a day, too", at(23)));
        assert!(is_to_be_said("said once a day", at(24)));
    }

    proptest! {
        #[test]
        fn any_octets_are_read(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = validity(&octets);
        }
    }
}
