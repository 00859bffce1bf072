//! Certificates of targets: what was told of each, so that it is told once.
//!
//! ```text
//!   good --less than a part of its life is left--> ends soon --> expired
//!     ^                                              |            |
//!     '------------------- renewed ------------------'------------'
//! ```
//!
//! # Invariants
//!
//! - Only what is not good is remembered, and only of probes that are executed.
//! - What was told before a restart is not told again, as long as the journal has it.
//!
//! *Not here:* when a certificate ends soon (`health::probe`).

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::{
    compile::EventKind,
    health::{Certificate, ProbeSpec},
    limits::EVENTS_KEPT_MAX,
    state::journal::{Journal, Transition},
};

const GOOD: &str = "good";
const SOON: &str = "ends soon";
const EXPIRED: &str = "expired";

/// What was told, by what is probed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Certificates {
    told: HashMap<String, &'static str>,
}

impl Certificates {
    /// What a journal tells of them.
    pub(super) fn told(journal: &Journal) -> Self {
        let mut told = HashMap::new();
        let entries = journal.latest(EVENTS_KEPT_MAX);
        for what in entries.iter().map(|it| &it.what) {
            let word = [SOON, EXPIRED].into_iter().find(|it| *it == what.to);
            match word {
                _ if what.kind != EventKind::Certificate => {}
                Some(word) => drop(told.insert(what.subject.clone(), word)),
                None => drop(told.remove(&what.subject)),
            }
        }
        Self { told }
    }

    /// Forgets what is not probed any more.
    pub(super) fn keep_only(&mut self, probes: &[Arc<ProbeSpec>]) {
        if !self.told.is_empty() {
            let subjects: HashSet<String> = probes.iter().map(ToString::to_string).collect();
            self.told.retain(|subject, _| subjects.contains(subject));
        }
    }

    /// Takes in what a probe met, and gives what is to be told of it.
    pub(super) fn take(
        &mut self,
        spec: &ProbeSpec,
        certificate: Option<Certificate>,
    ) -> Option<Transition> {
        let certificate = certificate?;
        let to = match certificate {
            Certificate::Good if self.told.is_empty() => return None,
            Certificate::Good => GOOD,
            Certificate::Soon(_) => SOON,
            Certificate::Over => EXPIRED,
        };
        let subject = spec.to_string();
        let from = if to == GOOD {
            self.told.remove(&subject)
        } else {
            self.told.insert(subject.clone(), to)
        };
        let from = from.unwrap_or(GOOD);
        (from != to).then(|| Transition {
            kind: EventKind::Certificate,
            subject,
            from: from.to_owned(),
            to: to.to_owned(),
            why: certificate.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{IpAddr, Ipv4Addr},
        time::{Duration, UNIX_EPOCH},
    };

    use super::*;
    use crate::health::{Kind, Target, Tcp};

    fn spec(port: u16) -> Arc<ProbeSpec> {
        Arc::new(ProbeSpec {
            target: Target::Address(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            port,
            kind: Kind::Tcp(Tcp::default()),
            every: Duration::from_secs(10),
            timeout: Duration::from_secs(3),
            flap: None,
            invert: false,
            fall: 3,
            rise: 2,
        })
    }

    #[test]
    fn each_turn_is_told_once() {
        let mut certificates = Certificates::default();
        let mut check = |certificate, expect: Option<(&str, &str)>| {
            let told = certificates.take(&spec(443), certificate);
            let told = told.as_ref().map(|it| (&*it.from, &*it.to));
            assert_eq!(told, expect, "{certificate:?}");
        };
        check(Some(Certificate::Good), None);
        check(Some(Certificate::Soon(90_000)), Some(("good", "ends soon")));
        check(Some(Certificate::Soon(80_000)), None);
        // Nothing came about that a certificate is part of.
        check(None, None);
        check(Some(Certificate::Over), Some(("ends soon", "expired")));
        check(Some(Certificate::Over), None);
        check(Some(Certificate::Good), Some(("expired", "good")));
        check(Some(Certificate::Good), None);
    }

    #[test]
    fn the_journal_knows_what_was_told() {
        let (mut certificates, mut journal) = (Certificates::default(), Journal::default());
        let mut take = |port, certificate| {
            let turn = certificates.take(&spec(port), Some(certificate));
            journal.note(UNIX_EPOCH, turn.expect("it turned"));
        };
        take(1, Certificate::Soon(5));
        take(2, Certificate::Soon(5));
        take(2, Certificate::Good);
        take(3, Certificate::Over);
        assert_eq!(Certificates::told(&journal), certificates);
        certificates.keep_only(&[spec(3), spec(4)]);
        assert_eq!(certificates.take(&spec(3), Some(Certificate::Over)), None);
        assert_eq!(certificates.told.len(), 1);
    }
}
