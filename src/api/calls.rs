//! The calls: from parameters to what the server is asked, and to a body.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Extension, Router,
    body::Bytes,
    extract::{
        DefaultBodyLimit, Path, RawQuery, State,
        rejection::{BytesRejection, PathRejection},
    },
    http::{HeaderValue, Method, StatusCode, Uri, header},
    middleware,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tokio::sync::oneshot;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api, Problem, Request, access, body, document, events,
    forms::{ClientForm, NameForm},
    metrics, operator, page,
    problem::Refused,
    rate::Rates,
    traffic, zones,
};
use crate::{
    compile::keys::Scope,
    config::samples,
    explain::{self, Question, Unexplained},
    geo::Prefix,
    limits::API_BODY_LEN_MAX,
    state::{Concerned, latency::Sample},
    wire::{Name, Rtype},
};

/// Every call, and the description of all of them.
pub(super) fn routes(api: Api) -> Router {
    let read = OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(endpoints))
        .routes(routes!(history))
        .routes(routes!(explain_call))
        .routes(routes!(events::page))
        .routes(routes!(events::follow))
        .routes(routes!(operator::list));
    let operate = OpenApiRouter::new()
        .routes(routes!(latency))
        .routes(routes!(heartbeat))
        .merge(operator::routes());
    let read = read.merge(zones::routes()).merge(traffic::routes());
    let admin = OpenApiRouter::new().routes(routes!(reload));
    let v1 = guarded(&api, read, Scope::Read)
        .merge(guarded(&api, operate, Scope::Operate))
        .merge(guarded(&api, admin, Scope::Admin));
    let open = OpenApiRouter::with_openapi(document::begin())
        .routes(routes!(healthz))
        .routes(routes!(document::openapi))
        .merge(guarded(&api, metrics::routes(), Scope::Read));
    let (router, mut document) = open.nest("/api/v1", v1).split_for_parts();
    document::everywhere(&mut document);
    let rates = Arc::<Mutex<Rates>>::default();
    let document: Arc<str> = body::text(&document).into();
    router
        .merge(page::routes())
        .fallback(async |uri: Uri| Problem::no_call(uri.path()))
        .method_not_allowed_fallback(async |method: Method, uri: Uri| {
            Problem::wrong_method(method.as_str(), uri.path())
        })
        .layer(Extension(document))
        .layer(middleware::from_fn_with_state(rates, access::guard))
        .layer(DefaultBodyLimit::max(API_BODY_LEN_MAX))
        .with_state(api)
}

/// Calls that take a token of this scope, and say so.
fn guarded(api: &Api, mut calls: OpenApiRouter<Api>, scope: Scope) -> OpenApiRouter<Api> {
    document::guard(calls.get_openapi_mut(), scope);
    calls.route_layer(middleware::from_fn_with_state((api.clone(), scope), access::admit))
}

/// A body of JSON.
pub(super) fn json(value: &impl Serialize) -> Response {
    let mut response = body::text(value).into_response();
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Asks the control loop.
pub(super) async fn ask<T>(
    api: &Api,
    request: impl FnOnce(oneshot::Sender<T>) -> Request,
) -> Result<T, Problem> {
    let (reply, answer) = oneshot::channel();
    api.requests.send(request(reply)).await.map_err(|_| Problem::stopping())?;
    answer.await.map_err(|_| Problem::stopping())
}

/// Whether steered names are served
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "healthz",
    tag = "state",
    responses(
        (status = 200, description = "They are", content_type = "text/plain", body = String),
        Refused<503>,
    ),
)]
async fn healthz(State(api): State<Api>) -> Result<&'static str, Problem> {
    if *api.ready.borrow() { Ok("ok\n") } else { Err(Problem::not_ready()) }
}

/// How the server is
#[utoipa::path(
    get,
    path = "/status",
    operation_id = "status",
    tag = "state",
    responses((status = 200, description = "How it is", body = body::Status)),
)]
async fn status(State(api): State<Api>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    no_parameters(query.as_deref())?;
    let status = ask(&api, Request::Status).await?;
    Ok(json(&body::Status::from(&status)))
}

/// The endpoints of steered names
#[utoipa::path(
    get,
    path = "/endpoints",
    operation_id = "endpoints",
    tag = "state",
    params(
        ("name" = inline(Option<NameForm>), Query, description = "Those of this name alone",
            example = "www.example.com"),
    ),
    responses((status = 200, description = "Endpoints", body = body::Endpoints), Refused<404>),
)]
async fn endpoints(State(api): State<Api>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let only = only(query.as_deref())?;
    told_endpoints(&api, only, false).await
}

/// The endpoints of a steered name, with what their checks came to
///
/// With the latest 60 executions of each check.
#[utoipa::path(
    get,
    path = "/endpoints/history",
    operation_id = "endpoints_history",
    tag = "state",
    params(
        ("name" = inline(NameForm), Query, description = "Those of this name",
            example = "www.example.com"),
    ),
    responses((status = 200, description = "Endpoints", body = body::Endpoints), Refused<404>),
)]
async fn history(State(api): State<Api>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let Some(name) = only(query.as_deref())? else {
        let hint = "write `name=www.example.com`";
        return Err(Problem::bad_parameter("the parameter `name` is missing", hint));
    };
    told_endpoints(&api, Some(name), true).await
}

