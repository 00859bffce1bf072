//! Record data: from presentation text (RFC 1035 section 5.1) to uncompressed wire form.
//!
//! A type is a list of [`Part`]s, so a new type is a line in [`parts`]. hickory reads the
//! parameters of SVCB and HTTPS; the others are read here, because its lexer turns `\200` into two
//! octets of UTF-8 and `a\.b` into two labels, and knows no place.
//!
//! # Invariants
//!
//! - What is written is what the type's parts say, also when it came as `\# n hex` (RFC 3597), so
//!   that names in record data are names.
//! - `\# n hex` is understood for every type.
//!
//! Not here: how text becomes words (`words`, `master`), and what records mean together (`draft`).

mod bytes;
mod svcb;

use std::net::{Ipv4Addr, Ipv6Addr};

use super::words::Word;
use crate::{
    config::duration,
    limits::TTL_MAX,
    wire::{
        Name, Rtype,
        name::{name_len, parse_keeping_case},
    },
};

/// What is wrong with record data, and with which word; past the last: with its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Counts from 0.
    pub(super) word: usize,
    /// The complaint.
    pub(super) message: String,
    /// What to do about it.
    pub(super) hint: String,
}

impl Wrong {
    fn new(word: usize, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { word, message: message.into(), hint: hint.into() }
    }
}

/// A part of record data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    U8,
    U16,
    U32,
    /// A `u32` that may be written with units.
    Seconds,
    Name,
    V4,
    V6,
    /// A character string: a length and so many octets.
    Text,
    /// One or more character strings; last.
    Texts,
    /// A character string of letters and digits.
    Tag,
    /// One word, without a length; last.
    Octets,
    /// Hexadecimal octets; last.
    Hex,
    /// Base64; last.
    Base64,
    /// A DNSSEC algorithm, by number or mnemonic.
    Algorithm,
    /// A kind of certificate, by number or mnemonic.
    Certificate,
    /// A bitmap of types (RFC 4034 section 4.1.2); last.
    Types,
    /// Four groups of hexadecimal digits with colons between (RFC 6742).
    Locator,
    /// So many octets with hyphens between (RFC 7043).
    Eui(usize),
    /// Parameters of a service (RFC 9460); last.
    Params,
}

/// The parts of a type's data; none when only `\# n hex` will do.
fn parts(rtype: Rtype) -> Option<&'static [Part]> {
    use Part::{
        Algorithm, Base64, Certificate, Eui, Hex, Locator, Name, Octets, Params, Seconds, Tag,
        Text, Texts, Types, U8, U16, U32, V4, V6,
    };
    Some(match rtype {
        Rtype::A => &[V4],
        Rtype::AAAA => &[V6],
        Rtype::NS | Rtype::CNAME | Rtype::PTR | Rtype::DNAME => &[Name],
        Rtype::SOA => &[Name, Name, U32, Seconds, Seconds, Seconds, Seconds],
        Rtype::MX | Rtype::AFSDB | Rtype::RT | Rtype::KX | Rtype::LP => &[U16, Name],
        Rtype::PX => &[U16, Name, Name],
        Rtype::MINFO | Rtype::RP => &[Name, Name],
        Rtype::TXT | Rtype::SPF | Rtype::AVC | Rtype::ISDN => &[Texts],
        Rtype::HINFO => &[Text, Text],
        Rtype::X25 => &[Text],
        Rtype::SRV => &[U16, U16, U16, Name],
        Rtype::NAPTR => &[U16, U16, Text, Text, Text, Name],
        Rtype::URI => &[U16, U16, Octets],
        Rtype::CAA => &[U8, Tag, Octets],
        Rtype::DS | Rtype::CDS => &[U16, Algorithm, U8, Hex],
        Rtype::DNSKEY | Rtype::CDNSKEY => &[U16, U8, Algorithm, Base64],
        Rtype::SSHFP => &[U8, U8, Hex],
        Rtype::TLSA | Rtype::SMIMEA => &[U8, U8, U8, Hex],
        Rtype::ZONEMD => &[U32, U8, U8, Hex],
        Rtype::CERT => &[Certificate, U16, Algorithm, Base64],
        Rtype::OPENPGPKEY | Rtype::DHCID => &[Base64],
        Rtype::CSYNC => &[U32, U16, Types],
        Rtype::NID | Rtype::L64 => &[U16, Locator],
        Rtype::L32 => &[U16, V4],
        Rtype::EUI48 => &[Eui(6)],
        Rtype::EUI64 => &[Eui(8)],
        Rtype::SVCB | Rtype::HTTPS => &[U16, Name, Params],
        _ => return None,
    })
}

