//! The reply: from what is to be said to the bytes of a packet.
//!
//! ```text
//!   header | question | answer | authority | additional | OPT
//!                     ^ records are put here, section by section
//! ```
//!
//! Room for the OPT record is set aside at the start, so that a reply that is cut still has one
//! (RFC 6891 section 7).
//!
//! # Compression
//!
//! An owner name points to where it stands already: in the question, or in the data of the CNAME
//! that led to it. Names in data and other owners share the apex of their zone ([`Apex`]). That
//! needs neither a table nor a search, and leaves out little.
//!
//! # Invariants
//!
//! - The reply is at most `limit` octets at any time. An RRset that does not fit is not begun; if
//!   it was required, the reply is truncated and takes no more.
//! - Sections are put in order.
//!
//! Not here: what to say (`answer`).

use super::{
    Rcode, Rtype,
    edns::{Ede, Edns, OPTION_EDE},
    name::{labels, suffix_at},
    query::{CLASS_IN, HEADER_LEN, Query},
    rdata::{self, Records},
};
use crate::limits::UDP_REPLY_LEN_MAX;

/// Octets of an OPT record without options.
const OPT_LEN: usize = 11;

/// Octets of the option that holds an extended error without text.
const EDE_OPTION_LEN: usize = 6;

/// The most that is set aside for EDNS: an OPT record with an extended error and an IPv6 subnet.
pub const EDNS_LEN_MAX: usize = OPT_LEN + EDE_OPTION_LEN + 4 + 4 + 16;

/// The response under construction.
#[derive(Debug)]
pub struct Reply<'b> {
    buffer: &'b mut [u8],
    len: usize,
    /// Where records have to end.
    limit: usize,
    /// Records in the answer, authority and additional sections.
    counts: [u16; 3],
    authoritative: bool,
    truncated: bool,
    ede: Option<Ede>,
    scope_len: u8,
}

/// A section of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// What was asked for.
    Answer,
    /// Who answers, or who knows more.
    Authority,
    /// What will be asked next.
    Additional,
}

/// Where in the message a name stands, near enough to the front that a pointer reaches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(u16);

impl Place {
    /// The name in the question.
    pub const QUESTION: Self = Self(0x000C);

    fn new(at: usize) -> Option<Self> {
        // Fourteen bits (RFC 1035 section 4.1.4).
        u16::try_from(at).ok().filter(|at| *at < 0x4000).map(Self)
    }
}

/// A record's owner: its name, and where it stands already.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'n> {
    /// The name in wire form.
    pub name: &'n [u8],
    /// Where the same name stands.
    pub place: Option<Place>,
}

/// The apex of the zone that records come from: the suffix that their names are likely to share.
#[derive(Debug, Clone, Copy)]
pub struct Apex<'z> {
    /// The name in wire form.
    pub name: &'z [u8],
    /// Where it stands.
    pub place: Option<Place>,
}

/// The records of one type at one owner.
#[derive(Debug, Clone, Copy)]
pub struct RecordSet<'z> {
    /// Their type.
    pub rtype: Rtype,
    /// Seconds they may be kept.
    pub ttl: u32,
    /// Their data.
    pub records: Records<'z>,
}

impl<'b> Reply<'b> {
    /// Begins a reply of at most `limit` octets with the header's room and the question.
    ///
    /// `buffer` holds `limit` octets, and `limit` is at least `UDP_REPLY_LEN_MIN`.
    pub fn new(buffer: &'b mut [u8], limit: usize, query: &Query<'_>) -> Self {
        let len = HEADER_LEN + query.question.len();
        buffer[HEADER_LEN..len].copy_from_slice(query.question);
        let reserved = query.edns.map_or(0, |edns| opt_len(&edns) + EDE_OPTION_LEN);
        assert!(limit <= buffer.len());
        assert!(len + reserved <= limit);
        Self {
            buffer,
            len,
            limit: limit - reserved,
            counts: [0; 3],
            authoritative: false,
            truncated: false,
            ede: None,
            scope_len: 0,
        }
    }

    /// Says that the first name of the answer is ours (RFC 1035 section 4.1.1).
    pub fn set_authoritative(&mut self) {
        self.authoritative = true;
    }

    /// Adds the reason to a reply that is not what the client hoped for (RFC 8914).
    pub fn set_ede(&mut self, ede: Ede) {
        self.ede = Some(ede);
    }

