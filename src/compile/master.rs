//! Master files (RFC 1035 section 5): entries, directives, records.
//!
//! ```text
//!   text --lines::Lines--> entries of words --Reader--> draft
//! ```
//!
//! Until a `$ORIGIN` says something else, names are relative to the name of the file without
//! `.zone`: what other servers take from their configuration.
//!
//! Not here: what the data of a type is (`rdata`), and what records mean together (`draft`).

mod lines;

use std::sync::Arc;

use super::{
    PlannedZone, World,
    draft::{Draft, OwnerIdx},
    rdata::{self, name_octets, seconds},
    source::Source,
    words::Word,
};
use crate::{
    config::Place,
    limits::INCLUDE_DEPTH_MAX,
    wire::{Name, Rtype},
};
use lines::Lines;

/// Reads a zone; none where something is wrong with it.
pub(super) fn read(source: &Source, world: &mut World<'_>) -> Option<PlannedZone> {
    let stem = source.path.file_stem().and_then(|it| it.to_str()).unwrap_or_default();
    let origin = Name::parse(stem, Some(&Name::root())).unwrap_or_else(|_| Name::root());
    let mut reader = Reader {
        world,
        draft: None,
        ttl_default: None,
        ttl_last: None,
        octets: Vec::new(),
        stopped: false,
    };
    reader.file(source, origin, 0);
    let Reader { world, draft, stopped, .. } = reader;
    if draft.is_none() && !stopped {
        world.no_soa(Place { file: source.file, line: 1, column: 1 });
    }
    draft?.finish()
}

struct Reader<'w, 'r> {
    world: &'w mut World<'r>,
    /// There is one from the SOA on.
    draft: Option<Draft<'r>>,
    /// `$TTL` (RFC 2308 section 4).
    ttl_default: Option<u32>,
    /// That of the record before.
    ttl_last: Option<u32>,
    /// The data at hand.
    octets: Vec<u8>,
    /// The first record was no SOA: nothing more can be said.
    stopped: bool,
}

/// What is current in one file.
struct Context {
    origin: Name,
    /// The owner of the record before, for those that have none of their own.
    owner: Option<(Name, Option<OwnerIdx>)>,
    depth: usize,
}

impl Reader<'_, '_> {
    fn file(&mut self, source: &Source, origin: Name, depth: usize) {
        let text = Arc::clone(&source.text);
        let mut context = Context { origin, owner: None, depth };
        let mut lines = Lines::new(&text, source.file);
        let mut words = Vec::new();
        while let Some(entry) = lines.next(&mut words) {
            if self.stopped {
                return;
            }
            match entry {
                Err(fault) => self.world.bad_entry(&fault),
                Ok(blank) => match words.as_slice() {
                    [] => {}
                    [first, ..] if !blank && !first.quoted && first.text.starts_with('$') => {
                        self.directive(source, &words, &mut context);
                    }
                    _ => self.entry(&words, blank, &mut context),
                },
            }
        }
    }

