//! What is kept from one reading of the files to the next: whatever was edited, a server that goes on
//! has what one that starts has, and complains of the same.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use evenkeel::{
    compile::{self, Loaded, Memory, Plan},
    health::{Outcome, ProbeSpec, Report, Status, Told, Tree, Verdict, Why},
    snapshot::Snapshot,
    state::{Change, Note, Overrides, Pattern, State, Word},
};
use proptest::{prelude::*, sample::select};

/// Files that may be there, beside `m.zone`.
const ZONES: usize = 5;

/// Something that happens between two snapshots.
#[derive(Debug, Clone)]
enum Step {
    /// The file of a zone says something else, or is not there.
    Zone(usize, usize),
    /// The file that `m.zone` includes.
    Include(usize),
    /// The server file.
    Server(usize),
    /// The time of a file changes and nothing else.
    Touch(usize),
    /// All of it is read, and taken in.
    Reload,
    /// A probe of the plan finds something out.
    Probe(usize, Verdict),
    /// An operator says something of some endpoints, or nothing any more.
    Say(usize),
    /// So many seconds pass.
    Wait(u64),
    /// What is known by now is published.
    Publish,
}

/// What operators say: of an address, of a name, and nothing.
const SAID: [Option<(&str, Word)>; 4] = [
    Some(("192.0.2.9", Word::Down)),
    Some(("www.z1.example", Word::Drain)),
    Some(("192.0.2.8", Word::Up)),
    None,
];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let verdict = || select(vec![Verdict::Up, Verdict::Down]);
    let step = prop_oneof![
        6 => (0..ZONES, 0..15_usize).prop_map(|(zone, says)| Step::Zone(zone, says)),
        1 => (0..3_usize).prop_map(Step::Include),
        2 => (0..7_usize).prop_map(Step::Server),
        1 => (0..ZONES).prop_map(Step::Touch),
        4 => Just(Step::Reload),
        3 => (0..8_usize, verdict()).prop_map(|(probe, verdict)| Step::Probe(probe, verdict)),
        1 => (0..SAID.len()).prop_map(Step::Say),
        2 => (1..20_u64).prop_map(Step::Wait),
        2 => Just(Step::Publish),
    ];
    prop::collection::vec(step, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_kept_is_what_a_start_would_read(includes: bool, steps in steps()) {
        let mut world = World::new(includes);
        for step in &steps {
            world.step(step);
        }
        world.step(&Step::Reload);
    }
}

struct World {
    folder: tempfile::TempDir,
    /// Seconds since 1970 that the next file is given as its time.
    now: u64,
    /// When things happen.
    clock: SystemTime,
    memory: Memory,
    state: State,
    latest: Snapshot,
}

