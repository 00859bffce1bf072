//! The tree of a YAML file, with places: from text to [`Node`]s.
//!
//! # Invariants
//!
//! - A scalar keeps its text and whether it was quoted.
//! - The keys of a mapping are scalars, each there once.
//! - Bounded: no deeper than [`YAML_DEPTH_MAX`] as written, and aliases copy no more than
//!   [`YAML_ALIAS_NODES_MAX`] nodes.
//!
//! Not here: what keys and values are expected (`de` and the mirrors).

use std::{borrow::Cow, collections::HashMap};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput};

use super::{Place, Report, quick};
use crate::limits::{YAML_ALIAS_NODES_MAX, YAML_DEPTH_MAX};

/// A scalar, a list or a mapping, and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node<'t> {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// What it is.
    pub data: Data<'t>,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data<'t> {
    /// Text without quotes; empty where nothing was written.
    Plain(Cow<'t, str>),
    /// Text in quotes, or a block.
    Quoted(Cow<'t, str>),
    /// A list.
    List(Box<[Node<'t>]>),
    /// A mapping.
    Map(Box<[(Node<'t>, Node<'t>)]>),
}

impl<'t> Node<'t> {
    /// The text of a scalar.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Plain(text) | Data::Quoted(text) => Some(text),
            Data::List(_) | Data::Map(_) => None,
        }
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        matches!(&self.data, Data::Plain(text) if text.is_empty())
    }

    /// The value of a key of a mapping.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&Node<'t>> {
        match &self.data {
            Data::Map(pairs) => {
                pairs.iter().find(|(it, _)| it.text() == Some(key)).map(|(_, value)| value)
            }
            _ => None,
        }
    }
}

/// Reads a file; none when it could not be read to its end, and that has been complained of.
#[must_use]
pub fn parse<'t>(text: &'t str, file: u32, report: &Report) -> Option<Node<'t>> {
    quick::parse(text).or_else(|| by_events(text, file, report))
}

/// Reads whatever YAML it is.
pub(super) fn by_events<'t>(text: &'t str, file: u32, report: &Report) -> Option<Node<'t>> {
    let mut parser = Parser::new_from_str(text);
    let mut builder = Builder {
        text,
        ascii: text.is_ascii(),
        file,
        report,
        open: Vec::new(),
        root: None,
        anchors: HashMap::new(),
        copies_left: YAML_ALIAS_NODES_MAX,
    };
    builder.run(&mut parser).then_some(builder.root).flatten()
}

/// A list or a mapping that has not ended.
struct Open<'t> {
    line: u32,
    column: u32,
    anchor: usize,
    inside: Inside<'t>,
}

