//! Keeping: what happens is taken down, kept over a restart, and told to whoever wants to hear of it.
//!
//! Not here: what happens (`control`), how it is kept (`state::store`) and told (`webhook`, `api`).

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::task::spawn_blocking;

use super::{certificates::Certificates, webhook::Hooks};
use crate::{
    clock,
    compile::{EventKind, Plan, Settings},
    config::Complaint,
    health::{Blinded, Memory, Past, ProbeSpec, Remembered, Report},
    limits::EVENTS_KEPT_MAX,
    state::{
        Change, Event, Overload, Overrides, Standing, State, Turns,
        journal::{Entry, Journal, Transition},
        store::{self, Kept, SetAside, Store},
    },
};

/// The journal, and where its entries go.
pub(super) struct Keeping {
    pub(super) journal: Journal,
    /// None: nothing survives a restart, or another process has it.
    pub(super) store: Option<Store>,
    /// The folder of the store that another process has.
    away: Option<PathBuf>,
    hooks: Hooks,
    certificates: Certificates,
    n_noted: u64,
}

/// Opens the store that the files name, and gives what is in it. An error is what keeps the server
/// from starting.
pub(super) fn open(settings: &Settings) -> Result<(Option<Store>, Kept), String> {
    let Some(folder) = &settings.state else {
        tracing::info!(
            "without `state` in the server file, overrides and verdicts do not survive a restart"
        );
        return Ok((None, Kept::default()));
    };
    let (store, kept, aside) = Store::open(folder, clock::wall()).map_err(|it| it.to_string())?;
    say_aside(aside.as_ref());
    Ok((Some(store), kept))
}

fn say_aside(aside: Option<&SetAside>) {
    if let Some(aside) = aside {
        tracing::error!(
            set_aside = %aside.path.display(),
            why = %aside.why,
            "the state cannot be read: the server starts without it, overrides and dials do not hold"
        );
    }
}

/// What the prober goes on from after a restart.
pub(super) fn past(kept: &Kept, plan: &Plan) -> Past {
    let remembered = |spec: &Arc<ProbeSpec>| {
        let memory = Memory::restored(kept.status(spec)?, spec.fall);
        Some(Remembered { spec: Arc::clone(spec), is_control: false, memory })
    };
    Past { targets: plan.probes.iter().filter_map(remembered).collect(), ..Past::default() }
}

/// Goes on from what was known and measured, so that the first answers rest on it.
pub(super) fn restore(state: &mut State, kept: &mut Kept) {
    state.restore(|spec| kept.known(spec));
    let mut overrides = Overrides::default();
    overrides.restore_id(kept.override_id_last);
    kept.overrides.drain(..).for_each(|it| overrides.restore(it));
    kept.dials.drain(..).for_each(|(region, dial)| overrides.dial(&region, dial));
    state.apply(Change::Said(overrides));
    state.restore_ramps(std::mem::take(&mut kept.ramps));
    let rows = std::mem::take(&mut kept.latency);
    state.restore_latency(&rows, clock::now(), clock::wall());
    if let Some(measured) = state.measure(clock::now()) {
        state.apply(measured);
    }
}

impl Keeping {
    /// To be called inside of the runtime.
    pub(super) fn begin(store: Option<Store>, journal: Journal, state: &State) -> Self {
        let (hooks, certificates) = (Hooks::default(), Certificates::told(&journal));
        let mut keeping = Self { journal, store, away: None, hooks, certificates, n_noted: 0 };
        keeping.follow(state);
        keeping
    }

    /// The events that webhooks have not taken, by their URLs.
    pub(super) fn untold(&self) -> Vec<(String, Vec<u64>)> {
        self.hooks.waiting()
    }

    /// How many events were taken down.
    pub(super) fn n_noted(&self) -> u64 {
        self.n_noted
    }

    /// How many events a webhook was to be told of and was not.
    pub(super) fn n_untold(&self) -> u64 {
        self.hooks.n_lost()
    }

    /// Tells webhooks what another process has not told them.
    pub(super) fn tell_untold(&self, untold: Vec<(String, Vec<u64>)>) {
        for (url, ids) in untold {
            let entry = |id: u64| self.journal.after(id.checked_sub(1)?, 1).pop();
            let is_it = |(id, entry): &(u64, Arc<Entry>)| entry.id == *id;
            let entries = ids.into_iter().filter_map(|id| Some((id, entry(id)?))).filter(is_it);
            self.hooks.resume(&url, entries.map(|(_, entry)| entry));
        }
    }

    /// Goes over to what the files say now.
    pub(super) fn follow(&mut self, state: &State) {
        let plan = state.plan();
        self.hooks.set(&plan.settings.webhooks);
        self.certificates.keep_only(&plan.probes);
        if let Some(store) = &mut self.store {
            store.watch(&plan.probes, |id| state.known(id));
        }
    }

    /// Keeps what a probe says, and takes down what it says of a certificate.
    pub(super) fn probed(&mut self, report: &Report) {
        if let Some(turn) = self.certificates.take(&report.spec, report.told.certificate) {
            self.note(turn);
        }
        if let Some(store) = &mut self.store {
            store.verdict(&report.spec, report.status, report.at);
        }
    }

