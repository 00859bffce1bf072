//! Octets out of text: escapes, hexadecimal, Base64, bitmaps and mnemonics.

use crate::compile::words::Word;

/// Appends the octets of a text with `\DDD` and `\X` escapes (RFC 1035 section 5.1).
pub(super) fn unescape(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let first = bytes.next()?;
        if !first.is_ascii_digit() {
            out.push(first);
            continue;
        }
        let mut value = u32::from(first - b'0');
        for _ in 0..2 {
            let digit = bytes.next().filter(u8::is_ascii_digit)?;
            value = value * 10 + u32::from(digit - b'0');
        }
        out.push(u8::try_from(value).ok()?);
    }
    Some(())
}

/// Appends the octets of hexadecimal digits that may be spread over words; else says which word
/// is bad.
pub(super) fn hex(words: &[Word<'_>], out: &mut Vec<u8>) -> Result<(), usize> {
    let mut high = None;
    for (idx, word) in words.iter().enumerate() {
        for digit in word.text.chars() {
            let digit = digit.to_digit(16).and_then(|it| u8::try_from(it).ok()).ok_or(idx)?;
            high = match high {
                None => Some(digit),
                Some(high) => {
                    out.push(high << 4 | digit);
                    None
                }
            };
        }
    }
    if high.is_some() { Err(words.len() - 1) } else { Ok(()) }
}

/// Appends the octets of padded Base64 that may be spread over words; else says which word is bad.
pub(super) fn base64(words: &[Word<'_>], out: &mut Vec<u8>) -> Result<(), usize> {
    let (mut buffer, mut digits, mut padding) = (0_u32, 0_usize, 0_usize);
    for (idx, word) in words.iter().enumerate() {
        for byte in word.text.bytes() {
            let digit = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b'=' if 2 <= (digits + padding) % 4 => {
                    padding += 1;
                    continue;
                }
                _ => return Err(idx),
            };
            if padding != 0 {
                return Err(idx);
            }
            buffer = buffer << 6 | u32::from(digit);
            digits += 1;
            if digits % 4 == 0 {
                out.extend(&buffer.to_be_bytes()[1..]);
                buffer = 0;
            }
        }
    }
    if !(digits + padding).is_multiple_of(4) || 2 < padding {
        return Err(words.len() - 1);
    }
    match digits % 4 {
        2 => out.extend(&(buffer << 12).to_be_bytes()[1..2]),
        3 => out.extend(&(buffer << 6).to_be_bytes()[1..3]),
        _ => {}
    }
    Ok(())
}

/// Appends `count` groups of `width` hexadecimal digits with `between` between them.
pub(super) fn groups(
    text: &str,
    between: char,
    count: usize,
    width: usize,
    out: &mut Vec<u8>,
) -> Option<()> {
    let mut found = 0;
    for group in text.split(between) {
        // A group of a locator may be short, as in an IPv6 address (RFC 6742 section 2.1.2).
        let fits = if width == 2 { group.len() == 2 } else { (1..=width).contains(&group.len()) };
        if !fits || !group.bytes().all(|it| it.is_ascii_hexdigit()) {
            return None;
        }
        let value = u16::from_str_radix(group, 16).ok()?.to_be_bytes();
        out.extend(&value[2 - width / 2..]);
        found += 1;
    }
    (found == count).then_some(())
}

/// Appends a bitmap of types (RFC 4034 section 4.1.2).
pub(super) fn bitmap(mut types: Vec<u16>, out: &mut Vec<u8>) {
    types.sort_unstable();
    for window in types.chunk_by(|a, b| a >> 8 == b >> 8) {
        let mut bits = [0_u8; 32];
        let mut len = 0;
        for rtype in window {
            let [_, low] = rtype.to_be_bytes();
            bits[usize::from(low / 8)] |= 0x80 >> (low % 8);
            len = low / 8 + 1;
        }
        out.extend([window[0].to_be_bytes()[0], len]);
        out.extend(&bits[..usize::from(len)]);
    }
}

/// A DNSSEC algorithm by number or mnemonic (RFC 4034 appendix A.1 and the registry).
pub(super) fn algorithm(text: &str) -> Option<u8> {
    const MNEMONICS: &[(&str, u8)] = &[
        ("RSAMD5", 1),
        ("DH", 2),
        ("DSA", 3),
        ("RSASHA1", 5),
        ("DSA-NSEC3-SHA1", 6),
        ("RSASHA1-NSEC3-SHA1", 7),
        ("RSASHA256", 8),
        ("RSASHA512", 10),
        ("ECC-GOST", 12),
        ("ECDSAP256SHA256", 13),
        ("ECDSAP384SHA384", 14),
        ("ED25519", 15),
        ("ED448", 16),
        ("INDIRECT", 252),
        ("PRIVATEDNS", 253),
        ("PRIVATEOID", 254),
    ];
    let known = MNEMONICS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    known.map(|(_, number)| *number).or_else(|| number(text))
}

/// A kind of certificate by number or mnemonic (RFC 4398 section 2.1).
pub(super) fn certificate(text: &str) -> Option<u16> {
    const MNEMONICS: &[(&str, u16)] = &[
        ("PKIX", 1),
        ("SPKI", 2),
        ("PGP", 3),
        ("IPKIX", 4),
        ("ISPKI", 5),
        ("IPGP", 6),
        ("ACPKIX", 7),
        ("IACPKIX", 8),
        ("URI", 253),
        ("OID", 254),
    ];
    let known = MNEMONICS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    known.map(|(_, number)| *number).or_else(|| number(text))
}

fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}
