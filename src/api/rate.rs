//! Rates: how often a client may call, so that one cannot keep the control loop from the others.
//!
//! Each client has a bucket of calls that fills again while it does not call. Clients on this machine
//! are not counted: they can do worse, and a proxy among them calls for many.
//!
//! # Invariants
//!
//! - The table is bounded. Who finds no room in it shares one bucket with all others who do not, so
//!   that many addresses are worth no more than one.
//!
//! Not here: how many connections there are (`server`).

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::limits::{API_CALLS_AT_ONCE_MAX, API_CALLS_PER_S_MAX, API_CLIENTS_MAX};

/// The calls of clients.
#[derive(Debug, Default)]
pub(super) struct Rates {
    clients: HashMap<u128, Bucket>,
    /// Of those for whom there is no room.
    others: Option<Bucket>,
}

/// Calls that a client may make at once.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    calls: f64,
    at: Instant,
}

impl Rates {
    /// Takes a call of a client in.
    ///
    /// # Errors
    ///
    /// When it has called too often: how long it has to wait.
    pub(super) fn take(&mut self, client: IpAddr, now: Instant) -> Result<(), Duration> {
        if client.to_canonical().is_loopback() {
            return Ok(());
        }
        let key = key(client);
        if !self.clients.contains_key(&key) && API_CLIENTS_MAX <= self.clients.len() {
            self.clients.retain(|_, it| !it.at(now).is_full());
        }
        let has_room = self.clients.len() < API_CLIENTS_MAX || self.clients.contains_key(&key);
        let bucket = if has_room {
            self.clients.entry(key).or_insert(Bucket::full(now))
        } else {
            self.others.get_or_insert(Bucket::full(now))
        };
        *bucket = bucket.at(now);
        if 1.0 <= bucket.calls {
            bucket.calls -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - bucket.calls) / API_CALLS_PER_S_MAX))
    }
}

impl Bucket {
    fn full(now: Instant) -> Self {
        Self { calls: API_CALLS_AT_ONCE_MAX, at: now }
    }

    /// It, as it is by now.
    fn at(self, now: Instant) -> Self {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        let calls = (self.calls + since * API_CALLS_PER_S_MAX).min(API_CALLS_AT_ONCE_MAX);
        Self { calls, at: now }
    }

    fn is_full(&self) -> bool {
        API_CALLS_AT_ONCE_MAX <= self.calls
    }
}

/// What tells clients apart: an IPv4 address, or an IPv6 /64, which is what one host can have all of.
fn key(client: IpAddr) -> u128 {
    match client.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits() >> 64 << 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn calls(rates: &mut Rates, client: &str, now: Instant) -> usize {
        let client = client.parse().unwrap();
        (0..10_000).take_while(|_| rates.take(client, now).is_ok()).count()
    }

    #[test]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // They are small and whole.
    fn a_client_calls_so_often_and_others_all_the_same() {
        let (at_once, per_s) = (API_CALLS_AT_ONCE_MAX as usize, API_CALLS_PER_S_MAX as usize);
        let (mut rates, now) = (Rates::default(), clock::now());
        assert_eq!(calls(&mut rates, "192.0.2.1", now), at_once);
        let wait = rates.take("192.0.2.1".parse().unwrap(), now).unwrap_err();
        assert!(Duration::ZERO < wait && wait <= Duration::from_secs(1), "{wait:?}");
        assert_eq!(calls(&mut rates, "::ffff:192.0.2.1", now), 0, "it is the same");
        assert_eq!(calls(&mut rates, "2001:db8::1", now), at_once);
        assert_eq!(calls(&mut rates, "2001:db8::2", now), 0, "one host can have both");
        assert_eq!(calls(&mut rates, "192.0.2.1", now + Duration::from_secs(1)), per_s);
        assert_eq!(calls(&mut rates, "127.0.0.1", now), 10_000);
    }

    #[test]
    fn many_clients_share_one_bucket() {
        let (mut rates, now) = (Rates::default(), clock::now());
        let address =
            |idx: usize| IpAddr::from(u32::try_from(0x0A00_0000 + idx).unwrap().to_be_bytes());
        for idx in 0..API_CLIENTS_MAX {
            assert!(rates.take(address(idx), now).is_ok());
        }
        let n_others = (0..10_000)
            .filter(|idx| rates.take(address(API_CLIENTS_MAX + idx), now).is_ok())
            .count();
        assert!(n_others.to_string() == API_CALLS_AT_ONCE_MAX.to_string());
        assert_eq!(rates.clients.len(), API_CLIENTS_MAX);
        // Who has been silent for a while makes room.
        let later = now + Duration::from_mins(1);
        assert!(rates.take(address(99_999), later).is_ok());
        assert_eq!(rates.clients.len(), 1);
    }
}
