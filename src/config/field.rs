//! Fields: a value of a file together with its place, or the gap it left.
//!
//! A [`Field`] asks the deserializer of `de` for its place and then for its value, by way of a
//! tuple struct of a private name. What is wrong with the value is complained of there, and the
//! field is left `Refused`: serde's first error does not end the reading of the file.

use std::{fmt, marker::PhantomData};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::Place;

/// The name by which `de` knows a field.
pub(super) const FIELD: &str = "$field";

/// What a file says in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Field<T> {
    /// Nothing.
    #[default]
    Absent,
    /// Something that has been complained of.
    Refused(Place),
    /// This.
    Given(Place, T),
}

/// A key of a mapping whose keys the operator chooses.
pub type Key<'t> = Field<&'t str>;

/// A mapping whose keys the operator chooses, in the order of the file.
#[derive(Debug)]
pub struct Entries<'t, V>(pub Vec<(Key<'t>, Field<V>)>);

impl<T> Field<T> {
    /// The value, where there is one.
    pub fn given(&self) -> Option<&T> {
        match self {
            Self::Given(_, value) => Some(value),
            Self::Absent | Self::Refused(_) => None,
        }
    }

    /// Where it is, if it is there.
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::Absent => None,
            Self::Refused(place) | Self::Given(place, _) => Some(*place),
        }
    }

    /// The value and its place, where there is one.
    pub fn placed(&self) -> Option<(Place, &T)> {
        match self {
            Self::Given(place, value) => Some((*place, value)),
            Self::Absent | Self::Refused(_) => None,
        }
    }

    /// Whether the file says nothing here.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple_struct(FIELD, 4, FieldVisitor(PhantomData))
    }
}

struct FieldVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for FieldVisitor<T> {
    type Value = Field<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Field<T>, A::Error> {
        let mut number = || parts.next_element().map(Option::unwrap_or_default);
        let place = Place { file: number()?, line: number()?, column: number()? };
        Ok(match parts.next_element()? {
            Some(value) => Field::Given(place, value),
            None => Field::Refused(place),
        })
    }
}

impl<'de: 't, 't, V: Deserialize<'de>> Deserialize<'de> for Entries<'t, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}

struct EntriesVisitor<'t, V>(PhantomData<(&'t str, V)>);

impl<'de: 't, 't, V: Deserialize<'de>> Visitor<'de> for EntriesVisitor<'t, V> {
    type Value = Entries<'t, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::with_capacity(map.size_hint().unwrap_or(0));
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Entries(entries))
    }
}
