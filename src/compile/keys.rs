//! Keys: the tokens by which callers of the API are known, and what each lets them do.
//!
//! A file holds one a line, `NAME SCOPE sha256:HEX`, and no token: whoever reads the file cannot call.
//! A token is 256 bits of chance, so that a hash that is fast is enough. A file with nothing but one
//! token in one line is known, too; it lets its bearer do everything.
//!
//! # Invariants
//!
//! - No complaint, no log and no `Debug` shows a token or a line that may hold one.
//! - How long a token is compared says nothing of how much of it is right.
//!
//! Not here: which call takes which scope (`api`).

use std::{fmt, path::Path, str::FromStr, sync::Arc};

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

use super::source::{read_octets, source_error};
use crate::{
    config::{Place, Report, suggest},
    limits::{API_KEY_NAME_LEN_MAX, API_KEYS_MAX, API_TOKEN_LEN_MIN},
};

/// What a token lets its bearer do; each more than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Ask.
    Read,
    /// Set overrides and dials, send heartbeats and measurements.
    Operate,
    /// Everything.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Read, Self::Operate, Self::Admin];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|it| it.as_str() == text).ok_or("`read`, `operate` or `admin`")
    }
}

/// What a token comes to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; SHA256_OUTPUT_LEN]);

impl Digest {
    /// That of a token.
    #[must_use]
    pub fn of(token: &[u8]) -> Self {
        Self(digest(&SHA256, token).as_ref().try_into().expect("SHA-256 has as many octets"))
    }

    fn read(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("sha256:").filter(|it| it.len() == 2 * SHA256_OUTPUT_LEN)?;
        let mut octets = [0; SHA256_OUTPUT_LEN];
        for (octet, pair) in octets.iter_mut().zip(hex.as_bytes().chunks(2)) {
            let pair = str::from_utf8(pair).ok()?;
            // `from_str_radix` would read `+f` as well.
            let is_hex = pair.bytes().all(|it| it.is_ascii_hexdigit());
            *octet = is_hex.then(|| u8::from_str_radix(pair, 16).ok())??;
        }
        Some(Self(octets))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|it| write!(f, "{it:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest")
    }
}

/// A token, and what it lets its bearer do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The name of its bearer; none: the file holds the token alone.
    pub name: Option<Arc<str>>,
    /// What it lets him do.
    pub scope: Scope,
    digest: Digest,
}

/// Every token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys(Box<[Key]>);

impl Keys {
    /// The key that a token is. All of them are looked at, in a time that says nothing of any.
    #[must_use]
    pub fn find(&self, token: &[u8]) -> Option<&Key> {
        let given = Digest::of(token);
        let mut found = u32::MAX;
        for (idx, key) in (0..).zip(&self.0) {
            found.conditional_assign(&idx, key.digest.0.ct_eq(&given.0));
        }
        self.0.get(usize::try_from(found).ok()?)
    }

    /// Whether asking takes a token, too: it does as soon as there is one for nothing else.
    #[must_use]
    pub fn guard_reading(&self) -> bool {
        self.0.iter().any(|it| it.scope == Scope::Read)
    }
}

/// The line of a token in the file.
#[must_use]
pub fn line(name: &str, scope: Scope, digest: Digest) -> String {
    format!("{name} {scope} {digest}\n")
}

/// Reads the tokens of a file that `place` names.
pub(super) fn read(place: Place, path: &Path, report: &Report) -> Option<Keys> {
    let octets = match read_octets(path) {
        Ok((octets, _)) => octets,
        Err(error) => {
            source_error(report, place, path, &error);
            return None;
        }
    };
    match parse(&octets) {
        Ok(keys) => Some(keys),
        Err(wrongs) => {
            for Wrong { line, message, hint } in wrongs {
                let path = path.display();
                let at =
                    line.map_or(format!("`{path}`"), |line| format!("line {line} of `{path}`"));
                report.say(place, format!("{at} {message}"), hint);
            }
            None
        }
    }
}

