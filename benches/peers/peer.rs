//! The servers, each set up for speed with one thread for UDP, each on a scenario's data.
//!
//! One that cannot start ends the run, with what it said.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    common::{
        Result,
        server::{Server, free_address},
    },
    data::{FIXED, PARTS, Part, Scenario, TTL, WEIGHTED, ZONE, for_each_name},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Reflector,
    Evenkeel,
    Gdnsd,
    Knot,
    Nsd,
    /// Without its packet cache, which would give all clients one draw.
    PowerDns,
    /// With it.
    PowerDnsCaching,
}

/// A file that a server needs.
enum Need {
    Program(&'static str),
    /// Below `/usr/lib`.
    Library(&'static str),
}

impl Peer {
    /// The reflector first.
    pub(crate) const ALL: [Self; 7] = [
        Self::Reflector,
        Self::Evenkeel,
        Self::Gdnsd,
        Self::Knot,
        Self::Nsd,
        Self::PowerDns,
        Self::PowerDnsCaching,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reflector => "reflector",
            Self::Evenkeel => "Evenkeel",
            Self::Gdnsd => "gdnsd",
            Self::Knot => "Knot",
            Self::Nsd => "NSD",
            Self::PowerDns => "PowerDNS",
            Self::PowerDnsCaching => "PowerDNS, packet cache",
        }
    }

    /// Whether it has the means.
    pub(crate) fn can(self, scenario: Scenario) -> bool {
        match self {
            Self::Nsd | Self::PowerDnsCaching => scenario == Scenario::Fixed,
            _ => true,
        }
    }

    /// Whether it draws by weight. Knot draws by weight or by place, not by both.
    pub(crate) fn draws(self, scenario: Scenario) -> bool {
        match scenario {
            Scenario::Fixed => false,
            Scenario::Weighted => true,
            Scenario::Placed => self != Self::Knot,
        }
    }

    /// Debian packages that it needs and that are not there.
    pub(crate) fn missing(self) -> Vec<&'static str> {
        let missing = self.needs().iter().filter(|(need, _)| !need.is_there());
        missing.map(|(_, package)| *package).collect()
    }

    /// With the Debian packages that have it.
    fn needs(self) -> &'static [(Need, &'static str)] {
        match self {
            Self::Reflector | Self::Evenkeel => &[],
            Self::Gdnsd => &[(Need::Program("gdnsd"), "gdnsd")],
            Self::Knot => &[
                (Need::Program("knotd"), "knot"),
                (Need::Library("geoip.so"), "knot-module-geoip"),
            ],
            Self::Nsd => &[(Need::Program("nsd"), "nsd")],
            Self::PowerDns | Self::PowerDnsCaching => &[
                (Need::Program("pdns_server"), "pdns-server"),
                (Need::Library("libbindbackend.so"), "pdns-backend-bind"),
                (Need::Library("libgeoipbackend.so"), "pdns-backend-geoip"),
            ],
        }
    }

    /// What it says of its version.
    pub(crate) fn version(self) -> Result<String> {
        let (name, flag) = match self {
            Self::Reflector => return Ok(String::new()),
            Self::Evenkeel => return Ok(env!("CARGO_PKG_VERSION").into()),
            Self::Gdnsd => ("gdnsd", "-V"),
            Self::Knot => ("knotd", "-V"),
            Self::Nsd => ("nsd", "-v"),
            Self::PowerDns | Self::PowerDnsCaching => ("pdns_server", "--version"),
        };
        let output = Command::new(program(name)).arg(flag).output()?;
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let mut words = text.split_whitespace();
        let is_version = |word: &&str| word.starts_with(|it: char| it.is_ascii_digit());
        // PowerDNS says the time first.
        Ok(words
            .find(|word| is_version(word) && word.matches('.').count() == 2)
            .unwrap_or("?")
            .into())
    }

    /// Starts it on the data of a scenario; `world` is a file in MaxMind's format.
    pub(crate) fn start(self, scenario: Scenario, folder: &Path, world: &Path) -> Result<Server> {
        assert!(self.can(scenario));
        match self {
            Self::Reflector => Server::reflector(),
            Self::Evenkeel => evenkeel(scenario, folder, world),
            Self::Gdnsd => gdnsd(scenario, folder, world),
            Self::Knot => knot(scenario, folder, world),
            Self::Nsd => nsd(folder),
            Self::PowerDns => powerdns(scenario, folder, world, false),
            Self::PowerDnsCaching => powerdns(scenario, folder, world, true),
        }
    }
}

