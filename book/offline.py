"""Pack the built site into a zip that works from a folder, without a server: python book/offline.py [SITE ZIP].

Equal sites give equal bytes.
"""

import re
import sys
from pathlib import Path
from posixpath import dirname, join, normpath
from urllib.parse import unquote
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

BUILD = Path(__file__).resolve().parents[1] / "_build"

# No page asks for these: translations, maps for debuggers, templates, the mark of a build.
NOT_NEEDED = re.compile(r"_static/locales/|\.map$|webpack-macros\.html$|^\.buildinfo$")
# From a folder a browser fetches neither a font in advance nor the pages for the excerpts of a search, and complains.
PRELOAD = re.compile(rb'<link rel="preload" as="font"[^>]*>\s*')
OPTIONS = "_static/documentation_options.js"


def files(site: Path) -> dict[str, bytes]:
    """Read what goes into the zip, by path within the site."""
    found = {}
    for path in sorted(site.rglob("*")):
        where = path.relative_to(site).as_posix()
        if path.is_file() and not NOT_NEEDED.search(where):
            found[where] = path.read_bytes()
            if path.suffix == ".html":
                found[where] = PRELOAD.sub(b"", found[where])
    found[OPTIONS] = found[OPTIONS].replace(b"SUMMARY: true", b'SUMMARY: location.protocol !== "file:"')
    return found


def missing(found: dict[str, bytes]) -> list[str]:
    """Find what pages and style sheets refer to and the zip does not hold."""
    faults = set()
    for where, content in found.items():
        if where.endswith((".html", ".css")):
            text = content.decode()
            address = r'(?:href|src)="([^"]*)"' if where.endswith(".html") else r'url\(["\']?([^"\')]*)'
            for target in re.findall(address, text):
                path = unquote(re.split("[?#]", target)[0])
                if path and not re.match(r"[a-z]+:|//", path):
                    path = normpath(join(dirname(where), path))
                    if path not in found and f"{path}/index.html" not in found:
                        faults.add(f"{where} refers to {path}")
    return sorted(faults)


def make(site: Path, out: Path) -> list[str]:
    """Write the zip; return what it lacks."""
    found = files(site)
    with ZipFile(out, "w", ZIP_DEFLATED, compresslevel=9) as archive:
        for where, content in found.items():
            info = ZipInfo(f"{out.stem}/{where}")  # of the year 1980, whenever it is made
            info.compress_type = ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, content, compresslevel=9)
    return missing(found)


if __name__ == "__main__":
    site, out = map(Path, (sys.argv[1:] or (BUILD / "html", BUILD / "lmm-line-by-line.zip")))
    if wrong := make(site, out):
        sys.exit("\n".join(wrong))
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")
