//! The running server: the parts put together, and their life.
//!
//! ```text
//!   load -> bind -> give up root -> serve -> first round of probes -> ready
//!                                     |                                 |
//!                                     '-- control: reports, reloads ----'-- SIGTERM -> drain -> exit 0
//! ```
//!
//! A process that takes over is given the sockets instead of binding them, hears before *serve* what
//! the running one knows, and needs no first round (`takeover`).
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

mod certificates;
mod control;
mod files;
mod keeping;
mod meters;
mod operator;
mod requests;
mod takeover;
mod user;
mod webhook;

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _},
    net::SocketAddr,
    os::unix::net::UnixListener,
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::sync::{mpsc, watch};
use tracing_subscriber::EnvFilter;

use crate::{
    api::Api,
    clock,
    compile::{self, Memory, Plan, Settings, UdpSettings},
    health::{self, Prober},
    limits::{API_REQUESTS_WAITING_MAX, CONTROL_THREADS, REPORTS_WAITING_MAX},
    serve::{Passed, Serving, Sockets, TcpLimits, UdpOptions},
    state::{Change, Publisher, State, store::Store},
};
use control::{Control, End};
use files::{Fingerprint, Watch};
use keeping::Keeping;
use meters::Meters;
use operator::Sayings;
use requests::{Door, plan_keys, plan_tls};
use takeover::{Bells, Given, Host, Inherited};

