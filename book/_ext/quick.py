"""Sphinx extension: a page shows its text before it runs scripts.

The theme's macros in book/_templates leave out what delays the text most; here the other scripts wait for the text.
"""


def defer(app, pagename, templatename, context, doctree):
    for script in context.get("script_files", ()):
        # documentation_options.js sets what a line in the page uses; the search page's own script needs them all.
        if getattr(script, "filename", None) and "documentation_options" not in str(script.filename):
            script.attributes.pop("defer", None)
            if pagename != "search":
                script.attributes["defer"] = "defer"


def setup(app):
    app.connect("html-page-context", defer, priority=900)  # after those that add scripts
    return {"parallel_read_safe": True, "parallel_write_safe": True}
