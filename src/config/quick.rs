//! The quick way through YAML that is written as most is: one pass, no events, no copies.
//!
//! ```text
//!   text --quick--> Node        what it knows: block mappings, block lists of values, and on one
//!      \                        line scalars, quotes without escapes, `{}` and `[]`; comments
//!       `--events-> Node        all else, and whatever is wrong
//! ```
//!
//! A zone of a million records takes seconds by way of the events.
//!
//! # Invariants
//!
//! - What is read here is read as `tree` would by way of the events: to the place. A test compares
//!   the two.
//! - It complains of nothing: what it does not know, it leaves to the events.
//!
//! Not here: what a mistake is called (`tree`).

use std::{borrow::Cow, collections::HashSet};

use super::{Data, Node};
use crate::limits::YAML_DEPTH_MAX;

/// The tree of a text; none where there is anything that is not known here.
pub(super) fn parse(text: &str) -> Option<Node<'_>> {
    let mut reader = Reader { rest: text, line: 0, current: None };
    reader.advance()?;
    let node = reader.block(0, 0)?;
    reader.current.is_none().then_some(node)
}

/// The keys and values of a mapping.
pub type Pairs<'t> = Vec<(Node<'t>, Node<'t>)>;

/// A file that ends in a long block mapping, cut so that the tree of it need never be there whole.
#[derive(Debug)]
pub struct Pieces<'t> {
    /// What stands before the key of that mapping.
    pub head: &'t str,
    /// The mapping; each key and its value are in one of them.
    pub pieces: Vec<Piece<'t>>,
}

/// Some lines of a block mapping.
#[derive(Debug)]
pub struct Piece<'t> {
    text: &'t str,
    /// Lines before it in the file.
    line: u32,
    indent: usize,
}

impl<'t> Pieces<'t> {
    /// Cuts a file whose last key is `key` into pieces of about so many octets; none where that is
    /// not how it is written.
    #[must_use]
    pub fn cut(text: &'t str, key: &str, len: usize) -> Option<Self> {
        let key = format!("\n{key}:");
        let at = text.find(&key)?;
        let (head, rest) = text.split_at(at + 1);
        let (line, body) = rest[key.len() - 1..].split_once('\n')?;
        if !line.trim_start_matches(' ').is_empty() {
            return None;
        }
        let lines = || body.split('\n');
        let has_content =
            |it: &&str| !it.trim_start().is_empty() && !it.trim_start().starts_with('#');
        let first = lines().find(has_content)?;
        let indent = first.len() - first.trim_start_matches(' ').len();
        if indent == 0 {
            return None;
        }
        let mut pieces = Vec::with_capacity(body.len() / len + 1);
        let mut rest = body;
        let mut line = count_lines(head)? + 1;
        while !rest.is_empty() {
            let (text, after) = rest.split_at(piece_len(rest, indent, len));
            pieces.push(Piece { text, line, indent });
            line += count_lines(text)?;
            rest = after;
        }
        Some(Self { head, pieces })
    }
}

impl<'t> Piece<'t> {
    /// The keys and values; none where there is anything that is not known here.
    #[must_use]
    pub fn parse(&self) -> Option<Pairs<'t>> {
        let mut reader = Reader { rest: self.text, line: self.line, current: None };
        reader.advance()?;
        if reader.current.is_none() {
            return Some(Vec::new());
        }
        if reader.current?.indent != self.indent {
            return None;
        }
        let pairs = reader.pairs(1)?;
        reader.current.is_none().then_some(pairs)
    }
}

/// The length of a piece of about so many octets, which ends before a line with a key.
fn piece_len(text: &str, indent: usize, len: usize) -> usize {
    let octets = text.as_bytes();
    let mut at = len;
    while let Some(end) = octets.get(at..).and_then(|it| it.iter().position(|it| *it == b'\n')) {
        at += end + 1;
        let line = &octets[at..];
        let is_indented = line.len() > indent && line[..indent].iter().all(|it| *it == b' ');
        // A list may stand as far left as its key.
        if is_indented && !b" #-\n\r\t".contains(&line[indent]) {
            return at;
        }
    }
    text.len()
}

