//! Facts about the earth, compiled in: countries, their parts, and the regions of public clouds.
//!
//! The tables are small text files in `geoip/`, each with its source and licence in its first lines;
//! they are parsed once, when first asked.
//!
//! Not here: which address is in which country (`compile::geoip`).

use std::{collections::HashMap, sync::LazyLock};

use crate::geo::{Continent, Coordinates, Country, Place, Subdivision};

const COUNTRIES: &str = include_str!("../../geoip/countries.csv");
const REGIONS: &str = include_str!("../../geoip/regions.csv");
const SUBDIVISIONS: &str = include_str!("../../geoip/subdivisions.csv");

/// What is true of a country.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountryFacts {
    /// Its continent.
    pub continent: Continent,
    /// Where its people live, in the mean; none where nobody does.
    pub at: Option<Coordinates>,
}

static COUNTRY_TABLE: LazyLock<HashMap<Country, CountryFacts>> = LazyLock::new(|| {
    let parse = |line: &'static str| {
        let mut fields = line.splitn(3, ',');
        let country = fields.next()?.parse().ok()?;
        let continent = fields.next()?.parse().ok()?;
        Some((country, CountryFacts { continent, at: fields.next()?.parse().ok() }))
    };
    rows(COUNTRIES).map(|line| parse(line).expect("a test reads every line")).collect()
});

static REGION_TABLE: LazyLock<HashMap<&str, Coordinates>> = LazyLock::new(|| {
    let parse = |line: &'static str| {
        let (region, at) = line.split_once(',')?;
        Some((region, at.parse().ok()?))
    };
    rows(REGIONS).map(|line| parse(line).expect("a test reads every line")).collect()
});

static SUBDIVISION_TABLE: LazyLock<HashMap<(Country, String), Subdivision>> = LazyLock::new(|| {
    let parse = |line: &'static str| {
        let (code, name) = line.split_once(',')?;
        let code: Subdivision = code.parse().ok()?;
        Some(((code.country(), folded(name)), code))
    };
    rows(SUBDIVISIONS).map(|line| parse(line).expect("a test reads every line")).collect()
});

/// What is true of a country; none for a code that no country has.
#[must_use]
pub fn country(code: Country) -> Option<CountryFacts> {
    COUNTRY_TABLE.get(&code).copied()
}

/// Where a region of a public cloud is: `aws/us-east-1`, `gcp/europe-west1`, `azure/westeurope`.
#[must_use]
pub fn region(name: &str) -> Option<Coordinates> {
    REGION_TABLE.get(name).copied()
}

/// The names that [`region`] knows, sorted.
#[must_use]
pub fn regions() -> Vec<&'static str> {
    let mut names: Vec<&str> = REGION_TABLE.keys().copied().collect();
    names.sort_unstable();
    names
}

/// The part of a country that has this name, for the countries of the table.
#[must_use]
pub fn subdivision(country: Country, name: &str) -> Option<Subdivision> {
    SUBDIVISION_TABLE.get(&(country, folded(name))).copied()
}

/// A place with what follows from its country: the continent, and coordinates for want of better.
#[must_use]
pub fn complete(place: &Place) -> Place {
    let facts = place.country.and_then(country);
    Place {
        continent: place.continent.or(facts.map(|it| it.continent)),
        at: place.at.or(facts.and_then(|it| it.at)),
        ..*place
    }
}

fn rows(table: &'static str) -> impl Iterator<Item = &'static str> {
    table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// A name as it is compared: in lower case, without accents, letters and digits alone.
fn folded(name: &str) -> String {
    let plain = |letter: char| match letter {
        'á' | 'à' | 'â' | 'ã' | 'ä' => 'a',
        'é' | 'è' | 'ê' => 'e',
        'í' => 'i',
        'ó' | 'ô' | 'õ' | 'ö' => 'o',
        'ú' | 'ü' => 'u',
        'ç' => 'c',
        _ => letter,
    };
    name.chars().flat_map(char::to_lowercase).map(plain).filter(|it| it.is_alphanumeric()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read() {
        assert!(245 <= COUNTRY_TABLE.len());
        assert!(130 <= REGION_TABLE.len());
        assert!(SUBDIVISION_TABLE.len() == rows(SUBDIVISIONS).count());
        assert_eq!(COUNTRY_TABLE.len(), rows(COUNTRIES).count());
        assert_eq!(REGION_TABLE.len(), rows(REGIONS).count());
        let without_point = COUNTRY_TABLE.values().filter(|it| it.at.is_none()).count();
        assert!(without_point <= 5, "{without_point}");
    }

    #[test]
    fn countries_are_where_geonames_has_them() {
        let check = |code: &str, continent: Continent, near: [f32; 2]| {
            let facts = country(code.parse().unwrap()).unwrap();
            assert_eq!(facts.continent, continent, "{code}");
            let near = Coordinates::new(near[0], near[1]).unwrap();
            assert!(facts.at.unwrap().distance_km(&near) < 200.0, "{code}");
        };
        check("RU", Continent::Eu, [56.9, 50.8]);
        check("CX", Continent::Oc, [-10.4, 105.7]);
        check("TR", Continent::As, [39.4, 31.9]);
        check("US", Continent::Na, [38.8, -93.5]);
        check("BR", Continent::Sa, [-16.5, -46.5]);
        check("ZA", Continent::Af, [-28.1, 28.2]);
        assert_eq!(country("ZZ".parse().unwrap()), None);
    }

    #[test]
    fn regions_are_near_their_cities() {
        let check = |name: &str, lat: f32, lon: f32| {
            let at = region(name).unwrap();
            let distance = at.distance_km(&Coordinates::new(lat, lon).unwrap());
            assert!(distance < 100.0, "{name} {distance}");
        };
        check("aws/us-east-1", 38.95, -77.45);
        check("aws/eu-west-1", 53.35, -6.26);
        check("aws/ap-southeast-2", -33.87, 151.21);
        check("gcp/us-central1", 41.26, -95.94);
        check("azure/westeurope", 52.37, 4.90);
        assert_eq!(region("aws/atlantis-1"), None);
        assert!(regions().is_sorted());
    }

    #[test]
    fn names_of_parts_are_known() {
        let check = |country: &str, name: &str, expect: Option<&str>| {
            let found = subdivision(country.parse().unwrap(), name);
            assert_eq!(found.as_ref().map(Subdivision::as_str), expect, "{name}");
        };
        check("US", "California", Some("US-CA"));
        check("CA", "Québec", Some("CA-QC"));
        check("DE", "Baden-Württemberg", Some("DE-BW"));
        check("AU", "new south wales", Some("AU-NSW"));
        check("BR", "São Paulo", Some("BR-SP"));
        check("US", "São Paulo", None);
    }
}
