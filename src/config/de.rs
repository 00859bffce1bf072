//! serde over the tree: from a [`Node`] to a mirror.
//!
//! # Invariants
//!
//! - An error of serde is caught at the nearest [`Field`](super::Field) around it, complained of
//!   there, and goes no further.
//! - The keys of a struct are known here: an unknown one is complained of and skipped.
//! - Where a list is expected, a single value is a list of one.
//! - Numbers are read from their text when a number is expected, and only then.
//! - An enum stands for the shapes that a value may have: its variants are named `Text`, `List`
//!   and `Map`.

use std::fmt;

use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor, value::U32Deserializer,
};

use super::{Data, Key, Node, Place, Report, field::FIELD, later::later, suggest};

/// Reads a mirror from a tree; none when that is not possible at all, and that has been
/// complained of.
pub fn read<'n, T: de::Deserialize<'n>>(
    node: &'n Node<'_>,
    file: u32,
    report: &'n Report,
) -> Option<T> {
    let context = De { node, file, report };
    T::deserialize(context).map_err(|refused| context.complain(refused)).ok()
}

/// The entries of a mapping that is too long to be held as a mirror, each read when its turn
/// comes.
pub fn entries<'n, T: de::Deserialize<'n>>(
    node: &'n Node<'_>,
    file: u32,
    report: &'n Report,
) -> impl Iterator<Item = (Key<'n>, T)> {
    let pairs = match &node.data {
        Data::Map(pairs) => &**pairs,
        _ => &[],
    };
    if pairs.is_empty() && !matches!(node.data, Data::Map(_)) {
        let context = De { node, file, report };
        context.complain(context.expected("a mapping"));
    }
    pairs.iter().filter_map(move |pair| entry(pair, file, report))
}

/// One of them.
pub fn entry<'n, T: de::Deserialize<'n>>(
    (key, value): &'n (Node<'_>, Node<'_>),
    file: u32,
    report: &'n Report,
) -> Option<(Key<'n>, T)> {
    let place = Place { file, line: key.line, column: key.column };
    let key = Key::Given(place, key.text().unwrap_or_default());
    read(value, file, report).map(|value| (key, value))
}

/// What is wrong with a value, on its way to the field around it.
#[derive(Debug)]
struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

impl de::Error for Refused {
    /// The first line is the message, the second one the hint.
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self(text.to_string())
    }
}

#[derive(Clone, Copy)]
struct De<'n, 't> {
    node: &'n Node<'t>,
    file: u32,
    report: &'n Report,
}

impl<'n, 't> De<'n, 't> {
    fn at(self, node: &'n Node<'t>) -> Self {
        Self { node, ..self }
    }

    fn complain(self, Refused(text): Refused) {
        let place = Place { file: self.file, line: self.node.line, column: self.node.column };
        let (message, hint) = text.split_once('\n').unwrap_or((&text, "see the documentation"));
        self.report.say(place, message, hint);
    }

    fn expected(self, what: &str) -> Refused {
        let found = match &self.node.data {
            _ if self.node.is_nothing() => "nothing".to_owned(),
            Data::Plain(text) | Data::Quoted(text) => format!("`{text}`"),
            Data::List(_) => "a list".to_owned(),
            Data::Map(_) => "a mapping".to_owned(),
        };
        Refused(format!("{what} is needed here, not {found}\nwrite {what}, or remove the key"))
    }

    fn text(self) -> Result<&'n str, Refused> {
        match self.node.text() {
            Some(text) if !self.node.is_nothing() => Ok(text),
            _ => Err(self.expected("a value")),
        }
    }

    fn pairs(self) -> Result<&'n [(Node<'t>, Node<'t>)], Refused> {
        match &self.node.data {
            Data::Map(pairs) => Ok(pairs),
            // A mapping of which nothing is written down.
            _ if self.node.is_nothing() => Ok(&[]),
            _ => Err(self.expected("a mapping")),
        }
    }

    /// Complains of a key that the struct does not have.
    fn refuse_key(self, name: &str, keys: &'static [&'static str]) {
        let key = self.node.text().unwrap_or_default();
        self.complain(if later(name).contains(&key) {
            Refused(format!(
                "`{key}` is not supported yet\nremove it; a later version will know it"
            ))
        } else {
            let hint = suggest(key, keys.iter().copied(), "the keys here are");
            Refused(format!("unknown key `{key}` in {name}\n{hint}"))
        });
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty)*) => {$(
        fn $method<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Refused> {
            let text = self.text()?;
            match text.parse::<$type>() {
                Ok(number) if !text.starts_with('+') => visitor.$visit(number),
                _ => Err(self.expected("a whole number")),
            }
        }
    )*};
}

