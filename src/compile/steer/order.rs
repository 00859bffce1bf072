//! The order among pools: `by`, `slack` and `sticky`, tiers and trickles.
//!
//! Not here: whom a pool serves (`serves`).

use super::{Drafted, Planner};
use crate::{
    config::{Field, Margin, Place},
    limits::TRICKLE_WHOLE,
    steer::{By, Slack},
};

impl Planner<'_> {
    /// What decides between pools; none where that has been complained of.
    pub(super) fn by(&self, field: &Field<&str>) -> Option<By> {
        match field.placed() {
            None => field.is_absent().then_some(By::Weight),
            Some((_, &"weight")) => Some(By::Weight),
            Some((_, &"latency")) => Some(By::Latency),
            Some((_, &"distance")) => Some(By::Distance),
            Some((place, it)) => {
                self.no_such_word(place, "by", it, &["weight", "latency", "distance"]);
                None
            }
        }
    }

    pub(super) fn sticky(&self, field: &Field<&str>) -> bool {
        match field.placed() {
            None | Some((_, &"none")) => false,
            Some((_, &"client")) => true,
            Some((place, it)) => {
                self.no_such_word(place, "sticky", it, &["none", "client"]);
                false
            }
        }
    }

    pub(super) fn slack(&self, field: &Field<Margin>, by: Option<By>) -> Slack {
        let none = Slack::Absolute(0);
        let (Some((place, margin)), Some(by)) = (field.placed(), by) else { return none };
        match (by, margin) {
            (By::Weight, _) => self.slack_without_by(place),
            (_, Margin::None) => {}
            (_, Margin::Percent(percent)) => return Slack::Percent(*percent),
            (By::Latency, Margin::Micros(micros)) => return Slack::Absolute(*micros),
            (By::Distance, Margin::Metres(metres)) => return Slack::Absolute(*metres),
            (By::Latency, Margin::Metres(_)) => self.slack_of_other(place, "latency", "10ms"),
            (By::Distance, Margin::Micros(_)) => self.slack_of_other(place, "distance", "200km"),
        }
        none
    }

    /// What is near can only be told of regions of which one knows where they are.
    pub(super) fn check_regions(&self, place: Place, by: Option<By>, drafted: &[Drafted<'_, '_>]) {
        let word = match by {
            None | Some(By::Weight) => return,
            Some(By::Latency) => "latency",
            Some(By::Distance) => "distance",
        };
        let regions = drafted.iter().filter_map(|it| it.pool.region.as_deref());
        let missing = regions.filter(|it| self.is_nowhere(it));
        for region in missing {
            self.region_nowhere(place, word, region);
        }
        if drafted.iter().all(|it| it.file.region.given() == Some(&"none")) {
            self.no_regions(place, word);
        }
    }

    /// Whether the file says nothing of where a region is.
    fn is_nowhere(&self, region: &str) -> bool {
        self.regions.iter().find(|it| it.name == region).is_none_or(|it| !it.says_at)
    }

    /// A pool of the first tier has its share; the trickles of the others leave some of it.
    pub(super) fn check_trickles(&self, drafted: &[Drafted<'_, '_>]) {
        let first = drafted.iter().map(|it| it.pool.tier).min();
        let mut sum = 0;
        for it in drafted {
            let Some(place) = it.file.trickle.place() else { continue };
            if Some(it.pool.tier) == first {
                self.trickle_in_first_tier(place, &it.pool.name);
            }
            let before = sum;
            sum += u64::from(it.pool.trickle);
            if before < TRICKLE_WHOLE && TRICKLE_WHOLE <= sum {
                self.too_much_trickle(place);
            }
        }
    }
}

// ---- Complaints ----

impl Planner<'_> {
    fn slack_without_by(&self, place: Place) {
        let hint = "with `by: weight` no pool is nearer than another; remove one of the two";
        self.report.say(place, "`slack` is for `by: latency` and `by: distance`", hint);
    }

    fn slack_of_other(&self, place: Place, by: &str, example: &str) {
        let message = format!("this is no `slack` for `by: {by}`");
        self.report.say(place, message, format!("write `{example}`, or a part such as `15%`"));
    }

    fn region_nowhere(&self, place: Place, by: &str, region: &str) {
        let message = format!("`by: {by}` needs to know where the region `{region}` is");
        let hint = format!(
            "write `regions: {{ {region}: {{ at: [LAT, LON] }} }}` in the server file, or a cloud's \
             region such as `at: aws/us-east-1`"
        );
        self.report.say(place, message, hint);
    }

    fn no_regions(&self, place: Place, by: &str) {
        let message = format!("`by: {by}` with no pool in a region");
        self.report.say(place, message, "name the regions of the pools, or write `by: weight`");
    }

    fn trickle_in_first_tier(&self, place: Place, pool: &str) {
        let message = format!("`trickle` in the pool `{pool}`, which is of the first tier");
        let hint =
            "a trickle keeps a pool of a later tier warm; give the pool a `tier`, or a `weight`";
        self.report.say(place, message, hint);
    }

    fn too_much_trickle(&self, place: Place) {
        let message = "the trickles of this name leave nothing for its first tier";
        self.report.say(place, message, "their sum has to be less than 100%");
    }
}
