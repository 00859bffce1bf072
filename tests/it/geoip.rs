//! Places from files in MaxMind's format: the shipped one, MaxMind's public test databases, and our
//! own of the documentation prefixes (`tests/geoip/README.md`).

use std::{env, fs, path::PathBuf};

use evenkeel::{
    compile::geoip::{embedded, load, with_networks},
    geo::{Continent, Coordinates, Geo, Located, Networks, Place},
};
use proptest::prelude::*;

fn file(name: &str) -> (PathBuf, Vec<u8>) {
    let path = PathBuf::from("tests/geoip").join(name);
    let octets = fs::read(&path).unwrap();
    (path, octets)
}

fn loaded(names: &[&str]) -> Geo {
    load(names.iter().map(|name| file(name)).collect()).unwrap()
}

/// Checks the place of an address, and the length of the prefix for which it is true.
#[track_caller]
fn check(geo: &Geo, address: &str, place: &str, prefix_len: u8) {
    let located = geo.locate(address.parse().unwrap());
    assert_eq!(located.place.to_string(), place, "{address}");
    assert_eq!(located.prefix_len, prefix_len, "{address}");
}

#[track_caller]
fn check_country(geo: &Geo, address: &str, country: &str, continent: Continent) {
    let place = geo.locate(address.parse().unwrap()).place;
    assert_eq!(place.country.map(|it| it.to_string()).as_deref(), Some(country), "{address}");
    assert_eq!(place.continent, Some(continent), "{address}");
    assert!(place.at.is_some(), "{address}");
}

#[track_caller]
fn check_the_world(geo: &Geo) {
    for (address, country, continent) in [
        ("8.8.8.8", "US", Continent::Na),
        ("216.160.83.56", "US", Continent::Na),
        ("133.11.0.1", "JP", Continent::As),
        ("202.12.27.33", "JP", Continent::As),
        ("200.160.0.8", "BR", Continent::Sa),
        ("41.231.0.1", "TN", Continent::Af),
        ("196.25.1.1", "ZA", Continent::Af),
        ("81.2.69.142", "GB", Continent::Eu),
        ("139.130.4.5", "AU", Continent::Oc),
        ("2a02:6b8::1", "RU", Continent::Eu),
        ("2001:200::1", "JP", Continent::As),
        ("::ffff:200.160.0.8", "BR", Continent::Sa),
        ("64:ff9b::133.11.0.1", "JP", Continent::As),
        ("2002:29e7:1::1", "TN", Continent::Af),
    ] {
        check_country(geo, address, country, continent);
    }
    for address in ["10.1.2.3", "127.0.0.1", "192.168.1.1", "100.64.0.1", "192.0.2.1", "224.0.0.1"]
    {
        assert_eq!(*geo.locate(address.parse().unwrap()).place, Place::NOWHERE, "{address}");
    }
    for address in ["::1", "fe80::1", "fd00::1", "2001:db8::1", "ff02::1", "::ffff:10.0.0.1"] {
        assert_eq!(*geo.locate(address.parse().unwrap()).place, Place::NOWHERE, "{address}");
    }
}

#[test]
fn the_shipped_data_knows_five_continents() {
    check_the_world(&embedded());
}

/// The file that is shipped, or one that is to be (`geoip/update`).
#[test]
fn a_file_to_ship_knows_the_world() {
    let path = env::var_os("GEOIP_FILE").map_or("geoip/country.mmdb".into(), PathBuf::from);
    let octets = fs::read(&path).unwrap();
    check_the_world(&load(vec![(path, octets)]).unwrap());
}

#[test]
fn the_shipped_file_tells_what_the_binary_does() {
    let path = PathBuf::from("geoip/country.mmdb");
    let octets = fs::read(&path).unwrap();
    let from_file = load(vec![(path, octets)]).unwrap();
    let from_binary = embedded();
    // Places are numbered as they are met, which is not the same order.
    let place = |geo: &Geo, id: evenkeel::geo::PlaceId| geo.places[id.idx()];
    assert_eq!(from_file.v4.n_runs(), from_binary.v4.n_runs());
    assert_eq!(from_file.v6.n_runs(), from_binary.v6.n_runs());
    for (one, other) in from_file.v4.runs().zip(from_binary.v4.runs()) {
        assert_eq!((one.0, place(&from_file, one.1)), (other.0, place(&from_binary, other.1)));
    }
    for (one, other) in from_file.v6.runs().zip(from_binary.v6.runs()) {
        assert_eq!((one.0, place(&from_file, one.1)), (other.0, place(&from_binary, other.1)));
    }
}

#[test]
fn maxminds_schema_is_read() {
    let city = loaded(&["GeoIP2-City-Test.mmdb"]);
    check(&city, "81.2.69.142", "GB-ENG EU at 51.5142, -0.0931", 31);
    check(&city, "216.160.83.56", "US-WA NA at 47.2513, -122.3149", 29);
    check(&city, "::ffff:216.160.83.56", "US-WA NA at 47.2513, -122.3149", 125);
    check(&city, "2002:d8a0:5338::1", "US-WA NA at 47.2513, -122.3149", 45);
    check(&city, "2001:218::1", "JP AS at 35.68536, 139.7531", 32);
    let enterprise = loaded(&["GeoIP2-Enterprise-Test.mmdb"]);
    check(&enterprise, "74.209.24.1", "US-NY NA AS14671 at 42.3478, -73.5549", 20);
    let country = loaded(&["GeoLite2-Country-Test.mmdb"]);
    check_country(&country, "81.2.69.142", "GB", Continent::Eu);
}

