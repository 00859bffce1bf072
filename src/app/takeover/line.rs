//! The line between the two processes: messages, sockets that come with them, and who is at the
//! other end.
//!
//! ```text
//!   length (4 octets, with which the sockets come) | a message as JSON
//! ```
//!
//! The name on which a server is reached is `evenkeel/takeover/ADDRESS`, once for each address that it
//! listens on, in the kernel's namespace of abstract names. That is the one of the ports themselves:
//! who could not see the port does not see the name. It needs no folder and no rights, and is gone
//! with the server. Anybody may speak on it; who is nobody is not heard.
//!
//! # Invariants
//!
//! - Nothing is said to, and nothing believed of, a process of another user, but root.
//! - Each wait has an end.
//!
//! *Not here:* what is said (`letter`), and what it means (`giving`, `taking`).

use std::{
    io::{self, ErrorKind, IoSlice, IoSliceMut, Read as _, Write as _},
    mem::MaybeUninit,
    net::{Shutdown, SocketAddr},
    os::{
        fd::{BorrowedFd, OwnedFd},
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr as UnixAddr, UnixListener, UnixStream},
    },
    time::Duration,
};

use nix::{
    sys::socket::{getsockopt, sockopt::PeerCredentials},
    unistd::Uid,
};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::letter::Message;
use crate::limits::{
    TAKEOVER_GREETING_WAIT_MAX, TAKEOVER_MESSAGE_LEN_MAX, TAKEOVER_SOCKETS_PER_MESSAGE,
};

const LENGTH_LEN: usize = 4;

/// One end of the line.
#[derive(Debug)]
pub(super) struct Line(UnixStream);

/// The name on which a server that listens on `address` is reached.
fn name(address: SocketAddr) -> io::Result<UnixAddr> {
    UnixAddr::from_abstract_name(format!("evenkeel/takeover/{address}"))
}

/// Makes the server that listens on `address` reachable.
pub(super) fn listen(address: SocketAddr) -> io::Result<UnixListener> {
    let listener = UnixListener::bind_addr(&name(address)?)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl Line {
    /// Reaches the server that listens on `address`; none: there is none.
    pub(super) fn to(address: SocketAddr) -> io::Result<Option<Self>> {
        match UnixStream::connect_addr(&name(address)?) {
            Ok(stream) => Ok(Some(Self(stream))),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The end of a line that another process has called on.
    pub(super) fn of(stream: UnixStream) -> io::Result<Self> {
        // Those of tokio are the other way.
        stream.set_nonblocking(false)?;
        Ok(Self(stream))
    }

    /// Who is at the other end.
    pub(super) fn peer(&self) -> io::Result<(Uid, u32)> {
        let peer = getsockopt(&self.0, PeerCredentials)?;
        // One that is not to be seen from here is 0.
        Ok((Uid::from_raw(peer.uid()), u32::try_from(peer.pid()).unwrap_or(0)))
    }

    /// From now on no wait is longer.
    pub(super) fn be_patient_for(&self, wait: Duration) -> io::Result<()> {
        self.0.set_read_timeout(Some(wait))?;
        self.0.set_write_timeout(Some(wait))
    }

    pub(super) fn say(&self, message: &Message) -> io::Result<()> {
        self.give(message, &[])
    }

    /// Says something and gives sockets along with it.
    pub(super) fn give(&self, message: &Message, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
        assert!(sockets.len() <= TAKEOVER_SOCKETS_PER_MESSAGE);
        let text = message.to_octets();
        let len = u32::try_from(text.len()).map_err(io::Error::other)?.to_be_bytes();
        let mut space =
            [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(TAKEOVER_SOCKETS_PER_MESSAGE))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !sockets.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(sockets)), "there is room");
        }
        let sent = sendmsg(&self.0, &[IoSlice::new(&len)], &mut control, SendFlags::NOSIGNAL)?;
        (&self.0).write_all(&len[sent..])?;
        (&self.0).write_all(&text)
    }

    /// Says that nothing comes of it, and waits a moment for the other end to hear that: a line that is
    /// cut with something unheard on it takes what was said along.
    pub(super) fn refuse(&self, why: &str, hint: &str) -> io::Result<()> {
        self.be_patient_for(TAKEOVER_GREETING_WAIT_MAX)?;
        self.say(&Message::No { why: why.to_owned(), hint: hint.to_owned() })?;
        self.0.shutdown(Shutdown::Write)?;
        while self.hear()?.is_some() {}
        Ok(())
    }

    /// Waits for a message; none: the other end is gone.
    pub(super) fn hear(&self) -> io::Result<Option<(Message, Vec<OwnedFd>)>> {
        let mut sockets = Vec::new();
        let mut len = [0; LENGTH_LEN];
        let mut filled = 0;
        while filled < LENGTH_LEN {
            match self.receive(&mut len[filled..], &mut sockets)? {
                0 => return Ok(None),
                more => filled += more,
            }
        }
        let len = u32::from_be_bytes(len) as usize;
        if TAKEOVER_MESSAGE_LEN_MAX < len {
            return Err(io::Error::other("a message is longer than any"));
        }
        let mut text = Vec::new();
        (&self.0).take(len as u64).read_to_end(&mut text)?;
        if text.len() < len {
            return Ok(None);
        }
        Ok(Some((Message::of_octets(&text)?, sockets)))
    }

    fn receive(&self, octets: &mut [u8], sockets: &mut Vec<OwnedFd>) -> io::Result<usize> {
        let mut space =
            [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(TAKEOVER_SOCKETS_PER_MESSAGE))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let iov = &mut [IoSliceMut::new(octets)];
        let received = recvmsg(&self.0, iov, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(given) = message {
                sockets.extend(given);
            }
        }
        Ok(received.bytes)
    }
}
