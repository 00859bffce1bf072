//! The tree: what several probes say together.
//!
//! The verdict, from those of the members (`U` up, `D` down, `?` unknown):
//!
//! ```text
//!   all   U  D  ?      any   U  D  ?      not          at least `count`
//!    U    U  D  ?       U    U  U  U       U   D         up       when so many are up
//!    D    D  D  D       D    U  D  ?       D   U         down     when so many cannot be up any more
//!    ?    ?  D  ?       ?    U  ?  ?       ?   ?         unknown  otherwise
//! ```
//!
//! A change is in sight (*shaky*) of what is not down, if it were down should every shaky member go
//! down: one of two in an `any` takes nothing along, and so leaves the TTL alone.
//!
//! A `not` is good news about bad news: that what it rests on is about to recover cannot be seen
//! before it has, so such an answer is not shaky before it changes.
//!
//! # Invariants
//!
//! - Pure: the statuses are an argument.
//! - An `all` of nothing is up, so that no check means always up.
//!
//! *Not here:* which checks the operator put together how (`compile`).

use super::{Status, Verdict};
use crate::ids::ProbeId;

/// What an endpoint rests on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Tree {
    /// One probe.
    Probe(ProbeId),
    /// All of these.
    All(Box<[Tree]>),
    /// One of these.
    Any(Box<[Tree]>),
    /// So many of these.
    AtLeast(usize, Box<[Tree]>),
    /// The contrary of this.
    Not(Box<Tree>),
}

/// How shaky members are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shaky {
    /// As what they are, up.
    Up,
    /// As what they may be next.
    Down,
}

impl Tree {
    /// What rests on nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self::All(Box::default())
    }

    /// The status, from those of the probes.
    pub fn status(&self, of: &impl Fn(ProbeId) -> Status) -> Status {
        let verdict = self.verdict(of, Shaky::Up);
        let shaky = verdict != Verdict::Down && self.verdict(of, Shaky::Down) == Verdict::Down;
        Status { verdict, shaky }
    }

    /// The verdict, and since when it is that, from those of the probes: as far as these say, which is
    /// from their latest changes on. Unknown is what it has always been.
    pub fn verdict_since<T: Copy + Ord>(
        &self,
        always: T,
        of: &impl Fn(ProbeId) -> (Verdict, T),
    ) -> (Verdict, T) {
        let (count, members) = match self {
            Self::Probe(id) => return of(*id),
            Self::Not(member) => {
                let (verdict, since) = member.verdict_since(always, of);
                return (verdict.contrary(), since);
            }
            Self::All(members) => (members.len(), members),
            Self::Any(members) => (1, members),
            Self::AtLeast(count, members) => (*count, members),
        };
        let members: Vec<(Verdict, T)> =
            members.iter().map(|it| it.verdict_since(always, of)).collect();
        let since = |verdict: Verdict| {
            let its = members.iter().filter(|it| it.0 == verdict);
            let mut since: Vec<T> = its.map(|it| it.1).collect();
            since.sort_unstable();
            since
        };
        let (up, down) = (since(Verdict::Up), since(Verdict::Down));
        let enough_down = members.len() + 1 - count;
        if count <= up.len() {
            // The last that it took; none is needed where there are none.
            (Verdict::Up, count.checked_sub(1).map_or(always, |idx| up[idx]))
        } else if enough_down <= down.len() {
            (Verdict::Down, down[enough_down - 1])
        } else {
            (Verdict::Unknown, always)
        }
    }

    /// The probes in it, each as often as it occurs.
    pub fn for_each_probe(&self, each: &mut impl FnMut(ProbeId)) {
        match self {
            Self::Probe(id) => each(*id),
            Self::All(of) | Self::Any(of) | Self::AtLeast(_, of) => {
                of.iter().for_each(|it| it.for_each_probe(each));
            }
            Self::Not(of) => of.for_each_probe(each),
        }
    }

    /// Gives the probes in it other numbers.
    pub fn renumber(&mut self, number: &impl Fn(ProbeId) -> ProbeId) {
        match self {
            Self::Probe(id) => *id = number(*id),
            Self::All(of) | Self::Any(of) | Self::AtLeast(_, of) => {
                of.iter_mut().for_each(|it| it.renumber(number));
            }
            Self::Not(of) => of.renumber(number),
        }
    }

    /// Whether the probe is in it.
    #[must_use]
    pub fn has(&self, id: ProbeId) -> bool {
        match self {
            Self::Probe(it) => *it == id,
            Self::All(of) | Self::Any(of) | Self::AtLeast(_, of) => of.iter().any(|it| it.has(id)),
            Self::Not(of) => of.has(id),
        }
    }

    fn verdict(&self, of: &impl Fn(ProbeId) -> Status, shaky: Shaky) -> Verdict {
        match self {
            Self::Probe(id) => match of(*id) {
                Status { shaky: true, .. } if shaky == Shaky::Down => Verdict::Down,
                status => status.verdict,
            },
            Self::All(members) => at_least(members.len(), members, of, shaky),
            Self::Any(members) => at_least(1, members, of, shaky),
            Self::AtLeast(count, members) => at_least(*count, members, of, shaky),
            // What may go down under it may only bring it up.
            Self::Not(member) => member.verdict(of, Shaky::Up).contrary(),
        }
    }
}

