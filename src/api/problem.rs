//! Problems: what went wrong, as RFC 9457 has it, and what to do about it.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{Ref, RefOr, content::Content, response::Response as Described},
};

use crate::{compile::keys::Scope, config::Complaint, limits::API_CALLS_PER_S_MAX, wire::Name};

/// A problem document (RFC 9457).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `about:blank`: the status says what kind it is (RFC 9457 section 4.2.1).
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "about:blank")]
    pub kind: Box<str>,
    /// The words of the status.
    #[schema(value_type = String, example = "Not Found")]
    pub title: Box<str>,
    /// The status code.
    pub status: u16,
    /// What went wrong.
    #[schema(value_type = String)]
    pub detail: Box<str>,
    /// What to do about it.
    #[schema(value_type = String)]
    pub hint: Box<str>,
    /// What is wrong with the files.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    #[schema(value_type = Vec<Complaint>)]
    pub complaints: Box<[Complaint]>,
    /// The names that would be left with nothing.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub names: Box<[String]>,
    /// The scope that a token needs for the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub scope: Option<Box<str>>,
    /// Seconds until it is worth calling again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u16>,
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<Box<str>>, hint: impl Into<Box<str>>) -> Self {
        Self {
            kind: "about:blank".into(),
            title: status.canonical_reason().unwrap_or_default().into(),
            status: status.as_u16(),
            detail: detail.into(),
            hint: hint.into(),
            complaints: Box::default(),
            names: Box::default(),
            scope: None,
            retry_after: None,
        }
    }

    pub(super) fn bad_parameter(detail: impl Into<Box<str>>, hint: impl Into<Box<str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail, hint)
    }

    pub(super) fn no_token(scope: Scope) -> Self {
        let detail = format!("this call needs a token of the scope `{scope}`");
        let hint = "send `Authorization: Bearer <token>`; `evenkeel` takes `--token-file` or EVENKEEL_TOKEN";
        Self {
            scope: Some(scope.as_str().into()),
            ..Self::new(StatusCode::UNAUTHORIZED, detail, hint)
        }
    }

    pub(super) fn wrong_scope(needed: Scope, given: Scope) -> Self {
        let detail =
            format!("this call needs a token of the scope `{needed}`, and this one has `{given}`");
        let hint = "take another token; `evenkeel token new` makes one";
        Self {
            scope: Some(needed.as_str().into()),
            ..Self::new(StatusCode::FORBIDDEN, detail, hint)
        }
    }

    pub(super) fn foreign_origin() -> Self {
        let detail = "a page of another site may not change anything here";
        Self::new(
            StatusCode::FORBIDDEN,
            detail,
            "call the API without an `Origin`, or from its own",
        )
    }

    pub(super) fn no_call(path: &str) -> Self {
        let hint = "there are `/healthz` and, under `/api/v1/`, `status`, `endpoints`, `zones`, `explain`, \
                    `events`, `events/stream`, `overrides`, `dials/REGION`, `reload`, `latency` and \
                    `heartbeats/CHECK`";
        Self::new(StatusCode::NOT_FOUND, format!("there is no `{path}`"), hint)
    }

    pub(super) fn wrong_method(method: &str, path: &str) -> Self {
        let detail = format!("`{path}` is not called with {method}");
        let hint = "`overrides`, `dials`, `reload`, `latency` and `heartbeats` are called with POST, an \
                    override is cleared with DELETE, all else is called with GET";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, detail, hint)
    }

    pub(super) fn too_many_streams() -> Self {
        let detail = "as many follow the events as may";
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            detail,
            "ask for `events?after=` from time to time",
        )
    }

    pub(super) fn unknown(detail: impl Into<Box<str>>, hint: impl Into<Box<str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail, hint)
    }

    pub(super) fn bad_body(status: StatusCode, detail: impl Into<Box<str>>) -> Self {
        Self::new(status, detail, "send less at one time")
    }

    pub(super) fn bad_files(complaints: Vec<Complaint>) -> Self {
        let count = complaints.len();
        let s = if count == 1 { "" } else { "s" };
        let detail = format!("the files have {count} complaint{s}, and all stays as it was");
        let hint = "correct the files and reload; `evenkeel check` says the same without a server";
        Self {
            complaints: complaints.into(),
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail, hint)
        }
    }

    pub(super) fn would_leave_nothing(names: &[Name]) -> Self {
        let count = names.len();
        let s = if count == 1 { "" } else { "s" };
        let detail = format!("{count} name{s} would be left with nothing for some clients");
        let hint = "withdraw less, or force it: what is left with nothing is SERVFAIL";
        let names = names.iter().map(ToString::to_string).collect();
        Self { names, ..Self::new(StatusCode::CONFLICT, detail, hint) }
    }

    pub(super) fn not_kept(detail: impl Into<Box<str>>) -> Self {
        let hint = "answers are as before; look at the disk of the `state` folder, then call again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail, hint)
    }

    pub(super) fn too_often(wait: Duration) -> Self {
        let seconds = u16::try_from(wait.as_secs()).unwrap_or(u16::MAX).saturating_add(1);
        let detail = format!(
            "this client calls more than {API_CALLS_PER_S_MAX} times a second, and has done so for a while"
        );
        let hint = "call less often; `events/stream` tells what happens without being asked";
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, detail, hint);
        Self { retry_after: Some(seconds), ..problem }
    }

    pub(super) fn late() -> Self {
        let detail = "the call took too long";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail, "call again; the server is busy")
    }

    pub(super) fn stopping() -> Self {
        let detail = "the server is stopping, or lost the call to a bug";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail, "call again; look into the server's log")
    }

    /// When a call is refused with a status, and one of the problems that say so.
    fn example(status: u16) -> (&'static str, Self) {
        match status {
            400 => (
                "A parameter or the body is not what the call takes",
                Self::bad_parameter("the parameter `tipe` is not known", "known: `name`, `type`"),
            ),
            401 => ("There is no token that the server knows", Self::no_token(Scope::Operate)),
            403 => (
                "The token is of another scope, or the call comes from a page of another site",
                Self::wrong_scope(Scope::Operate, Scope::Read),
            ),
            404 => (
                "What is meant is not known",
                Self::unknown("there is no region `mars`", "`evenkeel status` names what there is"),
            ),
            409 => {
                let name = Name::parse("www.example.com", Some(&Name::root())).expect("it is one");
                ("Names would be left with nothing", Self::would_leave_nothing(&[name]))
            }
            413 => (
                "The body is too long",
                Self::bad_body(StatusCode::PAYLOAD_TOO_LARGE, "length limit exceeded"),
            ),
            422 => {
                let complaint = Complaint {
                    file: "zones/example.com.yaml".to_owned(),
                    line: 7,
                    column: 10,
                    message: "`20x` is not a duration".to_owned(),
                    hint: "write `500ms`, `10s`, `5m`, `1h`, `1d` or whole seconds".to_owned(),
                    text: String::new(),
                };
                ("The files are wrong, and all stays as it was", Self::bad_files(vec![complaint]))
            }
            429 => ("The client calls too often", Self::too_often(Duration::ZERO)),
            _ => ("Not now: the server is starting, stopping or busy", Self::not_ready()),
        }
    }

    pub(super) fn not_ready() -> Self {
        let detail = "steered names are not served yet";
        let hint = "the first round of probes takes at most `startup_wait`";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail, hint)
    }
}

/// The type of its bodies (RFC 9457 section 6.1).
const PROBLEM: &str = "application/problem+json";

/// That a call may be refused with this status, for its description.
pub(super) struct Refused<const STATUS: u16>;

impl<const STATUS: u16> IntoResponses for Refused<STATUS> {
    fn responses() -> BTreeMap<String, RefOr<Described>> {
        let (when, example) = Problem::example(STATUS);
        let schema = Ref::from_schema_name(Problem::name());
        let example = serde_json::to_value(example).expect("text and numbers are JSON");
        let content = Content::builder().schema(Some(schema)).example(Some(example)).build();
        let response = Described::builder().description(when).content(PROBLEM, content).build();
        [(STATUS.to_string(), response.into())].into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let text = super::body::text(&self);
        let mut response = (status, text).into_response();
        let kind = HeaderValue::from_static(PROBLEM);
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        // RFC 6750 section 3.
        if let Some(scope) = &self.scope {
            let short = status == StatusCode::FORBIDDEN;
            let error = if short { ", error=\"insufficient_scope\"" } else { "" };
            let challenge = format!("Bearer realm=\"evenkeel\"{error}, scope=\"{scope}\"");
            let challenge = challenge.parse().expect("a scope is a word");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
