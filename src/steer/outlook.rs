//! The outlook of a name: what every client gets now, and how wide that is true.
//!
//! The decisions of a name's classes are few, and often equal. Laid over the addresses, neighbours
//! with equal decisions are one run, and the widest prefix within that run is the scope of the answer
//! (RFC 7871 section 7.2.1): by construction neither too wide nor too narrow.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use super::{ClassId, Decision, Outcome, View};
use crate::geo::{Ranges, Unwrapped, unwrapped, wrappers};

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
#[derive(Debug, PartialEq, Eq)]
pub struct Lines {
    v4: Ranges<u32, u16>,
    /// Where IPv4 addresses are wrapped: what all of them have, or [`WRAPPED`].
    v6: Ranges<u128, u16>,
}

/// Stands on the line of IPv6 where the line of IPv4 says it, so that no prefix around holds both.
const WRAPPED: u16 = u16::MAX;

impl Outlook {
    /// What `decide` makes of each class of a view. `lines` gives the lines on which a class's
    /// addresses have the number beside it; names that agree may share them.
    pub fn of<'d>(
        view: &View,
        decide: impl Fn(ClassId) -> Cow<'d, Decision>,
        lines: impl FnOnce(&[u16]) -> Arc<Lines>,
    ) -> Self {
        let mut decisions: Vec<Cow<'_, Decision>> = Vec::new();
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
        let decisions = decisions.into_iter().map(Cow::into_owned).collect();
        Self { decisions, numbers, lines }
    }

    /// What a client gets, and the bits of its address for which that is true.
    #[must_use]
    #[inline(always)]
    pub fn look(&self, client: IpAddr) -> (&Decision, u8) {
        let Some(lines) = &self.lines else { return (&self.decisions[0], 0) };
        let (number, bits) = match unwrapped(client) {
            Unwrapped::V4 { address, before } if before == 0 || lines.v4.n_runs() != 1 => {
                let (number, bits) = lines.v4.look(address);
                (number, before + bits)
            }
            // A wrapped one of which all IPv4 clients get the same: those around it may, too.
            Unwrapped::V4 { .. } | Unwrapped::V6(_) => lines.look_v6(client),
        };
        (&self.decisions[usize::from(number)], bits)
    }

    /// What the clients of a class of the view get.
    #[must_use]
    pub fn of_class(&self, class: ClassId) -> &Decision {
        &self.decisions[usize::from(self.numbers[usize::from(class.0)])]
    }

    /// By pool, of which there are so many: the share of all clients that get it, where `parts` are the
    /// parts of them in each class. Who gets nothing is in none.
    #[must_use]
    pub fn shares(&self, parts: &[f64], n_pools: usize) -> Vec<f64> {
        let mut shares = vec![0.0; n_pools];
        for (class, part) in (0..).map(ClassId).zip(parts) {
            let Outcome::Draw(candidates) = &self.of_class(class).outcome else { continue };
            for it in &candidates.pools {
                #[allow(clippy::cast_precision_loss)] // A sum of weights is below 2^53.
                let share = it.weight as f64 / candidates.weight_sum as f64;
                shares[usize::from(it.pool)] += part * share;
            }
        }
        shares
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
        let v4 = view.v4().map(number);
        let wrapped = if v4.n_runs() == 1 { v4.get(0).0 } else { WRAPPED };
        let wrappers = wrappers().map(|block| (block, true)).collect();
        let is_wrapper = Ranges::from_blocks(false, wrappers);
        let v6 = view.v6().overlay(
            &is_wrapper,
            |class, is_wrapper| {
                if is_wrapper { wrapped } else { number(class) }
            },
        );
        Self { v4, v6 }
    }

    #[inline(never)]
    fn look_v6(&self, client: IpAddr) -> (u16, u8) {
        let IpAddr::V6(address) = client else { unreachable!("it is no IPv4 address") };
        self.v6.look(address.to_bits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        geo::{Coordinates, Geo, Networks, Place},
        steer::{By, Footing, Measured, Policy, Pool},
    };

    /// The scope of an IPv6 client's answer around which IPv4 clients, wrapped, get another.
    #[test]
    fn the_scope_of_ipv6_holds_no_wrapped_ipv4_that_differs() {
        let mut networks = Networks::default();
        let place = Place { at: Coordinates::new(50.0, 8.0), ..Place::NOWHERE };
        networks.insert("20.0.0.0/8".parse().unwrap(), place).unwrap();
        let pool = Pool { at: Coordinates::new(50.0, 8.0), ..Pool::of("de", Box::default()) };
        let policy = Policy { by: By::Distance, ..Policy::of(20, 5, Box::new([pool])) };
        let check = |geo: &Geo, client: &str, expect: u8| {
            let view = View::new(&policy, geo, &Measured::default());
            let decide = |class: ClassId| {
                let is_first = class.0 == 0;
                let footing = if is_first { Footing::Healthy } else { Footing::FailedOpen };
                Cow::Owned(Decision { footing, outcome: Outcome::NoData })
            };
            let lines = |numbers: &[u16]| Arc::new(Lines::new(&view, numbers));
            let outlook = Outlook::of(&view, decide, lines);
            assert_eq!(outlook.look(client.parse().unwrap()).1, expect, "{client}");
        };
        let geo = networks.geo();
        check(&geo, "2003::1", 16);
        check(&geo, "2400::1", 6);
        check(&geo, "8000::1", 1);
        check(&geo, "2002:1400::1", 24);
        check(&geo, "::ffff:20.0.0.1", 104);
        // Where IPv6 is what differs, a wrapped client shares its answer with those around it.
        let mut networks = Networks::default();
        networks.insert("2400::/12".parse().unwrap(), place).unwrap();
        check(&networks.geo(), "::ffff:20.0.0.1", 3);
        check(&networks.geo(), "2002:1400::1", 6);
        check(&networks.geo(), "2003::1", 6);
    }
}
