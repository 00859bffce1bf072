//! Words: record data in one text, cut at white space and quotes.

use std::borrow::Cow;

use crate::config::Place;

/// A word, with its escapes and without its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word<'t> {
    /// The text.
    pub(super) text: Cow<'t, str>,
    /// Whether it stood in quotes.
    pub(super) quoted: bool,
    /// Where it begins.
    pub(super) place: Place,
}

impl Word<'_> {
    /// Whether it is this text without quotes.
    pub(super) fn is(&self, text: &str) -> bool {
        !self.quoted && self.text == text
    }
}

/// Cuts a text; none when a quote is not closed. All words are at `place`, because the text may
/// have been unfolded on its way through YAML.
///
/// Parentheses that stand alone are left out: they join lines in master files, from where the text
/// may have been copied. A `;` begins no comment: YAML has its own.
pub(super) fn cut(text: &str, place: Place) -> Option<Vec<Word<'_>>> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let quoted = rest.starts_with('"');
        let from = if quoted { &rest[1..] } else { rest };
        let end = if quoted { end_of_quoted(from)? } else { end_of_plain(from)? };
        let word = Cow::Borrowed(&from[..end]);
        let word = Word { text: word, quoted, place };
        if !word.is("(") && !word.is(")") {
            words.push(word);
        }
        rest = from[end + usize::from(quoted)..].trim_start();
    }
    Some(words)
}

fn end_of_quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

/// Up to white space; quotes inside (`alpn="h2,h3"`) belong to the word.
fn end_of_plain(text: &str) -> Option<usize> {
    let (mut escaped, mut inside) = (false, false);
    for (idx, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if !escaped => inside = !inside,
            b' ' | b'\t' | b'\r' | b'\n' if !escaped && !inside => return Some(idx),
            _ => {}
        }
        escaped = byte == b'\\' && !escaped;
    }
    (!inside).then_some(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let check = |text, expect: &[&str]| {
            let words = cut(text, Place::default());
            let words: Option<Vec<_>> = words.map(|it| {
                it.into_iter()
                    .map(|it| format!("{}{}", it.text, if it.quoted { "!" } else { "" }))
                    .collect()
            });
            assert_eq!(words.unwrap_or_else(|| vec!["none".to_owned()]), expect, "{text}");
        };
        check("10 mail", &["10", "mail"]);
        check("  a \t b ", &["a", "b"]);
        check(r#""one two" "th\"ree""#, &["one two!", r#"th\"ree!"#]);
        check(r#""a""b""#, &["a!", "b!"]);
        check(r#"1 . alpn="h2,h3" x"#, &["1", ".", r#"alpn="h2,h3""#, "x"]);
        check("1 ( 2 ) v=x;y", &["1", "2", "v=x;y"]);
        check(r"a\ b", &[r"a\ b"]);
        check(r#""open"#, &["none"]);
        check("", &[]);
    }
}
