//! Domain names: in wire form, folded to lower case.
//!
//! ```text
//!   wire      3 w w w 7 e x a m p l e 3 c o m 0
//!   suffixes  ^       ^               ^       ^      one per label and the root, each with its hash
//! ```
//!
//! [`Name`] is owned and kept; [`Folded`] is a buffer for the name at hand, with the hash of every
//! suffix, so that a name and its ancestors are looked up without being read again.
//!
//! # Invariants
//!
//! - Both hold valid, uncompressed, lower-case wire form of at most [`NAME_LEN_MAX`] octets with
//!   the root's zero at the end. Equal names have equal octets (RFC 4343).
//! - Folding touches whole octets: a length is at most 63 and no upper-case letter is below 65, so
//!   lengths survive it.
//!
//! Not here: names that point into a message (`reader` for reading, `reply` for writing).

use std::fmt;

use crate::limits::{LABEL_LEN_MAX, NAME_LABELS_MAX, NAME_LEN_MAX};

/// An owned name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<[u8]>);

/// Why a text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameError {
    /// No text at all.
    Empty,
    /// Two dots in a row, or a dot at the start.
    EmptyLabel,
    /// A label of more than 63 octets.
    LabelTooLong,
    /// A name of more than 255 octets.
    TooLong,
    /// A backslash that is followed neither by three digits up to 255 nor by a character.
    BadEscape,
    /// A name without a final dot where no origin is known.
    Relative,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the name is empty",
            Self::EmptyLabel => {
                "the name has an empty label (two dots in a row, or one at the start)"
            }
            Self::LabelTooLong => "a label is longer than 63 octets",
            Self::TooLong => "the name is longer than 255 octets",
            Self::BadEscape => "a backslash needs three digits up to 255 or a character behind it",
            Self::Relative => "the name needs a final dot here",
        })
    }
}

impl Name {
    /// The root.
    #[must_use]
    pub fn root() -> Self {
        Self(Box::new([0]))
    }

    /// Reads presentation form (RFC 1035 section 5.1): `\DDD` and `\X` escapes, `@` for the origin,
    /// and the origin behind what does not end in a dot.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the text.
    pub fn parse(text: &str, origin: Option<&Self>) -> Result<Self, NameError> {
        let octets = parse_keeping_case(text, origin)?;
        Ok(Self(octets.to_ascii_lowercase().into()))
    }

    /// Takes uncompressed wire form of any case; nothing may follow the root.
    #[must_use]
    pub fn from_wire(octets: &[u8]) -> Option<Self> {
        if name_len(octets) != Some(octets.len()) {
            return None;
        }
        Some(Self(octets.to_ascii_lowercase().into()))
    }

    /// The octets, with the root's zero at the end.
    #[must_use]
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// The labels without the root, from the left.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        labels(&self.0)
    }

    /// Whether this is `other` or a name below it.
    #[must_use]
    pub fn is_at_or_below(&self, other: &Self) -> bool {
        suffix_at(&self.0, &other.0).is_some()
    }

    /// The name one label up; none above the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let len = usize::from(self.0[0]);
        (len != 0).then(|| Self(self.0[1 + len..].into()))
    }

    /// Whether the leftmost label is `*` (RFC 4592 section 2.1.1).
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with(b"\x01*")
    }
}

