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
//! What a zone holds is ready ([`Image`]) and is copied; what is made for one reply is written record
//! by record. Both share the apex of their zone and nothing else (`image`, *Compression*).
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
    edns::{Ede, Edns, OPTION_EDE, SCOPE_LEN_AT, Subnet},
    image::{self, Image, pointer, shared, split_name},
    query::{HEADER_LEN, Query},
    rdata,
};
use crate::limits::{NAME_LEN_MAX, UDP_REPLY_LEN_MAX};

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

    /// Where the name in the question stands without its first `begin` octets.
    #[must_use]
    pub fn in_question(begin: usize) -> Self {
        assert!(begin < NAME_LEN_MAX);
        Self::new(HEADER_LEN + begin).expect("a question stands at the front")
    }

    /// Fourteen bits (RFC 1035 section 4.1.4), with room for the name, so that what it ends in can
    /// be pointed to as well.
    fn new(at: usize) -> Option<Self> {
        u16::try_from(at).ok().filter(|at| usize::from(*at) < 0x4000 - NAME_LEN_MAX).map(Self)
    }

    /// Octets from the beginning of the message.
    pub(super) fn offset(self) -> u16 {
        self.0
    }
}

/// The apex of the zone that records come from: the suffix that their names are likely to share.
#[derive(Debug, Clone, Copy)]
pub struct Apex<'z> {
    /// The name in wire form.
    pub name: &'z [u8],
    /// Where it stands.
    pub place: Place,
}

/// The records of one type at one owner.
#[derive(Debug, Clone, Copy)]
pub struct RecordSet<'z> {
    /// Their type.
    pub rtype: Rtype,
    /// Seconds they may be kept.
    pub ttl: u32,
    /// The records, perhaps with a greater TTL.
    pub image: Image<'z>,
}

