"""Time how soon the built pages can be used on a slow line and a slow machine: python benchmarks/pages.py [PAGE ...].

Chromium loads each page from an empty cache, at 10 Mbit/s with 40 ms of latency, its processor slowed down four times,
from a server that compresses. Targets: text and formulas on the screen (the largest paint) within 1.5 s; the first
slider ready within 2 s; a step of it shown within 50 ms; at most 2 MB for all that a page asks for.
"""

import argparse
import functools
import gzip
import http.server
import json
import os
import shutil
import statistics
import sys
import threading
from pathlib import Path

from common import processor
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
HTML = ROOT / "_build" / "html"
OUT = Path(__file__).with_name("results") / "pages.json"
CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
LINE = {"offline": False, "latency": 40, "downloadThroughput": 10e6 / 8, "uploadThroughput": 10e6 / 8}
SLOWER = 4
START = 2000  # ms in which a new window loads pages of its own, such as that of its address bar
TARGETS = {"text_s": 1.5, "slider_s": 2.0, "step_ms": 50, "megabytes": 2.0}

# Read before the page's own scripts: paints, long tasks, and when the first slider is shown.
WATCH = """() => {
  window.seen = {blocked: 0, shift: 0};
  const watch = (type, take) =>
    new PerformanceObserver(list => list.getEntries().forEach(take)).observe({type, buffered: true});
  watch("paint", entry => { if (entry.name === "first-contentful-paint") seen.first = entry.startTime; });
  watch("largest-contentful-paint", entry => { seen.largest = entry.startTime; });
  watch("longtask", entry => { seen.blocked += Math.max(0, entry.duration - 50); });
  watch("layout-shift", entry => { seen.shift += entry.value; });
  document.addEventListener("DOMContentLoaded", () => { seen.read = performance.now(); });
  const look = () => {
    const sliders = document.querySelector(".lmm-explore > div");
    if (sliders && !sliders.hidden) seen.slider = performance.now(); else requestAnimationFrame(look); };
  requestAnimationFrame(look); }"""
# From a slider's event to the second frame after it: the first shows the new picture.
STEP = """async () => {
  const slider = document.querySelector(".lmm-explore input"), steps = [];
  if (!slider) return steps;
  slider.scrollIntoView({block: "center"});
  await new Promise(done => setTimeout(done, 1000));
  for (let i = 0; i <= Math.min(20, Number(slider.max)); i++) {
    await new Promise(requestAnimationFrame);
    const start = performance.now();
    slider.value = i;
    slider.dispatchEvent(new Event("input"));
    await new Promise(requestAnimationFrame);
    await new Promise(done => { const channel = new MessageChannel();
      channel.port1.onmessage = done; channel.port2.postMessage(0); });
    steps.push(performance.now() - start);
  }
  return steps; }"""


class Compressing(http.server.SimpleHTTPRequestHandler):
    """Serve files as a site does that compresses what is text."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body, kind = packed(self.translate_path(self.path))
        self.send_response(200 if body is not None else 404)
        self.send_header("Content-Type", self.guess_type(self.path.split("?")[0]))
        if kind:
            self.send_header("Content-Encoding", kind)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_):
        pass


@functools.cache
def packed(path: str) -> tuple[bytes | None, str]:
    if not os.path.isfile(path):
        return None, ""
    content = Path(path).read_bytes()
    if path.endswith((".html", ".css", ".js", ".svg")):
        return gzip.compress(content, 6), "gzip"
    return content, ""


def load(browser, address: str) -> dict:
    """Load a page once, as a reader who comes for the first time."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    client = context.new_cdp_session(page)
    received = []
    client.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    client.send("Network.enable")
    client.send("Network.emulateNetworkConditions", LINE)
    client.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
    page.add_init_script(f"({WATCH})()")
    page.wait_for_timeout(START)
    page.goto(address, wait_until="load")
    page.wait_for_timeout(500)
    seen, steps = page.evaluate("seen"), page.evaluate(STEP)
    context.close()
    return {
        "first_paint_s": seen["first"] / 1e3, "text_s": seen["largest"] / 1e3,
        "scripts_s": seen["read"] / 1e3, "slider_s": seen["slider"] / 1e3 if "slider" in seen else None,
        "step_ms": statistics.median(steps) if steps else None, "blocked_ms": seen["blocked"],
        "layout_shift": seen["shift"], "megabytes": sum(received) / 1e6, "requests": len(received),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", help="paths below _build/html; by default every page")
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    if not (HTML / "book").exists():
        sys.exit("the book is not built: make book")
    pages = given.pages or [p.relative_to(HTML).as_posix() for p in sorted(HTML.glob("book/*.html"))]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Compressing, directory=HTML))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found, faults = {}, []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        version = browser.version
        for page in pages:
            runs = [load(browser, f"http://127.0.0.1:{server.server_port}/{page}") for _ in range(given.runs)]
            found[page] = {
                name: None if first is None else round(statistics.median(run[name] for run in runs), 3)
                for name, first in runs[0].items()
            }
            missed = [name for name, most in TARGETS.items() if (found[page][name] or 0) > most]
            faults += [f"{page}: {name} {found[page][name]}, target {TARGETS[name]}" for name in missed]
            print(f"{page:32}", *(f"{name} {value}" for name, value in found[page].items()), flush=True)
        browser.close()
    server.shutdown()
    if not given.pages:
        record = {"chromium": version, "processor": processor(), "line": LINE, "slower": SLOWER,
                  "runs": given.runs, "targets": TARGETS, "pages": found, "missed": faults}  # fmt: skip
        OUT.write_text(json.dumps(record, indent=1) + "\n")
    print(*faults, sep="\n")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
