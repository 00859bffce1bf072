//! The view: what is known of a server, on as many cells as the terminal has.
//!
//! ```text
//!  what has to be seen first, and how old this is
//!  regions        │ overrides and dials
//!  names          │ events, the latest first
//!  what is not up │
//! ```
//!
//! On a narrow terminal the right half is below the left one. State is told by words; colours only help.
//!
//! Not here: what is asked, and when (`known`).

use std::time::Duration;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Borders, Paragraph},
};

use super::known::{Known, NameLine};
use crate::{
    api::body::{Region, RegionWord},
    cli::status::{load_text, title},
};

/// From this many columns on there are two halves.
const WIDE: u16 = 120;

/// Where parts would have fewer rows each, the last ones are left out.
const PART_ROWS: u16 = 4;

/// What is to be seen.
pub(super) struct Scene<'a> {
    pub(super) url: &'a str,
    pub(super) known: &'a Known,
    /// How old what is known is.
    pub(super) age: Duration,
    /// Why there is nothing newer.
    pub(super) lost: Option<&'a str>,
    pub(super) colours: bool,
}

/// Lines under a title.
struct Part<'a> {
    title: String,
    lines: Vec<Line<'a>>,
}

impl Scene<'_> {
    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let [head, body, foot] =
            Layout::vertical([Constraint::Length(2), Constraint::Fill(1), Constraint::Length(1)])
                .areas(frame.area());
        frame.render_widget(Paragraph::new(self.head()), head);
        let dim = Style::new().add_modifier(Modifier::DIM);
        frame.render_widget(Paragraph::new(Line::styled("q quits", dim)), foot);
        let left = [self.regions(), self.out(), self.names()];
        let right = [self.said(), self.events()];
        if WIDE <= body.width {
            let [west, east] = Layout::horizontal([Constraint::Fill(1); 2]).spacing(2).areas(body);
            draw_parts(frame, west, left);
            draw_parts(frame, east, right);
        } else {
            draw_parts(frame, body, left.into_iter().chain(right));
        }
    }

    /// What has to be seen first, and how old it is.
    fn head(&self) -> Vec<Line<'static>> {
        let age = self.age.as_secs();
        let (words, state) = match self.lost {
            Some(why) => (format!("LOST, this is {age} s old: {why}"), "down"),
            None => self.headline(),
        };
        let mut style = self.style(state).add_modifier(Modifier::BOLD);
        if state != "up" {
            style = style.add_modifier(Modifier::REVERSED);
        }
        let is_live = if self.lost.is_some() { "" } else { "  live" };
        let about = format!("{}  {}{is_live}", title(&self.known.status), self.url);
        vec![Line::styled(format!(" {words} "), style), Line::from(about)]
    }

    fn headline(&self) -> (String, &'static str) {
        let status = &self.known.status;
        let are = |state: RegionWord| {
            let names = status.regions.iter().filter(|it| it.state == state);
            names.map(|it| &*it.name).collect::<Vec<_>>()
        };
        let is = |names: &[&str], what: &str| {
            let verb = if names.len() == 1 { "is" } else { "are" };
            format!("{} {verb} {what}", names.join(", "))
        };
        let (down, mixed) = (are(RegionWord::Down), are(RegionWord::Mixed));
        let drained = are(RegionWord::Drain);
        let n_out = self.known.details.out.len();
        if status.blind {
            ("the prober has lost its network: verdicts are frozen".to_owned(), "mixed")
        } else if !down.is_empty() {
            (is(&down, "down"), "down")
        } else if !mixed.is_empty() {
            (is(&mixed, "partly out"), "mixed")
        } else if !drained.is_empty() {
            (is(&drained, "drained"), "drain")
        } else if 0 < n_out {
            (format!("{n_out} endpoint{} not simply up", plural(n_out)), "mixed")
        } else {
            ("all is up".to_owned(), "up")
        }
    }

    fn regions(&self) -> Part<'_> {
        let regions = &self.known.status.regions;
        let width = regions.iter().map(|it| it.name.chars().count()).max().unwrap_or(0);
        let line = |it: &Region| {
            let state = it.state.to_string();
            let style = self.style(&state);
            let rest = format!("  dial {:>3} %  {}", it.dial, load_text(it));
            Line::from(vec![
                Span::raw(format!("{:<width$}  ", it.name)),
                Span::styled(format!("{state:<5}"), style),
                Span::raw(rest),
            ])
        };
        Part { title: "Regions".to_owned(), lines: regions.iter().map(line).collect() }
    }

    fn names(&self) -> Part<'_> {
        let details = &self.known.details;
        let width = details.names.iter().map(|it| it.name.chars().count()).max().unwrap_or(0);
        let line = |it: &NameLine| {
            let state = if it.n_in == it.n_endpoints {
                "up"
            } else if it.n_in == 0 {
                "down"
            } else {
                "mixed"
            };
            let count = format!("{}/{}", it.n_in, it.n_endpoints);
            let shares = it.shares.iter().map(|(pool, share)| {
                let percent = share * 100.0;
                format!("  {pool} {percent:.0} %")
            });
            let footing = it.footing.as_ref().map_or(String::new(), |it| format!("  on {it}"));
            Line::from(vec![
                Span::raw(format!("{:<width$}  ", it.name)),
                Span::styled(format!("{count:>5} up"), self.style(state)),
                Span::raw(shares.collect::<String>() + &footing),
            ])
        };
        let n_names = details.n_names;
        let title = format!("Names: {n_names}, those in trouble first");
        Part { title, lines: details.names.iter().map(line).collect() }
    }

    fn out(&self) -> Part<'_> {
        let out = &self.known.details.out;
        let lines = out.iter().map(|it| {
            Line::from(vec![
                Span::styled(format!("{:<8}", it.state), self.style(&it.state)),
                Span::raw(format!("  {}  {}", it.what, it.why)),
            ])
        });
        Part {
            title: format!("Endpoints that are not simply up: {}", out.len()),
            lines: lines.collect(),
        }
    }

    fn said(&self) -> Part<'_> {
        let lines = self.known.details.said.brief().map(|[word, target, until, why]| {
            let style = self.style(&word);
            Line::from(vec![
                Span::styled(format!("{word:<5}"), style),
                Span::raw(format!("  {target}  until {until}  {why}")),
            ])
        });
        Part { title: "Overrides and dials".to_owned(), lines: lines.collect() }
    }

    /// The latest is the first: it is the one that stays where there is no room.
    fn events(&self) -> Part<'_> {
        let lines = self.known.events.iter().rev().map(|it| {
            let time = it.at.get(11..19).unwrap_or(&it.at);
            Line::from(vec![
                Span::raw(format!("{time}  {}  {} -> ", it.subject, it.from)),
                Span::styled(it.to.as_str(), self.style(&it.to)),
                Span::raw(format!("  {}", it.why)),
            ])
        });
        Part { title: "Events (UTC)".to_owned(), lines: lines.collect() }
    }

    /// A word for a state in its colour.
    fn style(&self, state: &str) -> Style {
        let colour = match state {
            "up" => Color::Green,
            "down" => Color::Red,
            "mixed" | "shaky" | "stays in" => Color::Yellow,
            "drain" | "returns" => Color::Blue,
            _ => return Style::new(),
        };
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { " is" } else { "s are" }
}

