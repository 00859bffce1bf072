//! `evenkeel explain`: what a client gets, and why.
//!
//! Not here: how that comes about (`explain`).

use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use reqwest::Method;

use super::{
    client::{Refused, Server, problem_text},
    print,
};
use crate::{
    api::{
        Asked,
        body::{self, Explained},
    },
    clock, compile,
    explain::percent,
    geo::Prefix,
    state::{Change, State},
    wire::{Name, Rtype},
};

/// Say what a client gets, and why, stage by stage.
#[derive(Debug, clap::Args)]
pub(super) struct Explain {
    /// The steered name.
    #[arg(value_parser = name)]
    name: Name,
    /// The record type.
    #[arg(value_name = "TYPE", default_value = "A", value_parser = rtype)]
    rtype: Rtype,
    /// Whom to explain it for: an address, or the network that a resolver names (EDNS Client Subnet).
    #[arg(long, value_name = "IP[/LEN]", value_parser = client)]
    client: Prefix,
    /// Take a region to be down; may be given several times.
    #[arg(long, value_name = "REGION", value_delimiter = ',')]
    down: Vec<String>,
    /// Explain what this server file says, with all endpoints up, and ask no server.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    server: Server,
    /// What the API gives, instead of text.
    #[arg(long)]
    json: bool,
}

fn name(text: &str) -> Result<Name, String> {
    Name::parse(text, Some(&Name::root())).map_err(|error| error.to_string())
}

fn rtype(text: &str) -> Result<Rtype, String> {
    text.parse().map_err(|_| "not a record type".to_owned())
}

fn client(text: &str) -> Result<Prefix, String> {
    text.parse().map_err(|error: crate::geo::Malformed| error.to_string())
}

/// Explains.
pub(super) fn run(explain: &Explain) -> ExitCode {
    let told = match &explain.config {
        Some(config) => explain.ask_file(config),
        None => explain.ask_server(),
    };
    match told {
        Ok(json) if explain.json => print(&json),
        Ok(json) => match serde_json::from_str(&json) {
            Ok(told) => print(&text(&told)),
            Err(error) => Refused::No(format!("the server's answer cannot be read: {error}")).say(),
        },
        Err(refused) => refused.say(),
    }
}

impl Explain {
    fn ask_server(&self) -> Result<String, Refused> {
        let (name, rtype) = (self.name.to_string(), self.rtype.to_string());
        let client = client_text(self.client);
        let mut parameters = vec![("name", &*name), ("type", &*rtype), ("client", &*client)];
        parameters.extend(self.down.iter().map(|region| ("down", &**region)));
        self.server.call(Method::GET, "/api/v1/explain", &parameters)
    }

    /// What a server would say that has just read the file, and whose probes all are good.
    fn ask_file(&self, config: &std::path::Path) -> Result<String, Refused> {
        let plan = compile::load(config).map_err(|it| Refused::No(it.to_text()))?;
        if !self.json {
            eprintln!("{}: as its endpoints are when all of them are up", config.display());
        }
        let (mut state, _) = State::begin(plan);
        state.apply(Change::WarmedUp);
        let snapshot = state.snapshot(clock::wall()).expect("the first is always new");
        let asked = Asked {
            name: self.name.clone(),
            qtype: self.rtype,
            client: self.client,
            down: self.down.iter().map(|it| it.as_str().into()).collect(),
        };
        let told = asked.explain(&snapshot).map_err(|it| Refused::No(problem_text(&it)))?;
        Ok(body::text(&told))
    }
}

/// An address, unless it is a network.
fn client_text(client: Prefix) -> String {
    let bits = if client.address().is_ipv4() { 32 } else { 128 };
    if client.length() == bits { client.address().to_string() } else { client.to_string() }
}

/// An explanation for people: a line per stage.
fn text(told: &Explained) -> String {
    let mut text = String::new();
    put(told, "", &mut text);
    text
}

fn put(told: &Explained, margin: &str, text: &mut String) {
    let Explained { name, rtype, place, .. } = told;
    writeln!(text, "{margin}{name} {rtype} for {}", place.address)
        .expect("a String takes everything");
    let mut line = |word: &str, left: &str, why: &str| {
        let line = format!("{margin}{word:<10} {left:<28}  {why}");
        writeln!(text, "{}", line.trim_end()).expect("a String takes everything");
    };
    for stage in &told.stages {
        let left = if stage.left.is_empty() { "none".to_owned() } else { stage.left.join(" ") };
        line(&stage.stage, &left, &stage.why);
    }
    for (idx, candidate) in told.candidates.iter().enumerate() {
        let word = if idx == 0 { "candidates" } else { "" };
        let share = percent(candidate.probability);
        let endpoints: Vec<&str> = candidate.endpoints.iter().map(|it| &*it.address).collect();
        let why = format!("weight {}: {}", candidate.weight, endpoints.join(" "));
        line(word, &format!("{} {share}", candidate.pool), &why);
    }
    line("footing", &told.footing, "");
    let ttl = if told.ttl == told.ttl_max {
        told.ttl.to_string()
    } else {
        format!("{} to {}", told.ttl, told.ttl_max)
    };
    line("ttl", &ttl, &told.ttl_reason);
    line("scope", &format!("/{}", told.scope), &told.scope_reason);
    let deeper = format!("{margin}  ");
    for alias in told.candidates.iter().filter_map(|it| it.alias.as_ref()) {
        text.push('\n');
        put(alias, &deeper, text);
    }
}
