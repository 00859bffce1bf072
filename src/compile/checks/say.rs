//! What is wrong with a check, in words.
//!
//! *Not here:* when it is (`leaf`, `kinds`, and the module itself).

use std::{path::Path, time::Duration};

use super::{KINDS, Reader};
use crate::{
    config::{Place, Report, list, suggest},
    health::TrustError,
    limits::{CHECK_DEPTH_MAX, CHECK_EVERY_MIN, CHECK_LEAVES_MAX},
};

pub(in crate::compile) fn bad_target(report: &Report, place: Place, text: &str, with_port: bool) {
    let (what, hint) = if with_port {
        let hint = "write `192.0.2.1:443`, `[2001:db8::1]:443` or `host.example:443`";
        ("a host and a port", hint)
    } else {
        ("a host", "write `192.0.2.1`, `[2001:db8::1]` or `host.example`")
    };
    report.say(place, format!("`{text}` is not {what}"), hint);
}

impl Reader<'_, '_> {
    pub(super) fn no_kind(&self, place: Place) {
        self.report.say(
            place,
            "this check is of no kind",
            format!("give it one of {}", list(KINDS)),
        );
    }

    pub(super) fn several_kinds(&self, place: Place) {
        let hint = "leave one; `all_of` and `any_of` put several checks together";
        self.report.say(place, "this check is of several kinds", hint);
    }

    pub(super) fn every_short(&self, place: Place) {
        let hint = format!("the shortest is {CHECK_EVERY_MIN:?}");
        self.report.say(place, "`every` is too short", hint);
    }

    pub(super) fn timeout_not_below(&self, place: Place, timeout: Duration, every: Duration) {
        let message = format!("`timeout` ({timeout:?}) is not less than `every` ({every:?})");
        let hint = "an execution ends before the next one begins; lower `timeout` or raise `every`";
        self.report.say(place, message, hint);
    }

    pub(super) fn timeout_zero(&self, place: Place) {
        self.report.say(
            place,
            "`timeout` is zero",
            "nothing answers in no time; the default is 3s",
        );
    }

    pub(super) fn port_twice(&self, place: Place) {
        let hint = "remove `port`, or the `target`";
        self.report.say(place, "`target` has a port already", hint);
    }

    pub(super) fn no_port(&self, place: Place) {
        self.report.say(place, "this check has no port", "write `tcp: { port: 443 }`");
    }

    pub(super) fn flap_zero(&self, place: Place, name: &str) {
        let message = format!("`{name}` of `flap` is zero");
        self.report.say(place, message, "write a duration such as `5m`, or remove `flap`");
    }

    pub(super) fn bad_host(&self, place: Place, key: &str, text: &str) {
        let message = format!("`{text}` is not a host");
        self.report.say(place, message, format!("write `{key}: www.example.com`"));
    }

    pub(super) fn bad_method(&self, place: Place, text: &str) {
        let message = format!("`{text}` is not a method of HTTP");
        self.report.say(place, message, "write `GET` or `HEAD`");
    }

    pub(super) fn bad_path(&self, place: Place, text: &str) {
        let message = format!("`{text}` is not a path");
        let hint = "a path begins with `/` and has neither spaces nor characters outside of ASCII";
        self.report.say(place, message, hint);
    }

    pub(super) fn bad_header(&self, place: Place, name: &str) {
        let message =
            format!("`{name}` is not a header of HTTP, or its value is not one line of ASCII");
        self.report.say(place, message, "write `headers: { Accept: text/plain }`");
    }

    pub(super) fn host_header(&self, place: Place) {
        self.report.say(
            place,
            "the host is not a header here",
            "write `host: NAME` beside `headers`",
        );
    }

    pub(super) fn no_certificates(&self, place: Place, file: &str) {
        let message = format!("`{file}` holds no certificates");
        let hint = "it has to be PEM: `-----BEGIN CERTIFICATE-----` and so on";
        self.report.say(place, message, hint);
    }

    pub(super) fn undeclared(&self, place: Place, name: &str) {
        let mut names: Vec<&str> = self.files.keys().copied().collect();
        names.sort_unstable();
        let hint = suggest(name, names, "declared are");
        self.report.say(place, format!("the check `{name}` is not declared"), hint);
    }

    pub(super) fn circle(&self, place: Place, name: &str, way: &[&str]) {
        let way: Vec<&str> = way.iter().copied().chain([name]).collect();
        let message = format!("the check `{name}` is made of itself: {}", way.join(" -> "));
        self.report.say(place, message, "take it out of the list of one of them");
    }

    pub(super) fn too_deep(&self, place: Place) {
        let hint = format!("they lie at most {CHECK_DEPTH_MAX} deep in each other");
        self.report.say(place, "the checks lie too deep in each other", hint);
    }

    pub(super) fn too_many_leaves(&self, place: Place, count: usize) {
        let message = format!("this check comes to {count} checks");
        self.report.say(place, message, format!("a check comes to at most {CHECK_LEAVES_MAX}"));
    }

    pub(super) fn no_members(&self, place: Place, kind: &str) {
        let message = format!("`{kind}` has no checks");
        self.report.say(place, message, "write a list of names, such as `[web, database]`");
    }

