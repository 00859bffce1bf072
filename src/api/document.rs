//! The description of the API (`OpenAPI` 3.1), made from the calls themselves.
//!
//! Each call says beside its code what it takes and answers, and each body is described by the type
//! that is written and read. What holds for all calls is added here.
//!
//! # Invariants
//!
//! - A route is made of a described call and of nothing else, so that none is missing.
//!
//! Not here: the calls (`calls`, `events`, `operator`), and why they are refused (`problem`).

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension,
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use utoipa::{
    IntoResponses, OpenApi as _,
    openapi::{
        OpenApi, RefOr, SecurityRequirement,
        path::{Operation, PathItem},
        response::Response as Described,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

use super::{Problem, body, problem::Refused};
use crate::compile::keys::Scope;

/// What stands above the calls.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Evenkeel",
        description = "What a running server knows, and how it is told. Whatever goes wrong is a \
                       problem document (RFC 9457) with a hint.",
    ),
    tags(
        (name = "state", description = "How the server is, and why clients get what they get"),
        (name = "operator", description = "What operators say"),
        (name = "measurements", description = "What others tell the server"),
    ),
    components(schemas(Problem, body::Missed)),
)]
struct Top;

/// The name of the way in which callers say who they are.
const TOKEN: &str = "token";

/// The description, before any call is in it.
pub(super) fn begin() -> OpenApi {
    let mut document = Top::openapi();
    let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    document.components.get_or_insert_default().add_security_scheme(TOKEN, token);
    document
}

/// Adds to calls what whoever lets them in may answer in their place.
///
/// Who may only ask needs no token as long as there is none for that.
pub(super) fn guard(calls: &mut OpenApi, scope: Scope) {
    for operation in calls.paths.paths.values_mut().flat_map(operations) {
        let mut refusals = Refused::<400>::responses();
        refusals.extend(Refused::<401>::responses());
        refusals.extend(Refused::<403>::responses());
        let token = SecurityRequirement::new(TOKEN, [scope.as_str()]);
        operation.security = Some(match scope {
            Scope::Read => vec![SecurityRequirement::default(), token],
            Scope::Operate | Scope::Admin => vec![token],
        });
        if operation.request_body.is_some() {
            refusals.extend(Refused::<413>::responses());
        }
        add(operation, refusals);
    }
}

/// Adds what may be answered in the place of every call.
pub(super) fn everywhere(document: &mut OpenApi) {
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        let mut refusals = Refused::<429>::responses();
        refusals.extend(Refused::<503>::responses());
        add(operation, refusals);
    }
}

fn add(operation: &mut Operation, refusals: BTreeMap<String, RefOr<Described>>) {
    for (status, refusal) in refusals {
        operation.responses.responses.entry(status).or_insert(refusal);
    }
}

/// The calls of a path.
fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, post, delete, .. } = path;
    [get, post, delete].into_iter().flatten()
}

/// This description
///
/// In `OpenAPI` 3.1.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    tag = "state",
    responses((status = 200, description = "It", content_type = "application/json", body = Object)),
)]
pub(super) async fn openapi(Extension(document): Extension<Arc<str>>) -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind)], document.to_string()).into_response()
}