/// The name in `name`, if there is one.
fn only(query: Option<&str>) -> Result<Option<Name>, Problem> {
    let mut only = None;
    for (key, value) in parameters(query) {
        match &*key {
            "name" => only = Some(name(&value)?),
            _ => return Err(unknown_parameter(&key, "`name`")),
        }
    }
    Ok(only)
}

async fn told_endpoints(
    api: &Api,
    only: Option<Name>,
    has_history: bool,
) -> Result<Response, Problem> {
    let concerned = only.clone().map_or(Concerned::All, Concerned::Name);
    let endpoints = ask(api, |reply| Request::Endpoints(concerned, reply)).await?;
    if let Some(name) = only.filter(|_| endpoints.is_empty()) {
        return Err(unexplained(&name, Unexplained::NotSteered));
    }
    Ok(json(&body::Endpoints::of(&endpoints, has_history)))
}

/// Read the files again
#[utoipa::path(
    post,
    path = "/reload",
    operation_id = "reload",
    tag = "operator",
    responses((status = 200, description = "They were read", body = body::Reloaded), Refused<422>),
)]
async fn reload(State(api): State<Api>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    no_parameters(query.as_deref())?;
    match ask(&api, Request::Reload).await? {
        Ok(generation) => Ok(json(&body::Reloaded { generation })),
        Err(complaints) => Err(Problem::bad_files(complaints)),
    }
}

/// Tell of measured round trips
#[utoipa::path(
    post,
    path = "/latency",
    operation_id = "latency",
    tag = "measurements",
    request_body(
        content_type = "application/x-ndjson",
        description = "A JSON object a line: `client` (an address or a network), `region`, `ms`, and \
                       `samples` if it is the mean of several. Lines that are none of that are counted",
        content = Option<Value>,
        example = json!("{\"client\": \"203.0.113.7\", \"region\": \"us-east-1\", \"ms\": 23.4}"),
    ),
    responses((status = 200, description = "How many were taken", body = body::Measured)),
)]
async fn latency(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
    samples: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    no_parameters(query.as_deref())?;
    let text = samples.map_err(|it| Problem::bad_body(it.status(), it.body_text()))?;
    let mut samples = Vec::new();
    let mut refused = Vec::new();
    // What is no UTF-8 is no JSON either, on its own line.
    for (number, line) in samples::ndjson(&String::from_utf8_lossy(&text)) {
        let sample = line.and_then(|it| {
            Sample::new(&it.client, &it.region, it.ms, it.samples).map_err(|why| why.to_string())
        });
        match sample {
            Ok(sample) => samples.push((number, sample)),
            Err(why) => refused.push((number, why)),
        }
    }
    let measured = ask(&api, |reply| Request::Measure(samples, reply)).await?;
    refused.extend(measured.refused);
    refused.sort_unstable();
    Ok(json(&body::Measured::new(measured.accepted, &refused)))
}

/// Send a heartbeat of a check
#[utoipa::path(
    post,
    path = "/heartbeats/{check}",
    operation_id = "heartbeat",
    tag = "measurements",
    params(("check" = String, Path, description = "A check of the kind `push`", example = "backup")),
    responses((status = 204, description = "It was taken in"), Refused<404>),
)]
async fn heartbeat(
    State(api): State<Api>,
    check: Segment,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, Problem> {
    let check = segment(check)?;
    no_parameters(query.as_deref())?;
    if ask(&api, |reply| Request::Heartbeat(check.clone(), reply)).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    let detail = format!("no endpoint rests on a check `{check}` of the kind `push`");
    Err(Problem::unknown(detail, "look for its name under `checks`, and for who refers to it"))
}

/// Why a client gets what it gets
///
/// Out of the stages that packets are answered by.
#[utoipa::path(
    get,
    path = "/explain",
    operation_id = "explain",
    tag = "state",
    params(
        ("name" = inline(NameForm), Query, description = "A steered name",
            example = "www.example.com"),
        ("type" = Option<String>, Query, pattern = "^(A|AAAA|CNAME|TYPE[1-9][0-9]{0,3})$",
            description = "The type of the question; A where it is absent", example = "A"),
        ("client" = inline(ClientForm), Query,
            description = "The client's address, or the network that a resolver names for it",
            example = "203.0.113.7"),
        ("down" = Option<String>, Query, example = "eu-west-1",
            description = "Regions that are taken to be down, with commas; it may come several times"),
    ),
    responses((status = 200, description = "Why", body = body::Explained), Refused<404>),
)]
async fn explain_call(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let asked = Asked::read(query.as_deref())?;
    let snapshot = api.snapshots.load_full();
    // With regions down it looks at every network there is, which takes some milliseconds.
    let told = tokio::task::spawn_blocking(move || asked.explain(&snapshot));
    told.await.unwrap_or_else(|_| Err(Problem::stopping())).map(|it| json(&it))
}

