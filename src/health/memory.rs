//! The memory: all that a prober knows of its targets, for another prober to go on from.
//!
//! Times are those of the schedule's clock, which goes on in the other prober. A target's part is a
//! line of text, since the other prober may be of another version:
//!
//! ```text
//!   shaky 2 0; failed; 61250000000; 1000000000 5000000000
//!   standing   sign    silent at    changes of the verdict
//! ```
//!
//! *Not here:* who carries it over (`app::takeover`), and what survives a restart (`state::store`).

use std::{sync::Arc, time::Duration};

use super::{Judgement, ProbeSpec, Sight, Status, blind::Sign};

/// What is known of a target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memory {
    pub(super) judgement: Judgement,
    pub(super) sign: Sign,
    /// When the latest heartbeat ends; none: nothing is known of heartbeats.
    pub(super) silent_at: Option<Duration>,
}

/// A target, and what is known of it.
#[derive(Debug, Clone)]
pub struct Remembered {
    /// The target.
    pub spec: Arc<ProbeSpec>,
    /// Whether it is a control target.
    pub is_control: bool,
    /// What is known.
    pub memory: Memory,
}

/// All that a prober knows.
#[derive(Debug, Clone, Default)]
pub struct Past {
    /// What the schedule's clock shows.
    pub clock: Duration,
    /// What the prober thinks of itself.
    pub sight: Sight,
    /// Its targets.
    pub targets: Vec<Remembered>,
}

impl Memory {
    /// What is known of a target of which only this was kept over a restart.
    #[must_use]
    pub fn restored(status: Status, fall: u32) -> Self {
        Self { judgement: Judgement::restored(status, fall), ..Self::default() }
    }

    /// What it means to whoever answers.
    #[must_use]
    pub fn status(&self) -> Status {
        self.judgement.status()
    }

    /// As a line of text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let (standing, changes) = self.judgement.to_text();
        let silent_at = self.silent_at.map_or("-".to_owned(), |it| it.as_nanos().to_string());
        format!("{standing}; {}; {silent_at}; {changes}", self.sign.as_str())
    }

    /// Reads a line of text; none: it is of another form.
    #[must_use]
    pub fn of_text(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (standing, sign) = (parts.next()?, Sign::of_text(parts.next()?)?);
        let silent_at = match parts.next()? {
            "-" => None,
            nanos => Some(Duration::from_nanos(nanos.parse().ok()?)),
        };
        let judgement = Judgement::of_text(standing, parts.next()?)?;
        Some(Self { judgement, sign, silent_at })
    }
}

impl Sight {
    /// As words: `sighted`, `sighted 300000000000`, `blind 300000000000`, `spent`.
    #[must_use]
    pub fn to_text(self) -> String {
        match self {
            Self::Sighted { paused: None } => "sighted".to_owned(),
            Self::Sighted { paused: Some(until) } => format!("sighted {}", until.as_nanos()),
            Self::Blind { until } => format!("blind {}", until.as_nanos()),
            Self::Spent => "spent".to_owned(),
        }
    }

    /// Reads these words; none: they are others.
    #[must_use]
    pub fn of_text(text: &str) -> Option<Self> {
        let (word, nanos) = text.split_once(' ').unwrap_or((text, ""));
        let until = nanos.parse().ok().map(Duration::from_nanos);
        match word {
            "sighted" => Some(Self::Sighted { paused: until }),
            "blind" => until.map(|until| Self::Blind { until }),
            "spent" => Some(Self::Spent),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{Flap, Rules};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_judgement_is_the_same_afterwards() {
        let flap = Flap { changes: 3, window: 60 * SECOND, hold: 30 * SECOND };
        let rules = Rules { fall: 3, rise: 3, flap: Some(flap) };
        // All ways of seven outcomes, by an eyed and by a blind prober.
        for way in 0_u32..1 << 14 {
            let mut judgement = Judgement::default();
            for step in 0..7 {
                let (good, blind) = (way >> step & 1 == 1, way >> (step + 7) & 1 == 1);
                judgement.take(good, blind, rules, step * SECOND);
            }
            let memory = Memory { judgement, sign: Sign::There, silent_at: Some(SECOND) };
            assert_eq!(Memory::of_text(&memory.to_text()), Some(memory));
        }
    }

    #[test]
    fn each_sign_and_sight_is_the_same_afterwards() {
        for sign in [Sign::None, Sign::There, Sign::Failed] {
            let memory = Memory { sign, ..Memory::default() };
            assert_eq!(Memory::of_text(&memory.to_text()), Some(memory));
        }
        for sight in [
            Sight::default(),
            Sight::Sighted { paused: Some(SECOND) },
            Sight::Blind { until: 2 * SECOND },
            Sight::Spent,
        ] {
            assert_eq!(Sight::of_text(&sight.to_text()), Some(sight));
        }
    }

    #[test]
    fn what_is_of_another_form_is_not_known() {
        for text in ["", "up", "up 0 0; there; -", "high 0 0; there; -; ", "up 0 0; there; x; "] {
            assert_eq!(Memory::of_text(text), None, "{text}");
        }
        for text in ["", "blind", "seeing 1"] {
            assert_eq!(Sight::of_text(text), None, "{text}");
        }
    }
}
