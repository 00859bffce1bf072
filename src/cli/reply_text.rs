//! A reply as text, as dig prints it.
//!
//! Not here: asking (`query`).

use std::{
    fmt::{self, Write},
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use hickory_proto::{
    op::{Edns, Message, ResponseCode},
    rr::{Name, RData, Record, rdata::opt::EdnsOption},
    serialize::binary::{BinDecodable, BinDecoder},
};

use crate::wire::{Rtype, Transport};

/// EDNS options that hickory-proto knows by number alone.
const EDNS_COOKIE: u16 = 10;
const EDNS_EDE: u16 = 15;

/// What the codes of RFC 8914 section 4 mean, by number; 25 to 29 came later.
const EDE_PURPOSES: [&str; 30] = [
    "Other Error",
    "Unsupported DNSKEY Algorithm",
    "Unsupported DS Digest Type",
    "Stale Answer",
    "Forged Answer",
    "DNSSEC Indeterminate",
    "DNSSEC Bogus",
    "Signature Expired",
    "Signature Not Yet Valid",
    "DNSKEY Missing",
    "RRSIGs Missing",
    "No Zone Key Bit Set",
    "NSEC Missing",
    "Cached Error",
    "Not Ready",
    "Blocked",
    "Censored",
    "Filtered",
    "Prohibited",
    "Stale NXDOMAIN Answer",
    "Not Authoritative",
    "Not Supported",
    "No Reachable Authority",
    "Network Error",
    "Invalid Data",
    "Signature Expired before Valid",
    "Too Early",
    "Unsupported NSEC3 Iterations Value",
    "Unable to conform to policy",
    "Synthesized",
];

/// A reply, and how it came.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) message: Message,
    /// Octets of the message.
    pub(super) len: usize,
    pub(super) server: SocketAddr,
    pub(super) transport: Transport,
    /// From the first question to the reply.
    pub(super) took: Duration,
    pub(super) at: SystemTime,
}

/// The reply as dig prints it.
pub(super) fn dig(received: &Received) -> String {
    let mut text = String::new();
    write_all(&mut text, received).expect("a string takes all that is written");
    text
}

/// The response code as dig prints it.
pub(super) fn status(code: ResponseCode) -> String {
    let text = match u16::from(code) {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        16 => "BADVERS",
        23 => "BADCOOKIE",
        number => return format!("RESERVED{number}"),
    };
    text.to_owned()
}

fn write_all(text: &mut String, received: &Received) -> fmt::Result {
    let message = &received.message;
    write_header(text, message)?;
    if let Some(edns) = &message.edns {
        write_edns(text, edns)?;
    }
    if !message.queries.is_empty() {
        writeln!(text, ";; QUESTION SECTION:")?;
        for query in &message.queries {
            let rtype = Rtype(query.query_type().into());
            let name = query.name().to_ascii();
            writeln!(text, ";{name}\t\t{}\t{rtype}", query.query_class())?;
        }
    }
    write_section(text, "ANSWER", &message.answers)?;
    write_section(text, "AUTHORITY", &message.authorities)?;
    write_section(text, "ADDITIONAL", &message.additionals)?;
    let (address, port) = (received.server.ip(), received.server.port());
    let transport = match received.transport {
        Transport::Udp => "UDP",
        Transport::Tcp => "TCP",
    };
    let seconds = received.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    writeln!(text)?;
    writeln!(text, ";; Query time: {} msec", received.took.as_millis())?;
    writeln!(text, ";; SERVER: {address}#{port}({address}) ({transport})")?;
    writeln!(text, ";; WHEN: {}", utc(seconds))?;
    writeln!(text, ";; MSG SIZE  rcvd: {}", received.len)
}

fn write_header(text: &mut String, message: &Message) -> fmt::Result {
    let header = &message.metadata;
    let flags: String = [
        (true, " qr"),
        (header.authoritative, " aa"),
        (header.truncation, " tc"),
        (header.recursion_desired, " rd"),
        (header.recursion_available, " ra"),
        (header.authentic_data, " ad"),
        (header.checking_disabled, " cd"),
    ]
    .into_iter()
    .filter_map(|(is_set, flag)| is_set.then_some(flag))
    .collect();
    writeln!(text, ";; Got answer:")?;
    writeln!(
        text,
        ";; ->>HEADER<<- opcode: {}, status: {}, id: {}",
        header.op_code.to_string().to_uppercase(),
        status(header.response_code),
        header.id
    )?;
    writeln!(
        text,
        ";; flags:{flags}; QUERY: {}, ANSWER: {}, AUTHORITY: {}, ADDITIONAL: {}\n",
        message.queries.len(),
        message.answers.len(),
        message.authorities.len(),
        // dig counts OPT, which is a record on the wire.
        message.additionals.len() + usize::from(message.edns.is_some())
    )
}

