"""Sphinx extension: each exercise's and solution's body gets an id of its own; sphinx-exercise has one for all."""

from docutils import nodes
from sphinx.transforms import SphinxTransform

SHARED = {"exercise-content", "solution-content"}


class OwnIds(SphinxTransform):
    default_priority = 20  # after sphinx-exercise, at 10, has put a body between its start and its end

    def apply(self):
        for body in self.document.findall(nodes.section):
            if SHARED & set(body["ids"]):
                body["ids"] = [f"{body.parent['ids'][0]}-content"]


def setup(app):
    app.add_transform(OwnIds)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
