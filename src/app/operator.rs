//! The operator: what he says is checked, kept on disk, taken in, and taken down, in this order. What
//! was acknowledged holds, whatever happens next.
//!
//! While the disk takes its time everything else goes on; only other operators wait, since what they
//! may say depends on what was said before.
//!
//! Not here: what it does to answers (`state::operator`), and how it is asked for (`api`).

use std::{collections::VecDeque, future::pending};

use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use super::control::Control;
use crate::{
    api::{Saying, Unsaid},
    clock,
    compile::EventKind,
    limits::{OPERATORS_WAITING_MAX, STATE_COMMIT_WAIT_MAX},
    state::{
        Change, Dial, Foreseen, Note, Override, Overrides, Pattern,
        journal::Transition,
        store::{Act, NotKept},
    },
};

/// What events call an override that is not there.
const UNSAID: &str = "none";

/// Who wants to know whether it holds, and the ids of the overrides concerned.
type Reply = oneshot::Sender<Result<Vec<u64>, Unsaid>>;

/// What operators say and what is not decided yet.
#[derive(Default)]
pub(super) struct Sayings {
    /// What is being written.
    pending: Option<Pending>,
    /// Those who come after it, and whether each uses force.
    waiting: VecDeque<(Saying, bool, Reply)>,
}

/// What is being written.
struct Pending {
    planned: Planned,
    /// What the operators say once it is.
    next: Overrides,
    written: oneshot::Receiver<Result<(), NotKept>>,
    until: Instant,
    reply: Reply,
}

impl Sayings {
    /// Waits until what is being written is on the disk, or not.
    pub(super) async fn kept(&mut self) -> Result<(), Unsaid> {
        let Some(Pending { written, until, .. }) = &mut self.pending else {
            return pending().await;
        };
        let kept = timeout_at(*until, &mut *written).await;
        let kept = kept.unwrap_or_else(|_| {
            // The answer may have come in this very moment; after this it cannot.
            written.close();
            let late = NotKept::Failed(
                "the disk takes too long; what it may have written by then is taken back"
                    .to_owned(),
            );
            Ok(written.try_recv().unwrap_or(Err(late)))
        });
        match kept {
            Ok(Ok(())) => Ok(()),
            Ok(Err(NotKept::Full)) => Err(not_kept("too many others wait")),
            Ok(Err(NotKept::Failed(why))) => Err(not_kept(&why)),
            Err(_) => Err(not_kept("the writer is gone")),
        }
    }
}

/// What follows from what an operator says, if it may be said.
struct Planned {
    /// The overrides concerned.
    ids: Vec<u64>,
    /// What is to be written.
    acts: Vec<Act>,
    /// What takes that back.
    undo: Vec<Act>,
    /// What is to be told.
    events: Vec<Transition>,
}

impl Control {
    /// Takes in what an operator says, or has it wait for what another one says.
    pub(super) fn say(&mut self, saying: Saying, force: bool, reply: Reply) {
        if OPERATORS_WAITING_MAX <= self.sayings.waiting.len() {
            // Who asked may be gone, here and below, and that is well.
            let _ = reply.send(Err(Unsaid::NotKept("too many others wait".to_owned())));
            return;
        }
        self.sayings.waiting.push_back((saying, force, reply));
        self.say_next();
    }

    /// Checks what the next operator says, and has it written; but not if another process waits to hear
    /// what is known, which would else wait for each of them.
    pub(super) fn say_next(&mut self) {
        while self.sayings.pending.is_none()
            && !self.guest.as_ref().is_some_and(JoinHandle::is_finished)
            && let Some((saying, force, reply)) = self.sayings.waiting.pop_front()
        {
            let (planned, next) = match self.may_say(saying, force) {
                Ok(planned) => planned,
                Err(why) => {
                    let _ = reply.send(Err(why));
                    continue;
                }
            };
            let Some(store) = &self.keeping.store else {
                if self.keeping.is_away() {
                    let _ = reply.send(Err(not_kept("another process has the state folder")));
                } else {
                    self.said(planned, next, reply);
                }
                continue;
            };
            let written = store.commit_or_undo(planned.acts.clone(), planned.undo.clone());
            let until = Instant::now() + STATE_COMMIT_WAIT_MAX;
            self.sayings.pending = Some(Pending { planned, next, written, until, reply });
        }
    }

