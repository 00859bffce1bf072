//! Keeping: what happens is taken down, kept over a restart, and told to whoever wants to hear of it.
//!
//! Not here: what happens (`control`), how it is kept (`state::store`) and told (`webhook`, `api`).

use std::path::Path;

use super::webhook::Hooks;
use crate::{
    clock,
    compile::{EventKind, Settings},
    config::Complaint,
    health::{Blinded, Report},
    state::{
        Change, Event, Overrides, State, Turns,
        journal::{Journal, Transition},
        store::{Kept, Store},
    },
};

/// The journal, and where its entries go.
pub(super) struct Keeping {
    pub(super) journal: Journal,
    /// None: nothing survives a restart.
    pub(super) store: Option<Store>,
    hooks: Hooks,
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
    if let Some(aside) = aside {
        tracing::error!(
            set_aside = %aside.path.display(),
            why = %aside.why,
            "the state cannot be read: the server starts without it, overrides and dials do not hold"
        );
    }
    Ok((Some(store), kept))
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
        let mut keeping = Self { journal, store, hooks: Hooks::default() };
        keeping.follow(state);
        keeping
    }

    /// Goes over to what the files say now.
    pub(super) fn follow(&mut self, state: &State) {
        let plan = state.plan();
        self.hooks.set(&plan.settings.webhooks);
        if let Some(store) = &mut self.store {
            store.watch(&plan.probes, |id| state.known(id));
        }
    }

    /// Keeps what a probe says.
    pub(super) fn probed(&mut self, report: &Report) {
        if let Some(store) = &mut self.store {
            store.verdict(&report.spec, report.status, report.at);
        }
    }

    /// Takes down what changed.
    pub(super) fn note(&mut self, what: Transition) {
        let entry = self.journal.note(clock::wall(), what);
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
        let Turns { events, more_events, ramps } = turns;
        for event in events {
            let Transition { kind, subject, from, to, why } = &event;
            tracing::info!(%subject, %from, %to, %why, "{kind}");
            self.note(event);
        }
        if 0 < more_events {
            tracing::info!(pools = more_events, "as many more turned with these");
        }
        if let Some(store) = &self.store {
            store.ramps(ramps);
        }
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
