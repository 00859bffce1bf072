//! Scalars of a syntax of their own: durations, TTLs, percentages, margins, status codes.

use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error};

use crate::limits::{
    DURATION_MAX, LOAD_MAX, MARGIN_KM_MAX, MARGIN_PERCENT_MAX, MARGIN_TIME_MAX, TRICKLE_WHOLE,
    TTL_MAX,
};

/// A duration, at most [`DURATION_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lasting(pub Duration);

/// A TTL or another number of seconds on the wire, at most [`TTL_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ttl(pub u32);

/// A share in whole percent, `1..=100`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(pub u8);

/// A share in ten-thousandths, above none and below all; written in percent, `0.5%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trickle(pub u16);

/// A load in the operator's unit: above 0, at most [`LOAD_MAX`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Amount(pub f64);

/// How much worse than the best is still good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Margin {
    /// Not at all.
    None,
    /// So many microseconds, at most [`MARGIN_TIME_MAX`].
    Micros(u32),
    /// So many metres, at most [`MARGIN_KM_MAX`].
    Metres(u32),
    /// So many percent of the best, at most [`MARGIN_PERCENT_MAX`].
    Percent(u16),
}

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

impl<'de> Deserialize<'de> for Trickle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        trickle(text).map(Self).ok_or_else(|| {
            D::Error::custom(format!(
                "`{text}` is no part of the clients\nwrite a percentage from `0.01%` to `99.99%`"
            ))
        })
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        amount(text).map(Self).ok_or_else(|| {
            D::Error::custom(format!(
                "`{text}` is no load\nwrite a number above 0 and at most {LOAD_MAX}, such as `50000` or `0.5`"
            ))
        })
    }
}

impl<'de> Deserialize<'de> for Margin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        margin(text).ok_or_else(|| {
            D::Error::custom(format!(
                "`{text}` does not say how much worse is still good\nwrite a time such as `10ms` \
                 (at most {}s), a distance such as `200km` (at most {MARGIN_KM_MAX}km), or a part \
                 such as `15%` (at most {MARGIN_PERCENT_MAX}%)",
                MARGIN_TIME_MAX.as_secs()
            ))
        })
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

/// Reads `5%`, `0.5%` or `0.05%`, as ten-thousandths.
fn trickle(text: &str) -> Option<u16> {
    let number = text.strip_suffix('%')?;
    let (whole, parts) = number.split_once('.').unwrap_or((number, "0"));
    if !is_digits(whole) || !is_digits(parts) || 2 < parts.len() {
        return None;
    }
    let hundredths: u16 = format!("{parts:0<2}").parse().ok()?;
    let sum = whole.parse::<u16>().ok()?.checked_mul(100)?.checked_add(hundredths)?;
    (1..TRICKLE_WHOLE).contains(&u64::from(sum)).then_some(sum)
}

/// Reads `50000` or `0.5`.
fn amount(text: &str) -> Option<f64> {
    let (whole, parts) = text.split_once('.').unwrap_or((text, "0"));
    let number: f64 = (is_digits(whole) && is_digits(parts)).then(|| text.parse().ok())??;
    (0.0 < number && number <= LOAD_MAX).then_some(number)
}

/// Reads `10ms`, `1s`, `200km`, `15%` or `0`. Seconds without a unit are none: a distance could be
/// meant.
fn margin(text: &str) -> Option<Margin> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u32 = number.parse().ok()?;
    match unit {
        "" if number == 0 => Some(Margin::None),
        "ms" | "s" => {
            let time = duration(text).filter(|it| *it <= MARGIN_TIME_MAX)?;
            u32::try_from(time.as_micros()).ok().map(Margin::Micros)
        }
        "km" => (number <= MARGIN_KM_MAX).then(|| Margin::Metres(1000 * number)),
        "%" => {
            u16::try_from(number).ok().filter(|it| *it <= MARGIN_PERCENT_MAX).map(Margin::Percent)
        }
        _ => None,
    }
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

    #[test]
    fn trickles() {
        let check = |text, parts: Option<u16>| assert_eq!(trickle(text), parts, "{text}");
        check("5%", Some(500));
        check("0.5%", Some(50));
        check("0.05%", Some(5));
        check("12.34%", Some(1234));
        check("99.99%", Some(9999));
        for text in ["", "%", "5", "0%", "0.00%", "0.001%", "100%", ".5%", "5.%", "-1%", "1e1%"] {
            check(text, None);
        }
        check("99999999999%", None);
    }

    #[test]
    fn amounts() {
        let check = |text, expect: Option<f64>| assert_eq!(amount(text), expect, "{text}");
        check("50000", Some(50_000.0));
        check("0.5", Some(0.5));
        check("1000000000000", Some(LOAD_MAX));
        for text in
            ["", "0", "0.0", "-1", "+1", "1e3", "inf", "nan", ".5", "5.", "5 rps", "1000000000001"]
        {
            check(text, None);
        }
    }

    #[test]
    fn margins() {
        let check = |text, expect: Option<Margin>| assert_eq!(margin(text), expect, "{text}");
        check("0", Some(Margin::None));
        check("10ms", Some(Margin::Micros(10_000)));
        check("1s", Some(Margin::Micros(1_000_000)));
        check("200km", Some(Margin::Metres(200_000)));
        check("15%", Some(Margin::Percent(15)));
        for text in ["", "10", "ms", "1m", "11s", "20001km", "1001%", "-5%", "1.5km", "5 %", "1e9s"]
        {
            check(text, None);
        }
    }
}
