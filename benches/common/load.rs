//! Load without pause: as many questions in flight as there were before, in batches.

use std::{
    net::{SocketAddr, UdpSocket},
    os::fd::AsFd,
    time::Duration,
};

use evenkeel::{
    clock,
    limits::UDP_WAIT_MAX,
    serve::{batch, batch::Batch},
};

use super::{
    Result,
    server::{Server, cpu_ns},
};

/// Questions in flight. More than a batch at either end, so that the slower end always has one.
const WINDOW: usize = 256;

/// Load before a measurement, so that caches and clocks are as they will be.
pub(crate) const WARM_UP: Duration = Duration::from_millis(200);

/// Load of a measurement.
pub(crate) const MEASURE: Duration = Duration::from_secs(1);

/// Octets of the kernel's buffer at the load's end.
const RECEIVE_BUFFER_LEN: usize = 8 << 20;

/// How long a reply may take.
pub(crate) const REPLY_WAIT: Duration = Duration::from_millis(100);

/// How often a server is asked until it answers for the first time.
const READY_TRIES_MAX: usize = 100;

/// What a server is asked, over and over.
pub(crate) struct Load<'a> {
    /// Of the server, for complaints.
    pub(crate) name: &'a str,
    pub(crate) questions: &'a [Vec<u8>],
    pub(crate) expected: Expected,
}

/// What makes a reply a right one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// That it is one: the reflector's holds nothing.
    Reply,
    /// NOERROR, and an answer.
    Answer,
    /// NXDOMAIN, and the SOA.
    NoName,
}

impl Expected {
    /// What a server answers to a name that it has, or what the reflector makes of it.
    pub(crate) fn of(is_server: bool) -> Self {
        if is_server { Self::Answer } else { Self::Reply }
    }
}

/// What a server took.
#[derive(Clone, Copy)]
pub(crate) struct Measured {
    /// Nanoseconds of CPU per question.
    pub(crate) cost: f64,
    /// Questions per second.
    pub(crate) rate: f64,
}

/// What a stretch of load came to.
#[derive(Clone, Copy)]
pub(crate) struct Stretch {
    /// Questions that were answered.
    pub(crate) answered: u64,
    /// Those that were not, a while after the last.
    pub(crate) lost: u64,
}

