//! A case per kind of complaint.

use super::{SERVER, ZONE, check_files};

/// A server file that begins as it should.
#[track_caller]
pub(super) fn check_server(more: &str, expect: &[&str]) {
    let server = format!("version: 1\nzones: z.yaml\n{more}\n");
    let expect: Vec<String> = expect.iter().map(|it| format!("evenkeel.yaml:{it}")).collect();
    let expect: Vec<&str> = expect.iter().map(String::as_str).collect();
    check_files(&[("evenkeel.yaml", &server), ("z.yaml", ZONE)], &expect);
}

/// A zone file that begins as it should; what is given stands from line 4 on.
#[track_caller]
pub(super) fn check_zone(more: &str, expect: &[&str]) {
    let zone = format!("{ZONE}{more}\n");
    let expect: Vec<String> = expect.iter().map(|it| format!("z.yaml:{it}")).collect();
    let expect: Vec<&str> = expect.iter().map(String::as_str).collect();
    check_files(&[("evenkeel.yaml", SERVER), ("z.yaml", &zone)], &expect);
}

/// A steered name: `w` with these keys under `steer`, from line 6 on.
#[track_caller]
pub(super) fn check_steer(more: &str, expect: &[&str]) {
    check_zone(&format!("  w:\n    steer:\n      {}", more.replace('\n', "\n      ")), expect);
}

#[track_caller]
fn check_master(text: &str, expect: &[&str]) {
    let expect: Vec<String> = expect.iter().map(|it| format!("example.com.zone:{it}")).collect();
    let expect: Vec<&str> = expect.iter().map(String::as_str).collect();
    let server = "version: 1\nzones: example.com.zone\n";
    check_files(&[("evenkeel.yaml", server), ("example.com.zone", text)], &expect);
}

#[test]
fn server_files() {
    check_server("", &[]);
    check_server(
        "lisen: x",
        &["3:1: unknown key `lisen` in the server file | did you mean `listen`?"],
    );
    check_server("identity: a", &["3:1: `identity` is not supported yet | remove it"]);
    check_server(
        "version: 1",
        &["3:1: `version` is there twice | the first is at evenkeel.yaml:1:1;"],
    );
    check_server(
        "user: [a, b]",
        &["3:7: a value is needed here, not a list | write a value, or remove the key"],
    );
    check_server("user:", &["3:5: a value is needed here, not nothing"]);
    check_server("regions: us", &["3:10: a mapping is needed here, not `us`"]);
    check_server("regions: { us: { capacity: 5 }, eu: { capacity: 0.5 } }", &[]);
    check_server(
        "regions: { us: { capacity: 0 }, eu: { capacity: 5k }, ap: { capacity: -1 } }",
        &[
            "3:28: `0` is no load | write a number above 0 and at most 1000000000000, such as `50000`",
            "3:49: `5k` is no load",
            "3:71: `-1` is no load",
        ],
    );
    check_server("regions: { us: { at: [1, 2], x: 1 } }", &["3:30: unknown key `x` in a region"]);
    check_server("listen: [\"127.0.0.1:0\", \"[::1]:53\"]", &[]);
    check_server("listen: 127.0.0.1", &["3:9: `127.0.0.1` is not an address and a port"]);
    check_server(
        "listen: tls://127.0.0.1:853",
        &["3:9: `tls://127.0.0.1:853` is not supported yet"],
    );
    check_server("listen: ['0.0.0.0:53', '[::]:53', '127.0.0.1:54', '127.0.0.2:54']", &[]);
    check_server(
        "listen: ['127.0.0.1:53', '0.0.0.0:53', '[::ffff:127.0.0.1]:54']",
        &[
            "3:26: `0.0.0.0:53` and `127.0.0.1:53` overlap",
            "3:40: `[::ffff:127.0.0.1]:54` is an IPv4 address | write `127.0.0.1:54`",
        ],
    );
    check_server("listen: []", &["3:9: the server would listen nowhere"]);
    check_server("listen: ['[::]:53', '[::]:53']", &["3:21: `[::]:53` is there twice"]);
    check_server(
        "prober: { startup_wait: 1w, blnd_for: 5m }",
        &[
            "3:25: `1w` is not a duration | write `500ms`, `10s`, `5m`, `1h`, `1d` or whole seconds",
            "3:29: unknown key `blnd_for` in `prober` | did you mean `blind_for`?",
        ],
    );
    check_files(
        &[("evenkeel.yaml", "version: 2\nzones: nope.yaml\n")],
        &[
            "evenkeel.yaml:1:10: version `2` of the file format is not known",
            "evenkeel.yaml:2:8: `nope.yaml` can not be read: No such file",
        ],
    );
    check_files(
        &[("evenkeel.yaml", "zones: [x.txt, d]\n"), ("d/a.txt", "")],
        &[
            "evenkeel.yaml:1:1: the file does not say its `version` | begin it with `version: 1`",
            "evenkeel.yaml:1:9: `x.txt` is no folder and no zone file",
            "evenkeel.yaml:1:16: there are no zone files in `d`",
        ],
    );
    check_files(
        &[("evenkeel.yaml", "version: 1\n")],
        &["evenkeel.yaml:1:1: the file names no zones"],
    );
    check_files(&[("evenkeel.yaml", "a: [b\nc: d\n")], &["evenkeel.yaml:2:"]);
    check_files(&[], &["evenkeel.yaml:1:1: `evenkeel.yaml` can not be read: No such file"]);
}

