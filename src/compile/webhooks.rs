//! Webhooks: whom events are told, which of them, and how the receiver knows that it was us.
//!
//! # Invariants
//!
//! - No complaint and no log shows a secret: [`Secret`] does not print.
//!
//! *Not here:* what is sent, and how often it is tried (`app::webhook`).

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::source::read_line;
use crate::{
    config::{Field, Place, Report, list, server::WebhookFile, suggest},
    limits::{WEBHOOK_SECRET_LEN_MAX, WEBHOOK_URL_LEN_MAX, WEBHOOKS_MAX},
};

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// What the checks say of an endpoint.
    Verdict,
    /// An operator's word was set, cleared, or came to its end.
    Override,
    /// The share of a region was set.
    Dial,
    /// A pool that comes back takes a step.
    Ramp,
    /// A certificate that a target shows ends soon, is over, or was renewed.
    Certificate,
    /// The prober lost its sight, or has it again.
    Blind,
    /// An endpoint that is down stays in, because enough is out.
    OverBudget,
    /// A region is given more than it can take, or is so no more.
    Overload,
    /// The files were read.
    Reload,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Verdict,
        Self::Override,
        Self::Dial,
        Self::Ramp,
        Self::Certificate,
        Self::Blind,
        Self::OverBudget,
        Self::Overload,
        Self::Reload,
    ];

    /// The word for it, in files, in the API and on disk.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::Override => "override",
            Self::Dial => "dial",
            Self::Ramp => "ramp",
            Self::Certificate => "certificate",
            Self::Blind => "blind",
            Self::OverBudget => "over_budget",
            Self::Overload => "overload",
            Self::Reload => "reload",
        }
    }

    /// The kind with this word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whom events are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where they are posted.
    pub url: Arc<str>,
    /// Of these kinds.
    pub kinds: Box<[EventKind]>,
    /// What they are signed with; none: they are not signed.
    pub secret: Option<Secret>,
}

/// Octets that are not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Arc<[u8]>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Reads `webhooks`; `folder` is where its files are.
pub(super) fn read(
    field: &Field<Vec<Field<WebhookFile<'_>>>>,
    folder: &Path,
    report: &Report,
    sources: &mut Vec<PathBuf>,
) -> Vec<Webhook> {
    let Some((place, entries)) = field.placed() else { return Vec::new() };
    if WEBHOOKS_MAX < entries.len() {
        too_many(report, place, entries.len());
    }
    let entries = entries.iter().filter_map(Field::placed);
    entries.filter_map(|(place, file)| webhook(place, file, folder, report, sources)).collect()
}

fn webhook(
    place: Place,
    file: &WebhookFile<'_>,
    folder: &Path,
    report: &Report,
    sources: &mut Vec<PathBuf>,
) -> Option<Webhook> {
    if file.url.is_absent() {
        report.say(place, "the webhook has no `url`", "write `url: https://ops.example.com/hook`");
    }
    let url = file.url.placed().and_then(|(place, text)| url(place, text, report));
    let kinds = kinds(&file.events, report);
    let secret = file.secret_file.placed().and_then(|(place, name)| {
        let path = folder.join(name);
        sources.push(path.clone());
        secret(place, &path, report)
    });
    Some(Webhook { url: url?, kinds, secret })
}

fn url(place: Place, text: &str, report: &Report) -> Option<Arc<str>> {
    let wrong = match reqwest::Url::parse(text) {
        _ if WEBHOOK_URL_LEN_MAX < text.len() => "is too long",
        Ok(url) if !matches!(url.scheme(), "http" | "https") => "is neither `http` nor `https`",
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            // The address is shown in the log, and what is in it with it.
            bad_login(report, place);
            return None;
        }
        Ok(_) => return Some(text.into()),
        Err(_) => "is not a URL",
    };
    let shown: String = text.chars().take(80).collect();
    let message = format!("`{shown}` {wrong}");
    report.say(place, message, "write `https://ops.example.com/hook`");
    None
}

/// The kinds that are asked for; where the key is absent, all.
fn kinds(field: &Field<Vec<Field<&str>>>, report: &Report) -> Box<[EventKind]> {
    let (Some((place, entries)), false) = (field.placed(), field.is_absent()) else {
        return EventKind::ALL.into();
    };
    if entries.is_empty() {
        no_kinds(report, place);
    }
    let mut kinds = Vec::with_capacity(entries.len());
    for (place, word) in entries.iter().filter_map(Field::placed) {
        match EventKind::named(word) {
            Some(kind) if kinds.contains(&kind) => {
                report.say(place, format!("`{word}` is there twice"), "remove one");
            }
            Some(kind) => kinds.push(kind),
            None => unknown_kind(report, place, word),
        }
    }
    kinds.into()
}

fn secret(place: Place, path: &Path, report: &Report) -> Option<Secret> {
    let wrong = |line: &[u8]| (WEBHOOK_SECRET_LEN_MAX < line.len()).then_some("is too long");
    let hint = "it has to hold one secret in one line: `openssl rand -hex 32`";
    read_line(place, path, wrong, hint, report).map(|it| Secret(it.into()))
}

// ---- Complaints ----

fn too_many(report: &Report, place: Place, count: usize) {
    let message = format!("there are {count} webhooks");
    report.say(place, message, format!("at most {WEBHOOKS_MAX} are told"));
}

fn bad_login(report: &Report, place: Place) {
    let message = "a user or a password stands in the URL, and URLs stand in the log";
    report.say(place, message, "remove it; `secret_file` signs what is sent");
}

fn no_kinds(report: &Report, place: Place) {
    let words = list(EventKind::ALL.map(EventKind::as_str));
    report.say(place, "the webhook would be told nothing", format!("known are {words}"));
}

fn unknown_kind(report: &Report, place: Place, word: &str) {
    let words = EventKind::ALL.map(EventKind::as_str);
    report.say(place, format!("`{word}` is no kind of event"), suggest(word, words, "known are"));
}