/// Appends the data that `words` say to `out`; names without a final dot are below `origin`.
/// When it fails, what was appended means nothing.
pub(super) fn encode(
    rtype: Rtype,
    words: &[Word<'_>],
    origin: &Name,
    out: &mut Vec<u8>,
) -> Result<(), Wrong> {
    let begin = out.len();
    match (words, parts(rtype)) {
        ([first, rest @ ..], _) if first.is(r"\#") => generic(rtype, rest, out)?,
        (_, None) => {
            let hint = r"write it as `\# LENGTH HEX` (RFC 3597 section 5)";
            return Err(Wrong::new(0, format!("there is no text form for `{rtype}` here"), hint));
        }
        (words, Some(parts)) => {
            let mut reader = Reader { rtype, words, at: 0, origin };
            for part in parts {
                reader.part(*part, out)?;
            }
            if let Some(word) = words.get(reader.at) {
                let message = format!("`{}` is too much for {rtype}", word.text);
                return Err(Wrong::new(reader.at, message, form(rtype)));
            }
        }
    }
    if usize::from(u16::MAX) < out.len() - begin {
        let hint = "record data holds at most 65535 octets";
        return Err(Wrong::new(0, format!("this {rtype} is too long"), hint));
    }
    Ok(())
}

/// Appends a text as one string, split at 255 octets: the data of a TXT without quotes.
pub(super) fn one_string(text: &str, out: &mut Vec<u8>) -> Result<(), Wrong> {
    let mut octets = Vec::with_capacity(text.len());
    let hint = r"write `\\` for a backslash, `\DDD` with three digits up to 255 for an octet";
    bytes::unescape(text, &mut octets)
        .ok_or_else(|| Wrong::new(0, format!("`{text}` has a bad escape"), hint))?;
    if octets.is_empty() {
        out.push(0);
    }
    for piece in octets.chunks(255) {
        out.push(u8::try_from(piece.len()).expect("at most 255"));
        out.extend(piece);
    }
    if usize::from(u16::MAX) < out.len() {
        return Err(Wrong::new(
            0,
            "this text is too long",
            "record data holds at most 65535 octets",
        ));
    }
    Ok(())
}

/// Data as `\# n hex`, after the first word.
fn generic(rtype: Rtype, words: &[Word<'_>], out: &mut Vec<u8>) -> Result<(), Wrong> {
    let hint = r"write `\# LENGTH HEX`, the length in octets (RFC 3597 section 5)";
    let begin = out.len();
    let len = words.first().and_then(|it| it.text.parse::<u16>().ok());
    let Some(len) = len else {
        return Err(Wrong::new(1, r"a length belongs after `\#`", hint));
    };
    if let Err(bad) = bytes::hex(&words[1..], out) {
        return Err(Wrong::new(2 + bad, "this is not hexadecimal", hint));
    }
    let found = out.len() - begin;
    if found != usize::from(len) {
        let message = format!("there are {found} octets, and {len} were announced");
        return Err(Wrong::new(1, message, hint));
    }
    if parts(rtype).is_none_or(|parts| fits(parts, &out[begin..])) {
        Ok(())
    } else {
        Err(Wrong::new(2, format!("these octets are not the data of {rtype}"), form(rtype)))
    }
}

/// Whether octets have the shape of the parts.
fn fits(parts: &[Part], mut octets: &[u8]) -> bool {
    for part in parts {
        let len = match part {
            Part::U8 | Part::Algorithm => 1,
            Part::U16 | Part::Certificate => 2,
            Part::U32 | Part::Seconds | Part::V4 => 4,
            Part::V6 => 16,
            Part::Locator => 8,
            Part::Eui(len) => *len,
            Part::Name => match name_len(octets) {
                Some(len) => len,
                None => return false,
            },
            Part::Text | Part::Tag => match octets.first() {
                Some(len) => 1 + usize::from(*len),
                None => return false,
            },
            Part::Texts => {
                if octets.is_empty() {
                    return false;
                }
                while let Some((len, rest)) = octets.split_first() {
                    let Some(rest) = rest.get(usize::from(*len)..) else { return false };
                    octets = rest;
                }
                0
            }
            Part::Octets | Part::Hex | Part::Base64 | Part::Types | Part::Params => octets.len(),
        };
        let Some(rest) = octets.get(len..) else { return false };
        octets = rest;
    }
    octets.is_empty()
}

/// How a type's data is written, as a hint.
fn form(rtype: Rtype) -> String {
    let parts = parts(rtype).unwrap_or_default();
    let words = parts.iter().map(|part| match part {
        Part::U8 | Part::U16 | Part::U32 => "NUMBER",
        Part::Seconds => "SECONDS",
        Part::Name => "NAME",
        Part::V4 => "IPV4",
        Part::V6 => "IPV6",
        Part::Text | Part::Octets => "TEXT",
        Part::Texts => "TEXT...",
        Part::Tag => "TAG",
        Part::Hex => "HEX",
        Part::Base64 => "BASE64",
        Part::Algorithm => "ALGORITHM",
        Part::Certificate => "KIND",
        Part::Types => "TYPE...",
        Part::Locator => "XXXX:XXXX:XXXX:XXXX",
        Part::Eui(_) => "XX-XX-...",
        Part::Params => "KEY=VALUE...",
    });
    format!("{rtype} is written `{}`", words.collect::<Vec<_>>().join(" "))
}

struct Reader<'w> {
    rtype: Rtype,
    words: &'w [Word<'w>],
    at: usize,
    origin: &'w Name,
}

