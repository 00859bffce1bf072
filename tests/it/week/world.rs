//! The world that a simulated server is in: hosts that die and come back, whole regions with them, and
//! the prober's own network.
//!
//! *Not here:* when what happens (`week`).

use std::{net::IpAddr, time::Duration};

use evenkeel::health::{ProbeSpec, Target};

use super::files::{HOSTS, REGIONS};

/// How long a good host takes to answer.
const QUICK: Duration = Duration::from_millis(23);

/// Everything that probes meet.
#[derive(Debug)]
pub(super) struct World {
    hosts: Vec<Vec<Host>>,
    regions_lost: Vec<bool>,
    /// Whether the prober's own network is lost.
    pub(super) cut: bool,
}

/// A host.
#[derive(Debug, Clone)]
struct Host {
    state: HostState,
    /// How long it takes to answer.
    takes: Duration,
    /// The one port of it that refuses, if any.
    broken: Option<u16>,
}

/// How a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HostState {
    Alive,
    /// It refuses connections.
    Refuses,
    /// It says nothing at all.
    Silent,
}

/// What becomes of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meets {
    pub(super) good: bool,
    /// How long it takes to find out.
    pub(super) takes: Duration,
}

impl World {
    pub(super) fn new() -> Self {
        let host = Host { state: HostState::Alive, takes: QUICK, broken: None };
        Self {
            hosts: vec![vec![host; HOSTS]; REGIONS.len()],
            regions_lost: vec![false; REGIONS.len()],
            cut: false,
        }
    }

    pub(super) fn set_host(&mut self, region: usize, host: usize, state: HostState) {
        self.hosts[region][host].state = state;
    }

    pub(super) fn set_takes(&mut self, region: usize, host: usize, takes: Option<Duration>) {
        self.hosts[region][host].takes = takes.unwrap_or(QUICK);
    }

    pub(super) fn set_broken(&mut self, region: usize, host: usize, port: Option<u16>) {
        self.hosts[region][host].broken = port;
    }

    pub(super) fn set_lost(&mut self, region: usize, lost: bool) {
        self.regions_lost[region] = lost;
    }

    /// What a probe meets that is executed now.
    pub(super) fn meets(&self, spec: &ProbeSpec) -> Meets {
        let silence = Meets { good: false, takes: spec.timeout };
        if self.cut {
            return silence;
        }
        self.meets_but_for_the_cut(spec)
    }

    /// The same if the prober's own network is there.
    pub(super) fn meets_but_for_the_cut(&self, spec: &ProbeSpec) -> Meets {
        let silence = Meets { good: false, takes: spec.timeout };
        let Some((region, host)) = place(spec) else {
            return Meets { good: true, takes: QUICK };
        };
        let Host { state, takes, broken } = &self.hosts[region][host];
        let refuses = *state == HostState::Refuses || *broken == Some(spec.port);
        if self.regions_lost[region] || *state == HostState::Silent || spec.timeout <= *takes {
            silence
        } else {
            Meets { good: !refuses, takes: *takes }
        }
    }
}

/// The region and the host that a probe asks; none: it is no host of a region.
fn place(spec: &ProbeSpec) -> Option<(usize, usize)> {
    let Target::Address(address) = spec.target else { return None };
    let (region, host) = match address {
        IpAddr::V4(it) if it.octets()[1] == 51 => (it.octets()[2].into(), it.octets()[3].into()),
        IpAddr::V4(_) => return None,
        // What `::3:12` looks like is hexadecimal; `files` writes decimals.
        IpAddr::V6(it) => (it.segments()[6].into(), decimal(it.segments()[7])),
    };
    Some((region, host - 10))
}

/// The number that was written in hexadecimal digits.
fn decimal(segment: u16) -> usize {
    format!("{segment:x}").parse().unwrap()
}