/// Debian packages that any server needs and that are not there.
pub(crate) fn missing() -> BTreeSet<&'static str> {
    Peer::ALL.iter().flat_map(|it| it.missing()).collect()
}

impl Need {
    fn is_there(&self) -> bool {
        match self {
            Self::Library(file) => holds(Path::new("/usr/lib"), file, 4),
            Self::Program(file) => is_installed(file),
        }
    }
}

/// Whether there is a file of this name in `folder` or a few folders further down.
fn holds(folder: &Path, file: &str, depth: usize) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    let mut paths = entries.filter_map(|it| it.ok().map(|it| it.path()));
    paths.any(|path| {
        path.ends_with(file) || (0 < depth && path.is_dir() && holds(&path, file, depth - 1))
    })
}

/// A server program; Debian keeps them where not everybody's path leads.
fn program(name: &str) -> PathBuf {
    let installed = Path::new("/usr/sbin").join(name);
    if installed.exists() { installed } else { name.into() }
}

/// Whether there is such a server program.
fn is_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    folders.any(|folder| folder.join(name).is_file())
}

fn evenkeel(scenario: Scenario, folder: &Path, world: &Path) -> Result<Server> {
    let geoip =
        if scenario == Scenario::Placed { world.display().to_string() } else { "[]".into() };
    let file = format!("version: 1\nlisten: [\"{{listen}}\"]\nzones: zones/\ngeoip: {geoip}\n");
    let mut pools = String::new();
    match scenario {
        Scenario::Fixed => (),
        Scenario::Weighted => {
            for (name, address, weight) in WEIGHTED {
                writeln!(pools, "        {name}: {{ weight: {weight}, A: {address} }}")?;
            }
        }
        Scenario::Placed => {
            for (idx, part) in PARTS.iter().enumerate() {
                let rest = if idx == 0 { ", \"*\"" } else { "" };
                let serves = part.continents.join(", ") + rest;
                for (number, (address, weight)) in part.addresses.iter().enumerate() {
                    let name = format!("{}-{number}", part.name);
                    writeln!(
                        pools,
                        "        {name}: {{ serves: [{serves}], weight: {weight}, A: {address} }}"
                    )?;
                }
            }
        }
    }
    let names = for_each_name(|label| match scenario {
        Scenario::Fixed => format!("  {label}: {{ A: {FIXED} }}\n"),
        _ => format!("  {label}:\n    ttl: {TTL}\n    steer:\n      pools:\n{pools}"),
    });
    let zone = format!(
        "zone: {ZONE}\nttl: 1h\nsoa: {{ primary: ns1, contact: hostmaster@example.com, serial: 1 }}\n\
         records:\n  \"@\": {{ NS: ns1 }}\n  ns1: {{ A: 192.0.2.53 }}\n{names}"
    );
    Server::evenkeel(folder, &file, &[("bench.example.yaml", &zone)])
}

/// The zone as a master file, with a line for each name.
fn master_file(line: impl Fn(&str) -> String) -> String {
    format!(
        "$ORIGIN {ZONE}.\n$TTL 3600\n@ SOA ns1 hostmaster.example.com. 1 3600 900 1209600 300\n\
         @ NS ns1\nns1 A 192.0.2.53\n{}",
        for_each_name(line)
    )
}

fn fixed_line(label: &str) -> String {
    format!("{label} A {FIXED}\n")
}