fn write_edns(text: &mut String, edns: &Edns) -> fmt::Result {
    let flags = if edns.flags().dnssec_ok { " do" } else { "" };
    writeln!(text, ";; OPT PSEUDOSECTION:")?;
    let (version, payload) = (edns.version(), edns.max_payload());
    writeln!(text, "; EDNS: version: {version}, flags:{flags}; udp: {payload}")?;
    for (code, option) in &edns.options().options {
        match option {
            EdnsOption::Subnet(it) => {
                let (source, scope) = (it.source_prefix(), it.scope_prefix());
                writeln!(text, "; CLIENT-SUBNET: {}/{source}/{scope}", it.addr())?;
            }
            EdnsOption::NSID(it) => {
                let id = it.as_ref();
                writeln!(text, "; NSID: {} (\"{}\")", hex(id, " "), id.escape_ascii())?;
            }
            EdnsOption::Unknown(EDNS_EDE, data) => write_ede(text, data)?,
            EdnsOption::Unknown(EDNS_COOKIE, data) => {
                writeln!(text, "; COOKIE: {}", hex(data, ""))?;
            }
            EdnsOption::Unknown(_, data) => {
                writeln!(text, "; OPT={}: {}", u16::from(*code), hex(data, " "))?;
            }
            other => writeln!(text, "; OPT={}: {other:?}", u16::from(*code))?,
        }
    }
    Ok(())
}

/// RFC 8914 section 2: a code, then text in UTF-8.
fn write_ede(text: &mut String, data: &[u8]) -> fmt::Result {
    let Some((code, extra)) = data.split_first_chunk() else {
        return writeln!(text, "; EDE: too short: {}", hex(data, " "));
    };
    let code = u16::from_be_bytes(*code);
    write!(text, "; EDE: {code}")?;
    if let Some(purpose) = EDE_PURPOSES.get(usize::from(code)) {
        write!(text, " ({purpose})")?;
    }
    if !extra.is_empty() {
        // Control characters of a stranger's server do not reach the terminal.
        let extra = String::from_utf8_lossy(extra).replace(char::is_control, "\u{FFFD}");
        write!(text, ": ({extra})")?;
    }
    writeln!(text)
}

fn write_section(text: &mut String, title: &str, records: &[Record]) -> fmt::Result {
    if records.is_empty() {
        return Ok(());
    }
    writeln!(text, "\n;; {title} SECTION:")?;
    for record in records {
        let rtype = Rtype(record.record_type().into());
        let (name, class) = (record.name.to_ascii(), record.dns_class);
        write!(text, "{name}\t{}\t{class}\t{rtype}\t", record.ttl)?;
        write_data(text, &record.data)?;
        writeln!(text)?;
    }
    Ok(())
}

/// In presentation form, where hickory-proto has none or another one.
fn write_data(text: &mut String, data: &RData) -> fmt::Result {
    match data {
        RData::TXT(it) => write_strings(text, it.txt_data.iter().map(|it| &**it)),
        RData::HINFO(it) => write_strings(text, [&*it.cpu, &*it.os]),
        RData::Unknown { code, rdata } if Rtype(u16::from(*code)) == Rtype::DNAME => {
            match Name::read(&mut BinDecoder::new(&rdata.anything)) {
                Ok(target) => write!(text, "{}", target.to_ascii()),
                Err(_) => write_unknown(text, &rdata.anything),
            }
        }
        RData::Unknown { rdata, .. } | RData::NULL(rdata) => write_unknown(text, &rdata.anything),
        known => write!(text, "{known}"),
    }
}

fn write_strings<'a>(
    text: &mut String,
    strings: impl IntoIterator<Item = &'a [u8]>,
) -> fmt::Result {
    for (idx, string) in strings.into_iter().enumerate() {
        text.push_str(if idx == 0 { "\"" } else { " \"" });
        for octet in string {
            match octet {
                b'"' | b'\\' => write!(text, "\\{}", char::from(*octet))?,
                b' '..=b'~' => text.push(char::from(*octet)),
                // RFC 1035 section 5.1.
                _ => write!(text, "\\{octet:03}")?,
            }
        }
        text.push('"');
    }
    Ok(())
}