    /// Says that the answer depends on so many bits of the client's network (RFC 7871 section 7.2.1);
    /// the most that was said counts.
    pub fn narrow_scope(&mut self, len: u8) {
        self.scope_len = self.scope_len.max(len);
    }

    /// Whether something required did not fit.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Whether there is an answer yet.
    #[must_use]
    pub fn has_answer(&self) -> bool {
        self.counts[0] != 0
    }

    /// Puts an RRset. If it does not fit, the reply is truncated and takes no more (RFC 2181
    /// section 9). Says where the data of the last record stands.
    pub fn put(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        set: &RecordSet<'_>,
        apex: Apex<'_>,
    ) -> Option<Place> {
        self.put_data(section, owner, (set.rtype, set.ttl), set.records.iter(), apex)
    }

    /// Puts records of one type and TTL like [`put`](Self::put).
    pub fn put_data<'r>(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        (rtype, ttl): (Rtype, u32),
        records: impl Iterator<Item = &'r [u8]>,
        apex: Apex<'_>,
    ) -> Option<Place> {
        let place = self.put_whole(section, owner, (rtype, ttl), records, apex);
        self.truncated |= place.is_none();
        place.and_then(Place::new)
    }

    /// Puts an RRset that a client can do without, if it fits.
    pub fn put_optional(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        set: &RecordSet<'_>,
        apex: Apex<'_>,
    ) {
        let _ = self.put_whole(section, owner, (set.rtype, set.ttl), set.records.iter(), apex);
    }

    /// Where the name at `place` stands without its first `skip` labels.
    #[must_use]
    pub fn suffix(&self, place: Place, skip: usize) -> Option<Place> {
        let mut at = usize::from(place.0);
        let mut left = skip;
        loop {
            let len = usize::from(self.buffer[at]);
            if 0xC0 <= len {
                at = (len & 0x3F) << 8 | usize::from(self.buffer[at + 1]);
            } else if left == 0 {
                return Place::new(at);
            } else {
                assert!(len != 0, "no more labels are skipped than there are");
                at += 1 + len;
                left -= 1;
            }
        }
    }

    /// Completes the reply and says how long it is.
    #[must_use]
    pub fn finish(mut self, rcode: Rcode, query: &Query<'_>) -> usize {
        if let Some(edns) = query.edns {
            self.put_opt(rcode, &edns);
        }
        let [id_0, id_1, flags_0, flags_1] = query.header;
        let [_, low] = rcode.0.to_be_bytes();
        self.buffer[0] = id_0;
        self.buffer[1] = id_1;
        // QR, the opcode 0, AA, TC, and the client's RD (RFC 1035 section 4.1.1).
        self.buffer[2] = 0x80
            | u8::from(self.authoritative) << 2
            | u8::from(self.truncated) << 1
            | flags_0 & 0x01;
        // RA, AD and Z are 0; the client's CD (RFC 4035 section 3.1.6).
        self.buffer[3] = flags_1 & 0x10 | low & 0x0F;
        self.buffer[4..6].copy_from_slice(&[0, 1]);
        for (idx, count) in self.counts.iter().enumerate() {
            self.buffer[6 + 2 * idx..8 + 2 * idx].copy_from_slice(&count.to_be_bytes());
        }
        self.len
    }

    fn put_opt(&mut self, rcode: Rcode, edns: &Edns) {
        // The octets were set aside in `new`.
        self.limit += opt_len(edns) + EDE_OPTION_LEN;
        let len_at = self.len + OPT_LEN - 2;
        let [payload_0, payload_1] = payload_len().to_be_bytes();
        let extended = u8::try_from(rcode.0 >> 4).expect("a response code has twelve bits");
        let dnssec_ok = u8::from(edns.dnssec_ok) << 7;
        let head = [0, 0, 41, payload_0, payload_1, extended, 0, dnssec_ok, 0, 0, 0];
        self.push(&head).expect("set aside");
        if let Some(subnet) = edns.subnet {
            let end = self.len + subnet.option_len();
            subnet.write(self.scope_len, &mut self.buffer[self.len..end]);
            self.len = end;
        }
        if let Some(Ede(code)) = self.ede {
            let [option_0, option_1] = OPTION_EDE.to_be_bytes();
            let [code_0, code_1] = code.to_be_bytes();
            self.push(&[option_0, option_1, 0, 2, code_0, code_1]).expect("set aside");
        }
        let options_len = u16::try_from(self.len - len_at - 2).expect("a few options");
        self.buffer[len_at..len_at + 2].copy_from_slice(&options_len.to_be_bytes());
        self.counts[2] += 1;
    }

    /// Puts all of the records or none, and says where the data of the last one stands.
    fn put_whole<'r>(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        (rtype, ttl): (Rtype, u32),
        records: impl Iterator<Item = &'r [u8]>,
        apex: Apex<'_>,
    ) -> Option<usize> {
        if self.truncated {
            return None;
        }
        assert!(self.counts[section as usize + 1..].iter().all(|count| *count == 0));
        let mark = self.len;
        let mut n_records = 0;
        let mut last_at = None;
        for rdata in records {
            last_at = self.put_record(owner, (rtype, ttl), rdata, apex);
            if last_at.is_none() {
                self.len = mark;
                return None;
            }
            n_records += 1;
        }
        self.counts[section as usize] += n_records;
        last_at
    }

    /// Puts one record; none when it does not fit, and then octets may be left behind.
    fn put_record(
        &mut self,
        owner: Owner<'_>,
        (rtype, ttl): (Rtype, u32),
        rdata: &[u8],
        apex: Apex<'_>,
    ) -> Option<usize> {
        match owner.place {
            Some(place) => self.push(&pointer(place))?,
            None => self.push_name(owner.name, apex)?,
        }
        let [type_0, type_1] = rtype.0.to_be_bytes();
        let [class_0, class_1] = CLASS_IN.to_be_bytes();
        let [ttl_0, ttl_1, ttl_2, ttl_3] = ttl.to_be_bytes();
        self.push(&[type_0, type_1, class_0, class_1, ttl_0, ttl_1, ttl_2, ttl_3, 0, 0])?;
        let rdata_at = self.len;
        let layout = rdata::layout(rtype);
        if layout.compressible {
            let (head, mut rest) = rdata.split_at(layout.skip);
            self.push(head)?;
            for _ in 0..layout.names {
                let (name, behind) = split_name(rest);
                self.push_name(name, apex)?;
                rest = behind;
            }
            self.push(rest)?;
        } else {
            self.push(rdata)?;
        }
        let len = u16::try_from(self.len - rdata_at).expect("at most what was in the zone");
        self.buffer[rdata_at - 2..rdata_at].copy_from_slice(&len.to_be_bytes());
        Some(rdata_at)
    }

    fn push_name(&mut self, name: &[u8], apex: Apex<'_>) -> Option<()> {
        // The root is as short as it gets; a pointer to it would be longer.
        if let Some(place) = apex.place
            && apex.name.len() != 1
            && let Some(begin) = suffix_at(name, apex.name)
        {
            self.push(&name[..begin])?;
            return self.push(&pointer(place));
        }
        self.push(name)
    }

    fn push(&mut self, octets: &[u8]) -> Option<()> {
        let end = self.len + octets.len();
        if self.limit < end {
            return None;
        }
        self.buffer[self.len..end].copy_from_slice(octets);
        self.len = end;
        Some(())
    }
}