impl fmt::Display for Name {
    /// Presentation form with a final dot, escaped so that it can be read back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&text(&self.0))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads presentation form like [`Name::parse`] and keeps the case, for names inside record data.
///
/// # Errors
///
/// Says what is wrong with the text.
pub fn parse_keeping_case(text: &str, origin: Option<&Name>) -> Result<Vec<u8>, NameError> {
    match text {
        "" => return Err(NameError::Empty),
        "." => return Ok(vec![0]),
        "@" => return origin.map(|origin| origin.0.to_vec()).ok_or(NameError::Relative),
        _ => {}
    }
    let mut octets = Vec::with_capacity(text.len() + 2);
    let mut label_at = 0;
    octets.push(0);
    let mut bytes = text.bytes();
    let mut absolute = false;
    while let Some(byte) = bytes.next() {
        absolute = byte == b'.';
        match byte {
            b'.' => {
                close_label(&mut octets, label_at)?;
                label_at = octets.len();
                octets.push(0);
            }
            b'\\' => octets.push(escaped(&mut bytes)?),
            _ => octets.push(byte),
        }
    }
    if !absolute {
        close_label(&mut octets, label_at)?;
        octets.extend_from_slice(&origin.ok_or(NameError::Relative)?.0);
    }
    if NAME_LEN_MAX < octets.len() { Err(NameError::TooLong) } else { Ok(octets) }
}

fn close_label(octets: &mut [u8], label_at: usize) -> Result<(), NameError> {
    let len = octets.len() - label_at - 1;
    if len == 0 {
        return Err(NameError::EmptyLabel);
    }
    if LABEL_LEN_MAX < len {
        return Err(NameError::LabelTooLong);
    }
    octets[label_at] = u8::try_from(len).expect("at most 63");
    Ok(())
}

fn escaped(bytes: &mut std::str::Bytes<'_>) -> Result<u8, NameError> {
    let first = bytes.next().ok_or(NameError::BadEscape)?;
    if !first.is_ascii_digit() {
        return Ok(first);
    }
    let mut value = u32::from(first - b'0');
    for _ in 0..2 {
        let digit = bytes.next().filter(u8::is_ascii_digit).ok_or(NameError::BadEscape)?;
        value = value * 10 + u32::from(digit - b'0');
    }
    u8::try_from(value).map_err(|_| NameError::BadEscape)
}

/// The octets of the uncompressed name at the start of `octets`, if there is a valid one.
#[must_use]
pub fn name_len(octets: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let len = usize::from(*octets.get(at)?);
        if LABEL_LEN_MAX < len {
            return None;
        }
        at += 1 + len;
        if NAME_LEN_MAX < at {
            return None;
        }
        if len == 0 {
            return Some(at);
        }
    }
}

/// The labels of a valid wire name without the root, from the left.
pub fn labels(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = wire;
    std::iter::from_fn(move || {
        let len = usize::from(rest[0]);
        let (label, below) = rest[1..].split_at(len);
        rest = below;
        (len != 0).then_some(label)
    })
}

/// Whether two names in wire form have the same octets. Names are short, and a call of what compares
/// memory of any length costs more than to compare them does.
#[must_use]
#[inline(always)]
pub fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    // The last word holds what is left behind the others, and something of the one before it.
    match (one.last_chunk::<8>(), other.last_chunk::<8>()) {
        (Some(last), Some(other_last)) => {
            let mut words = one.as_chunks::<8>().0.iter().zip(other.as_chunks::<8>().0);
            last == other_last && words.all(|(one, other)| one == other)
        }
        _ => one == other,
    }
}

/// Where in `name` its suffix `suffix` begins, if that is one; both are valid wire names of the
/// same case.
#[must_use]
pub fn suffix_at(name: &[u8], suffix: &[u8]) -> Option<usize> {
    let begin = name.len().checked_sub(suffix.len())?;
    let mut at = 0;
    while at < begin {
        at += 1 + usize::from(name[at]);
    }
    (at == begin && name[begin..] == *suffix).then_some(begin)
}

/// Presentation form of a valid wire name of any case, with a final dot (RFC 1035 section 5.1).
#[must_use]
pub fn text(wire: &[u8]) -> String {
    use fmt::Write as _;

    if wire == [0] {
        return ".".to_owned();
    }
    let mut text = String::with_capacity(wire.len());
    for label in labels(wire) {
        for &byte in label {
            match byte {
                b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => {
                    text.push('\\');
                    text.push(char::from(byte));
                }
                0x21..=0x7E => text.push(char::from(byte)),
                _ => write!(text, "\\{byte:03}").expect("a String takes everything"),
            }
        }
        text.push('.');
    }
    text
}