fn count_lines(text: &str) -> Option<u32> {
    u32::try_from(text.bytes().filter(|it| *it == b'\n').count()).ok()
}

/// What ends a scalar without quotes in brackets.
const BRACKETS: &[u8] = b",[]{}";

/// Octets of a key. What is longer is not one, by the events, or it is rare.
const KEY_LEN_MAX: usize = 512;

/// A line that is not empty, without its indentation, its comment and the spaces at its end.
#[derive(Debug, Clone, Copy)]
struct Line<'t> {
    text: &'t str,
    number: u32,
    indent: usize,
}

struct Reader<'t> {
    /// What follows the current line.
    rest: &'t str,
    /// The number of the current line.
    line: u32,
    /// None: at the end.
    current: Option<Line<'t>>,
}

impl<'t> Reader<'t> {
    /// Goes to the next line that holds anything; none where that line is not known here.
    fn advance(&mut self) -> Option<()> {
        loop {
            if self.rest.is_empty() {
                self.current = None;
                return Some(());
            }
            let end = memchr(b'\n', self.rest).unwrap_or(self.rest.len());
            let line = &self.rest[..end];
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
            self.line += 1;
            let content = line.trim_start_matches(' ');
            if content.is_empty() {
                continue;
            }
            if content.starts_with('#') {
                let is_odd = |it: char| (it.is_control() && it != '\t') || it == '\u{FEFF}';
                if content.contains(is_odd) {
                    return None;
                }
                continue;
            }
            // Tabs, carriage returns and what is not ASCII have rules of their own, and so have
            // directives and the ends of documents. A column counts characters: here, octets.
            let is_known = content.bytes().all(|it| (b' '..=b'~').contains(&it));
            let indent = line.len() - content.len();
            let is_mark =
                indent == 0 && ["---", "...", "%"].iter().any(|it| content.starts_with(it));
            let number = self.line;
            self.current = Some(Line { text: content.trim_end_matches(' '), number, indent });
            return (is_known && !is_mark).then_some(());
        }
    }

    /// A mapping or a list whose first line is the current one, indented by `indent` at least.
    fn block(&mut self, indent: usize, depth: usize) -> Option<Node<'t>> {
        let line = self.current.filter(|it| indent <= it.indent && depth < YAML_DEPTH_MAX)?;
        if line.text.starts_with("- ") {
            return self.list(line.indent, depth);
        }
        let number = |it| u32::try_from(it).ok();
        let (at, column) = (line.number, number(line.indent + 1)?);
        let pairs = self.pairs(depth)?;
        Some(Node { line: at, column, data: Data::Map(pairs.into()) })
    }

    /// What is in a mapping whose first key is in the current line.
    fn pairs(&mut self, depth: usize) -> Option<Pairs<'t>> {
        let line = self.current?;
        let mut pairs = Pairs::new();
        while let Some(at) = self.current.filter(|it| it.indent == line.indent) {
            let mut cursor = Cursor::new(at);
            let key = cursor.key(b"")?;
            let value = if cursor.is_at_end() {
                self.advance()?;
                let next = self.current?;
                // A list may stand as far left as its key.
                let is_list = next.indent == line.indent && next.text.starts_with("- ");
                let mut value = self.block(line.indent + usize::from(!is_list), depth + 1)?;
                if is_list && let Data::List(nodes) = &value.data {
                    // The events say that such a list begins with its first value.
                    let first = nodes.first()?;
                    (value.line, value.column) = (first.line, first.column);
                }
                value
            } else {
                let value = cursor.value(depth + 1)?;
                cursor.end()?;
                self.advance()?;
                value
            };
            pairs.push((key, value));
        }
        // What is indented more goes on with a value, or is a mistake.
        if self.current.is_some_and(|it| line.indent < it.indent) {
            return None;
        }
        are_keys(&pairs).then_some(pairs)
    }

    /// A list of values of one line each.
    fn list(&mut self, indent: usize, depth: usize) -> Option<Node<'t>> {
        let line = self.current?.number;
        let mut nodes = Vec::new();
        while let Some(at) = self.current.filter(|it| it.indent == indent) {
            if !at.text.starts_with("- ") {
                break;
            }
            let mut cursor = Cursor::new(at);
            cursor.at = 2;
            cursor.skip_spaces();
            nodes.push(cursor.value(depth + 1)?);
            cursor.end()?;
            self.advance()?;
        }
        if self.current.is_some_and(|it| indent < it.indent) {
            return None;
        }
        let column = u32::try_from(indent + 1).ok()?;
        Some(Node { line, column, data: Data::List(nodes.into()) })
    }
}

