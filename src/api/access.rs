//! Who may change something: who knows the token.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use subtle::ConstantTimeEq as _;
use tokio::time::timeout;

use super::{Api, Problem};
use crate::limits::API_CALL_WAIT_MAX;

/// Lets a call in, and ends it when it takes too long.
pub(super) async fn guard(State(api): State<Api>, request: Request, next: Next) -> Response {
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if changes {
        let token = api.token.borrow().clone();
        if token.is_some_and(|token| !knows(request.headers(), &token)) {
            return Problem::no_token().into_response();
        }
        if !is_at_home(request.headers()) {
            return Problem::foreign_origin().into_response();
        }
    }
    match timeout(API_CALL_WAIT_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::late().into_response(),
    }
}

/// Whether a caller knows the token (RFC 6750 section 2.1). How much of a wrong one is right does not
/// show in the time that it takes.
fn knows(headers: &HeaderMap, token: &str) -> bool {
    let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let Some((scheme, given)) = given.and_then(|it| it.split_at_checked("Bearer ".len())) else {
        return false;
    };
    scheme.eq_ignore_ascii_case(b"Bearer ") && given.ct_eq(token.as_bytes()).into()
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
    fn who_knows_the_token() {
        let check = |value: &str, expect| {
            let headers = headers(&[(header::AUTHORIZATION, value)]);
            assert_eq!(knows(&headers, "secret"), expect, "{value}");
        };
        check("Bearer secret", true);
        check("bearer secret", true);
        check("Bearer secre", false);
        check("Bearer secrets", false);
        check("Bearer  secret", false);
        check("Bearer", false);
        check("Basic secret", false);
        assert!(!knows(&HeaderMap::new(), "secret"));
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
