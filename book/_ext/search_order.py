"""Sphinx extension: the search lists first the pages that say most about a word, where Sphinx orders them by title.

The search index gets, for each word of several pages, the pages that use it most (`search_order.js` reads that), and
the names in the tables of the notation's page, which are found like the glossary's terms: before all else.
"""

from collections import Counter, defaultdict
from pathlib import Path, PurePath

from docutils import nodes
from sphinx import addnodes
from sphinx.search import IndexBuilder

MOST = 5  # pages kept for a word


def words(index, doctree):
    """How often each stem is on a page, in text, code and titles."""
    store = index._word_collector(doctree)
    return Counter(index.lang.stem(word).lower() for word in store.words + store.title_words)


def entries(doctree, docname):
    """What is looked up on a page: the terms and objects that it defines, the names that its tables list."""
    for node in doctree.findall(addnodes.index):
        yield from ((entry[1], entry[2] or "", entry[3]) for entry in node["entries"])
    if PurePath(docname).name == "notation":
        for table in doctree.findall(nodes.table):
            yield from ((name.astext(), table.parent["ids"][0], "main") for name in table.findall(nodes.literal))


def setup(app):
    freeze = IndexBuilder.freeze

    def freeze_with_most(self):
        pages = defaultdict(list)
        for docname in sorted(self._titles):
            doctree = self.env.get_doctree(docname)
            # All pages' entries anew: of pages that an earlier build wrote, Sphinx has forgotten them.
            self._index_entries[docname] = sorted(set(entries(doctree, docname)))
            for word, count in words(self, doctree).items():
                pages[word].append((-count, docname))
        number = {docname: i for i, docname in enumerate(sorted(self._titles))}
        most = {word: [number[docname] for _, docname in sorted(found)[:MOST]]
                for word, found in pages.items() if len(found) > 1}  # fmt: skip
        return freeze(self) | {"most": most}

    IndexBuilder.freeze = freeze_with_most
    app.config.html_search_scorer = str(Path(__file__).with_suffix(".js"))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