/// The name at hand, folded, with the place and the hash of each of its suffixes.
///
/// One buffer serves a thread for all its packets; [`fold`](Self::fold) fills it anew, and touches no
/// more of it than the name needs.
pub struct Folded {
    /// The name, and behind it what is left of others: it is written a chunk at a time, and read a word.
    octets: Octets,
    len: u8,
    labels: u8,
    /// Where each label begins, and last the root: a place for every `u8`, so that none is looked
    /// for in vain.
    offsets: [u8; 1 << 8],
    /// The hash of the suffix that begins there.
    hashes: [u64; 1 << 8],
}

impl Default for Folded {
    /// The root.
    fn default() -> Self {
        let mut folded = Self {
            octets: [0; NAME_LEN_MAX + 1 + CHUNK_LEN],
            len: 1,
            labels: 0,
            offsets: [0; 1 << 8],
            hashes: [0; 1 << 8],
        };
        folded.hashes[0] = ROOT_HASH;
        folded
    }
}

impl fmt::Debug for Folded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text(self.as_wire()))
    }
}

impl Folded {
    /// Takes the uncompressed name at the start of `octets` and says how long it is; none when
    /// there is no valid one. What was held before is gone either way.
    #[inline(always)]
    pub fn fold(&mut self, octets: &[u8]) -> Option<usize> {
        // Where a label begins, a `u8` can say, and so it can how long a name is.
        const { assert!(NAME_LEN_MAX == u8::MAX as usize) }
        let name = &octets[..octets.len().min(NAME_LEN_MAX)];
        let mut at = 0;
        let mut labels: u8 = 0;
        loop {
            let len = usize::from(*name.get(at)?);
            if LABEL_LEN_MAX < len {
                return None;
            }
            self.offsets[usize::from(labels)] = u8::try_from(at).expect("asserted above");
            at += 1 + len;
            if len == 0 {
                break;
            }
            labels += 1;
        }
        (self.len, self.labels) = (u8::try_from(at).expect("asserted above"), labels);
        self.take(octets);
        self.hash();
        Some(at)
    }

    /// Copies the name at the start of `octets` in lower case.
    #[inline(always)]
    fn take(&mut self, octets: &[u8]) {
        let mut at = 0;
        while at < usize::from(self.len) {
            // A question has enough behind its name that only the end of a packet needs care.
            let rest = &octets[at..];
            let folded = &mut self.octets[at..at + CHUNK_LEN];
            match rest.first_chunk::<CHUNK_LEN>() {
                Some(chunk) => folded.copy_from_slice(chunk),
                None => folded.copy_from_slice(&padded::<CHUNK_LEN>(rest)),
            }
            folded.make_ascii_lowercase();
            at += CHUNK_LEN;
        }
    }

    /// Hashes every suffix, the shortest first.
    #[inline(always)]
    fn hash(&mut self) {
        let mut hash = ROOT_HASH;
        let mut end = self.offsets[usize::from(self.labels)];
        self.hashes[usize::from(self.labels)] = hash;
        for label in (0..self.labels).rev() {
            let begin = self.offsets[usize::from(label)];
            hash = extend(hash, &self.octets, begin, end - begin);
            self.hashes[usize::from(label)] = hash;
            end = begin;
        }
    }

    /// The folded octets.
    #[must_use]
    pub fn as_wire(&self) -> &[u8] {
        &self.octets[..usize::from(self.len)]
    }

    /// Labels without the root.
    #[must_use]
    pub fn label_count(&self) -> usize {
        usize::from(self.labels)
    }

    /// The name without its first `skip` labels, and its hash as [`hash`] would give it.
    #[must_use]
    pub fn suffix(&self, skip: usize) -> (&[u8], u64) {
        (&self.as_wire()[self.offset(skip)..], self.hashes[skip])
    }

    /// Where the label after the first `skip` begins.
    #[must_use]
    pub fn offset(&self, skip: usize) -> usize {
        assert!(skip <= self.label_count());
        usize::from(self.offsets[skip])
    }
}

