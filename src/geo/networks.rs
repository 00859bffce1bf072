//! What the operator knows of networks, which wins over every file.

use std::{collections::BTreeMap, fmt};

use super::{
    map::{Geo, Interner, PlaceId},
    place::Place,
    prefix::{Bounds, Prefix},
    ranges::Ranges,
};

/// Places of networks, as an operator gives them. What a network is not given it has from the
/// network around it, and after that from the files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks {
    /// A wider prefix comes before the ones that it holds.
    places: BTreeMap<Prefix, Place>,
}

/// Why a network is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkError {
    /// It has been given a place already.
    Repeated,
    /// It lies in a block of IPv6 in which addresses stand for IPv4 ones; this is the IPv4 network.
    Wrapped(Prefix),
    /// The subdivision is not one of the country.
    Contradiction,
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeated => f.write_str("this network has been given a place already"),
            Self::Wrapped(v4) => {
                write!(f, "addresses of this network are looked up as IPv4; give `{v4}` instead")
            }
            Self::Contradiction => f.write_str("the subdivision is not one of the country"),
        }
    }
}

impl std::error::Error for NetworkError {}

impl Networks {
    /// Gives a network its place. A subdivision tells the country.
    ///
    /// # Errors
    ///
    /// See [`NetworkError`]; nothing has changed then.
    pub fn insert(&mut self, prefix: Prefix, place: Place) -> Result<(), NetworkError> {
        let unwrapped = prefix.unwrapped();
        if unwrapped != prefix {
            return Err(NetworkError::Wrapped(unwrapped));
        }
        let of = place.subdivision.map(|it| it.country());
        if place.country.is_some() && of.is_some() && place.country != of {
            return Err(NetworkError::Contradiction);
        }
        if self.places.contains_key(&prefix) {
            return Err(NetworkError::Repeated);
        }
        self.places.insert(prefix, Place { country: place.country.or(of), ..place });
        Ok(())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether every address of a prefix is in one of the networks.
    #[must_use]
    pub fn hold(&self, prefix: &Prefix) -> bool {
        let prefix = prefix.unwrapped();
        (0..=prefix.length()).any(|len| {
            let around = Prefix::around(prefix.address(), len);
            self.places.contains_key(&around)
        })
    }

    /// The same as a map of the world, to be laid over others.
    #[must_use]
    pub fn geo(&self) -> Geo {
        let mut interner = Interner::default();
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        let mut open: Vec<(Prefix, Place)> = Vec::new();
        for (prefix, place) in &self.places {
            while open.last().is_some_and(|(around, _)| !around.holds(prefix)) {
                open.pop();
            }
            let around = open.last().map_or(Place::NOWHERE, |(_, place)| *place);
            let place = place.or(&around);
            open.push((*prefix, place));
            let id = interner.intern(place);
            match prefix.bounds() {
                Bounds::V4(run) => v4.push((run, id)),
                Bounds::V6(run) => v6.push((run, id)),
            }
        }
        Geo {
            v4: Ranges::from_blocks(PlaceId::NOWHERE, v4),
            v6: Ranges::from_blocks(PlaceId::NOWHERE, v6),
            places: interner.places(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::{Continent, Coordinates};

    fn place(country: &str, subdivision: &str, asn: Option<u32>) -> Place {
        let (country, subdivision) = (country.parse().ok(), subdivision.parse().ok());
        Place { country, subdivision, asn, ..Place::NOWHERE }
    }

    fn networks(entries: &[(&str, Place)]) -> Networks {
        let mut networks = Networks::default();
        for (prefix, place) in entries {
            networks.insert(prefix.parse().unwrap(), *place).unwrap();
        }
        networks
    }

    #[test]
    fn the_narrower_network_wins_and_has_the_rest_from_the_wider() {
        let geo = networks(&[
            ("10.20.0.0/16", place("", "", Some(64512))),
            ("10.0.0.0/8", place("DE", "", None)),
            ("10.20.30.0/24", place("", "FR-75", None)),
            ("2001:db8::/32", place("JP", "", None)),
        ])
        .geo();
        let check = |address: &str, expect: &str, prefix_len: u8| {
            let located = geo.locate(address.parse().unwrap());
            assert_eq!(located.place.to_string(), expect, "{address}");
            assert_eq!(located.prefix_len, prefix_len, "{address}");
        };
        check("10.1.0.1", "DE", 12);
        check("10.20.0.1", "DE AS64512", 20);
        check("10.20.30.1", "FR-75 AS64512", 24);
        check("11.0.0.1", "nowhere", 8);
        check("::ffff:10.20.30.1", "FR-75 AS64512", 120);
        check("64:ff9b::10.20.30.1", "FR-75 AS64512", 120);
        check("2002:0a14:1e01::1", "FR-75 AS64512", 40);
        check("2001:db8:1::1", "JP", 32);
        check("2001:db9::1", "nowhere", 32);
    }

    #[test]
    fn networks_win_over_what_lies_under_them() {
        let under = networks(&[(
            "10.0.0.0/8",
            Place {
                country: "US".parse().ok(),
                continent: Some(Continent::Na),
                asn: Some(7),
                at: Coordinates::new(40.0, -75.0),
                ..Place::NOWHERE
            },
        )]);
        let over = networks(&[
            ("10.1.0.0/16", place("DE", "", None)),
            ("10.2.0.0/16", place("", "US-TX", None)),
            ("10.3.0.0/16", place("", "", Some(9))),
        ]);
        let geo = over.geo().over(&under.geo());
        let check = |address: &str, expect: &str| {
            assert_eq!(geo.locate(address.parse().unwrap()).place.to_string(), expect);
        };
        check("10.0.0.1", "US NA AS7 at 40, -75");
        check("10.1.0.1", "DE AS7");
        check("10.2.0.1", "US-TX NA AS7 at 40, -75");
        check("10.3.0.1", "US NA AS9 at 40, -75");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let mut networks = networks(&[("10.0.0.0/8", place("DE", "", None))]);
        let mut check = |prefix: &str, place: Place, expect: NetworkError| {
            assert_eq!(networks.insert(prefix.parse().unwrap(), place), Err(expect));
        };
        check("10.0.0.0/8", place("FR", "", None), NetworkError::Repeated);
        let v4 = "10.0.0.0/8".parse().unwrap();
        check("::ffff:10.0.0.0/104", place("FR", "", None), NetworkError::Wrapped(v4));
        check("11.0.0.0/8", place("DE", "FR-75", None), NetworkError::Contradiction);
    }

    #[test]
    fn special_use_is_usable_where_it_has_a_place() {
        let networks = networks(&[("10.20.0.0/16", place("DE", "", None))]);
        let geo = networks.geo();
        for (prefix, expect) in [
            ("10.20.1.0/24", true),
            ("10.21.1.0/24", false),
            ("8.8.8.0/24", true),
            ("192.0.2.0/24", false),
            ("::1", false),
        ] {
            assert_eq!(geo.is_usable(&prefix.parse().unwrap()), expect, "{prefix}");
        }
        for (prefix, expect) in [("10.20.0.0/16", true), ("10.20.9.9", true), ("10.0.0.0/8", false)]
        {
            assert_eq!(networks.hold(&prefix.parse().unwrap()), expect, "{prefix}");
        }
    }
}
