//! Entries of a master file: words with their places, across parentheses and comments.

use std::borrow::Cow;

use crate::{compile::words::Word, config::Place};

/// What is wrong with an entry; the next one begins on the next line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    OpenQuote(Place),
    OpenParenthesis(Place),
    ClosedParenthesis(Place),
}

/// Cuts a text into entries.
pub(super) struct Lines<'t> {
    text: &'t str,
    /// The octet at hand.
    at: usize,
    file: u32,
    line: u32,
    /// Where the line begins.
    line_at: usize,
    /// Characters up to an octet of the line, so that a column need not be counted from its start.
    counted: (usize, u32),
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str, file: u32) -> Self {
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        Self { text, at: 0, file, line: 1, line_at: 0, counted: (0, 1) }
    }

    /// Puts the words of the next entry into `words` and says whether its first line begins with
    /// white space; none at the end of the file.
    pub(super) fn next(&mut self, words: &mut Vec<Word<'t>>) -> Option<Result<bool, Fault>> {
        words.clear();
        let bytes = self.text.as_bytes();
        if self.at == bytes.len() {
            return None;
        }
        let blank = matches!(bytes[self.at], b' ' | b'\t');
        let mut open: Option<Place> = None;
        let mut depth = 0_u32;
        let mut fault = None;
        while let Some(&byte) = bytes.get(self.at) {
            match byte {
                b'\n' => {
                    self.new_line();
                    if depth == 0 {
                        return Some(fault.map_or(Ok(blank), Err));
                    }
                }
                b' ' | b'\t' | b'\r' => self.at += 1,
                b';' => self.at += self.until(b'\n'),
                b'(' => {
                    open = open.or(Some(self.place()));
                    depth += 1;
                    self.at += 1;
                }
                b')' if depth == 0 => {
                    fault = fault.or(Some(Fault::ClosedParenthesis(self.place())));
                    self.at += 1;
                }
                b')' => {
                    depth -= 1;
                    open = open.filter(|_| 0 < depth);
                    self.at += 1;
                }
                b'"' => {
                    let place = self.place();
                    match self.quoted() {
                        Some(text) => {
                            words.push(Word { text: Cow::Borrowed(text), quoted: true, place });
                        }
                        None => fault = fault.or(Some(Fault::OpenQuote(place))),
                    }
                }
                _ => {
                    let place = self.place();
                    let text = Cow::Borrowed(self.plain());
                    words.push(Word { text, quoted: false, place });
                }
            }
        }
        let unclosed = open.map(Fault::OpenParenthesis);
        Some(fault.or(unclosed).map_or(Ok(blank), Err))
    }

    fn new_line(&mut self) {
        self.at += 1;
        self.line = self.line.saturating_add(1);
        self.line_at = self.at;
        self.counted = (self.at, 1);
    }

    fn place(&mut self) -> Place {
        let (from, column) = self.counted;
        let more = self.text[from..self.at].chars().count();
        let column = column.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
        self.counted = (self.at, column);
        Place { file: self.file, line: self.line, column }
    }

    /// Octets up to a byte, or to the end.
    fn until(&self, byte: u8) -> usize {
        let rest = &self.text.as_bytes()[self.at..];
        rest.iter().position(|it| *it == byte).unwrap_or(rest.len())
    }

    /// What stands in quotes, escapes kept; none when they are not closed on this line, which is
    /// then skipped.
    fn quoted(&mut self) -> Option<&'t str> {
        let rest = &self.text[self.at + 1..];
        let mut escaped = false;
        for (idx, byte) in rest.bytes().enumerate() {
            match byte {
                b'\n' => break,
                b'"' if !escaped => {
                    self.at += idx + 2;
                    return Some(&rest[..idx]);
                }
                _ => escaped = byte == b'\\' && !escaped,
            }
        }
        self.at += self.until(b'\n');
        None
    }

    /// A word without quotes, escapes kept. Quotes inside it (`alpn="h2,h3"`) belong to it.
    fn plain(&mut self) -> &'t str {
        let rest = &self.text[self.at..];
        let (mut escaped, mut inside) = (false, false);
        let end = rest.bytes().position(|byte| {
            let ends = match byte {
                b'\n' => true,
                b' ' | b'\t' | b'\r' | b';' | b'(' | b')' => !escaped && !inside,
                b'"' => {
                    inside ^= !escaped;
                    false
                }
                _ => false,
            };
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let word = &rest[..end.unwrap_or(rest.len())];
        self.at += word.len();
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let mut lines = Lines::new(text, 0);
        let mut words = Vec::new();
        let mut got = Vec::new();
        while let Some(entry) = lines.next(&mut words) {
            got.push(match entry {
                Err(fault) => format!("{fault:?}").split(" {").next().unwrap_or("").to_owned(),
                Ok(blank) => {
                    let words = words.iter().map(|it| {
                        let quote = if it.quoted { "\"" } else { "" };
                        format!("{}:{}{quote}{}", it.place.line, it.place.column, it.text)
                    });
                    let words: Vec<_> = words.collect();
                    format!("{}{}", if blank { "_" } else { "" }, words.join(" "))
                }
            });
        }
        assert_eq!(got.join("|"), expect, "{text:?}");
    }

    #[test]
    fn entries() {
        check("a b\n\tc d ; e\n", "1:1a 1:3b|_2:2c 2:4d");
        check("a ( b ; x\n  c ) d\ne", "1:1a 1:5b 2:3c 2:7d|3:1e");
        check("a \"b; c\" \"\"", "1:1a 1:3\"b; c 1:10\"");
        check("ä b\\ c\\;d", "1:1ä 1:3b\\ c\\;d");
        check("x alpn=\"h2, h3\"\r\ny\r\n", "1:1x 1:3alpn=\"h2, h3\"|2:1y");
        check("a \"b\nc\n", "OpenQuote(Place|2:1c");
        check("a ( b\nc\n", "OpenParenthesis(Place");
        check("a ) b\nc\n", "ClosedParenthesis(Place|2:1c");
        check("\n\n", "|");
        check("", "");
    }
}