fn gdnsd(scenario: Scenario, folder: &Path, world: &Path) -> Result<Server> {
    let address = free_address()?;
    let dir = folder.display();
    let (mut weighted, mut places, mut parts) = (String::new(), String::new(), String::new());
    for (name, address, weight) in WEIGHTED {
        writeln!(weighted, "{name} => [ {address}, {weight} ]")?;
    }
    for Part { name, continents: [one, other], addresses: [(a, x), (b, y)] } in &PARTS {
        writeln!(places, "{one} => [ {name} ]\n{other} => [ {name} ]")?;
        writeln!(parts, "{name} => {{ a => [ {a}, {x} ], b => [ {b}, {y} ] }}")?;
    }
    let plugin = match scenario {
        Scenario::Fixed => String::new(),
        Scenario::Weighted => format!("weighted => {{ w => {{\n{weighted}}} }}"),
        Scenario::Placed => format!(
            "geoip => {{ maps => {{ m => {{ geoip2_db => {}, datacenters => [us, eu, ap], \
             map => {{\n{places}}} }} }}, resources => {{ p => {{ map => m, plugin => weighted, \
             dcmap => {{\n{parts}}} }} }} }}",
            world.display()
        ),
    };
    let config = format!(
        "options => {{ listen => \"{address}\", udp_threads => 1, tcp_threads => 1, \
         udp_rcvbuf => 1048576, udp_sndbuf => 1048576, run_dir => \"{dir}/run\", \
         state_dir => \"{dir}/state\" }}\nplugins => {{ {plugin} }}\n"
    );
    fs::write(folder.join("config"), config)?;
    fs::create_dir(folder.join("zones"))?;
    let zone = master_file(|label| match scenario {
        Scenario::Fixed => fixed_line(label),
        Scenario::Weighted => format!("{label} {TTL} DYNA weighted!w\n"),
        Scenario::Placed => format!("{label} {TTL} DYNA geoip!p\n"),
    });
    fs::write(folder.join("zones").join(ZONE), zone)?;
    Server::start(
        Command::new(program("gdnsd")).arg("-c").arg(folder).arg("start"),
        address,
        folder,
    )
}

fn knot(scenario: Scenario, folder: &Path, world: &Path) -> Result<Server> {
    let address = free_address()?;
    let dir = folder.display();
    let mode = match scenario {
        Scenario::Fixed => String::new(),
        Scenario::Weighted => "mode: weighted".into(),
        Scenario::Placed => format!(
            "mode: geodb\n    geodb-file: {}\n    geodb-key: continent/code",
            world.display()
        ),
    };
    let module = match scenario {
        Scenario::Fixed => String::new(),
        _ => format!(
            "mod-geoip:\n  - id: steer\n    config-file: {dir}/steer.yaml\n    ttl: {TTL}\n    {mode}\n"
        ),
    };
    let used = if scenario == Scenario::Fixed { "" } else { "    module: mod-geoip/steer\n" };
    let config = format!(
        "server:\n  rundir: {dir}\n  listen: {}@{}\n  udp-workers: 1\n  tcp-workers: 1\n  \
         background-workers: 1\n  edns-client-subnet: on\nlog:\n  - target: stderr\n    \
         any: warning\ndatabase:\n  storage: {dir}\n{module}zone:\n  - domain: {ZONE}\n    \
         file: {dir}/zone\n    zonefile-sync: -1\n    journal-content: none\n{used}",
        address.ip(),
        address.port(),
    );
    let steered = for_each_name(|label| {
        let mut lines = format!("{label}.{ZONE}:\n");
        let weighted = WEIGHTED.iter().map(|it| format!("  - weight: {}\n    A: {}\n", it.2, it.1));
        let placed = PARTS.iter().flat_map(|part| {
            let (address, _) = part.addresses[0];
            part.continents.map(|it| format!("  - geo: {it}\n    A: {address}\n"))
        });
        match scenario {
            Scenario::Fixed => return String::new(),
            Scenario::Weighted => lines.extend(weighted),
            Scenario::Placed => lines.extend(placed),
        }
        lines
    });
    fs::write(folder.join("steer.yaml"), steered)?;
    // What the module does not know is answered from the zone.
    fs::write(folder.join("zone"), master_file(fixed_line))?;
    fs::write(folder.join("knot.conf"), config)?;
    let config = folder.join("knot.conf");
    Server::start(Command::new(program("knotd")).arg("-c").arg(config), address, folder)
}