enum Inside<'t> {
    List(Vec<Node<'t>>),
    Map { pairs: Vec<(Node<'t>, Node<'t>)>, key: Option<Node<'t>> },
}

struct Builder<'t, 'r> {
    text: &'t str,
    /// Then an index in characters is one in octets.
    ascii: bool,
    file: u32,
    report: &'r Report,
    open: Vec<Open<'t>>,
    root: Option<Node<'t>>,
    anchors: HashMap<usize, Node<'t>>,
    copies_left: usize,
}

impl<'t> Builder<'t, '_> {
    /// Takes all events; false when it had to stop, and has complained.
    fn run(&mut self, parser: &mut Parser<'t, StrInput<'t>>) -> bool {
        let mut documents = 0;
        while let Some(event) = parser.next_event() {
            let (event, span) = match event {
                Ok(it) => it,
                Err(error) => {
                    self.not_yaml(*error.marker(), error.info());
                    return false;
                }
            };
            let (line, column) = position(span.start);
            match event {
                Event::DocumentStart(_) => documents += 1,
                Event::Scalar(text, style, anchor, tag) => {
                    self.refuse_tag(span.start, tag.is_some());
                    let data = self.scalar(text, style, span);
                    self.close(Node { line, column, data }, anchor);
                }
                Event::SequenceStart(anchor, tag) => {
                    self.refuse_tag(span.start, tag.is_some());
                    let inside = Inside::List(Vec::new());
                    self.open.push(Open { line, column, anchor, inside });
                }
                Event::MappingStart(anchor, tag) => {
                    self.refuse_tag(span.start, tag.is_some());
                    let inside = Inside::Map { pairs: Vec::new(), key: None };
                    self.open.push(Open { line, column, anchor, inside });
                }
                Event::SequenceEnd | Event::MappingEnd => self.end(),
                Event::Alias(anchor) => {
                    let Some(node) = self.copy_of(anchor, span.start) else { return false };
                    self.close(Node { line, column, data: node.data }, 0);
                }
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
            if YAML_DEPTH_MAX < self.open.len() {
                self.too_deep(span.start);
                return false;
            }
            if 1 < documents {
                self.several_documents(span.start);
                return false;
            }
        }
        true
    }

    fn scalar(&self, text: Cow<'t, str>, style: ScalarStyle, span: Span) -> Data<'t> {
        let plain = style == ScalarStyle::Plain;
        // The scanner copies; what stands in the file as it is need not be kept twice.
        let (begin, end) = (span.start.index(), span.end.index());
        let written = if self.ascii { self.text.get(begin..end) } else { None };
        let text = match written {
            Some(written) if written == text => Cow::Borrowed(written),
            _ => text,
        };
        if plain { Data::Plain(text) } else { Data::Quoted(text) }
    }

    fn end(&mut self) {
        let Some(Open { line, column, anchor, inside }) = self.open.pop() else { return };
        let data = match inside {
            Inside::List(nodes) => Data::List(nodes.into()),
            Inside::Map { pairs, .. } => Data::Map(self.distinct(pairs).into()),
        };
        self.close(Node { line, column, data }, anchor);
    }

    /// Puts a whole node where it belongs.
    fn close(&mut self, node: Node<'t>, anchor: usize) {
        if anchor != 0 {
            self.copies_left = self.copies_left.saturating_sub(size(&node));
            if self.copies_left != 0 {
                self.anchors.insert(anchor, node.clone());
            }
        }
        match self.open.last_mut().map(|it| &mut it.inside) {
            None => self.root = Some(node),
            Some(Inside::List(nodes)) => nodes.push(node),
            Some(Inside::Map { pairs, key }) => match key.take() {
                None => *key = Some(node),
                Some(key) => pairs.push((key, node)),
            },
        }
    }

    /// The node that an alias stands for; none when there is none or too much was copied.
    fn copy_of(&mut self, anchor: usize, at: Marker) -> Option<Node<'t>> {
        let node = self.anchors.get(&anchor);
        let left = node.map(size).and_then(|size| self.copies_left.checked_sub(size));
        if let (Some(node), Some(left)) = (node, left) {
            self.copies_left = left;
            return Some(node.clone());
        }
        self.bad_alias(at);
        None
    }

    /// Leaves out, and complains of, what can not be a key.
    fn distinct(&self, pairs: Vec<(Node<'t>, Node<'t>)>) -> Vec<(Node<'t>, Node<'t>)> {
        let mut kept: Vec<bool> = Vec::with_capacity(pairs.len());
        let mut seen: HashMap<&str, &Node<'t>> = HashMap::new();
        for (idx, (key, _)) in pairs.iter().enumerate() {
            let keep = match (key.text(), &key.data) {
                (None, _) => self.no_key(key),
                (Some("<<"), Data::Plain(_)) => self.merge_key(key),
                (Some(text), _) => {
                    // Most mappings are small, and a table for each would cost more than it saves.
                    let first = if pairs.len() <= 8 {
                        pairs[..idx].iter().map(|(it, _)| it).find(|it| it.text() == Some(text))
                    } else {
                        seen.insert(text, key)
                    };
                    first.is_none_or(|first| self.key_twice(key, text, first))
                }
            };
            kept.push(keep);
        }
        if kept.iter().all(|it| *it) {
            return pairs;
        }
        pairs.into_iter().zip(kept).filter_map(|(pair, keep)| keep.then_some(pair)).collect()
    }
}

/// Nodes in a tree, itself included.
fn size(node: &Node<'_>) -> usize {
    1 + match &node.data {
        Data::Plain(_) | Data::Quoted(_) => 0,
        Data::List(nodes) => nodes.iter().map(size).sum(),
        Data::Map(pairs) => pairs.iter().map(|(key, value)| size(key) + size(value)).sum(),
    }
}

fn position(at: Marker) -> (u32, u32) {
    let line = u32::try_from(at.line()).unwrap_or(u32::MAX);
    (line.max(1), u32::try_from(at.col() + 1).unwrap_or(u32::MAX))
}

// ---- Complaints ----

impl<'t> Builder<'t, '_> {
    fn say(&self, at: Marker, message: impl Into<String>, hint: &str) {
        let (line, column) = position(at);
        self.report.say(Place { file: self.file, line, column }, message, hint);
    }

    fn not_yaml(&self, at: Marker, info: &str) {
        let hint = "look for a quote, bracket or indentation that does not match, here or above; \
                    what follows was not read";
        self.say(at, format!("this is not YAML: {info}"), hint);
    }

    fn refuse_tag(&self, at: Marker, there: bool) {
        if there {
            let hint = "remove it; quote the value if it is meant to begin with `!`";
            self.say(at, "tags are not used here", hint);
        }
    }

    fn too_deep(&self, at: Marker) {
        let message = format!("lists and mappings lie deeper than {YAML_DEPTH_MAX} levels");
        self.say(at, message, "look for a bracket that is not closed");
    }

    fn several_documents(&self, at: Marker) {
        let hint = "put what follows `---` into a file of its own";
        self.say(at, "there is a second document in this file", hint);
    }

    fn bad_alias(&self, at: Marker) {
        let message = "this alias stands for itself or for too much";
        self.say(at, message, "write the value out");
    }

    fn node_place(&self, node: &Node<'t>) -> Place {
        Place { file: self.file, line: node.line, column: node.column }
    }

    fn no_key(&self, key: &Node<'t>) -> bool {
        let hint = "write `key: value`; quote the key if it begins with `[` or `{`";
        self.report.say(self.node_place(key), "a key has to be text", hint);
        false
    }

    fn merge_key(&self, key: &Node<'t>) -> bool {
        let hint = "write the keys out; an alias may stand for a whole value";
        self.report.say(self.node_place(key), "merge keys (`<<`) are not supported", hint);
        false
    }

    fn key_twice(&self, key: &Node<'t>, text: &str, first: &Node<'t>) -> bool {
        let message = format!("`{text}` is there twice");
        let first = self.report.place_text(self.node_place(first));
        let hint = format!("the first is at {first}; remove one, or merge the two");
        self.report.say(self.node_place(key), message, hint);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let report = Report::default();
        let file = report.add_file("f".to_owned(), text.into());
        let tree = parse(text, file, &report).map(|node| show(&node));
        let complaints = report.finish().map(|it| {
            let lines = it.as_slice().iter();
            lines.map(|it| format!("{}:{} {}", it.line, it.column, it.message)).collect::<Vec<_>>()
        });
        let got = match (complaints, tree) {
            (Some(complaints), _) => complaints.join("|"),
            (None, tree) => tree.unwrap_or_default(),
        };
        assert_eq!(got, expect, "{text:?}");
    }

    fn show(node: &Node<'_>) -> String {
        match &node.data {
            Data::Plain(text) => text.to_string(),
            Data::Quoted(text) => format!("{text:?}"),
            Data::List(nodes) => {
                format!("[{}]", nodes.iter().map(show).collect::<Vec<_>>().join(","))
            }
            Data::Map(pairs) => {
                let pairs = pairs.iter().map(|(key, value)| show(key) + ":" + &show(value));
                format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
            }
        }
    }

    #[test]
    fn text_to_tree() {
        check("a: 1.10\nb: NO\nc: [~, 'x', \"y\\n\"]\nd:\n", r#"{a:1.10,b:NO,c:[~,"x","y\n"],d:}"#);
        check("a: &x {k: v}\nb: *x\n", "{a:{k:v},b:{k:v}}");
        check("ä: ö\nb: |\n  text\n", "{ä:ö,b:\"text\\n\"}");
        check("", "");
        check("a: 1\nb: 2\na: 3\n", "3:1 `a` is there twice");
        check("a: 1\n<<: {b: 2}\n", "2:1 merge keys (`<<`) are not supported");
        check("[x]: 1\n", "1:1 a key has to be text");
        check("a: !!str x\n", "1:4 tags are not used here");
        check("a: 1\n---\nb: 2\n", "2:1 there is a second document in this file");
        check(&"[".repeat(40), "1:33 lists and mappings lie deeper than 32 levels");
    }

    #[test]
    fn a_bomb_does_not_go_off() {
        let mut text = "a0: &a0 [x, x]\n".to_owned();
        for level in 1..30 {
            let below = level - 1;
            text.extend([format!("a{level}: &a{level} [*a{below}, *a{below}, *a{below}]\n")]);
        }
        let report = Report::default();
        let file = report.add_file("f".to_owned(), text.as_str().into());
        assert!(parse(&text, file, &report).is_none());
        assert_eq!(report.count(), 1);
    }
}