/// A place in a line.
struct Cursor<'t> {
    line: Line<'t>,
    at: usize,
}

impl<'t> Cursor<'t> {
    fn new(line: Line<'t>) -> Self {
        Self { line, at: 0 }
    }

    fn rest(&self) -> &'t str {
        &self.line.text[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.line.text.as_bytes().get(self.at).copied()
    }

    fn is_at_end(&self) -> bool {
        self.rest().is_empty()
    }

    fn skip_spaces(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    /// What may follow a value: nothing, or a comment.
    fn end(&mut self) -> Option<()> {
        let before = self.at;
        self.skip_spaces();
        let is_comment = before < self.at && self.peek() == Some(b'#');
        (self.is_at_end() || is_comment).then_some(())
    }

    /// A key with its colon, and the spaces behind it.
    fn key(&mut self, stops: &[u8]) -> Option<Node<'t>> {
        let begin = self.at;
        let key = self.scalar(stops)?;
        let is_short = self.at - begin <= KEY_LEN_MAX;
        let is_key = self.peek()? == b':' && is_short;
        self.at += 1;
        let is_alone = matches!(self.peek(), None | Some(b' '));
        self.skip_spaces();
        (is_key && is_alone).then_some(key)
    }

    fn node(&self, at: usize, data: Data<'t>) -> Option<Node<'t>> {
        let column = u32::try_from(self.line.indent + at + 1).ok()?;
        Some(Node { line: self.line.number, column, data })
    }

    /// A value that stands alone in a block, where commas and brackets are text.
    fn value(&mut self, depth: usize) -> Option<Node<'t>> {
        match self.peek()? {
            b'{' | b'[' => self.flow(depth),
            _ => self.scalar(b""),
        }
    }

