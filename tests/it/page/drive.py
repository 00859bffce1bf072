"""A person before the dashboard, in Chromium without a window: looks, acts, and checks what came of it.

Usage: drive.py EVENKEEL FOLDER

Everything runs on loopback: three regions (HTTP servers), `evenkeel serve` with its files in FOLDER, and
the browser. Each scene leaves all as it found it. What is waited for is a condition, never a time.
"""

import contextlib
import hashlib
import http.server
import itertools
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

PATIENCE_S = 30
REGIONS = {
    "us-east-1": ("127.0.7.1", "[38.95, -77.45]"),
    "eu-west-1": ("127.0.7.2", "[53.35, -6.26]"),
    "ap-southeast-1": ("127.0.7.3", "[1.35, 103.82]"),
}
# By the weights below, percent.
MEANT = {"us-east-1": 50, "eu-west-1": 30, "ap-southeast-1": 20}
ZONE = """
zone: example.com
records:
  "@": { NS: [ns1] }
  ns1: { A: 127.0.0.1 }
  www:
    ttl: 20s
    steer:
      check: web
      demand: 90
      pools:
        us-east-1: { weight: 50, A: 127.0.7.1 }
        eu-west-1: { weight: 30, A: 127.0.7.2 }
        ap-southeast-1: { weight: 20, A: 127.0.7.3 }
  only:
    steer:
      check: web
      pools:
        ap-southeast-1: { A: 127.0.7.3 }
"""


def until(what, condition):
    end = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        if end < time.monotonic():
            raise AssertionError(f"waited {PATIENCE_S} s for {what}")
        time.sleep(0.02)
    return found


class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Regions:
    """Three HTTP servers on one port."""

    def __init__(self):
        self.running = {}
        self.port = 0
        for name in REGIONS:
            self.start(name)

    def start(self, name):
        server = http.server.ThreadingHTTPServer((REGIONS[name][0], self.port), Healthy)
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.running[name] = server

    def kill(self, name):
        server = self.running.pop(name)
        server.shutdown()
        server.server_close()


def free_port():
    """A port that is free for UDP and TCP at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as tcp:
        port = tcp.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", port))
        return port


class Server:
    def __init__(self, program, folder, check_port):
        self.program, self.folder = program, folder
        self.dns, self.api = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.api}/"
        self.zone = folder / "zones" / "example.com.yaml"
        self.zone.parent.mkdir()
        self.zone.write_text(ZONE)
        regions = "".join(
            f"  {name}: {{ at: {at}, capacity: 100 }}\n" for name, (_, at) in REGIONS.items()
        )
        self.file = f"""
version: 1
listen: ["127.0.0.1:{self.dns}"]
zones: zones/
geoip: []
networks:
  203.0.113.0/24: {{ country: DE }}
  198.51.100.0/24: {{ country: BR }}
state: state
api: {{ listen: "127.0.0.1:{self.api}" }}
regions:
{regions}
checks:
  web: {{ http: {{ path: /, port: {check_port} }}, every: 1s, timeout: 500ms, fall: 2, rise: 2 }}
"""
        self.process = None
        self.start()

    def start(self, more=""):
        (self.folder / "evenkeel.yaml").write_text(self.file.replace("api: { ", "api: { " + more))
        self.log = open(self.folder / "serve.log", "ab")
        command = [self.program, "serve", "--config", self.folder / "evenkeel.yaml"]
        self.process = subprocess.Popen(command, stderr=self.log, stdin=subprocess.DEVNULL)
        until("the server to be ready", self.is_ready)

    def is_ready(self):
        assert self.process.poll() is None, (self.folder / "serve.log").read_text()
        with contextlib.suppress(OSError):
            return urllib.request.urlopen(f"{self.url}healthz", timeout=5).status == 200

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE_S)
        self.log.close()

    def get(self, path):
        with urllib.request.urlopen(f"{self.url}api/v1/{path}", timeout=5) as answer:
            return json.load(answer)

    def dig(self, name, times=40):
        """What clients get: all addresses, and all rcodes."""
        command = ["dig", "@127.0.0.1", "-p", str(self.dns), "+tries=1", *[name] * times]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
        return set(re.findall(r"\sA\s(127\.\S+)", said)), set(re.findall(r"status: (\w+)", said))

    def verdict(self, to, after):
        """The event of the first verdict `to` after the one with the id `after`."""
        for event in self.get(f"events?after={after}")["events"]:
            if event["kind"] == "verdict" and event["to"] == to:
                return event
        return None

    def last_event(self):
        return self.get("events")["events"][-1]["id"]


# Noted in the page itself, from before its first script.
WATCH = """
  window.violations = [];
  document.addEventListener('securitypolicyviolation', (it) => violations.push(`${it.violatedDirective} ${it.blockedURI}`));
