//! Claims about JSON: whether what a pointer leads to compares as it should.
//!
//! The text is read once per claim, and of it only the value is kept that the pointer leads to: a
//! MiB of brackets does not become a tree of many.
//!
//! *Not here:* the body that it comes from (`http`), and what a claim may say (`compile`).

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::said;
use crate::health::{Claim, Relation};

/// What a pointer leads to.
#[derive(Debug, Clone, PartialEq)]
enum Found {
    Nothing,
    Null,
    Flag(bool),
    Number(f64),
    Text(String),
    /// A list or a mapping, which compares with nothing.
    Many,
}

/// Whether the claim holds of the text; if not, why.
pub(super) fn check(text: &[u8], claim: &Claim) -> Result<(), String> {
    let path: Vec<String> = claim.pointer.split('/').skip(1).map(unescape).collect();
    let mut reader = serde_json::Deserializer::from_slice(text);
    let found = Seek(&path).deserialize(&mut reader).and_then(|it| reader.end().map(|()| it));
    let found = found.map_err(|_| "the body is not JSON".to_owned())?;
    let is_as_claimed = match (&found, claim.relation) {
        (Found::Nothing, _) => return Err(format!("`{}` is not in the body", claim.pointer)),
        (Found::Many, _) => return Err(format!("`{}` is not a single value", claim.pointer)),
        (_, Relation::Equal) => is_equal(&found, &claim.operand),
        (_, Relation::Other) => !is_equal(&found, &claim.operand),
        (Found::Number(left), relation) => match (claim.operand.parse::<f64>(), relation) {
            (Ok(right), Relation::Less) => *left < right,
            (Ok(right), Relation::AtMost) => *left <= right,
            (Ok(right), Relation::More) => right < *left,
            (Ok(right), Relation::AtLeast) => right <= *left,
            _ => false,
        },
        // Only numbers have an order.
        _ => false,
    };
    if is_as_claimed {
        Ok(())
    } else {
        Err(format!("`{}` is {found}, not {}", claim.pointer, Rest(claim)))
    }
}

/// The number under a key of a JSON object; not a number, if it is something else; none, if it is not
/// there or this is no JSON.
pub(super) fn number(text: &str, key: &str) -> Option<f64> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let found = Seek(&[key.to_owned()]).deserialize(&mut reader);
    match found.and_then(|it| reader.end().map(|()| it)).ok()? {
        Found::Nothing => None,
        Found::Number(number) => Some(number),
        _ => Some(f64::NAN),
    }
}

fn is_equal(found: &Found, operand: &str) -> bool {
    match found {
        Found::Null => operand == "null",
        Found::Flag(flag) => operand == if *flag { "true" } else { "false" },
        // Equal as they are written: what is compared is what an operator wrote, not a result.
        #[allow(clippy::float_cmp)]
        Found::Number(number) => operand.parse() == Ok(*number),
        Found::Text(text) => text == operand,
        Found::Nothing | Found::Many => false,
    }
}

/// One step of a pointer (RFC 6901 section 4).
fn unescape(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

struct Rest<'c>(&'c Claim);

impl fmt::Display for Rest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.relation.sign(), self.0.operand)
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Null => f.write_str("null"),
            Self::Flag(flag) => flag.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => write!(f, "\"{}\"", said(text.as_bytes())),
            Self::Many => f.write_str("many"),
        }
    }
}

