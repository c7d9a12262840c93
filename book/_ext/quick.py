"""Sphinx extension: a page shows its text before it runs scripts, and waits for one small style sheet.

The theme's macros in book/_templates leave out what delays the text most; here the other scripts wait for the text.
The style sheets of the theme and of the extensions, 580 kB in 14 files, become site.css: the rules that pages and
scripts of the book can use, and of the font of Font Awesome the icons that are left in them.
"""

import hashlib
import logging
import re
from pathlib import Path
from posixpath import dirname, join, normpath

import tinycss2
from fontTools import subset

OWN = ("book.css", "print.css")
SHEET = re.compile(r'[ \t]*<link\b[^>]*?href="((?:\.\./)*)_static/([^"?]+\.css)[^>]*>\n?')
ICON = re.compile(r"\\(f[0-9a-f]{3})|([\ue000-\uf8ff])")  # Unicode's private use, written as an escape or as itself
OTHER_SITES = ("_static", "lite")


def defer(app, pagename, templatename, context, doctree):
    for script in context.get("script_files", ()):
        # documentation_options.js sets what a line in the page uses; the search page's own script needs them all.
        if getattr(script, "filename", None) and "documentation_options" not in str(script.filename):
            script.attributes.pop("defer", None)
            if pagename != "search":
                script.attributes["defer"] = "defer"


def applies(selector: list, words: set[str]) -> bool:
    """Whether the pages hold all classes and ids that a selector names, outside of brackets such as those of :not()."""
    text = tinycss2.serialize([token for token in selector if token.type not in ("function", "[] block")])
    return "\\" in text or words.issuperset(re.findall(r"[.#]([\w-]+)", text))


def rules(nodes: list, words: set[str], static: Path, sheet: str) -> str:
    """Write the rules that apply, with addresses as seen from _static; what a sheet imports stands in its place."""
    kept = []
    for node in nodes:
        if node.type == "comment" and node.value.startswith("!"):  # a licence
            kept.append(node.serialize())
        elif node.type == "qualified-rule":
            selectors = [[]]
            for token in node.prelude:
                selectors.append([]) if token == "," else selectors[-1].append(token)
            if left := ",".join(tinycss2.serialize(one).strip() for one in selectors if applies(one, words)):
                kept.append(f"{left}{{{tinycss2.serialize(node.content).strip()}}}")
        elif node.type == "at-rule" and node.lower_at_keyword == "import":
            imported = next(token.value for token in node.prelude if token.type in ("string", "url"))
            kept.append(pruned(static, normpath(join(dirname(sheet), imported)), words))
        elif node.type == "at-rule" and node.lower_at_keyword in ("media", "supports"):
            if inner := rules(tinycss2.parse_rule_list(node.content, True, True), words, static, sheet):
                kept.append(f"@{node.at_keyword}{tinycss2.serialize(node.prelude)}{{{inner}}}")
        elif node.type == "at-rule" and node.lower_at_keyword != "charset":
            kept.append(node.serialize())
    return "\n".join(kept)


def pruned(static: Path, sheet: str, words: set[str]) -> str:
    folder = f"{dirname(sheet)}/" if dirname(sheet) else ""
    css = re.sub(r"""url\((["']?)(?!["']|data:|#)""", rf"url(\1{folder}", (static / sheet).read_text(encoding="utf-8"))
    return rules(tinycss2.parse_stylesheet(css, skip_whitespace=True), words, static, sheet)


def icons(static: Path, css: str) -> str:
    """Keep of Font Awesome's font the icons that the style sheet shows."""
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    font = next(static.glob("vendor/fontawesome/*/webfonts/fa-solid-900.ttf"))
    options = subset.Options(flavor="woff", layout_features=[])
    loaded = subset.load_font(str(font), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes={int(code, 16) if code else ord(itself) for code, itself in ICON.findall(css)})
    subsetter.subset(loaded)
    subset.save_font(loaded, str(font.with_suffix(".woff")), options)
    return re.sub(r'(fa-solid-900)\.woff2\) format\("woff2"\),url\([^)]*\)[^;}]*', r'\1.woff) format("woff")', css)


def one_sheet(app, exception):
    if exception or app.builder.format != "html":
        return
    out, static = Path(app.outdir), Path(app.outdir) / "_static"
    pages = {path: path.read_text(encoding="utf-8") for path in sorted(out.rglob("*.html"))
             if path.relative_to(out).parts[0] not in OTHER_SITES}  # fmt: skip
    sheets = [name for _, name in SHEET.findall(pages[out / "search.html"]) if name not in OWN]
    if sheets == ["site.css"]:  # nothing was written anew
        return
    scripts = [path.read_text(encoding="utf-8") for path in sorted(static.rglob("*.js"))]
    words = set().union(*(re.findall(r"[\w-]+", text) for text in [*pages.values(), *scripts]))
    css = icons(static, "\n".join(pruned(static, name, words) for name in sheets))
    css = f"/* From {' '.join(sheets)} */\n{css}"
    (static / "site.css").write_text(css, encoding="utf-8")
    address = f"_static/site.css?v={hashlib.sha256(css.encode()).hexdigest()[:8]}"
    for path, html in pages.items():
        links = [found for found in SHEET.finditer(html) if found[2] not in OWN]
        for number, found in enumerate(links):
            new = "" if number else f'    <link rel="stylesheet" href="{found[1]}{address}" />\n'
            html = html.replace(found[0], new, 1)
        path.write_text(html, encoding="utf-8")


def setup(app):
    app.connect("html-page-context", defer, priority=900)  # after those that add scripts
    app.connect("build-finished", one_sheet, priority=800)  # before the policies
    return {"parallel_read_safe": True, "parallel_write_safe": True}
