//! Whom pools serve: `serves` and `fence`.
//!
//! Two letters are a continent before they are a country, because `AF`, `AS`, `NA` and `SA` are both;
//! `country:SA` is the country in any case.
//!
//! Not here: the codes themselves (`places`), and which pool a client gets (`steer::choose`).

use std::collections::{HashMap, HashSet};

use super::{Drafted, Planner};
use crate::{
    compile::places,
    config::{Field, Place, zone::PoolFile},
    geo::Continent,
    steer::Serves,
};

impl Planner<'_> {
    /// Whom a pool serves: all, where the file says nothing or has been complained of.
    pub(super) fn serves(&self, field: &Field<Vec<Field<&str>>>) -> Box<[Serves]> {
        let Some((place, entries)) = field.placed() else { return Box::new([Serves::Any]) };
        if entries.is_empty() {
            self.serves_nobody(place);
        }
        let mut serves = Vec::with_capacity(entries.len());
        let mut seen = HashSet::new();
        for (place, text) in entries.iter().filter_map(Field::placed) {
            let Some(clients) = self.clients(place, text) else { continue };
            if !seen.insert(clients) {
                self.clients_twice(place, text);
            }
            serves.push(clients);
        }
        if serves.is_empty() {
            serves.push(Serves::Any);
        }
        serves.into()
    }

    fn clients(&self, place: Place, text: &str) -> Option<Serves> {
        let country = |text| places::country(place, text, self.report).map(Serves::Country);
        let is_letters = text.bytes().all(|it| it.is_ascii_alphabetic());
        let begins_as = text.get(..2).is_some_and(|it| it.eq_ignore_ascii_case("AS"));
        let of_digits = text.get(2..).unwrap_or_default();
        if text == "*" {
            Some(Serves::Any)
        } else if let Some(code) = text.strip_prefix("country:") {
            country(code)
        } else if let Ok(continent) = text.parse::<Continent>() {
            Some(Serves::Continent(continent))
        } else if text.len() == 2 && is_letters {
            country(text)
        } else if begins_as && of_digits.bytes().all(|it| it.is_ascii_digit()) {
            places::asn(place, text, self.report).map(Serves::Asn)
        } else if text.contains(['/', ':', '.']) {
            places::prefix(place, text, self.report).map(Serves::Prefix)
        } else if text.contains('-') {
            places::subdivision(place, text, self.report).map(Serves::Subdivision)
        } else {
            self.no_clients(place, text);
            None
        }
    }

    /// Whether a pool keeps those whom it serves.
    pub(super) fn fence(&self, file: &PoolFile<'_>) -> bool {
        let Some((place, true)) = file.fence.placed() else { return false };
        let mut entries = file.serves.given().into_iter().flatten();
        if file.serves.is_absent() {
            self.fence_without_serves(place);
        } else if entries.any(|it| it.given() == Some(&"*")) {
            self.fence_around_all(place);
        }
        true
    }

    /// Clients are either kept by all pools that serve them on one level, or by none.
    pub(super) fn check_fences(&self, drafted: &[Drafted<'_, '_>]) {
        let mut first: HashMap<Serves, &Drafted<'_, '_>> = HashMap::new();
        for it in drafted {
            // `*` in a fenced pool has been complained of.
            for clients in it.pool.serves.iter().filter(|it| **it != Serves::Any) {
                let first = *first.entry(*clients).or_insert(it);
                match (first.pool.fence, it.pool.fence) {
                    (true, false) => self.half_a_fence(it.place, &it.pool.name, &first.pool.name),
                    (false, true) => {
                        self.half_a_fence(first.place, &first.pool.name, &it.pool.name);
                    }
                    _ => {}
                }
            }
        }
    }
}

// ---- Complaints ----

impl Planner<'_> {
    fn no_clients(&self, place: Place, text: &str) {
        let hint = "write `192.0.2.0/24`, `AS64500`, `US-CA`, `US`, a continent (`AF`, `AN`, `AS`, \
                    `EU`, `NA`, `OC`, `SA`) or `*`; `country:SA` is a country with the code of a \
                    continent";
        self.report.say(place, format!("`{text}` is nobody whom a pool could serve"), hint);
    }

    fn clients_twice(&self, place: Place, text: &str) {
        self.report.say(place, format!("`{text}` is there twice"), "remove one");
    }

    fn serves_nobody(&self, place: Place) {
        let hint = "say whom, or remove the key for everyone";
        self.report.say(place, "the pool serves nobody", hint);
    }

    fn fence_without_serves(&self, place: Place) {
        let hint = "say whom with `serves`: a fence keeps those whom the pool serves";
        self.report.say(place, "there is a `fence` and no `serves`", hint);
    }

    fn fence_around_all(&self, place: Place) {
        let message = "a `fence` around everyone (`*`) keeps nobody from anything";
        let hint = "take `*` out of `serves`, into a pool without a fence, or remove the fence";
        self.report.say(place, message, hint);
    }

    fn half_a_fence(&self, place: Place, open: &str, fenced: &str) {
        let message = format!(
            "the pools `{fenced}` and `{open}` serve the same clients, and only `{fenced}` is fenced"
        );
        self.report.say(place, message, format!("fence `{open}` as well, or neither"));
    }
}
