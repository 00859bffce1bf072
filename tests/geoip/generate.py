#!/usr/bin/env python3
"""Write the databases of the documentation prefixes, in each of the three schemas.

Usage: pip install mmdb-writer && tests/geoip/generate.py

The networks are nobody's (RFC 5737, RFC 3849), so that a test may put them wherever it needs a client.
"""

import pathlib

from mmdb_writer import MMDBWriter
from netaddr import IPSet

HERE = pathlib.Path(__file__).parent
BUILT = 1_790_000_000

# network: country, continent, subdivision and its name, AS, latitude and longitude
NETWORKS = {
    "192.0.2.0/26": ("US", "NA", "CA", "California", 64500, 37.77, -122.42),
    "192.0.2.64/26": ("US", "NA", "NY", "New York", 64500, 40.71, -74.01),
    "192.0.2.128/25": ("BR", "SA", "SP", "Sao Paulo", 64501, -23.55, -46.63),
    "198.51.100.0/25": ("DE", "EU", "BE", "Berlin", 64502, 52.52, 13.40),
    "198.51.100.128/26": ("GB", "EU", "ENG", "England", 64503, 51.51, -0.13),
    "198.51.100.192/26": ("ZA", "AF", None, None, 64504, None, None),
    "203.0.113.0/25": ("JP", "AS", None, None, 64505, 35.68, 139.69),
    "203.0.113.128/25": ("AU", "OC", "NSW", "New South Wales", 64506, -33.87, 151.21),
    "2001:db8:1::/48": ("US", "NA", "CA", "California", 64500, 37.77, -122.42),
    "2001:db8:2::/48": ("DE", "EU", "BE", "Berlin", 64502, 52.52, 13.40),
    "2001:db8:3::/48": ("JP", "AS", None, None, 64505, 35.68, 139.69),
    # What a file cannot know, and some say all the same.
    "10.0.0.0/8": ("AU", "OC", "NSW", "New South Wales", 64506, -33.87, 151.21),
}


def nested(country, continent, subdivision, name, asn, lat, lon):
    record = {"country": {"iso_code": country}, "continent": {"code": continent}}
    record["traits"] = {"autonomous_system_number": asn}
    if subdivision:
        record["subdivisions"] = [{"iso_code": subdivision, "names": {"en": name}}]
    if lat is not None:
        record["location"] = {"latitude": lat, "longitude": lon, "accuracy_radius": 20}
    else:
        # The middle of the land, and known to be no better than that.
        record["location"] = {"latitude": -29.0, "longitude": 24.0, "accuracy_radius": 1000}
    return record


def flat(country, continent, subdivision, name, asn, lat, lon):
    record = {"country_code": country, "city": ""}
    if subdivision:
        record["state1"] = name
    if lat is not None:
        record |= {"latitude": lat, "longitude": lon}
    return record


def ipinfo(country, continent, subdivision, name, asn, lat, lon):
    return {
        "asn": f"AS{asn}",
        "country_code": country,
        "country": "spelled out",
        "continent_code": continent,
        "continent": "spelled out",
    }


def write(file, record, version, networks, description=True, mapped=False):
    writer = MMDBWriter(
        ip_version=version,
        database_type="documentation prefixes",
        ipv4_compatible=version == 6 and not mapped,
        languages=["en"] if description else [],
        description="RFC 5737 and RFC 3849" if description else "",
        float_type="f64",
    )
    for network in networks:
        content = record(*NETWORKS[network])
        if mapped:
            address, length = network.split("/")
            network = f"::ffff:{address}/{96 + int(length)}"
        writer.insert_network(IPSet([network]), content)
    writer.to_db_file(str(HERE / file))
    # The writer takes the clock's time; the same input is to give the same file.
    octets = (HERE / file).read_bytes()
    head, key, tail = octets.rpartition(b"Kbuild_epoch")
    size = tail[0] & 0x1F if tail[0] >> 5 else tail[0]
    start = 1 if tail[0] >> 5 else 2
    tail = tail[:start] + BUILT.to_bytes(size, "big") + tail[start + size :]
    (HERE / file).write_bytes(head + key + tail)


def main():
    v4 = [network for network in NETWORKS if ":" not in network]
    v6 = [network for network in NETWORKS if ":" in network]
    write("documentation.mmdb", nested, 6, NETWORKS)
    write("documentation-flat-v4.mmdb", flat, 4, v4, description=False)
    write("documentation-flat-v6.mmdb", flat, 6, v6, description=False)
    write("documentation-mapped.mmdb", nested, 6, v4, mapped=True)
    write("documentation-ipinfo.mmdb", ipinfo, 6, NETWORKS)


if __name__ == "__main__":
    main()
