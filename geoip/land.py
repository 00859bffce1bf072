#!/usr/bin/env python3
"""Write the outline of the land on the dashboard's map from Natural Earth's, 1:110 million.

Usage: npm pack world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz
       geoip/land.py package/land-110m.json > src/api/page/land.svg

Points are in the Natural Earth projection, 1,000 units from west to east; `map.js` puts places on it
by the same formula. Antarctica is left out, and so are bends and islands that nobody would see.
"""

import json
import math
import sys

WIDTH = 1000
NORTH = 83
SOUTH = -56
BEND_MIN = 0.45
AREA_MIN = 1.6


def natural_earth(lon, lat):
    """https://doi.org/10.14714/CP71.1236 (Šavrič and others), the polynomials of the projection."""
    l, p = math.radians(lon), math.radians(lat)
    p2 = p * p
    p4 = p2 * p2
    x = l * (0.8707 - 0.131979 * p2 + p4 * (-0.013791 + p4 * (0.003971 * p2 - 0.001529 * p4)))
    y = p * (1.007226 + p2 * (0.015085 + p4 * (-0.044475 + 0.028874 * p2 - 0.005916 * p4)))
    return x, y


EAST = natural_earth(180, 0)[0]
TOP = natural_earth(0, NORTH)[1]


def project(point):
    x, y = natural_earth(*point)
    scale = WIDTH / 2 / EAST
    return x * scale + WIDTH / 2, (TOP - y) * scale


def decode(topology):
    """The rings of all land, in degrees."""
    scale, shift = topology["transform"]["scale"], topology["transform"]["translate"]
    arcs = []
    for steps in topology["arcs"]:
        x = y = 0
        arc = []
        for dx, dy in steps:
            x, y = x + dx, y + dy
            arc.append((x * scale[0] + shift[0], y * scale[1] + shift[1]))
        arcs.append(arc)
    for land in topology["objects"]["land"]["geometries"]:
        for polygon in land["arcs"]:
            for ring in polygon:
                points = []
                for idx in ring:
                    # A negative number is the arc backwards (one's complement).
                    arc = arcs[idx] if 0 <= idx else arcs[~idx][::-1]
                    points += arc[1:] if points else arc
                yield points


def cut(points):
    """The parts of a ring between 180 degrees west and east: some go round the edge of the map."""
    unrolled = [points[0]]
    for lon, lat in points[1:]:
        before = unrolled[-1][0]
        unrolled.append((lon + 360 * round((before - lon) / 360), lat))
    for turn in (-360, 0, 360):
        part = [(lon + turn, lat) for lon, lat in unrolled]
        for side in (1, -1):
            part = clip(part, side)
        if part:
            yield part + part[:1]


def clip(points, side):
    """Sutherland and Hodgman: what is inside of one meridian, east (1) or west (-1)."""
    inside = []
    for (alon, alat), (blon, blat) in zip(points, points[1:] + points[:1]):
        if alon * side <= 180:
            inside.append((alon, alat))
        if (alon * side <= 180) != (blon * side <= 180):
            part = (180 * side - alon) / (blon - alon)
            inside.append((180 * side, alat + part * (blat - alat)))
    return inside


def straighten(points):
    """Douglas and Peucker: without the points that are nearer to a line than `BEND_MIN`."""
    if len(points) < 3:
        return points
    (ax, ay), (bx, by) = points[0], points[-1]
    length = math.hypot(bx - ax, by - ay)

    def off(point):
        x, y = point
        if length < 1e-9:
            return math.hypot(x - ax, y - ay)
        return abs((bx - ax) * (ay - y) - (ax - x) * (by - ay)) / length

    far = max(range(1, len(points) - 1), key=lambda idx: off(points[idx]))
    if off(points[far]) < BEND_MIN:
        return [points[0], points[-1]]
    return straighten(points[: far + 1])[:-1] + straighten(points[far:])


def area(points):
    pairs = zip(points, points[1:] + points[:1])
    return abs(sum(ax * by - bx * ay for (ax, ay), (bx, by) in pairs)) / 2


def path(points):
    """As relative steps of a tenth of a unit."""
    tenths = [(round(x * 10), round(y * 10)) for x, y in points]
    x, y = tenths[0]
    text = f"M{number(x)} {number(y)}l"
    steps = []
    for nx, ny in tenths[1:-1]:
        if (nx, ny) != (x, y):
            steps.append(f"{number(nx - x)} {number(ny - y)}")
            x, y = nx, ny
    return text + " ".join(steps).replace(" -", "-") + "z"


def number(tenths):
    text = f"{tenths / 10:.1f}".removesuffix(".0")
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        rings = [part for ring in decode(json.load(file)) for part in cut(ring)]
    paths = []
    for ring in rings:
        if max(lat for _, lat in ring) < -60:
            continue
        points = [project(point) for point in ring]
        # A ring has no ends to keep: the point that is farthest from the first makes two lines of it.
        far = max(range(len(points)), key=lambda idx: math.dist(points[0], points[idx]))
        points = straighten(points[: far + 1])[:-1] + straighten(points[far:])
        if AREA_MIN < area(points):
            paths.append(path(points))
    height = math.ceil(project((0, SOUTH))[1])
    print("<!-- Made with Natural Earth, public domain; geoip/land.py wrote it. -->")
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}">')
    print(f'<symbol id="land" viewBox="0 0 {WIDTH} {height}"><path d="' + "\n".join(paths) + '"/></symbol>')
    print('<use href="#land"/>')
    print("</svg>")


if __name__ == "__main__":
    main()
