//! The dashboard: files inside the binary, as a browser gets them.
//!
//! ```text
//!   GET /, /page/… -> FILES -> the file, or 304 for who has it
//!                        '-> in the browser: asks `/api/v1/` like everybody else
//! ```
//!
//! # Invariants
//!
//! - Whoever may see the page sees nothing by that: it is the same for all, and what it shows it asks
//!   of the API, with the token of the person before it.
//! - Nothing on it comes from elsewhere, and no script runs that is not one of the files: browsers are
//!   told so by the policy (CSP).
//!
//! Not here: what the page asks for (`calls`, `operator`, `events`).

use axum::{
    Router,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use ring::digest::{SHA256, digest};

/// A file of the page.
struct File {
    /// Where a browser finds it.
    path: &'static str,
    /// Its type.
    kind: &'static str,
    text: &'static str,
}

const CSS: &str = "text/css; charset=utf-8";
const CSV: &str = "text/csv; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

const FILES: &[File] = &[
    File { path: "/", kind: HTML, text: include_str!("page/index.html") },
    File { path: "/page/style.css", kind: CSS, text: include_str!("page/style.css") },
    File { path: "/page/main.js", kind: SCRIPT, text: include_str!("page/main.js") },
    File { path: "/page/server.js", kind: SCRIPT, text: include_str!("page/server.js") },
    File { path: "/page/model.js", kind: SCRIPT, text: include_str!("page/model.js") },
    File { path: "/page/dom.js", kind: SCRIPT, text: include_str!("page/dom.js") },
    File { path: "/page/map.js", kind: SCRIPT, text: include_str!("page/map.js") },
    File { path: "/page/regions.js", kind: SCRIPT, text: include_str!("page/regions.js") },
    File { path: "/page/names.js", kind: SCRIPT, text: include_str!("page/names.js") },
    File { path: "/page/events.js", kind: SCRIPT, text: include_str!("page/events.js") },
    File { path: "/page/acts.js", kind: SCRIPT, text: include_str!("page/acts.js") },
    File { path: "/page/explain.js", kind: SCRIPT, text: include_str!("page/explain.js") },
    File { path: "/page/land.svg", kind: SVG, text: include_str!("page/land.svg") },
    // Where the people of each country live: there the page draws their questions.
    File {
        path: "/page/countries.csv",
        kind: CSV,
        text: include_str!("../../geoip/countries.csv"),
    },
];

/// What a browser may do with the page, besides showing it.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    // Kept, and asked about each time: another version of the server has another page.
    (header::CACHE_CONTROL, "no-cache"),
];

/// The page and all that belongs to it.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.iter().fold(Router::new(), |routes, file| {
        let tag = tag(file.text);
        routes.route(file.path, get(async move |headers: HeaderMap| respond(file, &tag, &headers)))
    })
}

fn respond(file: &File, tag: &HeaderValue, asked: &HeaderMap) -> Response {
    let mut response = if is_known(asked, tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = file.text.into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(file.kind));
        response
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag.clone());
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// What a text is known by (RFC 9110 section 8.8.3): half of its hash.
fn tag(text: &str) -> HeaderValue {
    let hash = digest(&SHA256, text.as_bytes());
    let half = hash.as_ref().first_chunk().expect("32 octets have 16 first ones");
    let tag = format!("\"{:032x}\"", u128::from_be_bytes(*half));
    HeaderValue::from_str(&tag).expect("hexadecimal digits fit a header")
}

/// Whether who asks has the file already (RFC 9110 section 13.1.2).
fn is_known(asked: &HeaderMap, tag: &HeaderValue) -> bool {
    let known = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|it| it.to_str().ok());
    let mut known = known.flat_map(|it| it.split(',')).map(str::trim);
    known.any(|it| it == "*" || it.trim_start_matches("W/").as_bytes() == tag.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_the_file_is_not_sent_it_again() {
        let file = &FILES[0];
        let tag = tag(file.text);
        let check = |known: &str, expect| {
            let asked = HeaderMap::from_iter([(header::IF_NONE_MATCH, known.parse().unwrap())]);
            let response = respond(file, &tag, &asked);
            assert_eq!(response.status(), expect, "{known}");
            assert_eq!(response.headers()[header::ETAG], tag);
        };
        let known = tag.to_str().unwrap();
        check(known, StatusCode::NOT_MODIFIED);
        check(&format!("\"x\", W/{known}"), StatusCode::NOT_MODIFIED);
        check("*", StatusCode::NOT_MODIFIED);
        check("\"x\"", StatusCode::OK);
        check("", StatusCode::OK);
    }

    /// What would run, or be drawn, against the policy: a browser would leave it out without a word.
    #[test]
    fn nothing_on_the_page_is_inline_or_from_elsewhere() {
        let html = FILES[0].text;
        for wrong in ["<style", " style=", " onclick=", "javascript:", "src=\"http", "href=\"//"] {
            assert!(!html.contains(wrong), "`{wrong}` in the page");
        }
        for script in html.split("<script").skip(1) {
            let (tag, rest) = script.split_once('>').unwrap();
            assert!(tag.contains("src=") && rest.starts_with("</script>"), "<script{tag}>{rest}");
        }
        for path in html.split("=\"page/").skip(1).map(|it| it.split('"').next().unwrap()) {
            let path = path.split('#').next().unwrap();
            assert!(FILES.iter().any(|it| it.path == format!("/page/{path}")), "no `{path}`");
        }
        for file in FILES.iter().filter(|it| it.kind == SCRIPT) {
            for wrong in ["innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "'style'"] {
                assert!(!file.text.contains(wrong), "`{wrong}` in {}", file.path);
            }
        }
    }

    #[test]
    fn every_module_that_a_script_wants_is_there() {
        for file in FILES.iter().filter(|it| it.kind == SCRIPT) {
            let wanted = file.text.lines().filter_map(|it| it.split_once(" from './"));
            for (_, wanted) in wanted {
                let path = format!("/page/{}", wanted.trim_end_matches("';"));
                assert!(FILES.iter().any(|it| it.path == path), "{} wants {path}", file.path);
            }
        }
    }
}