/// What keeps a file from being one of tokens to which a line can be added with this name.
///
/// # Errors
///
/// Says what, in a sentence that begins with the file.
pub fn may_add(octets: &[u8], name: &str) -> Result<(), String> {
    if !is_name(name) {
        return Err(format!("`{name}` is no name: {NAME_HINT}"));
    }
    if octets.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    let keys = parse(octets).map_err(|wrongs| {
        let Wrong { line, message, .. } = &wrongs[0];
        line.map_or(format!("it {message}"), |line| format!("line {line} of it {message}"))
    })?;
    match keys.0.iter().find(|it| it.name.as_deref().is_none_or(|it| it == name)) {
        Some(Key { name: None, .. }) => Err("it holds one token and nothing else".to_owned()),
        Some(_) => Err(format!("it has a token `{name}` already")),
        None => Ok(()),
    }
}

/// Something that is wrong with a file of tokens.
struct Wrong {
    line: Option<usize>,
    message: String,
    hint: String,
}

const LINE_HINT: &str = "write `NAME SCOPE sha256:HEX`; `evenkeel token new` makes such a line";
const NAME_HINT: &str = "write up to 64 letters, digits, `-`, `_`, `.` and `@`";

fn parse(octets: &[u8]) -> Result<Keys, Vec<Wrong>> {
    let wrong = |line, message: &str, hint: &str| Wrong {
        line,
        message: message.to_owned(),
        hint: hint.to_owned(),
    };
    let Ok(text) = str::from_utf8(octets) else {
        return Err(vec![wrong(None, "has octets that are no printable ASCII", LINE_HINT)]);
    };
    let lines = || (1..).zip(text.lines().map(str::trim)).filter(|(_, it)| !it.is_empty());
    let said = || lines().filter(|(_, it)| !it.starts_with('#'));
    if let (Some((_, token)), 1) = (lines().next(), lines().count())
        && !token.contains(char::is_whitespace)
    {
        return Ok(Keys([plain(token).map_err(|it| vec![it])?].into()));
    }
    let (mut keys, mut wrongs): (Vec<Key>, Vec<Wrong>) = (Vec::new(), Vec::new());
    for (number, line) in said() {
        match key(line) {
            Ok(key) if keys.iter().any(|it| it.name == key.name) => {
                wrongs.push(wrong(
                    Some(number),
                    "has a name that is there already",
                    "choose another",
                ));
            }
            Ok(key) if keys.iter().any(|it| it.digest == key.digest) => {
                wrongs.push(wrong(
                    Some(number),
                    "has a token that is there already",
                    "make another",
                ));
            }
            Ok(key) => keys.push(key),
            Err((message, hint)) => wrongs.push(wrong(Some(number), &message, &hint)),
        }
    }
    if API_KEYS_MAX < keys.len() {
        wrongs.push(wrong(None, "has too many tokens", &format!("leave at most {API_KEYS_MAX}")));
    }
    if keys.is_empty() && wrongs.is_empty() {
        wrongs.push(wrong(None, "is empty", LINE_HINT));
    }
    if wrongs.is_empty() { Ok(Keys(keys.into())) } else { Err(wrongs) }
}

/// The one token of a file that holds nothing else.
fn plain(token: &str) -> Result<Key, Wrong> {
    let wrong = |message: &str| Wrong {
        line: None,
        message: message.to_owned(),
        hint: "`evenkeel token new` makes one that cannot be guessed".to_owned(),
    };
    if !token.bytes().all(|it| it.is_ascii_graphic()) {
        return Err(wrong("has octets that are no printable ASCII"));
    }
    if token.len() < API_TOKEN_LEN_MIN {
        return Err(wrong(&format!("has a token of less than {API_TOKEN_LEN_MIN} characters")));
    }
    Ok(Key { name: None, scope: Scope::Admin, digest: Digest::of(token.as_bytes()) })
}