    /// A mapping or a list in brackets.
    fn flow(&mut self, depth: usize) -> Option<Node<'t>> {
        if YAML_DEPTH_MAX <= depth {
            return None;
        }
        let begin = self.at;
        let is_map = self.peek()? == b'{';
        let close = if is_map { b'}' } else { b']' };
        // Mostly there is one.
        let mut pairs = Vec::with_capacity(usize::from(is_map));
        let mut nodes = Vec::with_capacity(usize::from(!is_map));
        self.at += 1;
        self.skip_spaces();
        while self.peek()? != close {
            let key = if is_map { Some(self.key(BRACKETS)?) } else { None };
            let value = match self.peek()? {
                b'{' | b'[' => self.flow(depth + 1)?,
                _ => self.scalar(BRACKETS)?,
            };
            match key {
                Some(key) => pairs.push((key, value)),
                None => nodes.push(value),
            }
            self.skip_spaces();
            match self.peek()? {
                b',' => self.at += 1,
                it if it == close => {}
                _ => return None,
            }
            self.skip_spaces();
        }
        self.at += 1;
        if !is_map {
            return self.node(begin, Data::List(nodes.into()));
        }
        are_keys(&pairs).then(|| Data::Map(pairs.into())).and_then(|it| self.node(begin, it))
    }

    /// A scalar; one without quotes ends before any of `stops`.
    fn scalar(&mut self, stops: &[u8]) -> Option<Node<'t>> {
        let begin = self.at;
        let first = self.peek()?;
        if first == b'"' || first == b'\'' {
            let inside = &self.rest()[1..];
            let len = memchr(first, inside)?;
            let text = &inside[..len];
            self.at += len + 2;
            // Two single quotes are one, and what follows a quote is seen by whoever asked.
            let has_escape =
                if first == b'"' { text.contains('\\') } else { self.peek() == Some(b'\'') };
            let data = Data::Quoted(Cow::Borrowed(text));
            return if has_escape { None } else { self.node(begin, data) };
        }
        // Everything else that may begin a scalar without quotes is rare.
        if !first.is_ascii_alphanumeric() && !matches!(first, b'_' | b'.' | b'/' | b'\\' | b'=') {
            return None;
        }
        let rest = self.rest().as_bytes();
        let mut len = 0;
        while let Some(byte) = rest.get(len) {
            let next = rest.get(len + 1).copied();
            match byte {
                b':' if next.is_none_or(|it| it == b' ') => break,
                // In brackets there are rules of their own of where a colon ends a key.
                b':' if !stops.is_empty() && next.is_some_and(|it| BRACKETS.contains(&it)) => {
                    return None;
                }
                b' ' if next == Some(b'#') => break,
                it if stops.contains(it) => break,
                _ => len += 1,
            }
        }
        let text = self.rest()[..len].trim_end_matches(' ');
        // A space before a colon or a comma is left to `skip_spaces` of whoever asked.
        self.at += text.len();
        self.node(begin, Data::Plain(Cow::Borrowed(text)))
    }
}

/// Whether these can be the keys of one mapping.
fn are_keys(pairs: &[(Node<'_>, Node<'_>)]) -> bool {
    let keys = || pairs.iter().map(|(key, _)| key.text().unwrap_or_default());
    if keys().any(|it| it == "<<") {
        return false;
    }
    if pairs.len() <= 8 {
        return keys().enumerate().all(|(idx, key)| keys().take(idx).all(|it| it != key));
    }
    let mut seen: HashSet<&str> = HashSet::with_capacity(pairs.len());
    keys().all(|key| seen.insert(key))
}

