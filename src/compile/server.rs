//! The server file: settings, regions, checks, and which files there are of zones and places.

use std::{
    fs::DirEntry,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    LatencySettings, Settings, api, atlas,
    checks::{self, Checks, bad_target, target_of},
    keeping,
    places::{self, Region},
    ramp, say_number,
    source::{Looked, Mark, Source, source_error},
    udp, webhooks,
};
use crate::{
    config::{
        self, Field, Place, Report,
        server::{ControlFile, LatencyFile, ProberFile, ServerFile, listen_default},
    },
    geo::{Networks, Prefix},
    health::{Kind, ProbeSpec, Sanity, Tcp},
    limits::{
        CONTROL_EVERY, CONTROL_TARGETS_MAX, CONTROL_TIMEOUT, LATENCY_HALF_LIFE_MIN,
        LATENCY_SAMPLES_MIN_MAX,
    },
    steer::Ramp,
};

pub(super) const STARTUP_WAIT_DEFAULT: Duration = Duration::from_secs(5);

/// What the server file says.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) settings: Settings,
    pub(super) regions: Vec<Region>,
    pub(super) checks: Checks,
    /// How pools come back where a zone file says nothing.
    pub(super) ramp: Option<Ramp>,
    /// Where places come from, and what the operator knows besides.
    pub(super) geoip: atlas::Sources,
    pub(super) networks: Networks,
    /// The files and folders that `zones` names, and where.
    pub(super) zones: Vec<(PathBuf, Place)>,
}

/// Where a zone file is.
#[derive(Debug)]
pub(super) struct ZoneAt {
    pub(super) path: Arc<Path>,
    /// What names it.
    pub(super) place: Place,
    /// What the listing of its folder says, where that is no link: it is looked at faster by way of
    /// that.
    pub(super) entry: Option<DirEntry>,
}

/// Reads it, and adds the files and folders that it names to `sources`.
pub(super) fn read(source: &Source, report: &Report, sources: &mut Vec<PathBuf>) -> Option<Server> {
    let tree = config::parse(&source.text, source.file, report);
    let top = Place { file: source.file, line: 1, column: 1 };
    let Some(tree) = tree else {
        if report.count() == 0 {
            no_version(report, top);
        }
        return None;
    };
    let file: ServerFile<'_> = config::read(&tree, source.file, report)?;
    let folder = source.path.parent().unwrap_or(Path::new(""));

    match file.version.placed() {
        Some((_, &"1")) => {}
        Some((place, version)) => bad_version(report, place, version),
        None if file.version.is_absent() => no_version(report, top),
        None => {}
    }
    let regions = places::regions(file.regions.given(), report);
    let networks = places::networks(file.networks.given(), report);
    let geoip = atlas::Sources::read(&file.geoip, folder, report, sources);
    let checks = checks::read(file.checks.given(), folder, report, sources);
    let prober = file.prober.given();
    let wait = prober.and_then(|it| it.startup_wait.given());
    let listen = listen(&file.listen, report);
    let settings = Settings {
        api: api::read(&file.api, folder, &listen, report, sources),
        listen,
        udp: udp::read(file.udp.given(), report),
        user: user(&file.user, report),
        startup_wait: wait.map_or(STARTUP_WAIT_DEFAULT, |it| it.0),
        sanity: prober.map(|it| sanity(it, report)).unwrap_or_default(),
        explain_from: explain_from(&file.explain_from, report),
        latency: latency(file.latency.given(), report),
        state: keeping::read(&file.state, folder, report),
        webhooks: webhooks::read(&file.webhooks, folder, report, sources),
    };
    if file.zones.is_absent() {
        no_zones(report, top);
    }
    let zones = file.zones.given().into_iter().flatten().filter_map(Field::placed);
    let zones = zones.map(|(place, entry)| (folder.join(entry), place)).collect();
    let ramp = file.defaults.given().and_then(|it| ramp::read(&it.ramp, None, report));
    Some(Server { settings, regions, checks, ramp, geoip, networks, zones })
}

/// The zone files that `zones` names, and the folders that were listed for them; adds to `sources`
/// what else was looked for.
pub(super) fn zone_files(
    zones: &[(PathBuf, Place)],
    report: &Report,
    sources: &mut Vec<Looked>,
) -> (Vec<ZoneAt>, Vec<Looked>) {
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for (path, place) in zones {
        folders.extend(zone_files_of(path, *place, report, &mut files, sources));
    }
    (files, folders)
}

