//! Problems: what went wrong, as RFC 9457 has it, and what to do about it.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use crate::{config::Complaint, wire::Name};

/// A problem document.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Problem {
    /// `about:blank`: the status says what kind it is (RFC 9457 section 4.2.1).
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// The words of the status.
    pub title: Box<str>,
    /// The status code.
    pub status: u16,
    /// What went wrong.
    pub detail: Box<str>,
    /// What to do about it.
    pub hint: Box<str>,
    /// What is wrong with the files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub complaints: Vec<Complaint>,
    /// The names that would be left with nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<Box<str>>, hint: impl Into<Box<str>>) -> Self {
        Self {
            kind: "about:blank".into(),
            title: status.canonical_reason().unwrap_or_default().into(),
            status: status.as_u16(),
            detail: detail.into(),
            hint: hint.into(),
            complaints: Vec::new(),
            names: Vec::new(),
        }
    }

    pub(super) fn bad_parameter(detail: impl Into<Box<str>>, hint: impl Into<Box<str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail, hint)
    }

    pub(super) fn no_token() -> Self {
        let detail = "this call needs the token that `api.token_file` holds";
        let hint = "send `Authorization: Bearer <token>`; `evenkeel` takes `--token-file` or EVENKEEL_TOKEN";
        Self::new(StatusCode::UNAUTHORIZED, detail, hint)
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
        let hint = "there are `/healthz` and, under `/api/v1/`, `status`, `endpoints`, `explain`, \
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
        Self { complaints, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail, hint) }
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

    pub(super) fn late() -> Self {
        let detail = "the call took too long";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail, "call again; the server is busy")
    }

    pub(super) fn stopping() -> Self {
        let detail = "the server is stopping, or lost the call to a bug";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail, "call again; look into the server's log")
    }

    pub(super) fn not_ready() -> Self {
        let detail = "steered names are not served yet";
        let hint = "the first round of probes takes at most `startup_wait`";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail, hint)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let text = super::body::text(&self);
        let mut response = (status, text).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"evenkeel\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