impl Load<'_> {
    /// Asks until there is a right reply, for a while.
    pub(crate) fn wait_until_ready(&self, server: &mut Server) -> Result<()> {
        for _ in 0..READY_TRIES_MAX {
            if let Some(status) = server.process.try_wait()? {
                return Err(server.complaint(&format!("{} ended: {status}", self.name)));
            }
            if let Some(reply) = reply_to(&self.questions[0], server.address, REPLY_WAIT)?
                && self.is_right(&reply)
            {
                return Ok(());
            }
        }
        let what = format!("{} does not answer rightly at {}", self.name, server.address);
        Err(server.complaint(&what))
    }

    /// Keeps the server busy for a while and says what it took.
    pub(crate) fn measure(&self, server: &Server) -> Result<Measured> {
        let mut next = 0;
        let socket = self.begin(server.address, &mut next)?;
        let mut batch = Batch::new();
        self.keep_up(&socket, &mut batch, &mut next, WARM_UP)?;
        let (cpu, begun) = (cpu_ns(&server.process)?, clock::now());
        let answered = self.keep_up(&socket, &mut batch, &mut next, MEASURE)?;
        let (cpu, took) = (cpu_ns(&server.process)? - cpu, clock::now() - begun);
        if answered == 0 {
            return Err(format!("{} answered nothing", self.name).into());
        }
        #[expect(clippy::cast_precision_loss, reason = "a second's nanoseconds are exact")]
        let (cpu, answered) = (cpu as f64, answered as f64);
        Ok(Measured { cost: cpu / answered, rate: answered / took.as_secs_f64() })
    }

    /// Keeps a server busy for a while, and waits for what is in flight then.
    pub(crate) fn keep_busy(&self, server: SocketAddr, duration: Duration) -> Result<Stretch> {
        let mut next = 0;
        let socket = self.begin(server, &mut next)?;
        let mut batch = Batch::new();
        let answered = self.keep_up(&socket, &mut batch, &mut next, duration)?;
        let mut in_flight = WINDOW;
        while 0 < in_flight {
            let count = batch.receive(socket.as_fd())?;
            if count == 0 {
                break;
            }
            for idx in 0..count {
                self.require_right(batch.slot(idx).question)?;
            }
            in_flight = in_flight.checked_sub(count).ok_or("more replies than questions")?;
        }
        let late = WINDOW - in_flight;
        Ok(Stretch { answered: answered + late as u64, lost: in_flight as u64 })
    }

    /// Asks the first questions.
    fn begin(&self, server: SocketAddr, next: &mut usize) -> Result<UdpSocket> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        prepare(&socket)?;
        for _ in 0..WINDOW {
            socket.send_to(self.question(next), server)?;
        }
        Ok(socket)
    }

    /// Asks again for each reply, so that as many questions as before are in flight; says how many
    /// were answered.
    fn keep_up(
        &self,
        socket: &UdpSocket,
        batch: &mut Batch,
        next: &mut usize,
        duration: Duration,
    ) -> Result<u64> {
        let end = clock::now() + duration;
        let mut answered = 0;
        while clock::now() < end {
            let count = batch.receive(socket.as_fd())?;
            if count == 0 {
                return Err(format!("{} lost what was in flight", self.name).into());
            }
            for idx in 0..count {
                // The reply's place takes the next question, and its source is where that goes.
                let slot = batch.slot(idx);
                self.require_right(slot.question)?;
                let question = self.question(next);
                slot.reply[..question.len()].copy_from_slice(question);
                batch.queue(idx, question.len());
            }
            if 0 < batch.send(socket.as_fd()) {
                return Err("the kernel did not take a question".into());
            }
            answered += count as u64;
        }
        Ok(answered)
    }

    /// The questions in turn.
    fn question(&self, next: &mut usize) -> &[u8] {
        let question = &self.questions[*next];
        *next = if *next + 1 < self.questions.len() { *next + 1 } else { 0 };
        question
    }

    fn require_right(&self, reply: &[u8]) -> Result<()> {
        if self.is_right(reply) {
            return Ok(());
        }
        Err(format!("{}: a wrong reply: {reply:02x?}", self.name).into())
    }

    pub(crate) fn is_right(&self, reply: &[u8]) -> bool {
        let Some([_, _, flags, rcode, _, _, _, n_answers, _, n_authority, _, _]) =
            reply.first_chunk::<12>()
        else {
            return false;
        };
        let is_right = match self.expected {
            Expected::Reply => rcode % 16 == 0,
            Expected::Answer => rcode % 16 == 0 && 0 < *n_answers,
            Expected::NoName => rcode % 16 == 3 && *n_answers == 0 && *n_authority == 1,
        };
        flags & 0x80 != 0 && is_right
    }
}

/// What is answered to one question within a time.
pub(crate) fn reply_to(
    question: &[u8],
    server: SocketAddr,
    wait: Duration,
) -> Result<Option<Vec<u8>>> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(wait))?;
    socket.send_to(question, server)?;
    let mut reply = vec![0; 2048];
    let Ok(len) = socket.recv(&mut reply) else { return Ok(None) };
    reply.truncate(len);
    Ok(Some(reply))
}

/// Room for what arrives at once, and an end to waiting for what does not.
pub(crate) fn prepare(socket: &UdpSocket) -> Result<()> {
    if batch::force_receive_buffer(socket.as_fd(), RECEIVE_BUFFER_LEN).is_err() {
        eprintln!("not root: the receive buffers have the system's usual length");
    }
    Ok(socket.set_read_timeout(Some(4 * UDP_WAIT_MAX))?)
}
