//! A case per kind of complaint about the state folder and webhooks.

use evenkeel::compile::EventKind;

use super::{SERVER, ZONE, check_files, complaints::check_server, load, sources_of};

#[test]
fn the_state_folder() {
    check_server("state: state", &[]);
    check_server("state: /", &[]);
    check_server("state: ''", &["3:8: `state` names no folder | write `state: /var/lib/evenkeel`"]);
    check_server("state: z.yaml", &["3:8: `z.yaml` is not a folder | name a folder of"]);
    check_server("state: a/b", &["3:8: `a/b` can not be made | there is no folder `"]);
    check_server("state: [a]", &["3:8: a value is needed here, not a list"]);
}

#[test]
fn webhooks() {
    let check = |text: &str, expect: &[&str]| check_server(&format!("webhooks: [{text}]"), expect);
    check("", &[]);
    check("{ url: 'https://ops.example.com/hook', events: [verdict, override, blind] }", &[]);
    check("{ url: 'http://127.0.0.1:1', events: verdict }", &[]);
    check("{ events: [verdict] }", &["3:12: the webhook has no `url` | write `url: https://"]);
    check("{ url: 'ops.example.com' }", &["3:19: `ops.example.com` is not a URL"]);
    check("{ url: 'ftp://a/' }", &["3:19: `ftp://a/` is neither `http` nor `https`"]);
    check(
        "{ url: 'https://me:pass@a/' }",
        &["3:19: a user or a password stands in the URL, and URLs stand in the log"],
    );
    check(
        "{ url: 'http://a', events: [] }",
        &["3:39: the webhook would be told nothing | known are `verdict`, `override`,"],
    );
    check(
        "{ url: 'http://a', events: [verdicts, blind, blind] }",
        &[
            "3:40: `verdicts` is no kind of event | did you mean `verdict`?",
            "3:57: `blind` is there twice",
        ],
    );
    check("{ url: 'http://a', secret: x }", &["3:31: unknown key `secret` in a webhook"]);
    check(
        "{ url: 'http://a', secret_file: nope }",
        &["3:44: `nope` can not be read: No such file"],
    );
    let many = "{ url: 'http://a' }, ".repeat(17);
    check(&many, &["3:11: there are 17 webhooks | at most 16 are told"]);
}

#[test]
fn secrets() {
    let server = format!("{SERVER}webhooks: [{{ url: 'http://a', secret_file: hook.secret }}]\n");
    let files = |secret| {
        [("evenkeel.yaml", &*server), ("z.yaml", ZONE), ("hook.secret", secret)].map(|it| it)
    };
    let (folder, plan) = load(&files("abc def\n"));
    let plan = plan.unwrap();
    let [hook] = plan.settings.webhooks.as_slice() else { panic!() };
    assert_eq!(&*hook.secret.as_ref().unwrap().0, b"abc def");
    assert_eq!(*hook.kinds, EventKind::ALL);
    assert!(!format!("{plan:?}").contains("abc"), "secrets do not print");
    assert!(sources_of(&folder).contains(&"hook.secret".to_owned()), "a new one is read");
    let expect = |what| format!("evenkeel.yaml:7:44: `hook.secret` {what} | it has to hold one");
    check_files(&files("\n"), &[&expect("is empty")]);
    check_files(&files("a\nb\n"), &[&expect("has more than one line")]);
}
