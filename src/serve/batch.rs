//! Batches: many packets in and out of a UDP socket with one system call each.
//!
//! ```text
//!   recvmmsg -> slot 0..n  question, source, the address it came to
//!                  |  the caller writes a reply into its slot and queues it
//!   sendmmsg <- the queued replies, each from the address its question came to
//! ```
//!
//! This is the one module with `unsafe`: no crate offers both calls safely with a source address
//! per reply (nix shares it over the batch, rustix has no recvmmsg, quinn-udp no sendmmsg). What it
//! offers is safe: no use of its functions, in any order, reads or writes outside the buffers.
//!
//! # Invariants
//!
//! - All memory is one allocation, the [`Arena`], made once. The headers in it hold pointers into
//!   it, all derived from the raw pointer that the allocation was turned into; everything in it is
//!   reached through that pointer for as long as it lives. Moving a [`Batch`] moves no arena.
//! - A reference into the arena lives no longer than the borrow of the [`Batch`], and no reference
//!   lives across a system call.
//! - What the kernel overwrites in a header (lengths, flags) is restored before its next use.
//! - A reply that the kernel does not take is skipped: it is lost alone.
//! - The two calls are made without the C library's functions of their names: those are points at
//!   which a thread can be cancelled, which nobody does here, and seeing to it takes them longer than
//!   all else that is done for a packet in this module.
//!
//! `passed` is beside it for the same reason: descriptors that come as numbers are taken on trust.
//!
//! Not here: how sockets are made and what threads do (`udp`).
#![allow(unsafe_code)]
// Lengths of structs and batches go into C's integer types, whose widths differ between C libraries;
// the greatest of them is asserted below to be small.
#![allow(clippy::cast_possible_truncation, clippy::unnecessary_cast)]

pub(super) mod passed;

use std::{
    io,
    mem::{offset_of, size_of},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsRawFd, BorrowedFd},
    ptr::{self, NonNull},
};

use libc::{c_int, c_void};

use crate::limits::{UDP_BATCH_LEN, UDP_QUERY_LEN_MAX, UDP_REPLY_LEN_MAX};

/// Octets from one question's buffer to the next. A power of two would put the beginnings of all
/// questions into the same few sets of the processor's cache; a line more spreads them.
const QUERY_STRIDE: usize = UDP_QUERY_LEN_MAX + 64;

/// Octets of the ancillary data of one packet: its destination, IPv6 being the longer.
// SAFETY: `CMSG_SPACE` computes with its argument and touches no memory.
const CONTROL_LEN: usize =
    unsafe { libc::CMSG_SPACE(size_of::<libc::in6_pktinfo>() as libc::c_uint) } as usize;

/// Buffers for one batch of questions and their replies.
#[derive(Debug)]
pub struct Batch {
    /// Owned: from `Box::into_raw`, given back in `drop`.
    arena: NonNull<Arena>,
    /// Slots that hold a question; at most `UDP_BATCH_LEN`.
    received: usize,
    /// Replies queued; at most `UDP_BATCH_LEN`.
    queued: usize,
}

/// One question, and the place for its reply.
#[derive(Debug)]
pub struct Slot<'a> {
    /// The datagram, or its first `UDP_QUERY_LEN_MAX` octets.
    pub question: &'a [u8],
    /// Whether the datagram was longer than that.
    pub cut: bool,
    /// Who sent it.
    pub source: IpAddr,
    /// `UDP_REPLY_LEN_MAX` octets, with what is left from an earlier batch.
    pub reply: &'a mut [u8],
}

struct Arena {
    incoming: [libc::mmsghdr; UDP_BATCH_LEN],
    incoming_spans: [libc::iovec; UDP_BATCH_LEN],
    outgoing: [libc::mmsghdr; UDP_BATCH_LEN],
    outgoing_spans: [libc::iovec; UDP_BATCH_LEN],
    sources: [Source; UDP_BATCH_LEN],
    controls: [Control; UDP_BATCH_LEN],
    questions: [[u8; QUERY_STRIDE]; UDP_BATCH_LEN],
    replies: [[u8; UDP_REPLY_LEN_MAX]; UDP_BATCH_LEN],
}

