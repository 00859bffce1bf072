//! What the demo shows: what clients get, whenever that changes.
//!
//! *Not here:* where the numbers come from (`client`).

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    time::Instant,
};

use super::{
    client::{Share, Tally},
    region::Region,
    server::Site,
};
use crate::{clock, limits::DEMO_QUESTIONS};

/// Columns of a bar that stands for all clients.
const BAR_LEN: usize = 40;

/// Points of 100 by which a share has to move to count as a change: chance moves it by less.
const POINTS_MIN: usize = 8;

/// What was shown, and what it is told against.
pub(super) struct View {
    name: &'static str,
    shown: Option<Tally>,
    /// The latest command, and when it was given.
    since: Option<(String, Instant)>,
}

impl View {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, shown: None, since: None }
    }

    /// Says what runs where, and what can be done.
    pub(super) fn introduce(
        &self,
        site: &Site,
        server: SocketAddr,
        api: SocketAddr,
        regions: &[Region],
    ) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let program = std::env::current_exe()?;
        let (name, program) = (self.name, program.display());
        let (ip, port) = (server.ip(), server.port());
        let server_file = site.server_file();
        writeln!(
            out,
            "Three regions behind {name}, a server and a client, all on this machine.\n"
        )?;
        for region in regions {
            writeln!(out, "  {:16}http://{}/", region.name(), region.address())?;
        }
        writeln!(out, "\nLook at it in a browser, and move traffic:")?;
        writeln!(out, "  http://{api}/")?;
        writeln!(out, "\nTry in another terminal:")?;
        writeln!(out, "  dig @{ip} -p {port} {name}")?;
        writeln!(out, "  {program} query {name} --at {server}")?;
        writeln!(out, "  {program} check --config {}", server_file.display())?;
        writeln!(out, "  tail -f {}", site.log_file().display())?;
        writeln!(out, "\nEdit and save, and it is reloaded, or its mistakes are shown here:")?;
        writeln!(out, "  {}", site.zone_file().display())?;
        drop(out);
        help(regions)?;
        writeln!(io::stdout().lock(), "\nready")
    }

    /// From now on times are told from this command.
    pub(super) fn begin(&mut self, command: &str) -> io::Result<()> {
        self.since = Some((command.to_owned(), clock::now()));
        writeln!(io::stdout().lock(), "done: {command}")
    }

    /// Says what the server said of its files.
    pub(super) fn tell(&mut self, news: &str) -> io::Result<()> {
        if news.is_empty() {
            return Ok(());
        }
        self.since = Some(("save".to_owned(), clock::now()));
        write!(io::stdout().lock(), "\n{news}")
    }

    /// The next tally is shown, whatever it says.
    pub(super) fn ask(&mut self) {
        self.shown = None;
    }

    /// Shows `tally` if it says something new.
    pub(super) fn show(&mut self, tally: &Tally, regions: &[Region]) -> io::Result<()> {
        if self.shown.as_ref().is_some_and(|shown| !differ(shown, tally)) {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        match &self.since {
            Some((command, at)) => {
                let seconds = clock::now().duration_since(*at).as_secs_f64();
                writeln!(out, "\nWhat clients get {seconds:.1} s after `{command}`:")?;
            }
            None => writeln!(out, "\nWhat clients get:")?,
        }
        for (region, share) in regions.iter().zip(&tally.regions) {
            writeln!(out, "{}", line(region.name(), region.runs(), *share))?;
        }
        if 0 < tally.elsewhere {
            writeln!(out, "  {} answers without a region", tally.elsewhere)?;
        }
        if 0 < tally.silence {
            writeln!(out, "  no reply")?;
        }
        out.flush()?;
        self.shown = Some(tally.clone());
        Ok(())
    }
}

/// Says what can be typed.
pub(super) fn help(regions: &[Region]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let first = regions[0].name();
    writeln!(out, "\nType here:")?;
    writeln!(out, "  {:24}its server stops, its connections break", format!("fail {first}"))?;
    writeln!(out, "  {:24}its server is back", format!("restore {first}"))?;
    writeln!(out, "  {:24}what clients get now", "status")?;
    writeln!(out, "  {:24}stop everything", "quit")
}

fn line(name: &str, runs: bool, share: Share) -> String {
    let state = if runs { "runs" } else { "failed" };
    let percent = points(share);
    let bar = "#".repeat((percent * BAR_LEN).div_ceil(100).min(BAR_LEN));
    let ttl = if share.clients == 0 { String::new() } else { format!("  TTL {}", share.ttl) };
    format!("  {name:16}{state:8}{bar:BAR_LEN$} {percent:3} %{ttl}")
}

/// Percent of all clients.
fn points(share: Share) -> usize {
    (share.clients * 100 + DEMO_QUESTIONS / 2) / DEMO_QUESTIONS
}

/// Whether the two say something different, and not only by chance.
fn differ(one: &Tally, other: &Tally) -> bool {
    let regions = one.regions.iter().zip(&other.regions).any(|(one, other)| {
        (one.clients == 0) != (other.clients == 0)
            || one.ttl != other.ttl
            || POINTS_MIN <= points(*one).abs_diff(points(*other))
    });
    let rest = |tally: &Tally| (tally.elsewhere == 0, tally.silence == 0);
    regions || rest(one) != rest(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(shares: [(usize, u32); 2]) -> Tally {
        let regions = shares.map(|(clients, ttl)| Share { clients, ttl }).to_vec();
        Tally { regions, elsewhere: 0, silence: 0 }
    }

    #[test]
    fn chance_is_no_change() {
        assert!(!differ(&tally([(600, 20), (400, 20)]), &tally([(630, 20), (370, 20)])));
    }

    #[test]
    fn what_a_person_waits_for_is_a_change() {
        let before = tally([(600, 20), (400, 20)]);
        assert!(differ(&before, &tally([(600, 5), (400, 20)])), "a TTL");
        assert!(differ(&before, &tally([(0, 0), (1000, 20)])), "a region that left");
        assert!(differ(&before, &tally([(200, 20), (800, 20)])), "a weight");
    }

    #[test]
    fn a_bar_is_as_long_as_the_share() {
        let text = line("us-east-1", true, Share { clients: 500, ttl: 20 });
        assert_eq!(text.matches('#').count(), BAR_LEN / 2);
        assert!(text.ends_with("50 %  TTL 20"), "{text}");
        assert!(line("us-east-1", false, Share::default()).ends_with("  0 %"));
    }
}