#[test]
fn probers() {
    let check = |text: &str, expect: &[&str]| check_server(&format!("prober: {text}"), expect);
    check(
        "{ control: [{ tcp: '192.0.2.1:443' }], blind_above: 80%, blind_for: 5m, startup_wait: 5s }",
        &[],
    );
    check("{ control: { tcp: 'one.example:53' }, blind_for: 0 }", &[]);
    check("{ control: [] }", &["3:20: there is no control target | name one, or remove the key"]);
    check("{ control: [{}] }", &["3:21: this control target is of no kind | write `{ tcp:"]);
    check(
        "{ control: [{ icmp: {} }] }",
        &["3:21: this control target", "3:23: unknown key `icmp`"],
    );
    check("{ control: [{ tcp: nowhere }] }", &["3:28: `nowhere` is not a host and a port"]);
    check(
        "{ control: [{ tcp: '[::1]:1' }, { tcp: '[::1]:1' }] }",
        &["3:41: `tcp://[::1]:1` is there twice | remove one"],
    );
    let many: Vec<_> = (1..=17).map(|it| format!("{{ tcp: '192.0.2.{it}:1' }}")).collect();
    check(&format!("{{ control: [{}] }}", many.join(", ")), &["3:20: there are too many control"]);
    check("{ blind_above: 0% }", &["3:24: `0%` is not a percentage"]);
    check("{ blind_for: long }", &["3:22: `long` is not a duration"]);
}

#[test]
fn records() {
    check_zone("", &[]);
    check_zone("  a: { TXT: 1.10, A: 192.0.2.1, TYPE65280: '\\# 1 00' }", &[]);
    check_zone("  a: { A: { ttl: 5m, values: [192.0.2.1] }, ttl: 1d }", &[]);
    check_zone(
        "  a: { CNAME: b, TXT: x }",
        &["4:15: `a.example.com.` has a CNAME beside other data (TXT) | a CNAME stands alone"],
    );
    check_zone("  a: { CNAME: [b, c] }", &["4:19: `a.example.com.` has several CNAMEs"]);
    check_zone(
        "  A: { TXT: x }\n  a.example.com.: { TXT: x }",
        &[
            "5:3: the name `a.example.com.` is there twice | the first is at z.yaml:4:3; merge the two",
        ],
    );
    check_zone("  a: { TXT: x }\n  a: { TXT: x }", &["5:3: `a` is there twice"]);
    check_zone("  a: { TXT: x, txt: y }", &["4:16: `TXT` is there twice"]);
    check_zone("  a.: { TXT: x }", &["4:3: `a.` is outside of the zone `example.com.`"]);
    check_zone("  a..b: { TXT: x }", &["4:3: `a..b` is not a name: the name has an empty label"]);
    check_zone(
        "  bücher: { TXT: x }",
        &["4:3: `bücher` is not a name: it has a character outside of ASCII"],
    );
    check_zone(
        "  a: { A: \"::1\" }",
        &["4:11: `::1` is not an IPv4 address | write it under `AAAA`"],
    );
    check_zone(
        "  a: { MX: [10 m, m] }",
        &["4:19: `m` is not a number from 0 to 65535 | MX is written `NUMBER NAME`"],
    );
    check_zone("  a: { TXT: '\"x' }", &["4:13: a quote is not closed"]);
    check_zone("  a: { AAA: x }", &["4:8: `AAA` is no record type | did you mean `AAAA`?"]);
    check_zone(
        "  a: { ANY: x, SOA: y, RRSIG: z }",
        &[
            "4:8: `ANY` can not stand in a zone",
            "4:16: the SOA is not a record here",
            "4:24: `RRSIG` is not supported yet",
        ],
    );
}

