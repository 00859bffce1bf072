//! What all servers are told, and what they have to answer.
//!
//! A zone of [`NAMES`] names, which are all of the same kind: a fixed address, one of three by
//! weight, or one of two by weight in the client's part of the world.

use evenkeel::{dice::Roll, geo::Continent};

use super::{
    common::questions::{question, with_subnet},
    world::{Network, World},
};

/// Names in the zone.
pub(crate) const NAMES: usize = 1000;

/// Different questions; as many clients where they matter.
pub(crate) const QUESTIONS: usize = 4096;

pub(crate) const ZONE: &str = "bench.example";

/// The one fixed address.
pub(crate) const FIXED: &str = "192.0.2.1";

/// TTL of what is drawn, in seconds.
pub(crate) const TTL: u32 = 20;

/// Addresses by weight.
pub(crate) const WEIGHTED: [(&str, &str, u32); 3] =
    [("us", "192.0.2.10", 60), ("eu", "192.0.2.20", 30), ("ap", "192.0.2.30", 10)];

/// A part of the world: its name, its continents, and its addresses by weight.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) continents: [&'static str; 2],
    pub(crate) addresses: [(&'static str, u32); 2],
}

/// The first is also for those of whom nothing is known.
pub(crate) const PARTS: [Part; 3] = [
    Part {
        name: "us",
        continents: ["NA", "SA"],
        addresses: [("192.0.2.10", 60), ("192.0.2.11", 40)],
    },
    Part {
        name: "eu",
        continents: ["EU", "AF"],
        addresses: [("192.0.2.20", 60), ("192.0.2.21", 40)],
    },
    Part {
        name: "ap",
        continents: ["AS", "OC"],
        addresses: [("192.0.2.30", 60), ("192.0.2.31", 40)],
    },
];

/// The share of the answers that the first address has, of those in question.
pub(crate) const FIRST_SHARE: f64 = 0.6;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    Fixed,
    Weighted,
    /// By the client's network, and by weight.
    Placed,
}

impl Scenario {
    pub(crate) const ALL: [Self; 3] = [Self::Fixed, Self::Weighted, Self::Placed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Weighted => "weighted",
            Self::Placed => "placed and weighted, ECS",
        }
    }

    /// Addresses of which one has to be the answer to this client, the first one first.
    pub(crate) fn addresses(self, continent: Continent) -> Vec<&'static str> {
        match self {
            Self::Fixed => vec![FIXED],
            Self::Weighted => WEIGHTED.iter().map(|(_, address, _)| *address).collect(),
            Self::Placed => {
                let part = PARTS.iter().find(|it| it.continents.contains(&continent.as_str()));
                let part = part.expect("every continent where clients are is in a part");
                part.addresses.iter().map(|(address, _)| *address).collect()
            }
        }
    }
}

/// A question, and who asks.
pub(crate) struct Asked {
    pub(crate) name: String,
    pub(crate) network: Network,
    pub(crate) octets: Vec<u8>,
}

/// The questions of a scenario; the same in every run.
pub(crate) fn asked(scenario: Scenario, world: &World) -> Vec<Asked> {
    let mut roll = Roll(2);
    let networks = world.networks(QUESTIONS).into_iter();
    let asked = networks.map(|network| {
        let idx = usize::try_from(roll.below(NAMES as u64)).expect("it is less than a length");
        let name = format!("{}.{ZONE}", label(idx));
        let octets = match scenario {
            Scenario::Fixed | Scenario::Weighted => question(&name),
            Scenario::Placed => with_subnet(question(&name), network.octets),
        };
        Asked { name, network, octets }
    });
    asked.collect()
}

/// The first label of a name in the zone.
pub(crate) fn label(idx: usize) -> String {
    format!("n{idx:03}")
}

/// One line for each name.
pub(crate) fn for_each_name(line: impl Fn(&str) -> String) -> String {
    (0..NAMES).map(|idx| line(&label(idx))).collect()
}
