//! The figures as a table and as JSON.

use std::{collections::BTreeMap, fs, io::Write};

use serde_json::{Value, json};

use super::{
    Subject,
    common::{Result, median},
    data::Scenario,
    peer::{self, Peer},
};

pub(crate) fn print_table(subjects: &[Subject]) -> Result<()> {
    let mut out = std::io::stdout();
    let rounds = subjects.first().map_or(0, |it| it.measured.len());
    writeln!(out, "medians of {rounds} interleaved rounds, one thread on one core")?;
    for scenario in Scenario::ALL {
        writeln!(
            out,
            "\n{:<25}{:>12}{:>14}{:>16}{:>14}{:>14}",
            scenario.name(),
            "µs/question",
            "x reflector",
            "Evenkeel's x",
            "questions/s",
            "octets"
        )?;
        for peer in Peer::ALL {
            let name = peer.name();
            let Some(subject) = find(subjects, peer, scenario) else {
                let why = if peer.missing().is_empty() { "-" } else { "missing" };
                writeln!(out, "{name:<25}{why:>12}{why:>14}{why:>16}{why:>14}{why:>14}")?;
                continue;
            };
            let (cost, rate) = (median(&costs(subject)) / 1000.0, median(&rates(subject)));
            let to_floor = median(&ratios(subjects, subject, Peer::Reflector));
            let ours = median(&ours(subjects, subject));
            let len = subject.reply_len;
            writeln!(
                out,
                "{name:<25}{cost:>12.3}{to_floor:>14.3}{ours:>16.3}{rate:>14.0}{len:>14}"
            )?;
        }
    }
    Ok(())
}

pub(crate) fn json(subjects: &[Subject]) -> Result<Value> {
    let servers: Vec<Value> = subjects
        .iter()
        .map(|subject| {
            let to_floor = ratios(subjects, subject, Peer::Reflector);
            let ours = ours(subjects, subject);
            json!({
                "scenario": subject.scenario.name(),
                "server": subject.peer.name(),
                "draws_by_weight": subject.peer.draws(subject.scenario),
                "reply_octets": subject.reply_len,
                "cpu_ns_per_question": median(&costs(subject)),
                "ratio_to_reflector": median(&to_floor),
                "ratio_of_evenkeel_to_it": median(&ours),
                "questions_per_second": median(&rates(subject)),
                "rounds": {
                    "cpu_ns_per_question": costs(subject),
                    "questions_per_second": rates(subject),
                    "ratio_to_reflector": to_floor,
                    "ratio_of_evenkeel_to_it": ours,
                },
            })
        })
        .collect();
    let mut versions = BTreeMap::new();
    for subject in subjects.iter().filter(|it| it.peer != Peer::Reflector) {
        versions.insert(subject.peer.name(), subject.peer.version()?);
    }
    Ok(json!({
        "machine": machine()?,
        "versions": versions,
        "missing": peer::missing(),
        "measurements": servers,
    }))
}

fn machine() -> Result<Value> {
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let cpu = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    Ok(json!({
        "cpu": cpu.unwrap_or("?"),
        "cores": cpus.lines().filter(|line| line.starts_with("processor")).count(),
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease")?.trim(),
    }))
}

fn find(subjects: &[Subject], peer: Peer, scenario: Scenario) -> Option<&Subject> {
    subjects.iter().find(|it| it.peer == peer && it.scenario == scenario)
}

/// Cost in each round as a multiple of another's in the same round.
fn ratios(subjects: &[Subject], subject: &Subject, to: Peer) -> Vec<f64> {
    let other = find(subjects, to, subject.scenario).expect("these two are always there");
    costs(subject).iter().zip(costs(other)).map(|(cost, other)| cost / other).collect()
}

/// Evenkeel's cost in each round as a multiple of its.
fn ours(subjects: &[Subject], subject: &Subject) -> Vec<f64> {
    ratios(subjects, subject, Peer::Evenkeel).iter().map(|it| 1.0 / it).collect()
}

/// Nanoseconds of CPU per question, round by round.
fn costs(subject: &Subject) -> Vec<f64> {
    subject.measured.iter().map(|it| it.cost).collect()
}

/// Questions per second, round by round.
fn rates(subject: &Subject) -> Vec<f64> {
    subject.measured.iter().map(|it| it.rate).collect()
}
