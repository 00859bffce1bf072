//! The mirror of a zone file.

use std::{fmt, marker::PhantomData};

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

use serde_json::json;

use super::{
    Amount, Entries, Field, Key, Lasting, Margin, Percent, Trickle, Ttl,
    schema::{NAME, Named, V4, V6},
};
use crate::limits::{ANSWERS_MAX, POOLS_MAX, RAMP_STEPS_MAX, WEIGHT_MAX};

/// The keys that say what a pool's endpoints are; it has one or more of them.
const ENDPOINTS: [&str; 4] = ["A", "AAAA", "CNAME", "alias"];

/// `zones/*.yaml`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "the zone file", bound(deserialize = "'de: 't"))]
#[schemars(rename = "ZoneFile", extend("required" = ["zone", "records"]))]
pub struct ZoneFile<'t> {
    /// The apex.
    #[schemars(regex(pattern = NAME))]
    pub zone: Field<&'t str>,
    /// The TTL where a record has no other.
    pub ttl: Field<Ttl>,
    /// The start of authority.
    #[serde(borrow)]
    pub soa: Field<SoaFile<'t>>,
    /// What is at the names.
    // There may be millions: they are read one by one with `config::entries`.
    #[schemars(with = "Field<Entries<'static, NameFile<'static>>>", extend("minProperties" = 1, "propertyNames" = { "pattern": NAME }))]
    pub records: Field<IgnoredAny>,
}

/// The start of authority.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "`soa`", bound(deserialize = "'de: 't"))]
#[schemars(rename = "SoaFile")]
pub struct SoaFile<'t> {
    /// The primary server.
    #[schemars(regex(pattern = NAME))]
    pub primary: Field<&'t str>,
    /// A mail address.
    #[serde(borrow)]
    #[schemars(regex(pattern = "^[!-~]{1,63}@\\S+$"))]
    pub contact: Field<&'t str>,
    /// A number, or `auto`.
    #[serde(borrow)]
    #[schemars(extend("type" = ["string", "integer"], "pattern" = "^(auto|[0-9]{1,10})$", "minimum" = 0, "maximum" = u32::MAX))]
    pub serial: Field<&'t str>,
    /// When secondaries look for a new serial.
    pub refresh: Field<Ttl>,
    /// When they look again after a failure.
    pub retry: Field<Ttl>,
    /// When they give up.
    pub expire: Field<Ttl>,
    /// How long an absence may be remembered.
    pub minimum: Field<Ttl>,
    /// The TTL of the SOA itself.
    pub ttl: Field<Ttl>,
}

/// What is at one name.
#[derive(Debug, Default)]
pub struct NameFile<'t> {
    /// The TTL where a record has no other.
    pub ttl: Field<Ttl>,
    /// How clients are steered.
    pub steer: Field<Box<SteerFile<'t>>>,
    /// The other keys: record types.
    pub sets: Vec<(Key<'t>, Field<SetFile<'t>>)>,
}

/// The records of one type at a name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(bound(deserialize = "'de: 't"))]
#[schemars(untagged)]
pub enum SetFile<'t> {
    /// One.
    Text(&'t str),
    /// Several.
    List(#[serde(borrow)] Vec<Field<&'t str>>),
    /// With a TTL of their own.
    Map(#[serde(borrow)] TtlSetFile<'t>),
}

/// Records with a TTL of their own.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "a record set", bound(deserialize = "'de: 't"))]
#[schemars(rename = "TtlSetFile", extend("required" = ["values"]))]
pub struct TtlSetFile<'t> {
    /// The TTL.
    pub ttl: Field<Ttl>,
    /// The records.
    #[serde(borrow)]
    #[schemars(length(min = 1))]
    pub values: Field<Vec<Field<&'t str>>>,
}

/// How the clients of a name are steered.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "`steer`", bound(deserialize = "'de: 't"))]
#[schemars(rename = "SteerFile", extend("required" = ["pools"]))]
pub struct SteerFile<'t> {
    /// What decides between pools.
    #[schemars(extend("enum" = ["weight", "latency", "distance"]))]
    pub by: Field<&'t str>,
    /// How much farther than the nearest still counts as near.
    pub slack: Field<Margin>,
    /// The checks that all must pass.
    #[serde(borrow)]
    pub check: Field<Vec<Field<&'t str>>>,
    /// The TTL while a change is in sight.
    pub ttl_min: Field<Ttl>,
    /// Most addresses in one answer.
    #[schemars(range(min = 1, max = ANSWERS_MAX))]
    pub answers: Field<u64>,
    /// What is answered when nothing is up.
    #[serde(borrow)]
    pub all_down: Field<&'t str>,
    /// What share of a pool must be up.
    pub min_up: Field<Percent>,
    /// What share of the name health alone may keep out.
    pub eject_max: Field<Percent>,
    /// How pools come back.
    #[serde(borrow)]
    pub ramp: Field<RampKey<'t>>,
    /// Whether a client stays with its pool.
    #[serde(borrow)]
    #[schemars(extend("enum" = ["none", "client"]))]
    pub sticky: Field<&'t str>,
    /// Its normal load.
    pub demand: Field<Amount>,
    /// The pools.
    #[serde(borrow)]
    #[schemars(extend("minProperties" = 1, "maxProperties" = POOLS_MAX))]
    pub pools: Field<Entries<'t, PoolFile<'t>>>,
}