/// A socket address of either family. The kernel writes at most `size_of::<Source>()` octets.
#[derive(Clone, Copy)]
#[repr(C)]
union Source {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

/// Ancillary data, aligned as `cmsghdr` wants it.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_LEN]);

// SAFETY: the arena belongs to this value alone, and nothing in it is bound to a thread.
unsafe impl Send for Batch {}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// Allocates the buffers.
    #[must_use]
    pub fn new() -> Self {
        // SAFETY: all bits zero is a value of every type in an `Arena`: integers, arrays of them,
        // null pointers, and a union of structs of integers.
        let arena = unsafe { Box::<Arena>::new_zeroed().assume_init() };
        let arena = NonNull::from(Box::leak(arena));
        let batch = Self { arena, received: 0, queued: 0 };
        let memory = arena.as_ptr();
        for idx in 0..UDP_BATCH_LEN {
            // SAFETY: `memory` is a live allocation that nothing else refers to; `idx` is within
            // the arrays. Every place is reached from `memory` itself, so the pointers that are
            // stored stay good for as long as the allocation is only used through `memory`.
            unsafe {
                let span = &raw mut (*memory).incoming_spans[idx];
                (*span).iov_base = (&raw mut (*memory).questions[idx]).cast();
                (*span).iov_len = UDP_QUERY_LEN_MAX;
                let header = &raw mut (*memory).incoming[idx].msg_hdr;
                (*header).msg_name = (&raw mut (*memory).sources[idx]).cast();
                (*header).msg_iov = span;
                (*header).msg_iovlen = 1;
                (*header).msg_control = (&raw mut (*memory).controls[idx]).cast();
                let header = &raw mut (*memory).outgoing[idx].msg_hdr;
                (*header).msg_iov = &raw mut (*memory).outgoing_spans[idx];
                (*header).msg_iovlen = 1;
            }
            batch.restore(idx);
        }
        batch
    }

