"""Sphinx extension: under a chapter's title, links that open its notebook where it runs.

JupyterLite is part of this site (make lite). Binder and Colab need the name of the repository on GitHub,
`launch_repository`: GITHUB_REPOSITORY ("owner/name") where GitHub builds the book, else none, and they are not shown.
Pages name the repository by the substitutions {{ repository }} and {{ issue }}, with addresses where it is known.
"""

import os
import re
from html import escape
from pathlib import PurePath

from docutils import nodes

# A page opened from a folder cannot start JupyterLite, so its link becomes words there.
ROW = """<nav class="launch" aria-label="Run this chapter"><span>Run this chapter:</span> {links}
<script>if (location.protocol === "file:") document.querySelector("nav.launch a").replaceWith(
"JupyterLite (once the book is served over http)");</script></nav>"""


def links(docname: str, repository: str) -> list[tuple[str, str, str]]:
    """Name, address and description of each place that runs a chapter."""
    name = PurePath(docname).name
    places = [("JupyterLite", f"../lite/notebooks/index.html?path=book/{name}.ipynb",
               "In this browser, nothing to install; the first start downloads Python")]  # fmt: skip
    if repository:
        hub, colab = f"https://mybinder.org/v2/gh/{repository}", "https://colab.research.google.com/github"
        places += [
            ("Binder", f"{hub}/main?urlpath=lab/tree/book/{name}.ipynb", "On a free server, ready in minutes"),
            ("Colab", f"{colab}/{repository}/blob/colab/book/{name}.ipynb", "On Google's servers, with an account"),
        ]
    return places


def substitutions(repository: str) -> dict[str, str]:
    """What pages say of the repository, in Markdown."""
    if not repository:
        return {"repository": "the book's repository", "issue": "an issue in the book's repository"}
    address = f"https://github.com/{repository}"
    return {"repository": f"the repository (`git clone {address}`)",
            "issue": f"an issue (by the lamp at the top of any page, or [here]({address}/issues/new))"}  # fmt: skip


def name_repository(app, config):
    """Set the substitutions, and where the repository is known, a button on every page that opens an issue on it."""
    config.myst_substitutions = config.myst_substitutions | substitutions(config.launch_repository)
    if config.launch_repository:
        address = f"https://github.com/{config.launch_repository}"
        config.html_theme_options |= {"repository_url": address, "use_issues_button": True}


def add_row(app, doctree, docname):
    if app.builder.format == "html" and re.match(r"\d+_", PurePath(docname).name):
        title = next(iter(doctree.findall(nodes.title)))
        anchors = [
            f'<a href="{escape(url)}" target="_blank" rel="noopener" title="{escape(about)}">{name}</a>'
            for name, url, about in links(docname, app.config.launch_repository)
        ]
        row = nodes.raw("", ROW.format(links="\n".join(anchors)), format="html")
        title.parent.insert(title.parent.index(title) + 1, row)


def setup(app):
    app.add_config_value("launch_repository", os.environ.get("GITHUB_REPOSITORY", ""), "html", [str])
    app.add_css_file("launch.css")
    app.connect("config-inited", name_repository)
    app.connect("doctree-resolved", add_row)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