#[test]
fn later_files_fill_in_what_earlier_ones_lack() {
    let both = loaded(&["GeoIP2-City-Test.mmdb", "GeoLite2-ASN-Test.mmdb"]);
    check(&both, "216.160.83.56", "US-WA NA AS209 at 47.2513, -122.3149", 29);
    let only_asn = both.locate("1.128.0.1".parse().unwrap());
    assert_eq!(only_asn.place.to_string(), "AS1221");
    let names = ["documentation-flat-v4.mmdb", "documentation-flat-v6.mmdb"];
    let flat = loaded(&[&names[..], &["documentation-ipinfo.mmdb"]].concat());
    let nested = loaded(&["documentation.mmdb"]);
    for address in ["192.0.2.1", "198.51.100.1", "198.51.100.200", "203.0.113.1", "2001:db8:2::1"] {
        let address = address.parse().unwrap();
        assert_eq!(
            flat.locate(address),
            Located { id: flat.locate(address).id, ..nested.locate(address) }
        );
    }
}

#[test]
fn the_documentation_prefixes_are_where_the_tests_need_them() {
    let geo = loaded(&["documentation.mmdb"]);
    check(&geo, "192.0.2.1", "US-CA NA AS64500 at 37.77, -122.42", 26);
    check(&geo, "192.0.2.200", "BR-SP SA AS64501 at -23.55, -46.63", 25);
    check(&geo, "198.51.100.129", "GB-ENG EU AS64503 at 51.51, -0.13", 26);
    check(&geo, "2001:db8:3:4::", "JP AS AS64505 at 35.68, 139.69", 48);
    check(&geo, "2001:db8:4::", "nowhere", 46);
    // Where coordinates are those of the country, its people are the better guess.
    let place = geo.locate("198.51.100.200".parse().unwrap()).place;
    let mean = Coordinates::new(-28.2, 28.0).unwrap();
    assert!(place.at.unwrap().distance_km(&mean) < 300.0, "{place}");
    // Private addresses are nowhere, whatever a file says.
    check(&geo, "10.1.2.3", "nowhere", 1);
    assert!(geo.is_usable(&"192.0.2.0/24".parse().unwrap()));
    assert!(!geo.is_usable(&"10.0.0.0/24".parse().unwrap()));
}

#[test]
fn ipv4_is_found_where_some_files_hide_it() {
    let geo = loaded(&["documentation-mapped.mmdb"]);
    check(&geo, "192.0.2.1", "US-CA NA AS64500 at 37.77, -122.42", 26);
    check(&geo, "::ffff:192.0.2.1", "US-CA NA AS64500 at 37.77, -122.42", 122);
    // As wide as it holds no wrapped IPv4 address, which may have a place.
    check(&geo, "2001:db8:1::1", "nowhere", 15);
}

#[test]
fn networks_win() {
    let mut networks = Networks::default();
    for (prefix, country, asn) in [
        ("10.20.0.0/16", "DE", Some(64512)),
        ("192.0.2.0/28", "", Some(64999)),
        ("192.0.2.64/28", "CA", None),
    ] {
        let place = Place { country: country.parse().ok(), asn, ..Place::NOWHERE };
        networks.insert(prefix.parse().unwrap(), place).unwrap();
    }
    let geo = with_networks(&loaded(&["documentation.mmdb"]), &networks);
    check(&geo, "10.20.1.1", "DE EU AS64512 at 51.26, 9.64", 16);
    check(&geo, "192.0.2.1", "US-CA NA AS64999 at 37.77, -122.42", 28);
    check(&geo, "192.0.2.17", "US-CA NA AS64500 at 37.77, -122.42", 28);
    check(&geo, "192.0.2.65", "CA NA AS64500 at 48.12, -87.55", 28);
    assert!(geo.is_usable(&"10.20.1.0/24".parse().unwrap()));
    assert!(!geo.is_usable(&"10.21.1.0/24".parse().unwrap()));
}

#[test]
fn no_files_are_no_knowledge() {
    check(&load(Vec::new()).unwrap(), "8.8.8.8", "nowhere", 0);
}

#[test]
fn damaged_files_are_refused() {
    let mut names = Vec::new();
    for entry in fs::read_dir("tests/geoip/damaged").unwrap() {
        names.push(entry.unwrap().file_name().into_string().unwrap());
    }
    assert!(20 <= names.len());
    let files = names.iter().map(|name| file(&format!("damaged/{name}"))).collect();
    let refused = load(files).unwrap_err();
    let mut taken = Vec::new();
    for name in &names {
        let of = |path: &PathBuf| path.ends_with(name);
        let reason = refused.iter().find(|(path, _)| of(path)).map(|(_, reason)| reason);
        if reason.is_none_or(String::is_empty) {
            taken.push(name);
        }
    }
    assert!(taken.is_empty(), "{taken:?}");
    for junk in [&b""[..], b"junk", b"\xAB\xCD\xEFMaxMind.com"] {
        assert!(load(vec![(PathBuf::from("junk"), junk.to_vec())]).is_err());
    }
}

proptest! {
    /// Octets changed anywhere, and files cut short: refused or read, in little time, but no panic.
    #[test]
    fn damage_does_no_harm(
        name in prop::sample::select(&["documentation.mmdb", "documentation-flat-v4.mmdb"][..]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (path, mut octets) = file(name);
        for (place, octet) in damage {
            *place.get_mut(&mut octets) = octet;
        }
        if let Some(cut) = cut {
            octets.truncate(cut.index(octets.len()));
        }
        if let Err(refused) = load(vec![(path, octets)]) {
            assert!(!refused[0].1.contains("its reader does not know"), "{refused:?}");
        }
    }
}