/// Serves what `config` says until told to stop, in the place of the server that runs, if it is to take
/// over.
#[must_use]
pub fn serve(config: &Path, takes_over: bool) -> ExitCode {
    log_to_stderr();
    match run(config, takes_over) {
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
        .with_ansi(in_colour(io::stderr().is_terminal(), std::env::var_os("NO_COLOR")))
        .init();
}

/// Whether the log is in colour: on a terminal, unless `NO_COLOR` is set and not empty.
fn in_colour(is_terminal: bool, no_color: Option<OsString>) -> bool {
    is_terminal && no_color.is_none_or(|it| it.is_empty())
}

/// Starts everything and stays until the end. An error is what keeps the server from starting.
fn run(config: &Path, takes_over: bool) -> Result<ExitCode, String> {
    let began = clock::wall();
    let memory = Arc::<Memory>::default();
    let loaded = compile::load_with(config, &memory, began);
    let (plan, seen) = Fingerprint::of(loaded, began);
    let plan = plan.map_err(|complaints| complaints.to_text())?;
    let seen = Arc::new(seen);
    raise_open_files();
    let called = if takes_over { takeover::call(&plan.settings)? } else { None };
    let (host, given) = called.unzip();
    let ground = Ground::take(&plan.settings, host, given.unwrap_or_default())?;
    // Threads come later: each would have to give up root for itself.
    if let Some(name) = &plan.settings.user {
        if let Some(folder) = &plan.settings.state {
            user::give_state(folder, name)?;
        }
        user::become_user(name)?;
    }
    let runtime = runtime().map_err(no_threads)?;
    let end = runtime.block_on(live(config, memory, plan, seen, ground));
    // What still runs (a drain that was cut short, a name that is looked up) is not waited for.
    runtime.shutdown_timeout(Duration::ZERO);
    end.map(|end| match end {
        End::Stopped => ExitCode::SUCCESS,
        End::Cut | End::Broken => ExitCode::FAILURE,
    })
}

/// What the server stands on: bound, or taken from the server that runs.
struct Ground {
    host: Option<Host>,
    /// The addresses that were taken from it.
    taken: Vec<SocketAddr>,
    sockets: Sockets,
    door: Option<Door>,
    bells: Vec<(SocketAddr, UnixListener)>,
}

impl Ground {
    fn take(settings: &Settings, host: Option<Host>, mut given: Given) -> Result<Self, String> {
        let mut taken = given.addresses();
        let passed = add_passed(&mut given, settings);
        let bound = passed.and_then(|()| {
            Sockets::bind_beside(&settings.listen, udp_options(&settings.udp), given.bound)
        });
        let sockets = bound.map_err(|error| error.to_string())?;
        taken.retain(|it| sockets.addresses().contains(it));
        let door = settings.api.as_ref().map(|it| Door::bind(it.listen, given.api)).transpose()?;
        Ok(Self { host, taken, sockets, door, bells: given.bells })
    }
}

/// Adds what the service manager passes; where a server runs whose place is taken, its sockets come
/// first.
fn add_passed(given: &mut Given, settings: &Settings) -> io::Result<()> {
    let mut passed = Passed::take()?;
    given.bound.extend(passed.bound(&settings.listen, &udp_options(&settings.udp))?);
    if let Some(api) = &settings.api
        && let Some(listener) = passed.listener(api.listen)
    {
        given.api.get_or_insert((api.listen, listener));
    }
    passed.end()
}

/// From the first answer to the end.
async fn live(
    config: &Path,
    memory: Arc<Memory>,
    plan: Plan,
    seen: Arc<Fingerprint>,
    ground: Ground,
) -> Result<End, String> {
    let Ground { host, taken, sockets, door, bells } = ground;
    let mut bells = Bells::hang(sockets.addresses(), bells);
    let startup_wait = plan.settings.startup_wait;
    let (mut state, effects) = State::begin(plan);
    let (store, mut inherited) = inherit(host.as_ref(), &mut state)?;
    keeping::restore(&mut state, &mut inherited.kept);
    if inherited.ready {
        state.apply(Change::WarmedUp);
    }
    let first = state.snapshot(clock::wall()).expect("the first is always new");
    let publisher = Publisher::new(first);
    let (news_in, news) = mpsc::channel(REPORTS_WAITING_MAX);
    // It waits until it is told what to probe. Where there is no thread for it, no place is taken.
    let past = std::mem::take(&mut inherited.past);
    let prober = Prober::start_alone(execute, news_in, past).map_err(no_threads)?;
    let serving = sockets.serve(&publisher.current(), TcpLimits::default()).map_err(no_threads)?;
    serving.registry().go_on_from(inherited.counted());
    state.count_in(serving.registry().clone());
    let (serving, before) = match host {
        Some(host) => succeed(host, serving, &taken)?,
        None => (serving, None),
    };
    let journal = inherited.take_journal();
    prober.set(effects.probes.unwrap_or_default(), state.plan().settings.sanity.clone());
    let keeping = Keeping::begin(store, journal, &state);
    keeping.tell_untold(inherited.untold);
    let (watch, changes) = Watch::begin(seen.folders());
    // What changed between the reading and the watching went by unseen.
    watch.look_again();
    let (ready, readiness) = watch::channel(false);
    let (keys_in, keys) = watch::channel(plan_keys(state.plan()));
    let (tls_in, tls) = watch::channel(plan_tls(state.plan()));
    let (requests_in, requests) = mpsc::channel(API_REQUESTS_WAITING_MAX);
    let api = Api {
        snapshots: publisher.current(),
        registry: serving.registry().clone(),
        since: inherited.since,
        requests: requests_in.clone(),
        ready: readiness,
        keys,
        tls,
    };
    let (visitors_in, visitors) = mpsc::channel(1);
    bells.listen(&visitors_in);
    let control = Control {
        config: config.to_owned(),
        memory,
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
        sayings: Sayings::default(),
        ready,
        keys: keys_in,
        tls: tls_in,
        bells,
        before,
        meters: Meters::begin(inherited.since, clock::wall()),
        guest: None,
    };
    // The sender stays, so that the loop hears of no end where there is no API.
    let _requests_in = requests_in;
    control.run(news, changes, requests, visitors, startup_wait).await
}

/// Opens the store, and goes on from what is in it, or from what the server that runs knows.
fn inherit(host: Option<&Host>, state: &mut State) -> Result<(Option<Store>, Inherited), String> {
    // It closes the store before it tells what it knows.
    let told = host.map(|host| host.ask(state)).transpose()?;
    let (store, kept) = keeping::open(&state.plan().settings)?;
    let of_restart = || {
        let past = keeping::past(&kept, state.plan());
        Inherited::kept(kept, past)
    };
    Ok((store, told.unwrap_or_else(of_restart)))
}

/// Tells the server that runs that this one answers, which makes it leave.
fn succeed(
    host: Host,
    serving: Serving,
    taken: &[SocketAddr],
) -> Result<(Serving, Option<watch::Receiver<()>>), String> {
    if let Err(why) = host.serving(taken.to_vec()) {
        // It goes on with the same sockets: what is queued there is for it.
        let (nobody, _) = mpsc::channel(1);
        let _ = serving.leave(taken, nobody);
        return Err(why);
    }
    control::tell(&[NotifyState::MainPid(std::process::id())]);
    let before = host.follow(&serving);
    Ok((serving, Some(before)))
}

async fn execute(spec: Arc<health::ProbeSpec>) -> health::Executed {
    health::execute_and_hear(&spec).await
}

/// How packets are taken in, with the defaults for what the operator does not say.
fn udp_options(udp: &UdpSettings) -> UdpOptions {
    let default = UdpOptions::default();
    let per_core = Some(udp.cores.len()).filter(|n_cores| *n_cores != 0);
    UdpOptions {
        threads: udp.threads.or(per_core).unwrap_or(default.threads),
        cores: udp.cores.clone(),
        receive_buffer_len: udp.receive_buffer_len.unwrap_or(default.receive_buffer_len),
        send_buffer_len: udp.send_buffer_len,
        busy_poll: udp.busy_poll,
    }
}

#[allow(clippy::needless_pass_by_value)] // As errors are mapped.
fn no_threads(error: io::Error) -> String {
    format!("the system gives no threads: {error}")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        assert!(in_colour(true, None));
        assert!(in_colour(true, Some("".into())));
        assert!(!in_colour(true, Some("1".into())));
        assert!(!in_colour(false, None));
    }
}