fn nsd(folder: &Path) -> Result<Server> {
    let address = free_address()?;
    let dir = folder.display();
    let config = format!(
        "server:\n  ip-address: {}@{}\n  server-count: 1\n  username: \"\"\n  chroot: \"\"\n  \
         zonesdir: \"{dir}\"\n  database: \"\"\n  pidfile: \"\"\n  xfrdfile: \"\"\n  \
         xfrdir: \"{dir}\"\n  zonelistfile: \"{dir}/zone.list\"\n  minimal-responses: yes\n  \
         round-robin: no\n  rrl-ratelimit: 0\n  receive-buffer-size: 1048576\n  \
         send-buffer-size: 1048576\nremote-control:\n  control-enable: no\n\
         zone:\n  name: {ZONE}\n  zonefile: zone\n",
        address.ip(),
        address.port(),
    );
    fs::write(folder.join("zone"), master_file(fixed_line))?;
    let file = folder.join("nsd.conf");
    fs::write(&file, config)?;
    Server::start(Command::new(program("nsd")).arg("-d").arg("-c").arg(file), address, folder)
}

fn powerdns(scenario: Scenario, folder: &Path, world: &Path, caching: bool) -> Result<Server> {
    let address = free_address()?;
    let dir = folder.display();
    let backend = match scenario {
        Scenario::Fixed => format!("launch=bind\nbind-config={dir}/named.conf\n"),
        Scenario::Weighted | Scenario::Placed => format!(
            "launch=geoip\ngeoip-zones-file={dir}/zone.yaml\ngeoip-database-files=mmdb:{}\n\
             edns-subnet-processing=yes\nquery-cache-ttl=0\n",
            world.display()
        ),
    };
    let cache_ttl = if caching { 3600 } else { 0 };
    let config = format!(
        "local-address={}\nlocal-port={}\nsocket-dir={dir}\nreceiver-threads=1\n\
         distributor-threads=1\nguardian=no\ndaemon=no\ndisable-syslog=yes\nwrite-pid=no\n\
         loglevel=3\nsecurity-poll-suffix=\ncache-ttl={cache_ttl}\n{backend}",
        address.ip(),
        address.port(),
    );
    fs::write(folder.join("pdns.conf"), config)?;
    let named = format!("zone \"{ZONE}\" {{ type master; file \"{dir}/zone\"; }};\n");
    fs::write(folder.join("named.conf"), named)?;
    fs::write(folder.join("zone"), master_file(fixed_line))?;
    fs::write(folder.join("zone.yaml"), powerdns_yaml(scenario))?;
    let config = format!("--config-dir={dir}");
    Server::start(Command::new(program("pdns_server")).arg(config), address, folder)
}

/// The zone of the backend that draws: a name per part of the world and name, and a service that
/// leads to that of the client's continent.
fn powerdns_yaml(scenario: Scenario) -> String {
    let line = |address, weight| format!("      - a: {{ content: {address}, weight: {weight} }}\n");
    let records = for_each_name(|label| {
        let name = format!("{label}.{ZONE}");
        if scenario == Scenario::Weighted {
            let lines = WEIGHTED.iter().map(|(_, address, weight)| line(address, *weight));
            return format!("    {name}:\n") + &lines.collect::<String>();
        }
        let parts = PARTS.iter().flat_map(|part| {
            part.continents.map(|it| {
                let lines = part.addresses.iter().map(|(address, weight)| line(address, *weight));
                format!("    {}.{name}:\n", it.to_lowercase()) + &lines.collect::<String>()
            })
        });
        parts.collect()
    });
    let services = for_each_name(|label| format!("    {label}.{ZONE}: '%cn.{label}.{ZONE}'\n"));
    let services = match scenario {
        Scenario::Placed => format!("  services:\n{services}"),
        _ => String::new(),
    };
    format!(
        "domains:\n- domain: {ZONE}\n  ttl: {TTL}\n  records:\n    {ZONE}:\n      \
         - soa: ns1.{ZONE} hostmaster.example.com 1 3600 900 1209600 300\n      - ns:\n          \
         content: ns1.{ZONE}\n          ttl: 3600\n    ns1.{ZONE}:\n      - a: 192.0.2.53\n\
         {records}{services}"
    )
}
