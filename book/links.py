"""Ask for every outside address that the built book links to, and report those that do not answer.

    python book/links.py [SECONDS]        (for one answer; 20 if not given)

Not a part of the tests, since it depends on other people's servers. Exit code 1 if an address failed. Publishers that
refuse programs (401, 403, 405, 418, 429, 999) are listed apart: the address exists, and a reader's browser may open it.
"""

import sys
import urllib.error
import urllib.request
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urldefrag

HTML = Path(__file__).resolve().parents[1] / "_build" / "html"
REFUSED = {401, 403, 405, 418, 429, 999}
BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Accept": "*/*"}


def outside(folder):
    """The addresses that the pages of a site link to outside of it, each with the pages that do."""
    found = defaultdict(list)
    for path in (*sorted(folder.glob("book/**/*.html")), *folder.glob("*.html")):
        parser = HTMLParser()
        where = path.relative_to(folder).as_posix()

        def handle(tag, attributes, where=where):
            address = urldefrag(dict(attributes).get("href") or "").url
            if tag == "a" and address.startswith(("http://", "https://")) and where not in found[address]:
                found[address].append(where)

        parser.handle_starttag = handle
        parser.feed(path.read_text(encoding="utf-8"))
    return dict(sorted((address, pages) for address, pages in found.items() if pages))


def ask(address, seconds=20):
    """Say "ok", "refused: ..." or what went wrong; by HEAD, and by GET where HEAD gets no good answer."""
    for method in ("HEAD", "GET"):
        try:
            request = urllib.request.Request(address, headers=BROWSER, method=method)
            urllib.request.urlopen(request, timeout=seconds).close()
            return "ok"
        except urllib.error.HTTPError as error:
            answer = f"{'refused: ' if error.code in REFUSED else ''}{error.code} {error.reason}"
        except (OSError, ValueError) as error:  # no such host, no route, a time-out, a bad certificate or address
            answer = str(getattr(error, "reason", error)) or type(error).__name__
            break  # GET would wait as long for the same
    return answer


def main(seconds=20):
    links = outside(HTML)
    if not links:
        sys.exit("no page with an outside link: build the book first (make book)")
    with ThreadPoolExecutor(16) as pool:
        answers = dict(zip(links, pool.map(lambda address: ask(address, seconds), links), strict=True))
    failed = [address for address, answer in answers.items() if not answer.startswith(("ok", "refused"))]
    for address, answer in answers.items():
        if answer != "ok":
            more = f" and {len(links[address]) - 3} more" if len(links[address]) > 3 else ""
            print(f"{answer}\n    {address}\n    in {', '.join(links[address][:3])}{more}")
    refused = sum(answer.startswith("refused") for answer in answers.values())
    print(f"{len(links)} addresses: {len(links) - len(failed) - refused} answer, {refused} refuse, {len(failed)} fail")
    if len(failed) == len(links):
        print("None answers: this machine has no way out, or a proxy is missing (https_proxy).")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(*map(float, sys.argv[1:])))
