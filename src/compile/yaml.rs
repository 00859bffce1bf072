//! Zone files in YAML: names, records and `steer` blocks.
//!
//! Not here: the shape of the file (`config::zone`), and what its records mean together (`draft`).

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::{
        Arc,
        mpsc::{channel, sync_channel},
    },
    thread,
};

use super::{
    PlannedZone, World,
    draft::{Draft, OwnerIdx},
    rdata::{self, name_octets},
    source::Source,
    steer, words,
};
use crate::{
    config::{
        self, Field, Key, Pairs, Pieces, Place, Report, Ttl,
        zone::{NameFile, SetFile, SoaFile, ZoneFile},
    },
    limits::{NAME_LEN_MAX, ZONE_PIECE_LEN, ZONE_PIECES_WAITING_MAX},
    wire::{Name, Rtype},
};

const TTL_DEFAULT: u32 = 60 * 60;
const REFRESH_DEFAULT: u32 = 60 * 60;
const RETRY_DEFAULT: u32 = 15 * 60;
const EXPIRE_DEFAULT: u32 = 14 * 24 * 60 * 60;
const MINIMUM_DEFAULT: u32 = 5 * 60;

/// Reads a zone; none where something is wrong with it.
pub(super) fn read(source: &Source, world: &mut World<'_>) -> Option<PlannedZone> {
    let is_long = ZONE_PIECE_LEN * ZONE_PIECES_WAITING_MAX < source.text.len();
    if let Some(zone) = is_long.then(|| in_pieces(source, world)).flatten() {
        return Some(zone);
    }
    let report = world.report;
    let before = report.count();
    let Some(tree) = config::parse(&source.text, source.file, report) else {
        // What is not YAML has been complained of; what is left is empty.
        if report.count() == before {
            world.no_records(source.top());
        }
        return None;
    };
    let file: ZoneFile<'_> = config::read(&tree, source.file, report)?;
    let mut reader = Reader::begin(source, &file, world)?;
    match tree.value("records") {
        Some(records) => {
            for (key, name) in config::entries(records, source.file, report) {
                reader.name(key, &name);
            }
        }
        None => reader.world.no_records(source.top()),
    }
    reader.finish(source, &file)
}

/// Reads a long zone piece by piece, each while the one before is compiled. None where it is not
/// written as most are, or anything is wrong with it: then it is read as any other, and what is
/// complained of does not depend on how it was read.
fn in_pieces(source: &Source, world: &mut World<'_>) -> Option<PlannedZone> {
    let Pieces { head, pieces } = Pieces::cut(&source.text, "records", ZONE_PIECE_LEN)?;
    let report = Report::default();
    let file = report.add_file(String::new(), Arc::default());
    let mut own = World::new(&report, world.context);
    let tree = config::parse(head, file, &report)?;
    let zone_file: ZoneFile<'_> = config::read(&tree, file, &report)?;
    // It would be there twice.
    if file != source.file || !zone_file.records.is_absent() {
        return None;
    }
    let mut reader = Reader::begin(source, &zone_file, &mut own)?;
    thread::scope(|scope| {
        let (parsed_in, parsed) = sync_channel(ZONE_PIECES_WAITING_MAX);
        // Whoever made the nodes frees them, which is cheaper, and takes no time of this thread.
        let (used_in, used) = channel::<Pairs<'_>>();
        scope.spawn(move || {
            for piece in pieces {
                if parsed_in.send(piece.parse()).is_err() {
                    return;
                }
                used.try_iter().for_each(drop);
            }
        });
        for pairs in parsed {
            let pairs = pairs?;
            for (key, name) in pairs.iter().filter_map(|it| config::entry(it, file, &report)) {
                reader.name(key, &name);
            }
            // Where the other has ended, they are freed here.
            let _ = used_in.send(pairs);
        }
        Some(())
    })?;
    let zone = reader.finish(source, &zone_file).filter(|_| report.count() == 0)?;
    let World { probes, apex, aliases, .. } = own;
    (world.probes, world.apex, world.aliases) = (probes, apex, aliases);
    Some(zone)
}

struct Reader<'w, 'r> {
    ttl: u32,
    draft: Draft<'r>,
    world: &'w mut World<'r>,
    /// The data at hand.
    octets: Vec<u8>,
}

impl<'w, 'r> Reader<'w, 'r> {
    /// Takes what stands beside the records; none where the zone has no name.
    fn begin(source: &Source, file: &ZoneFile<'_>, world: &'w mut World<'r>) -> Option<Self> {
        if file.zone.is_absent() {
            world.no_zone(source.top());
        }
        let apex = world.apex_of(&file.zone)?;
        let place = file.zone.place().unwrap_or(source.top());
        world.apex = Some((apex.clone(), place));
        let ttl = file.ttl.given().map_or(TTL_DEFAULT, |it| it.0);
        let draft = Draft::new(apex, place, world.report);
        Some(Self { ttl, draft, world, octets: Vec::new() })
    }