    /// Whether another process may hear what is known: not while something is being written, since
    /// nobody knows then whether it holds.
    pub(super) fn may_hand_over(&self) -> bool {
        self.sayings.pending.is_none()
    }

    /// Whether it may be said, and what follows from it. What was said can always be taken back: no
    /// name may have to keep a word that nobody means any more.
    fn may_say(&self, saying: Saying, force: bool) -> Result<(Planned, Overrides), Unsaid> {
        let force = force || matches!(saying, Saying::Clear(..));
        let mut next = self.state.overrides().clone();
        let planned = self.plan_saying(saying, &mut next)?;
        let left = if force { Vec::new() } else { self.state.left_with_nothing(&next) };
        if left.is_empty() { Ok((planned, next)) } else { Err(Unsaid::Nothing(left)) }
    }

    /// What would follow if it were said.
    pub(super) fn foresee(&mut self, saying: Saying, force: bool) -> Result<Foreseen, Unsaid> {
        let (_, next) = self.may_say(saying, force)?;
        if self.state.is_stale() {
            // It is compared with what is given by all that is known.
            self.publish();
        }
        Ok(self.state.foresee(&next, clock::wall()))
    }

    /// What was being written is on the disk, or is not.
    pub(super) fn finish_saying(&mut self, kept: Result<(), Unsaid>) {
        if let Some(Pending { planned, next, reply, .. }) = self.sayings.pending.take() {
            match kept {
                Ok(()) => self.said(planned, next, reply),
                Err(why) => drop(reply.send(Err(why))),
            }
        }
        self.say_next();
    }

    /// From here on it holds.
    fn said(&mut self, Planned { ids, events, .. }: Planned, next: Overrides, reply: Reply) {
        self.take(Change::Said(next));
        for event in events {
            self.tell_of(event);
        }
        let _ = reply.send(Ok(ids));
    }

    /// Takes back what has come to its end. What is being written was thought of without that: until
    /// it is decided nothing ends.
    pub(super) fn expire(&mut self) {
        if self.sayings.pending.is_some() {
            return;
        }
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
                let (acts, undo) = (vec![Act::Set(it)], vec![Act::Clear(id)]);
                Ok(Planned { ids: vec![id], acts, undo, events: vec![event] })
            }
            Saying::Clear(what, author) => {
                let is_meant = |it: &Override| {
                    what.parse() == Ok(it.id) || Pattern::new(&what).as_ref() == Some(&it.target)
                };
                let ids: Vec<u64> = next.iter().filter(|it| is_meant(it)).map(|it| it.id).collect();
                let gone: Vec<_> = ids.iter().filter_map(|id| next.remove(*id)).collect();
                let why = by("an operator took it back", &author);
                let events = gone.iter().map(|it| cleared(it, &why)).collect();
                if ids.is_empty() {
                    return Err(Unsaid::Unknown(format!("there is no override `{what}`")));
                }
                let acts = ids.iter().copied().map(Act::Clear).collect();
                let undo = gone.into_iter().map(Act::Set).collect();
                Ok(Planned { ids, acts, undo, events })
            }
            Saying::Dial(region, dial) => {
                if !self.state.has_region(&region) {
                    return Err(Unsaid::Unknown(format!("there is no region `{region}`")));
                }
                let before = next.dials().find(|(it, _)| *it == &*region).map(|(_, it)| it.clone());
                let event = dialed(&region, before.as_ref(), Some(&dial), &why(&dial.note));
                next.dial(&region, dial.clone());
                let kept = (dial.percent != 100).then_some(dial);
                let undo = vec![Act::Dial(region.to_string(), before)];
                let acts = vec![Act::Dial(region.into(), kept)];
                Ok(Planned { ids: Vec::new(), acts, undo, events: vec![event] })
            }
        }
    }

    fn tell_of(&mut self, event: Transition) {
        let Transition { subject, from, to, why, .. } = &event;
        tracing::info!(%subject, %from, %to, %why, "the operator's word");
        self.keeping.note(event);
    }
}

fn not_kept(why: &str) -> Unsaid {
    Unsaid::NotKept(format!("it could not be written: {why}"))
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
