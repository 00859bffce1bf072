//! Metrics: what Prometheus scrapes.
//!
//! ```text
//!   GET /metrics -> counters of the packet threads, the snapshot   \
//!                -> the control loop, for what it alone knows       Scrape -> OpenMetrics
//!                   (with a limit: without it the rest is told)    /           '-> text format 0.0.4
//! ```
//!
//! # Invariants
//!
//! - The number of series is bounded: pools of names, zones and checks beyond a limit are summed under
//!   the label [`OTHERS`].
//! - A control loop that does not answer costs its own metrics, and shows in `evenkeel_control_up`.
//!
//! Not here: what is counted when (`counters`, `tally`, `app::meters`), and the same as JSON (`traffic`).

mod scrape;
mod sheet;

use std::{sync::Arc, time::SystemTime};

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use tokio::time::timeout;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api, Problem, Request, Status,
    calls::{ask, no_parameters},
};
use crate::limits::METRICS_WAIT_MAX;
use scrape::Scrape;

/// The label of all that is not told one by one: no name, zone or check is called so.
pub const OTHERS: &str = "*others";

/// What the control loop alone knows.
#[derive(Debug, Clone)]
pub struct Gauges {
    /// How the server is.
    pub status: Status,
    /// Endpoints by region (empty: none) and verdict: up, down, unknown.
    pub verdicts: Vec<(Box<str>, [usize; 3])>,
    /// When the process began.
    pub began: SystemTime,
    /// When the latest snapshot was published.
    pub published_at: SystemTime,
    /// Reloads that were followed, and those that were refused.
    pub reloads: [u64; 2],
    /// When the latest of them was; none: there was none.
    pub reloaded_at: Option<SystemTime>,
    /// Whether that one was followed, or there was none.
    pub reloaded: bool,
    /// What probes came to, by check.
    pub checks: Vec<(Arc<str>, ProbeMeter)>,
    /// Overrides that hold.
    pub overrides: usize,
    /// Events that were taken down.
    pub events: u64,
    /// Events that a webhook was to be told of and was not.
    pub untold: u64,
}

/// Seconds within which probes ended; what took longer comes behind.
pub const PROBE_SECONDS: [f64; 9] = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// What the probes of a check came to.
#[derive(Debug, Clone, Default)]
pub struct ProbeMeter {
    /// Good ones, those without an outcome in time, and those that failed otherwise.
    pub outcomes: [u64; 3],
    /// By how long they took, in the order of [`PROBE_SECONDS`], and last those that took longer.
    pub times: [u64; PROBE_SECONDS.len() + 1],
    /// Seconds that all of them took.
    pub seconds: f64,
}

/// Every call.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// What there is to measure
///
/// For Prometheus: `OpenMetrics` for whoever asks for that, else the text format 0.0.4.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "state",
    responses(
        (status = 200, description = "The metrics", content(
            (String = "text/plain"), (String = "application/openmetrics-text"),
        )),
    ),
)]
async fn metrics(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    no_parameters(query.as_deref())?;
    let gauges = timeout(METRICS_WAIT_MAX, ask(&api, Request::Gauges)).await;
    let gauges = gauges.ok().and_then(Result::ok);
    let text = Scrape { api, gauges }.into_openmetrics();
    let wants = |it: &HeaderValue| it.as_bytes().starts_with(b"application/openmetrics-text");
    let (kind, text) = if headers.get(header::ACCEPT).is_some_and(wants) {
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", text)
    } else {
        ("text/plain; version=0.0.4; charset=utf-8", sheet::plain(&text))
    };
    let kind = HeaderValue::from_static(kind);
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
