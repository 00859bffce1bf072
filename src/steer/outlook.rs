//! The outlook of a name: what every client gets now, and how wide that is true.
//!
//! The decisions of a name's classes are few, and often equal. Laid over the addresses, neighbours
//! with equal decisions are one run, and the widest prefix within that run is the scope of the answer
//! (RFC 7871 section 7.2.1): by construction neither too wide nor too narrow.

use std::{net::IpAddr, sync::Arc};

use super::{ClassId, Decision, View};
use crate::geo::{Ranges, Unwrapped, unwrapped, widest_prefix};

/// What every client gets for one family of a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Outlook {
    /// Each once.
    decisions: Box<[Decision]>,
    /// By class of the view: the place of its decision.
    numbers: Box<[u16]>,
    /// Who gets which; none: all get the first.
    lines: Option<Arc<Lines>>,
}

/// From addresses to places among the decisions.
#[derive(Debug, PartialEq)]
pub struct Lines {
    v4: Ranges<u32, u16>,
    v6: Ranges<u128, u16>,
}

impl Outlook {
    /// What `decide` makes of each class of a view. `lines` gives the lines on which a class's
    /// addresses have the number beside it; names that agree may share them.
    pub fn of(
        view: &View,
        decide: impl Fn(ClassId) -> Decision,
        lines: impl FnOnce(&[u16]) -> Arc<Lines>,
    ) -> Self {
        let mut decisions: Vec<Decision> = Vec::new();
        let numbers: Box<[u16]> = (0..)
            .map(ClassId)
            .take(view.classes().len())
            .map(|id| {
                let decision = decide(id);
                let known = decisions.iter().position(|it| *it == decision);
                let idx = known.unwrap_or_else(|| {
                    decisions.push(decision);
                    decisions.len() - 1
                });
                u16::try_from(idx).expect("as many as there are classes")
            })
            .collect();
        let lines = (1 < decisions.len()).then(|| lines(&numbers));
        Self { decisions: decisions.into(), numbers, lines }
    }

    /// What a client gets, and the bits of its address for which that is true.
    #[must_use]
    pub fn look(&self, client: IpAddr) -> (&Decision, u8) {
        let Some(lines) = &self.lines else { return (&self.decisions[0], 0) };
        let (number, bits) = match unwrapped(client) {
            Unwrapped::V4 { address, before } => {
                let (number, run) = lines.v4.get(address);
                (number, before + widest_prefix(address, run))
            }
            Unwrapped::V6(address) => {
                let (number, run) = lines.v6.get(address);
                (number, widest_prefix(address, run))
            }
        };
        (&self.decisions[usize::from(number)], bits)
    }

    /// What the clients of a class of the view get.
    #[must_use]
    pub fn of_class(&self, class: ClassId) -> &Decision {
        &self.decisions[usize::from(self.numbers[usize::from(class.0)])]
    }

    /// All decisions, each once.
    #[must_use]
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }
}

impl Lines {
    /// The lines on which each address of a view has the number of its class.
    #[must_use]
    pub fn new(view: &View, numbers: &[u16]) -> Self {
        let number = |class: ClassId| numbers[usize::from(class.0)];
        Self { v4: view.v4().map(number), v6: view.v6().map(number) }
    }
}