/// Writes a reply that has nothing but a header, for what could not be read, and says how long it
/// is. `packet` has a header.
#[must_use]
pub fn bare(packet: &[u8], rcode: Rcode, buffer: &mut [u8]) -> usize {
    let mut header = [0; HEADER_LEN];
    header[..2].copy_from_slice(&packet[..2]);
    let [_, low] = rcode.0.to_be_bytes();
    // QR, and the client's opcode and RD.
    header[2] = 0x80 | packet[2] & 0x79;
    header[3] = low & 0x0F;
    buffer[..HEADER_LEN].copy_from_slice(&header);
    HEADER_LEN
}

fn pointer(place: Place) -> [u8; 2] {
    (0xC000 | place.0).to_be_bytes()
}

fn split_name(octets: &[u8]) -> (&[u8], &[u8]) {
    let len = labels(octets).map(|label| 1 + label.len()).sum::<usize>() + 1;
    octets.split_at(len)
}

fn opt_len(edns: &Edns) -> usize {
    OPT_LEN + edns.subnet.map_or(0, |subnet| subnet.option_len())
}

fn payload_len() -> u16 {
    const { assert!(UDP_REPLY_LEN_MAX <= u16::MAX as usize) }
    u16::try_from(UDP_REPLY_LEN_MAX).expect("asserted at compile time")
}
