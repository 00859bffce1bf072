//! The API over TLS, asked by our own commands and by curl.
//!
//! *Not here:* what is wrong with certificates (`check`).

use std::process::Command;

use super::{call, run, start, try_call};
use crate::process::until;

const WITH_TLS: &str = "api: { listen: '127.0.0.1:0', tls: { cert: api.pem, key: api.key } }";

/// A certificate for this machine that vouches for itself, and its key.
fn certificate() -> (String, String) {
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[test]
fn the_api_is_asked_over_tls_and_its_certificate_is_replaced() {
    let ((cert, key), (next_cert, next_key)) = (certificate(), certificate());
    let files =
        [("api.pem", &*cert), ("api.key", &*key), ("ca.pem", &*cert), ("next.pem", &*next_cert)];
    let (mut server, api) = start(WITH_TLS, &files);
    let url = format!("https://{api}");
    let path = |name: &str| server.path(name).display().to_string();
    let (ca, next) = (path("ca.pem"), path("next.pem"));
    let status = |ca: &str| run(&["status", "--server", &url, "--ca", ca]);
    let (code, said) = status(&ca);
    assert!(code == 0 && said.starts_with("evenkeel "), "{said}");
    let (code, said) = status(&next);
    assert!(code == 1 && said.contains("certificate"), "{said}");
    assert_eq!(run(&["status", "--server", &url]).0, 1, "the system does not trust it");
    let plain = url.replace("https", "http");
    assert_eq!(run(&["status", "--server", &plain]).0, 1);
    let (code, said) = run(&["status", "--server", &plain, "--ca", &ca]);
    assert!(code == 2 && said.contains("https://"), "{said}");
    assert!(try_call(api, "GET", "/healthz", &[], b"").is_none(), "it speaks TLS alone");
    let curl = Command::new("curl")
        .args(["--silent", "--cacert", &ca, "--write-out", " %{http_version}"])
        .arg(format!("{url}/healthz"))
        .output()
        .expect("curl is there");
    assert_eq!(String::from_utf8_lossy(&curl.stdout), "ok\n 1.1");

    // The key alone is not that of the certificate: all stays, and the log says why.
    server.write("api.key", &next_key);
    server.wait_for_log("is not that of `cert`", 0);
    assert_eq!(status(&ca).0, 0);
    server.write("api.pem", &next_cert);
    until("the new certificate to be shown", || status(&next).0 == 0);
    assert_eq!(status(&ca).0, 1);
    // Without the key there is none any more.
    let file = std::fs::read_to_string(server.path("evenkeel.yaml")).unwrap();
    server.write("evenkeel.yaml", &file.replace(", tls: { cert: api.pem, key: api.key }", ""));
    until("it to be plain", || {
        try_call(api, "GET", "/healthz", &[], b"").is_some_and(|it| it.status == 200)
    });
    call(api, "GET", "/api/v1/status", &[], b"").json();
}
