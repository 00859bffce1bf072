//! `evenkeel override` and `evenkeel dial`: what an operator says, told to a running server.
//!
//! Not here: what a target means and what comes of it (`state::overrides`), and who may (`api`).

use std::{fmt::Write as _, process::ExitCode};

use clap::{Args, Subcommand, ValueEnum, builder::NonEmptyStringValueParser};
use nix::unistd::{Uid, User};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::{client::Server, foreseen::Foreseen, status::told};
use crate::config;

/// `evenkeel override`.
#[derive(Debug, Subcommand)]
pub(super) enum Override {
    /// Say what endpoints are, whatever their checks say.
    Set(Set),
    /// What was said: overrides and dials.
    List {
        #[command(flatten)]
        server: Server,
        /// What the API gives, instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Take an override back.
    Clear(Clear),
}

/// `evenkeel override set`.
#[derive(Debug, Args)]
pub(super) struct Set {
    /// A region, a pool, a name, an address, `NAME/POOL` or `NAME/POOL/ADDRESS`; `*` is any run of
    /// characters.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    target: String,
    /// What they are from now on.
    state: Word,
    #[command(flatten)]
    note: Note,
    #[command(flatten)]
    server: Server,
    /// What the API gives, instead of text.
    #[arg(long)]
    json: bool,
}

/// What endpoints are said to be.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Word {
    /// In the answers, whatever the checks say.
    Up,
    /// Out of the answers; a failure.
    Down,
    /// Out of the answers; on purpose, and no failure.
    Drain,
}

/// `evenkeel override clear`.
#[derive(Debug, Args)]
pub(super) struct Clear {
    /// The number of an override, or the target of one or more.
    #[arg(value_name = "ID|TARGET", value_parser = NonEmptyStringValueParser::new())]
    which: String,
    /// Who takes it back; whose token it is, and without one the user who is logged in.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    author: Option<String>,
    /// Change nothing, and say what would follow.
    #[arg(long)]
    preview: bool,
    #[command(flatten)]
    server: Server,
    /// What the API gives, instead of text.
    #[arg(long)]
    json: bool,
}

/// `evenkeel dial`.
#[derive(Debug, Args)]
pub(super) struct Dial {
    /// The region.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    region: String,
    /// How much of its normal traffic it gets; 100 takes the dial back.
    #[arg(value_parser = clap::value_parser!(u8).range(0..=100))]
    percent: u8,
    #[command(flatten)]
    note: Note,
    #[command(flatten)]
    server: Server,
    /// What the API gives, instead of text.
    #[arg(long)]
    json: bool,
}

/// What stands beside whatever an operator says.
#[derive(Debug, Args)]
struct Note {
    /// Why, for those who find it in the list.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    /// When it ends by itself: `90s`, `30m`, `2h`; without, it is taken back by hand.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    lasts: Option<String>,
    /// Who says so; whose token it is, and without one the user who is logged in.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    author: Option<String>,
    /// Even if names are left with nothing.
    #[arg(long)]
    force: bool,
    /// Change nothing, and say what would follow.
    #[arg(long)]
    preview: bool,
}

/// `POST overrides`.
#[derive(Deserialize)]
struct Added {
    id: u64,
}

/// `DELETE overrides/{id}`.
#[derive(Deserialize)]
struct Cleared {
    cleared: Vec<u64>,
}

/// `POST dials/{region}`.
#[derive(Deserialize)]
struct Dialled {
    region: String,
    percent: u8,
}

/// `GET overrides`.
#[derive(Clone, Default, Deserialize)]
pub(super) struct Said {
    overrides: Vec<SaidOverride>,
    dials: Vec<SaidDial>,
}

#[derive(Clone, Deserialize)]
struct SaidOverride {
    id: u64,
    target: String,
    state: String,
    #[serde(flatten)]
    note: SaidNote,
}

#[derive(Clone, Deserialize)]
struct SaidDial {
    region: String,
    percent: u8,
    #[serde(flatten)]
    note: SaidNote,
}

#[derive(Clone, Deserialize)]
struct SaidNote {
    reason: String,
    author: String,
    since: String,
    until: Option<String>,
}

/// Exit code 1 when the server refuses.
pub(super) fn run(command: &Override) -> ExitCode {
    match command {
        Override::Set(set) => run_set(set),
        Override::List { server, json } => {
            told(server.call(Method::GET, "/api/v1/overrides", &[]), *json, Said::list_text)
        }
        Override::Clear(clear) => run_clear(clear),
    }
}

fn run_clear(clear: &Clear) -> ExitCode {
    let Clear { which, author, preview, server, json } = clear;
    let path = format!("/api/v1/overrides/{}", segment(which));
    let author = who(author.as_ref(), server);
    let mut parameters = Vec::new();
    parameters.extend(author.as_deref().map(|it| ("author", it)));
    if *preview {
        parameters.push(("preview", "true"));
        let answer = server.call(Method::DELETE, &path, &parameters);
        return told(answer, *json, Foreseen::text);
    }
    told(server.call(Method::DELETE, &path, &parameters), *json, |it: &Cleared| {
        let ids: Vec<_> = it.cleared.iter().map(ToString::to_string).collect();
        format!("cleared: {}\n", ids.join(", "))
    })
}