#[test]
fn record_sets() {
    check_zone("  a: {}", &["4:3: there is nothing at `a.example.com.`"]);
    check_zone("  a: { A: [] }", &["4:11: there are no records under `A`"]);
    check_zone("  a: { A: { ttl: 1h } }", &["4:11: there are no records under `A`"]);
    check_zone(
        "  a: { A: { value: 1 } }",
        &[
            "4:11: there are no records under `A`",
            "4:13: unknown key `value` in a record set | did you mean `values`?",
        ],
    );
    check_zone("  a: { A: [[1]] }", &["4:12: a value is needed here, not a list"]);
    check_zone(
        "  a: { A: 192.0.2.1, ttl: 2147483648 }",
        &["4:27: the TTL `2147483648` is too great"],
    );
    check_zone("  a: { A: 192.0.2.1, ttl: 500ms }", &["4:27: `500ms` is not a TTL"]);
    check_zone(
        "  d: { DNAME: x.net. }\n  a.b.d: { TXT: x }",
        &["5:3: `a.b.d.example.com.` is below the DNAME at `d.example.com.`"],
    );
    check_zone(
        "  d: { DNAME: x.net., NS: x.net. }",
        &["4:15: `d.example.com.` has a DNAME beside NS"],
    );
    check_zone(
        "  \"*\": { NS: n.net., DNAME: x.net. }\n  \"*.a.b\": { NS: n.net. }",
        &[
            "4:14: there is NS at the wildcard `*.example.com.` | what it would mean is not defined",
            "4:29: `*.example.com.` has a DNAME beside NS",
            "4:29: there is DNAME at the wildcard `*.example.com.`",
            "5:18: there is NS at the wildcard `*.a.b.example.com.`",
        ],
    );
    check_zone("  d: { NS: n }", &["4:12: the name server `n.example.com.` has no address"]);
    check_zone("  d: { NS: n.d }\n  n.d: { A: 192.0.2.1 }", &[]);
    check_zone("  d: { NS: n.d }\n  n.d: { A: 192.0.2.999 }", &["5:13: `192.0.2.999` is not an"]);
    check_zone(
        "  d: { NS: n.d }\n  n.d: { CNAME: x }",
        &["4:12: the name server `n.d.example.com.` is a CNAME"],
    );
    let strings: Vec<String> = (0..4).map(|it| format!("{it}{}", "x".repeat(20_000))).collect();
    let long = format!("  a: {{ TXT: [{}] }}", strings.join(", "));
    check_zone(&long, &["4:14: the TXT records of `a.example.com.` need a message of"]);
    let many: Vec<_> = (0..4097).map(|it| format!("10.0.{}.{}", it / 256, it % 256)).collect();
    check_zone(
        &format!("  a: {{ A: [{}] }}", many.join(", ")),
        &["4:12: `a.example.com.` has 4097 records of type A"],
    );
}

#[test]
fn zone_files() {
    let check = |text: &str, expect: &[&str]| {
        check_files(&[("evenkeel.yaml", SERVER), ("z.yaml", text)], expect);
    };
    check(
        "zone: a.example\n",
        &[
            "z.yaml:1:1: the zone has no `records`",
            "z.yaml:1:7: the zone `a.example.` names no name servers | give the apex (`@`) an NS record",
        ],
    );
    check("records: {}\n", &["z.yaml:1:1: the file does not name its `zone`"]);
    check("", &["z.yaml:1:1: the zone has no `records`"]);
    check("[]", &["z.yaml:1:1: a mapping is needed here, not a list"]);
    let soa = |soa: &str, expect: &[&str]| {
        check(&format!("soa: {soa}\n{ZONE}"), expect);
    };
    soa("{ primary: ns1, contact: a.b@example.com, serial: 7 }", &[]);
    soa("{ contact: nobody }", &["z.yaml:1:17: `nobody` is not a mail address"]);
    soa(
        "{ serial: -1, refresh: 1x }",
        &["z.yaml:1:16: `-1` is not a serial", "z.yaml:1:29: `1x` is not a TTL"],
    );
    soa("{ primry: a }", &["z.yaml:1:8: unknown key `primry` in `soa` | did you mean `primary`?"]);
}

