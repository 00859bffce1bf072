//! Ramps: how pools come back, by default or by what is said nearer to them.
//!
//! *Not here:* where a pool stands (`state`).

use std::time::Duration;

use crate::{
    config::{
        Field, Place, Report,
        zone::{RampFile, RampKey},
    },
    limits::{RAMP_EVERY_MIN, RAMP_STEPS_MAX},
    steer::Ramp,
};

const STEPS_DEFAULT: [u8; 4] = [5, 25, 50, 100];
const EVERY_DEFAULT: Duration = Duration::from_mins(1);

/// Reads a `ramp`, or takes the one around it; none: there is no ramp.
pub(super) fn read(
    field: &Field<RampKey<'_>>,
    around: Option<&Ramp>,
    report: &Report,
) -> Option<Ramp> {
    match field.placed() {
        None => around.cloned(),
        Some((_, RampKey::Text("none"))) => None,
        Some((place, RampKey::Text(text))) => {
            let message = format!("`ramp` can not be `{text}`");
            report.say(
                place,
                message,
                "write `{ steps: [5%, 25%, 50%, 100%], every: 1m }`, or `none`",
            );
            None
        }
        Some((_, RampKey::Map(file))) => Some(ramp(file, report)),
    }
}

fn ramp(file: &RampFile, report: &Report) -> Ramp {
    let mut steps: Vec<u8> = Vec::new();
    for (place, percent) in file.steps.given().into_iter().flatten().filter_map(Field::placed) {
        if let Some(before) = steps.last().filter(|before| percent.0 <= **before) {
            not_ascending(report, place, percent.0, *before);
        }
        steps.push(percent.0);
    }
    match file.steps.placed() {
        // What was refused may have been the last.
        Some((_, said)) if said.iter().any(|it| it.given().is_none()) => {}
        Some((place, _)) if RAMP_STEPS_MAX < steps.len() => too_many(report, place, steps.len()),
        Some((place, _)) if steps.last() != Some(&100) => not_whole(report, place),
        Some((place, _)) if steps.len() == 1 => no_ramp(report, place),
        _ => {}
    }
    if file.steps.is_absent() {
        steps = STEPS_DEFAULT.to_vec();
    }
    let every = file.every.placed();
    if let Some((place, _)) = every.filter(|(_, it)| it.0 < RAMP_EVERY_MIN) {
        too_short(report, place);
    }
    Ramp { steps: steps.into(), every: every.map_or(EVERY_DEFAULT, |(_, it)| it.0) }
}

// ---- Complaints ----

fn not_ascending(report: &Report, place: Place, percent: u8, before: u8) {
    let message = format!("the step {percent}% does not come after {before}%");
    report.say(place, message, "let each step be greater than the one before");
}

fn not_whole(report: &Report, place: Place) {
    report.say(place, "the last step is not 100%", "end with `100%`, where the pool is back");
}

fn no_ramp(report: &Report, place: Place) {
    let hint = "write `ramp: none`, or a smaller step before it";
    report.say(place, "with the one step 100% the pool is back at once", hint);
}

fn too_many(report: &Report, place: Place, count: usize) {
    let message = format!("there are {count} steps");
    report.say(place, message, format!("a ramp has at most {RAMP_STEPS_MAX}"));
}

fn too_short(report: &Report, place: Place) {
    let hint = format!("the shortest is {}s", RAMP_EVERY_MIN.as_secs());
    report.say(place, "`every` is too short", hint);
}
