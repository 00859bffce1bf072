//! Complaints about checks.

use super::{ZONE, check_files, complaints::check_server};

/// A check named `c`, alone; what is given stands in line 4.
#[track_caller]
fn check(text: &str, expect: &[&str]) {
    check_server(&format!("checks:\n  c: {text}"), expect);
}

/// Several checks, from line 4 on.
#[track_caller]
fn check_all(text: &str, expect: &[&str]) {
    check_server(&format!("checks:\n  {}", text.replace('\n', "\n  ")), expect);
}

#[test]
fn what_was_there_from_the_beginning() {
    check("{ tcp: { port: 53 } }", &[]);
    check("{ tcp: {}, target: \"db.example:5432\" }", &[]);
    check("{ tcp: { port: 1 }, target: \"[::1]:5432\" }", &["4:21: `target` has a port already"]);
    check("{ tcp: {} }", &["4:3: this check has no port"]);
    check(
        "{ tcp: { port: 0 } }",
        &["4:21: `port` is 0, which is out of range | write a number from 1 to 65535"],
    );
    check("{ tcp: { port: x } }", &["4:21: a whole number is needed here, not `x`"]);
    check("{ tcp: {}, target: nowhere }", &["4:25: `nowhere` is not a host and a port"]);
    check(
        "{}",
        &["4:3: this check is of no kind | give it one of `http`, `https`, `tcp`, `tls`, `dns`"],
    );
    check("{ http: {}, tcp: { port: 1 } }", &["4:23: this check is of several kinds"]);
    check("{ http: {}, every: 2s }", &["4:25: `timeout` (3s) is not less than `every` (2s)"]);
    check("{ http: {}, timeout: 10s }", &["4:27: `timeout` (10s) is not less than `every` (10s)"]);
    check("{ http: {}, timeout: 0 }", &["4:27: `timeout` is zero"]);
    check("{ http: {}, every: 1ms, timeout: 0 }", &["4:25: `every` is too short"]);
    check(
        "{ http: {}, fall: 0, rise: 1001 }",
        &[
            "4:24: `fall` is 0, which is out of range | write a number from 1 to 1000",
            "4:33: `rise` is 1001, which is out of range",
        ],
    );
    check("{ http: {}, flap: {} }", &[]);
    check("{ http: {}, flap: { changes: 6, window: 10m, hold: 5m } }", &[]);
    check(
        "{ http: {}, flap: { changes: 1, window: 0, hold: 0s, holt: 1 } }",
        &[
            "4:35: `changes` is 1, which is out of range | write a number from 2 to 100",
            "4:46: `window` of `flap` is zero | write a duration such as `5m`, or remove `flap`",
            "4:55: `hold` of `flap` is zero",
            "4:59: unknown key `holt` in `flap` | did you mean `hold`?",
        ],
    );
    check("{ http: { path: health } }", &["4:22: `health` is not a path"]);
    // In a URL these would be IPv4 addresses of a kind that only C knows.
    check("{ http: { host: 1.2.3 } }", &["4:22: `1.2.3` is not a host"]);
    check("{ https: { sni: www.0x1f } }", &["4:22: `www.0x1f` is not a host"]);
    check("{ http: { host: \"a b\" } }", &["4:22: `a b` is not a host"]);
    check("{ http: { method: \"GE T\" } }", &["4:24: `GE T` is not a method of HTTP"]);
    check(
        "{ http: { headers: { Host: a, \"X Y\": b, Z: \"\\n\" } } }",
        &[
            "4:27: the host is not a header here",
            "4:36: `X Y` is not a header of HTTP",
            "4:46: `Z` is not a header of HTTP",
        ],
    );
    check("{ http: { status: [200-299, 301] } }", &[]);
    check(
        "{ http: { status: [299-200, 99, 2xx] } }",
        &[
            "4:25: `299-200` is not a status code",
            "4:34: `99` is not a status code",
            "4:38: `2xx` is not a status code",
        ],
    );
    check("{ http: { sni: a } }", &["4:16: unknown key `sni` in `http`"]);
    check("{ https: { ca: nope.pem } }", &["4:21: `nope.pem` can not be read: No such file"]);
    check("{ https: { ca: z.yaml } }", &["4:21: `z.yaml` holds no certificates"]);
    check(
        "{ https: { verify: no, cert: x } }",
        &["4:25: `true` or `false` is needed here, not `no`", "4:35: `cert` needs `key` beside it"],
    );
}