    fn finish(mut self, source: &Source, file: &ZoneFile<'_>) -> Option<PlannedZone> {
        let place = file.zone.place().unwrap_or(source.top());
        self.soa(place, &file.soa, source.changed);
        self.draft.finish()
    }

    fn name(&mut self, key: Key<'_>, file: &NameFile<'_>) {
        let Some((place, text)) = key.placed() else { return };
        let octets = match name_octets(text, Some(self.draft.apex())) {
            Ok(octets) => octets,
            Err(wrong) => return self.world.bad_name(place, text, wrong),
        };
        let name = Name::from_wire(&octets).expect("what was parsed is a name");
        if !name.is_at_or_below(self.draft.apex()) {
            return self.world.outside(place, &name, self.draft.apex());
        }
        let ttl = file.ttl.given().map_or(self.ttl, |it| it.0);
        let (owner, first) = self.draft.owner(name, place);
        if let Some(first) = first {
            self.world.name_twice(place, self.draft.name(owner), first);
        }
        if file.sets.is_empty() && file.steer.is_absent() {
            self.world.empty_name(place, self.draft.name(owner));
        }
        if let Some((at, steer)) = file.steer.placed() {
            let (name, apex) = (self.draft.name(owner).clone(), self.draft.apex().clone());
            if let Some((planned, cname)) = steer::plan(&name, at, ttl, steer, self.world, &apex) {
                self.draft.steer(owner, place, cname, planned);
            }
        }
        let mut seen: Vec<Rtype> = Vec::new();
        for (key, set) in &file.sets {
            let Some((at, text)) = key.placed() else { continue };
            let Ok(rtype) = text.parse::<Rtype>() else {
                self.world.unknown_type(at, text);
                continue;
            };
            if self.world.refuse_type(at, rtype) {
                continue;
            }
            if rtype == Rtype::SOA {
                self.world.soa_record(at);
                continue;
            }
            if seen.contains(&rtype) {
                self.world.type_twice(at, rtype);
            }
            seen.push(rtype);
            if let Some((place, set)) = set.placed() {
                self.set(owner, rtype, ttl, place, set);
            }
        }
    }

    fn set(&mut self, owner: OwnerIdx, rtype: Rtype, ttl: u32, place: Place, set: &SetFile<'_>) {
        let (ttl, values) = match set {
            SetFile::Text(text) => return self.record(owner, rtype, ttl, place, text),
            SetFile::List(values) => (ttl, values),
            SetFile::Map(map) => {
                if map.values.is_absent() {
                    return self.world.no_values(place, rtype);
                }
                let Some(values) = map.values.given() else { return };
                (map.ttl.given().map_or(ttl, |it| it.0), values)
            }
        };
        if values.is_empty() {
            self.world.no_values(place, rtype);
        }
        for (place, text) in values.iter().filter_map(Field::placed) {
            self.record(owner, rtype, ttl, place, text);
        }
    }

    fn record(&mut self, owner: OwnerIdx, rtype: Rtype, ttl: u32, place: Place, text: &str) {
        self.octets.clear();
        if self.data(rtype, place, text) {
            self.draft.record(owner, rtype, ttl, place, &self.octets);
        }
    }

    /// Reads data into `octets`; false when it was complained of.
    fn data(&mut self, rtype: Rtype, place: Place, text: &str) -> bool {
        // Most records are addresses.
        match rtype {
            Rtype::A => {
                if let Ok(address) = text.parse::<Ipv4Addr>() {
                    self.octets.extend(address.octets());
                    return true;
                }
            }
            Rtype::AAAA => {
                if let Ok(address) = text.parse::<Ipv6Addr>() {
                    self.octets.extend(address.octets());
                    return true;
                }
            }
            _ => {}
        }
        let is_text = matches!(rtype, Rtype::TXT | Rtype::SPF);
        if is_text && !text.contains('"') && !text.starts_with(r"\#") {
            return rdata::one_string(text, &mut self.octets)
                .map_err(|wrong| self.world.bad_data(place, wrong))
                .is_ok();
        }
        let Some(words) = words::cut(text, place) else {
            self.world.open_quote(place);
            return false;
        };
        rdata::encode(rtype, &words, self.draft.apex(), &mut self.octets)
            .map_err(|wrong| self.world.bad_data(place, wrong))
            .is_ok()
    }