#[test]
fn files_that_are_no_zones() {
    let check = |zones: &str, zone: &str, expect: &[&str]| {
        let server = SERVER.replace("[z.yaml]", zones);
        check_files(&[("evenkeel.yaml", &server), ("z.yaml", zone)], expect);
    };
    check("[z.yaml]", "", &["z.yaml:1:1: the zone has no `records`"]);
    check("[z.yaml]", "# Nothing.\n", &["z.yaml:1:1: the zone has no `records`"]);
    // One complaint about what is no YAML, and none about what is therefore not there.
    check(
        "[z.yaml]",
        "zone: example.com\nrecords:\n\t\"@\": { NS: ns1 }\n",
        &["z.yaml:3:2: this is not YAML: tabs"],
    );
    check(
        "[z.yaml]",
        &format!("{ZONE}---\nzone: x\n"),
        &["z.yaml:4:1: there is a second document"],
    );
    check(
        "[z.yaml, ./z.yaml]",
        ZONE,
        &[
            "./z.yaml:1:7: the zone `example.com.` is there twice | the first is at z.yaml:1:7; remov",
        ],
    );
    check(
        "[z.yaml, z.yaml]",
        ZONE,
        &["z.yaml:1:7: the zone `example.com.` is there twice | `zones` names this file twice"],
    );
    // A mark at the beginning and carriage returns are what some editors leave.
    check("[z.yaml]", &format!("\u{FEFF}{}", ZONE.replace('\n', "\r\n")), &[]);
}

#[test]
fn steering() {
    check_steer(
        "check: web\npools: { us: { A: 192.0.2.1 }, eu: { weight: 0, AAAA: ['::1', { address: '::2', weight: 3, label: a }] } }",
        &[],
    );
    check_steer("pools: { x: { region: none, CNAME: a }, y: { region: us, CNAME: [b, c] } }", &[]);
    check_steer(
        "check: [web, wbe]\npools: { us: { A: 192.0.2.1, check: prot } }",
        &[
            "6:20: the check `wbe` is not declared",
            "7:43: the check `prot` is not declared | did you mean `port`?",
        ],
    );
    check_steer(
        "check: [web, wbe]\npools: { us: { A: 192.0.2.1 } }",
        &["6:20: the check `wbe` is not declared | did you mean `web`?"],
    );
    check_steer(
        "pools: { uss: { A: 192.0.2.1 } }",
        &["6:16: the region `uss` is not declared | did you mean `us`?"],
    );
    check_steer(
        "pools: { us: { region: asia, A: 192.0.2.1 } }",
        &["6:30: the region `asia` is not declared | declared are `us`, `eu`"],
    );
    check_steer(
        "pools: { us: { A: 192.0.2.1, weight: 65536 } }",
        &["6:44: `weight` is 65536, which is out of range | write a number from 0 to 65535"],
    );
    check_steer(
        "pools: { us: { A: { address: 192.0.2.1, weight: 0 } } }",
        &["6:55: `weight` is 0, which is out of range"],
    );
    check_steer("pools: { us: { A: { weight: 1 } } }", &["6:25: this endpoint has no `address`"]);
}

#[test]
fn endpoints() {
    check_steer(
        "pools: { us: { A: '::1', AAAA: 192.0.2.1 } }",
        &[
            "6:25: `::1` is an IPv6 address | write it under `AAAA`",
            "6:38: `192.0.2.1` is an IPv4 address | write it under `A`",
        ],
    );
    check_steer(
        "pools: { us: { A: [192.0.2.1, 192.0.2.1] } }",
        &["6:37: `192.0.2.1` is twice in the pool `us`"],
    );
    check_steer("pools: { us: { A: x } }", &["6:25: `x` is not an IPv4 address"]);
    check_steer("pools: { us: { CNAME: 192.0.2.1 } }", &["6:29: `192.0.2.1` is an IPv4 address"]);
    check_steer("pools: { us: {} }", &["6:16: the pool `us` has no endpoints"]);
    check_steer(
        "pools: { us: { A: 192.0.2.1, CNAME: x } }",
        &["6:43: the pool `us` has a CNAME beside addresses"],
    );
    check_steer(
        "pools: { us: { A: 192.0.2.1 }, eu: { CNAME: x } }",
        &["6:38: the pool `eu` is of another kind"],
    );
}

