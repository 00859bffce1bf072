//! The desk: what is before the prober, and what each outcome makes of it.
//!
//! ```text
//!   adopt(specs) --> targets <--due-- queue
//!                       |  ^            |
//!                       |  |            '--> Due::Execute: someone executes it, and says so by
//!                       |  '--- land, hear --------------- what it came to
//!                       '--> Found: what is to be told
//! ```
//!
//! # Invariants
//!
//! - Pure: the time since it began, that of the wall and chance are arguments. Who executes probes is
//!   somebody else; he leaves an `X` here for each, and gets it back when its target goes.
//! - A target is in the queue or in flight, never both and never neither.
//! - Equal specs are one target, and a spec that stays in the set keeps its history. What is found
//!   names it by the `Arc` of the latest set, so that the receiver may compare addresses.
//! - A spec that takes the place of one that asked the same of the same target goes on from its
//!   judgement: to be asked more often, or judged otherwise, is no reason to believe a single
//!   outcome.
//! - Nothing is found of a target after the set that lacks it was taken in, and never anything of a
//!   control target.
//!
//! *Not here:* when a target is due (`schedule`), what its outcomes say (`judge`), what they say of
//! the prober (`blind`), and who waits for all of that (`prober`).

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    Blinded, Evidence, Executed, Judgement, Kind, Memory, Outcome, Past, ProbeSpec, Question,
    Remembered, Rules, Sanity, Sight, Status, Told, Why,
    blind::{Sign, Tally},
    schedule::{Queue, Timetable},
};
use crate::dice::Roll;

/// What came of one execution.
#[derive(Debug, Clone)]
pub struct Report {
    /// Whose.
    pub spec: Arc<ProbeSpec>,
    /// What is to be thought of the target now.
    pub status: Status,
    /// What this execution came to.
    pub outcome: Outcome,
    /// What the target told with it.
    pub told: Told,
    /// How long it took; a heartbeat takes none.
    pub took: Duration,
    /// When it ended, for people.
    pub at: SystemTime,
}

/// What is to be told: what the prober thinks of itself, if that changed, and then what it thinks of
/// a target.
pub type Found = (Option<Blinded>, Option<Report>);

/// A moment, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Since the desk began.
    pub now: Duration,
    /// On the wall.
    pub wall: SystemTime,
}

/// What has to be done of a target that is due.
#[derive(Debug)]
pub enum Due {
    /// The probe of the target with this number is to be executed.
    Execute(u64, Arc<ProbeSpec>),
    /// This was found already, because no heartbeat came.
    Found(Found),
    /// Nothing yet: a heartbeat came in time.
    Nothing,
}

/// What is before a prober whose executions are each an `X`.
#[derive(Debug)]
pub struct Desk<X> {
    /// What was known before it began, until the first set was taken in.
    known: HashMap<(Role, Arc<ProbeSpec>), Memory>,
    /// Each target's number; numbers are not used again.
    serials: HashMap<(Role, Arc<ProbeSpec>), u64>,
    targets: HashMap<u64, Probed<X>>,
    serial_next: u64,
    queue: Queue,
    sanity: Sanity,
    sight: Sight,
    tally: Tally,
    /// The control targets' numbers.
    control: Vec<u64>,
}

/// What a target is probed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Role {
    /// Answers rest on it.
    Endpoint,
    /// It shows whether the prober's own network is there.
    Control,
}

/// A target.
#[derive(Debug)]
struct Probed<X> {
    spec: Arc<ProbeSpec>,
    role: Role,
    judgement: Judgement,
    /// What its latest outcome says for the evidence.
    sign: Sign,
    timetable: Timetable,
    /// When the latest heartbeat ends, where heartbeats are what counts.
    silent_at: Duration,
    /// Its execution, if it is in flight.
    execution: Option<X>,
}

impl<X> Desk<X> {
    /// A desk without targets, that goes on from what is known from before a restart, or in another
    /// process. Without evidence a blindness from there ends: the first [`adopt`](Self::adopt) comes
    /// before the first [`look`](Self::look).
    #[must_use]
    pub fn new(past: Past) -> Self {
        let role = |is_control| if is_control { Role::Control } else { Role::Endpoint };
        let known = past.targets.into_iter();
        Self {
            known: known.map(|it| ((role(it.is_control), it.spec), it.memory)).collect(),
            serials: HashMap::new(),
            targets: HashMap::new(),
            serial_next: 0,
            queue: Queue::default(),
            sanity: Sanity::default(),
            sight: past.sight,
            tally: Tally::default(),
            control: Vec::new(),
        }
    }