"""

# When the mark of a region on the map turns to a state, by the clock of the page.
TURNS = """
  ([region, state]) => {
    const mark = document.querySelector(`#map [data-region="${region}"]`);
    window.turned = new Promise((resolve) => {
      const look = () => mark.dataset.state === state && resolve(Date.now());
      new MutationObserver(look).observe(mark, { attributes: true });
    });
  }
"""


class Person:
    def __init__(self, page, server, regions):
        self.page, self.server, self.regions = page, server, regions

    def region(self, name):
        return self.page.locator(f'#map [data-region="{name}"]')

    def row(self, name):
        return self.page.locator(f'#regions [data-region="{name}"]')

    def dialog(self):
        return self.page.locator("#dialog")

    def shows(self, name, state):
        expect(self.region(name)).to_have_attribute("data-state", state)
        expect(self.row(name)).to_have_attribute("data-state", state)

    def foresees(self, expected):
        """The dialog says what would be: share, load, and load of capacity, by region."""
        rows = self.dialog().locator(".preview tbody tr")
        for name, cells in expected.items():
            expect(rows.filter(has_text=name).locator("td")).to_have_text(list(cells))

    # ---- Scenes ----

    def looks(self):
        for name in REGIONS:
            self.shows(name, "up")
            expect(self.region(name)).to_contain_text(name)
        expect(self.page.locator("#headline-text")).to_have_text("All 3 regions are up")
        expect(self.page.locator("#age")).to_have_text("live")
        # Who has no mouse need not go through all that is above the names.
        self.page.keyboard.press("Tab")
        expect(self.page.locator(".skip")).to_be_focused()
        self.page.keyboard.press("Enter")
        expect(self.page.locator("#names")).to_be_focused()
        self.page.get_by_role("option", name="www.example.com").click()
        expect(self.page.locator("#detail h3")).to_have_text("www.example.com")
        expect(self.page.locator("#detail tr.endpoint")).to_have_count(3)
        expect(self.page.locator("#detail .probes").first).to_have_attribute(
            "aria-label", re.compile(r"^0 of the latest [1-9]\d* probes failed$")
        )
        # What the files mean each to get, of this name and of all of them.
        meant = {"us-east-1": ("50 %", "25 %"), "eu-west-1": ("30 %", "15 %"), "ap-southeast-1": ("20 %", "60 %")}
        for name, (of_www, of_all) in meant.items():
            expect(self.page.locator(f'#detail tr.pool[data-pool="{name}"]')).to_contain_text(f"meant {of_www}")
            expect(self.row(name).locator("td").nth(2)).to_have_text(of_all)
        credit = self.page.get_by_role("link", name="IP Geolocation by DB-IP")
        expect(credit).to_have_attribute("href", "https://db-ip.com")
        # The marks are shapes of their own: nobody has to tell colours apart.
        shapes = self.page.evaluate(
            "['up', 'down', 'mixed', 'drain'].map((it) => document.getElementById(`mark-${it}`).innerHTML)"
        )
        assert len(set(shapes)) == 4, shapes

    def a_region_dies(self):
        last = self.server.last_event()
        self.page.evaluate("window.before = true")
        self.page.evaluate(TURNS, ["us-east-1", "down"])
        self.regions.kill("us-east-1")
        event = until("the verdict", lambda: self.server.verdict("down", last))
        turned = self.page.evaluate("turned")
        assert self.page.evaluate("window.before"), "the page was loaded anew"
        said = self.page.evaluate("(at) => Date.parse(at)", event["at"])
        assert -50 <= turned - said <= 2000, f"red {turned - said} ms after the verdict"
        print(f"    red {turned - said} ms after the verdict")
        colour = self.region("us-east-1").locator(".mark").evaluate("(it) => getComputedStyle(it).color")
        red, green, blue = map(float, re.findall(r"[\d.]+", colour)[:3])
        assert 1.8 * max(green, blue) < red, colour
        expect(self.page.locator("#headline-text")).to_have_text("us-east-1 is down")
        expect(self.page.locator('#list [data-name="www.example.com."]')).to_have_attribute("data-state", "mixed")
        expect(self.page).to_have_title(re.compile("us-east-1 is down"))
        expect(self.page.locator("#events li").first).to_contain_text("connection refused")
        self.regions.start("us-east-1")
        self.shows("us-east-1", "up")
        expect(self.page.locator("#headline-text")).to_have_text("All 3 regions are up")
        # The server remembers what failed, whoever looked.
        keeps_to_the_policy(self.page)
        self.page.reload()
        expect(self.page.locator("#detail h3")).to_have_text("www.example.com")
        timeline = self.page.locator('#detail tr.endpoint[data-address="127.0.7.1"] .probes')
        failed = re.compile(r"^[2-9] of the latest \d+ probes failed, the last at ")
        expect(timeline).to_have_attribute("aria-label", failed)

    def drains_and_clears(self):
        self.row("eu-west-1").get_by_role("button").click()
        button = self.dialog().get_by_role("button", name="Drain eu-west-1")
        self.foresees(
            {
                "us-east-1": ["50 % → 71 %", "45 → 64.3", "64 %"],
                "eu-west-1": ["30 % → 0 %", "27 → 0", "0 %"],
                "ap-southeast-1": ["20 % → 29 %", "18 → 25.7", "26 %"],
            }
        )
        expect(self.dialog().locator(".preview")).to_contain_text("Changes www.example.com.")
        button.click()
        expect(self.dialog().get_by_role("alert")).to_contain_text("Say why")
        self.dialog().get_by_label("Why, for whoever finds it").fill("disks <b>are</b> changed")
        self.dialog().get_by_label("Who you are").fill("ann")
        button.click()
        expect(self.dialog()).not_to_be_visible()
        self.shows("eu-west-1", "drain")
        addresses, _ = self.server.dig("www.example.com")
        assert addresses == {"127.0.7.1", "127.0.7.3"}, addresses
        event = self.page.locator("#events li", has_text="disks <b>are</b> changed")
        expect(event).to_contain_text("ann")
        said = self.page.locator('#said [data-target="eu-west-1"]')
        expect(said).to_contain_text("disks <b>are</b> changed")
        expect(said).to_contain_text(re.compile(r"ends in (1 h 00|59) m"))
        said.get_by_role("button").click()
        self.foresees({"us-east-1": ["71 % → 50 %", "64.3 → 45", "45 %"]})
        self.dialog().get_by_role("button", name="Clear drain of eu-west-1").click()
        self.shows("eu-west-1", "up")
        expect(self.page.locator("#said-none")).to_be_visible()
        addresses, _ = self.server.dig("www.example.com", 100)
        assert "127.0.7.2" in addresses, addresses

    def turns_a_dial(self):
        self.row("us-east-1").get_by_role("button").click()
        self.dialog().get_by_text("Dial", exact=True).click()
        self.dialog().get_by_label("% of its normal traffic").fill("40")
        self.dialog().get_by_label("Why, for whoever finds it").fill("the cache is cold")
        # 40 % of a capacity of 100, and of a weight of 50 beside 30 and 20.
        self.foresees({"us-east-1": ["50 % → 29 %", "45 → 25.7", "64 %"]})
        self.dialog().get_by_role("button", name="Dial to 40 %: us-east-1").click()
        expect(self.row("us-east-1")).to_contain_text("40 %")
        said = self.page.locator('#said [data-target="us-east-1"]')
        expect(said).to_contain_text("dial 40 %")
        said.get_by_role("button").click()
        self.foresees({"us-east-1": ["29 % → 50 %", "25.7 → 45", "45 %"]})
        self.dialog().get_by_role("button", name="Clear dial 40 % of us-east-1").click()
        expect(self.page.locator("#said-none")).to_be_visible()

    def is_refused_and_forces(self):
        self.row("ap-southeast-1").get_by_role("button").click()
        self.dialog().get_by_label("Why, for whoever finds it").fill("an exercise")
        self.page.keyboard.press("Enter")
        refusal = self.dialog().get_by_role("alert")
        expect(refusal).to_contain_text("1 name would be left with nothing")
        expect(refusal).to_contain_text("only.example.com")
        force = self.dialog().get_by_role("button", name="Do it all the same: Drain ap-southeast-1")
        expect(force).to_be_disabled()
        assert self.server.get("overrides")["overrides"] == [], "refused, and nothing was done"
        self.dialog().get_by_label("Do it all the same.").check()
        force.click()
        self.shows("ap-southeast-1", "drain")
        assert self.server.dig("only.example.com", 3)[1] == {"SERVFAIL"}
        self.page.locator('#said [data-target="ap-southeast-1"]').get_by_role("button").click()
        self.dialog().get_by_role("button", name="Clear drain").click()
        self.shows("ap-southeast-1", "up")

    def reads_complaints(self):
        self.server.zone.write_text(ZONE.replace("weight: 50", "weight: 505050"))
        self.page.get_by_role("button", name="Reload files").click()
        complaint = self.dialog().locator(".complaints li")
        expect(complaint).to_have_count(1)
        expect(complaint).to_contain_text(re.compile(r"example\.com\.yaml:\d+:\d+"))
        expect(complaint).to_contain_text("505050")
        expect(complaint).to_contain_text("hint: ")
        self.page.keyboard.press("Escape")
        expect(self.dialog()).not_to_be_visible()
        self.server.zone.write_text(ZONE)
        self.page.get_by_role("button", name="Reload files").click()
        expect(self.page.locator("#toast")).to_contain_text("Reloaded: generation")

    def explains(self):
        self.page.locator("#detail").get_by_role("button", name="Explain…").click()
        self.dialog().get_by_label("Client, or the network of clients").fill("203.0.113.7")
        self.dialog().get_by_label("us-east-1").check()
        self.dialog().get_by_role("button", name="Explain", exact=True).click()
        stages = self.dialog().locator(".explained tbody").first.locator("th")
        words = ["place", "match", "available", "tier", "near", "spill", "pick", "answer"]
        expect(stages).to_have_text(words)
        expect(self.dialog().locator(".explained")).to_contain_text("us-east-1 is down")
        self.page.keyboard.press("Escape")

    def uses_the_keys(self):
        """The list, and a dialog that keeps the focus and gives it back."""
        self.page.locator("#list").focus()
        self.page.keyboard.press("Home")
        first = self.page.locator("#detail h3").inner_text()
        self.page.keyboard.press("ArrowDown")
        expect(self.page.locator("#detail h3")).not_to_have_text(first)
        button = self.row("eu-west-1").get_by_role("button")
        button.focus()
        self.page.keyboard.press("Enter")
        expect(self.dialog().get_by_label(re.compile("^Drain"))).to_be_focused()
        for _ in range(25):
            self.page.keyboard.press("Tab")
            inside = "document.activeElement === document.body || dialog.contains(document.activeElement)"
            assert self.page.evaluate(inside), "the focus left the dialog"
        self.page.keyboard.press("Escape")
        expect(self.dialog()).not_to_be_visible()
        expect(button).to_be_focused()

    def loses_the_server(self):
        self.server.stop()
        headline = self.page.locator("#headline")
        expect(headline).to_have_attribute("data-state", "lost")
        expect(headline).to_contain_text("Lost the server")
        expect(self.page.locator("#age")).to_have_text(re.compile(r"^heard of \d+ s ago$"))
        expect(self.row("us-east-1").get_by_role("button")).to_be_disabled()
        self.server.start()
        expect(headline).to_have_attribute("data-state", "up")
        expect(self.row("us-east-1").get_by_role("button")).to_be_enabled()
        # The stream goes on as well: what happens now is heard.
        self.regions.kill("eu-west-1")
        self.shows("eu-west-1", "down")
        expect(self.page.locator("#events li").first).to_contain_text("connection refused")
        self.regions.start("eu-west-1")
        self.shows("eu-west-1", "up")

    def gives_tokens(self):
        """One to look, and one of a wider scope to act; the name of a token is the author."""
        tokens = {scope: f"correct-horse-battery-staple-{scope}" for scope in ("read", "operate", "admin")}
        hashes = {scope: hashlib.sha256(it.encode()).hexdigest() for scope, it in tokens.items()}
        lines = [f"the-{scope} {scope} sha256:{it}\n" for scope, it in hashes.items()]
        self.server.stop()
        (self.server.folder / "token").write_text("".join(lines))
        self.server.start("token_file: token, ")
        headline = self.page.locator("#headline")
        expect(headline).to_contain_text("The server wants a token")
        self.page.get_by_role("button", name="Token", exact=True).click()
        self.give("wrong")
        expect(headline).to_contain_text("The server wants a token")
        self.page.get_by_role("button", name="Token", exact=True).click()
        self.give(tokens["read"])
        expect(headline).to_have_attribute("data-state", "up")
        self.page.get_by_role("button", name="Reload files").click()
        expect(self.page.get_by_text("a token of the scope admin")).to_be_visible()
        is_done = lambda it: it.url.endswith("/reload") and it.status == 200
        with self.page.expect_response(is_done):
            self.give(tokens["admin"])
        self.row("us-east-1").get_by_role("button").click()
        self.dialog().get_by_label("Why, for whoever finds it").fill("an exercise")
        self.dialog().get_by_label("Who you are").fill("")
        self.dialog().get_by_role("button", name="Drain us-east-1").click()
        said = self.page.locator('#said [data-target="us-east-1"]')
        expect(said).to_contain_text("the-admin")
        said.get_by_role("button").click()
        self.dialog().get_by_role("button", name="Clear drain of us-east-1").click()
        expect(self.page.locator("#said-none")).to_be_visible()
        kept = self.page.evaluate("[JSON.stringify(localStorage), document.cookie, location.href].join()")
        assert "correct-horse" not in kept, kept
        self.server.stop()
        self.server.start()
        expect(headline).to_have_attribute("data-state", "up")

    def give(self, token):
        self.page.get_by_role("textbox", name="Token").fill(token)
        self.page.get_by_role("button", name="Use it").click()

    def finds_no_fault(self, kind):
        """axe-core, with a region down, and in a dialog; and nothing is wider than the screen."""
        width = "[document.documentElement.scrollWidth, innerWidth]"
        scroll, inner = self.page.evaluate(width)
        assert scroll <= inner, f"{kind}: {scroll} pixels wide on a screen of {inner}"
        self.check_by_axe(kind)
        self.row("eu-west-1").get_by_role("button").click()
        expect(self.dialog().locator(".preview table")).to_be_visible()
        scroll, inner = self.dialog().evaluate("(it) => [it.scrollWidth, it.clientWidth]")
        assert scroll <= inner, f"{kind}: content of {scroll} pixels in a dialog of {inner}"
        self.check_by_axe(f"{kind}, dialog")
        self.page.keyboard.press("Escape")

    def check_by_axe(self, what):
        found = Axe().run(self.page).response["violations"]
        wrong = [
            f"{it['id']} ({it['impact']}): {it['nodes'][0]['html']}: {it['nodes'][0]['failureSummary']}"
            for it in found
            if it["impact"] in ("serious", "critical")
        ]
        assert not wrong, f"{what}: " + "\n".join(wrong)


def keeps_to_the_policy(page):
    violations = page.evaluate("violations")
    assert not violations, f"against the policy: {violations}"


# Networks that clients are in, and how much they ask; the server file says where they are.
CLIENTS = {"203.0.113.0": ("DE", 0.75), "198.51.100.0": ("BR", 0.25)}


def question(idx, network):
    """`www.example.com A`, for a client in a network of 24 bits (RFC 7871 section 6)."""
    name = b"\x03www\x07example\x03com\x00"
    option = struct.pack(">HHHBB", 8, 7, 1, 24, 0) + socket.inet_aton(network)[:3]
    opt = b"\x00" + struct.pack(">HHIH", 41, 1232, 0, len(option)) + option
    return struct.pack(">HHHHHH", idx % 65536, 0, 1, 0, 0, 1) + name + struct.pack(">HH", 1, 1) + opt


@contextlib.contextmanager
def clients_ask(server):
    """Questions over UDP, a few at a time, until the block is left."""
    done = threading.Event()

    def ask():
        weights = [part for _, part in CLIENTS.values()]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.connect(("127.0.0.1", server.dns))
            udp.settimeout(1)
            for idx in itertools.count():
                if done.wait(0 if idx % 40 else 0.005):
                    return
                udp.send(question(idx, random.choices(list(CLIENTS), weights)[0]))
                with contextlib.suppress(TimeoutError):
                    udp.recv(1500)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def counts(person):
    """Shares of the answers that clients get, beside the meant ones, and where questions come from."""
    page, percent = person.page, re.compile(r"(\d+)(?:\.\d+)? %")

    def shown(locator):
        found = percent.search(locator.text_content())
        return int(found[1]) if found else -99

    def are_as_meant():
        gets = {name: shown(person.row(name).locator("td").nth(3)) for name in MEANT}
        on_map = {name: shown(person.region(name).locator(".what")) for name in MEANT}
        return all(abs(gets[it] - MEANT[it]) <= 4 and abs(on_map[it] - MEANT[it]) <= 4 for it in MEANT)

    def come_from():
        found = re.match(r"Questions come from Germany (\d+) %, Brazil (\d+) %", page.locator("#map-below").inner_text())
        return found and abs(int(found[1]) - 75) <= 10

    with clients_ask(person.server):
        until("shares as they are meant", are_as_meant)
        until("countries by what they ask", come_from)
        # Nobody asks for the other name, so what all are meant to get is what this one is.
        expect(person.row("us-east-1").locator("td").nth(2)).to_have_text("50 %")
        detail = page.locator('#detail tr.pool[data-pool="us-east-1"]')
        expect(detail).to_contain_text(re.compile(r"(4[6-9]|5[0-4])(\.\d)? %, meant 50 %"))
        expect(page.locator("#detail")).to_contain_text("footing healthy")
        radii = page.locator("#map .dots circle").evaluate_all("(all) => all.map((it) => Number(it.getAttribute('r')))")
        assert len(radii) == 2 and max(radii) / min(radii) > 1.4, radii
        expect(page.locator("#headline-more")).to_contain_text("questions/s")
        keeps_to_the_policy(page)


def scene(words, work, *arguments):
    print(words, flush=True)
    work(*arguments)


def play(person, elsewhere):
    page = person.page
    scene("looks", person.looks)
    scene("a region dies", person.a_region_dies)
    scene("drained, and cleared", person.drains_and_clears)
    scene("a dial", person.turns_a_dial)
    scene("refused, and forced", person.is_refused_and_forces)
    scene("complaints of a reload", person.reads_complaints)
    scene("explained", person.explains)
    scene("keys alone", person.uses_the_keys)
    scene("counts", counts, person)
    scene("the server is lost, and back", person.loses_the_server)
    scene("tokens", person.gives_tokens)
    person.regions.kill("us-east-1")
    person.shows("us-east-1", "down")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        scene(f"axe: {scheme}", person.finds_no_fault, scheme)
        page.set_viewport_size({"width": 360, "height": 740})
        scene(f"axe: {scheme}, narrow", person.finds_no_fault, f"{scheme}, narrow")
        page.set_viewport_size({"width": 1280, "height": 800})
    scene("nothing elsewhere", lambda: None)
    assert not elsewhere, f"the page asked elsewhere: {elsewhere}"
    keeps_to_the_policy(page)


def main():
    program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    # Whoever ends this script ends what it started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    regions = Regions()
    server = Server(program, folder, regions.port)
    # Chromium has no sandbox for root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=arguments
            )
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.set_default_timeout(PATIENCE_S * 1000)
            expect.set_options(timeout=PATIENCE_S * 1000)
            elsewhere, errors = [], []
            page.on("request", lambda it: it.url.startswith((server.url, "data:")) or elsewhere.append(it.url))
            page.on("pageerror", lambda it: errors.append(it.stack or it.message))
            page.add_init_script(WATCH)
            page.goto(server.url)
            try:
                play(Person(page, server, regions), elsewhere)
            except Exception:
                page.screenshot(path=folder / "failed.png")
                print(page.locator("body").inner_text(), file=sys.stderr)
                raise
            finally:
                print(*errors, sep="\n", file=sys.stderr)
            assert not errors, "errors of scripts"
            browser.close()
    finally:
        server.stop()


if __name__ == "__main__":
    main()
