//! Events: a page of what happened, and the stream of what happens.
//!
//! Not here: which events there are (`state::journal`).

use std::convert::Infallible;

use axum::{
    extract::{RawQuery, State},
    http::HeaderMap,
    response::{
        IntoResponse as _, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use futures_util::stream;
use tokio::sync::Semaphore;

use super::{
    Api, Problem, Request, body,
    calls::{ask, json, parameters, unknown_parameter},
};
use crate::{
    limits::{API_EVENTS_DEFAULT, API_EVENTS_MAX, API_STREAM_KEEP_ALIVE, API_STREAMS_MAX},
    state::journal::Heard,
};

/// What happened
///
/// The oldest first.
#[utoipa::path(
    get,
    path = "/events",
    operation_id = "events",
    tag = "state",
    params(
        ("after" = Option<u64>, Query, description = "Those after this one; without, the latest"),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000,
            description = "How many at most; 100 where it is absent"),
    ),
    responses((status = 200, description = "Events", body = body::Events)),
)]
pub(super) async fn page(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let (mut after, mut limit) = (None, API_EVENTS_DEFAULT);
    for (key, value) in parameters(query.as_deref()) {
        match &*key {
            "after" => after = Some(id(&key, &value)?),
            "limit" => {
                let given = value.parse().ok().filter(|it| (1..=API_EVENTS_MAX).contains(it));
                limit = given.ok_or_else(|| {
                    let hint = format!("write a number from 1 to {API_EVENTS_MAX}");
                    Problem::bad_parameter(format!("`limit={value}` is out of range"), hint)
                })?;
            }
            _ => return Err(unknown_parameter(&key, "`after` and `limit`")),
        }
    }
    let entries = ask(&api, |reply| Request::Events { after, limit, reply }).await?;
    let events = entries.iter().map(|it| body::Event::from(&**it)).collect();
    Ok(json(&body::Events { events }))
}

/// What happens, as it happens
///
/// Server-sent events: each has the `id` of the event and its JSON as `data`. Those of the kind
/// `missed` stand for events that were not sent. Whoever comes back says in `Last-Event-ID` what he
/// has, as browsers do, or in `after`.
#[utoipa::path(
    get,
    path = "/events/stream",
    operation_id = "follow_events",
    tag = "state",
    params(
        ("after" = Option<u64>, Query, description = "Those after this one; without, from now on"),
        ("Last-Event-ID" = Option<u64>, Header, description = "As `after`, which it beats"),
    ),
    responses(
        (status = 200, description = "Events, without an end", content_type = "text/event-stream",
            body = body::Event),
    ),
)]
pub(super) async fn follow(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    static PLACES: Semaphore = Semaphore::const_new(API_STREAMS_MAX);

    let mut after = None;
    for (key, value) in parameters(query.as_deref()) {
        match &*key {
            "after" => after = Some(id(&key, &value)?),
            _ => return Err(unknown_parameter(&key, "`after`")),
        }
    }
    if let Some(value) = headers.get("last-event-id") {
        after = Some(id("Last-Event-ID", value.to_str().unwrap_or_default())?);
    }
    let place = PLACES.try_acquire().map_err(|_| Problem::too_many_streams())?;
    let following = ask(&api, |reply| Request::Follow(after, reply)).await?;
    let heard = stream::unfold((following, place), async |(mut following, place)| {
        let event = event(following.next().await?);
        Some((Ok::<_, Infallible>(event), (following, place)))
    });
    let mut response = Sse::new(heard)
        .keep_alive(KeepAlive::new().interval(API_STREAM_KEEP_ALIVE))
        .into_response();
    // A proxy that collects what it passes on would hold events back.
    response.headers_mut().insert("x-accel-buffering", "no".parse().expect("it is a word"));
    Ok(response)
}

fn event(heard: Heard) -> sse::Event {
    match heard {
        Heard::Entry(entry) => {
            let data = body::line(&body::Event::from(&*entry));
            sse::Event::default().id(entry.id.to_string()).data(data)
        }
        Heard::Missed(missed) => {
            sse::Event::default().event("missed").data(body::line(&body::Missed { missed }))
        }
    }
}

fn id(key: &str, value: &str) -> Result<u64, Problem> {
    // Other languages have no greater whole numbers.
    let number = value.parse().ok().filter(|it| *it <= i64::MAX.unsigned_abs());
    number.ok_or_else(|| {
        let detail = format!("`{key}={value}` is not the id of an event");
        Problem::bad_parameter(detail, "write a whole number")
    })
}