    fn directive(&mut self, source: &Source, words: &[Word<'_>], context: &mut Context) {
        let name = words[0].text.to_ascii_uppercase();
        match (name.as_str(), &words[1..]) {
            ("$ORIGIN", [origin]) => match self.name(origin, &context.origin) {
                Some(name) => context.origin = name,
                None => self.stopped = true,
            },
            ("$TTL", [ttl]) => match seconds(&ttl.text) {
                Some(ttl) => self.ttl_default = Some(ttl),
                None => self.world.bad_ttl(ttl),
            },
            ("$INCLUDE", [file]) => {
                let origin = context.origin.clone();
                self.include(source, file, origin, context.depth);
            }
            ("$INCLUDE", [file, origin]) => {
                if let Some(origin) = self.name(origin, &context.origin) {
                    self.include(source, file, origin, context.depth);
                }
            }
            _ => self.world.bad_directive(&words[0]),
        }
    }

    /// Reads another file; the origin of this one holds again after it (RFC 1035 section 5.1).
    fn include(&mut self, source: &Source, file: &Word<'_>, origin: Name, depth: usize) {
        if depth == INCLUDE_DEPTH_MAX {
            return self.world.too_deep(file.place);
        }
        let path = source.path.parent().map_or_else(Default::default, |it| it.join(&*file.text));
        self.world.includes.push(path.clone());
        if let Some(source) = Source::read(&path, file.place, self.world.report) {
            self.file(&source, origin, depth + 1);
        }
    }

    fn entry(&mut self, words: &[Word<'_>], blank: bool, context: &mut Context) {
        let mut at = 0;
        if !blank {
            at = 1;
            let name = self.name(&words[0], &context.origin);
            context.owner = name.map(|it| (it, None));
            if context.owner.is_none() {
                return;
            }
        }
        let mut ttl = None;
        let mut class = false;
        let rtype = loop {
            let Some(word) = words.get(at) else {
                let last = words.last().expect("an entry has words");
                return self.world.no_type(last.place);
            };
            at += 1;
            if !class && is_class(word) {
                class = true;
                if !word.text.eq_ignore_ascii_case("IN") {
                    return self.world.bad_class(word);
                }
            } else if ttl.is_none() && word.text.starts_with(|it: char| it.is_ascii_digit()) {
                ttl = seconds(&word.text);
                if ttl.is_none() {
                    return self.world.bad_ttl(word);
                }
            } else {
                break word;
            }
        };
        let place = rtype.place;
        let Ok(rtype) = rtype.text.parse::<Rtype>() else {
            return self.world.unknown_type(place, &rtype.text);
        };
        if self.world.refuse_type(place, rtype) {
            return;
        }
        self.octets.clear();
        let data = &words[at..];
        if let Err(wrong) = rdata::encode(rtype, data, &context.origin, &mut self.octets) {
            let place = data.get(wrong.word).or(data.last()).map_or(place, |it| it.place);
            return self.world.bad_data(place, wrong);
        }
        let ttl = ttl.or(self.ttl_default).or(self.ttl_last).or_else(|| {
            // A SOA without any TTL has its minimum (the reading of RFC 1035 section 3.3.13).
            let minimum = self.octets.last_chunk().filter(|_| rtype == Rtype::SOA);
            minimum.map(|it| u32::from_be_bytes(*it))
        });
        let Some(ttl) = ttl else { return self.world.no_ttl(place) };
        self.ttl_last = Some(ttl);
        let owner_place = words[0].place;
        self.record(rtype, ttl, place, owner_place, context);
    }

    fn record(
        &mut self,
        rtype: Rtype,
        ttl: u32,
        place: Place,
        owner_place: Place,
        context: &mut Context,
    ) {
        let Some((name, idx)) = &mut context.owner else {
            return self.world.no_owner(owner_place);
        };
        let draft = if let Some(draft) = &mut self.draft {
            draft
        } else {
            if rtype != Rtype::SOA {
                self.stopped = true;
                return self.world.no_soa(place);
            }
            self.world.apex = Some((name.clone(), place));
            self.draft.insert(Draft::new(name.clone(), place, self.world.report))
        };
        if !name.is_at_or_below(draft.apex()) {
            return self.world.outside(owner_place, name, draft.apex());
        }
        let owner = *idx.get_or_insert_with(|| draft.owner(name.clone(), owner_place).0);
        draft.record(owner, rtype, ttl, place, &self.octets);
    }

    fn name(&self, word: &Word<'_>, origin: &Name) -> Option<Name> {
        match name_octets(&word.text, Some(origin)) {
            Ok(octets) => Name::from_wire(&octets),
            Err(wrong) => {
                self.world.bad_name(word.place, &word.text, wrong);
                None
            }
        }
    }
}

fn is_class(word: &Word<'_>) -> bool {
    let is = |it: &&str| word.text.eq_ignore_ascii_case(it);
    !word.quoted && ["IN", "CH", "HS", "CS", "ANY", "NONE"].iter().any(is)
}

// ---- Complaints ----

impl World<'_> {
    fn no_soa(&self, place: Place) {
        let hint = "the zone begins with its SOA; its owner is the apex";
        self.report.say(place, "the first record is not a SOA", hint);
    }

    fn bad_entry(&self, fault: &lines::Fault) {
        match fault {
            lines::Fault::OpenQuote(place) => self.open_quote(*place),
            lines::Fault::OpenParenthesis(place) => {
                let hint = "close it with `)`, or write `\\(` for one that is meant";
                self.report.say(*place, "a parenthesis is not closed", hint);
            }
            lines::Fault::ClosedParenthesis(place) => {
                let hint = "remove it, or write `\\)` for one that is meant";
                self.report.say(*place, "a parenthesis closes that was not opened", hint);
            }
        }
    }

    fn bad_directive(&self, word: &Word<'_>) {
        let message = format!("`{}` is not understood", word.text);
        let hint = "known are `$ORIGIN NAME`, `$TTL SECONDS` and `$INCLUDE FILE [ORIGIN]`";
        self.report.say(word.place, message, hint);
    }

    fn too_deep(&self, place: Place) {
        let hint = format!("at most {INCLUDE_DEPTH_MAX} files include each other");
        self.report.say(place, "files include each other too deep", hint);
    }

    fn bad_ttl(&self, word: &Word<'_>) {
        let message = format!("`{}` is not a TTL", word.text);
        let hint = "write seconds, at most 2147483647, or units as in `1h30m`";
        self.report.say(word.place, message, hint);
    }

    fn bad_class(&self, word: &Word<'_>) {
        let message = format!("the class `{}` is not served", word.text);
        self.report.say(word.place, message, "write `IN`, or leave it out");
    }

    fn no_type(&self, place: Place) {
        let hint = "write `NAME TTL IN TYPE DATA`; a line that begins with a space has no name";
        self.report.say(place, "this entry has no record type", hint);
    }

    fn no_ttl(&self, place: Place) {
        let hint = "begin the file with `$TTL 1h` (RFC 2308 section 4)";
        self.report.say(place, "this record has no TTL", hint);
    }

    fn no_owner(&self, place: Place) {
        let hint = "no record stands before it whose name it could have; begin the line with one";
        self.report.say(place, "this record has no name", hint);
    }
}