    /// Takes down what changed.
    pub(super) fn note(&mut self, what: Transition) {
        let entry = self.journal.note(clock::wall(), what);
        self.n_noted += 1;
        if let Some(store) = &self.store {
            store.event(entry.clone());
        }
        self.hooks.tell(&entry);
    }

    /// Takes down that an endpoint's verdict changed.
    pub(super) fn verdict(&mut self, event: &Event) {
        let Event { from, to, probe, outcome, .. } = event;
        self.note(Transition {
            kind: EventKind::Verdict,
            subject: event.to_string(),
            from: from.to_string(),
            to: to.to_string(),
            why: format!("{probe}: {outcome}"),
        });
    }

    /// Takes down that the prober lost its sight, or has it again.
    pub(super) fn sight(&mut self, blinded: &Blinded) {
        let word = |is_blind| if is_blind { "blind" } else { "sighted" };
        let is_blind = blinded.sight.is_blind();
        self.note(Transition {
            kind: EventKind::Blind,
            subject: "prober".to_owned(),
            from: word(!is_blind).to_owned(),
            to: word(is_blind).to_owned(),
            why: blinded.evidence.to_string(),
        });
    }

    /// Takes down and keeps what happened while names were decided.
    pub(super) fn turns(&mut self, turns: Turns) {
        let Turns { events, more_events, ramps, gone } = turns;
        for event in events {
            let Transition { kind, subject, from, to, why } = &event;
            tracing::info!(%subject, %from, %to, %why, "{kind}");
            self.note(event);
        }
        if 0 < more_events {
            tracing::info!(pools = more_events, "as many more turned with these");
        }
        if let Some(store) = &self.store {
            let gone = gone.into_iter().map(|key| (key, Standing::Full));
            store.ramps(ramps.iter().map(|it| (it.key(), it.standing)).chain(gone).collect());
        }
    }

    /// Takes down that a region is given more than it can take, or is so no more.
    pub(super) fn overload(&mut self, Overload { basin, begins }: &Overload) {
        let word = |is_over| if is_over { "overloaded" } else { "within capacity" };
        // A load is computed, and not exact to its last digit.
        let load = (basin.load * 100.0).round() / 100.0;
        let of = basin.capacity.map_or_else(String::new, |it| format!(" of a capacity of {it}"));
        let why = if *begins {
            ": no other region that these clients may be sent to has room"
        } else {
            ""
        };
        self.note(Transition {
            kind: EventKind::Overload,
            subject: basin.region.to_string(),
            from: word(!begins).to_owned(),
            to: word(*begins).to_owned(),
            why: format!("a load of {load}{of}{why}"),
        });
    }

    /// Takes down that the files were read: from one snapshot to the next, or to nothing.
    pub(super) fn reload(&mut self, config: &Path, from: u64, to: &Result<u64, Vec<Complaint>>) {
        let (to, why) = match to {
            Ok(to) => (to.to_string(), "the files were read".to_owned()),
            Err(complaints) => ("refused".to_owned(), first(complaints)),
        };
        self.note(Transition {
            kind: EventKind::Reload,
            subject: config.display().to_string(),
            from: from.to_string(),
            to,
            why,
        });
    }

    /// Whether another process has the store.
    pub(super) fn is_away(&self) -> bool {
        self.away.is_some()
    }

    /// Writes what still waits, and lets another process have the store.
    pub(super) async fn release(&mut self, state: &State) {
        if let Some(store) = self.store.take() {
            self.away.clone_from(&state.plan().settings.state);
            // A writer that crashed has said so.
            let _ = spawn_blocking(|| store.close()).await;
        }
    }

    /// Takes the store back from a process that is gone, if it is.
    pub(super) async fn regain(&mut self, state: &State) {
        let Some(folder) = self.away.clone() else { return };
        let opened = spawn_blocking(move || Store::open(&folder, clock::wall())).await;
        let (store, kept) = match opened {
            Ok(Ok((store, kept, aside))) => {
                say_aside(aside.as_ref());
                (store, kept)
            }
            Ok(Err(store::Refusal::Busy(_))) | Err(_) => return,
            Ok(Err(refusal)) => {
                tracing::error!(%refusal, "the state cannot be taken back yet");
                return;
            }
        };
        // What happened meanwhile is not there yet.
        let last = kept.events.last().map_or(0, |it| it.id);
        for entry in self.journal.after(last, EVENTS_KEPT_MAX) {
            store.event(entry);
        }
        let mut ramps: HashMap<_, _> =
            kept.ramps.into_iter().map(|(key, _)| (key, Standing::Full)).collect();
        ramps.extend(state.ramps());
        store.ramps(ramps.into_iter().collect());
        (self.store, self.away) = (Some(store), None);
        self.follow(state);
    }

    /// Writes what still waits.
    pub(super) fn close(self) {
        if let Some(store) = self.store {
            store.close();
        }
    }
}

/// The first complaint, and how many there are.
fn first(complaints: &[Complaint]) -> String {
    let Some(Complaint { file, line, column, message, .. }) = complaints.first() else {
        return String::new();
    };
    let more = match complaints.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    format!("{file}:{line}:{column}: {message}{more}")
}
