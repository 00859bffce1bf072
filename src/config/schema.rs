//! JSON Schemas of the files, for editors that complete and complain while somebody types.
//!
//! ```text
//!   mirrors (server, check, zone) --derive--> schema --loosen, close--> JSON Schema, draft 7
//! ```
//!
//! # Invariants
//!
//! - A schema is made from the mirrors that read the files: a key is in both or in neither, and its
//!   description is the mirror's comment.
//! - What `check` takes is not complained of, but for ways to write that nobody needs: a number in
//!   quotes, a truth value in quotes.
//!
//! Not here: what values mean together, and what they name elsewhere (`compile`): a schema cannot
//! know. And what can be typed to get one (`cli`).

use std::borrow::Cow;

use schemars::{
    JsonSchema, Schema, SchemaGenerator,
    generate::SchemaSettings,
    json_schema,
    transform::{Transform, transform_subschemas},
};
use serde_json::{Map, Value, json};

use super::{
    Amount, Entries, Field, Lasting, Margin, Percent, Status, Trickle, Ttl,
    server::ServerFile,
    zone::{EndpointMap, NameFile, SetFile, SteerFile, ZoneFile},
};
use crate::limits::{
    DURATION_MAX, LOAD_MAX, MARGIN_KM_MAX, MARGIN_PERCENT_MAX, MARGIN_TIME_MAX, TTL_MAX,
};

// Macros come before their use; what is made of them is at the end.

macro_rules! octet {
    () => {
        "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
    };
}

macro_rules! ipv4 {
    () => {
        concat!("(", octet!(), r"\.){3}", octet!())
    };
}

macro_rules! ipv6 {
    () => {
        "[0-9A-Fa-f]*:[0-9A-Fa-f:.]*"
    };
}

macro_rules! port {
    () => {
        "(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[0-5]?[0-9]{1,4})"
    };
}

/// The schema of the server file.
#[must_use]
pub fn server() -> Value {
    finish(generator().into_root_schema_for::<ServerFile<'_>>())
}

/// The schema of zone files, in which records are of `types`.
#[must_use]
pub fn zone(types: &[String]) -> Value {
    let mut generator = generator();
    let set = generator.subschema_for::<SetFile<'_>>();
    let mut schema = finish(generator.into_root_schema_for::<ZoneFile<'_>>());
    let name = &mut schema["definitions"]["NameFile"];
    for rtype in types {
        let description = format!("Records of type {rtype}.");
        name["properties"][rtype] = match rtype.as_str() {
            "A" => addresses(&description, concat!("^(", ipv4!(), r"|\\#.*)$")),
            "AAAA" => addresses(&description, concat!("^(", ipv6!(), r"|\\#.*)$")),
            _ => json!({ "description": description, "allOf": [set] }),
        };
    }
    // In any case, and by number (RFC 3597 section 5).
    name["patternProperties"] = json!({ any_case(types): set });
    schema
}

fn generator() -> SchemaGenerator {
    SchemaSettings::draft07().with_transform(Lists).with_transform(Scalars).into_generator()
}

fn finish(schema: Schema) -> Value {
    let mut schema = schema.to_value();
    schema["$comment"] = "Made by `evenkeel schema`; do not edit.".into();
    schema
}

/// A set of records whose data are addresses, or octets (RFC 3597 section 5).
fn addresses(description: &str, pattern: &str) -> Value {
    let address = json!({ "type": "string", "pattern": pattern });
    json!({
        "description": description,
        "anyOf": [
            address,
            { "type": "array", "items": address, "minItems": 1 },
            { "$ref": "#/definitions/TtlSetFile" },
        ],
    })
}

/// A pattern for `types`, and for `TYPE123`, in upper and lower case: patterns have no flags.
fn any_case(types: &[String]) -> String {
    let letters = |word: &String| -> String {
        word.chars()
            .map(|it| match it {
                'A'..='Z' => format!("[{it}{}]", it.to_ascii_lowercase()),
                _ => it.to_string(),
            })
            .collect()
    };
    let words: Vec<String> = types.iter().map(letters).collect();
    format!("^({}|[Tt][Yy][Pp][Ee][0-9]{{1,5}})$", words.join("|"))
}

// ---- What all schemas have in common ----

/// Where a list is expected, a single value is a list of one.
#[derive(Debug, Clone)]
struct Lists;

impl Transform for Lists {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
        for property in properties.values_mut() {
            let Value::Object(property) = property else { continue };
            if property.get("type").is_some_and(|it| it == "array") {
                let mut list = Map::new();
                for key in ["type", "items", "minItems", "maxItems"] {
                    list.extend(property.remove(key).map(|it| (key.to_owned(), it)));
                }
                let single = list["items"].clone();
                property.insert("anyOf".into(), json!([single, list]));
            }
        }
    }
}

/// A scalar is its text: what YAML takes for a number is good where text is expected. Keys that are
/// not known are refused, and a mapping of which nothing is written down is an empty one.
#[derive(Debug, Clone)]
struct Scalars;

impl Transform for Scalars {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        // Widths of our integers are no business of who writes a file.
        schema.remove("format");
        let is_free = !["pattern", "enum"].into_iter().any(|it| schema.get(it).is_some());
        match schema.get("type").and_then(Value::as_str) {
            Some("string") if is_free => {
                schema.insert("type".into(), json!(["string", "number", "boolean"]));
            }
            Some("object") => {
                if schema.get("additionalProperties").is_none() {
                    schema.insert("additionalProperties".into(), false.into());
                }
                if schema.get("required").is_none() && schema.get("minProperties").is_none() {
                    schema.insert("type".into(), json!(["object", "null"]));
                }
            }
            _ => (),
        }
    }
}

