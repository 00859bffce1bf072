//! Record data from text, case by case.

use hickory_proto::{
    rr::{RData, RecordType},
    serialize::binary::BinEncodable,
};

use super::*;
use crate::{compile::words, config::Place};

fn encoded(rtype: &str, text: &str) -> Result<Vec<u8>, Wrong> {
    let rtype = rtype.parse().expect("a type");
    let origin = Name::parse("example.com.", None).expect("a name");
    let words = words::cut(text, Place::default()).expect("closed quotes");
    let mut octets = b"before".to_vec();
    encode(rtype, &words, &origin, &mut octets)?;
    Ok(octets.split_off(6))
}

#[test]
fn text_to_wire() {
    let check = |rtype, text, expect: &[u8]| {
        assert_eq!(encoded(rtype, text).as_deref(), Ok(expect), "{rtype} {text}");
    };
    check("A", "192.0.2.1", &[192, 0, 2, 1]);
    check("MX", "10 mail", b"\x00\x0A\x04mail\x07example\x03com\x00");
    check("MX", "0 .", b"\0\0\0");
    check("CNAME", r"a\.b.C.", b"\x03a.b\x01C\x00");
    check("DNAME", "@", b"\x07example\x03com\x00");
    check("TXT", r#""a\200\"" b"#, b"\x03a\xC8\"\x01b");
    check("TXT", r#""""#, b"\0");
    check("CAA", r#"0 issue "ca.example; x=y""#, b"\0\x05issueca.example; x=y");
    check("URI", r#"10 1 "https://a/""#, b"\x00\x0A\x00\x01https://a/");
    check("DS", "60485 RSASHA1 1 2BB1 83AF", &[0xEC, 0x45, 5, 1, 0x2B, 0xB1, 0x83, 0xAF]);
    check("DS", "1 8 2 ( AB CD )", &[0, 1, 8, 2, 0xAB, 0xCD]);
    check("DNSKEY", "256 3 13 AQID BAU=", &[1, 0, 3, 13, 1, 2, 3, 4, 5]);
    check("CDS", "0 0 0 00", &[0, 0, 0, 0, 0]);
    check("OPENPGPKEY", "AQ==", &[1]);
    check("CSYNC", "66 3 A NS AAAA", b"\0\0\0\x42\0\x03\0\x04\x60\0\0\x08");
    check("CSYNC", "0 0 A TYPE256", b"\0\0\0\0\0\0\0\x01\x40\x01\x01\x80");
    check("NID", "10 0014:4fff:ff20:ee64", b"\0\x0A\0\x14\x4f\xff\xff\x20\xee\x64");
    check("EUI48", "00-00-5e-00-53-2a", b"\0\0\x5e\0\x53\x2a");
    check("RP", "a b", b"\x01a\x07example\x03com\0\x01b\x07example\x03com\0");
    check("TYPE65280", r"\# 3 01 02ff", &[1, 2, 255]);
    check("TYPE65280", r"\# 0", &[]);
    check("LOC", r"\# 1 00", &[0]);
    check("A", r"\# 4 C0000201", &[192, 0, 2, 1]);
    check(
        "SOA",
        "a. b. 1 1h 1h30m 1w 5",
        b"\x01a\0\x01b\0\0\0\0\x01\0\0\x0E\x10\0\0\x15\x18\0\x09\x3A\x80\0\0\0\x05",
    );
    check("HTTPS", "0 pool", b"\0\0\x04pool\x07example\x03com\0");
    check(
        "HTTPS",
        "1 . port=443 alpn=h2,h3",
        b"\0\x01\0\0\x01\0\x06\x02h2\x02h3\0\x03\0\x02\x01\xBB",
    );
    check(
        "SVCB",
        r#"1 . alpn="h2" mandatory=port,alpn port=1"#,
        b"\0\x01\0\0\0\0\x04\0\x01\0\x03\0\x01\0\x03\x02h2\0\x03\0\x02\0\x01",
    );
}

#[test]
fn what_is_wrong() {
    let check = |rtype: &str, text: &str, word: usize, message: &str| {
        let wrong = encoded(rtype, text).map_err(|it| (it.word, it.message));
        assert_eq!(wrong, Err((word, message.to_owned())), "{rtype} {text}");
    };
    check("A", "192.0.2.256", 0, "`192.0.2.256` is not an IPv4 address");
    check("AAAA", "192.0.2.1", 0, "`192.0.2.1` is not an IPv6 address");
    check("A", "192.0.2.1 2", 1, "`2` is too much for A");
    check("A", "", 0, "the data of this A is not complete");
    check("MX", "10", 1, "the data of this MX is not complete");
    check("MX", "65536 a", 0, "`65536` is not a number from 0 to 65535");
    check("MX", "+1 a", 0, "`+1` is not a number from 0 to 65535");
    check(
        "NS",
        "a..b",
        0,
        "`a..b` is not a name: the name has an empty label (two dots in a row, or one at the start)",
    );
    check("NS", "ü", 0, "`ü` is not a name: it has a character outside of ASCII");
    check("TXT", r#""\256""#, 0, r"`\256` has a bad escape");
    check(
        "TXT",
        &format!("a {}", "x".repeat(256)),
        1,
        "a character string of this TXT is too long",
    );
    check("CAA", "0 is-sue x", 1, "`is-sue` is not a tag of letters and digits");
    check("DS", "1 NOPE 1 00", 1, "`NOPE` is no DNSSEC algorithm that is known here");
    check("DS", "1 8 1 00 0", 4, "this is not hexadecimal");
    check("OPENPGPKEY", "AQ=", 0, "this is not Base64");
    check("OPENPGPKEY", "A===", 0, "this is not Base64");
    check("OPENPGPKEY", "=", 0, "this is not Base64");
    check("LOC", "52 22 23.000 N", 0, "there is no text form for `LOC` here");
    check("TYPE65280", r"\# 2 01", 1, "there are 1 octets, and 2 were announced");
    check("TYPE65280", r"\# 1 0g", 2, "this is not hexadecimal");
    check("TYPE65280", r"\#", 1, r"a length belongs after `\#`");
    check("NS", r"\# 2 C00C", 2, "these octets are not the data of NS");
    check("TXT", r"\# 2 0561", 2, "these octets are not the data of TXT");
    check("HTTPS", "1 . alpn=h2 alpn=h3", 3, "the key of `alpn=h3` is there twice");
    check("HTTPS", "1 . nope=1", 2, "`nope=1` is not a service parameter");
    check("HTTPS", r#"1 . key9=a\"b"#, 2, r#"`key9=a\"b` is not a service parameter"#);
    check(
        "HTTPS",
        "1 . mandatory=port",
        2,
        "`mandatory` names a key twice, or one that is not there",
    );
    check("EUI48", "00-00", 0, "`00-00` is not octets in hexadecimal with hyphens");
}

/// hickory reads the types that it knows the same way.
#[test]
fn as_hickory_reads_it() {
    let check = |rtype: &str, text: &str| {
        let known: RecordType = rtype.parse().expect("a type");
        let theirs = RData::try_from_str(known, text).expect(text).to_bytes().expect(text);
        assert_eq!(encoded(rtype, text).expect(text), theirs, "{rtype} {text}");
    };
    check("A", "192.0.2.1");
    check("AAAA", "2001:db8::1");
    check("NS", "ns1.example.net.");
    check("MX", "10 mail.example.net.");
    check("SRV", "1 2 443 www.example.net.");
    check("TXT", r#""one two" three"#);
    check("CAA", r#"128 issuewild "letsencrypt.org""#);
    check("HINFO", r#""CPU x" OS"#);
    check("NAPTR", r#"100 10 "U" "E2U+sip" "!^.*$!sip:info@example.com!" ."#);
    check("SSHFP", "4 2 123456789abcdef67890123456789abcdef67890123456789abcdef123456789");
    check("TLSA", "3 1 1 D2ABDE240D7CD3EE6B4B28C54DF034B97983A1D16E8A410E4561CB106618E971");
    check("CERT", "1 12345 13 AQIDBA==");
    check("CSYNC", "66 3 A NS AAAA");
    check("OPENPGPKEY", "AQIDBA==");
    check("SOA", "ns1.example. host.test. 7 3600 900 1209600 300");
    check("HTTPS", "1 svc.example. alpn=h2,h3 port=8443 ipv4hint=192.0.2.1 ipv6hint=2001:db8::1");
}

#[test]
fn numbers_of_seconds() {
    let check = |text, expect| assert_eq!(seconds(text), expect, "{text}");
    check("0", Some(0));
    check("3600", Some(3600));
    check("1h30m", Some(5400));
    check("1W2D", Some(777_600));
    check("2147483647", Some(2_147_483_647));
    for text in
        ["", "2147483648", "1h5", "h", "1x", "500ms", "-1", "1h-1", "9999999999999999999999"]
    {
        check(text, None);
    }
}
