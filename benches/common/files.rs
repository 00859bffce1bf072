//! What is served where a bench compares kinds of answers.

use std::fmt::Write as _;

/// `{listen}` stands for the address.
pub(crate) const SERVER_FILE: &str = "\
version: 1
listen: [\"{listen}\"]
zones: zones/
regions:
  us: { at: aws/us-east-1 }
  eu: { at: aws/eu-west-1 }
  ap: { at: aws/ap-northeast-1 }
";

/// A fixed name, a weighted one, and one that is placed by distance.
pub(crate) const ZONE_FILE: &str = "\
zone: bench.example
ttl: 1h
soa: { primary: ns1, contact: hostmaster@example.com, serial: 1 }
records:
  \"@\": { NS: ns1 }
  ns1: { A: 192.0.2.53 }
  fixed: { A: 192.0.2.1 }
  weighted:
    ttl: 20s
    steer:
      pools:
        us: { weight: 60, A: 192.0.2.10 }
        eu: { weight: 30, A: 192.0.2.20 }
        ap: { weight: 10, A: 192.0.2.30 }
  placed:
    ttl: 20s
    steer:
      by: distance
      slack: 5000km
      pools:
        us: { weight: 60, A: 192.0.2.10 }
        eu: { weight: 30, A: 192.0.2.20 }
        ap: { weight: 10, A: 192.0.2.30 }
";

/// Names of the zone in which names are looked for that are not there.
const BIG_ZONE_NAMES: usize = 1_000_000;

/// A zone of many names, as other servers write it.
pub(crate) fn big_zone() -> Result<String, std::fmt::Error> {
    let mut zone = String::from(
        "$ORIGIN big.example.\n\
         @ 3600 IN SOA ns1.bench.example. hostmaster.example.com. 1 3600 900 1209600 300\n\
         @ 3600 IN NS ns1.bench.example.\n",
    );
    for name in 0..BIG_ZONE_NAMES {
        writeln!(zone, "n{name} 3600 IN A 192.0.2.{}", name % 256)?;
    }
    Ok(zone)
}
