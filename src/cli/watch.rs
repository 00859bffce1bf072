//! `evenkeel status --watch`: how a running server is, full screen, as it changes.
//!
//! ```text
//!  a thread:  status, events ── something happened, or a while ago ─> overrides, endpoints, zones
//!                                                │
//!                       what it knows, or why it knows nothing new
//!                                                v
//!  this one:  keys, sizes ────────────────────> the view, drawn a few times a second
//! ```
//!
//! While the server is lost, what is known stays, with its age.
//!
//! Not here: what is asked (`known`), and how it looks (`view`).

mod known;
mod view;

use std::{
    io,
    process::ExitCode,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
};

use self::{
    known::{Asker, Known},
    view::Scene,
};
use super::client::{Refused, Server};
use crate::clock;

/// How long a key is waited for before all is drawn anew: ages are told in seconds.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// How much later than expected an answer may come before the server counts as lost.
const SILENCE_SPARE: Duration = Duration::from_secs(2);

/// Shows the server until `q` is pressed. Whether it can be asked at all is said before the screen is
/// taken.
pub(super) fn run(server: &Server, interval: Duration) -> ExitCode {
    let (tell, heard) = sync_channel(1);
    let asked = server.clone();
    thread::spawn(move || follow(&asked, interval, &tell));
    let known = match heard.recv().expect("the thread tells first and ends then") {
        Ok(known) => known,
        Err(refused) => return refused.say(),
    };
    let watched = ratatui::try_init().and_then(|mut terminal| {
        let colours = std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
        let watch = Watch { server, interval, colours, known, at: clock::now(), lost: None };
        watch.run(&mut terminal, &heard)
    });
    ratatui::restore();
    match watched {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let hint = "`evenkeel status` without `--watch` needs no terminal";
            Refused::No(format!("the terminal: {error}\nhint: {hint}")).say()
        }
    }
}

/// Asks again and again, for as long as somebody listens. What takes long is asked more seldom.
fn follow(server: &Server, interval: Duration, tell: &SyncSender<Result<Known, Refused>>) {
    let mut asker = Asker::default();
    loop {
        let begun = clock::now();
        let heard = asker.ask(server, begun);
        if tell.send(heard).is_err() {
            return;
        }
        thread::sleep(interval.max(clock::now() - begun));
    }
}

/// What is shown, and of when it is.
struct Watch<'a> {
    server: &'a Server,
    interval: Duration,
    colours: bool,
    known: Known,
    at: Instant,
    /// Why there is nothing newer.
    lost: Option<String>,
}

impl Watch<'_> {
    fn run(
        mut self,
        terminal: &mut DefaultTerminal,
        heard: &Receiver<Result<Known, Refused>>,
    ) -> io::Result<()> {
        loop {
            while let Ok(heard) = heard.try_recv() {
                self.take(heard);
            }
            let url = self.server.url();
            let age = clock::now() - self.at;
            let lost = self.lost(age);
            let Self { known, colours, .. } = &self;
            let scene = Scene { url, known, age, lost: lost.as_deref(), colours: *colours };
            terminal.draw(|frame| scene.draw(frame))?;
            if event::poll(DRAW_EVERY)? && ends(&event::read()?) {
                return Ok(());
            }
        }
    }

    fn take(&mut self, heard: Result<Known, Refused>) {
        match heard {
            Ok(known) => {
                (self.known, self.at, self.lost) = (known, clock::now(), None);
            }
            Err(refused) => self.lost = Some(refused.first_line().to_owned()),
        }
    }

    /// Why what is shown is old; also where the server is silent.
    fn lost(&self, age: Duration) -> Option<String> {
        let silent = self.interval * 2 + SILENCE_SPARE;
        let why = (silent < age).then(|| "no answer yet".to_owned());
        self.lost.clone().or(why)
    }
}

/// `q`, Escape, and what ends every command.
fn ends(event: &Event) -> bool {
    let Event::Key(key) = event else { return false };
    let is_interrupt = key.code == KeyCode::Char('c') && key.modifiers == KeyModifiers::CONTROL;
    let is_end = matches!(key.code, KeyCode::Char('q') | KeyCode::Esc);
    key.kind == KeyEventKind::Press && (is_end || is_interrupt)
}