impl World {
    /// A file that includes another one is read anew each time, and then all are gone through.
    fn new(includes: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("zones")).unwrap();
        let mut now = 1_000_000_000;
        write(folder.path(), "evenkeel.yaml", &server(0), &mut now);
        let master =
            if includes { format!("{MASTER}$INCLUDE inc.part\n") } else { MASTER.to_owned() };
        write(folder.path(), "zones/m.zone", &master, &mut now);
        write(folder.path(), "zones/inc.part", &include(0), &mut now);
        for zone in 0..ZONES {
            write(folder.path(), &path(zone), &text(zone, 1).unwrap(), &mut now);
        }
        let memory = Memory::default();
        let (plan, _) = load(folder.path(), &memory).unwrap();
        let (mut state, _) = State::begin(plan);
        state.apply(Change::WarmedUp);
        let clock = SystemTime::UNIX_EPOCH;
        let latest = state.snapshot(clock).unwrap();
        Self { folder, now, clock, memory, state, latest }
    }

    fn step(&mut self, step: &Step) {
        let folder = self.folder.path();
        match step {
            Step::Zone(zone, says) => match text(*zone, *says) {
                Some(text) => write(folder, &path(*zone), &text, &mut self.now),
                None => drop(fs::remove_file(folder.join(path(*zone)))),
            },
            Step::Include(says) => write(folder, "zones/inc.part", &include(*says), &mut self.now),
            Step::Server(says) => write(folder, "evenkeel.yaml", &server(*says), &mut self.now),
            Step::Touch(zone) => {
                if let Ok(text) = fs::read_to_string(folder.join(path(*zone))) {
                    write(folder, &path(*zone), &text, &mut self.now);
                }
            }
            Step::Reload => self.reload(),
            Step::Probe(probe, verdict) => self.probe(*probe, *verdict),
            Step::Say(what) => {
                let mut said = Overrides::default();
                if let Some((target, word)) = SAID[*what] {
                    let (reason, author) = (String::new(), String::new());
                    let note = Note { reason, author, since: self.clock, until: None };
                    said.add(Pattern::new(target).unwrap(), word, note);
                }
                self.state.apply(Change::Said(said));
            }
            Step::Wait(secs) => self.clock += Duration::from_secs(*secs),
            Step::Publish => self.publish(),
        }
    }

    fn publish(&mut self) {
        self.state.wake(self.clock);
        self.latest = self.state.snapshot(self.clock).unwrap_or(self.latest.clone());
    }

    fn probe(&mut self, probe: usize, verdict: Verdict) {
        let probes = &self.state.plan().probes;
        if probes.is_empty() {
            return;
        }
        let spec = Arc::clone(&probes[probe % probes.len()]);
        let status = Status { verdict, shaky: false };
        let outcome = Outcome::Failed(Why::Status(500));
        self.state.apply(Change::Probed(Report {
            spec,
            status,
            outcome,
            at: self.clock,
            told: Told::default(),
            took: Duration::ZERO,
        }));
    }

    fn reload(&mut self) {
        let fresh = load(self.folder.path(), &Memory::default());
        let plan = match (load(self.folder.path(), &self.memory), fresh) {
            (Ok((plan, sources)), Ok((fresh, fresh_sources))) => {
                assert_eq!(sources, fresh_sources);
                assert_eq!(plan.capacities, fresh.capacities);
                assert_eq!(show_plan(&plan), show_plan(&fresh));
                self.state.apply(Change::Reloaded(Box::new(plan)));
                fresh
            }
            (Err(complaints), Err(fresh)) => return assert_eq!(complaints, fresh),
            (kept, fresh) => panic!("kept: {kept:?}, fresh: {fresh:?}"),
        };
        self.publish();
        let (mut fresh, _) = State::begin(plan);
        let probes = self.state.plan().probes.iter().enumerate();
        let known: HashMap<_, _> = probes
            .map(|(idx, it)| (it.clone(), self.state.known(evenkeel::ids::ProbeId::at(idx))))
            .collect();
        fresh.restore(|spec| known.get(spec).copied());
        fresh.restore_ramps(self.state.ramps());
        fresh.apply(Change::Said(self.state.overrides().clone()));
        fresh.apply(Change::WarmedUp);
        same_snapshot(&self.latest, &fresh.snapshot(self.clock).unwrap());
    }
}

/// Reads the files as at a time when none of them is about to change; says what was read, as well.
fn load(folder: &Path, memory: &Memory) -> Result<(Plan, String), String> {
    let began = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    let loaded = compile::load_with(&folder.join("evenkeel.yaml"), memory, began);
    let Loaded { plan, sources, zones } = loaded;
    let zones = zones.iter().map(|it| (&it.path, &it.mark, it.is_plain));
    let sources = sources.iter().map(|it| &it.path).collect::<Vec<_>>();
    let sources = format!("{sources:?} {:?}", zones.collect::<Vec<_>>());
    plan.map(|plan| (plan, sources)).map_err(|it| it.to_text())
}

/// Every write has a time of its own, so that it shows.
fn write(folder: &Path, name: &str, text: &str, now: &mut u64) {
    *now += 1;
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(*now);
    fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
}

fn path(zone: usize) -> String {
    format!("zones/z{zone}.yaml")
}

fn server(says: usize) -> String {
    let (every, region, web, ramp, capacity) = [
        ("10s", "east", 80, "none", ""),
        ("20s", "east", 80, "none", ""),
        ("10s", "west", 80, "none", ""),
        ("10s", "east", 81, "none", ""),
        ("10s", "east", 80, "{ steps: [10%, 100%], every: 10s }", ""),
        ("10s", "east", 80, "none", ", capacity: 15"),
        ("10s", "east", 80, "none", ", capacity: 5"),
    ][says];
    let db = 161 - web;
    format!(
        "version: 1\nlisten: ['127.0.0.1:5300']\nzones: zones/\ngeoip: []\n\
         defaults: {{ ramp: {ramp} }}\n\
         regions: {{ {region}: {{ at: [50.0, 8.0] }}, other: {{ at: [1.0, 1.0]{capacity} }}, b: {{}}, c: {{}} }}\n\
         checks: {{ web: {{ tcp: {{ port: {web} }}, every: {every} }}, db: {{ tcp: {{ port: {db} }} }} }}\n"
    )
}

