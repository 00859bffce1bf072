//! The question: from the bytes of a packet to what is asked.

use super::{
    Rcode, Rtype,
    edns::Edns,
    name::Folded,
    reader::{Malformed, Reader},
};

/// Octets of a message's header (RFC 1035 section 4.1.1).
pub const HEADER_LEN: usize = 12;

/// The class of the Internet (RFC 1035 section 3.2.4).
pub const CLASS_IN: u16 = 1;

/// One question.
#[derive(Debug)]
pub struct Query<'p> {
    /// The header's first four octets: the id and the flags.
    pub header: [u8; 4],
    /// The question section as it came: name with its case, type and class.
    pub question: &'p [u8],
    /// The name, folded.
    pub name: &'p Folded,
    /// The type asked for.
    pub qtype: Rtype,
    /// The class asked for.
    pub qclass: u16,
    /// What the OPT record says, if there is one.
    pub edns: Option<Edns<'p>>,
}

/// Why a packet is not a question that can be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It has no header, or is itself a response: any reply could start a loop between servers.
    Ignore,
    /// The header can be read and earns this response code.
    Reply(Rcode),
}

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Self {
        Self::Reply(Rcode::FORMERR)
    }
}

/// Reads a packet. `name` is where its name is folded to.
///
/// Octets behind the last record are passed over, as NSD does: they say nothing, and a refusal
/// would help nobody.
///
/// # Errors
///
/// Says what to do with what is not a question.
#[inline(always)]
pub fn parse<'p>(packet: &'p [u8], name: &'p mut Folded) -> Result<Query<'p>, Refusal> {
    let (head, rest) = packet.split_first_chunk::<HEADER_LEN>().ok_or(Refusal::Ignore)?;
    let mut reader = Reader::new(rest);
    let header: [u8; 4] = *head.first_chunk().expect("there are twelve");
    let [_, _, flags_0, _] = header;
    if flags_0 & 0x80 != 0 {
        return Err(Refusal::Ignore);
    }
    if flags_0 & 0x78 != 0 {
        return Err(Refusal::Reply(Rcode::NOTIMP));
    }
    let count = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    // Exactly one question (RFC 9619 section 4), and nothing answered in it.
    if head[4..8] != [0, 1, 0, 0] {
        return Err(Refusal::Reply(Rcode::FORMERR));
    }

    // A pointer in the first name could only point into the header, so it is refused as well.
    let name_len = name.fold(reader.rest()).ok_or(Malformed)?;
    let question = reader.take(name_len + 4)?;
    let [type_0, type_1, class_0, class_1] = *question.last_chunk().expect("four were taken");

    Ok(Query {
        header,
        question,
        name,
        qtype: Rtype(u16::from_be_bytes([type_0, type_1])),
        qclass: u16::from_be_bytes([class_0, class_1]),
        edns: read_records(reader, count(8), count(10))?,
    })
}

/// Passes over the records behind the question and reads the OPT record among the additional ones.
#[inline(always)]
fn read_records(
    mut reader: Reader<'_>,
    n_authority: u16,
    n_additional: u16,
) -> Result<Option<Edns<'_>>, Malformed> {
    let mut edns = None;
    // Bounded by the packet: each turn takes octets or fails.
    for idx in 0..u32::from(n_authority) + u32::from(n_additional) {
        let is_additional = u32::from(n_authority) <= idx;
        let is_root = reader.rest().first() == Some(&0);
        reader.skip_name()?;
        let [type_0, type_1, head @ .., len_0, len_1]: [u8; 10] = reader.array()?;
        let data = reader.take(usize::from(u16::from_be_bytes([len_0, len_1])))?;
        if Rtype(u16::from_be_bytes([type_0, type_1])) != Rtype::OPT {
            continue;
        }
        // One OPT, at the root, among the additional records (RFC 6891 section 6.1.1).
        if !is_additional || !is_root || edns.is_some() {
            return Err(Malformed);
        }
        edns = Some(Edns::read(head, data));
    }
    Ok(edns)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: [u8; 12] = [1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    const QUESTION: &[u8] = b"\x03WwW\x02eX\x00\x00\x1C\x00\x01";
    const OPT: &[u8] = b"\x00\x00\x29\x04\xD0\x00\x00\x80\x00\x00\x00";

    fn packet(edit: impl FnOnce(&mut [u8; 12]), rest: &[&[u8]]) -> Vec<u8> {
        let mut header = HEADER;
        edit(&mut header);
        [&header[..], &rest.concat()].concat()
    }

    #[test]
    fn a_question_with_edns() {
        let packet = packet(|header| header[11] = 1, &[QUESTION, OPT, b"behind"]);
        let mut name = Folded::default();
        let query = parse(&packet, &mut name).unwrap();
        assert_eq!(query.header, [1, 2, 1, 0]);
        assert_eq!(query.question, QUESTION);
        assert_eq!(format!("{:?} {}", query.name, query.qtype), "www.ex. AAAA");
        let edns = query.edns.unwrap();
        assert_eq!((edns.payload_len, edns.version, edns.dnssec_ok), (1232, 0, true));
    }

    #[test]
    fn what_cannot_be_answered() {
        let check = |packet: &[u8], expect: Refusal| {
            let mut name = Folded::default();
            assert_eq!(parse(packet, &mut name).unwrap_err(), expect, "{packet:?}");
        };
        let formerr = Refusal::Reply(Rcode::FORMERR);
        check(&[], Refusal::Ignore);
        check(&HEADER[..11], Refusal::Ignore);
        check(&packet(|header| header[2] = 0x80, &[QUESTION]), Refusal::Ignore);
        check(&packet(|header| header[2] = 0x28, &[]), Refusal::Reply(Rcode::NOTIMP));
        check(&packet(|header| header[5] = 0, &[]), formerr);
        check(&packet(|header| header[5] = 2, &[QUESTION, QUESTION]), formerr);
        check(&packet(|header| header[7] = 1, &[QUESTION, OPT]), formerr);
        check(&packet(|_| {}, &[&QUESTION[..9]]), formerr);
        check(&packet(|_| {}, &[b"\xC0\x0C\x00\x01\x00\x01"]), formerr);
        // An OPT that is missing, twice, not at the root, in the wrong section or cut.
        check(&packet(|header| header[11] = 1, &[QUESTION]), formerr);
        check(&packet(|header| header[11] = 2, &[QUESTION, OPT, OPT]), formerr);
        check(&packet(|header| header[11] = 1, &[QUESTION, b"\x01a", OPT]), formerr);
        check(&packet(|header| header[9] = 1, &[QUESTION, OPT]), formerr);
        check(&packet(|header| header[11] = 1, &[QUESTION, &OPT[..10]]), formerr);
    }

    #[test]
    fn an_option_that_is_cut_is_malformed() {
        let opt = b"\x00\x00\x29\x04\xD0\x00\x00\x00\x00\x00\x04\x00\x08\x00\x09";
        let packet = packet(|header| header[11] = 1, &[QUESTION, opt]);
        let mut name = Folded::default();
        assert!(parse(&packet, &mut name).unwrap().edns.unwrap().malformed);
    }
}
