"""Sphinx extension: each page names what it may load and which scripts it may run (Content-Security-Policy).

A page loads files of this site alone and runs the scripts of its files and those written in it when it was built, which
it knows by their SHA-256; a script that gets into a page later is refused, and no script may evaluate text.
"""

import base64
import hashlib
import re
from html import unescape
from pathlib import Path

# Opened from a folder, a page's files have the scheme file:, which a page on a server can never load.
POLICY = (
    "default-src 'none'; script-src 'self' file: 'unsafe-hashes' {scripts}; "  # hashes for attributes too, as onclick
    "style-src 'self' file: 'unsafe-inline'; img-src 'self' file: data:; font-src 'self' file:; "
    "connect-src 'self'; form-action 'self' file:; base-uri 'none'"
)
META = '<meta http-equiv="Content-Security-Policy" content="{policy}" />\n'
SCRIPT = re.compile(r"<script\b([^>]*)>(.*?)</script>", re.DOTALL)
HANDLER = re.compile(r'<[a-z][^<>]*?\son[a-z]+="([^"]*)"')  # a script in an attribute, such as onclick
OTHER_SITES = ("_static", "lite")  # JupyterLite evaluates what its reader types


def handlers(html: str) -> set[str]:
    return {unescape(code) for code in HANDLER.findall(html)}


def allowing(html: str, known: set[str]) -> str:
    """The page with a policy that allows the scripts it holds, and in attributes the known ones."""
    html = re.sub(META.format(policy="[^>]*"), "", html)
    inline = known | {code for attributes, code in SCRIPT.findall(html) if "src=" not in attributes}
    hashes = sorted(base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in inline)
    policy = POLICY.format(scripts=" ".join(f"'sha256-{one}'" for one in hashes))
    return re.sub(r'(<meta charset="utf-8" ?/?>)', lambda found: found[1] + META.format(policy=policy), html, count=1)


def write_policies(app, exception):
    if exception or app.builder.format != "html":
        return
    paths = [path for path in sorted(Path(app.outdir).rglob("*.html"))
             if path.relative_to(app.outdir).parts[0] not in OTHER_SITES]  # fmt: skip
    pages = {path: path.read_text(encoding="utf-8") for path in paths}
    known = set().union(*map(handlers, pages.values()))  # the search page reads the other pages under its own policy
    for path, html in pages.items():
        if (allowed := allowing(html, known)) != html:
            path.write_text(allowed, encoding="utf-8")


def setup(app):
    app.connect("build-finished", write_policies, priority=900)  # after the other extensions' last changes
    return {"parallel_read_safe": True, "parallel_write_safe": True}
