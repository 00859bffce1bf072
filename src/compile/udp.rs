//! How packets are taken in: the key `udp` of the server file.

use std::{ops::RangeInclusive, time::Duration};

use super::{UdpSettings, say_number};
use crate::{
    config::{Field, Place, Report, server::UdpFile},
    limits::{
        CORE_MAX, UDP_BUFFER_LEN_MAX, UDP_BUFFER_LEN_MIN, UDP_BUSY_POLL_MAX, UDP_THREADS_MAX,
    },
};

const BUFFER_LEN: RangeInclusive<u64> = UDP_BUFFER_LEN_MIN..=UDP_BUFFER_LEN_MAX;

pub(super) fn read(file: Option<&UdpFile>, report: &Report) -> UdpSettings {
    let Some(file) = file else { return UdpSettings::default() };
    let number = |name, field, range| {
        say_number(report, name, field, range).and_then(|it| usize::try_from(it).ok())
    };
    UdpSettings {
        threads: number("threads", &file.threads, 1..=UDP_THREADS_MAX),
        cores: cores(&file.cores, report),
        receive_buffer_len: number("receive_buffer", &file.receive_buffer, BUFFER_LEN),
        send_buffer_len: number("send_buffer", &file.send_buffer, BUFFER_LEN),
        busy_poll: file.busy_poll.placed().map_or(Duration::ZERO, |(place, it)| {
            if UDP_BUSY_POLL_MAX < it.0 {
                busy_poll_long(report, place);
            }
            it.0
        }),
    }
}

fn cores(field: &Field<Vec<Field<u64>>>, report: &Report) -> Vec<usize> {
    let mut cores = Vec::new();
    let Some((place, entries)) = field.placed() else { return cores };
    if entries.is_empty() {
        no_core(report, place);
    }
    for entry in entries {
        let core = say_number(report, "cores", entry, 0..=CORE_MAX);
        let Some(core) = core.and_then(|it| usize::try_from(it).ok()) else { continue };
        if cores.contains(&core)
            && let Some((place, _)) = entry.placed()
        {
            core_twice(report, place, core);
        }
        cores.push(core);
    }
    cores
}

// ---- Complaints ----

fn no_core(report: &Report, place: Place) {
    report.say(place, "there is no core", "name one, or remove the key for any");
}

fn core_twice(report: &Report, place: Place, core: usize) {
    report.say(place, format!("core {core} is there twice"), "remove one");
}

fn busy_poll_long(report: &Report, place: Place) {
    let hint = format!("the longest is {}ms", UDP_BUSY_POLL_MAX.as_millis());
    report.say(place, "`busy_poll` is too long", hint);
}
