//! Question for question the same as NSD and Knot.
//!
//! The zones in `tests/conformance/` are loaded into the three servers, and a generated list of
//! questions is asked of each, by UDP without and with EDNS and by TCP. Every aspect of our reply
//! must be that of NSD or that of Knot; where the two agree, that leaves no choice.
//! What we mean to do otherwise stands in [`INTENDED`], each with its reason.
//!
//! *Not here:* what has no counterpart there: steering (`answers`), EDNS errors, malformed packets.

mod peer;
mod question;
mod said;

use std::{collections::BTreeMap, fmt::Write as _};

use peer::{Peer, Via};
use question::Question;
use said::{Aspect, Said};

/// The zones, each in a master file of its name.
const ZONES: [&str; 3] = ["conf.test", "child.conf.test", "other.test"];

/// Complaints that are shown; the rest is counted.
const COMPLAINTS_SHOWN_MAX: usize = 25;

/// A difference that is meant.
struct Intended {
    what: &'static str,
    /// The aspects in which the replies may differ.
    aspects: &'static [Aspect],
    /// Whether this is such a case, and our side of it is right.
    holds: fn(&Case) -> bool,
}

/// One question and what was said to it.
struct Case<'a> {
    question: &'a Question,
    ours: &'a Said,
    /// What NSD and Knot said, and what they say when asked on for the end of a chain.
    theirs: &'a [Said],
}

const INTENDED: &[Intended] = &[
    Intended {
        // RFC 8482 section 4.2: a stand-in that is small, whoever the question pretends to be from.
        what: "ANY is answered with HINFO",
        aspects: &[Aspect::Answer, Aspect::Truncated, Aspect::Additional],
        holds: |case| {
            let Some((stand_in, chain)) = case.ours.answer.split_last() else { return false };
            let is_same_chain =
                |said: &Said| said.answer.starts_with(chain) && chain.len() < said.answer.len();
            case.question.rtype == question::ANY
                && stand_in.is_any_stand_in()
                && case.theirs.iter().any(|said| said.truncated || is_same_chain(said))
        },
    },
    Intended {
        // Each cuts an endless chain where it likes; what is there has to be the same.
        what: "a loop of aliases is cut off elsewhere",
        aspects: &[Aspect::Answer, Aspect::Rcode, Aspect::Authority, Aspect::Truncated],
        holds: |case| {
            let ours = &case.ours.answer;
            case.question.loops()
                && case.theirs.iter().any(|said| {
                    let len = ours.len().min(said.answer.len());
                    0 < len && ours[..len] == said.answer[..len]
                })
        },
    },
];

#[test]
fn answers_are_those_of_nsd_or_knot() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mut nsd = Peer::nsd(folder.path());
    let mut knot = Peer::knot(folder.path());
    let mut ours = Peer::evenkeel(folder.path());
    let questions = question::all();
    assert!(3000 < questions.len(), "only {} questions", questions.len());

    let mut complaints = Vec::new();
    let mut intended_counts = BTreeMap::new();
    for via in [Via::Udp, Via::UdpEdns, Via::Tcp] {
        for question in &questions {
            let mut theirs = vec![nsd.ask(question, via), knot.ask(question, via)];
            let ours = ours.ask(question, via);
            let followed = [
                follow(&mut nsd, question, &theirs[0], via),
                follow(&mut knot, question, &theirs[1], via),
            ];
            theirs.extend(followed.into_iter().flatten());
            let case = Case { question, ours: &ours, theirs: &theirs };
            match judge(&case) {
                Ok(intended) => {
                    for what in intended {
                        *intended_counts.entry(what).or_insert(0) += 1;
                    }
                }
                Err(aspects) => complaints.push(complaint(&case, via, &aspects)),
            }
        }
    }

    let asked = questions.len() * 3;
    println!("{asked} replies compared; meant to differ: {intended_counts:#?}");
    let shown = complaints[..complaints.len().min(COMPLAINTS_SHOWN_MAX)].join("\n");
    assert!(complaints.is_empty(), "{} of {asked} replies differ\n{shown}", complaints.len());
    for intended in INTENDED {
        let what = intended.what;
        assert!(intended_counts.contains_key(what), "never seen, so strike it out: {what}");
    }
}

/// The intended differences of a reply, or the aspects in which it is wrong.
fn judge(case: &Case) -> Result<Vec<&'static str>, Vec<Aspect>> {
    let differing: Vec<Aspect> = Aspect::ALL
        .into_iter()
        .filter(|aspect| !case.theirs.iter().any(|said| said.same(case.ours, *aspect)))
        .collect();
    let mut intended = Vec::new();
    let mut wrong = Vec::new();
    for aspect in differing {
        let meant = INTENDED.iter().find(|it| it.aspects.contains(&aspect) && (it.holds)(case));
        match meant {
            Some(meant) => intended.push(meant.what),
            None => wrong.push(aspect),
        }
    }
    if wrong.is_empty() { Ok(intended) } else { Err(wrong) }
}

/// What `peer` would have said if it followed chains from zone to zone, as we do: it is asked for
/// the end of the chain where that is in another of its zones. None: nothing to follow.
fn follow(peer: &mut Peer, question: &Question, first: &Said, via: Via) -> Option<Said> {
    let mut whole = first.clone();
    let mut followed = false;
    // As many steps as our own server takes at most; a loop has no end.
    for _ in 0..evenkeel::limits::CHAIN_LEN_MAX {
        let Some(target) = whole.dangling(ZONES) else { break };
        if whole.answer.iter().any(|set| set.owner == target) {
            break;
        }
        let next = peer.ask(&question.retargeted(&target), via);
        whole.append(next);
        followed = true;
    }
    followed.then_some(whole)
}

fn complaint(case: &Case, via: Via, aspects: &[Aspect]) -> String {
    let mut text = format!("---- {} by {via:?}: {aspects:?} of\n{}", case.question, case.ours);
    for (who, said) in ["NSD", "Knot", "one of them, asked on", "the other"].iter().zip(case.theirs)
    {
        write!(text, "-- {who} says\n{said}").expect("a string takes everything");
    }
    text
}