fn listen(field: &Field<Vec<Field<&str>>>, report: &Report) -> Vec<SocketAddr> {
    let (Some((place, entries)), false) = (field.placed(), field.is_absent()) else {
        return listen_default();
    };
    let mut listen: Vec<SocketAddr> = Vec::with_capacity(entries.len());
    for (place, text) in entries.iter().filter_map(Field::placed) {
        match text.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 && listen.contains(&address) => {
                listen_twice(report, place, address);
            }
            Ok(address) if is_mapped(address) => mapped(report, place, address),
            Ok(address) => match listen.iter().find(|it| overlap(**it, address)) {
                Some(other) => part_of(report, place, address, *other),
                None => listen.push(address),
            },
            Err(_) if text.contains("://") => listen_later(report, place, text),
            Err(_) => bad_listen(report, place, text),
        }
    }
    if entries.is_empty() {
        listen_nowhere(report, place);
    }
    listen
}

/// Whether one of two addresses with the same port is all addresses of their family. The sockets of
/// `[::]` take IPv6 alone.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() != 0
        && one.port() == other.port()
        && one.is_ipv4() == other.is_ipv4()
        && (one.ip().is_unspecified() || other.ip().is_unspecified())
}

/// Whether an address is of IPv4 and only written as one of IPv6.
fn is_mapped(address: SocketAddr) -> bool {
    address.is_ipv6() && address.ip().to_canonical().is_ipv4()
}

fn user(field: &Field<&str>, report: &Report) -> Option<String> {
    let (place, user) = field.placed()?;
    if user.is_empty() || user.contains('\0') {
        bad_user(report, place);
    }
    Some((*user).to_owned())
}

fn explain_from(field: &Field<Vec<Field<&str>>>, report: &Report) -> Arc<[Prefix]> {
    let mut prefixes: Vec<Prefix> = Vec::new();
    for (place, text) in field.given().into_iter().flatten().filter_map(Field::placed) {
        let Some(prefix) = places::prefix(place, text, report) else { continue };
        if prefixes.contains(&prefix) {
            explain_from_twice(report, place, text);
        }
        prefixes.push(prefix);
    }
    prefixes.into()
}

fn latency(file: Option<&LatencyFile>, report: &Report) -> LatencySettings {
    let mut settings = LatencySettings::default();
    let Some(file) = file else { return settings };
    let samples = say_number(report, "samples_min", &file.samples_min, 1..=LATENCY_SAMPLES_MIN_MAX);
    if let Some(samples) = samples.and_then(|it| u32::try_from(it).ok()) {
        settings.samples_min = samples;
    }
    if let Some((place, half_life)) = file.half_life.placed() {
        if half_life.0 < LATENCY_HALF_LIFE_MIN {
            half_life_short(report, place);
        }
        settings.half_life = half_life.0;
    }
    if let Some(hysteresis) = file.hysteresis.given() {
        settings.hysteresis_percent = hysteresis.0.into();
    }
    settings
}

fn sanity(file: &ProberFile<'_>, report: &Report) -> Sanity {
    let default = Sanity::default();
    let blind_for = file.blind_for.given().map_or(default.blind_for, |it| it.0);
    let mut control: Vec<Arc<ProbeSpec>> = Vec::new();
    for (place, target) in file.control.given().into_iter().flatten().filter_map(Field::placed) {
        let Some(spec) = control_target(place, target, report) else { continue };
        if control.iter().any(|it| **it == spec) {
            control_twice(report, place, &spec);
        }
        control.push(Arc::new(spec));
    }
    match file.control.placed() {
        Some((place, entries)) if entries.is_empty() => no_control(report, place),
        Some((place, _)) if CONTROL_TARGETS_MAX < control.len() => many_control(report, place),
        _ => {}
    }
    Sanity {
        control: control.into(),
        blind_above_percent: file
            .blind_above
            .given()
            .map_or(default.blind_above_percent, |it| it.0),
        blind_for,
    }
}

fn control_target(place: Place, file: &ControlFile<'_>, report: &Report) -> Option<ProbeSpec> {
    if file.tcp.is_absent() {
        control_of_no_kind(report, place);
    }
    let (place, text) = file.tcp.placed()?;
    let Some((target, Some(port))) = target_of(text) else {
        bad_target(report, place, text, true);
        return None;
    };
    Some(ProbeSpec {
        target,
        port,
        kind: Kind::Tcp(Tcp::default()),
        invert: false,
        every: CONTROL_EVERY,
        timeout: CONTROL_TIMEOUT,
        // A single outcome says what it says.
        fall: 1,
        rise: 1,
        flap: None,
    })
}