    /// Adds the SOA, after the records: its primary is by default their first name server.
    fn soa(&mut self, zone_place: Place, field: &Field<SoaFile<'_>>, changed: u64) {
        let absent = SoaFile::default();
        let file = field.given().unwrap_or(&absent);
        let place = field.place().unwrap_or(zone_place);
        let mut octets = Vec::new();
        match file.primary.placed() {
            Some((place, text)) => match name_octets(text, Some(self.draft.apex())) {
                Ok(primary) => octets.extend(primary),
                Err(wrong) => self.world.bad_name(place, text, wrong),
            },
            None => octets.extend(self.draft.first_server().unwrap_or(&[0])),
        }
        if let Some((place, text)) = file.contact.placed() {
            match contact(text) {
                Some(contact) => octets.extend(contact),
                None => self.world.bad_contact(place, text),
            }
        } else {
            // RFC 2142 section 7.
            let mut contact = b"\x0Ahostmaster".to_vec();
            contact.extend(self.draft.apex().as_wire());
            octets.extend(if contact.len() <= NAME_LEN_MAX { contact } else { vec![0] });
        }
        let numbers = [
            self.serial(&file.serial, changed),
            seconds(&file.refresh, REFRESH_DEFAULT),
            seconds(&file.retry, RETRY_DEFAULT),
            seconds(&file.expire, EXPIRE_DEFAULT),
            seconds(&file.minimum, MINIMUM_DEFAULT),
        ];
        octets.extend(numbers.into_iter().flat_map(u32::to_be_bytes));
        let apex = self.draft.apex().clone();
        let (owner, _) = self.draft.owner(apex, zone_place);
        self.draft.record(owner, Rtype::SOA, seconds(&file.ttl, self.ttl), place, &octets);
    }

    /// `auto`, and an absent serial, is the time at which the file was changed: it grows with
    /// every change and is the same after a restart, and on every machine to which the file was
    /// copied with its time.
    fn serial(&self, field: &Field<&str>, changed: u64) -> u32 {
        let auto = u32::try_from(changed & u64::from(u32::MAX)).unwrap_or(0);
        match field.placed() {
            None | Some((_, &"auto")) => auto,
            Some((place, text)) => match text.parse() {
                Ok(serial) if !text.starts_with('+') => serial,
                _ => {
                    self.world.bad_serial(place, text);
                    auto
                }
            },
        }
    }
}

fn seconds(field: &Field<Ttl>, default: u32) -> u32 {
    field.given().map_or(default, |it| it.0)
}

/// A mail address as a name: the part before the `@` is the first label, whatever dots it has
/// (RFC 1035 section 8).
fn contact(text: &str) -> Option<Vec<u8>> {
    let (mailbox, domain) = text.rsplit_once('@')?;
    let domain = name_octets(domain, Some(&Name::root())).ok()?;
    let len = u8::try_from(mailbox.len()).ok().filter(|it| (1..64).contains(it))?;
    if !mailbox.bytes().all(|it| it.is_ascii_graphic()) || domain == [0] {
        return None;
    }
    let mut octets = vec![len];
    octets.extend(mailbox.as_bytes());
    octets.extend(domain);
    (octets.len() <= NAME_LEN_MAX).then_some(octets)
}

// ---- Complaints ----

impl World<'_> {
    fn apex_of(&self, field: &Field<&str>) -> Option<Name> {
        let (place, text) = field.placed()?;
        match name_octets(text, (*text != "@").then_some(&Name::root())) {
            Ok(octets) => Name::from_wire(&octets),
            Err(wrong) => {
                self.bad_name(place, text, wrong);
                None
            }
        }
    }

    fn no_zone(&self, place: Place) {
        let hint = "begin it with `zone: example.com`";
        self.report.say(place, "the file does not name its `zone`", hint);
    }

    fn no_records(&self, place: Place) {
        let hint = "write `records: { \"@\": { NS: [ns1.example.net.] } }`";
        self.report.say(place, "the zone has no `records`", hint);
    }

    fn name_twice(&self, place: Place, name: &Name, first: Place) {
        let first = self.report.place_text(first);
        let hint = format!("the first is at {first}; merge the two");
        self.report.say(place, format!("the name `{name}` is there twice"), hint);
    }

    fn empty_name(&self, place: Place, name: &Name) {
        let hint = "give it records or a `steer` block, or remove it";
        self.report.say(place, format!("there is nothing at `{name}`"), hint);
    }

    fn type_twice(&self, place: Place, rtype: Rtype) {
        self.report.say(place, format!("`{rtype}` is there twice"), "merge the two");
    }

    fn no_values(&self, place: Place, rtype: Rtype) {
        let hint = "write a record, a list of them, or `{ ttl: 1h, values: [...] }`";
        self.report.say(place, format!("there are no records under `{rtype}`"), hint);
    }

    fn soa_record(&self, place: Place) {
        let hint = "write `soa: { primary: ns1, contact: hostmaster@example.com }` at the top";
        self.report.say(place, "the SOA is not a record here", hint);
    }

    fn bad_contact(&self, place: Place, text: &str) {
        let message = format!("`{text}` is not a mail address");
        self.report.say(place, message, "write `contact: hostmaster@example.com`");
    }

    fn bad_serial(&self, place: Place, text: &str) {
        let message = format!("`{text}` is not a serial");
        self.report.say(place, message, "write `auto`, or a number from 0 to 4294967295");
    }
}