    /// Takes what waits at `socket`, at most `UDP_BATCH_LEN` packets, and says how many came. With
    /// nothing there a blocking socket waits for one packet or its read timeout.
    ///
    /// 0 is: nothing came in time, or a signal did. The slots of the batch before are gone, and so
    /// are replies that were queued and not sent.
    ///
    /// # Errors
    ///
    /// What `recvmmsg(2)` says, but for the timeout and the signal.
    #[inline]
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.receive_with(socket, libc::MSG_WAITFORONE)
    }

    /// The same of what is there already: with nothing it does not wait.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive) has them.
    pub fn poll(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.receive_with(socket, libc::MSG_DONTWAIT)
    }

    #[inline(always)]
    fn receive_with(&mut self, socket: BorrowedFd<'_>, flags: c_int) -> io::Result<usize> {
        // And one more: a call that ended with an error may have begun with the next header.
        for idx in 0..(self.received + 1).min(UDP_BATCH_LEN) {
            self.restore(idx);
        }
        (self.received, self.queued) = (0, 0);
        // SAFETY: `incoming` holds `UDP_BATCH_LEN` headers whose pointers and lengths `new` and
        // `restore` have set to buffers of the arena, which is live and not referred to now.
        let count = unsafe {
            libc::syscall(
                libc::SYS_recvmmsg,
                socket.as_raw_fd(),
                &raw mut (*self.arena.as_ptr()).incoming,
                UDP_BATCH_LEN,
                flags,
                ptr::null_mut::<libc::timespec>(),
            )
        };
        let Ok(count) = usize::try_from(count) else {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(0),
                _ => Err(error),
            };
        };
        assert!(count <= UDP_BATCH_LEN, "the kernel fills no more headers than it was given");
        self.received = count;
        Ok(count)
    }

    /// The question at `idx`, below what `receive` said.
    #[must_use]
    #[inline(always)]
    pub fn slot(&mut self, idx: usize) -> Slot<'_> {
        assert!(idx < self.received);
        let memory = self.arena.as_ptr();
        // SAFETY: `idx` is within the arrays, and the references made here are to different fields
        // and live no longer than the exclusive borrow of `self`. Any bytes are a `u8`. The
        // kernel, or zeroing, has initialised the source.
        unsafe {
            let header = &(*memory).incoming[idx];
            let len = (header.msg_len as usize).min(UDP_QUERY_LEN_MAX);
            let question: &[u8; QUERY_STRIDE] = &(*memory).questions[idx];
            Slot {
                question: &question[..len],
                cut: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
                source: (*memory).sources[idx].address(),
                reply: &mut (*memory).replies[idx],
            }
        }
    }

    /// Queues the first `len` octets of the reply in slot `idx`; once per slot.
    #[inline(always)]
    pub fn queue(&mut self, idx: usize, len: usize) {
        assert!(idx < self.received && len <= UDP_REPLY_LEN_MAX);
        assert!(self.queued < UDP_BATCH_LEN, "a slot is queued once");
        let memory = self.arena.as_ptr();
        // SAFETY: both indexes are within the arrays, no reference into the arena is live, and the
        // pointers are derived from `memory` as in `new`. `msg_namelen` is what the kernel made
        // of it, at most the size of a `Source`; the ancillary data is as `destination` left it.
        unsafe {
            let span = &raw mut (*memory).outgoing_spans[self.queued];
            (*span).iov_base = (&raw mut (*memory).replies[idx]).cast();
            (*span).iov_len = len;
            let question = &raw mut (*memory).incoming[idx].msg_hdr;
            let reply = &raw mut (*memory).outgoing[self.queued].msg_hdr;
            (*reply).msg_name = (*question).msg_name;
            (*reply).msg_namelen = (*question).msg_namelen;
            if from_where_it_came_to(question) {
                (*reply).msg_control = (*question).msg_control;
                (*reply).msg_controllen = (*question).msg_controllen;
            } else {
                (*reply).msg_control = ptr::null_mut();
                (*reply).msg_controllen = 0;
            }
        }
        self.queued += 1;
    }

    /// Sends what is queued and says how many replies the kernel did not take.
    #[must_use]
    #[inline(always)]
    pub fn send(&mut self, socket: BorrowedFd<'_>) -> usize {
        let (mut done, mut failures) = (0, 0);
        while done < self.queued {
            // SAFETY: headers `done..queued` were set by `queue` and point into the arena, which
            // is live and not referred to now; the kernel writes nothing but their `msg_len`.
            let count = unsafe {
                libc::syscall(
                    libc::SYS_sendmmsg,
                    socket.as_raw_fd(),
                    &raw mut (*self.arena.as_ptr()).outgoing[done],
                    self.queued - done,
                    0,
                )
            };
            match usize::try_from(count) {
                Ok(count) => done += count.max(1),
                Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => (),
                // An error is that of the first packet of the call: it is the one to skip. What
                // it is (no route, no permission, no buffer, a port of 0) changes nothing.
                Err(_) => (done, failures) = (done + 1, failures + 1),
            }
        }
        self.queued = 0;
        failures
    }

    /// Gives the lengths in an incoming header back the values that the kernel overwrites.
    fn restore(&self, idx: usize) {
        // SAFETY: `idx` is within the array in every call, and no reference into the arena is
        // live. The lengths are those of the buffers that `new` put beside them.
        unsafe {
            let header = &raw mut (*self.arena.as_ptr()).incoming[idx].msg_hdr;
            (*header).msg_namelen = size_of::<Source>() as libc::socklen_t;
            (*header).msg_controllen = CONTROL_LEN as _;
            (*header).msg_flags = 0;
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // SAFETY: the pointer is from `Box::leak` in `new`, and this is the end of its owner.
        drop(unsafe { Box::from_raw(self.arena.as_ptr()) });
    }
}

impl Source {
    fn address(&self) -> IpAddr {
        // SAFETY: every field of every member is an integer, and the whole union is initialised,
        // so any member may be read; `family` is at the same place in both.
        unsafe {
            if c_int::from(self.family) == libc::AF_INET {
                Ipv4Addr::from(u32::from_be(self.v4.sin_addr.s_addr)).into()
            } else {
                Ipv6Addr::from(self.v6.sin6_addr.s6_addr).into()
            }
        }
    }
}