/// A pool.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "a pool", bound(deserialize = "'de: 't"))]
#[schemars(rename = "PoolFile", extend("anyOf" = ENDPOINTS.map(|it| json!({ "required": [it] }))))]
pub struct PoolFile<'t> {
    /// Its region, or `none`.
    pub region: Field<&'t str>,
    /// Its share.
    #[schemars(range(min = 0, max = WEIGHT_MAX))]
    pub weight: Field<u64>,
    /// When its turn comes.
    #[schemars(range(min = 1, max = 65535))]
    pub tier: Field<u64>,
    /// What it gets even before that.
    pub trickle: Field<Trickle>,
    /// Whom it serves.
    #[serde(borrow)]
    #[schemars(length(min = 1))]
    pub serves: Field<Vec<Field<&'t str>>>,
    /// Whether those go nowhere else.
    pub fence: Field<bool>,
    /// How it comes back.
    #[serde(borrow)]
    pub ramp: Field<RampKey<'t>>,
    /// The checks that all must pass.
    #[serde(borrow)]
    pub check: Field<Vec<Field<&'t str>>>,
    /// Another name of this server.
    #[serde(borrow)]
    #[schemars(regex(pattern = NAME))]
    pub alias: Field<&'t str>,
    /// IPv4 endpoints.
    #[serde(borrow, rename = "A")]
    #[schemars(with = "Vec<V4>")]
    pub a: Field<Vec<Field<EndpointFile<'t>>>>,
    /// IPv6 endpoints.
    #[serde(borrow, rename = "AAAA")]
    #[schemars(with = "Vec<V6>")]
    pub aaaa: Field<Vec<Field<EndpointFile<'t>>>>,
    /// Target names.
    #[serde(borrow, rename = "CNAME")]
    #[schemars(with = "Vec<Named>")]
    pub cname: Field<Vec<Field<EndpointFile<'t>>>>,
}

/// How a pool comes back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(bound(deserialize = "'de: 't"))]
#[schemars(untagged)]
pub enum RampKey<'t> {
    /// `none`.
    Text(#[schemars(extend("enum" = ["none"]))] &'t str),
    /// In steps.
    Map(RampFile),
}

/// The steps in which a pool comes back.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "`ramp`")]
#[schemars(rename = "RampFile")]
pub struct RampFile {
    /// Shares of its weight.
    #[schemars(length(min = 2, max = RAMP_STEPS_MAX))]
    pub steps: Field<Vec<Field<Percent>>>,
    /// How long each lasts.
    pub every: Field<Lasting>,
}

/// An endpoint.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "'de: 't"))]
pub enum EndpointFile<'t> {
    /// Its address.
    Text(&'t str),
    /// Its address and more.
    Map(#[serde(borrow)] EndpointMap<'t>),
}

/// An endpoint that is more than an address.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename = "an endpoint", bound(deserialize = "'de: 't"))]
#[schemars(rename = "EndpointMap", extend("required" = ["address"]))]
pub struct EndpointMap<'t> {
    /// An address or, in a pool of `CNAME`, a target name.
    pub address: Field<&'t str>,
    /// Its share of the pool.
    #[schemars(range(min = 1, max = WEIGHT_MAX))]
    pub weight: Field<u64>,
    /// The checks that all must pass.
    #[serde(borrow)]
    pub check: Field<Vec<Field<&'t str>>>,
    /// The operator's word for it.
    #[serde(borrow)]
    pub label: Field<&'t str>,
}

impl<'de: 't, 't> Deserialize<'de> for NameFile<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NameVisitor(PhantomData))
    }
}

struct NameVisitor<'t>(PhantomData<&'t str>);

impl<'de: 't, 't> Visitor<'de> for NameVisitor<'t> {
    type Value = NameFile<'t>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NameFile<'t>, A::Error> {
        let mut name = NameFile::default();
        while let Some(key) = map.next_key::<Key<'t>>()? {
            match key.given() {
                Some(&"ttl") => name.ttl = map.next_value()?,
                Some(&"steer") => name.steer = map.next_value()?,
                _ => name.sets.push((key, map.next_value()?)),
            }
        }
        Ok(name)
    }
}