#[test]
fn bodies() {
    check(r#"{ http: { body_regex: "^ok (all|some)$", within: 1s } }"#, &[]);
    check(
        r#"{ http: { body_regex: "ok (all" } }"#,
        &["4:28: `ok (all` is not a regular expression: unclosed group | the syntax"],
    );
    check(
        r#"{ http: { body_regex: "(a{1000}){1000}" } }"#,
        &["4:28: `(a{1000}){1000}` is not a regular expression: Compiled regex exceeds size limit"],
    );
    check(
        "{ http: { within: 3s } }",
        &["4:24: `within` (3s) is not less than `timeout` (3s) | lower `within`, or remove it"],
    );
    let claims = r#""/a": "<= 5", "/b/0": "= ok", "/c": "!= down", "/d~1e": ok, "": ">1.5""#;
    check(&format!("{{ http: {{ json: {{ {claims} }} }} }}"), &[]);
    check(
        r#"{ http: { json: { a: "= 1", "/b~2": "= 1", "/c": "< fast", "/d": "<=", "/e": "< NaN" } } }"#,
        &[
            "4:24: `a` is not a JSON pointer | write `/status`",
            "4:34: `/b~2` is not a JSON pointer",
            "4:55: `< fast` is not a comparison | write `\"= ok\"`",
            "4:71: `<=` is not a comparison",
            "4:83: `< NaN` is not a comparison",
        ],
    );
}

#[test]
fn certificates() {
    let certified = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    let (cert, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let check_files = |more: &str, expect: &[&str]| {
        let server =
            format!("version: 1\nzones: z.yaml\nchecks:\n  c: {{ https: {{ {more} }} }}\n");
        let files = [
            ("evenkeel.yaml", server.as_str()),
            ("z.yaml", ZONE),
            ("cert.pem", &cert),
            ("key.pem", &key),
            ("other.pem", &other),
        ];
        let expect: Vec<String> = expect.iter().map(|it| format!("evenkeel.yaml:4:{it}")).collect();
        check_files(&files, &expect.iter().map(String::as_str).collect::<Vec<_>>());
    };
    check_files("cert: cert.pem, key: key.pem, ca: cert.pem, expires_in: 7d", &[]);
    check_files("key: key.pem", &["22: `key` needs `cert` beside it"]);
    check_files(
        "cert: nope.pem, key: nope.key",
        &["23: `nope.pem` can not be read: No such file", "38: `nope.key` can not be read"],
    );
    check_files(
        "cert: key.pem, key: key.pem",
        &["23: `key.pem`: the certificate in `cert` cannot be read | it has to be PEM"],
    );
    check_files(
        "cert: cert.pem, key: cert.pem",
        &["38: `cert.pem`: the key in `key` cannot be read | it has to be PEM"],
    );
    check_files(
        "cert: cert.pem, key: other.pem",
        &["38: `other.pem`: the key in `key` is not that of `cert` | `key` has to be"],
    );
}

#[test]
fn kinds() {
    check("{ tcp: { port: 25, send: \"EHLO a\\r\\n\", expect: \"250\" }, invert: true }", &[]);
    check("{ tls: { port: 853, verify: false, expires_in: 1d } }", &[]);
    check("{ tls: { sni: \"a b\" } }", &["4:20: `a b` is not a host"]);
    check("{ icmp: {} }", &[]);
    check("{ icmp: }", &[]);
    check("{ icmp: {}, target: gateway.example }", &[]);
    check("{ icmp: {}, target: \"a b\" }", &["4:26: `a b` is not a host | write `192.0.2.1`"]);
    check("{ icmp: { port: 1 } }", &["4:16: unknown key `port` in `icmp`"]);
    check("{ grpc: { port: 50051, service: db } }", &[]);
    check("{ grpc: { port: 50051, tls: true, ca: nope } }", &["4:44: `nope` can not be read"]);
    check("{ grpc: {} }", &["4:3: this check has no port"]);
    check(
        "{ grpc: { port: 1, verify: false } }",
        &["4:33: `verify` has no meaning without `tls: true`"],
    );
}

#[test]
fn questions() {
    check("{ dns: { name: www.example.com } }", &[]);
    check("{ dns: { name: a, type: MX, answer: 10 mail.a., tcp: true } }", &[]);
    check("{ dns: { name: a, type: TXT, answer: [one, two words] } }", &[]);
    check("{ dns: { name: a, rcode: nxdomain, type: TYPE65 } }", &[]);
    check("{ dns: {} }", &["4:13: `dns` needs `name`, the name that is asked about"]);
    check("{ dns: { name: a..b } }", &["4:21: `a..b` is not a name"]);
    check(
        "{ dns: { name: a, type: AXFR } }",
        &["4:30: `AXFR` is no record type that can be asked for"],
    );
    check("{ dns: { name: a, type: HOST } }", &["4:30: `HOST` is no record type"]);
    check(
        "{ dns: { name: a, rcode: NXDOMIAN } }",
        &["4:31: `NXDOMIAN` is no response code | did you mean `NXDOMAIN`?"],
    );
    check("{ dns: { name: a, answer: 192.0.2 } }", &["4:32: `192.0.2` is not an IPv4 address"]);
    check("{ dns: { name: a, type: MX, answer: '10 \"a' } }", &["4:42: a quote is not closed"]);
}

#[test]
fn commands() {
    check("{ exec: { argv: [true, --fast] } }", &[]);
    check("{ exec: { argv: /bin/true } }", &[]);
    check("{ exec: {} }", &["4:14: `exec` needs `argv`, a program and its arguments"]);
    check("{ exec: { argv: [] } }", &["4:22: `exec` needs `argv`"]);
    check(
        "{ exec: { argv: [/bin/none] } }",
        &["4:23: `/bin/none` is not a file that can be executed"],
    );
    check(
        "{ exec: { argv: [./z.yaml] } }",
        &["4:23: `./z.yaml` is not a file that can be executed"],
    );
}

#[test]
fn heartbeats() {
    check("{ push: { expires: 1m } }", &[]);
    check("{ push: {} }", &["4:14: `push` needs `expires` | write `push: { expires: 1m }`"]);
    check("{ push: { expires: 0 } }", &["4:25: `expires` is too short"]);
    check(
        "{ push: { expires: 1m }, fall: 2, rise: 1, every: 5s, target: \"a:1\" }",
        &[
            "4:37: `fall` has no meaning for `push` | remove it; a heartbeat makes it up",
            "4:46: `rise` has no meaning for `push`",
            "4:56: `every` has no meaning for `push`",
            "4:68: `target` has no meaning for `push`",
        ],
    );
    check("{ any_of: [{ push: { expires: 1m } }] }", &["4:17: `push` can not stand in a list"]);
}

#[test]
fn checks_of_checks() {
    let leaves = "a: { tcp: { port: 1 } }\nb: { icmp: {} }\n";
    let check = |more: &str, expect: &[&str]| check_all(&format!("{leaves}{more}"), expect);
    check("c: { all_of: [a, b] }", &[]);
    check("c: { any_of: a, invert: true }", &[]);
    check("c: { at_least: { of: [a, b], count: 2 } }", &[]);
    check("c: { at_least: { of: [a, b], percent: 60 } }", &[]);
    check("c: { all_of: [a, { any_of: [b, { tcp: { port: 2 } }] }] }", &[]);
    check("c: { all_of: [d] }\nd: { any_of: [a, b] }", &[]);
    check("c: { all_of: [] }", &["6:16: `all_of` has no checks | write a list of names"]);
    check("c: { all_of: [aa] }", &["6:17: the check `aa` is not declared | did you mean `a`?"]);
    check("c: { all_of: [a, { tcp: {} }] }", &["6:20: this check has no port"]);
    check(
        "c: { all_of: [a], every: 1s, fall: 1 }",
        &[
            "6:28: `every` has no meaning for `all_of` | write it at the checks in the list",
            "6:38: `fall` has no meaning for `all_of`",
        ],
    );
    check("c: { all_of: [a], flap: {} }", &["6:27: `flap` has no meaning for `all_of`"]);
    check("c: { all_of: [a], any_of: [b] }", &["6:29: this check is of several kinds | leave one"]);
    check(
        "c: { at_least: { of: [a, b] } }",
        &["6:18: `at_least` needs one of `count` and `percent`"],
    );
    check(
        "c: { at_least: { of: [a, b], count: 1, percent: 50 } }",
        &["6:18: `at_least` needs one of `count` and `percent`"],
    );
    check("c: { at_least: { count: 1 } }", &["6:18: `at_least` has no checks"]);
    check(
        "c: { at_least: { of: [a, b], count: 3 } }",
        &["6:39: `count` is 3, and there are 2 checks | it could never pass"],
    );
    check("c: { at_least: { of: [a], count: 0 } }", &["6:36: `count` is 0, which is out of range"]);
    check(
        "c: { at_least: { of: [a], percent: 101 } }",
        &["6:38: `percent` is 101, which is out of range | write a number from 1 to 100"],
    );
}

#[test]
fn checks_of_themselves() {
    check_all(
        "a: { all_of: [b] }\nb: { any_of: [{ all_of: [a] }] }",
        &["5:28: the check `a` is made of itself: a -> b -> a | take it out"],
    );
    check_all("a: { all_of: [a] }", &["4:17: the check `a` is made of itself: a -> a"]);
    let chain = |count: usize| -> String {
        let link = |it: usize| format!("c{it}: {{ all_of: [c{}] }}\n", it + 1);
        let links: String = (1..count).map(link).collect();
        format!("{links}c{count}: {{ icmp: {{}} }}")
    };
    check_all(&chain(8), &[]);
    check_all(&chain(9), &["11:17: the checks lie too deep in each other | they lie at most 8"]);
    let doubled = "a: { icmp: {} }\nb: { all_of: [a, a, a, a, a, a, a, a, a] }\n\
                   c: { all_of: [b, b, b, b, b, b, b, b] }";
    check_all(doubled, &["6:3: this check comes to 72 checks | a check comes to at most 64"]);
}
