//! One record of a file, in any of the three schemas, and the place it tells.
//!
//! ```text
//!   MaxMind          country: { iso_code: US }, continent: { code: NA }, subdivisions: [{ iso_code: CA }],
//!                    location: { latitude, longitude }, traits: { autonomous_system_number }
//!   ip-location-db   country_code: US, state1: California, latitude, longitude
//!   IPinfo           country: US or country_code: US, continent_code: NA, asn: AS15169
//! ```
//!
//! # Invariants
//!
//! - What a field is not expected to be is passed over, so that a file with more than we know is read.
//!
//! Not here: which records there are (the module above).

use std::{fmt, marker::PhantomData, str::FromStr};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::{
    compile::facts,
    geo::{Continent, Coordinates, Country, Place, Subdivision},
};

/// Coordinates that are known no better than this are the middle of a country's land; where its
/// people are (`compile::facts`) is the better guess.
const ACCURACY_RADIUS_KM_MAX: f64 = 1000.0;

/// The fields of the three schemas.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Record<'r> {
    #[serde(borrow)]
    country_code: Field<'r>,
    #[serde(borrow)]
    country: Field<'r>,
    #[serde(borrow)]
    registered_country: Field<'r>,
    #[serde(borrow)]
    continent_code: Field<'r>,
    #[serde(borrow)]
    continent: Field<'r>,
    #[serde(borrow)]
    subdivisions: Field<'r>,
    #[serde(borrow)]
    region_code: Field<'r>,
    #[serde(borrow)]
    region: Field<'r>,
    #[serde(borrow)]
    state1: Field<'r>,
    #[serde(borrow)]
    location: Field<'r>,
    #[serde(borrow)]
    latitude: Field<'r>,
    #[serde(borrow)]
    longitude: Field<'r>,
    #[serde(borrow)]
    lat: Field<'r>,
    #[serde(borrow)]
    lng: Field<'r>,
    #[serde(borrow)]
    asn: Field<'r>,
    #[serde(borrow)]
    autonomous_system_number: Field<'r>,
    #[serde(borrow)]
    traits: Field<'r>,
}

/// A text or a number, or an object or the first of a list with those that are of use in one.
#[derive(Debug, Clone, Copy, Default)]
struct Field<'r> {
    own: Scalar<'r>,
    code: Scalar<'r>,
    latitude: Scalar<'r>,
    longitude: Scalar<'r>,
    asn: Scalar<'r>,
    radius: Scalar<'r>,
}

/// A text or a number; neither when it is something else.
#[derive(Debug, Clone, Copy, Default)]
struct Scalar<'r> {
    text: Option<&'r str>,
    number: Option<f64>,
}

impl Record<'_> {
    /// The place that the record tells.
    pub(super) fn place(&self) -> Place {
        let codes = [
            self.country_code.own,
            self.country.code,
            self.country.own,
            self.registered_country.code,
            self.registered_country.own,
        ];
        let code = codes.iter().find_map(Scalar::parsed::<Country>);
        let (country, of_code) = code.map_or((None, None), country_or_continent);
        let continents = [self.continent_code.own, self.continent.code, self.continent.own];
        Place {
            country,
            subdivision: country.and_then(|it| self.subdivision(it)),
            continent: continents.iter().find_map(Scalar::parsed::<Continent>).or(of_code),
            asn: self.asn(),
            at: self.at(),
        }
    }

    fn subdivision(&self, country: Country) -> Option<Subdivision> {
        let codes = [self.subdivisions.code, self.region_code.own].into_iter();
        let code = codes.filter_map(|it| it.text).find_map(|code| {
            let suffix = code.strip_prefix(country.as_str()).and_then(|it| it.strip_prefix('-'));
            Subdivision::of(country, suffix.unwrap_or(code)).ok()
        });
        let names = [self.state1.own, self.region.own].into_iter();
        code.or_else(|| {
            names.filter_map(|it| it.text).find_map(|name| facts::subdivision(country, name))
        })
    }

    fn asn(&self) -> Option<u32> {
        let candidates =
            [self.autonomous_system_number.own, self.traits.asn, self.asn.own, self.asn.asn];
        candidates.iter().find_map(|it| {
            let digits = it.text.map(|text| text.strip_prefix("AS").unwrap_or(text));
            let asn = digits.and_then(|digits| digits.parse().ok());
            // A number that is no ASN becomes another, which the file then says.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            asn.or(it.number.map(|number| number as u32)).filter(|asn| *asn != 0)
        })
    }

    fn at(&self) -> Option<Coordinates> {
        if self.location.radius.number.is_some_and(|km| ACCURACY_RADIUS_KM_MAX <= km) {
            return None;
        }
        let pairs = [
            (self.location.latitude, self.location.longitude),
            (self.latitude.own, self.longitude.own),
            (self.lat.own, self.lng.own),
        ];
        pairs.iter().find_map(|(lat, lon)| Coordinates::new(lat.degrees()?, lon.degrees()?))
    }
}