/// A file, or the zone files of a folder in the order of their names.
fn zone_files_of(
    path: &Path,
    place: Place,
    report: &Report,
    files: &mut Vec<ZoneAt>,
    sources: &mut Vec<Looked>,
) -> Option<Looked> {
    if !path.is_dir() {
        if is_zone_file(path) {
            files.push(ZoneAt { path: path.into(), place, entry: None });
        } else {
            // It may be a folder that is still to come.
            sources.push(Looked::at(path));
            no_zone_file(report, place, path);
        }
        return None;
    }
    let entries = std::fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match entries {
        Ok(entries) => {
            let mark = Mark::of_folder(entries.iter().map(DirEntry::file_name));
            let at = |it: DirEntry| (it.path(), it);
            let mut found: Vec<(PathBuf, DirEntry)> =
                entries.into_iter().map(at).filter(|(path, _)| is_zone_file(path)).collect();
            // As octets: to compare paths part by part takes longer than to read a small file.
            found.sort_by(|(a, _), (b, _)| a.as_os_str().cmp(b.as_os_str()));
            if found.is_empty() {
                empty_folder(report, place, path);
            }
            files.extend(found.into_iter().map(|(path, entry)| {
                let is_plain = entry.file_type().is_ok_and(|it| it.is_file());
                ZoneAt { path: path.into(), place, entry: is_plain.then_some(entry) }
            }));
            Some(Looked { path: path.into(), mark: Some(mark), is_plain: false })
        }
        Err(error) => {
            source_error(report, place, path, &error);
            Some(Looked::at(path))
        }
    }
}

/// By its name; what an editor leaves lying about begins with a dot.
fn is_zone_file(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|it| it.as_encoded_bytes().starts_with(b"."));
    !hidden && path.extension().is_some_and(|it| it == "yaml" || it == "zone")
}

// ---- Complaints ----

fn no_version(report: &Report, place: Place) {
    report.say(place, "the file does not say its `version`", "begin it with `version: 1`");
}

fn bad_version(report: &Report, place: Place, version: &str) {
    let message = format!("version `{version}` of the file format is not known");
    report.say(place, message, "write `version: 1`");
}

fn no_zones(report: &Report, place: Place) {
    let message = "the file names no zones";
    report.say(place, message, "write `zones: zones/`, or a list of files");
}

fn empty_folder(report: &Report, place: Place, path: &Path) {
    let message = format!("there are no zone files in `{}`", path.display());
    report.say(place, message, "their names end in `.yaml` or `.zone`");
}

fn no_zone_file(report: &Report, place: Place, path: &Path) {
    let message = format!("`{}` is no folder and no zone file", path.display());
    report.say(place, message, "the names of zone files end in `.yaml` or `.zone`");
}

fn bad_listen(report: &Report, place: Place, text: &str) {
    let message = format!("`{text}` is not an address and a port");
    report.say(place, message, "write `192.0.2.1:53` or `[2001:db8::1]:53`");
}

fn listen_later(report: &Report, place: Place, text: &str) {
    let message = format!("`{text}` is not supported yet");
    report.say(place, message, "write `192.0.2.1:53`, which is UDP and TCP");
}

fn mapped(report: &Report, place: Place, address: SocketAddr) {
    let plain = SocketAddr::new(address.ip().to_canonical(), address.port());
    let message = format!("`{address}` is an IPv4 address");
    report.say(place, message, format!("write `{plain}`"));
}

fn part_of(report: &Report, place: Place, address: SocketAddr, other: SocketAddr) {
    let message = format!("`{address}` and `{other}` overlap");
    report.say(place, message, "one of them is all addresses of the machine; remove one");
}

fn listen_twice(report: &Report, place: Place, address: SocketAddr) {
    report.say(place, format!("`{address}` is there twice"), "remove one");
}

fn listen_nowhere(report: &Report, place: Place) {
    let hint = "name an address, or remove the key for all addresses on port 53";
    report.say(place, "the server would listen nowhere", hint);
}

fn explain_from_twice(report: &Report, place: Place, text: &str) {
    report.say(place, format!("`{text}` is there twice"), "remove one");
}

fn half_life_short(report: &Report, place: Place) {
    let hint = format!("the shortest is {}s", LATENCY_HALF_LIFE_MIN.as_secs());
    report.say(place, "`half_life` is too short", hint);
}

fn control_of_no_kind(report: &Report, place: Place) {
    let message = "this control target is of no kind";
    report.say(place, message, "write `{ tcp: \"192.0.2.1:443\" }`");
}

fn control_twice(report: &Report, place: Place, spec: &ProbeSpec) {
    report.say(place, format!("`{spec}` is there twice"), "remove one");
}

fn no_control(report: &Report, place: Place) {
    let hint = "name one, or remove the key: then the targets of the checks decide";
    report.say(place, "there is no control target", hint);
}

fn many_control(report: &Report, place: Place) {
    let message = "there are too many control targets";
    report.say(place, message, format!("leave at most {CONTROL_TARGETS_MAX}"));
}

fn bad_user(report: &Report, place: Place) {
    report.say(place, "this is no user", "write the name of a user of this machine");
}
