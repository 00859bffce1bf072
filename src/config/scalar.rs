//! Scalars of a syntax of their own: durations, TTLs, percentages, status codes.

use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error};

use crate::limits::{DURATION_MAX, TTL_MAX};

/// A duration, at most [`DURATION_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lasting(pub Duration);

/// A TTL or another number of seconds on the wire, at most [`TTL_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ttl(pub u32);

/// A share in whole percent, `1..=100`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(pub u8);

/// Status codes of HTTP, ends included, within `100..=599`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(pub u16, pub u16);

impl<'de> Deserialize<'de> for Lasting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        match duration(text) {
            Some(it) if it <= DURATION_MAX => Ok(Self(it)),
            Some(_) => {
                Err(D::Error::custom(format!("`{text}` is too long\nthe longest duration is 366d")))
            }
            None => Err(D::Error::custom(format!(
                "`{text}` is not a duration\nwrite `500ms`, `10s`, `5m`, `1h`, `1d` or whole seconds"
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for Ttl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        let Some(it) = duration(text).filter(|it| it.subsec_nanos() == 0) else {
            return Err(D::Error::custom(format!(
                "`{text}` is not a TTL\nwrite whole seconds, or `10s`, `5m`, `1h`, `1d`"
            )));
        };
        match u32::try_from(it.as_secs()) {
            Ok(seconds) if seconds <= TTL_MAX => Ok(Self(seconds)),
            _ => Err(D::Error::custom(format!(
                "the TTL `{text}` is too great\nthe greatest is {TTL_MAX} seconds (RFC 2181 section 8)"
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        let number =
            text.strip_suffix('%').filter(|it| is_digits(it)).and_then(|it| it.parse().ok());
        match number {
            Some(it @ 1..=100) => Ok(Self(it)),
            _ => Err(D::Error::custom(format!(
                "`{text}` is not a percentage\nwrite a whole number from `1%` to `100%`"
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        let code =
            |text: &str| text.parse().ok().filter(|it| is_digits(text) && (100..600).contains(it));
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        match (code(low.trim()), code(high.trim())) {
            (Some(low), Some(high)) if low <= high => Ok(Self(low, high)),
            _ => Err(D::Error::custom(format!(
                "`{text}` is not a status code\nwrite one from 100 to 599, or a range such as `200-299`"
            ))),
        }
    }
}

/// Reads `500ms`, `10s`, `5m`, `1h`, `1d` or whole seconds.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "" | "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |text, millis: Option<u64>| {
            assert_eq!(duration(text), millis.map(Duration::from_millis), "{text}");
        };
        check("500ms", Some(500));
        check("10s", Some(10_000));
        check("10", Some(10_000));
        check("5m", Some(300_000));
        check("1h", Some(3_600_000));
        check("1d", Some(86_400_000));
        for text in ["", "s", "1.5s", "-1s", "1 s", "1w", "+1", "99999999999999999999", "10S"] {
            check(text, None);
        }
        check("18446744073709551615d", None);
    }
}