/// What is to be explained.
#[derive(Debug)]
pub struct Asked {
    /// The steered name.
    pub name: Name,
    /// The type of the question.
    pub qtype: Rtype,
    /// Whether `client` is a network that it names, and not its address.
    pub client: Prefix,
    /// Regions that are taken to be down.
    pub down: Vec<Box<str>>,
}

impl Asked {
    fn read(query: Option<&str>) -> Result<Self, Problem> {
        let (mut asked_name, mut qtype, mut client, mut down) = (None, Rtype::A, None, Vec::new());
        for (key, value) in parameters(query) {
            match &*key {
                "name" => asked_name = Some(name(&value)?),
                "type" => {
                    qtype = value.parse().map_err(|_| {
                        let detail = format!("`type={value}` is not a record type");
                        Problem::bad_parameter(detail, "write `type=A` or `type=AAAA`")
                    })?;
                }
                "client" => {
                    client = Some(value.parse::<Prefix>().map_err(|it| {
                        let hint = "write `client=203.0.113.7`, or a network as `203.0.113.0/24`";
                        Problem::bad_parameter(format!("`client={value}`: {it}"), hint)
                    })?);
                }
                "down" => {
                    let regions = value.split(',').map(str::trim).filter(|it| !it.is_empty());
                    down.extend(regions.map(Box::from));
                }
                _ => {
                    return Err(unknown_parameter(&key, "`name`, `type`, `client` and `down`"));
                }
            }
        }
        let missing = |key: &str, hint: &str| {
            Problem::bad_parameter(format!("the parameter `{key}` is missing"), hint)
        };
        Ok(Self {
            name: asked_name.ok_or_else(|| missing("name", "write `name=www.example.com`"))?,
            qtype,
            client: client.ok_or_else(|| missing("client", "write `client=203.0.113.7`"))?,
            down,
        })
    }

    /// The explanation, or what is not known of it.
    ///
    /// # Errors
    ///
    /// When there is no such name, or no such region.
    pub fn explain(
        &self,
        snapshot: &crate::snapshot::Snapshot,
    ) -> Result<body::Explained, Problem> {
        if !self.down.is_empty() {
            let known = explain::regions(snapshot);
            if let Some(region) = self.down.iter().find(|it| !known.contains(it)) {
                let hint =
                    crate::config::suggest(region, known.iter().map(|it| &**it), "there are");
                return Err(Problem::unknown(format!("no pool is in a region `{region}`"), hint));
            }
        }
        // A whole address is where the client is, and no network that it names.
        let bits = if self.client.address().is_ipv4() { 32 } else { 128 };
        let address: IpAddr = self.client.address();
        let question = Question {
            name: &self.name,
            qtype: self.qtype,
            subnet: Some(self.client).filter(|it| it.length() < bits),
            client: address,
            down: &self.down,
        };
        match explain::explain(snapshot, &question) {
            Ok(told) => Ok(body::Explained::from(&told)),
            Err(why) => Err(unexplained(&self.name, why)),
        }
    }
}

/// A parameter that is there or not.
pub(super) fn flag(key: &str, value: &str) -> Result<bool, Problem> {
    value.parse().map_err(|_| {
        let detail = format!("`{key}={value}` is neither yes nor no");
        Problem::bad_parameter(detail, format!("write `{key}=true` or `{key}=false`"))
    })
}

/// A part of a path that says what is meant.
pub(super) type Segment = Result<Path<Box<str>>, PathRejection>;

/// What a part of a path says.
pub(super) fn segment(segment: Segment) -> Result<Box<str>, Problem> {
    let Path(text) = segment.map_err(|it| {
        Problem::bad_parameter(it.body_text(), "write what is meant in UTF-8, percent-encoded")
    })?;
    Ok(text)
}

/// Refuses every parameter.
pub(super) fn no_parameters(query: Option<&str>) -> Result<(), Problem> {
    parameters(query).next().map_or(Ok(()), |(key, _)| Err(unknown_parameter(&key, "none")))
}

pub(super) fn parameters(query: Option<&str>) -> impl Iterator<Item = (String, String)> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
}

fn name(text: &str) -> Result<Name, Problem> {
    Name::parse(text, Some(&Name::root())).map_err(|it| {
        Problem::bad_parameter(format!("`name={text}`: {it}"), "write `name=www.example.com`")
    })
}

pub(super) fn unknown_parameter(key: &str, known: &str) -> Problem {
    Problem::bad_parameter(format!("the parameter `{key}` is not known"), format!("known: {known}"))
}

fn unexplained(name: &Name, why: Unexplained) -> Problem {
    let (detail, hint) = match why {
        Unexplained::NoZone => {
            ("is in none of the zones", "ask for a name of a zone of this server")
        }
        Unexplained::NoName => ("does not exist", "`GET /api/v1/endpoints` lists steered names"),
        Unexplained::NotSteered => (
            "is not steered: all clients get the same",
            "`GET /api/v1/endpoints` lists steered names; of an alias, ask for its target",
        ),
    };
    Problem::unknown(format!("`{name}` {detail}"), hint)
}