    pub(super) fn no_number(&self, place: Place) {
        let hint = "write `at_least: { of: [a, b, c], count: 2 }` or `percent: 60`";
        self.report.say(place, "`at_least` needs one of `count` and `percent`", hint);
    }

    pub(super) fn count_above(&self, place: Place, count: u64, members: usize) {
        let message = format!("`count` is {count}, and there are {members} checks");
        self.report.say(place, message, "it could never pass; lower it, or add checks");
    }

    pub(super) fn of_members(&self, place: Place, key: &str, kind: &str) {
        let message = format!("`{key}` has no meaning for `{kind}`");
        self.report.say(
            place,
            message,
            "write it at the checks in the list, each of which has its own",
        );
    }

    pub(super) fn not_of_push(&self, place: Place, key: &str) {
        let message = format!("`{key}` has no meaning for `push`");
        let hint =
            "remove it; a heartbeat makes it up, and `expires` after the last one it is down";
        self.report.say(place, message, hint);
    }

    pub(super) fn no_expires(&self, place: Place) {
        let hint = "write `push: { expires: 1m }`: how long a heartbeat lasts";
        self.report.say(place, "`push` needs `expires`", hint);
    }

    pub(super) fn expires_zero(&self, place: Place) {
        self.report.say(
            place,
            "`expires` is too short",
            format!("the shortest is {CHECK_EVERY_MIN:?}"),
        );
    }

    pub(super) fn push_unnamed(&self, place: Place) {
        let hint =
            "give it a name under `checks`, and write the name here: heartbeats come in by it";
        self.report.say(place, "`push` can not stand in a list", hint);
    }

    pub(super) fn bad_regex(&self, place: Place, text: &str, why: &str) {
        let message = format!("`{text}` is not a regular expression: {why}");
        self.report.say(place, message, "the syntax is that of the Rust crate `regex`");
    }

    pub(super) fn bad_pointer(&self, place: Place, text: &str) {
        let message = format!("`{text}` is not a JSON pointer");
        let hint =
            "write `/status` or `/replicas/0/lag`; `~1` stands for a slash, `~0` for a tilde";
        self.report.say(place, message, hint);
    }

    pub(super) fn bad_claim(&self, place: Place, text: &str) {
        let message = format!("`{text}` is not a comparison");
        let hint =
            r#"write `"= ok"`, `"!= down"`, or with a number `"< 5"`, `"<= 5"`, `"> 5"`, `">= 5"`"#;
        self.report.say(place, message, hint);
    }

    pub(super) fn within_not_below(&self, place: Place, within: Duration, timeout: Duration) {
        let message = format!("`within` ({within:?}) is not less than `timeout` ({timeout:?})");
        self.report.say(
            place,
            message,
            "lower `within`, or remove it: `timeout` bounds it already",
        );
    }

    pub(super) fn half_identity(&self, place: Place, there: &str, gone: &str) {
        let message = format!("`{there}` needs `{gone}` beside it");
        self.report.say(place, message, "a client certificate is shown with the help of its key");
    }

    pub(super) fn bad_identity(&self, place: Place, file: &str, error: TrustError) {
        let hint = match error {
            TrustError::Key => {
                "it has to be PEM: `-----BEGIN PRIVATE KEY-----`, without a password"
            }
            TrustError::Mismatch => "`key` has to be what `cert` was issued for",
            TrustError::Cert | TrustError::Roots => {
                "it has to be PEM: `-----BEGIN CERTIFICATE-----` and so on"
            }
        };
        self.report.say(place, format!("`{file}`: {error}"), hint);
    }

    pub(super) fn tls_of_plain(&self, place: Place, key: &str) {
        let message = format!("`{key}` has no meaning without `tls: true`");
        self.report.say(place, message, "write `tls: true` beside it, or remove it");
    }

    pub(super) fn no_question(&self, place: Place) {
        let hint = "write `dns: { name: www.example.com }`";
        self.report.say(place, "`dns` needs `name`, the name that is asked about", hint);
    }

    pub(super) fn bad_question(&self, place: Place, text: &str, why: &str) {
        let message = format!("`{text}` is not a name: {why}");
        self.report.say(place, message, "write `name: www.example.com`");
    }

    pub(super) fn bad_type(&self, place: Place, text: &str) {
        let message = format!("`{text}` is no record type that can be asked for");
        self.report.say(place, message, "write `A`, `AAAA`, `SOA`, or any other as `TYPE123`");
    }

    pub(super) fn bad_rcode(&self, place: Place, text: &str, rcodes: &[&str]) {
        let hint = suggest(text, rcodes.iter().copied(), "known are");
        self.report.say(place, format!("`{text}` is no response code"), hint);
    }

    pub(super) fn no_argv(&self, place: Place) {
        let hint = "write `exec: { argv: [/usr/lib/checks/web, --fast] }`";
        self.report.say(place, "`exec` needs `argv`, a program and its arguments", hint);
    }

    pub(super) fn not_executable(&self, place: Place, path: &Path) {
        let message = format!("`{}` is not a file that can be executed", path.display());
        self.report.say(place, message, "check the path, and `chmod +x` it");
    }
}