/// RFC 3597 section 5.
fn write_unknown(text: &mut String, data: &[u8]) -> fmt::Result {
    write!(text, "\\# {}", data.len())?;
    if !data.is_empty() {
        write!(text, " {}", hex(data, ""))?;
    }
    Ok(())
}

fn hex(data: &[u8], between: &str) -> String {
    data.iter().map(|it| format!("{it:02x}")).collect::<Vec<_>>().join(between)
}

/// Seconds since 1970 as `2026-11-20 13:45:00 UTC`, by the proleptic Gregorian calendar.
fn utc(seconds: u64) -> String {
    let (mut days, of_day) = (seconds / 86_400, seconds % 86_400);
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while let Some(rest) = days.checked_sub(365 + u64::from(is_leap(year))) {
        (days, year) = (rest, year + 1);
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for len in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        let Some(rest) = days.checked_sub(len) else { break };
        (days, month) = (rest, month + 1);
    }
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year}-{month:02}-{:02} {hour:02}:{minute:02}:{second:02} UTC", days + 1)
}

#[cfg(test)]
mod tests {
    use hickory_proto::{
        op::{MessageType, OpCode, Query},
        rr::{
            RecordType,
            rdata::{A, NULL, TXT, opt::ClientSubnet},
        },
    };

    use super::*;

    fn received() -> Received {
        let name = Name::from_ascii("www.example.").unwrap();
        let mut message = Message::new(7, MessageType::Response, OpCode::Query);
        message.metadata.authoritative = true;
        message.add_query(Query::query(name.clone(), RecordType::A));
        message.add_answer(Record::from_rdata(name.clone(), 20, RData::A(A::new(192, 0, 2, 1))));
        let txt = TXT::from_bytes(vec![b"a \"b\"", b"\\\x07"]);
        message.add_authority(Record::from_rdata(name.clone(), 5, RData::TXT(txt)));
        for (code, data) in [(39, &b"\x01b\0"[..]), (65280, &[1, 0xAB])] {
            let rdata = NULL::with(data.to_vec());
            let unknown = RData::Unknown { code: RecordType::from(code), rdata };
            message.add_additional(Record::from_rdata(name.clone(), 1, unknown));
        }
        let mut edns = Edns::new();
        edns.set_max_payload(1232);
        let subnet = ClientSubnet::new("203.0.113.0".parse().unwrap(), 24, 16);
        edns.options_mut().insert(EdnsOption::Subnet(subnet));
        edns.options_mut().insert(EdnsOption::Unknown(EDNS_EDE, b"\0\x16no\x1Bpe".to_vec()));
        edns.options_mut().insert(EdnsOption::Unknown(EDNS_EDE, b"\xFF\xFF".to_vec()));
        edns.options_mut().insert(EdnsOption::Unknown(65001, vec![1, 2]));
        message.set_edns(edns);
        Received {
            message,
            len: 77,
            server: "192.0.2.53:53".parse().unwrap(),
            transport: Transport::Udp,
            took: Duration::from_millis(3),
            at: SystemTime::UNIX_EPOCH + Duration::from_mins(29_919_705),
        }
    }

    #[test]
    fn a_reply_reads_as_with_dig() {
        let expected = "\
;; Got answer:
;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 7
;; flags: qr aa; QUERY: 1, ANSWER: 1, AUTHORITY: 1, ADDITIONAL: 3

;; OPT PSEUDOSECTION:
; EDNS: version: 0, flags:; udp: 1232
; CLIENT-SUBNET: 203.0.113.0/24/16
; EDE: 22 (No Reachable Authority): (no\u{FFFD}pe)
; EDE: 65535
; OPT=65001: 01 02
;; QUESTION SECTION:
;www.example.\t\tIN\tA

;; ANSWER SECTION:
www.example.\t20\tIN\tA\t192.0.2.1

;; AUTHORITY SECTION:
www.example.\t5\tIN\tTXT\t\"a \\\"b\\\"\" \"\\\\\\007\"

;; ADDITIONAL SECTION:
www.example.\t1\tIN\tDNAME\tb.
www.example.\t1\tIN\tTYPE65280\t\\# 2 01ab

;; Query time: 3 msec
;; SERVER: 192.0.2.53#53(192.0.2.53) (UDP)
;; WHEN: 2026-11-20 13:45:00 UTC
;; MSG SIZE  rcvd: 77
";
        assert_eq!(dig(&received()), expected);
    }

    #[test]
    fn days_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(4_107_542_399), "2100-02-28 23:59:59 UTC");
        assert_eq!(utc(1_798_761_599), "2026-12-31 23:59:59 UTC");
    }
}
