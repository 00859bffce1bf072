//! The operator: what he says is checked, kept on disk, taken in, and taken down, in this order. What
//! was acknowledged holds, whatever happens next.
//!
//! Not here: what it does to answers (`state::operator`), and how it is asked for (`api`).

use tokio::time::timeout;

use super::control::Control;
use crate::{
    api::{Saying, Unsaid},
    clock,
    compile::EventKind,
    limits::STATE_COMMIT_WAIT_MAX,
    state::{
        Change, Dial, Note, Override, Overrides, Pattern,
        journal::Transition,
        store::{Act, NotKept},
    },
};

/// What events call an override that is not there.
const UNSAID: &str = "none";

/// What follows from what an operator says, if it may be said.
struct Planned {
    /// The overrides concerned.
    ids: Vec<u64>,
    /// What is to be written.
    acts: Vec<Act>,
    /// What is to be told.
    events: Vec<Transition>,
}

impl Control {
    /// Takes in what an operator says; the ids of the overrides concerned. What was said can always be
    /// taken back: no name may have to keep a word that nobody means any more.
    pub(super) async fn say(&mut self, saying: Saying, force: bool) -> Result<Vec<u64>, Unsaid> {
        let force = force || matches!(saying, Saying::Clear(..));
        let mut next = self.state.overrides().clone();
        let Planned { ids, acts, events } = self.plan_saying(saying, &mut next)?;
        let left = if force { Vec::new() } else { self.state.left_with_nothing(&next) };
        if !left.is_empty() {
            return Err(Unsaid::Nothing(left));
        }
        self.keep(acts).await?;
        self.take(Change::Said(next));
        for event in events {
            self.tell_of(event);
        }
        Ok(ids)
    }

    /// Takes back what has come to its end.
    pub(super) fn expire(&mut self) {
        let now = clock::wall();
        if self.state.overrides().next_end().is_none_or(|end| now < end) {
            return;
        }
        let mut next = self.state.overrides().clone();
        let (overrides, dials) = next.expire(now);
        self.take(Change::Said(next));
        let mut acts: Vec<Act> = overrides.iter().map(|it| Act::Clear(it.id)).collect();
        acts.extend(dials.iter().map(|(region, _)| Act::Dial(region.clone(), None)));
        if let Some(store) = &self.keeping.store {
            // Were it not written, it would come to its end again after a restart.
            drop(store.commit(acts));
        }
        for it in overrides {
            self.tell_of(cleared(&it, "its time is over"));
        }
        for (region, dial) in dials {
            self.tell_of(dialed(&region, Some(&dial), None, "its time is over"));
        }
    }

    /// What a saying makes of what was said, what is to be written, and what is to be told.
    fn plan_saying(&self, saying: Saying, next: &mut Overrides) -> Result<Planned, Unsaid> {
        match saying {
            Saying::Set(target, word, note) => {
                let id = next.add(target.clone(), word, note);
                if self.state.concerned(next).is_empty() {
                    return Err(Unsaid::Unknown(format!("`{target}` means no endpoint")));
                }
                let it = next.by_id(id).expect("it was just added").clone();
                let event = Transition {
                    kind: EventKind::Override,
                    subject: it.target.to_string(),
                    from: UNSAID.to_owned(),
                    to: it.word.to_string(),
                    why: why(&it.note),
                };
                Ok(Planned { ids: vec![id], acts: vec![Act::Set(it)], events: vec![event] })
            }
            Saying::Clear(what, author) => {
                let is_meant = |it: &Override| {
                    what.parse() == Ok(it.id) || Pattern::new(&what).as_ref() == Some(&it.target)
                };
                let ids: Vec<u64> = next.iter().filter(|it| is_meant(it)).map(|it| it.id).collect();
                let cleared_ones = ids.iter().filter_map(|id| next.remove(*id));
                let why = by("an operator took it back", &author);
                let events: Vec<_> = cleared_ones.map(|it| cleared(&it, &why)).collect();
                if ids.is_empty() {
                    return Err(Unsaid::Unknown(format!("there is no override `{what}`")));
                }
                let acts = ids.iter().copied().map(Act::Clear).collect();
                Ok(Planned { ids, acts, events })
            }
            Saying::Dial(region, dial) => {
                if !self.state.has_region(&region) {
                    return Err(Unsaid::Unknown(format!("there is no region `{region}`")));
                }
                let before = next.dials().find(|(it, _)| *it == &*region).map(|(_, it)| it.clone());
                let event = dialed(&region, before.as_ref(), Some(&dial), &why(&dial.note));
                next.dial(&region, dial.clone());
                let kept = (dial.percent != 100).then_some(dial);
                let acts = vec![Act::Dial(region.into(), kept)];
                Ok(Planned { ids: Vec::new(), acts, events: vec![event] })
            }
        }
    }

    /// Waits until it is on the disk, if there is one.
    async fn keep(&self, acts: Vec<Act>) -> Result<(), Unsaid> {
        let not_kept = |why: &str| Unsaid::NotKept(format!("it could not be written: {why}"));
        let Some(store) = &self.keeping.store else {
            return if self.keeping.is_away() {
                Err(not_kept("another process has the state folder"))
            } else {
                Ok(())
            };
        };
        match timeout(STATE_COMMIT_WAIT_MAX, store.commit(acts)).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(NotKept::Full))) => Err(not_kept("too many others wait")),
            Ok(Ok(Err(NotKept::Failed(why)))) => Err(not_kept(&why)),
            Ok(Err(_)) => Err(not_kept("the writer is gone")),
            Err(_) => Err(not_kept("the disk takes too long")),
        }
    }

    fn tell_of(&mut self, event: Transition) {
        let Transition { subject, from, to, why, .. } = &event;
        tracing::info!(%subject, %from, %to, %why, "the operator's word");
        self.keeping.note(event);
    }
}

fn cleared(it: &Override, why: &str) -> Transition {
    Transition {
        kind: EventKind::Override,
        subject: it.target.to_string(),
        from: it.word.to_string(),
        to: UNSAID.to_owned(),
        why: why.to_owned(),
    }
}

fn dialed(region: &str, before: Option<&Dial>, after: Option<&Dial>, why: &str) -> Transition {
    let percent = |dial: Option<&Dial>| format!("{} %", dial.map_or(100, |it| it.percent));
    Transition {
        kind: EventKind::Dial,
        subject: region.to_owned(),
        from: percent(before),
        to: percent(after),
        why: why.to_owned(),
    }
}

fn why(note: &Note) -> String {
    by(&note.reason, &note.author)
}

fn by(why: &str, author: &str) -> String {
    if author.is_empty() { why.to_owned() } else { format!("{why} ({author})") }
}
