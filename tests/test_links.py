"""Every link inside the built book leads to a file that exists and to an id in it; an id is on its page once."""

import http.server
import os
import re
import threading
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import links
import pytest

HTML = Path(__file__).resolve().parents[1] / "_build" / "html"
SPANS = re.compile(r'</?span(?: (?:class|style|aria-hidden)="[^"]*")*>')  # most tags, without an id or an address
FOLDERS = ("", "book", "_modules")  # JupyterLite, in lite/, is another program's


class Page(HTMLParser):
    """The ids and the addresses of a page."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.addresses = Counter(), set()
        self.feed(SPANS.sub("", path.read_text(encoding="utf-8")))

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id":
                self.ids[value] += 1
            elif name in ("href", "src") and value is not None:
                self.addresses.add(value)
            elif name == "srcset" and value:
                self.addresses.update(part.split()[0] for part in value.split(","))


def faults(root, paths):
    """What is wrong with the ids and the links inside of these pages below a folder."""
    pages = {path.resolve(): Page(path) for path in paths}
    for path, page in pages.items():
        where = path.relative_to(root.resolve()).as_posix()
        yield from (f"{where}: id {name} {count} times" for name, count in page.ids.items() if count > 1)
        for address in sorted(page.addresses):
            url = urlsplit(address)
            if url.scheme or url.netloc:
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.is_relative_to(root.resolve()):
                yield f"{where}: {address} leaves the site"
            elif not target.is_file():
                if not target.is_relative_to(root.resolve() / "lite"):  # which may not be built
                    yield f"{where}: {address} is no file"
            elif url.fragment and target in pages and unquote(url.fragment) not in pages[target].ids:
                yield f"{where}: {address} has no such id"


def test_every_link_inside_the_book_leads_somewhere():
    paths = [path for folder in FOLDERS for path in (HTML / folder).glob("**/*.html" if folder else "*.html")]
    if not paths:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("the book is not built: make book")
    assert len(paths) > 40
    found = list(faults(HTML, paths))
    assert not found, "\n".join(found)


def test_each_kind_of_fault_is_found(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "a picture.png").touch()
    (tmp_path / "index.html").write_text(
        "<p id=one><p id=two><a href=book/page.html#là>right</a><a href='#one'>right</a><a href='#'>right</a>"
        "<a href=book/page.html?q=1#l%C3%A0>right</a><img src='book/a%20picture.png'><a href=https://example.org/#x></a>"
        "<a href=lite/lab/index.html>may not be built</a><img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>"
        "<script>'<a href=no.html>'</script><!-- <a href=no.html> -->"
    )
    page = tmp_path / "book" / "page.html"
    page.write_text(
        "<p id=là><p id=twice><p id=twice><a href=../index.html#three>1</a><a href='#four'>2</a><a href=five.html>3</a>"
        "<img src=six.png><a href=../../seven.html>5</a><a href=../index.html#two>right</a><link href=eight.css>"
        "<img srcset='a%20picture.png 1x, nine.png 2x'><a href=/book/page.html>10</a>"
    )
    assert [fault.partition(": ")[2] for fault in faults(tmp_path, [tmp_path / "index.html", page])] == [
        "id twice 2 times", "#four has no such id", "../../seven.html leaves the site",
        "../index.html#three has no such id", "/book/page.html leaves the site", "eight.css is no file",
        "five.html is no file", "nine.png is no file", "six.png is no file",
    ]  # fmt: skip


def test_the_script_for_outside_links_tells_good_refused_and_dead_ones_apart(tmp_path, monkeypatch, capsys):
    class Server(http.server.BaseHTTPRequestHandler):
        def answer(self):
            code = int(self.path[1:4])
            self.send_response(501 if code == 299 and self.command == "HEAD" else code)  # one that answers GET alone
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET = answer

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = f"http://127.0.0.1:{server.server_port}"
        page = [f"<a href={here}/{code}#x></a>" for code in (200, 299, 403, 404)]
        (tmp_path / "index.html").write_text(f"{''.join(page)}<a href=index.html></a><link href={here}/500>")
        monkeypatch.setattr(links, "HTML", tmp_path)
        assert links.main(5)
        server.shutdown()
    assert capsys.readouterr().out.splitlines() == [
        "refused: 403 Forbidden", f"    {here}/403", "    in index.html", "404 Not Found", f"    {here}/404",
        "    in index.html", "4 addresses: 2 answer, 1 refuse, 1 fail",
    ]  # fmt: skip