/// Turns the destination of a received packet into the source of its reply, and says whether there
/// is one: only sockets that [`report_destination`] has been called for say it.
///
/// The address stays, the interface goes: the reply takes the route of its own destination, and
/// that may be another way than the question came. (A link-local client's interface is in its
/// address.)
///
/// # Safety
///
/// `header` is one of a live arena's incoming headers after a `recvmmsg`, and no reference into
/// the arena is live.
unsafe fn from_where_it_came_to(header: *mut libc::msghdr) -> bool {
    // SAFETY: the caller's promise; `CMSG_FIRSTHDR` gives a pointer only when `msg_controllen`
    // holds a `cmsghdr`, and the buffer is aligned for it. The lengths are compared before
    // anything behind the `cmsghdr` is touched, and the write needs no alignment.
    unsafe {
        let first = libc::CMSG_FIRSTHDR(header);
        if first.is_null() {
            return false;
        }
        let (info_len, interface_at) = match ((*first).cmsg_level, (*first).cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                (size_of::<libc::in_pktinfo>(), offset_of!(libc::in_pktinfo, ipi_ifindex))
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                (size_of::<libc::in6_pktinfo>(), offset_of!(libc::in6_pktinfo, ipi6_ifindex))
            }
            _ => return false,
        };
        let len = libc::CMSG_LEN(info_len as libc::c_uint) as usize;
        if ((*first).cmsg_len as usize) < len || ((*header).msg_controllen as usize) < len {
            return false;
        }
        libc::CMSG_DATA(first).add(interface_at).cast::<c_int>().write_unaligned(0);
        true
    }
}

/// Has `socket` say for each packet which address it came to.
///
/// # Errors
///
/// What `setsockopt(2)` says.
pub fn report_destination(socket: BorrowedFd<'_>, is_v6: bool) -> io::Result<()> {
    if is_v6 {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)
    } else {
        set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
    }
}

/// Has `socket` neither believe nor announce a path's MTU, so that a forged ICMP message cannot
/// make our replies fragments (RFC 9715 section 3.1): none is longer than every path takes.
///
/// # Errors
///
/// What `setsockopt(2)` says.
pub fn ignore_path_mtu(socket: BorrowedFd<'_>, is_v6: bool) -> io::Result<()> {
    if is_v6 {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_OMIT)
    } else {
        set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT)
    }
}

/// Sets the length of `socket`'s receive buffer beyond what the system allows to all; takes
/// `CAP_NET_ADMIN`.
///
/// # Errors
///
/// What `setsockopt(2)` says.
pub fn force_receive_buffer(socket: BorrowedFd<'_>, len: usize) -> io::Result<()> {
    let len = c_int::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, len)
}

/// Sets the length of `socket`'s send buffer as [`force_receive_buffer`] does that of the other.
///
/// # Errors
///
/// What `setsockopt(2)` says.
pub fn force_send_buffer(socket: BorrowedFd<'_>, len: usize) -> io::Result<()> {
    let len = c_int::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
    set_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, len)
}

