//! Overrides and dials: the operator's word over the verdicts.
//!
//! An override is a pattern and a state; it holds for every endpoint that the pattern means:
//!
//! ```text
//!   us-east-1                    a region, or a pool
//!   www.example.com              a name
//!   www.example.com/us-east-1    a pool of a name
//!   198.51.100.*                 addresses; `*` is any run of characters
//! ```
//!
//! Of several that hold for an endpoint the latest counts. A dial is the share of its normal traffic
//! that a region may get now.
//!
//! # Invariants
//!
//! - Pure: the time is an argument. Who expires is told by [`Overrides::expire`], once.
//! - Ids ascend and are not used twice.
//!
//! Not here: whether something may be set (`apply`), what it does to an answer (`steer`), and that it
//! survives a restart (`journal`).

use std::{collections::BTreeMap, fmt, time::SystemTime};

/// What an operator says of endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Word {
    /// They are up, whatever the probes say.
    Up,
    /// They failed: no answers; a failure like any other.
    Down,
    /// They are withdrawn on purpose: no answers, and no failure.
    Drain,
}

/// An operator's word, with what he says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Its number.
    pub id: u64,
    /// Which endpoints it is about.
    pub target: Pattern,
    /// What is said of them.
    pub word: Word,
    /// Why, and who, and until when.
    pub note: Note,
}

/// The share of its normal traffic that a region may get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dial {
    /// 0 to 100.
    pub percent: u8,
    /// Why, and who, and until when.
    pub note: Note,
}

/// What stands beside every act of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Why.
    pub reason: String,
    /// Who.
    pub author: String,
    /// Since when.
    pub since: SystemTime,
    /// Until when; none: until it is taken back.
    pub until: Option<SystemTime>,
}

/// A pattern over the ways to name an endpoint; `*` is any run of characters. In lower case and
/// without a final dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern(String);

/// The ways to name an endpoint.
#[derive(Debug, Clone)]
pub struct Endpoint<'e> {
    /// The steered name, without a final dot.
    pub name: &'e str,
    /// The pool.
    pub pool: &'e str,
    /// The region, if the pool is in one.
    pub region: Option<&'e str>,
    /// The address or target, without a final dot.
    pub address: &'e str,
}

/// What the operators say now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    words: BTreeMap<u64, Override>,
    dials: BTreeMap<String, Dial>,
    id_last: u64,
}

impl Overrides {
    /// Adds an override and gives its id.
    pub fn add(&mut self, target: Pattern, word: Word, note: Note) -> u64 {
        self.id_last += 1;
        let id = self.id_last;
        self.words.insert(id, Override { id, target, word, note });
        id
    }

    /// Puts back what was kept over a restart.
    pub fn restore(&mut self, it: Override) {
        self.id_last = self.id_last.max(it.id);
        self.words.insert(it.id, it);
    }

    /// Goes on behind this id, which was given before a restart.
    pub fn restore_id(&mut self, id_last: u64) {
        self.id_last = self.id_last.max(id_last);
    }

    /// The id that was given last.
    #[must_use]
    pub fn id_last(&self) -> u64 {
        self.id_last
    }

    /// Takes one back; none: there is none with this id.
    pub fn remove(&mut self, id: u64) -> Option<Override> {
        self.words.remove(&id)
    }

    /// Sets the dial of a region; 100 percent is no dial.
    pub fn dial(&mut self, region: &str, dial: Dial) {
        if dial.percent == 100 {
            self.dials.remove(region);
        } else {
            self.dials.insert(region.to_owned(), dial);
        }
    }

    /// Whether there is neither an override nor a dial.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty() && self.dials.is_empty()
    }

    /// Whether there is an override.
    #[must_use]
    pub fn has_words(&self) -> bool {
        !self.words.is_empty()
    }

    /// The override with this id.
    #[must_use]
    pub fn by_id(&self, id: u64) -> Option<&Override> {
        self.words.get(&id)
    }

    /// The overrides, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Override> {
        self.words.values()
    }

    /// The dials, by region.
    pub fn dials(&self) -> impl Iterator<Item = (&str, &Dial)> {
        self.dials.iter().map(|(region, dial)| (region.as_str(), dial))
    }

    /// The latest override that is about an endpoint.
    #[must_use]
    pub fn of(&self, endpoint: &Endpoint<'_>) -> Option<&Override> {
        self.words.values().rev().find(|it| it.target.means(endpoint))
    }

    /// The dial of a region, in percent.
    #[must_use]
    pub fn percent(&self, region: Option<&str>) -> u8 {
        region.and_then(|it| self.dials.get(it)).map_or(100, |dial| dial.percent)
    }

    /// Takes back what has come to its end, and gives it.
    pub fn expire(&mut self, now: SystemTime) -> (Vec<Override>, Vec<(String, Dial)>) {
        let is_over = |note: &Note| note.until.is_some_and(|until| until <= now);
        let overrides = self.words.extract_if(.., |_, it| is_over(&it.note));
        let overrides = overrides.map(|(_, it)| it).collect();
        let dials = self.dials.extract_if(.., |_, it| is_over(&it.note)).collect();
        (overrides, dials)
    }

    /// When something comes to its end next.
    #[must_use]
    pub fn next_end(&self) -> Option<SystemTime> {
        let notes = self.words.values().map(|it| &it.note);
        notes.chain(self.dials.values().map(|it| &it.note)).filter_map(|it| it.until).min()
    }
}