/// Follows the steps that are left.
struct Seek<'p>(&'p [String]);

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! scalars {
    ($($method:ident($value:ident: $type:ty) => $found:expr;)*) => {$(
        fn $method<E: Error>(self, $value: $type) -> Result<Found, E> {
            // With steps left, there is nothing where they lead.
            Ok(if self.0.is_empty() { $found } else { Found::Nothing })
        }
    )*};
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    scalars! {
        visit_bool(it: bool) => Found::Flag(it);
        visit_f64(it: f64) => Found::Number(it);
        visit_str(it: &str) => Found::Text(it.to_owned());
    }

    // Beyond 2^53 neighbours are the same; nobody's lag is.
    #[allow(clippy::cast_precision_loss)]
    fn visit_i64<E: Error>(self, it: i64) -> Result<Found, E> {
        self.visit_f64(it as f64)
    }

    #[allow(clippy::cast_precision_loss)]
    fn visit_u64<E: Error>(self, it: u64) -> Result<Found, E> {
        self.visit_f64(it as f64)
    }

    fn visit_unit<E: Error>(self) -> Result<Found, E> {
        Ok(if self.0.is_empty() { Found::Null } else { Found::Nothing })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Found, A::Error> {
        // An index has no leading zeros (RFC 6901 section 4).
        let (step, is_end) = (self.0.first(), self.0.is_empty());
        let index = step.filter(|it| *it == "0" || !it.starts_with(['0', '+']));
        let index = index.and_then(|it| it.parse::<usize>().ok());
        let mut found = if is_end { Found::Many } else { Found::Nothing };
        let mut idx = 0;
        loop {
            if index == Some(idx) {
                match list.next_element_seed(Seek(&self.0[1..]))? {
                    Some(it) => found = it,
                    None => return Ok(found),
                }
            } else if list.next_element::<IgnoredAny>()?.is_none() {
                return Ok(found);
            }
            idx += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let mut found = if self.0.is_empty() { Found::Many } else { Found::Nothing };
        while let Some(key) = map.next_key::<Step<'_>>()? {
            match self.0.split_first() {
                Some((step, rest)) if key.0 == *step => found = map.next_value_seed(Seek(rest))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }
}

/// A key, copied only where it is written with escapes.
struct Step<'k>(std::borrow::Cow<'k, str>);

impl<'de: 'k, 'k> Deserialize<'de> for Step<'k> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Step<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E: Error>(self, key: &'de str) -> Result<Step<'de>, E> {
                Ok(Step(key.into()))
            }

            fn visit_str<E: Error>(self, key: &str) -> Result<Step<'de>, E> {
                Ok(Step(key.to_owned().into()))
            }
        }
        deserializer.deserialize_str(Keys)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BODY: &str = r#"{
        "status": "ok", "lag": 4.5, "big": 18446744073709551615, "flag": true, "none": null,
        "list": [1, {"deep": "x"}], "a/b": 1, "m~n": 2, "\u0065sc": 3, "": 4, "low": -2,
        "twice": 1, "twice": 2, "digits": "5"
    }"#;

    fn claim(pointer: &str, relation: Relation, operand: &str) -> Claim {
        Claim { pointer: pointer.into(), relation, operand: operand.into() }
    }

    #[test]
    fn claims() {
        let check = |claim_text: &str, expect: &str| {
            let words: Vec<&str> = claim_text.splitn(3, ' ').collect();
            let relation = Relation::ALL.into_iter().find(|it| it.sign() == words[1]).unwrap();
            let outcome = check(BODY.as_bytes(), &claim(words[0], relation, words[2]));
            assert_eq!(outcome.err().unwrap_or_default(), expect, "{claim_text}");
        };
        check("/status = ok", "");
        check("/status != down", "");
        check("/status = down", "`/status` is \"ok\", not = down");
        check("/status < 5", "`/status` is \"ok\", not < 5");
        check("/lag <= 4.5", "");
        check("/lag < 4.5", "`/lag` is 4.5, not < 4.5");
        check("/lag > 4", "");
        check("/lag >= 4.6", "`/lag` is 4.5, not >= 4.6");
        check("/lag = 4.50", "");
        check("/low < -1", "");
        check("/big > 1e18", "");
        check("/flag = true", "");
        check("/none = null", "");
        check("/digits = 5", "");
        check("/list/0 = 1", "");
        check("/list/1/deep = x", "");
        check("/list/01 = 1", "`/list/01` is not in the body");
        check("/list/2 = 1", "`/list/2` is not in the body");
        check("/list = 1", "`/list` is not a single value");
        check("/a~1b = 1", "");
        check("/m~0n = 2", "");
        check("/esc = 3", "");
        check("/ = 4", "");
        check("/twice = 2", "");
        check("/status/deeper = ok", "`/status/deeper` is not in the body");
        check("/gone != 5", "`/gone` is not in the body");
    }

    #[test]
    fn what_is_not_json() {
        let claim = claim("/a", Relation::Equal, "1");
        let deep = "[".repeat(1 << 20);
        for text in ["", "{", r#"{"a": 1"#, r#"{"a": 1} x"#, "ok", &deep] {
            assert_eq!(check(text.as_bytes(), &claim), Err("the body is not JSON".to_owned()));
        }
        assert_eq!(check(b"7", &self::claim("", Relation::More, "6")), Ok(()));
    }

    proptest! {
        #[test]
        fn any_body_is_read(text in ".{0,60}") {
            let _ = check(text.as_bytes(), &claim("/a/0", Relation::Less, "1"));
        }
    }
}