/// Sets a dial.
pub(super) fn dial(dial: &Dial) -> ExitCode {
    let Dial { region, percent, note, server, json } = dial;
    let body = note.body(json!({ "percent": percent }), server);
    let path = format!("/api/v1/dials/{}", segment(region));
    if note.preview {
        return foresee(server, &path, body, *json);
    }
    told(server.post_one(&path, body), *json, |it: &Dialled| {
        let Dialled { region, percent } = it;
        format!("{region}: {percent} % of its normal traffic{}\n", note.lasts_text())
    })
}

fn run_set(set: &Set) -> ExitCode {
    let Set { target, state, note, server, json } = set;
    let state = state.to_possible_value().expect("no state is hidden");
    let state = state.get_name();
    let body = note.body(json!({ "target": target, "state": state }), server);
    if note.preview {
        return foresee(server, "/api/v1/overrides", body, *json);
    }
    told(server.post_one("/api/v1/overrides", body), *json, |added: &Added| {
        format!("override {}: {target} {state}{}\n", added.id, note.lasts_text())
    })
}

/// Prints what would follow from a call.
fn foresee(server: &Server, path: &str, body: String, json: bool) -> ExitCode {
    told(server.post_one(&format!("{path}?preview=true"), body), json, Foreseen::text)
}

impl Note {
    /// The body of a call that says this, too.
    fn body(&self, mut body: serde_json::Value, server: &Server) -> String {
        let Self { reason, lasts, author, force, .. } = self;
        body["reason"] = json!(reason);
        body["for"] = json!(lasts);
        body["author"] = json!(who(author.as_ref(), server));
        body["force"] = json!(force);
        body.to_string()
    }

    fn lasts_text(&self) -> String {
        self.lasts.as_ref().map_or(String::new(), |lasts| format!(", for {lasts}"))
    }
}

impl Said {
    /// Of each: the word, whom it means, until when, and who says why.
    pub(super) fn brief(&self) -> impl Iterator<Item = [String; 4]> {
        let brief = |word: String, target: &String, note: &SaidNote| {
            let until = note.until.as_deref().unwrap_or("cleared").replacen(".000Z", "Z", 1);
            [word, target.clone(), until, format!("{}: {}", note.author, note.reason)]
        };
        let overrides =
            self.overrides.iter().map(move |it| brief(it.state.clone(), &it.target, &it.note));
        let dials = self
            .dials
            .iter()
            .map(move |it| brief(format!("{} %", it.percent), &it.region, &it.note));
        overrides.chain(dials)
    }

    /// A line for each.
    fn list_text(&self) -> String {
        let Self { overrides, dials } = self;
        if overrides.is_empty() && dials.is_empty() {
            return "no override and no dial\n".to_owned();
        }
        let targets = overrides.iter().map(|it| &it.target);
        let width = targets.chain(dials.iter().map(|it| &it.region)).map(|it| it.chars().count());
        let width = width.max().unwrap_or(0);
        let mut text = String::new();
        let mut line = |id: &str, target: &str, word: &str, note: &SaidNote| {
            let SaidNote { reason, author, since, until } = note;
            let until = until.as_deref().unwrap_or("cleared");
            writeln!(
                text,
                "{id:>4}  {target:<width$}  {word:<5}  {since} until {until}  {author}: {reason}"
            )
            .expect("a String takes everything");
        };
        for SaidOverride { id, target, state, note } in overrides {
            line(&id.to_string(), target, state, note);
        }
        for SaidDial { region, percent, note } in dials {
            line("dial", region, &format!("{percent} %"), note);
        }
        text
    }
}

/// A duration as the server takes it.
fn duration(text: &str) -> Result<String, &'static str> {
    match config::duration(text) {
        Some(duration) if !duration.is_zero() => Ok(text.to_owned()),
        _ => Err("write a duration such as `90s`, `30m` or `2h`"),
    }
}

/// Who is said to say it; none: the server knows whose token it is.
fn who(named: Option<&String>, server: &Server) -> Option<String> {
    let unnamed = || (!server.has_token()).then(user);
    named.cloned().or_else(unnamed)
}

/// Who calls, as the environment has it or the system.
fn user() -> String {
    let of_system = || User::from_uid(Uid::current()).ok().flatten().map(|it| it.name);
    let of_environment = std::env::var("USER").ok().filter(|it| !it.is_empty());
    of_environment.or_else(of_system).unwrap_or_else(|| Uid::current().to_string())
}

/// A text as one segment of a path.
fn segment(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_one_segment() {
        assert_eq!(segment("www.example.com/a b+c"), "www.example.com%2Fa%20b%2Bc");
        assert_eq!(segment("198.51.100.*"), "198.51.100.*");
        assert_eq!(segment("2001:db8::1"), "2001%3Adb8%3A%3A1");
    }

    #[test]
    fn the_list_is_a_table() {
        let said = r#"{
            "overrides": [{"id": 7, "target": "www.example.com/a", "state": "drain", "reason": "disks",
                "author": "ops", "since": "S", "until": null}],
            "dials": [{"region": "eu", "percent": 5, "reason": "slowly", "author": "me",
                "since": "S", "until": "U"}]
        }"#;
        let said = serde_json::from_str::<Said>(said).unwrap().list_text();
        let expect = "   7  www.example.com/a  drain  S until cleared  ops: disks\n\
                      dial  eu                 5 %    S until U  me: slowly\n";
        assert_eq!(said, expect);
        let none = Said::default();
        assert_eq!(none.list_text(), "no override and no dial\n");
    }

    #[test]
    fn a_duration_is_one() {
        assert_eq!(duration("30m"), Ok("30m".to_owned()));
        assert!(duration("soon").is_err() && duration("0s").is_err());
    }
}