impl Pattern {
    /// Reads a pattern; none when it is empty or holds a space.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text).to_lowercase().replace("./", "/");
        let is_right = !text.is_empty() && !text.contains(char::is_whitespace);
        is_right.then_some(Self(text))
    }

    /// Whether an endpoint is meant.
    #[must_use]
    pub fn means(&self, endpoint: &Endpoint<'_>) -> bool {
        self.means_in_any_name(endpoint) || self.means_in_this_name(endpoint)
    }

    /// Whether an endpoint is meant because of the name that it is of, and would not be in another.
    #[must_use]
    pub fn means_by_name(&self, endpoint: &Endpoint<'_>) -> bool {
        !self.means_in_any_name(endpoint) && self.means_in_this_name(endpoint)
    }

    fn means_in_any_name(&self, Endpoint { pool, region, address, .. }: &Endpoint<'_>) -> bool {
        region.is_some_and(|it| self.is(it)) || self.is(pool) || self.is(address)
    }

    fn means_in_this_name(&self, Endpoint { name, pool, address, .. }: &Endpoint<'_>) -> bool {
        self.is(name)
            || self.is(&format!("{name}/{pool}"))
            || self.is(&format!("{name}/{pool}/{address}"))
    }

    fn is(&self, text: &str) -> bool {
        matches(self.0.as_bytes(), text.to_lowercase().as_bytes())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Drain => "drain",
        })
    }
}

/// Whether a text is what a pattern says: the greedy walk that goes back to the last `*`, so that it
/// costs no more than the product of the lengths.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut in_text) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while in_text < text.len() {
        match (pattern.get(at), star) {
            (Some(b'*'), _) => {
                star = Some((at, in_text));
                at += 1;
            }
            (Some(octet), _) if *octet == text[in_text] => {
                at += 1;
                in_text += 1;
            }
            (_, Some((star_at, begin))) => {
                star = Some((star_at, begin + 1));
                at = star_at + 1;
                in_text = begin + 1;
            }
            (_, None) => return false,
        }
    }
    pattern[at..].iter().all(|octet| *octet == b'*')
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn note(until: Option<u64>) -> Note {
        let at = |secs| SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        let (reason, author) = ("maintenance".to_owned(), "ops".to_owned());
        Note { reason, author, since: at(0), until: until.map(at) }
    }

    const ENDPOINT: Endpoint<'_> = Endpoint {
        name: "www.example.com",
        pool: "blue",
        region: Some("us-east-1"),
        address: "198.51.100.10",
    };

    #[test]
    fn a_pattern_means_endpoints() {
        let check = |pattern: &str, expect| {
            assert_eq!(Pattern::new(pattern).unwrap().means(&ENDPOINT), expect, "{pattern}");
        };
        for pattern in [
            "us-east-1",
            "us-*",
            "blue",
            "WWW.Example.com.",
            "*.example.com",
            "www.example.com/blue",
            "www.example.com./blue",
            "*/blue",
            "www.example.com/blue/198.51.100.10",
            "198.51.100.*",
            "*",
        ] {
            check(pattern, true);
        }
        for pattern in
            ["us-east", "eu-*", "example.com", "www.example.com/green", "198.51.10.*", "a*b*c*d"]
        {
            check(pattern, false);
        }
        assert_eq!(Pattern::new(""), None);
        assert_eq!(Pattern::new("a b"), None);
    }

    #[test]
    fn the_latest_counts() {
        let mut overrides = Overrides::default();
        let target = |text| Pattern::new(text).unwrap();
        let first = overrides.add(target("us-east-1"), Word::Down, note(None));
        let second = overrides.add(target("198.51.100.10"), Word::Up, note(None));
        assert_eq!(overrides.of(&ENDPOINT).unwrap().word, Word::Up);
        overrides.remove(second);
        assert_eq!(overrides.of(&ENDPOINT).unwrap().word, Word::Down);
        overrides.remove(first);
        assert_eq!(overrides.of(&ENDPOINT), None);
        assert_eq!(
            overrides.add(target("x"), Word::Drain, note(None)),
            3,
            "ids are not used twice"
        );
    }

    #[test]
    fn what_has_an_end_ends_once() {
        let at = |secs| SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        let mut overrides = Overrides::default();
        overrides.add(Pattern::new("a").unwrap(), Word::Down, note(Some(10)));
        overrides.add(Pattern::new("b").unwrap(), Word::Down, note(None));
        overrides.dial("us-east-1", Dial { percent: 50, note: note(Some(20)) });
        assert_eq!(overrides.percent(Some("us-east-1")), 50);
        assert_eq!(overrides.percent(None), 100);
        assert_eq!(overrides.next_end(), Some(at(10)));
        assert_eq!(overrides.expire(at(9)), (vec![], vec![]));
        assert_eq!(overrides.expire(at(10)).0.len(), 1);
        assert_eq!(overrides.next_end(), Some(at(20)));
        assert_eq!(overrides.expire(at(30)).1.len(), 1);
        assert_eq!(overrides.percent(Some("us-east-1")), 100);
        assert_eq!((overrides.next_end(), overrides.iter().count()), (None, 1));
    }
}