// ---- What fields and mappings are made of ----

impl<T: JsonSchema> JsonSchema for Field<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<V: JsonSchema> JsonSchema for Entries<'_, V> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Entries_{}", V::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<V>();
        json_schema!({ "type": "object", "additionalProperties": value })
    }
}

impl JsonSchema for NameFile<'_> {
    fn schema_name() -> Cow<'static, str> {
        "NameFile".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let ttl = generator.subschema_for::<Ttl>();
        let steer = generator.subschema_for::<SteerFile<'_>>();
        json_schema!({
            "description": "What is at one name: records by their types, or how clients are steered.",
            "type": "object",
            "minProperties": 1,
            "properties": {
                "ttl": { "description": "The TTL where a record has no other.", "allOf": [ttl] },
                "steer": { "description": "How clients are steered.", "allOf": [steer] },
            },
        })
    }
}

// ---- Scalars of a syntax of their own ----

macro_rules! scalars {
    ($($type:ident: $schema:expr;)*) => {$(
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    )*};
}

scalars! {
    Lasting: json_schema!({
        "type": ["string", "integer"],
        "pattern": "^[0-9]+(ms|s|m|h|d)?$",
        "minimum": 0,
        "maximum": DURATION_MAX.as_secs(),
    });
    Ttl: json_schema!({
        "type": ["string", "integer"],
        "pattern": "^([0-9]+(s|m|h|d)?|[0-9]*000ms)$",
        "minimum": 0,
        "maximum": TTL_MAX,
    });
    Percent: json_schema!({ "type": "string", "pattern": "^0*([1-9][0-9]?|100)%$" });
    Trickle: json_schema!({
        "type": "string",
        "pattern": r"^(?!0*(\.0*)?%$)0*[0-9]{1,2}(\.[0-9]{1,2})?%$",
    });
    Amount: json_schema!({
        "type": ["number", "string"],
        "pattern": r"^[0-9]+(\.[0-9]+)?$",
        "exclusiveMinimum": 0,
        "maximum": LOAD_MAX,
    });
    Margin: json_schema!({
        "description": format!(
            "A time of at most {} s, a distance of at most {MARGIN_KM_MAX} km, or a part of at most \
             {MARGIN_PERCENT_MAX} %: 10ms, 200km, 15%; or 0.",
            MARGIN_TIME_MAX.as_secs()
        ),
        "type": ["string", "integer"],
        "pattern": "^(0+|[0-9]+(ms|s|km|%))$",
        "minimum": 0,
        "maximum": 0,
    });
    Status: json_schema!({
        "type": ["string", "integer"],
        "pattern": r"^[1-5][0-9]{2}(\s*-\s*[1-5][0-9]{2})?$",
        "minimum": 100,
        "maximum": 599,
    });
}

// ---- Endpoints, whose addresses depend on the key that they stand under ----

/// Endpoints under `A`.
pub(super) enum V4 {}
/// Endpoints under `AAAA`.
pub(super) enum V6 {}
/// Endpoints under `CNAME`.
pub(super) enum Named {}

macro_rules! endpoints {
    ($($type:ident $pattern:expr;)*) => {$(
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                concat!("Endpoint", stringify!($type)).into()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let mut map = EndpointMap::json_schema(generator);
                map.remove("title");
                let properties = map.get_mut("properties").and_then(Value::as_object_mut);
                let address = properties.and_then(|it| it.get_mut("address"));
                address.expect("an endpoint has one")["pattern"] = $pattern.into();
                json_schema!({ "anyOf": [{ "type": "string", "pattern": $pattern }, map] })
            }
        }
    )*};
}

endpoints! {
    V4 IPV4;
    V6 IPV6;
    Named NAME;
}

// ---- Patterns of text ----

/// `192.0.2.1`.
pub(super) const IPV4: &str = concat!("^", ipv4!(), "$");
/// `2001:db8::1`.
pub(super) const IPV6: &str = concat!("^", ipv6!(), "$");
/// `192.0.2.1:53` or `[2001:db8::1]:53`.
pub(super) const SOCKET: &str = concat!("^(", ipv4!(), r"|\[", ipv6!(), r"\]):", port!(), "$");
/// `host.example:443`.
pub(super) const HOST_PORT: &str = concat!(r"^\S+:", port!(), "$");
/// `192.0.2.0/24`, `2001:db8::/32`, or one address.
pub(super) const PREFIX: &str = concat!(
    "^(",
    ipv4!(),
    "(/(3[0-2]|[12]?[0-9]))?|",
    ipv6!(),
    "(/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?)$"
);
/// Labels that are not empty; a point at the end, or `@`.
pub(super) const NAME: &str = r"^(@|\.|[^\s.]+(\.[^\s.]+)*\.?)$";
/// `DE`.
pub(super) const COUNTRY: &str = "^[A-Za-z]{2}$";
/// A path in a request: ASCII without spaces.
pub(super) const PATH: &str = "^/[!-~]*$";
/// A token of HTTP (RFC 9110 section 5.6.2).
pub(super) const TOKEN: &str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";