fn memchr(octet: u8, text: &str) -> Option<usize> {
    text.bytes().position(|it| it == octet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Report, tree};
    use proptest::prelude::*;

    /// Whether the quick way knows this; then it is as by way of the events.
    fn check(text: &str) -> bool {
        let Some(quick) = parse(text) else { return false };
        let report = Report::default();
        let file = report.add_file("f".to_owned(), text.into());
        let slow = tree::by_events(text, file, &report);
        assert_eq!(report.count(), 0, "{text:?}: {quick:?}");
        assert_eq!(slow, Some(quick), "{text:?}");
        true
    }

    #[test]
    fn what_is_known_is_the_same() {
        for text in [
            "a: b\n",
            "zone: example.com\nttl: 1h # one hour\n\n# and\nrecords:\n  \"@\": { NS: [ns1, ns2] }\n",
            "a:\n- b\n- 'c d'\nd:\n  - { e: f, g: [] }\n  - [h, {}]\ni:\n   j: \"k # l\"\n",
            "a: x:y http://b/c?d=e#f {g} \\# 4 @\n",
            "a: \"\"\nb: ''\n\"c\": d\n'e f': g  # h\n*\n",
            "  a: b\n  c: d",
        ] {
            let is_known = check(text);
            assert_eq!(is_known, !text.contains("\n*"), "{text:?}");
        }
    }

    /// Whether a file can be cut; then it is the same in pieces, however long they are.
    fn check_pieces(text: &str) -> bool {
        let mut is_known = false;
        for len in [1, 10, 40, 1000] {
            let Some(Pieces { head, pieces }) = Pieces::cut(text, "r", len) else { continue };
            let pairs: Option<Vec<_>> = pieces.iter().map(Piece::parse).collect();
            let pairs = pairs.map(|it| it.into_iter().flatten().collect::<Vec<_>>());
            let Some(pairs) = pairs.filter(|it| are_keys(it)) else { continue };
            let Some(whole) = parse(text) else {
                assert!(parse(head).is_none(), "{text:?}");
                continue;
            };
            let records = whole.value("r").map(|it| it.data.clone());
            assert_eq!(records, Some(Data::Map(pairs.into())), "{text:?}");
            is_known = true;
        }
        is_known
    }

    #[test]
    fn in_pieces() {
        let head = "zone: a\n# b\nr:\n";
        assert!(check_pieces(&format!(
            "{head}  a: b\n\n  # c\n  d:\n  - e\n  - f\n  g: {{h: i}}\n"
        )));
        assert!(check_pieces(&format!("{head}    a:\n      b: c\n      d: [e, f]\n    g: h")));
        for rest in ["", "  a: b\nc: d\n", "  a: b\n   c: d\n", "  a: |\n    x\n  b: c\n", "a: b\n"]
        {
            assert!(!check_pieces(&format!("{head}{rest}")), "{rest:?}");
        }
    }

    #[test]
    fn what_is_odd_is_left() {
        for text in [
            "",
            "a",
            "a:",
            "a: &x b",
            "a: *x",
            "a: |\n  b",
            "a: b\n  c",
            "a: 'it''s'",
            "a: \"\\n\"",
            "a: b: c",
            "a: {b, c}",
            "a: [b: c]",
            "a: {b: c",
            "- a: b",
            "-",
            "- - a",
            "a:\tb",
            "a: b\r\n",
            "---\na: b",
            "a: b\n...",
            "? a",
            "a: b\na: c",
            "<<: b",
            "a : b",
            "a: {b: c}d",
            "a: !x b",
            "a: - b",
            "a: {b:c}",
            "%a: b",
            "a: \u{E4}",
            "# a\rb: c",
            "a: b\n c: d",
            "a: [b,]x",
        ] {
            assert!(parse(text).is_none() || check(text), "{text:?}");
        }
        assert!(parse("a: b\na: c").is_none() && parse("a: b: c").is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn pieces_in_any_order(parts in prop::collection::vec(prop::sample::select(vec![
            "a", "b c", "10", ":", ": ", " ", "  ", "\n", "\n  ", "\n    ", "- ", "-", "{", "}", "[",
            "]", ",", ", ", "\"", "'", "#", " #", "\\", "&x", "*x", "!", "|", ">", "?", "? ", "@",
            "~", "=", "%", "---", "...", "\t", "\r", "\u{E4}", "<<", "a: b", "\nc: d", "x:\n  y: z",
        ]), 0..14)) {
            check(&parts.concat());
        }

        #[test]
        fn lines_that_are_nearly_right(lines in prop::collection::vec((0..4_usize, prop::sample::select(vec![
            "a: b", "b: {c: d}", "c: [e, f g]", "d:", "e: \"x y\" # z", "- a", "- b: c", "- {a: b}", "-",
            "# x", "", "f: 'g'", "g: h: i", "h: {", "}", "i: b #c", "j: a, b", "k: [a, {b: c, d: [e]}]",
            "l: {a: b, a: c}", "a : b", "m: {n: }", "o: {p:q}", "r: [,]", "s: [t,]", "u: b\\", "v: -1",
        ])), 0..7)) {
            let lines = lines.iter().map(|(n, it)| format!("{}{it}\n", "  ".repeat(*n)));
            let text = lines.collect::<Vec<_>>().concat();
            check(&text);
            let lines = text.lines().map(|it| format!("  {it}\n")).collect::<Vec<_>>().concat();
            check_pieces(&format!("z: a\nr:\n{lines}"));
        }
    }
}
