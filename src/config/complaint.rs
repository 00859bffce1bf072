//! Complaints: what is wrong with the files, where, and what to do about it.
//!
//! A [`Report`] takes them in any order, in one run over all files; [`Complaints`] are all of
//! them in the order of the files, each with its line.
//!
//! Not here: what there is to complain of (the functions that call [`Report::say`]).

use std::{
    cell::RefCell,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

/// A place in a file of a [`Report`], lines and columns from 1; a column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// The file, in the order in which they were read.
    pub file: u32,
    /// The line.
    pub line: u32,
    /// The character in the line.
    pub column: u32,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Complaint {
    /// The file as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The character in the line, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// The line itself; empty when there is none.
    #[serde(skip)]
    pub text: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message, hint, text } = self;
        writeln!(f, "{file}:{line}:{column}: {message}")?;
        if !text.is_empty() {
            let before = text.chars().take((*column as usize).saturating_sub(1));
            // A tab stays a tab, so that the marker stands below its character.
            let margin: String = before.map(|it| if it == '\t' { it } else { ' ' }).collect();
            writeln!(f, "  {text}\n  {margin}^")?;
        }
        writeln!(f, "hint: {hint}")
    }
}

/// Everything that is wrong, in the order of the files; at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Complaints(Vec<Complaint>);

impl Complaints {
    /// The complaints.
    #[must_use]
    pub fn as_slice(&self) -> &[Complaint] {
        &self.0
    }

    /// All of them as people read them, and how many there are.
    #[must_use]
    pub fn to_text(&self) -> String {
        let count = self.0.len();
        let s = if count == 1 { "" } else { "s" };
        format!("{self}\n{count} complaint{s}")
    }

    /// One JSON array of `{file, line, column, message, hint}`.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("text and numbers are JSON")
    }
}

impl fmt::Display for Complaints {
    /// As `check` prints them, with an empty line between two.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (idx, complaint) in self.0.iter().enumerate() {
            if idx != 0 {
                writeln!(f)?;
            }
            complaint.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Complaints {}

/// Takes complaints and knows the files they are about.
///
/// It is filled through a shared reference, because reading goes on while it is filled.
#[derive(Debug, Default)]
pub struct Report {
    files: RefCell<Vec<(Arc<Path>, Arc<str>)>>,
    found: RefCell<Vec<(Place, String, String)>>,
}

impl Report {
    /// Takes a file and says its number; the text is kept for the lines that complaints show.
    pub fn add_file(&self, name: String, text: Arc<str>) -> u32 {
        self.add(PathBuf::from(name).into(), text)
    }

    /// The same for one that goes by its path.
    pub fn add(&self, path: Arc<Path>, text: Arc<str>) -> u32 {
        let mut files = self.files.borrow_mut();
        files.push((path, text));
        u32::try_from(files.len() - 1).expect("fewer than 2^32 files fit a machine's memory")
    }

    /// Takes all of another report, and says which number its first file has here.
    pub fn absorb(&self, other: Self) -> u32 {
        let mut files = self.files.borrow_mut();
        let first =
            u32::try_from(files.len()).expect("fewer than 2^32 files fit a machine's memory");
        files.extend(other.files.into_inner());
        let found = other.found.into_inner().into_iter();
        self.found.borrow_mut().extend(found.map(|(place, message, hint)| {
            (Place { file: first + place.file, ..place }, message, hint)
        }));
        first
    }

    /// Whether there is anything to complain of in one of these files.
    #[must_use]
    pub fn concerns(&self, is_one: impl Fn(u32) -> bool) -> bool {
        self.found.borrow().iter().any(|(place, ..)| is_one(place.file))
    }

    /// Takes a complaint.
    pub fn say(&self, place: Place, message: impl Into<String>, hint: impl Into<String>) {
        self.found.borrow_mut().push((place, message.into(), hint.into()));
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.found.borrow().len()
    }

    /// `file:line:column` of a place, for a message about another one.
    #[must_use]
    pub fn place_text(&self, place: Place) -> String {
        let files = self.files.borrow();
        format!("{}:{}:{}", files[place.file as usize].0.display(), place.line, place.column)
    }

