//! A case per kind of complaint about places, the API, and the keys that steer by them.

use evenkeel::{
    compile::{LatencySettings, keys::Scope},
    geo::{Continent, Coordinates},
    steer::{AllDown, By, Endpoint, Serves, Slack, Target},
};

use super::{
    check_files,
    complaints::{check_server, check_steer},
    sources_of,
};

const SERVER: &str = "\
version: 1
zones: zones
regions:
  us: { at: aws/us-east-1 }
  eu: { at: [53.35, -6.26] }
  moon: {}
";

/// Zones of these names and `records`, which stand from line 4 on.
#[track_caller]
fn check_zones(zones: &[(&str, &str)], expect: &[&str]) {
    let texts: Vec<(String, String)> = zones
        .iter()
        .map(|(apex, records)| {
            let text = format!("zone: {apex}\nrecords:\n  \"@\": {{ NS: ns.x. }}\n{records}\n");
            (format!("zones/{apex}.yaml"), text)
        })
        .collect();
    let mut files = vec![("evenkeel.yaml", SERVER)];
    files.extend(texts.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    let expect: Vec<String> = expect.iter().map(|it| format!("zones/{it}")).collect();
    check_files(&files, &expect.iter().map(String::as_str).collect::<Vec<_>>());
}

/// A steered name `w` in a world with places: these keys under `steer` are on line 4.
#[track_caller]
fn check_place(steer: &str, expect: &[&str]) {
    let expect: Vec<String> = expect.iter().map(|it| format!("a.example.yaml:{it}")).collect();
    let expect: Vec<&str> = expect.iter().map(String::as_str).collect();
    check_zones(&[("a.example", &format!("  w: {{ steer: {{ {steer} }} }}"))], &expect);
}

/// A pool `us` with these keys beside one without any; they begin at 4:32.
#[track_caller]
fn check_pool(keys: &str, expect: &[&str]) {
    check_place(
        &format!("pools: {{ us: {{ {keys}, A: 192.0.2.1 }}, eu: {{ A: 192.0.2.2 }} }}"),
        expect,
    );
}

#[test]
fn geoip() {
    check_server("geoip: []", &[]);
    check_server("geoip: nope.mmdb", &["3:8: `nope.mmdb` can not be read: No such file"]);
    check_server(
        "geoip: [z.yaml, z.yaml]",
        &["3:9: `z.yaml` does not tell places: ", "3:17: `z.yaml` is there twice | remove one"],
    );
    check_server(
        "geoip: [nope, z.yaml]\nlisten: 1",
        &[
            "3:9: `nope` can not be read",
            "3:15: `z.yaml` does not tell places: ",
            "4:9: `1` is not an address and a port",
        ],
    );
}

#[test]
fn networks() {
    let check = |network: &str, expect: &[&str]| {
        check_server(&format!("networks:\n  {network}"), expect);
    };
    check("10.0.0.0/8: { country: DE, subdivision: BE, asn: 64512, at: [52.5, 13.4] }", &[]);
    check("10.1.2.3: { subdivision: DE-BE, asn: AS64512, at: gcp/europe-west3 }", &[]);
    check("fd00::/8: { country: no }", &[]);
    check("10.0.0.0/8: {}", &["4:3: nothing is said of the network `10.0.0.0/8` | give it a"]);
    check(
        "10.0.0.1/8: { country: DE }",
        &["4:3: `10.0.0.1/8` is not a network | did you mean `10.0.0.0/8`?"],
    );
    check(
        "10.0.0.0/33: { country: DE }",
        &["4:3: `10.0.0.0/33` is not a network | a prefix is at most 32 bits"],
    );
    check("ten: { country: DE }", &["4:3: `ten` is not a network | a network looks like"]);
    check(
        "\"::ffff:10.0.0.0/104\": { country: DE }",
        &["4:3: clients of `::ffff:10.0.0.0/104` are looked up as IPv4 | write `10.0.0.0/8`"],
    );
    check(
        "10.0.0.0/8: { country: UK }\n  11.0.0.0/8: { country: ED }\n  12.0.0.0/8: { country: X1 }",
        &[
            "4:26: `UK` is no country | did you mean `GB`?",
            "5:26: `ED` is no country | did you mean `DE`?",
            "6:26: `X1` is no country | countries are two letters",
        ],
    );
    check(
        "fd00::/8: { country: DE }\n  fd00:0::/8: { asn: 1 }",
        &["5:3: `fd00:0::/8` is there twice | merge the two"],
    );
    check(
        "10.0.0.0/8: { country: DE, subdivision: US-CA }",
        &["4:3: `10.0.0.0/8`: the subdivision is not one of the country"],
    );
    check(
        "10.0.0.0/8: { subdivision: CA, asn: 0 }",
        &[
            "4:30: `CA` is a part of no country | write the country before it, such as `US-CA`",
            "4:39: `0` is not the number of an AS | write `AS64512` or `64512`",
        ],
    );
    check("10.0.0.0/8: { country: DE, subdivision: LONG }", &["4:43: `LONG` is no subdivision"]);
    check("10.0.0.0/8: { subdivision: ZZ-CA }", &["4:30: `ZZ` is no country"]);
    check(
        "10.0.0.0/8: { continent: EU }",
        &[
            "4:3: nothing is said of the network `10.0.0.0/8`",
            "4:17: unknown key `continent` in a network",
        ],
    );
}

#[test]
fn regions_are_somewhere() {
    let check = |at: &str, expect: &[&str]| {
        check_server(&format!("regions: {{ us: {{ at: {at} }} }}"), expect);
    };
    check("[38.95, -77.45]", &[]);
    check("aws/us-east-1", &[]);
    check(
        "aws/us-esat-1",
        &["3:22: `aws/us-esat-1` is no region of a public cloud | did you mean `aws/us-east-1`?"],
    );
    check(
        "virginia",
        &["3:22: `virginia` is no region of a public cloud | write `at: [LAT, LON]`"],
    );
    for wrong in
        ["[91, 0]", "[0, -181]", "[1]", "[1, 2, 3]", "[inf, 0]", "[1e1, 0]", "[\"\", 0]", "[]"]
    {
        check(wrong, &["3:22: this is no point on the earth | write degrees north"]);
    }
}

/// An API with these keys, which begin at 3:6, beside these files.
#[track_caller]
fn check_api(api: &str, files: &[(&str, &str)], expect: &[&str]) {
    let server = format!("version: 1\nzones: z.yaml\napi: {api}\n");
    let mut all = vec![("evenkeel.yaml", server.as_str()), ("z.yaml", super::ZONE)];
    all.extend(files);
    let expect: Vec<String> = expect.iter().map(|it| format!("evenkeel.yaml:{it}")).collect();
    check_files(&all, &expect.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn api() {
    let check = check_api;
    check("{}", &[], &[]);
    check("{ listen: \"[::1]:0\" }", &[], &[]);
    check("{ listen: \"0.0.0.0:8053\", token_file: t }", &[("t", "secret-secret\n")], &[]);
    check(
        "{ listen: \"0.0.0.0:8053\" }",
        &[],
        &[
            "3:16: `0.0.0.0:8053` is reached from other machines, and there is no token | write `token",
        ],
    );
    check("{ listen: localhost }", &[], &["3:16: `localhost` is not an address and a port"]);
    check(
        "{ listen: \"127.0.0.1:53\" }\nlisten: \"127.0.0.1:53\"",
        &[],
        &["3:16: `127.0.0.1:53` is an address of `listen`"],
    );
    check("{ token_file: t }", &[], &["3:20: `t` can not be read: No such file"]);
    for (token, wrong) in [
        ("", "is empty"),
        ("\n", "is empty"),
        ("secret\n", "has a token of less than 12 characters | `evenkeel token new` makes one"),
        ("äöüäöüäöüäöü\n", "has octets that are no printable ASCII"),
    ] {
        check("{ token_file: t }", &[("t", token)], &[&format!("3:20: `t` {wrong}")]);
    }
    // All of them are said, and none of the lines.
    let hash = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let tokens =
        format!("# Ours.\nann admin {hash}\nbob raed {hash}\nplain-secret\nann read {hash}\n");
    check(
        "{ token_file: t }",
        &[("t", &tokens)],
        &[
            "3:20: line 3 of `t` names no scope | did you mean `read`?",
            "3:20: line 4 of `t` is no name, scope and hash | write `NAME SCOPE sha256:HEX`",
            "3:20: line 5 of `t` has a name that is there already | choose another",
        ],
    );
    check("{ token_file: t }", &[("t", &format!("ann admin {hash}\n"))], &[]);
}

#[test]
fn api_tls() {
    let check = check_api;
    let made = || {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    };
    let ((cert, key), (_, other)) = (made(), made());
    let files = [("c", &*cert), ("k", &*key), ("o", &*other)];
    check("{ tls: { cert: c, key: k } }", &files, &[]);
    check("{ tls: { cert: c } }", &files, &["3:13: `tls` has no `key` | write `tls: { cert"]);
    check("{ tls: {} }", &files, &["3:13: `tls` has no `cert`", "3:13: `tls` has no `key`"]);
    check(
        "{ tls: { cert: nope, key: c } }",
        &files,
        &["3:21: `nope` can not be read: No such file"],
    );
    check(
        "{ tls: { cert: k, key: k } }",
        &files,
        &["3:21: `k`: the certificate in `cert` cannot be read | it has to be PEM"],
    );
    check(
        "{ tls: { cert: c, key: c } }",
        &files,
        &["3:29: `c`: the key in `key` cannot be read | it has to be PEM"],
    );
    check(
        "{ tls: { cert: c, key: o } }",
        &files,
        &["3:29: `o`: the key in `key` is not that of `cert` | `key` has to be what `cert` was"],
    );
}

#[test]
fn who_may_ask_why_and_latency() {
    check_server("explain_from: [127.0.0.0/8, \"::1\"]", &[]);
    check_server(
        "explain_from: [127.0.0.1/8, ::ffff:10.0.0.1, 10.0.0.0/8, 10.0.0.0/8]",
        &[
            "3:16: `127.0.0.1/8` is not a network | did you mean `127.0.0.0/8`?",
            "3:29: clients of `::ffff:10.0.0.1` are looked up as IPv4 | write `10.0.0.1/32`",
            "3:58: `10.0.0.0/8` is there twice",
        ],
    );
    check_server("latency: { samples_min: 5, half_life: 10m, hysteresis: 20% }", &[]);
    check_server(
        "latency: { samples_min: 0, half_life: 500ms, hysteresis: 0% }",
        &[
            "3:25: `samples_min` is 0, which is out of range | write a number from 1 to 1000000",
            "3:39: `half_life` is too short | the shortest is 1s",
            "3:58: `0%` is not a percentage",
        ],
    );
}

#[test]
fn packet_threads() {
    check_server(
        "udp: { threads: 2, cores: [0, 2], receive_buffer: 4096, send_buffer: 4096, busy_poll: 1ms }",
        &[],
    );
    check_server("udp: {}", &[]);
    check_server(
        "udp: { threads: 0, cores: [1, 1024, 1], receive_buffer: 1, busy_poll: 1s }",
        &[
            "3:17: `threads` is 0, which is out of range | write a number from 1 to 256",
            "3:31: `cores` is 1024, which is out of range | write a number from 0 to 1023",
            "3:37: core 1 is there twice | remove one",
            "3:57: `receive_buffer` is 1, which is out of range",
            "3:71: `busy_poll` is too long | the longest is 250ms",
        ],
    );
    check_server(
        "udp: { cores: [], buffer: 1 }",
        &["3:15: there is no core", "3:19: unknown key `buffer`"],
    );
}

#[test]
fn by_and_slack() {
    let pools = "pools: { us: { A: 192.0.2.1 }, x: { region: none, A: 192.0.2.2 } }";
    for good in [
        "by: latency",
        "by: latency, slack: 10ms",
        "by: latency, slack: 15%",
        "by: distance, slack: 200km",
        "by: distance, slack: 0",
        "sticky: client, all_down: last_good",
    ] {
        check_place(&format!("{good}, {pools}"), &[]);
    }
    check_place(
        "by: latency, pools: { us: { A: 192.0.2.1 }, moon: { A: 192.0.2.2 } }",
        &[
            "4:21: `by: latency` needs to know where the region `moon` is | write `regions: { moon: ",
        ],
    );
    check_steer(
        "by: distance\npools: { us: { A: 192.0.2.1 }, eu: { A: 192.0.2.2 } }",
        &[
            "6:11: `by: distance` needs to know where the region `eu` is",
            "6:11: `by: distance` needs to know where the region `us` is",
        ],
    );
    check_place(
        "by: distance, pools: { x: { region: none, A: 192.0.2.1 } }",
        &["4:21: `by: distance` with no pool in a region"],
    );
    check_place(
        &format!("slack: 10ms, {pools}"),
        &["4:24: `slack` is for `by: latency` and `by: distance`"],
    );
    check_place(
        &format!("by: latency, slack: 200km, {pools}"),
        &["4:37: this is no `slack` for `by: latency` | write `10ms`, or a part such as `15%`"],
    );
    check_place(
        &format!("by: distance, slack: 10ms, {pools}"),
        &["4:38: this is no `slack` for `by: distance` | write `200km`"],
    );
    check_place(
        &format!("by: latency, slack: 10, {pools}"),
        &["4:37: `10` does not say how much worse is still good | write a time such as `10ms`"],
    );
}

#[test]
fn tiers() {
    check_pool("tier: 2, trickle: 0.5%", &[]);
    check_pool("tier: 0", &["4:38: `tier` is 0, which is out of range | write a number from 1 to"]);
    check_pool(
        "trickle: 5%",
        &["4:41: `trickle` in the pool `us`, which is of the first tier | a trickle keeps"],
    );
    check_pool("tier: 2, trickle: 100%", &["4:50: `100%` is no part of the clients"]);
    check_place(
        "pools: { us: { A: 192.0.2.1 }, a: { region: none, tier: 2, trickle: 50%, A: 192.0.2.2 }, \
         b: { region: none, tier: 3, trickle: 50%, A: 192.0.2.3 } }",
        &["4:143: the trickles of this name leave nothing for its first tier"],
    );
}

#[test]
fn serves() {
    for good in [
        "[192.0.2.0/24, '2001:db8::/32', 192.0.2.1]",
        "[AS64500, as64501, AS]",
        "[US-CA, DE, eu, '*', country:SA, SA]",
        "US",
    ] {
        check_pool(&format!("serves: {good}"), &[]);
    }
    check_pool("serves: []", &["4:40: the pool serves nobody | say whom, or remove the key"]);
    check_pool("serves: [DE, de]", &["4:45: `de` is there twice | remove one"]);
    check_pool("serves: [DE, country:DE]", &["4:45: `country:DE` is there twice"]);
    check_pool("serves: [UK]", &["4:41: `UK` is no country | did you mean `GB`?"]);
    check_pool("serves: [country:EU]", &["4:41: `EU` is no country"]);
    check_pool("serves: [ZZ-CA]", &["4:41: `ZZ` is no country"]);
    check_pool("serves: [US-CALI]", &["4:41: `US-CALI` is no subdivision"]);
    check_pool("serves: [AS4294967296]", &["4:41: `AS4294967296` is not the number of an AS"]);
    check_pool(
        "serves: [192.0.2.1/24]",
        &["4:41: `192.0.2.1/24` is not a network | did you mean `192.0.2.0/24`?"],
    );
    check_pool(
        "serves: ['64:ff9b::192.0.2.0/120']",
        &["4:41: clients of `64:ff9b::192.0.2.0/120` are looked up as IPv4 | write `192.0.2.0/24`"],
    );
    check_pool("serves: [Europe]", &["4:41: `Europe` is nobody whom a pool could serve | write"]);
}

#[test]
fn fences() {
    check_pool("serves: [DE, AT], fence: true", &[]);
    check_pool("fence: false", &[]);
    check_pool("fence: true", &["4:39: there is a `fence` and no `serves` | say whom"]);
    check_pool(
        "serves: [DE, '*'], fence: true",
        &["4:58: a `fence` around everyone (`*`) keeps nobody from anything | take `*` out"],
    );
    check_pool("serves: [DEU], fence: true", &["4:41: `DEU` is nobody whom a pool could serve"]);
    check_place(
        "pools: { us: { serves: [US, DE], A: 192.0.2.1 }, eu: { serves: DE, fence: true, A: 192.0.2.2 } }",
        &[
            "4:26: the pools `eu` and `us` serve the same clients, and only `eu` is fenced | fence `us`",
        ],
    );
}

#[test]
fn aliases() {
    let address = "steer: { pools: { us: { A: 192.0.2.1 } } }";
    let alias = |to: &str| format!("steer: {{ pools: {{ us: {{ weight: 2, alias: {to} }} }} }}");
    let a = format!("  a: {{ {} }}\n  b: {{ {address} }}", alias("b"));
    let (w, last) = (alias("x.w"), alias("a.a.example."));
    let b = format!("  a: {{ {w} }}\n  \"*.w\": {{ {last} }}\n  f: {{ AAAA: \"::1\" }}");
    let c = format!("  c: {{ {} }}", alias("f.b.example."));
    check_zones(&[("a.example", &a), ("b.example", &b), ("c.example", &c)], &[]);
    let wrong = |to: &str, message: &str| {
        let records = format!(
            "  a: {{ {} }}\n  text: {{ TXT: x }}\n  cname: {{ CNAME: a }}\n  d: {{ DNAME: x. }}\n  \
             cut: {{ NS: ns.x. }}\n  many: {{ steer: {{ pools: {{ us: {{ CNAME: x. }} }} }} }}",
            alias(to)
        );
        check_zones(&[("a.example", &records)], &[&format!("a.example.yaml:4:50: {message}")]);
    };
    wrong(
        "x.org.",
        "`x.org.` is in no zone of this server | those are `a.example.`; a name of another",
    );
    wrong("nope", "there is no name `nope.a.example.` | give it addresses");
    wrong("text", "`text.a.example.` has no addresses");
    wrong("cname", "`cname.a.example.` is a CNAME");
    wrong("many", "`many.a.example.` is a CNAME");
    wrong("x.d", "`x.d.a.example.` is below a DNAME");
    wrong("x.cut", "`x.cut.a.example.` is delegated to other servers");
    wrong("a..b", "`a..b` is not a name: the name has an empty label");
    wrong("a", "aliases lead in a loop: `a.a.example. -> a.a.example.` | change one of them");

    check_zones(
        &[("a.example", &format!("  a: {{ {} }}", alias("nope"))), ("b.example", "  x: {}")],
        &[
            "a.example.yaml:4:50: there is no name `nope.a.example.`",
            "b.example.yaml:4:3: there is nothing at `x.b.example.`",
        ],
    );
    check_zones(
        &[
            ("a.example", &format!("  a: {{ {} }}", alias("x.b.example."))),
            ("b.example", "  x: {}"),
        ],
        &["b.example.yaml:4:3: there is nothing at `x.b.example.`"],
    );
    check_pool("alias: w", &["4:39: the pool `us` has an alias beside endpoints | make it two"]);
    check_place(
        "pools: { us: { alias: '@', check: [] } }",
        &["4:51: a pool with an alias has no checks of its own | give the checks to"],
    );
    check_place("pools: { us: { alias: '@' } }", &["4:39: `a.example.` has no addresses"]);
    check_place(
        "pools: { us: { CNAME: x }, eu: { alias: x } }",
        &["4:44: the pool `eu` is of another kind than those before it"],
    );
}

#[test]
fn loops_of_aliases() {
    let name = |owner: &str, to: &[&str]| {
        let pool = |(idx, to): (usize, &&str)| format!("p{idx}: {{ region: none, alias: {to} }}");
        let pools: Vec<String> = to.iter().enumerate().map(pool).collect();
        format!("  {owner}: {{ steer: {{ pools: {{ {} }} }} }}\n", pools.join(", "))
    };
    // z leads into the loop and is not in it; two loops are two complaints.
    let records = name("z", &["b"])
        + &name("c", &["a"])
        + &name("a", &["f", "b"])
        + &name("b", &["c"])
        + &name("one", &["\"x.w\""])
        + &name("\"*.w\"", &["one"])
        + "  f: { A: 192.0.2.1 }";
    check_zones(
        &[("e.example", &records)],
        &[
            "e.example.yaml:5:53: aliases lead in a loop: \
             `c.e.example. -> a.e.example. -> b.e.example. -> c.e.example.` | change one of them",
            "e.example.yaml:8:55: aliases lead in a loop: \
             `one.e.example. -> *.w.e.example. -> one.e.example.`",
        ],
    );
    // An answer follows eight steered names, and fixed addresses behind them.
    let chain = |len: usize| -> String {
        let name = |idx: usize| name(&format!("n{idx}"), &[&format!("n{}", idx + 1)]);
        (0..len).map(name).collect::<String>() + &format!("  n{len}: {{ A: 192.0.2.1 }}")
    };
    check_zones(&[("e.example", &chain(9))], &[]);
    check_zones(
        &[("e.example", &chain(11))],
        &[
            "e.example.yaml:5:54: too many aliases follow one another: `n1.e.example. -> n2.e.example.",
        ],
    );
}

/// What comes out when nothing is wrong.
#[test]
fn what_the_keys_become() {
    let server = format!(
        "{SERVER}api: {{ token_file: t }}\nexplain_from: [10.0.0.0/8]\ngeoip: []\n\
         networks: {{ 10.0.0.0/8: {{ country: DE, asn: 64512 }} }}\n\
         latency: {{ half_life: 10m, hysteresis: 20% }}\n"
    );
    let zone = "zone: a.example\nrecords:\n  \"@\": { NS: ns.x. }\n  w:\n    steer:\n      by: latency\n      \
                slack: 10ms\n      sticky: client\n      all_down: last_good\n      pools:\n        \
                us: { serves: [AS64500, SA, country:SA], fence: true, A: 192.0.2.1 }\n        \
                eu: { tier: 2, trickle: 0.5%, A: 192.0.2.2 }\n        \
                far: { region: none, alias: x }\n  x: { A: 192.0.2.3 }\n";
    let files =
        [("evenkeel.yaml", server.as_str()), ("zones/a.yaml", zone), ("t", "secret-secret\r\n")];
    let (folder, plan) = super::load(&files);
    let plan = plan.expect("nothing is wrong");

    let settings = &plan.settings;
    let api = settings.api.as_ref().expect("it is there");
    assert_eq!(api.listen.to_string(), "127.0.0.1:8053");
    let keys = api.keys.as_ref().expect("there is a token");
    assert_eq!(keys.find(b"secret-secret").map(|it| it.scope), Some(Scope::Admin));
    assert_eq!(keys.find(b"secret-secret\r"), None);
    assert_eq!(
        settings.explain_from.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["10.0.0.0/8"]
    );
    let LatencySettings { samples_min, half_life, hysteresis_percent } = settings.latency;
    assert_eq!((samples_min, half_life.as_secs(), hysteresis_percent), (20, 600, 20));
    assert!(sources_of(&folder).contains(&"t".to_owned()));
    let place = |address: &str| plan.geo.locate(address.parse().unwrap()).place.to_string();
    assert_eq!(place("10.1.2.3"), "DE EU AS64512 at 51.26, 9.64");
    assert_eq!(place("8.8.8.8"), "nowhere");

    let policy = &plan.zones[0].steered[0].policy;
    assert_eq!(
        (policy.by, policy.slack, policy.sticky),
        (By::Latency, Slack::Absolute(10_000), true)
    );
    assert_eq!(policy.all_down, AllDown::LastGood);
    let [us, eu, far] = &*policy.pools else { panic!("three pools") };
    let whom = [
        Serves::Asn(64500),
        Serves::Continent(Continent::Sa),
        Serves::Country("SA".parse().unwrap()),
    ];
    assert_eq!((&*us.serves, us.fence, us.tier, us.trickle), (&whom[..], true, 1, 0));
    assert_eq!(us.at.map(|it| it.to_string()).as_deref(), Some("38.95, -77.46"));
    assert_eq!((&*eu.serves, eu.fence, eu.tier, eu.trickle), (&[Serves::Any][..], false, 2, 50));
    assert_eq!(eu.at, Coordinates::new(53.35, -6.26));
    assert_eq!((far.region.as_deref(), far.at), (None, None));
    let [Endpoint { target: Target::Alias(name), .. }] = &*far.endpoints else {
        panic!("an alias")
    };
    assert_eq!(name.to_string(), "x.a.example.");
    assert_eq!(plan.zones[0].steered[0].probes.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
}

#[test]
fn demand() {
    check_place("demand: 100, pools: { us: { A: 192.0.2.1 } }", &[]);
    check_place(
        "demand: many, pools: { us: { A: 192.0.2.1 } }",
        &["4:25: `many` is no load | write a number above 0"],
    );
    check_place(
        "demand: 1, pools: { p: { region: none, A: 192.0.2.1 } }",
        &["4:25: `demand`, and no pool is in a region | a load is counted in regions: name those"],
    );
}
