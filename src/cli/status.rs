//! `evenkeel status` and `evenkeel reload`: how a running server is, and that it reads its files.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _},
    process::ExitCode,
    time::Duration,
};

use reqwest::Method;

use super::{
    client::{Refused, Server},
    print, watch,
};
use crate::{
    api::body::{Region, Reloaded, Status},
    config,
    limits::{DURATION_MAX, WATCH_INTERVAL_MIN},
};

/// What is asked for.
#[derive(Debug, clap::Args)]
pub(super) struct Asked {
    #[command(flatten)]
    server: Server,
    /// What the API gives, instead of text.
    #[arg(long)]
    json: bool,
    /// Show it full screen, as it changes, until `q` is pressed.
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// With `--watch`: how long to wait before asking again, at least `100ms`.
    #[arg(long, value_name = "DURATION", requires = "watch", default_value = "1s", value_parser = interval)]
    interval: Duration,
}

fn interval(text: &str) -> Result<Duration, &'static str> {
    let interval =
        config::duration(text).filter(|it| WATCH_INTERVAL_MIN <= *it && *it <= DURATION_MAX);
    interval.ok_or("write a duration such as `500ms`, `1s` or `1m`, from `100ms` to `366d`")
}

/// Prints how the server is, or shows it.
pub(super) fn status(asked: &Asked) -> ExitCode {
    let Asked { server, json, watch, interval } = asked;
    if *watch && io::stdout().is_terminal() {
        return watch::run(server, *interval);
    }
    if *watch {
        eprintln!("`--watch` is for a terminal; this is how it is now");
    }
    told(server.call(Method::GET, "/api/v1/status", &[]), *json, |status: &Status| {
        let mut text = title(status) + "\n";
        let width = status.regions.iter().map(|it| it.name.len()).max().unwrap_or(0);
        for region in &status.regions {
            let Region { name, state, dial, .. } = region;
            let load = load_text(region);
            writeln!(text, "{name:<width$}  {state:<5}  dial {dial:>3} %  {load}")
                .expect("a String takes everything");
        }
        text
    })
}

/// The version of the server, and how it is as a whole.
pub(super) fn title(status: &Status) -> String {
    let ready = if status.ready { "ready" } else { "waiting for the first probes" };
    let blind = if status.blind { ", blind" } else { "" };
    let Status { version, generation, .. } = status;
    format!("evenkeel {version}: {ready}{blind}, generation {generation}")
}

/// What a region is given, of what it can take, and what else is to be said of it.
pub(super) fn load_text(region: &Region) -> String {
    let count = |count: usize, what: &str| match count {
        0 => String::new(),
        count => format!("  {count} {what}"),
    };
    let reports =
        region.utilization.map_or_else(String::new, |it| format!(", reports {:.0} %", it * 100.0));
    format!(
        "load {} of {}{reports}{}{}",
        number(region.load),
        number(region.capacity),
        count(region.returning, "coming back"),
        count(region.over_budget, "over budget")
    )
}

/// A load with as many digits as anyone reads.
pub(super) fn number(load: Option<f64>) -> String {
    let Some(load) = load else { return "-".to_owned() };
    let text = format!("{load:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Has the server read its files, and prints what came of it.
pub(super) fn reload(server: &Server, json: bool) -> ExitCode {
    told(server.call(Method::POST, "/api/v1/reload", &[]), json, |reloaded: &Reloaded| {
        format!("reloaded: generation {}\n", reloaded.generation)
    })
}

/// Prints an answer: as it came, or as text; or why there is none.
pub(super) fn told<T: serde::de::DeserializeOwned>(
    answer: Result<String, Refused>,
    json: bool,
    text: impl FnOnce(&T) -> String,
) -> ExitCode {
    match answer {
        Ok(body) if json => print(&body),
        Ok(body) => match serde_json::from_str(&body) {
            Ok(value) => print(&text(&value)),
            Err(error) => Refused::No(format!("the server's answer cannot be read: {error}")).say(),
        },
        Err(refused) => refused.say(),
    }
}