impl<'w> Reader<'w> {
    fn part(&mut self, part: Part, out: &mut Vec<u8>) -> Result<(), Wrong> {
        match part {
            Part::Texts => return self.texts(out),
            Part::Hex | Part::Base64 => return self.blob(part, out),
            Part::Types => return self.types(out),
            Part::Params => return self.params(out),
            _ => {}
        }
        let text = self.next()?;
        match part {
            Part::U8 => out.push(self.number(text, u64::from(u8::MAX))?.to_be_bytes()[7]),
            Part::U16 => {
                out.extend(&self.number(text, u64::from(u16::MAX))?.to_be_bytes()[6..]);
            }
            Part::U32 => {
                out.extend(&self.number(text, u64::from(u32::MAX))?.to_be_bytes()[4..]);
            }
            Part::Seconds => {
                let value =
                    seconds(text).ok_or_else(|| self.wrong("is not a number of seconds"))?;
                out.extend(value.to_be_bytes());
            }
            Part::Name => self.name(text, out)?,
            Part::V4 => {
                let address: Ipv4Addr =
                    text.parse().map_err(|_| self.bad_address::<Ipv6Addr>("IPv4", "AAAA"))?;
                out.extend(address.octets());
            }
            Part::V6 => {
                let address: Ipv6Addr =
                    text.parse().map_err(|_| self.bad_address::<Ipv4Addr>("IPv6", "A"))?;
                out.extend(address.octets());
            }
            Part::Text => self.text(text, out)?,
            Part::Tag => {
                if text.is_empty() || !text.bytes().all(|it| it.is_ascii_alphanumeric()) {
                    return Err(self.wrong("is not a tag of letters and digits"));
                }
                self.text(text, out)?;
            }
            Part::Octets => {
                bytes::unescape(text, out).ok_or_else(|| self.bad_escape())?;
            }
            Part::Algorithm => {
                let value = bytes::algorithm(text)
                    .ok_or_else(|| self.wrong("is no DNSSEC algorithm that is known here"))?;
                out.push(value);
            }
            Part::Certificate => {
                let value = bytes::certificate(text)
                    .ok_or_else(|| self.wrong("is no kind of certificate that is known here"))?;
                out.extend(value.to_be_bytes());
            }
            Part::Locator => bytes::groups(text, ':', 4, 4, out)
                .ok_or_else(|| self.wrong("is not four groups of hexadecimal digits"))?,
            Part::Eui(len) => bytes::groups(text, '-', len, 2, out)
                .ok_or_else(|| self.wrong("is not octets in hexadecimal with hyphens"))?,
            Part::Texts | Part::Hex | Part::Base64 | Part::Types | Part::Params => {}
        }
        Ok(())
    }

