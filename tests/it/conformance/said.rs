//! What a server said, in a form that can be compared: names in lower case, sets without order.

use std::{collections::BTreeSet, fmt};

use hickory_proto::{
    op::Message,
    rr::{Name, Record, RecordType},
};

/// A part of a reply that is compared by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aspect {
    Rcode,
    /// AA, and RD as it was asked.
    Flags,
    Truncated,
    /// Whether there is an OPT.
    Edns,
    Answer,
    Authority,
    Additional,
}

impl Aspect {
    pub(super) const ALL: [Self; 7] = [
        Self::Rcode,
        Self::Flags,
        Self::Truncated,
        Self::Edns,
        Self::Answer,
        Self::Authority,
        Self::Additional,
    ];
}

/// A reply.
#[derive(Debug, Clone)]
pub(super) struct Said {
    rcode: u16,
    authoritative: bool,
    recursion: (bool, bool),
    pub(super) truncated: bool,
    edns: bool,
    /// In the order of the message.
    pub(super) answer: Vec<Set>,
    authority: BTreeSet<Set>,
    additional: BTreeSet<Set>,
}

/// An RRset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Set {
    pub(super) owner: String,
    rtype: String,
    ttl: u32,
    data: BTreeSet<String>,
}

impl Set {
    /// Whether it stands for all the types of its name (RFC 8482 section 4.2).
    pub(super) fn is_any_stand_in(&self) -> bool {
        self.rtype == "HINFO" && self.data.iter().all(|data| data.contains("rfc8482"))
    }
}

impl Said {
    pub(super) fn read(reply: &[u8]) -> Self {
        let message = Message::from_vec(reply)
            .unwrap_or_else(|error| panic!("this is not DNS: {error}: {reply:02x?}"));
        let metadata = &message.metadata;
        Self {
            rcode: metadata.response_code.into(),
            authoritative: metadata.authoritative,
            recursion: (metadata.recursion_desired, metadata.recursion_available),
            truncated: metadata.truncation,
            edns: message.edns.is_some(),
            answer: sets(&message.answers),
            authority: sets(&message.authorities).into_iter().collect(),
            additional: sets(&message.additionals).into_iter().collect(),
        }
    }

    pub(super) fn same(&self, other: &Self, aspect: Aspect) -> bool {
        // What is left in a truncated reply is nobody's business: it is asked for again.
        let cut = self.truncated && other.truncated;
        match aspect {
            Aspect::Rcode => self.rcode == other.rcode,
            Aspect::Flags => {
                self.authoritative == other.authoritative && self.recursion == other.recursion
            }
            Aspect::Truncated => self.truncated == other.truncated,
            Aspect::Edns => self.edns == other.edns,
            Aspect::Answer => cut || self.answer == other.answer,
            Aspect::Authority => cut || self.authority == other.authority,
            Aspect::Additional => cut || self.additional == other.additional,
        }
    }

    /// The end of the chain of aliases, where nothing is said of it although it is in one of
    /// `zones`.
    pub(super) fn dangling(&self, zones: [&str; 3]) -> Option<String> {
        let last = self.answer.last()?;
        let silent = self.authority.iter().all(|set| set.rtype != "SOA");
        let target = last.data.first()?;
        let ours = zones.iter().any(|zone| target.ends_with(&format!("{zone}.")));
        (last.rtype == "CNAME" && silent && ours).then(|| target.clone())
    }

    /// Goes on with what was said of the end of the chain (RFC 1034 section 4.3.2 step 3a): the
    /// sections after the answer and the rcode are those of the last name, AA is of the first.
    pub(super) fn append(&mut self, next: Self) {
        self.rcode = next.rcode;
        self.truncated |= next.truncated;
        self.answer.extend(next.answer);
        self.authority = next.authority;
        self.additional = next.additional;
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rcode, authoritative, recursion, truncated, edns, .. } = self;
        writeln!(
            f,
            "rcode {rcode} aa {authoritative} tc {truncated} rd,ra {recursion:?} edns {edns}"
        )?;
        for (section, sets) in [
            ("answer", self.answer.iter().collect::<Vec<_>>()),
            ("authority", self.authority.iter().collect()),
            ("additional", self.additional.iter().collect()),
        ] {
            for Set { owner, rtype, ttl, data } in sets {
                writeln!(f, "  {section:10} {owner} {ttl} {rtype} {data:?}")?;
            }
        }
        Ok(())
    }
}

/// The RRsets among `records`, in the order of their first records.
fn sets(records: &[Record]) -> Vec<Set> {
    let mut sets: Vec<Set> = Vec::new();
    for record in records {
        let rtype = record.record_type();
        if rtype == RecordType::OPT {
            continue;
        }
        let (owner, rtype) = (text(&record.name), rtype.to_string());
        let data = record.data.to_string().to_ascii_lowercase();
        match sets.iter_mut().find(|set| set.owner == owner && set.rtype == rtype) {
            Some(set) => {
                assert_eq!(set.ttl, record.ttl, "{owner} {rtype} has two TTLs");
                assert!(set.data.insert(data), "{owner} {rtype} has a record twice");
            }
            None => sets.push(Set { owner, rtype, ttl: record.ttl, data: [data].into() }),
        }
    }
    sets
}

fn text(name: &Name) -> String {
    name.to_lowercase().to_ascii()
}
