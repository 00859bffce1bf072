//! Load that a target reports beside its health: the header `endpoint-load-metrics` of ORCA (Open
//! Request Cost Aggregation, `xds.data.orca.v3`).
//!
//! ```text
//!   TEXT application_utilization=0.8,cpu_utilization=0.5     also without the word, and with `:`
//!   JSON {"application_utilization": 0.8}                    also without the word
//!   BIN ...                                                  not read: see below
//! ```
//!
//! Of all that may be in it, what counts is `application_utilization` if it is above 0, else
//! `cpu_utilization`: the order that gRPC's own balancing has. Requests a second say nothing without
//! what would be too many.
//!
//! The binary form is not read: it is for proxies, whose libraries write it; a health response is
//! written by people, and what they cannot read with curl they cannot put right.
//!
//! # Invariants
//!
//! - Total: what is no report is none. It never makes a probe fail.
//! - No more than `PROBE_LOAD_LEN_MAX` octets are looked at, and nothing above
//!   `PROBE_UTILIZATION_MAX` is believed.

use http::HeaderMap;

use super::json;
use crate::limits::{PROBE_LOAD_LEN_MAX, PROBE_UTILIZATION_MAX};

/// What tells how much of its capacity is in use, the first before the second.
const KEYS: [&str; 2] = ["application_utilization", "cpu_utilization"];

/// How much of what it can take a target says that it is given: 1 is all of it.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Utilization(f64);

impl Utilization {
    /// A part of a capacity; none: it is none, or not to be believed.
    #[must_use]
    pub fn new(part: f64) -> Option<Self> {
        (0.0..=PROBE_UTILIZATION_MAX).contains(&part).then_some(Self(part))
    }

    /// It as a number.
    #[must_use]
    pub fn part(self) -> f64 {
        self.0
    }
}

/// What a head or a trailer reports.
pub(super) fn reported(headers: &HeaderMap) -> Option<Utilization> {
    let mut texts = headers.get_all("endpoint-load-metrics").iter();
    texts.find_map(|it| utilization(it.as_bytes()))
}

fn utilization(text: &[u8]) -> Option<Utilization> {
    let text = std::str::from_utf8(text).ok().filter(|it| it.len() <= PROBE_LOAD_LEN_MAX)?.trim();
    let (form, rest) = text.split_once(' ').unwrap_or(("", text));
    let number = |key| match form {
        "BIN" => None,
        "JSON" => json::number(rest, key),
        "TEXT" => number(rest, key),
        _ if text.starts_with('{') => json::number(text, key),
        _ => number(text, key),
    };
    let [application, cpu] = KEYS.map(|key| number(key).map(Utilization::new));
    match application {
        // What is there and wrong is not replaced by something else.
        Some(None) => None,
        Some(Some(it)) if 0.0 < it.0 => Some(it),
        _ => cpu.flatten().or(application.flatten()),
    }
}

/// The value of a key in a list such as `a=1,b=2`.
fn number(list: &str, key: &str) -> Option<f64> {
    let pairs = list.split(',').filter_map(|it| it.split_once(['=', ':']));
    let mut values = pairs.filter(|(name, _)| name.trim() == key).map(|(_, value)| value.trim());
    // A number that is none is wrong, and not absent.
    values.next().map(|it| it.parse().unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reports() {
        let check = |text: &str, expect: Option<f64>| {
            assert_eq!(utilization(text.as_bytes()).map(Utilization::part), expect, "{text}");
        };
        check("TEXT application_utilization=0.8,cpu_utilization=0.5", Some(0.8));
        check("TEXT cpu_utilization=0.5, mem_utilization=0.9, rps_fractional=10.0", Some(0.5));
        check("application_utilization=1.25", Some(1.25));
        check("cpu_utilization:0.3,named_metrics.queue:7", Some(0.3));
        check(r#"JSON {"cpu_utilization": 0.3, "rps_fractional": 100}"#, Some(0.3));
        check(r#"{"application_utilization": 2}"#, Some(2.0));
        check("TEXT application_utilization=0,cpu_utilization=0.7", Some(0.7));
        check("TEXT application_utilization=0", Some(0.0));
        for none in [
            "",
            "TEXT",
            "TEXT rps_fractional=5",
            "BIN CZqZmZmZmbk/",
            "BIN application_utilization=0.8",
            "application_utilization=",
            "application_utilization=nan",
            "application_utilization=-1,cpu_utilization=0.5",
            "application_utilization=inf",
            "application_utilization=1e9",
            "application_utilization=80%",
            "JSON {",
            r#"JSON {"application_utilization": "0.8"}"#,
            r#"JSON {"a": {"application_utilization": 0.8}}"#,
        ] {
            check(none, None);
        }
        check(&format!("{}application_utilization=1", " ".repeat(PROBE_LOAD_LEN_MAX)), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let part = utilization(&text).map_or(0.0, Utilization::part);
            prop_assert!((0.0..=PROBE_UTILIZATION_MAX).contains(&part));
        }
    }
}