#[test]
fn whom_a_check_can_not_ask() {
    let check = |https: &str, endpoints: &str, expect: &[&str]| {
        let server = SERVER.replace("http: { path: /health }", https);
        let zone = format!(
            "{ZONE}  w: {{ steer: {{ check: web, pools: {{ us: {{ {endpoints} }} }} }} }}\n"
        );
        check_files(&[("evenkeel.yaml", &server), ("z.yaml", &zone)], expect);
    };
    // An address is no SNI: a probe can only ask it of itself.
    check("https: { sni: 192.0.2.9 }", "A: 192.0.2.9", &[]);
    check("https: { host: \"[2001:DB8::9]:8443\" }", "AAAA: \"2001:db8::9\"", &[]);
    check(
        "https: { sni: 192.0.2.9 }",
        "A: [192.0.2.9, 192.0.2.1]",
        &[
            "z.yaml:4:59: `192.0.2.1` can not be asked for the certificate of `192.0.2.9` | an addre",
        ],
    );
    check(
        "https: { host: 192.0.2.9 }",
        "CNAME: a.net.",
        &["z.yaml:4:51: `a.net` can not be asked"],
    );
    check("https: { host: 192.0.2.9, sni: www.example.com }", "A: 192.0.2.1", &[]);
    let asked = &["z.yaml:4:47: `192.0.2.1` can not be asked for the certificate of `192.0.2.9`"];
    check("tls: { sni: 192.0.2.9 }", "A: 192.0.2.1", asked);
    check("grpc: { port: 1, tls: true, sni: 192.0.2.9 }", "A: 192.0.2.1", asked);
    check("any_of: [{ icmp: {} }, { tls: { sni: 192.0.2.9 } }]", "A: 192.0.2.1", asked);
    check(
        "http: {}",
        "CNAME: \"a\\\\@b.net.\"",
        &["z.yaml:4:51: `a\\@b.net` is not a host, so that it can not be probed"],
    );
    // Nobody is asked for heartbeats.
    check("push: { expires: 1m }", "CNAME: \"a\\\\@b.net.\"", &[]);
    check(
        "any_of: [{ icmp: {} }, { tcp: {}, target: \"192.0.2.1:1\" }]",
        "CNAME: \"a\\\\@b.net.\"",
        &["z.yaml:4:51: `a\\@b.net` is not a host"],
    );
}

#[test]
fn keys_of_steer() {
    check_steer("pools: {}", &["6:7: `steer` has no pools"]);
    check_steer(
        "check: nope",
        &["6:7: `steer` has no pools", "6:14: the check `nope` is not declared"],
    );
    check_steer(
        "by: wait\nsticky: clients\nslo: 5%\npools: { us: { A: 192.0.2.1, ramp: 2 } }",
        &[
            "6:11: `by` can not be `wait` | write one of `weight`, `latency`, `distance`",
            "7:15: `sticky` can not be `clients` | did you mean `client`?",
            "8:7: `slo` is not supported yet",
            "9:42: `ramp` can not be `2` | write `{ steps: [5%, 25%, 50%, 100%], every: 1m }`, or `none`",
        ],
    );
    check_steer(
        "answers: 33\nmin_up: 0%\nttl_min: 2h\npools: { us: { A: 192.0.2.1 } }",
        &[
            "6:16: `answers` is 33, which is out of range | write a number from 1 to 32",
            "7:15: `0%` is not a percentage",
            "8:16: `ttl_min` (7200) is greater than the TTL of the name (3600)",
        ],
    );
    check_steer(
        "all_down: uss\npools: { us: { A: 192.0.2.1 } }",
        &["6:17: `all_down` can not be `uss` | did you mean `us`?"],
    );
}

