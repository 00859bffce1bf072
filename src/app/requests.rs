//! Requests: what the API asks of the control loop, and the socket that it listens on.
//!
//! Not here: who may ask, and in what form (`api`).

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use rustls::ServerConfig;
use tokio::{sync::oneshot, task::JoinHandle};

use super::control::Control;
use crate::{
    api::{self, Api, Gauges, Measured, Request, Status},
    clock,
    compile::{Plan, keys::Keys},
    config::Complaint,
};

/// Who waits for the end of a reload.
pub(super) type Caller = oneshot::Sender<Result<u64, Vec<Complaint>>>;

/// The API's socket.
pub(super) struct Door {
    listen: SocketAddr,
    address: SocketAddr,
    listener: TcpListener,
    spare: TcpListener,
}

/// The running API.
pub(super) struct Open {
    /// Where the files want it.
    listen: SocketAddr,
    /// Where it is, with the port that the kernel chose.
    pub(super) address: SocketAddr,
    /// The same socket once more, for another process.
    spare: TcpListener,
    task: JoinHandle<io::Result<()>>,
}

impl Door {
    /// Binds the socket, unless it is the one that another process has `given`, with the address that it
    /// was wanted at; port 0 is one that the kernel chooses. An error says what to do.
    pub(super) fn bind(
        listen: SocketAddr,
        given: Option<(SocketAddr, TcpListener)>,
    ) -> Result<Self, String> {
        let hint = |error: &io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => "another program has it; choose another port",
            io::ErrorKind::AddrNotAvailable => "the machine does not have this address",
            io::ErrorKind::PermissionDenied => "ports below 1024 take root or CAP_NET_BIND_SERVICE",
            _ => "choose another address",
        };
        let refused = |error: io::Error| {
            format!("`api` cannot listen on {listen}: {error}\nhint: {}", hint(&error))
        };
        let is_it = |(wanted, it): &(SocketAddr, TcpListener)| {
            *wanted == listen || it.local_addr().is_ok_and(|it| it == listen)
        };
        let listener = match given.filter(is_it) {
            Some((_, listener)) => listener,
            None => TcpListener::bind(listen).map_err(refused)?,
        };
        let address = listener.local_addr().map_err(refused)?;
        let spare = listener.try_clone().map_err(refused)?;
        Ok(Self { listen, address, listener, spare })
    }

    /// Lets callers in.
    pub(super) fn open(self, api: Api) -> Open {
        let task = tokio::spawn(api::serve(self.listener, api));
        Open { listen: self.listen, address: self.address, spare: self.spare, task }
    }
}

impl Open {
    /// The same socket once more, where it is wanted, and where it is.
    pub(super) fn share(&self) -> io::Result<(SocketAddr, SocketAddr, TcpListener)> {
        Ok((self.listen, self.address, self.spare.try_clone()?))
    }

    /// Lets nobody in any more.
    pub(super) fn close(self) {
        self.task.abort();
    }

    /// Waits until the API is no more. It goes on as long as the process, so this is a crash.
    pub(super) async fn crashed(api: &mut Option<Self>) {
        match api {
            Some(api) => drop((&mut api.task).await),
            None => std::future::pending().await,
        }
    }
}

/// What callers of the API have to know.
pub(super) fn plan_keys(plan: &Plan) -> Option<Arc<Keys>> {
    plan.settings.api.as_ref()?.keys.clone()
}

/// What connections to the API are encrypted with.
pub(super) fn plan_tls(plan: &Plan) -> Option<Arc<ServerConfig>> {
    let identity = plan.settings.api.as_ref()?.tls.as_ref()?;
    Some(api::tls(&identity.cert, &identity.key).expect("a plan has a certificate and its key"))
}

/// A complaint about something that takes another process, which can take over without a loss.
pub(super) fn takes_another(control: &Control, what: &str) -> Complaint {
    Complaint {
        hint: "start `evenkeel serve --takeover` beside this server, or put it back as it was"
            .to_owned(),
        ..complaint(control, &format!("`{what}` changed: that takes a restart"))
    }
}

/// A complaint about the whole of a file.
pub(super) fn complaint(control: &Control, message: &str) -> Complaint {
    Complaint {
        file: control.config.display().to_string(),
        line: 1,
        column: 1,
        message: message.to_owned(),
        hint: "restart the server, or put it back as it was".to_owned(),
        text: String::new(),
    }
}

impl Control {
    /// Does what the API asks for. Who asked may be gone by the time of the answer, and that is well.
    pub(super) fn answer(&mut self, request: Request) {
        match request {
            Request::Status(reply) => drop(reply.send(self.status())),
            Request::Gauges(reply) => drop(reply.send(self.gauges())),
            Request::Endpoints(concerned, reply) => {
                drop(reply.send(self.state.endpoints(&concerned)));
            }
            Request::Overrides(reply) => drop(reply.send(self.state.overrides().clone())),
            Request::Say(saying, force, reply) => {
                self.say(saying, force, reply);
            }
            Request::Foresee(saying, force, reply) => drop(reply.send(self.foresee(saying, force))),
            Request::Heartbeat(check, reply) => drop(reply.send(self.prober.heartbeat(&check))),
            Request::Reload(reply) => {
                // Files that are being read may have changed since: who asks now waits for the next.
                self.callers_next.push(reply);
                self.begin_reload(true);
            }
            Request::Events { after, limit, reply } => {
                let journal = &self.keeping.journal;
                let page = match after {
                    Some(id) => journal.after(id, limit),
                    None => journal.latest(limit),
                };
                drop(reply.send(page));
            }
            Request::Follow(after, reply) => {
                drop(reply.send(self.keeping.journal.follow(after)));
            }
            Request::Measure(samples, reply) => {
                let (now, mut measured) = (clock::now(), Measured::default());
                for (line, sample) in samples {
                    match self.state.sample(&sample, now) {
                        Ok(()) => measured.accepted += 1,
                        Err(why) => measured.refused.push((line, why.to_string())),
                    }
                }
                drop(reply.send(measured));
            }
        }
    }

    fn status(&self) -> Status {
        Status {
            ready: *self.ready.borrow(),
            blind: self.state.sight().is_blind(),
            generation: self.state.generation(),
            regions: self.state.regions(),
        }
    }

    fn gauges(&self) -> Gauges {
        Gauges {
            status: self.status(),
            verdicts: self.state.verdict_counts(),
            began: self.meters.began,
            published_at: self.meters.published_at,
            reloads: self.meters.reloads,
            reloaded_at: self.meters.reloaded_at,
            reloaded: self.meters.reloaded,
            checks: self.meters.checks(),
            overrides: self.state.overrides().iter().count(),
            events: self.keeping.n_noted(),
            untold: self.keeping.n_untold(),
        }
    }

    /// Whether the API is where a plan wants it.
    pub(super) fn api_stays(&self, plan: &Plan) -> bool {
        let wanted = plan.settings.api.as_ref().map(|it| it.listen);
        wanted == self.api.as_ref().map(|it| it.listen)
    }

    /// Tells those who wait for the reload how it ended.
    pub(super) fn tell_callers(&mut self, end: &Result<u64, Vec<Complaint>>) {
        for caller in self.callers.drain(..) {
            drop(caller.send(end.clone()));
        }
    }
}