/// The hash of a valid, folded wire name.
#[must_use]
pub fn hash(wire: &[u8]) -> u64 {
    // Not by way of `Folded`: to clear one costs more than all of this.
    let mut octets: Octets = [0; _];
    octets[..wire.len()].copy_from_slice(wire);
    octets[..wire.len()].make_ascii_lowercase();
    let mut offsets = [0_u8; NAME_LABELS_MAX + 1];
    let (mut at, mut labels) = (0_u8, 0);
    while octets[usize::from(at)] != 0 {
        offsets[labels] = at;
        at += 1 + octets[usize::from(at)];
        labels += 1;
    }
    assert_eq!(usize::from(at) + 1, wire.len(), "nothing follows the root");
    let mut end = at;
    offsets[..labels].iter().rev().fold(ROOT_HASH, |hash, begin| {
        let len = end - begin;
        end = *begin;
        extend(hash, &octets, *begin, len)
    })
}

/// The hash of any octets, for what is not a name.
#[must_use]
pub fn hash_octets(octets: &[u8]) -> u64 {
    let (words, rest) = octets.as_chunks();
    let hash = octets.len() as u64 ^ ROOT_HASH;
    let hash = words.iter().fold(hash, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    mix_last(hash, u64::from_le_bytes(padded(rest)))
}

/// Octets that are hashed at once.
const WORD_LEN: u8 = 8;

/// Octets that are folded at once.
const CHUNK_LEN: usize = 32;

/// A name, and behind it as much as is read and written with its last octet, wherever that is.
type Octets = [u8; NAME_LEN_MAX + 1 + CHUNK_LEN];

const ROOT_HASH: u64 = 0x2545_F491_4F6C_DD1D;

/// The hash of a name from that of its parent and its first label, length octet included: the `len`
/// octets at `at`, behind which there is a word of anything.
///
/// Names come from the operator's files, and a table is asked with other names only to find that
/// they are not there, so the hash need not be secret; it has to be quick and even. It multiplies
/// eight octets at a time to 128 bits and folds the halves.
#[inline(always)]
fn extend(parent: u64, octets: &Octets, mut at: u8, mut len: u8) -> u64 {
    let word = |at: u8| {
        let octets = &octets[usize::from(at)..][..usize::from(WORD_LEN)];
        u64::from_le_bytes(octets.try_into().expect("eight"))
    };
    let mut hash = parent;
    while WORD_LEN < len {
        hash = mix(hash, word(at));
        (at, len) = (at + WORD_LEN, len - WORD_LEN);
    }
    // One octet at least is left: a label has two.
    mix_last(hash, word(at) & (u64::MAX >> (8 * (WORD_LEN - len))))
}

fn mix(hash: u64, word: u64) -> u64 {
    fold_multiply(hash ^ word, 0x9E37_79B9_7F4A_7C15)
}

fn mix_last(hash: u64, word: u64) -> u64 {
    fold_multiply(hash ^ word, 0xD6E8_FEB8_6659_FD93)
}

/// Fewer octets than that, and zeros.
#[inline(never)]
fn padded<const LEN: usize>(octets: &[u8]) -> [u8; LEN] {
    let mut padded = [0; LEN];
    padded[..octets.len()].copy_from_slice(octets);
    padded
}

fn fold_multiply(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    #[allow(clippy::cast_possible_truncation)] // The two halves are what is wanted.
    let (low, high) = (product as u64, (product >> 64) as u64);
    low ^ high
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text, None).unwrap()
    }

    #[test]
    fn text_and_back() {
        let check = |input: &str, expect: &str| {
            let origin = name("Example.COM.");
            let parsed = Name::parse(input, Some(&origin)).map(|name| name.to_string());
            let got = parsed.unwrap_or_else(|error| format!("{error:?}"));
            assert_eq!(got, expect, "{input}");
        };
        check("www", "www.example.com.");
        check("WWW.", "www.");
        check("@", "example.com.");
        check(".", ".");
        check("a\\.b.c.", "a\\.b.c.");
        check("a\\032b.", "a\\032b.");
        check("*.x", "*.x.example.com.");
        check("", "Empty");
        check("..", "EmptyLabel");
        check(".a", "EmptyLabel");
        check("a..b", "EmptyLabel");
        check("a\\25", "BadEscape");
        check("a\\256", "BadEscape");
        check(&"a".repeat(64), "LabelTooLong");
        check(&"a.".repeat(128), "TooLong");
        assert_eq!(Name::parse("www", None), Err(NameError::Relative));
        assert_eq!(Name::parse(&"a.".repeat(127), None).unwrap().labels().count(), 127);
    }

    #[test]
    fn ancestors() {
        assert!(name("a.b.c.").is_at_or_below(&name("b.c.")));
        assert!(name("b.c.").is_at_or_below(&name("b.c.")));
        assert!(name("b.c.").is_at_or_below(&Name::root()));
        assert!(!name("ab.c.").is_at_or_below(&name("b.c.")));
        assert!(!name("c.").is_at_or_below(&name("b.c.")));
        assert_eq!(name("a.b.").parent(), Some(name("b.")));
        assert_eq!(Name::root().parent(), None);
    }

    #[test]
    fn a_suffix_hashes_as_the_name_it_is() {
        let mut folded = Folded::default();
        assert_eq!(folded.fold(b"\x03WwW\x07ExAmPlE\x03cOm\x00rest"), Some(17));
        assert_eq!(folded.as_wire(), name("www.example.com.").as_wire());
        for (skip, text) in ["www.example.com.", "example.com.", "com.", "."].iter().enumerate() {
            let (wire, suffix_hash) = folded.suffix(skip);
            assert_eq!(wire, name(text).as_wire());
            assert_eq!(suffix_hash, hash(wire));
        }
        // A boundary between labels counts: `a.bc.` is not `ab.c.`.
        assert_ne!(hash(name("a.bc.").as_wire()), hash(name("ab.c.").as_wire()));
    }

    #[test]
    fn every_octet_is_folded_as_the_standard_library_does() {
        let mut folded = Folded::default();
        for octet in 0..=u8::MAX {
            for len in 1..=LABEL_LEN_MAX {
                let mut label = [b'z', b'Z', 0xFF, 0, b'@', b'[', 0xC1, 0x5A].repeat(8);
                label[len] = octet;
                label[0] = u8::try_from(len).unwrap();
                let wire = [&label[..=len], b"\x00"].concat();
                assert_eq!(folded.fold(&wire), Some(wire.len()));
                assert_eq!(folded.as_wire(), wire.to_ascii_lowercase());
            }
        }
    }

    #[test]
    fn names_are_the_same_octet_by_octet() {
        let name = [7_u8; 40];
        for len in 0..=name.len() {
            assert!(is_same(&name[..len], &[7; 40][..len]));
            assert!(len == 0 || !is_same(&name[..len], &name[1..len]));
            for at in 0..len {
                let mut other = name;
                other[at] = 8;
                assert!(!is_same(&name[..len], &other[..len]), "{at} of {len}");
            }
        }
    }

    /// Whatever lies behind a name, however long its labels are.
    #[test]
    fn a_name_is_folded_whatever_lies_behind_it() {
        let mut folded = Folded::default();
        for len in 1..=LABEL_LEN_MAX {
            let label = [&[u8::try_from(len).unwrap()][..], &vec![b'Q'; len]].concat();
            let wire = [&label[..], b"\x02eX\x00"].concat();
            let expect = Name::from_wire(&wire).unwrap();
            for behind in [&b""[..], b"A", b"ABCDEFG", b"ABCDEFGHIJKL"] {
                let packet = [&wire, behind].concat();
                assert_eq!(folded.fold(&packet), Some(wire.len()));
                assert_eq!(folded.as_wire(), expect.as_wire());
                assert_eq!(folded.suffix(0).1, hash(expect.as_wire()));
            }
        }
    }

    #[test]
    fn what_is_no_name_is_not_folded() {
        let mut folded = Folded::default();
        let too_long = [[63_u8; 64]; 4].concat();
        for octets in [&b""[..], b"\x01", b"\x40a\x00", b"\xC0\x0C", b"\x03www", &too_long] {
            assert_eq!(folded.fold(octets), None, "{octets:?}");
            assert_eq!(name_len(octets), None, "{octets:?}");
        }
        let mut longest = [[63_u8; 64]; 3].concat();
        longest.extend([61; 62]);
        longest.push(0);
        assert_eq!(folded.fold(&longest), Some(NAME_LEN_MAX));
    }
}