#[test]
fn beside_steer() {
    let pools = "steer: { pools: { us: { A: 192.0.2.1 } } }";
    check_zone(&format!("  w: {{ {pools}, TXT: x, MX: 1 m }}"), &[]);
    check_zone(
        &format!("  w: {{ {pools}, A: 192.0.2.2 }}"),
        &["4:55: `w.example.com.` has A records beside pools of address"],
    );
    check_zone(
        &format!("  d: {{ NS: ns.x. }}\n  w.d: {{ {pools} }}"),
        &["5:3: `w.d.example.com.` is steered and belongs to the delegated `d.example.com.`"],
    );
    check_zone(
        "  w: { steer: { pools: { us: { CNAME: x } } }, TXT: y }",
        &["4:53: `w.example.com.` has TXT records beside pools of CNAME"],
    );
    check_zone(
        "  \"*\": { steer: { check: web, pools: { us: { A: 192.0.2.1 } } } }",
        &["4:26: the check `web` has no `host`, and `*.example.com.` is none"],
    );
}

#[test]
fn master_files() {
    const BEGIN: &str = "$TTL 1h\n@ SOA ns.example.net. host 1 2 3 4 5\n  NS ns.example.net.\n";
    let check = |more: &str, expect: &[&str]| check_master(&format!("{BEGIN}{more}\n"), expect);
    check("", &[]);
    check(
        "a 5 IN A 192.0.2.1\n IN 1h30m TXT \"x; y\" ( \"z\"\n ) ; comment\n*.w CLASS1",
        &["7:5: `CLASS1` is no record type"],
    );
    check(
        "$ORIGIN sub\na A 192.0.2.1\n$ORIGIN example.org.\nb A 192.0.2.1",
        &["7:1: `b.example.org.` is outside of the zone `example.com.`"],
    );
    check("a CH A 1.2.3.4", &["4:3: the class `CH` is not served"]);
    check(
        "a A 1.2.3\nb A\nc NOPE x\nd",
        &[
            "4:5: `1.2.3` is not an IPv4 address",
            "5:3: the data of this A is not complete",
            "6:3: `NOPE` is no record type",
            "7:1: this entry has no record type",
        ],
    );
    check(
        "a TXT \"x\nb TXT (y\n",
        &["4:7: a quote is not closed", "5:7: a parenthesis is not closed"],
    );
    check("a ) TXT x", &["4:3: a parenthesis closes that was not opened"]);
    check(
        "$GENERATE 1-2 a A 192.0.2.$\n$TTL x",
        &["4:1: `$GENERATE` is not understood", "5:6: `x` is not a TTL"],
    );
    check("a 2147483648 A 192.0.2.1", &["4:3: `2147483648` is not a TTL"]);
    check("$INCLUDE nope.zone", &["4:10: `nope.zone` can not be read"]);
    check(
        "$INCLUDE example.com.zone",
        &["2:3: there is a second SOA", "4:10: files include each other too deep"],
    );
}

#[test]
fn master_files_as_a_whole() {
    check_master("", &["1:1: the first record is not a SOA"]);
    check_master("$TTL 1\na A 192.0.2.1\n", &["2:3: the first record is not a SOA"]);
    check_master(
        "  A 192.0.2.1\n",
        &["1:1: the first record is not a SOA", "1:3: this record has no TTL"],
    );
    check_master(
        "@ SOA a. b. 1 2 3 4 5\n  NS c.\nx.example.com. SOA a. b. 1 2 3 4 5\n@ SOA z. b. 1 2 3 4 5\n",
        &[
            "3:16: there is a SOA at `x.example.com.`, which is not the apex",
            "4:3: there is a second SOA",
        ],
    );
    check_master(
        "@ SOA a. b. 1 2 3 4 5\n",
        &["1:3: the zone `example.com.` names no name servers"],
    );
    check_files(
        &[
            ("evenkeel.yaml", "version: 1\nzones: [a.zone, b]\n"),
            (
                "a.zone",
                "$ORIGIN example.com.\n@ SOA a. b. 1 2 3 4 5\n NS c.\n$INCLUDE part x.example.com.\ny A 192.0.2.1\n",
            ),
            ("part", "y A 192.0.2.1\n  A 192.0.2\n"),
            ("b/x.yaml", ZONE),
        ],
        &[
            "part:2:5: `192.0.2` is not an IPv4 address",
            "b/x.yaml:1:7: the zone `example.com.` is there twice | the first is at a.zone:2:3; remove one",
        ],
    );
}