impl<'n, 't> Deserializer<'n> for De<'n, 't>
where
    't: 'n,
{
    type Error = Refused;

    numbers! {
        deserialize_u8 visit_u8 u8
        deserialize_u16 visit_u16 u16
        deserialize_u32 visit_u32 u32
        deserialize_u64 visit_u64 u64
        deserialize_i8 visit_i8 i8
        deserialize_i16 visit_i16 i16
        deserialize_i32 visit_i32 i32
        deserialize_i64 visit_i64 i64
    }

    fn deserialize_any<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Refused> {
        match &self.node.data {
            Data::Plain(_) | Data::Quoted(_) => self.deserialize_str(visitor),
            Data::List(_) => self.deserialize_seq(visitor),
            Data::Map(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_bool<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Refused> {
        match self.text()? {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => Err(self.expected("`true` or `false`")),
        }
    }

    fn deserialize_option<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'n>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Refused> {
        let nodes = match &self.node.data {
            Data::List(nodes) => nodes,
            _ if self.node.is_nothing() => return Err(self.expected("a value")),
            _ => std::slice::from_ref(self.node),
        };
        visitor.visit_seq(Nodes { de: self, nodes: nodes.iter() })
    }

    fn deserialize_map<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Refused> {
        let pairs = self.pairs()?;
        visitor.visit_map(Pairs { de: self, rest: pairs.iter(), known: None, value: None })
    }

    fn deserialize_struct<V: Visitor<'n>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let rest = self.pairs()?.iter();
        visitor.visit_map(Pairs { de: self, rest, known: Some((name, fields)), value: None })
    }

    fn deserialize_tuple_struct<V: Visitor<'n>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        if name == FIELD {
            visitor.visit_seq(Parts { de: self, part: 0 })
        } else {
            self.deserialize_tuple(len, visitor)
        }
    }

    fn deserialize_enum<V: Visitor<'n>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let (shape, what) = match &self.node.data {
            Data::Plain(_) | Data::Quoted(_) => ("Text", "a value"),
            Data::List(_) => ("List", "a list"),
            Data::Map(_) => ("Map", "a mapping"),
        };
        if variants.contains(&shape) {
            visitor.visit_enum(Shape { de: self, shape })
        } else {
            Err(Refused(format!("{what} does not fit here\nwrite one value")))
        }
    }

    fn deserialize_ignored_any<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        <V: Visitor<'n>>
        i128 u128 f32 f64 char string bytes byte_buf unit unit_struct tuple identifier
    }
}

/// A field: three numbers for its place, then its value.
struct Parts<'n, 't> {
    de: De<'n, 't>,
    part: u8,
}

impl<'n, 't: 'n> SeqAccess<'n> for Parts<'n, 't> {
    type Error = Refused;

    fn next_element_seed<T: DeserializeSeed<'n>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Refused> {
        let De { node, file, .. } = self.de;
        self.part += 1;
        let number: U32Deserializer<Refused> = match self.part {
            1 => file,
            2 => node.line,
            3 => node.column,
            _ => return Ok(seed.deserialize(self.de).map_err(|it| self.de.complain(it)).ok()),
        }
        .into_deserializer();
        seed.deserialize(number).map(Some)
    }
}

struct Nodes<'n, 't> {
    de: De<'n, 't>,
    nodes: std::slice::Iter<'n, Node<'t>>,
}

impl<'n, 't: 'n> SeqAccess<'n> for Nodes<'n, 't> {
    type Error = Refused;

    fn next_element_seed<T: DeserializeSeed<'n>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Refused> {
        self.nodes.next().map(|node| seed.deserialize(self.de.at(node))).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.nodes.len())
    }
}

struct Pairs<'n, 't> {
    de: De<'n, 't>,
    rest: std::slice::Iter<'n, (Node<'t>, Node<'t>)>,
    /// The struct and its keys, where those are fixed.
    known: Option<(&'static str, &'static [&'static str])>,
    value: Option<&'n Node<'t>>,
}

impl<'n, 't: 'n> MapAccess<'n> for Pairs<'n, 't> {
    type Error = Refused;

    fn next_key_seed<K: DeserializeSeed<'n>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Refused> {
        for (key, value) in self.rest.by_ref() {
            if let Some((name, keys)) = self.known
                && !key.text().is_some_and(|it| keys.contains(&it))
            {
                self.de.at(key).refuse_key(name, keys);
                continue;
            }
            self.value = Some(value);
            return seed.deserialize(self.de.at(key)).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'n>>(&mut self, seed: V) -> Result<V::Value, Refused> {
        let value = self.value.take().expect("serde asks for a key before its value");
        seed.deserialize(self.de.at(value))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

struct Shape<'n, 't> {
    de: De<'n, 't>,
    shape: &'static str,
}

impl<'n, 't: 'n> EnumAccess<'n> for Shape<'n, 't> {
    type Error = Refused;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'n>>(self, seed: V) -> Result<(V::Value, Self), Refused> {
        let shape: de::value::StrDeserializer<'_, Refused> = self.shape.into_deserializer();
        Ok((seed.deserialize(shape)?, self))
    }
}

impl<'n, 't: 'n> VariantAccess<'n> for Shape<'n, 't> {
    type Error = Refused;

    fn newtype_variant_seed<T: DeserializeSeed<'n>>(self, seed: T) -> Result<T::Value, Refused> {
        seed.deserialize(self.de)
    }

    fn unit_variant(self) -> Result<(), Refused> {
        Err(self.de.expected("something else"))
    }

    fn tuple_variant<V: Visitor<'n>>(self, _: usize, _: V) -> Result<V::Value, Refused> {
        Err(self.de.expected("something else"))
    }

    fn struct_variant<V: Visitor<'n>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Refused> {
        Err(self.de.expected("something else"))
    }
}
