//! `evenkeel status` and `evenkeel reload`: how a running server is, and that it reads its files.

use std::{fmt::Write as _, process::ExitCode};

use reqwest::Method;

use super::{
    client::{Refused, Server},
    print,
};
use crate::api::body::{Reloaded, Status};

/// Prints how the server is.
pub(super) fn status(server: &Server, json: bool) -> ExitCode {
    told(server.call(Method::GET, "/api/v1/status", &[]), json, |status: &Status| {
        let ready = if status.ready { "ready" } else { "waiting for the first probes" };
        let blind = if status.blind { ", blind" } else { "" };
        let Status { version, generation, .. } = status;
        let mut text = format!("evenkeel {version}: {ready}{blind}, generation {generation}\n");
        let width = status.regions.iter().map(|it| it.name.len()).max().unwrap_or(0);
        for region in &status.regions {
            let count = |count: usize, what: &str| match count {
                0 => String::new(),
                count => format!("  {count} {what}"),
            };
            let reports = region
                .utilization
                .map_or_else(String::new, |it| format!(", reports {:.0} %", it * 100.0));
            writeln!(
                text,
                "{:<width$}  {:<5}  dial {:>3} %  load {} of {}{reports}{}{}",
                region.name,
                region.state,
                region.dial,
                number(region.load),
                number(region.capacity),
                count(region.returning, "coming back"),
                count(region.over_budget, "over budget")
            )
            .expect("a String takes everything");
        }
        text
    })
}

/// A load with as many digits as anyone reads.
fn number(load: Option<f64>) -> String {
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
