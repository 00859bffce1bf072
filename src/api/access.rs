//! Who may call: who knows a token of the scope that the call takes.
//!
//! Not here: the tokens (`compile::keys`).

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tokio::time::timeout;

use super::{Api, Problem, rate::Rates, server::Client};
use crate::{
    clock,
    compile::keys::{Keys, Scope},
    limits::API_CALL_WAIT_MAX,
};

/// Lets a call in whose client has not called too often, and ends it when it takes too long.
pub(super) async fn guard(
    State(rates): State<Arc<Mutex<Rates>>>,
    request: Request,
    next: Next,
) -> Response {
    if let Some(Client(client)) = request.extensions().get() {
        let mut rates = rates.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = rates.take(*client, clock::now());
        drop(rates);
        if let Err(wait) = taken {
            return Problem::too_often(wait).into_response();
        }
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if changes && !is_at_home(request.headers()) {
        return Problem::foreign_origin().into_response();
    }
    match timeout(API_CALL_WAIT_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::late().into_response(),
    }
}

/// Who calls.
#[derive(Debug, Clone, Default)]
pub(super) struct Caller(Option<Arc<str>>);

impl Caller {
    /// Who is said to say something: whoever is named, else whose token it is.
    pub(super) fn author(&self, named: Option<String>) -> String {
        named.unwrap_or_else(|| self.0.as_deref().unwrap_or_default().to_owned())
    }
}

/// Lets in who may do what takes this scope.
pub(super) async fn admit(
    State((api, scope)): State<(Api, Scope)>,
    mut request: Request,
    next: Next,
) -> Response {
    let keys = api.keys.borrow().clone();
    match caller(keys.as_deref(), request.headers(), scope) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

fn caller(keys: Option<&Keys>, headers: &HeaderMap, scope: Scope) -> Result<Caller, Problem> {
    let is_open = |keys: &Keys| scope == Scope::Read && !keys.guard_reading();
    let Some(keys) = keys.filter(|it| !is_open(it)) else { return Ok(Caller::default()) };
    let key = token(headers).and_then(|it| keys.find(it));
    let key = key.ok_or_else(|| Problem::no_token(scope))?;
    if scope <= key.scope {
        Ok(Caller(key.name.clone()))
    } else {
        Err(Problem::wrong_scope(scope, key.scope))
    }
}

/// The token that a caller sends (RFC 6750 section 2.1).
fn token(headers: &HeaderMap) -> Option<&[u8]> {
    let given = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = given.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

/// Whether a call does not come from a page of another site. A browser says where a page is from, and
/// sends the calls of any page to this machine.
fn is_at_home(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let host = headers.get(header::HOST).and_then(|it| it.to_str().ok());
    let origin = origin.to_str().ok().and_then(|it| it.split_once("://"));
    origin.is_some_and(|(_, from)| Some(from) == host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn tokens_of_callers() {
        let check = |value: &str, expect: Option<&str>| {
            let headers = headers(&[(header::AUTHORIZATION, value)]);
            assert_eq!(token(&headers), expect.map(str::as_bytes), "{value}");
        };
        check("Bearer secret", Some("secret"));
        check("bearer secret", Some("secret"));
        check("Bearer  secret", Some(" secret"));
        check("Bearer", None);
        check("Basic secret", None);
        assert!(token(&HeaderMap::new()).is_none());
    }

    #[test]
    fn pages_of_other_sites() {
        let check = |origin: &str, expect| {
            let host = (header::HOST, "127.0.0.1:8053");
            assert_eq!(is_at_home(&headers(&[host, (header::ORIGIN, origin)])), expect, "{origin}");
        };
        check("http://127.0.0.1:8053", true);
        check("http://example.com", false);
        check("null", false);
        assert!(is_at_home(&HeaderMap::new()));
    }
}