const MASTER: &str = "\
@ 60 IN SOA ns1.example.net. h.example.net. 1 2 3 4 5
@ 60 IN NS ns1.example.net.
";

fn include(says: usize) -> String {
    format!("a {} IN A 192.0.2.1\n", [60, 61, 0][says])
}

/// What a zone's file says; none: it is not there.
fn text(zone: usize, says: usize) -> Option<String> {
    let next = (zone + 1) % ZONES;
    let head = |apex: usize, ttl: usize| {
        format!("zone: z{apex}.example\nttl: {ttl}\nrecords:\n  '@': {{ NS: ns1.example.net. }}\n")
    };
    let steer = |check: &str, pool: &str| {
        format!("  www: {{ steer: {{ check: {check}, pools: {{ other: {{ {pool} }} }} }} }}\n")
    };
    let ramped = |pools: &str| {
        format!(
            "  www: {{ steer: {{ check: web, ramp: {{ steps: [20%, 50%, 100%], every: 10s }}, \
             pools: {{ {pools} }} }} }}\n"
        )
    };
    let demands = |demand: usize, pools: &str| {
        format!("  www: {{ steer: {{ check: web, demand: {demand}, pools: {{ {pools} }} }} }}\n")
    };
    Some(match says {
        0 => return None,
        1 => head(zone, 60) + "  www: { A: 192.0.2.1 }\n",
        2 => head(zone, 61) + "  www: { AAAA: '2001:db8::1' }\n",
        3 => head(zone, 60) + &steer("web", &format!("A: [192.0.2.{zone}, 192.0.2.9]")),
        4 => head(zone, 60) + &steer("[web, db]", "A: [192.0.2.8, 192.0.2.9]"),
        5 => {
            head(zone, 60)
                + &format!(
                    "  www: {{ steer: {{ pools: {{ other: {{ alias: www.z{next}.example. }} }} }} }}\n"
                )
        }
        6 => head(zone, 60) + "  www: { A: nonsense }\n",
        7 => head(next, 60) + "  www: { A: 192.0.2.7 }\n",
        8 => head(zone, 60) + "  a: { A: 192.0.2.7 }\n  b: { TXT: x }\n",
        9 => head(zone, 60) + &ramped("other: { A: 192.0.2.8 }, b: { A: 192.0.2.9 }"),
        // With a pool more.
        10 => {
            head(zone, 60)
                + &ramped("other: { A: 192.0.2.8 }, b: { A: 192.0.2.9 }, c: { A: 192.0.2.7 }")
        }
        11 => {
            let pools = "other: { A: [192.0.2.8, 192.0.2.9, 192.0.2.10] }";
            head(zone, 60)
                + &format!(
                    "  www: {{ steer: {{ check: web, eject_max: 40%, pools: {{ {pools} }} }} }}\n"
                )
        }
        12 => head(zone, 60) + &demands(10, "other: { A: 192.0.2.8 }, b: { A: 192.0.2.9 }"),
        13 => head(zone, 60) + &demands(4, "other: { A: 192.0.2.8 }, c: { A: 192.0.2.7 }"),
        _ => {
            head(zone, 60)
                + "  www: { steer: { check: db, pools: { east: { A: [192.0.2.8, 192.0.2.9] } } } }\n"
        }
    })
}