fn at_least(
    count: usize,
    members: &[Tree],
    of: &impl Fn(ProbeId) -> Status,
    shaky: Shaky,
) -> Verdict {
    let (mut up, mut down) = (0, 0);
    for member in members {
        match member.verdict(of, shaky) {
            Verdict::Up => up += 1,
            Verdict::Down => down += 1,
            Verdict::Unknown => {}
        }
    }
    if count <= up {
        Verdict::Up
    } else if members.len() - down < count {
        Verdict::Down
    } else {
        Verdict::Unknown
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn status(letter: char) -> Status {
        match letter {
            'U' => Status { verdict: Verdict::Up, shaky: false },
            's' => Status { verdict: Verdict::Up, shaky: true },
            'D' => Status { verdict: Verdict::Down, shaky: false },
            _ => Status::default(),
        }
    }

    fn letter(status: Status) -> char {
        match (status.verdict, status.shaky) {
            (Verdict::Up, false) => 'U',
            (Verdict::Up, true) => 's',
            (Verdict::Down, _) => 'D',
            (Verdict::Unknown, false) => '?',
            // Unknown and about to go down.
            (Verdict::Unknown, true) => '!',
        }
    }

    fn probes(count: usize) -> Box<[Tree]> {
        (0..count).map(|it| Tree::Probe(ProbeId::at(it))).collect()
    }

    /// What a tree says of probes with the statuses of these letters.
    fn said(tree: &Tree, letters: &str) -> char {
        let statuses: Vec<Status> = letters.chars().map(status).collect();
        letter(tree.status(&|id| statuses[id.idx()]))
    }

    #[test]
    fn the_truth_table() {
        let check = |tree: &Tree, rows: &str| {
            for row in rows.split_whitespace() {
                let (letters, expect) = row.split_once('=').unwrap();
                assert_eq!(said(tree, letters).to_string(), expect, "{tree:?} {letters}");
            }
        };
        check(&Tree::nothing(), "=U");
        check(&Tree::Probe(ProbeId::at(0)), "U=U s=s D=D ?=?");
        check(
            &Tree::All(probes(2)),
            "UU=U UD=D U?=? DU=D DD=D D?=D ?U=? ?D=D ??=? Us=s ss=s sD=D s?=!",
        );
        check(
            &Tree::Any(probes(2)),
            "UU=U UD=U U?=U DU=U DD=D D?=? ?U=U ?D=? ??=? Us=U ss=s sD=s s?=U",
        );
        check(
            &Tree::AtLeast(2, probes(3)),
            "UUU=U UUD=U UDD=D DDD=D U?D=? U??=? D??=? DD?=D UU?=U UsD=s UUs=U Uss=s s??=? sD?=!",
        );
        check(&Tree::Not(Box::new(Tree::Probe(ProbeId::at(0)))), "U=D s=D D=U ?=?");
        let neither = Tree::Not(Box::new(Tree::Any(probes(2))));
        check(&neither, "UU=D UD=D DD=U D?=? s?=D sD=D");
        let nested = Tree::All(Box::new([
            Tree::Probe(ProbeId::at(0)),
            Tree::Any(Box::new([Tree::Probe(ProbeId::at(1)), Tree::Probe(ProbeId::at(2))])),
        ]));
        check(&nested, "UUD=U UDD=D DUU=D UsD=s UsU=U sUU=s");
        assert!(nested.has(ProbeId::at(2)));
        assert!(!nested.has(ProbeId::at(3)));
    }

    /// A tree over four probes.
    fn tree() -> impl Strategy<Value = Tree> {
        let leaf = (0_usize..4).prop_map(|it| Tree::Probe(ProbeId::at(it)));
        leaf.prop_recursive(4, 24, 4, |inner| {
            let members = prop::collection::vec(inner.clone(), 1..4);
            let members = members.prop_map(Vec::into_boxed_slice);
            prop_oneof![
                members.clone().prop_map(Tree::All),
                members.clone().prop_map(Tree::Any),
                (1_usize..4, members)
                    .prop_map(|(count, of)| { Tree::AtLeast(count.min(of.len()), of) }),
                inner.prop_map(|it| Tree::Not(Box::new(it))),
            ]
        })
    }

    proptest! {
        /// Whatever the unknown turn out to be, what was said without them holds.
        #[test]
        fn what_is_said_without_the_unknown_holds_with_them(
            tree in tree(),
            letters in prop::collection::vec(prop::sample::select(vec!['U', 'D', '?']), 4),
            turn_out: u8,
        ) {
            let before = said(&tree, &letters.iter().collect::<String>());
            let known: String = letters
                .iter()
                .enumerate()
                .map(|(idx, it)| match it {
                    '?' if turn_out >> idx & 1 == 0 => 'D',
                    '?' => 'U',
                    known => *known,
                })
                .collect();
            let after = said(&tree, &known);
            prop_assert_ne!(after, '?');
            if before != '?' {
                prop_assert_eq!(before, after);
            }
        }
    }
}