impl<'b> Reply<'b> {
    /// Begins a reply of at most `limit` octets with the header's room and the question.
    ///
    /// `buffer` holds `limit` octets, and `limit` is at least `UDP_REPLY_LEN_MIN`.
    #[inline(always)]
    pub fn new(buffer: &'b mut [u8], limit: usize, query: &Query<'_>) -> Self {
        let len = HEADER_LEN + query.question.len();
        copy(&mut buffer[HEADER_LEN..len], query.question);
        let reserved = query.edns.as_ref().map_or(0, reserved_len);
        let buffer = &mut buffer[..limit];
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

    /// What was said of the why.
    #[must_use]
    pub fn ede(&self) -> Option<Ede> {
        self.ede
    }

    /// Takes back what was said of the why.
    pub fn clear_ede(&mut self) {
        self.ede = None;
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

    /// Puts an RRset of which the owner stands at `owner` and the apex of the zone at `apex`. If it
    /// does not fit, the reply is truncated and takes no more (RFC 2181 section 9). Says where the
    /// data of the first record stands.
    pub fn put(
        &mut self,
        section: Section,
        owner: Place,
        set: &RecordSet<'_>,
        apex: Place,
    ) -> Option<Place> {
        self.whole(section, set.image.n_records(), |reply| reply.push_image(owner, set, apex))
    }

    /// Puts the same as [`put`](Self::put) of one record that was made for this reply.
    #[inline(always)]
    pub fn put_record(
        &mut self,
        section: Section,
        owner: Place,
        head: (Rtype, u32),
        data: &[u8],
        apex: Apex<'_>,
    ) -> Option<Place> {
        let (rtype, ttl) = head;
        // What most of them are, a few moves and no loop.
        match data.as_array() {
            Some(address) if rtype == Rtype::A => {
                let at = self.begin(section)?;
                let pushed = self.push_array(&image::a(owner, ttl, *address));
                self.end(section, 1, at, pushed)
            }
            _ => self.put_records(section, owner, head, std::iter::once(data), apex),
        }
    }

    /// Puts the same of several.
    #[inline(never)]
    pub fn put_records<'r>(
        &mut self,
        section: Section,
        owner: Place,
        head: (Rtype, u32),
        records: impl ExactSizeIterator<Item = &'r [u8]>,
        apex: Apex<'_>,
    ) -> Option<Place> {
        let n_records = u16::try_from(records.len()).expect("a few records");
        self.whole(section, n_records, |reply| {
            let mut records = records;
            records.try_for_each(|data| reply.push_record(owner, head, data, apex))
        })
    }

    /// Puts addresses of a host that is named in what was put, if they fit.
    pub fn put_host(&mut self, host: &[u8], set: &RecordSet<'_>, apex: Apex<'_>) {
        if !self.truncated {
            let n_records = set.image.n_records();
            let _ = self.all(Section::Additional, n_records, |reply| {
                reply.push_host(host, set.image, apex)
            });
        }
    }

    /// Puts those that the client cannot do without, as [`put`](Self::put) does.
    pub fn put_required_host(&mut self, host: &[u8], set: &RecordSet<'_>, apex: Apex<'_>) {
        let n_records = set.image.n_records();
        self.whole(Section::Additional, n_records, |reply| reply.push_host(host, set.image, apex));
    }

    /// Where the name at `place` stands without its first `skip` labels.
    #[must_use]
    pub fn suffix(&self, place: Place, skip: usize) -> Place {
        let mut labels = self.labels(place);
        let label = labels.nth(skip).expect("no more labels are skipped than there are");
        Place(u16::try_from(label.at).expect("less than a name behind a place"))
    }

    /// Writes the name at `place` out and says how long it is.
    #[must_use]
    pub fn name(&self, place: Place, name: &mut [u8; NAME_LEN_MAX]) -> usize {
        let mut len = 0;
        for label in self.labels(place) {
            let end = label.at + 1 + label.len;
            name[len..=len + label.len].copy_from_slice(&self.buffer[label.at..end]);
            len += 1 + label.len;
        }
        len
    }

    /// The labels of the name at `place`, the root's included.
    fn labels(&self, place: Place) -> impl Iterator<Item = Label> {
        let mut next = Some(usize::from(place.0));
        std::iter::from_fn(move || {
            let mut at = next?;
            let mut len = usize::from(self.buffer[at]);
            // Each leads to the front, where there is a name without one in the end.
            while 0xC0 <= len {
                at = (len & 0x3F) << 8 | usize::from(self.buffer[at + 1]);
                len = usize::from(self.buffer[at]);
            }
            next = (len != 0).then_some(at + 1 + len);
            Some(Label { at, len })
        })
    }

    /// Completes the reply and says how long it is.
    #[must_use]
    #[inline(always)]
    pub fn finish(mut self, rcode: Rcode, query: &Query<'_>) -> usize {
        if let Some(edns) = &query.edns {
            self.put_opt(rcode, edns);
        }
        let [id_0, id_1, flags_0, flags_1] = query.header;
        let header: &mut [u8; HEADER_LEN] = self.buffer.first_chunk_mut().expect("it was begun");
        let [_, low] = rcode.0.to_be_bytes();
        // QR, the opcode 0, AA, TC, and the client's RD (RFC 1035 section 4.1.1).
        let flags_0 = 0x80
            | u8::from(self.authoritative) << 2
            | u8::from(self.truncated) << 1
            | flags_0 & 0x01;
        // RA, AD and Z are 0; the client's CD (RFC 4035 section 3.1.6).
        let flags_1 = flags_1 & 0x10 | low & 0x0F;
        header[..4].copy_from_slice(&[id_0, id_1, flags_0, flags_1]);
        let counts = [1, self.counts[0], self.counts[1], self.counts[2]];
        for (place, count) in header[4..].as_chunks_mut().0.iter_mut().zip(counts) {
            *place = count.to_be_bytes();
        }
        self.len
    }

    #[inline(always)]
    fn put_opt(&mut self, rcode: Rcode, edns: &Edns<'_>) {
        // The octets behind it were set aside in `new`.
        self.limit = self.buffer.len();
        let subnet = edns.subnet.as_ref().map_or(&[][..], Subnet::option);
        let options_len = subnet.len() + self.ede.map_or(0, |_| EDE_OPTION_LEN);
        let [len_0, len_1] = u16::try_from(options_len).expect("two options").to_be_bytes();
        let [payload_0, payload_1] = payload_len().to_be_bytes();
        let extended = u8::try_from(rcode.0 >> 4).expect("a response code has twelve bits");
        let dnssec_ok = u8::from(edns.dnssec_ok) << 7;
        let head: [u8; OPT_LEN] =
            [0, 0, 41, payload_0, payload_1, extended, 0, dnssec_ok, 0, len_0, len_1];
        self.push_array(&head).expect("set aside");
        if edns.subnet.is_some() {
            let scope_at = self.len + SCOPE_LEN_AT;
            self.push(subnet).expect("set aside");
            self.buffer[scope_at] = self.scope_len;
        }
        if let Some(Ede(code)) = self.ede {
            let [option_0, option_1] = OPTION_EDE.to_be_bytes();
            let [code_0, code_1] = code.to_be_bytes();
            self.push_array(&[option_0, option_1, 0, 2, code_0, code_1]).expect("set aside");
        }
        self.counts[2] += 1;
    }

    /// Puts records that are required: all that `push` does, or the reply is truncated.
    #[inline(always)]
    fn whole(
        &mut self,
        section: Section,
        n_records: u16,
        push: impl FnOnce(&mut Self) -> Option<()>,
    ) -> Option<Place> {
        let at = self.begin(section)?;
        let pushed = push(self);
        self.end(section, n_records, at, pushed)
    }

    /// Where records that are required begin, if the reply takes more.
    #[inline(always)]
    fn begin(&self, section: Section) -> Option<usize> {
        assert!(self.counts[section as usize + 1..].iter().all(|count| *count == 0));
        (!self.truncated).then_some(self.len)
    }

    /// Counts records that were `pushed` from `at` on, or truncates the reply there. Says where the data
    /// of the first stands.
    #[inline(always)]
    fn end(
        &mut self,
        section: Section,
        n_records: u16,
        at: usize,
        pushed: Option<()>,
    ) -> Option<Place> {
        if pushed.is_none() {
            (self.len, self.truncated) = (at, true);
            return None;
        }
        self.counts[section as usize] += n_records;
        Place::new(at + image::HEAD_LEN)
    }

    /// Puts all that `push` does, or nothing of it.
    #[inline(always)]
    fn all(
        &mut self,
        section: Section,
        n_records: u16,
        push: impl FnOnce(&mut Self) -> Option<()>,
    ) -> Option<()> {
        assert!(self.counts[section as usize + 1..].iter().all(|count| *count == 0));
        let mark = self.len;
        if push(self).is_none() {
            self.len = mark;
            return None;
        }
        self.counts[section as usize] += n_records;
        Some(())
    }

    #[inline(always)]
    fn push_image(&mut self, owner: Place, set: &RecordSet<'_>, apex: Place) -> Option<()> {
        let at = self.len;
        self.push(set.image.octets())?;
        let octets = &mut self.buffer[at..self.len];
        if owner != Place::QUESTION || set.ttl != set.image.ttl() {
            image::stamp(octets, owner, set.ttl);
        }
        for at in set.image.pointers() {
            octets[at..at + 2].copy_from_slice(&pointer(apex));
        }
        Some(())
    }

    #[inline(always)]
    fn push_record(
        &mut self,
        owner: Place,
        (rtype, ttl): (Rtype, u32),
        data: &[u8],
        apex: Apex<'_>,
    ) -> Option<()> {
        let len = u16::try_from(data.len()).expect("at most what is in the zone");
        self.push_array(&image::head(owner, rtype, ttl, len))?;
        let layout = rdata::layout(rtype);
        if !layout.compressible {
            return self.push(data);
        }
        let data_at = self.len;
        let (head, mut rest) = data.split_at(layout.skip);
        self.push(head)?;
        for _ in 0..layout.names {
            let (name, behind) = split_name(rest);
            self.push_name(name, apex)?;
            rest = behind;
        }
        self.push(rest)?;
        let len = u16::try_from(self.len - data_at).expect("no more than before");
        self.buffer[data_at - 2..data_at].copy_from_slice(&len.to_be_bytes());
        Some(())
    }

    /// Addresses, which hold no name, of a host that does not stand anywhere yet.
    fn push_host(&mut self, host: &[u8], image: Image<'_>, apex: Apex<'_>) -> Option<()> {
        image.bodies().try_for_each(|body| {
            self.push_name(host, apex)?;
            self.push(body)
        })
    }

    fn push_name(&mut self, name: &[u8], apex: Apex<'_>) -> Option<()> {
        match shared(name, apex.name) {
            Some(own) => {
                self.push(own)?;
                self.push(&pointer(apex.place))
            }
            None => self.push(name),
        }
    }

    /// The same of octets whose number is known when this is compiled.
    #[inline(always)]
    fn push_array<const N: usize>(&mut self, octets: &[u8; N]) -> Option<()> {
        self.push(octets)
    }

    #[inline(always)]
    fn push(&mut self, octets: &[u8]) -> Option<()> {
        let end = self.len + octets.len();
        if self.limit < end {
            return None;
        }
        copy(&mut self.buffer[self.len..end], octets);
        self.len = end;
        Some(())
    }
}

/// Copies octets, as many as there is room for. Questions and options are short, and a call of what
/// copies memory of any length costs more than to copy them does.
#[inline(always)]
fn copy(to: &mut [u8], from: &[u8]) {
    match from.len() {
        8..16 => copy_ends::<8>(to, from),
        16..=32 => copy_ends::<16>(to, from),
        _ => to.copy_from_slice(from),
    }
}

/// Copies `LEN` octets from either end, which meet or overlap.
#[inline(always)]
fn copy_ends<const LEN: usize>(to: &mut [u8], from: &[u8]) {
    assert!(to.len() == from.len() && LEN <= from.len() && from.len() <= 2 * LEN);
    let (Some(first), Some(last)) = (from.first_chunk::<LEN>(), from.last_chunk::<LEN>()) else {
        unreachable!("asserted above");
    };
    to[..LEN].copy_from_slice(first);
    let last_at = to.len() - LEN;
    to[last_at..].copy_from_slice(last);
}

/// A label in the message: its length stands at `at`, its octets behind that.
struct Label {
    at: usize,
    len: usize,
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

/// Octets that are set aside for the OPT record of a reply.
fn reserved_len(edns: &Edns<'_>) -> usize {
    OPT_LEN + edns.subnet.map_or(0, |subnet| subnet.option().len()) + EDE_OPTION_LEN
}

fn payload_len() -> u16 {
    const { assert!(UDP_REPLY_LEN_MAX <= u16::MAX as usize) }
    u16::try_from(UDP_REPLY_LEN_MAX).expect("asserted at compile time")
}