/// One below the other. What has more lines than room says how many are missing.
fn draw_parts<'a>(frame: &mut Frame<'_>, area: Rect, parts: impl IntoIterator<Item = Part<'a>>) {
    let n_parts = usize::from(area.height / PART_ROWS).max(1);
    let parts: Vec<_> = parts.into_iter().take(n_parts).collect();
    let wanted: Vec<usize> = parts.iter().map(|it| it.lines.len().max(1) + 1).collect();
    let rows = rooms(&wanted, usize::from(area.height));
    let height = |it: &usize| Constraint::Length(u16::try_from(*it).unwrap_or(u16::MAX));
    let areas = Layout::vertical(rows.iter().map(height)).split(area);
    for (part, area) in parts.into_iter().zip(areas.iter()) {
        part.draw(frame, *area);
    }
}

/// How many rows of `height` each part gets: all it wants, or an even share of what those leave that
/// want less. The last one takes the rest.
fn rooms(wanted: &[usize], height: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|idx| wanted[*idx]);
    let (mut rooms, mut left) = (vec![0; wanted.len()], height);
    for (done, idx) in order.iter().enumerate() {
        rooms[*idx] = wanted[*idx].min(left / (wanted.len() - done));
        left -= rooms[*idx];
    }
    if let Some(last) = rooms.last_mut() {
        *last += left;
    }
    rooms
}

