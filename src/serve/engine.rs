//! The engine: from a batch of questions to the batch of their replies, bytes to bytes.
//!
//! ```text
//!   Frames -> packet -> gate -> wire::query -> answer -> wire::reply -> packet -> Frames
//!                        |          |
//!                     silence    FORMERR, NOTIMP
//! ```
//!
//! # Invariants
//!
//! - One engine belongs to one thread at a time. It knows no sockets: a driver has [`Frames`], where
//!   it finds questions and leaves replies.
//! - A panic loses the one question it happened at, and the batch goes on with the next. What an engine or a snapshot holds cannot be
//!   left half-changed by it: the one is filled anew for each question, the other never changes.
//!
//! Not here: what is said (`answer`).

use std::{
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use crate::{
    answer::answer,
    clock,
    counters::Counters,
    dice::Dice,
    limits::{PANIC_LOG_EVERY, TCP_MESSAGE_LEN_MAX, UDP_REPLY_LEN_MAX, UDP_REPLY_LEN_MIN},
    snapshot::Snapshot,
    wire::{Folded, Query, Refusal, Reply, Transport, query, query::HEADER_LEN, reply},
};

/// Who asks, and how.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// What the question came over.
    pub transport: Transport,
}

/// A batch, as a driver holds it.
///
/// Questions and replies stay in the memory that the driver has them in: a datagram's buffer, a
/// connection's, or a ring that is shared with the kernel.
pub trait Frames {
    /// The next question; none at the end of the batch.
    fn next(&mut self) -> Option<Frame<'_>>;

    /// The question that came last, and who asked it: one came.
    fn last(&mut self) -> (&[u8], Client);

    /// Takes the first octets of the reply to the question that came last. Without a call there is
    /// none.
    fn take(&mut self, reply_len: usize);
}

/// One question, and the place for its reply.
#[derive(Debug)]
pub struct Frame<'f> {
    /// The message.
    pub question: &'f [u8],
    /// Who asks, and how.
    pub client: Client,
    /// `UDP_REPLY_LEN_MAX` octets or more, over TCP `TCP_MESSAGE_LEN_MAX`, of anything.
    pub reply: &'f mut [u8],
}

/// One thread's means of answering.
#[derive(Debug)]
pub struct Engine {
    dice: Dice,
    /// The name asked for.
    name: Folded,
    /// When a panic was last logged.
    panic_logged: Option<Instant>,
}

impl Default for Engine {
    fn default() -> Self {
        Self { dice: Dice::from_os(), name: Folded::default(), panic_logged: None }
    }
}

impl Engine {
    /// Answers a batch from one snapshot. A panic is caught: that question gets no reply, and is
    /// counted and logged.
    pub fn respond_all(
        &mut self,
        snapshot: &Snapshot,
        frames: &mut impl Frames,
        counters: &Counters,
    ) {
        counters.reach(snapshot.n_cells);
        loop {
            let all = isolate(|| {
                while let Some(frame) = frames.next() {
                    let reply_len = self.respond_to(snapshot, frame, counters);
                    if 0 < reply_len {
                        frames.take(reply_len);
                    }
                }
            });
            if all.is_some() {
                return;
            }
            let (question, client) = frames.last();
            counters.panic(client.transport);
            self.log_panic(question, client);
        }
    }

    /// Answers the message `packet` into `reply` as a batch of its own, and says how long the reply
    /// is; 0: say nothing.
    pub fn respond(
        &mut self,
        snapshot: &Snapshot,
        packet: &[u8],
        client: Client,
        reply: &mut [u8],
        counters: &Counters,
    ) -> usize {
        let mut alone = Alone { question: packet, client, reply, is_asked: false, reply_len: 0 };
        self.respond_all(snapshot, &mut alone, counters);
        alone.reply_len
    }

    /// Answers one question and says how long the reply is; 0: say nothing.
    #[inline(always)]
    fn respond_to(&mut self, snapshot: &Snapshot, frame: Frame<'_>, counters: &Counters) -> usize {
        let Frame { question, client, reply: buffer } = frame;
        let transport = client.transport;
        // Looked at where it is: it is too much to be moved.
        let parsed = query::parse(question, &mut self.name);
        let query = match &parsed {
            Ok(query) => query,
            Err(Refusal::Ignore) => {
                counters.ignored(transport, question.len() < HEADER_LEN);
                return 0;
            }
            Err(Refusal::Reply(rcode)) => {
                counters.reply(transport, None, *rcode);
                return reply::bare(question, *rcode, buffer);
            }
        };
        let mut reply = Reply::new(buffer, reply_len_max(query, transport), query);
        let roll = self.dice.roll();
        let rcode = answer(snapshot, query, client.address, roll, counters, &mut reply);
        counters.reply(transport, Some(query.qtype), rcode);
        if let Some(edns) = &query.edns
            && edns.subnet.is_some()
        {
            counters.subnet_sent();
        }
        if reply.is_truncated() {
            counters.truncated();
        }
        reply.finish(rcode, query)
    }

    /// Says which question it was, so that it can be asked again; not more often than the log can
    /// bear.
    fn log_panic(&mut self, packet: &[u8], client: Client) {
        let now = clock::now();
        let is_due = |last: Instant| PANIC_LOG_EVERY <= now.saturating_duration_since(last);
        if self.panic_logged.is_none_or(is_due) {
            self.panic_logged = Some(now);
            tracing::error!(
                client = %client.address,
                packet = %packet.escape_ascii(),
                "a question was lost to a bug, please report it"
            );
        }
    }
}

/// A batch of one.
struct Alone<'f> {
    question: &'f [u8],
    client: Client,
    reply: &'f mut [u8],
    is_asked: bool,
    reply_len: usize,
}

impl Frames for Alone<'_> {
    fn next(&mut self) -> Option<Frame<'_>> {
        let Self { question, client, .. } = *self;
        let is_new = !std::mem::replace(&mut self.is_asked, true);
        is_new.then_some(Frame { question, client, reply: self.reply })
    }

    fn last(&mut self) -> (&[u8], Client) {
        (self.question, self.client)
    }

    fn take(&mut self, reply_len: usize) {
        self.reply_len = reply_len;
    }
}

/// Octets that a reply may have.
fn reply_len_max(query: &Query<'_>, transport: Transport) -> usize {
    match (transport, &query.edns) {
        (Transport::Tcp, _) => TCP_MESSAGE_LEN_MAX,
        (Transport::Udp, None) => UDP_REPLY_LEN_MIN,
        // Values below 512 are taken as 512 (RFC 6891 section 6.2.3).
        (Transport::Udp, Some(edns)) => {
            usize::from(edns.payload_len).clamp(UDP_REPLY_LEN_MIN, UDP_REPLY_LEN_MAX)
        }
    }
}

/// Runs `work`; none when it panicked.
fn isolate<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_contained() {
        assert_eq!(isolate(|| 7), Some(7));
        assert_eq!(isolate(|| -> u8 { panic!("on purpose") }), None);
    }
}
