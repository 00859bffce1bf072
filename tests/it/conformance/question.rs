//! The questions: every name of the zones and what is around it, in many types.

use std::{collections::BTreeSet, fmt, fs, path::Path};

use evenkeel::dice::Roll;

use super::ZONES;

/// QTYPE *.
pub(super) const ANY: u16 = 255;

/// A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, DNAME, DS, ANY, CAA, and what nobody knows.
const TYPES: [u16; 14] = [1, 2, 5, 6, 12, 15, 16, 28, 33, 39, 43, ANY, 257, 65280];

/// The labels of a name from left to right.
type Labels = Vec<Vec<u8>>;

/// A question.
#[derive(Debug, Clone)]
pub(super) struct Question {
    labels: Labels,
    pub(super) rtype: u16,
    id: u16,
}

/// Every question, in an order and a case of letters that are the same in every run.
pub(super) fn all() -> Vec<Question> {
    let mut names = BTreeSet::new();
    for zone in ZONES {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/conformance/{zone}.zone"));
        let text = fs::read_to_string(path).expect("the zones are in the tree");
        for owner in owners(&text, zone) {
            around(&owner, &mut names);
        }
    }
    for outside in
        ["elsewhere.invalid", "test", "", "notconf.test", "xconf.test", "www.xother.test"]
    {
        names.insert(labels(outside));
    }
    names.insert(longest_below("dnlong.conf.test"));
    names.insert(longest_below("dn.conf.test"));
    names.insert(longest_below("anything.cwild.conf.test"));
    let mut roll = Roll(0x0E7E);
    let mut questions = Vec::new();
    for name in names {
        for rtype in TYPES {
            let id = u16::try_from(roll.bits() & 0xFFFF).expect("it is masked");
            questions.push(Question { labels: mixed_case(&name, &mut roll), rtype, id });
        }
    }
    questions
}

impl Question {
    /// For the SOA of a zone.
    pub(super) fn apex(zone: &str) -> Self {
        Self { labels: labels(zone), rtype: 6, id: 0 }
    }

    /// The same about another name, which is in presentation format.
    pub(super) fn retargeted(&self, name: &str) -> Self {
        Self { labels: labels(name), ..self.clone() }
    }

    /// Whether it leads into one of the zones' loops.
    pub(super) fn loops(&self) -> bool {
        let text = self.to_string().to_ascii_lowercase();
        ["loop", "cself"].iter().any(|it| text.contains(it))
    }

    /// The message; RD is set in every other one, since it has to be repeated.
    pub(super) fn to_wire(&self, edns: bool) -> Vec<u8> {
        let mut wire = self.id.to_be_bytes().to_vec();
        wire.extend([u8::from(self.id & 2 != 0), 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)]);
        for label in &self.labels {
            wire.push(u8::try_from(label.len()).expect("a label has at most 63 octets"));
            wire.extend(label);
        }
        wire.push(0);
        wire.extend(self.rtype.to_be_bytes());
        wire.extend(1_u16.to_be_bytes());
        if edns {
            // The root, OPT, 1232 octets, version 0 without flags, no options.
            wire.extend([0, 0, 41, 0x04, 0xD0, 0, 0, 0, 0, 0, 0]);
        }
        wire
    }

    /// Octets of the header and the question, which a reply repeats.
    pub(super) fn echoed_len(&self) -> usize {
        12 + self.labels.iter().map(|label| label.len() + 1).sum::<usize>() + 1 + 4
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for label in &self.labels {
            write!(f, "{}.", label.escape_ascii())?;
        }
        write!(f, " type {}", self.rtype)
    }
}

/// The names at the start of the lines of a master file.
fn owners(text: &str, zone: &str) -> Vec<Labels> {
    let lines = text.lines().filter(|line| !line.starts_with([';', '$', ' ', '\t']));
    let words = lines.filter_map(|line| line.split_ascii_whitespace().next());
    words
        .map(|word| if word == "@" { labels(zone) } else { labels(&format!("{word}.{zone}")) })
        .collect()
}

/// Adds `name`, all names above it, and names below and beside it that are not in any file.
fn around(name: &Labels, names: &mut BTreeSet<Labels>) {
    for above in 0..name.len() {
        names.insert(name[above..].to_vec());
    }
    for below in ["x", "a.b", "*", "*.x", "x.*", "in", "host", "ns1"] {
        names.insert([labels(below), name.clone()].concat());
    }
    if let Some(asterisk) = name.iter().position(|label| label == b"*") {
        for other in ["x", "a.b"] {
            let expanded = [&name[..asterisk], &labels(other), &name[asterisk + 1..]].concat();
            names.insert(expanded);
        }
    }
    // A neighbour: one octet more, which sorts right after.
    let mut beside = name.clone();
    beside[0].push(b'0');
    names.insert(beside);
}

/// The longest name below `parent`: what a DNAME cannot lengthen any more (RFC 6672 section 2.2).
fn longest_below(parent: &str) -> Labels {
    let parent = labels(parent);
    let taken: usize = parent.iter().map(|label| label.len() + 1).sum::<usize>() + 1;
    let mut name = Labels::new();
    let mut room = 255 - taken;
    while 1 < room {
        // A label needs at least two octets, so one may not be left over.
        let len = if room == 65 { 62 } else { (room - 1).min(63) };
        name.push(vec![b'l'; len]);
        room -= len + 1;
    }
    name.extend(parent);
    name
}

/// The labels of a name in presentation format; a final dot makes no difference.
fn labels(text: &str) -> Labels {
    let mut labels = Labels::new();
    let mut label = Vec::new();
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        match octet {
            b'.' => labels.push(std::mem::take(&mut label)),
            b'\\' => {
                let escaped = octets.next().expect("something is escaped");
                if escaped.is_ascii_digit() {
                    let rest = [octets.next(), octets.next()].map(|it| it.expect("three digits"));
                    let digits = [escaped, rest[0], rest[1]].map(|digit| u32::from(digit - b'0'));
                    let value = digits[0] * 100 + digits[1] * 10 + digits[2];
                    label.push(u8::try_from(value).expect("an octet"));
                } else {
                    label.push(escaped);
                }
            }
            _ => label.push(octet),
        }
    }
    if !label.is_empty() {
        labels.push(label);
    }
    labels
}

/// The name with letters in either case.
fn mixed_case(name: &Labels, roll: &mut Roll) -> Labels {
    let mut name = name.clone();
    for octet in name.iter_mut().flatten() {
        if roll.bits() & 1 == 0 {
            *octet = octet.to_ascii_uppercase();
        } else {
            *octet = octet.to_ascii_lowercase();
        }
    }
    name
}