impl Part<'_> {
    fn draw(mut self, frame: &mut Frame<'_>, area: Rect) {
        let room = usize::from(area.height.saturating_sub(1));
        if self.lines.is_empty() {
            self.lines.push(Line::from("none"));
        } else if room < self.lines.len() {
            let shown = room.saturating_sub(1);
            let rest = self.lines.len() - shown;
            self.lines.truncate(shown);
            self.lines.push(Line::from(format!("and {rest} more")));
        }
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let title = Line::styled(format!("{} ", self.title), bold);
        let block = Block::new().borders(Borders::TOP).title(title);
        frame.render_widget(Paragraph::new(self.lines).block(block), area);
    }
}

#[cfg(test)]
mod tests {
    use ratatui::{
        Terminal,
        backend::TestBackend,
        buffer::{Buffer, Cell},
    };
    use serde_json::json;

    use super::*;
    use crate::cli::watch::known::{Details, Out};

    fn known() -> Known {
        let region = |name: &str, state: &str| {
            json!({ "name": name, "state": state, "dial": 100, "capacity": 80.0, "load": 40.0,
                "returning": 0, "over_budget": 0 })
        };
        let regions = [region("us-east-1", "down"), region("eu-west-1", "up")];
        let status = json!({ "version": "1.2.3", "ready": true, "blind": false, "generation": 7,
            "regions": regions });
        let name = NameLine {
            name: "www.example.com.".to_owned(),
            n_in: 1,
            n_endpoints: 2,
            shares: vec![("eu-west-1".to_owned(), 1.0)],
            footing: None,
        };
        let out = Out {
            state: "down".to_owned(),
            what: "www.example.com./us-east-1/192.0.2.10".to_owned(),
            why: "web: connection refused".to_owned(),
        };
        let event = |id: u64| {
            json!({ "id": id, "at": "2026-11-20T14:35:58.123Z", "kind": "verdict",
                "subject": format!("subject-{id}"), "from": "up", "to": "down", "why": "\u{1b}[31mrefused" })
        };
        let events = (1..=50).map(|id| serde_json::from_value(event(id)).unwrap()).collect();
        let details =
            Details { names: vec![name], n_names: 1, out: vec![out], ..Details::default() };
        Known { status: serde_json::from_value(status).unwrap(), events, details }
    }

    fn draw(size: (u16, u16), lost: Option<&str>, colours: bool) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
        let (known, age) = (known(), Duration::from_secs(12));
        let scene = Scene { url: "http://192.0.2.1", known: &known, age, lost, colours };
        terminal.draw(|frame| scene.draw(frame)).unwrap();
        terminal.backend().buffer().clone()
    }

    fn text(buffer: &Buffer) -> String {
        let cells = buffer.content.chunks(usize::from(buffer.area.width));
        cells.map(|row| row.iter().map(Cell::symbol).collect::<String>() + "\n").collect()
    }

    #[test]
    fn what_is_down_is_seen_at_any_size() {
        for size in [(200, 50), (80, 24), (40, 12)] {
            let seen = text(&draw(size, None, true));
            assert!(seen.contains("us-east-1 is down"), "{size:?}\n{seen}");
            assert!(seen.contains("us-east-1  down"), "{size:?}\n{seen}");
            assert!(seen.contains("down      www.example.com./"), "{size:?}\n{seen}");
            assert!(!seen.contains('\u{1b}'), "{size:?}\n{seen}");
        }
        for size in [(200, 50), (80, 24)] {
            let seen = text(&draw(size, None, true));
            for words in
                ["connection refused", "eu-west-1 100 %", "14:35:58  subject-50", "load 40 of 80"]
            {
                assert!(seen.contains(words), "{size:?}: no `{words}` in\n{seen}");
            }
        }
        draw((1, 1), None, true);
    }

    #[test]
    fn a_lost_server_is_said_with_its_age() {
        let seen = text(&draw((80, 24), Some("connection refused"), true));
        assert!(seen.contains("LOST, this is 12 s old: connection refused"), "{seen}");
        assert!(!seen.contains("live"), "{seen}");
    }

    #[test]
    fn no_colour_where_none_is_wanted() {
        let coloured = |buffer: Buffer| buffer.content.iter().any(|it| it.fg != Color::Reset);
        assert!(coloured(draw((80, 24), None, true)));
        assert!(!coloured(draw((80, 24), None, false)));
    }

    #[test]
    fn room_goes_to_who_needs_it() {
        assert_eq!(rooms(&[3, 2, 50], 20), [3, 2, 15]);
        assert_eq!(rooms(&[40, 2, 50], 20), [9, 2, 9]);
        assert_eq!(rooms(&[3, 2, 5], 20), [3, 2, 15]);
        assert_eq!(rooms(&[3, 2, 5], 1), [0, 0, 1]);
    }
}
