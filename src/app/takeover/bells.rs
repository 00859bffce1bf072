//! The bells: where the next process is heard of, one for each address that is listened on.
//!
//! *Not here:* what becomes of who is let in (`giving`).

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    os::unix::net::{UnixListener as StdListener, UnixStream as StdStream},
};

use nix::unistd::Uid;
use tokio::{net::UnixListener, sync::mpsc, task::JoinHandle, time::sleep};

use super::line::{self, Line};
use crate::limits::TCP_ACCEPT_WAIT;

/// A process that has rung, and may take over.
#[derive(Debug)]
pub(in crate::app) struct Visitor {
    pub(super) line: Line,
    user: Uid,
    pub(super) id: u32,
}

/// The bells of a server.
#[derive(Debug, Default)]
pub(in crate::app) struct Bells {
    listeners: Vec<(SocketAddr, StdListener)>,
    tasks: Vec<JoinHandle<()>>,
}

impl Bells {
    /// Those of these addresses: what another process has `given`, and new ones for the others. A
    /// server without is one that nobody can take over, and that is no reason not to serve.
    pub(in crate::app) fn hang(
        addresses: &[SocketAddr],
        mut given: Vec<(SocketAddr, StdListener)>,
    ) -> Self {
        let mut bells = Self::default();
        for address in addresses {
            let bell = match given.iter().position(|(it, _)| it == address) {
                Some(idx) => Ok(given.swap_remove(idx).1),
                None => line::listen(*address),
            };
            match bell {
                Ok(listener) => bells.listeners.push((*address, listener)),
                Err(error) if error.kind() == ErrorKind::AddrInUse => tracing::warn!(
                    %address,
                    "another process has the name of this server: it cannot be taken over"
                ),
                Err(error) => tracing::warn!(%address, %error, "it cannot be taken over"),
            }
        }
        bells
    }

    /// Tells who rings. To be called inside of the runtime.
    pub(in crate::app) fn listen(&mut self, visitors: &mpsc::Sender<Visitor>) {
        let listeners = self.listeners.iter().map(|(_, it)| it.try_clone());
        for listener in listeners {
            match listener.and_then(UnixListener::from_std) {
                Ok(it) => self.tasks.push(tokio::spawn(let_in(it, visitors.clone()))),
                Err(error) => tracing::warn!(%error, "it cannot be taken over"),
            }
        }
    }

    /// The same once more, for another process.
    pub(super) fn share(&self) -> io::Result<Vec<(SocketAddr, StdListener)>> {
        self.listeners.iter().map(|(address, it)| Ok((*address, it.try_clone()?))).collect()
    }

    /// From now on another process is rung at.
    pub(super) fn silence(&mut self) {
        self.tasks.drain(..).for_each(|task| task.abort());
        self.listeners.clear();
    }
}

/// Lets in who may take over. Who may not is sent away without a word, and is a moment later than
/// others: nobody fills the log or the control loop by ringing.
async fn let_in(listener: UnixListener, visitors: mpsc::Sender<Visitor>) {
    loop {
        let visitor = match listener.accept().await {
            Ok((stream, _)) => stream.into_std().and_then(Visitor::of),
            Err(error) => Err(error),
        };
        match visitor {
            Ok(visitor) if visitor.may_take_over() => {
                if visitors.send(visitor).await.is_err() {
                    return;
                }
                continue;
            }
            Ok(Visitor { user, id, .. }) => {
                tracing::warn!(%user, process = id, "who wants to take over is of another user");
            }
            Err(error) => tracing::warn!(%error, "no takeover is accepted for a moment"),
        }
        sleep(TCP_ACCEPT_WAIT).await;
    }
}

impl Visitor {
    fn of(stream: StdStream) -> io::Result<Self> {
        let line = Line::of(stream)?;
        let (user, id) = line.peer()?;
        Ok(Self { line, user, id })
    }

    fn may_take_over(&self) -> bool {
        self.user == Uid::effective() || self.user.is_root()
    }
}
