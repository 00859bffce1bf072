//! The keys that the file formats have and this version does not know yet.
//!
//! They are refused, because nothing is read and ignored; and not as typing errors, because the
//! operator has read of them.

/// The keys of the mirror that serde calls `name`.
pub(super) fn later(name: &str) -> &'static [&'static str] {
    match name {
        "the server file" => {
            &["tls", "proxy_from", "rate_limit", "cookies", "identity", "log_answers"]
        }
        "the zone file" => &["defaults", "dnssec"],
        "`steer`" => &["slo"],
        _ => &[],
    }
}