fn set_option(socket: BorrowedFd<'_>, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: the kernel reads `size_of::<c_int>()` octets at the address of a live `c_int`.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast::<c_void>(),
            size_of::<c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

const _: () = {
    // What the kernel is told of a question's buffer is within it.
    assert!(UDP_QUERY_LEN_MAX <= QUERY_STRIDE);
    // A buffer for an IPv6 destination takes an IPv4 one.
    assert!(size_of::<libc::in_pktinfo>() <= size_of::<libc::in6_pktinfo>());
    // `sendmmsg` and `recvmmsg` take no more than this at once (UIO_MAXIOV).
    assert!(0 < UDP_BATCH_LEN && UDP_BATCH_LEN <= 1024);
};

#[cfg(test)]
mod tests {
    use std::{
        net::{SocketAddr, UdpSocket},
        os::fd::AsFd,
        time::Duration,
    };

    use super::*;

    fn socket(address: &str) -> UdpSocket {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket
    }

    /// Asks from `client`, once per length in `lens`, and echoes what came in.
    fn check(server: &UdpSocket, client: &UdpSocket, to: SocketAddr, lens: &[usize]) -> Vec<usize> {
        let mut batch = Batch::new();
        for (tag, len) in (0_u8..).zip(lens) {
            client.send_to(&vec![tag; *len], to).unwrap();
        }
        let (mut seen, mut cuts) = (0, Vec::new());
        while seen < lens.len() {
            let count = batch.receive(server.as_fd()).unwrap();
            assert!(0 < count, "what was sent over loopback is there");
            for idx in 0..count {
                let slot = batch.slot(idx);
                assert_eq!(slot.source, client.local_addr().unwrap().ip());
                assert!(slot.question.iter().all(|it| usize::from(*it) == seen + idx));
                assert_eq!(slot.question.len(), lens[seen + idx].min(UDP_QUERY_LEN_MAX));
                let len = slot.question.len().min(UDP_REPLY_LEN_MAX);
                slot.reply[..len].copy_from_slice(&slot.question[..len]);
                if slot.cut {
                    cuts.push(seen + idx);
                }
                batch.queue(idx, len);
            }
            assert_eq!(batch.send(server.as_fd()), 0);
            seen += count;
        }
        let mut reply = [0; 4096];
        for (tag, len) in (0_u8..).zip(lens) {
            let (got, from) = client.recv_from(&mut reply).unwrap();
            assert_eq!((got, from), ((*len).min(UDP_REPLY_LEN_MAX), to));
            assert!(reply[..got].iter().all(|it| *it == tag));
        }
        cuts
    }

    #[test]
    fn more_than_a_batch_goes_in_and_out() {
        let server = socket("127.0.0.1:0");
        let lens = [40; 3 * UDP_BATCH_LEN + 1];
        assert!(
            check(&server, &socket("127.0.0.1:0"), server.local_addr().unwrap(), &lens).is_empty()
        );
    }

    #[test]
    fn a_long_datagram_is_cut_and_says_so() {
        let server = socket("127.0.0.1:0");
        let lens = [0, 1, UDP_QUERY_LEN_MAX, UDP_QUERY_LEN_MAX + 1, 60_000, 12];
        let cuts = check(&server, &socket("127.0.0.1:0"), server.local_addr().unwrap(), &lens);
        assert_eq!(cuts, [3, 4]);
    }

    #[test]
    fn the_reply_leaves_from_where_the_question_came_to() {
        let server = socket("0.0.0.0:0");
        report_destination(server.as_fd(), false).unwrap();
        let port = server.local_addr().unwrap().port();
        // Twice the batch, so that slots are used again.
        for host in ["127.0.0.1", "127.0.0.2", "127.1.2.3"] {
            let to = SocketAddr::new(host.parse().unwrap(), port);
            check(&server, &socket("127.0.0.1:0"), to, &[40; 2 * UDP_BATCH_LEN]);
        }
    }

    #[test]
    fn an_undeliverable_reply_is_lost_alone() {
        let (server, client) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
        for tag in 0..3 {
            client.send_to(&[tag], server.local_addr().unwrap()).unwrap();
        }
        let mut batch = Batch::new();
        assert_eq!(batch.receive(server.as_fd()).unwrap(), 3);
        // SAFETY: the arena is live, and no reference into it is.
        unsafe { (*batch.arena.as_ptr()).sources[1].v4.sin_port = 0 };
        for idx in 0..3 {
            let tag = batch.slot(idx).question[0];
            batch.slot(idx).reply[0] = tag;
            batch.queue(idx, 1);
        }
        assert_eq!(batch.send(server.as_fd()), 1);
        let mut reply = [0; 2];
        for tag in [0, 2] {
            assert_eq!(client.recv(&mut reply).unwrap(), 1);
            assert_eq!(reply[0], tag);
        }
    }

    #[test]
    fn nothing_in_time_is_an_empty_batch() {
        let server = socket("127.0.0.1:0");
        server.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        assert_eq!(Batch::new().receive(server.as_fd()).unwrap(), 0);
    }
}