/// A plan without the numbers in it.
fn show_plan(plan: &Plan) -> String {
    let named = |tree: &Tree| {
        let mut specs = Vec::new();
        tree.for_each_probe(&mut |id| specs.push((&plan.probes[id.idx()], &plan.checks[id.idx()])));
        format!("{specs:?}")
    };
    let zones = plan.zones.iter().map(|zone| {
        let steered = zone.steered.iter().map(|it| {
            let probes: Vec<_> = it.probes.iter().flatten().map(named).collect();
            format!("{} {:?} {probes:?}\n", it.owner, it.policy)
        });
        format!("{:?}{}", zone.zone, steered.collect::<String>())
    });
    let zones: String = zones.collect();
    let probes: BTreeSet<String> =
        plan.probes.iter().map(|it: &Arc<ProbeSpec>| format!("{it:?}")).collect();
    assert_eq!(probes.len(), plan.probes.len(), "each probe is there once");
    format!("{zones}{probes:?}{:?}", plan.regions)
}

fn same_snapshot(kept: &Snapshot, fresh: &Snapshot) {
    assert_eq!(kept.zones().len(), fresh.zones().len());
    assert_eq!(kept.basins, fresh.basins);
    for (kept_zone, zone) in kept.zones().iter().zip(fresh.zones().iter()) {
        assert_eq!(format!("{:?}", kept_zone.zone), format!("{:?}", zone.zone));
        let mut folded = evenkeel::wire::Folded::default();
        folded.fold(zone.zone.apex().as_wire()).unwrap();
        let found = kept.zone(&folded, evenkeel::wire::Rtype::SOA).unwrap();
        assert!(Arc::ptr_eq(&found.zone, &kept_zone.zone));
        assert_eq!(kept_zone.steered.len(), zone.steered.len());
        for (kept, fresh) in kept_zone.steered.iter().zip(zone.steered.iter()) {
            assert_eq!(kept.policy, fresh.policy);
            assert_eq!(kept.families, fresh.families);
            assert_eq!(kept.parts, fresh.parts);
        }
    }
}

#[test]
fn what_zones_say_here_is_right_but_for_one() {
    let mut world = World::new(false);
    for says in 1..15 {
        world.step(&Step::Zone(0, says));
        // The file that says another zone's apex stands alone.
        (1..ZONES).for_each(|zone| world.step(&Step::Zone(zone, usize::from(says != 7))));
        let loaded = load(world.folder.path(), &Memory::default());
        assert_eq!(loaded.is_ok(), says != 6, "{says}: {loaded:?}");
    }
}

/// A zone that is longer than what is read at once; `last` stands at its end.
fn long(last: &str) -> String {
    use std::fmt::Write as _;
    let mut text = "zone: example.com\nrecords:\n  '@': { NS: ns1.example.net. }\n".to_owned();
    for host in 0..30_000 {
        if host % 1000 == 0 {
            let check = ["web", "[web, db]"][host / 1000 % 2];
            let pools = format!("{{ other: {{ A: [192.0.2.{}, 192.0.2.250] }} }}", host / 1000);
            let steer = format!("{{ check: {check}, pools: {pools} }}");
            writeln!(text, "  steered-{host}:\n    ttl: 20\n    steer: {steer}").unwrap();
        }
        writeln!(text, "  host-{host}: {{ A: 192.0.2.{}, TXT: 'the host {host}' }}", host % 250)
            .unwrap();
    }
    text + last
}

#[test]
fn a_long_zone_is_read_as_a_short_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut now = 1_000_000_000;
    fs::create_dir(folder.path().join("zones")).unwrap();
    write(folder.path(), "evenkeel.yaml", &server(0), &mut now);
    let mut load = |last: &str| {
        write(folder.path(), "zones/z.yaml", &long(last), &mut now);
        load(folder.path(), &Memory::default())
    };
    // What has an anchor is not cut into pieces.
    let whole = load("  last: &a { A: 192.0.2.1 }\n").unwrap();
    let in_pieces = load("  last: { A: 192.0.2.1 }\n").unwrap();
    let ((whole, _), (in_pieces, _)) = (whole, in_pieces);
    assert_eq!(show_plan(&in_pieces), show_plan(&whole));
    assert_eq!(in_pieces.probes, whole.probes);
    let wrong = load("  last: { A: 192.0.2.1 }\n  host-3: { A: x }\n").unwrap_err();
    assert!(wrong.contains("z.yaml:30095:3: `host-3` is there twice"), "{wrong}");
    let wrong = load("  last: { A: x }\n").unwrap_err();
    assert!(wrong.contains("z.yaml:30094:14: `x` is not an IPv4 address"), "{wrong}");
}