fn key(line: &str) -> Result<Key, (String, String)> {
    let no = |message: &str, hint: &str| (message.to_owned(), hint.to_owned());
    let words: Vec<&str> = line.split_whitespace().collect();
    let &[name, scope, digest] = words.as_slice() else {
        return Err(no("is no name, scope and hash", LINE_HINT));
    };
    if !is_name(name) {
        return Err(no("begins with no name", NAME_HINT));
    }
    let scope = scope.parse().map_err(|_| {
        let hint = suggest(scope, Scope::ALL.map(Scope::as_str), "there are");
        ("names no scope".to_owned(), hint)
    })?;
    let digest = Digest::read(digest).ok_or_else(|| no("ends with no hash", LINE_HINT))?;
    Ok(Key { name: Some(name.into()), scope, digest })
}

fn is_name(text: &str) -> bool {
    let is_known = |it: u8| it.is_ascii_alphanumeric() || b"-_.@".contains(&it);
    (1..=API_KEY_NAME_LEN_MAX).contains(&text.len()) && text.bytes().all(is_known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        let wrongs = parse(text.as_bytes()).expect_err(text);
        let said = |it: &Wrong| format!("{:?} {}", it.line, it.message);
        wrongs.iter().map(said).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn tokens_are_found_by_what_they_are() {
        let lines = [("ann", Scope::Admin), ("board", Scope::Read), ("job", Scope::Operate)];
        let text: String = lines
            .iter()
            .map(|(name, scope)| line(name, *scope, Digest::of(name.as_bytes())))
            .collect();
        let keys = parse(format!("# Ours.\n\n{text}").as_bytes()).ok().expect("it is right");
        for (name, scope) in lines {
            let key = keys.find(name.as_bytes()).expect("it is there");
            assert_eq!((key.name.as_deref(), key.scope), (Some(name), scope));
        }
        assert!(keys.guard_reading());
        for other in ["", "an", "annn", "Ann"] {
            assert!(keys.find(other.as_bytes()).is_none(), "{other}");
        }
        assert!(!format!("{keys:?}").contains(&Digest::of(b"ann").to_string()));
    }

    #[test]
    fn one_token_alone_is_everything() {
        let keys = parse(b"correct-horse-battery\r\n").ok().expect("it is right");
        let key = keys.find(b"correct-horse-battery").expect("it is there");
        assert_eq!((&key.name, key.scope), (&None, Scope::Admin));
        assert!(!keys.guard_reading());
    }

    #[test]
    fn what_is_wrong_is_said_without_the_line() {
        let hash = Digest::of(b"x").to_string();
        assert_eq!(wrong(""), "None is empty");
        assert_eq!(wrong("# nothing yet\n"), "None is empty");
        assert!(wrong("short").contains("less than"));
        assert_eq!(wrong("a b"), "Some(1) is no name, scope and hash");
        assert_eq!(wrong(&format!("a raed {hash}")), "Some(1) names no scope");
        assert_eq!(wrong(&format!("a/b read {hash}")), "Some(1) begins with no name");
        assert_eq!(wrong("a read sha256:12"), "Some(1) ends with no hash");
        let twice = format!("a read {hash}\nb read {hash}\na read {}", Digest::of(b"y"));
        let expect =
            "Some(2) has a token that is there already; Some(3) has a name that is there already";
        assert_eq!(wrong(&twice), expect);
    }

    #[test]
    fn a_line_is_added_to_what_takes_it() {
        let text = line("ann", Scope::Read, Digest::of(b"x"));
        assert_eq!(may_add(b"", "ann"), Ok(()));
        assert_eq!(may_add(text.as_bytes(), "bob"), Ok(()));
        assert_eq!(may_add(text.as_bytes(), "ann"), Err("it has a token `ann` already".into()));
        assert!(may_add(b"correct-horse-battery\n", "ann").is_err());
        assert!(may_add(b"", "a b").is_err());
    }
}