    /// All complaints in the order of the files; none when nothing is wrong.
    ///
    /// Two complaints that differ in nothing are one: the same check may be read for every
    /// endpoint that refers to it.
    #[must_use]
    pub fn finish(self) -> Option<Complaints> {
        let files = self.files.into_inner();
        let mut found = self.found.into_inner();
        found.sort();
        found.dedup();
        let mut complaints = Vec::with_capacity(found.len());
        let mut at = (u32::MAX, 0);
        let mut lines = "".lines();
        let mut text = "";
        for (place, message, hint) in found {
            let (name, source) = &files[place.file as usize];
            if at.0 != place.file {
                (at, lines, text) = ((place.file, 0), source.lines(), "");
            }
            // The places are sorted, so each file is walked once.
            while at.1 < place.line {
                text = lines.next().unwrap_or_default();
                at.1 += 1;
            }
            complaints.push(Complaint {
                file: name.display().to_string(),
                line: place.line,
                column: place.column,
                message,
                hint,
                text: excerpt(text, place.column),
            });
        }
        (!complaints.is_empty()).then_some(Complaints(complaints))
    }
}

/// The line for showing: without control characters, and nothing when it is too long to help.
fn excerpt(line: &str, column: u32) -> String {
    /// What a wide terminal shows.
    const LINE_LEN_MAX: usize = 400;
    if LINE_LEN_MAX < line.len() && LINE_LEN_MAX < column as usize {
        return String::new();
    }
    let shown = line.chars().take(LINE_LEN_MAX);
    shown.map(|it| if it.is_control() && it != '\t' { '\u{FFFD}' } else { it }).collect()
}

/// A hint: the word of `words` that is nearest to `word`, else `otherwise` with all of them.
pub fn suggest<'w>(
    word: &str,
    words: impl IntoIterator<Item = &'w str> + Clone,
    otherwise: &str,
) -> String {
    let near = words.clone().into_iter().map(|it| (distance(word, it), it)).min();
    match near {
        Some((edits, it)) if edits <= 1 + word.chars().count() / 4 => {
            format!("did you mean `{it}`?")
        }
        Some(_) => format!("{otherwise} {}", list(words)),
        None => format!("{otherwise} none"),
    }
}

/// The words in backticks, with commas between them; the first twenty when there are more.
pub fn list<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    const SHOWN_MAX: usize = 20;
    let mut shown: Vec<String> =
        words.into_iter().take(SHOWN_MAX + 1).map(|it| format!("`{it}`")).collect();
    if SHOWN_MAX < shown.len() {
        "...".clone_into(&mut shown[SHOWN_MAX]);
    }
    shown.join(", ")
}

/// Insertions, removals, replacements and swaps of neighbours that lead from one to the other,
/// capped: what is that far away is not meant.
fn distance(left: &str, right: &str) -> usize {
    const LEN_MAX: usize = 64;
    let fold = |text: &str| -> Vec<char> {
        text.chars().take(LEN_MAX).map(|it| it.to_ascii_lowercase()).collect()
    };
    let (left, right) = (fold(left), fold(right));
    let mut before = vec![0; right.len() + 1];
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let mut best = (row[j] + usize::from(a != b)).min(row[j + 1] + 1).min(next[j] + 1);
            if 0 < i && 0 < j && *a == right[j - 1] && left[i - 1] == *b {
                best = best.min(before[j - 1] + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words() {
        let check = |word, expect: &str| {
            let words = ["listen", "zones", "regions"];
            assert_eq!(suggest(word, words, "one of"), expect, "{word}");
        };
        check("lisen", "did you mean `listen`?");
        check("zone", "did you mean `zones`?");
        check("LISTEN", "did you mean `listen`?");
        check("zoens", "did you mean `zones`?");
        check("x", "one of `listen`, `zones`, `regions`");
        assert_eq!(suggest("x", [], "declared:"), "declared: none");
    }

    #[test]
    fn in_order_with_their_lines() {
        let report = Report::default();
        let file = report.add_file("a.yaml".to_owned(), "one\n\ttwo\n".into());
        report.say(Place { file, line: 2, column: 3 }, "second", "b");
        report.say(Place { file, line: 1, column: 1 }, "first", "a");
        report.say(Place { file, line: 2, column: 3 }, "second", "b");
        let text = report.finish().map(|it| it.to_string());
        let expect = "a.yaml:1:1: first\n  one\n  ^\nhint: a\n\n\
                      a.yaml:2:3: second\n  \ttwo\n  \t ^\nhint: b\n";
        assert_eq!(text.as_deref(), Some(expect));
        assert_eq!(Report::default().finish(), None);
    }
}