    fn next(&mut self) -> Result<&'w str, Wrong> {
        let word = self.words.get(self.at).ok_or_else(|| {
            let message = format!("the data of this {} is not complete", self.rtype);
            Wrong::new(self.words.len(), message, form(self.rtype))
        })?;
        self.at += 1;
        Ok(&word.text)
    }

    /// A complaint of the word that was taken last.
    fn wrong(&self, what: &str) -> Wrong {
        let text = &self.words[self.at - 1].text;
        Wrong::new(self.at - 1, format!("`{text}` {what}"), form(self.rtype))
    }

    fn bad_address<Other: std::str::FromStr>(&self, family: &str, other: &str) -> Wrong {
        let text = &self.words[self.at - 1].text;
        let hint = if text.parse::<Other>().is_ok() {
            format!("write it under `{other}`")
        } else {
            form(self.rtype)
        };
        Wrong::new(self.at - 1, format!("`{text}` is not an {family} address"), hint)
    }

    fn bad_escape(&self) -> Wrong {
        let hint = r"write `\\` for a backslash, `\DDD` with three digits up to 255 for an octet";
        Wrong { hint: hint.to_owned(), ..self.wrong("has a bad escape") }
    }

    fn number(&self, text: &str, max: u64) -> Result<u64, Wrong> {
        match text.parse::<u64>() {
            Ok(number) if number <= max && !text.starts_with('+') => Ok(number),
            _ => Err(self.wrong(&format!("is not a number from 0 to {max}"))),
        }
    }

    fn name(&self, text: &str, out: &mut Vec<u8>) -> Result<(), Wrong> {
        let octets = name_octets(text, Some(self.origin)).map_err(|(message, hint)| {
            Wrong::new(self.at - 1, format!("`{text}` is not a name: {message}"), hint)
        })?;
        out.extend(octets);
        Ok(())
    }

    fn text(&self, text: &str, out: &mut Vec<u8>) -> Result<(), Wrong> {
        let begin = out.len();
        out.push(0);
        bytes::unescape(text, out).ok_or_else(|| self.bad_escape())?;
        let Ok(len) = u8::try_from(out.len() - begin - 1) else {
            let message = format!("a character string of this {} is too long", self.rtype);
            let hint = "a character string holds 255 octets; write several, each in quotes";
            return Err(Wrong::new(self.at - 1, message, hint));
        };
        out[begin] = len;
        Ok(())
    }

    fn texts(&mut self, out: &mut Vec<u8>) -> Result<(), Wrong> {
        loop {
            let text = self.next()?;
            self.text(text, out)?;
            if self.at == self.words.len() {
                return Ok(());
            }
        }
    }

    fn blob(&mut self, part: Part, out: &mut Vec<u8>) -> Result<(), Wrong> {
        let at = self.at;
        self.next()?;
        self.at = self.words.len();
        let (words, result) =
            (&self.words[at..], if part == Part::Hex { "hexadecimal" } else { "Base64" });
        let done =
            if part == Part::Hex { bytes::hex(words, out) } else { bytes::base64(words, out) };
        done.map_err(|bad| Wrong::new(at + bad, format!("this is not {result}"), form(self.rtype)))
    }

    fn types(&mut self, out: &mut Vec<u8>) -> Result<(), Wrong> {
        let mut types = Vec::new();
        while self.at < self.words.len() {
            let text = self.next()?;
            types.push(text.parse::<Rtype>().map_err(|_| self.wrong("is no record type"))?.0);
        }
        bytes::bitmap(types, out);
        Ok(())
    }

    fn params(&mut self, out: &mut Vec<u8>) -> Result<(), Wrong> {
        let at = self.at;
        self.at = self.words.len();
        // The priority stands before the target name, which ends where the parameters begin.
        svcb::params(&self.words[at..], out)
            .map_err(|(word, message)| Wrong::new(at + word, message, form(self.rtype)))
    }
}

/// Reads a name that keeps its case; what is wrong with it comes with a hint.
pub(super) fn name_octets(
    text: &str,
    origin: Option<&Name>,
) -> Result<Vec<u8>, (String, &'static str)> {
    if !text.is_ascii() {
        let hint = "write the ASCII form (`xn--...`), or octets as `\\DDD`";
        return Err(("it has a character outside of ASCII".to_owned(), hint));
    }
    parse_keeping_case(text, origin).map_err(|error| {
        let hint = "a name is labels of up to 63 octets with dots between, 255 octets in all";
        (error.to_string(), hint)
    })
}

/// Reads a number of seconds, with BIND's units (`1h30m`) or without.
pub(super) fn seconds(text: &str) -> Option<u32> {
    let last_is_digit = text.ends_with(|it: char| it.is_ascii_digit());
    // A number without a unit stands alone.
    if last_is_digit && !text.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    let mut sum = 0_u64;
    let mut rest = text;
    loop {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let units = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let (item, after) = rest.split_at(digits + units);
        let item = item.to_ascii_lowercase();
        let value = match item.strip_suffix('w') {
            Some(weeks) => weeks.parse::<u64>().ok()?.checked_mul(7 * 24 * 60 * 60)?,
            None => duration(&item).filter(|it| it.subsec_nanos() == 0)?.as_secs(),
        };
        sum = sum.checked_add(value)?;
        rest = after;
        if rest.is_empty() {
            return u32::try_from(sum).ok().filter(|it| *it <= TTL_MAX);
        }
    }
}

#[cfg(test)]
mod tests;
