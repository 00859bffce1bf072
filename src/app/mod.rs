//! The running server: the parts put together, and their life.
//!
//! ```text
//!   load -> bind -> give up root -> serve -> first round of probes -> ready
//!                                     |                                 |
//!                                     '-- control: reports, reloads ----'-- SIGTERM -> drain -> exit 0
//! ```
//!
//! From *serve* on, fixed names are answered; steered names as soon as their endpoints were probed.
//!
//! # Invariants
//!
//! - Nothing is served that `check` would complain of.
//! - No thread or task that the server needs ends unnoticed: the process ends with it, and whoever
//!   supervises it starts it again.
//! - The word `ready` is in one line of the log.
//!
//! Not here: what changes mean (`state`).

mod control;
mod files;
mod keeping;
mod operator;
mod requests;
mod user;
mod webhook;

use std::{
    io::{self, IsTerminal as _},
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::{mpsc, watch};
use tracing_subscriber::EnvFilter;

use crate::{
    api::Api,
    clock,
    compile::{self, Atlas},
    health::{self, Prober},
    limits::{API_REQUESTS_WAITING_MAX, CONTROL_THREADS, REPORTS_WAITING_MAX},
    serve::{Sockets, TcpLimits},
    state::{Publisher, State},
};
use control::{Control, End};
use files::{Fingerprint, Watch};
use keeping::Keeping;
use requests::{Door, plan_token};

/// Serves what `config` says until told to stop.
#[must_use]
pub fn serve(config: &Path) -> ExitCode {
    log_to_stderr();
    match run(config) {
        Ok(code) => code,
        Err(why) => {
            // As `check` prints it, without the dress of a log line.
            eprintln!("{}", why.trim_end());
            ExitCode::FAILURE
        }
    }
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("EVENKEEL_LOG");
    // notify warns of each folder that was removed; what that means, `files` and `compile` say.
    let filter = filter.unwrap_or_else(|_| EnvFilter::new("warn,notify=error,evenkeel=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}

/// Starts everything and stays until the end. An error is what keeps the server from starting.
fn run(config: &Path) -> Result<ExitCode, String> {
    let began = clock::wall();
    let atlas = Arc::<Atlas>::default();
    let (plan, _) = compile::load_with(config, &atlas, began);
    let plan = plan.map_err(|complaints| complaints.to_text())?;
    let seen = Fingerprint::of(&plan.sources, began);
    let sockets = Sockets::bind(&plan.settings.listen).map_err(|error| error.to_string())?;
    let door = plan.settings.api.as_ref().map(|it| Door::bind(it.listen)).transpose()?;
    raise_open_files();
    // Threads come later: each would have to give up root for itself.
    if let Some(name) = &plan.settings.user {
        if let Some(folder) = &plan.settings.state {
            user::give_state(folder, name)?;
        }
        user::become_user(name)?;
    }
    let (store, mut kept) = keeping::open(&plan.settings)?;
    let runtime = runtime().map_err(|error| format!("the system gives no threads: {error}"))?;
    let startup_wait = plan.settings.startup_wait;
    let end = runtime.block_on(async {
        let (mut state, effects) = State::begin(plan);
        keeping::restore(&mut state, &mut kept);
        let first = state.snapshot(clock::wall()).expect("the first is always new");
        let publisher = Publisher::new(first);
        let serving = sockets
            .serve(&publisher.current(), TcpLimits::default())
            .map_err(|error| format!("the system gives no threads: {error}"))?;
        let (news_in, news) = mpsc::channel(REPORTS_WAITING_MAX);
        let execute = |spec: Arc<health::ProbeSpec>| async move { health::execute(&spec).await };
        let wanted = effects.probes.unwrap_or_default();
        let known = wanted.iter().filter_map(|it| Some((it.clone(), kept.status(it)?)));
        let prober = Prober::start_from(execute, news_in, known.collect());
        prober.set(wanted, state.plan().settings.sanity.clone());
        let keeping = Keeping::begin(store, kept.take_journal(), &state);
        let (watch, changes) = Watch::begin(&state.plan().sources);
        // What changed between the reading and the watching went by unseen.
        watch.look_again();
        let (ready, readiness) = watch::channel(false);
        let token = plan_token(state.plan());
        let (token, tokens) = watch::channel(token);
        let (requests_in, requests) = mpsc::channel(API_REQUESTS_WAITING_MAX);
        let api = Api {
            snapshots: publisher.current(),
            requests: requests_in.clone(),
            ready: readiness,
            token: tokens,
        };
        let control = Control {
            config: config.to_owned(),
            atlas,
            state,
            publisher,
            prober,
            serving,
            watch,
            seen,
            keeping,
            reload: None,
            reload_again: false,
            callers: Vec::new(),
            callers_next: Vec::new(),
            api: door.map(|it| it.open(api)),
            ready,
            token,
        };
        // The sender stays, so that the loop hears of no end where there is no API.
        let _requests_in = requests_in;
        control.run(news, changes, requests, startup_wait).await
    });
    // What still runs (a drain that was cut short, a name that is looked up) is not waited for.
    runtime.shutdown_timeout(Duration::ZERO);
    end.map(|end| match end {
        End::Stopped => ExitCode::SUCCESS,
        End::Cut | End::Broken => ExitCode::FAILURE,
    })
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
}

/// Takes as many open files as the system grants: each probe and each connection is one.
fn raise_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}
