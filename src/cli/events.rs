//! `evenkeel events`: what happened on a running server, and what happens.

use std::{
    io::{self, Write as _},
    ops::ControlFlow,
    process::ExitCode,
};

use reqwest::Method;

use super::{
    client::{Refused, Server},
    print,
};
use crate::api::body::{Event, Events, Missed};

/// What is asked for.
#[derive(Debug, clap::Args)]
pub(super) struct Asked {
    #[command(flatten)]
    server: Server,
    /// Go on with what happens, until stopped.
    #[arg(long)]
    follow: bool,
    /// What comes after the event with this id, instead of the latest.
    #[arg(long, value_name = "ID")]
    after: Option<u64>,
    /// At most so many of what happened.
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    limit: usize,
    /// What the API gives, instead of text; with `--follow` one event a line.
    #[arg(long)]
    json: bool,
}

/// Prints what happened, and with `--follow` what happens.
pub(super) fn run(asked: &Asked) -> ExitCode {
    match told(asked) {
        Ok(code) => code,
        Err(refused) => refused.say(),
    }
}

fn told(asked: &Asked) -> Result<ExitCode, Refused> {
    let Asked { server, follow, after, limit, json } = asked;
    let (limit, given) = (limit.to_string(), after.map(|it| it.to_string()));
    let mut parameters = vec![("limit", &*limit)];
    parameters.extend(given.as_deref().map(|it| ("after", it)));
    let body = server.call(Method::GET, "/api/v1/events", &parameters)?;
    if *json && !follow {
        return Ok(print(&body));
    }
    let Events { events } = read(&body)?;
    let lines = events.iter().map(|it| if *json { one_line(it) } else { text(it) });
    let code = print(&lines.collect::<String>());
    if !follow || code != ExitCode::SUCCESS {
        return Ok(code);
    }
    // What happened between the two calls is in the stream, and nothing is twice.
    let last = events.last().map(|it| it.id).or(*after).unwrap_or(0).to_string();
    server.lines("/api/v1/events/stream", &[("after", &*last)], &mut |line| say(line, *json))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a line of the stream, if it is one that says something.
fn say(line: &str, json: bool) -> ControlFlow<()> {
    let Some(data) = line.strip_prefix("data:").map(str::trim_start) else {
        return ControlFlow::Continue(());
    };
    let text = match (serde_json::from_str(data), serde_json::from_str(data)) {
        (Ok(Event { .. }), _) if json => format!("{data}\n"),
        (Ok(event), _) => text(&event),
        (_, Ok(Missed { missed })) => {
            eprintln!("{missed} events were not heard: `--after` gives them");
            return ControlFlow::Continue(());
        }
        _ => return ControlFlow::Continue(()),
    };
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ControlFlow::Continue(()),
        // Whoever read has had enough.
        Err(_) => ControlFlow::Break(()),
    }
}

fn text(event: &Event) -> String {
    let Event { id, at, kind, subject, from, to, why } = event;
    format!("{id:>6}  {at}  {kind:<11}  {subject}  {from} -> {to}  ({why})\n")
}

fn one_line(event: &Event) -> String {
    let mut line = crate::api::body::line(event);
    line.push('\n');
    line
}

fn read(body: &str) -> Result<Events, Refused> {
    serde_json::from_str(body)
        .map_err(|error| Refused::No(format!("the server's answer cannot be read: {error}")))
}
