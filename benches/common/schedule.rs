//! Load on a schedule: a question each interval, whatever has become of those before.
//!
//! Time is taken from when a question was due and not from when it was sent: one that had to wait
//! for the load itself counts with its wait.

use std::{
    net::{SocketAddr, UdpSocket},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use evenkeel::{clock, serve::batch::Batch};
use hdrhistogram::Histogram;
use nix::{
    poll::{PollFd, PollFlags, ppoll},
    sys::time::TimeSpec,
};

use super::{
    Result,
    load::{Load, prepare},
};

/// How long to wait for what is in flight at the end; what is not there then is lost.
const LAST_CALL: Duration = Duration::from_millis(200);

/// What the load does between two questions.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Between {
    /// It spins, so that it is not late; it takes a core.
    Spins,
    /// It sleeps, for others want the core.
    Sleeps,
}

/// What became of questions, in nanoseconds after they were due.
pub(crate) struct Asked {
    pub(crate) times: Histogram<u64>,
    /// When they were sent.
    pub(crate) late: Histogram<u64>,
    /// Those that were not answered.
    pub(crate) lost: u64,
}

/// Asks the first of the load's questions each interval until it is over, and notes how long after
/// it was due each was sent and answered.
pub(crate) fn ask(
    load: &Load<'_>,
    server: SocketAddr,
    interval: Duration,
    between: Between,
    is_over: impl Fn(Instant) -> bool,
) -> Result<Asked> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    prepare(&socket)?;
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    let mut batch = Batch::new();
    let mut asked = Asked { times: Histogram::new(3)?, late: Histogram::new(3)?, lost: 0 };
    // By the id of the question, of which there are more than can be in flight.
    let mut due: Vec<Option<Instant>> = vec![None; 1 << 16];
    let mut question = load.questions[0].clone();
    let (mut next, mut id) = (clock::now(), 0_u16);
    let mut in_flight = 0;
    let mut end: Option<Instant> = None;
    loop {
        let now = clock::now();
        if end.is_none() && next <= now {
            if is_over(next) {
                end = Some(now);
                continue;
            }
            question[..2].copy_from_slice(&id.to_be_bytes());
            socket.send(&question)?;
            match due[usize::from(id)].replace(next) {
                None => in_flight += 1,
                // One that was not answered until its id comes again never will be.
                Some(_) => asked.lost += 1,
            }
            asked.late.record(nanos(now - next))?;
            (next, id) = (next + interval, id.wrapping_add(1));
        }
        if between == Between::Sleeps {
            sleep(&socket, next.saturating_duration_since(clock::now()))?;
        }
        let count = batch.receive(socket.as_fd())?;
        let now = clock::now();
        for idx in 0..count {
            let reply = batch.slot(idx).question;
            if !load.is_right(reply) {
                return Err(format!("{}: a wrong reply: {reply:02x?}", load.name).into());
            }
            let id = u16::from_be_bytes([reply[0], reply[1]]);
            let time = due[usize::from(id)].take().ok_or("a reply without a question")?;
            asked.times.record(nanos(now - time))?;
            in_flight -= 1;
        }
        if let Some(end) = end
            && (in_flight == 0 || end + LAST_CALL <= now)
        {
            asked.lost += in_flight;
            return Ok(asked);
        }
    }
}

/// Waits until there is a reply, but so long at most; at the end of all, a millisecond.
fn sleep(socket: &UdpSocket, most: Duration) -> Result<()> {
    let wait = if most.is_zero() { Duration::from_millis(1) } else { most };
    ppoll(
        &mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)],
        Some(TimeSpec::from_duration(wait)),
        None,
    )?;
    Ok(())
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("a measurement takes less than centuries")
}