    /// When the next target is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.queue.next_due()
    }

    /// When it has to be looked at anew what the prober thinks of itself, if nothing else happens.
    #[must_use]
    pub fn next_look(&self) -> Option<Duration> {
        match self.sight {
            Sight::Blind { until } => Some(until),
            Sight::Sighted { .. } | Sight::Spent => None,
        }
    }

    /// What the prober thinks of itself.
    #[must_use]
    pub fn sight(&self) -> Sight {
        self.sight
    }

    /// All that is known now.
    #[must_use]
    pub fn past(&self, now: Duration) -> Past {
        let remembered = |target: &Probed<X>| Remembered {
            spec: Arc::clone(&target.spec),
            is_control: target.role == Role::Control,
            memory: Memory {
                judgement: target.judgement.clone(),
                sign: target.sign,
                silent_at: Some(target.silent_at),
            },
        };
        let targets = self.targets.values().map(remembered).collect();
        Past { clock: now, sight: self.sight, targets }
    }

    /// Makes these the targets, and gives the executions of those that go: those that stay keep what
    /// is known of them.
    pub fn adopt(&mut self, probes: Vec<Arc<ProbeSpec>>, sanity: Sanity, now: Duration) -> Vec<X> {
        let mut before = std::mem::take(&mut self.serials);
        let mut targets = HashMap::with_capacity(probes.len() + sanity.control.len());
        let mut added = Vec::new();
        let control = sanity.control.iter().map(|spec| (Role::Control, Arc::clone(spec)));
        let wanted = probes.into_iter().map(|spec| (Role::Endpoint, spec)).chain(control);
        for (role, spec) in wanted {
            let key = (role, spec);
            if let Some(serial) = before.remove(&key) {
                let mut target = self.targets.remove(&serial).expect("each serial has a target");
                target.spec = Arc::clone(&key.1);
                targets.insert(serial, target);
                self.serials.insert(key, serial);
            } else if !self.serials.contains_key(&key) {
                self.serials.insert(key.clone(), self.serial_next);
                added.push((self.serial_next, key));
                self.serial_next += 1;
            }
        }
        self.queue.retain(|serial| targets.contains_key(&serial));
        for (serial, target) in self.begin(added, now) {
            self.tally.replace(&target.spec.target, Sign::None, target.sign);
            targets.insert(serial, target);
        }
        for gone in self.targets.values() {
            if gone.role == Role::Endpoint {
                self.tally.replace(&gone.spec.target, gone.sign, Sign::None);
            }
        }
        self.known = HashMap::new();
        let gone = std::mem::replace(&mut self.targets, targets);
        let is_control = |(_, target): &(&u64, &Probed<X>)| target.role == Role::Control;
        self.control = self.targets.iter().filter(is_control).map(|(serial, _)| *serial).collect();
        self.sanity = sanity;
        assert_eq!(self.targets.len(), self.serials.len());
        gone.into_values().filter_map(|it| it.execution).collect()
    }

    /// The targets that were added, with what is known of them by those that are about to go.
    fn begin(
        &mut self,
        added: Vec<(u64, (Role, Arc<ProbeSpec>))>,
        now: Duration,
    ) -> Vec<(u64, Probed<X>)> {
        let kindred = kindred(self.targets.values(), !added.is_empty());
        let count = added.len();
        let mut fresh = Vec::with_capacity(count);
        for (serial, (role, spec)) in added {
            let (timetable, due) = Timetable::begin(&spec, count, now);
            let kin = kindred.get(&spec.question()).filter(|_| role == Role::Endpoint);
            let known = self.known.remove(&(role, Arc::clone(&spec))).unwrap_or_default();
            let (judgement, sign) = kin.cloned().unwrap_or((known.judgement, known.sign));
            let silent_at = known.silent_at.unwrap_or(now + spec.every);
            let due = if matches!(spec.kind, Kind::Push(_)) { silent_at } else { due };
            self.queue.push(due, serial);
            let target =
                Probed { spec, role, judgement, sign, timetable, silent_at, execution: None };
            fresh.push((serial, target));
        }
        fresh
    }

    /// Takes out the target that has been due the longest, if one is.
    pub fn pop_due(&mut self, at: Moment) -> Option<Due> {
        let serial = self.queue.pop_due(at.now)?;
        let target = self.targets.get_mut(&serial).expect("only targets are in the queue");
        assert!(target.execution.is_none(), "who is in flight is not in the queue");
        let Kind::Push(push) = &target.spec.kind else {
            return Some(Due::Execute(serial, Arc::clone(&target.spec)));
        };
        let expires = push.expires;
        let is_silent = target.silent_at <= at.now;
        if is_silent {
            target.silent_at = at.now + expires;
        }
        self.queue.push(target.silent_at, serial);
        if !is_silent {
            return Some(Due::Nothing);
        }
        Some(Due::Found(self.judge(serial, Outcome::Failed(Why::Silent(expires)).into(), at)))
    }

    /// The execution of a target that was due began.
    pub fn launched(&mut self, serial: u64, execution: X) {
        let target = self.targets.get_mut(&serial).expect("it was due just now");
        target.execution = Some(execution);
    }

    /// Takes the heartbeats in that came.
    pub fn hear(&mut self, came: &HashSet<Box<str>>, at: Moment) -> Vec<Found> {
        let mut heard = Vec::with_capacity(came.len());
        for (serial, target) in &mut self.targets {
            // What is in the queue stays as it is: when that is due, it is looked at anew.
            if let Kind::Push(push) = &target.spec.kind
                && came.contains(&push.check)
            {
                target.silent_at = at.now + push.expires;
                heard.push(*serial);
            }
        }
        heard.into_iter().map(|serial| self.judge(serial, Outcome::Good.into(), at)).collect()
    }

    /// Takes in what an execution came to that began at `started`, unless its target is gone.
    pub fn land(
        &mut self,
        serial: u64,
        started: Duration,
        executed: Executed,
        at: Moment,
        roll: &mut Roll,
    ) -> Found {
        let Some(target) = self.targets.get_mut(&serial) else { return (None, None) };
        target.execution = None;
        let due = target.timetable.next(started, at.now, roll);
        self.queue.push(due, serial);

        match target.role {
            Role::Endpoint => self.judge(serial, executed, at),
            Role::Control => {
                let good = executed.outcome == Outcome::Good;
                target.sign = if good { Sign::There } else { Sign::Failed };
                (self.look(Some(good), at.now), None)
            }
        }
    }

    /// What is to be thought of a target after one more outcome, and of the prober.
    fn judge(&mut self, serial: u64, executed: Executed, Moment { now, wall }: Moment) -> Found {
        let Executed { outcome, told, took } = executed;
        let target = self.targets.get_mut(&serial).expect("who has an outcome is a target");
        let good = outcome == Outcome::Good;
        // What a lost network looks like: a failure, or what is good because something fails.
        let is_doubtful = good == target.spec.invert;
        // Whether that counts depends on what the others say, this one included; the rest counts at
        // any time.
        let rules = Rules::of(&target.spec);
        let before = target.judgement.status().verdict;
        if !is_doubtful {
            target.judgement.take(good, false, rules, now);
        }
        let sign = if target.spec.shows_network() {
            Sign::of(good, before, target.judgement.status().verdict)
        } else {
            Sign::None
        };
        self.tally.replace(&target.spec.target, target.sign, sign);
        target.sign = sign;
        let blinded = self.look(Some(!is_doubtful), now);
        let blind = self.sight.is_blind();
        let target = self.targets.get_mut(&serial).expect("it was there above");
        if is_doubtful && !(good && blind) {
            target.judgement.take(good, blind, rules, now);
        }
        let (spec, status) = (Arc::clone(&target.spec), target.judgement.status());
        (blinded, Some(Report { spec, status, outcome, told, took, at: wall }))
    }

    /// Thinks over whether the prober can be trusted, after an outcome or after some time; what is
    /// to be told if that changed.
    pub fn look(&mut self, good: Option<bool>, now: Duration) -> Option<Blinded> {
        let evidence = self.evidence();
        let sight = self.sight.after(good, evidence, &self.sanity, now);
        let is_like_before = sight.is_like(self.sight);
        self.sight = sight;
        if is_like_before {
            return None;
        }
        if sight.is_blind() {
            self.targets.values_mut().for_each(|target| target.judgement.doubt());
        }
        Some(Blinded { sight, evidence })
    }

    fn evidence(&self) -> Evidence {
        if self.control.is_empty() {
            return self.tally.evidence();
        }
        let failed = |serial: &&u64| self.targets[*serial].sign == Sign::Failed;
        let failed = self.control.iter().filter(failed).count();
        Evidence { counted: self.control.len(), failed, control: true }
    }
}

/// What is known by what was asked, if anyone `wants` to know. Where several numbers go with one
/// question, any of them will do.
fn kindred<'t, X: 't>(
    targets: impl Iterator<Item = &'t Probed<X>>,
    wants: bool,
) -> HashMap<Question<'t>, (Judgement, Sign)> {
    let targets = targets.filter(|target| wants && target.role == Role::Endpoint);
    targets
        .map(|target| (target.spec.question(), (target.judgement.clone(), target.sign)))
        .collect()
}