/// A code that only looks like a country's tells the continent: `EU` and `AP` are what registries
/// wrote for networks of no one country.
fn country_or_continent(code: Country) -> (Option<Country>, Option<Continent>) {
    match code.as_str() {
        "EU" => (None, Some(Continent::Eu)),
        "AP" => (None, Some(Continent::As)),
        // Not known, in the user's range of ISO 3166.
        "ZZ" | "XX" => (None, None),
        _ => (Some(code), None),
    }
}

/// The place that a country's code tells.
pub(super) fn place_of_code(code: &str) -> Place {
    let code = Field { own: Scalar { text: Some(code), number: None }, ..Field::default() };
    Record { country_code: code, ..Record::default() }.place()
}

impl Scalar<'_> {
    fn parsed<T: FromStr>(&self) -> Option<T> {
        self.text?.parse().ok()
    }

    #[allow(clippy::cast_possible_truncation)] // Degrees lose what is less than a metre.
    fn degrees(&self) -> Option<f32> {
        self.number.map(|it| it as f32).or_else(|| self.parsed())
    }
}

impl<'de: 'r, 'r> Deserialize<'de> for Scalar<'r> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(deserializer.deserialize_any(AnyField { in_object: true, of: PhantomData })?.own)
    }
}

impl<'de: 'r, 'r> Deserialize<'de> for Field<'r> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyField { in_object: false, of: PhantomData })
    }
}

struct AnyField<'r> {
    /// Whether an object has been entered: what is of use is never in a deeper one.
    in_object: bool,
    of: PhantomData<&'r str>,
}

impl<'r> AnyField<'r> {
    fn number(number: f64) -> Field<'r> {
        let own = Scalar { text: None, number: Some(number) };
        Field { own, ..Field::default() }
    }
}

impl<'de: 'r, 'r> Visitor<'de> for AnyField<'r> {
    type Value = Field<'r>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Field<'r>, E> {
        let own = Scalar { text: Some(text), number: None };
        Ok(Field { own, ..Field::default() })
    }

    fn visit_f64<E>(self, number: f64) -> Result<Field<'r>, E> {
        Ok(Self::number(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Field<'r>, E> {
        // What a double does not hold is neither degrees nor an ASN.
        Ok(Self::number(u32::try_from(number).map_or(0.0, f64::from)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Field<'r>, E> {
        Ok(Self::number(i32::try_from(number).map_or(0.0, f64::from)))
    }

    fn visit_u128<E>(self, _: u128) -> Result<Field<'r>, E> {
        Ok(Field::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Field<'r>, E> {
        Ok(Field::default())
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Field<'r>, E> {
        Ok(Field::default())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Field<'r>, S::Error> {
        if self.in_object {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Field::default());
        }
        let first = seq.next_element::<Field<'r>>()?.unwrap_or_default();
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(first)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Field<'r>, M::Error> {
        let mut field = Field::default();
        while let Some(key) = map.next_key::<&str>()? {
            let slot = match key {
                _ if self.in_object => None,
                "iso_code" | "code" => Some(&mut field.code),
                "latitude" => Some(&mut field.latitude),
                "longitude" => Some(&mut field.longitude),
                "autonomous_system_number" | "asn" => Some(&mut field.asn),
                "accuracy_radius" => Some(&mut field.radius),
                _ => None,
            };
            match slot {
                Some(slot) => *slot = map.next_value()?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(field)
    }
}
