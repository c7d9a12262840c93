"""Sphinx extension: on every page, the first use of each term of the glossary leads to its entry.

A term is found in running text in any case (but its capitals must be capitals), in the plural, with hyphens or spaces,
and in the forms of ALSO. Where a term is an ordinary word too, ORDINARY and ONLY say where it is not, or is, the term.
"""

import re
from pathlib import Path, PurePath

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

GLOSSARY = Path(__file__).resolve().parents[1] / "glossary.md"
EXCLUDED = {"bibliography", "equations"}  # pages without running text
CLOSED = (nodes.title, nodes.term, nodes.citation, nodes.caption, nodes.reference, addnodes.pending_xref)
PARAMETERS = (addnodes.literal_strong, addnodes.literal_emphasis)  # names and types in docstrings
FORMULAS = {"p", "t", "R^2", "F_{ST}"}  # that are a part of a term

ALSO = {
    "absorbed direction": "absorbs, absorb",
    "BLAS level": "BLAS, level of BLAS",
    "BLUP": "best linear unbiased prediction",
    "capacitance matrix": "capacitance",
    "causal SNP": "causal",
    "centred kinship": "centred",
    "Cholesky factor": "Cholesky factorisation, Cholesky's method, Cholesky",
    "confounding": "confounder, confounded",
    "economy decomposition": "economy form",
    "EMMAX": "P3D",
    "error contrast": "contrast",
    "fixation index": "F_{ST}",
    "generalised least squares": "GLS",
    "genomic inflation factor": "genomic inflation, inflation factor",
    "heritability": "heritable",
    "Hutchinson's estimator": "random signs",
    "kinship": "genetic relationship matrix, GRM",
    "leave one chromosome out": "LOCO, leaving one chromosome out, one chromosome left out, one chromosome out",
    "likelihood-ratio test": "likelihood ratio, LRT",
    "linear mixed model": "mixed model",
    "linkage disequilibrium": "LD",
    "LMM(all)": "LMM(all + select), LMM(select)",
    "locus": "loci",
    "mean imputation": "imputed, imputation",
    "minimum-norm solution": "minimum norm",
    "minor allele frequency": "MAF",
    "ML": "maximum likelihood",
    "multivariate t distribution": "t distribution, Student's t",
    "negative log-likelihood": "nLL",
    "normal equations": "normal equation",
    "degrees of freedom": "degree of freedom",
    "parametric bootstrap": "bootstrap",
    "partial R²": "partial R^2",
    "phantom epistasis": "phantom",
    "PLINK files": "PLINK",
    "principal component": "PC",
    "proportion of variance explained": "PVE",
    "prospective test": "prospective, retrospective",
    "proximal contamination": "contaminated, contamination",
    "refit": "refits, refitted, refitting",
    "REML": "restricted maximum likelihood",
    "rotation": "rotate, rotates, rotated, rotating",
    "score test": "score statistic, score",
    "set test": "test of a set, test for sets",
    "singular value decomposition": "SVD, singular value",
    "spectrum": "spectra",
    "standardised genotype": "standardised SNP, standardised",
    "Wald test": "Wald's test, Wald statistic, Wald",
}

# Words that are no use of a term, as a pattern; it is tried before the terms.
ORDINARY = r"""best\s+linear\s+unbiased\s+(?!prediction) | in\s+brackets | taken\s+for\s+calibration
    | variance\s+inflation | standardised\s+squared | contrasts\s+the | scores?\s+(?:it|these|better)"""

# Pages, by chapter's number or by name, to which a term is limited that elsewhere is an ordinary word.
ONLY = {
    "absorbed direction": "08 errata",
    "BLAS level": "18",
    "block": "16 17 18 api notation pitfalls",
    "bracket": "04 07 13 16 api pitfalls",
    "calibration": "17 api pitfalls",
    "centred kinship": "13 16 17 19",
    "duplicate": "19 pitfalls",
    "error contrast": "02 06 07 08 09 10 12 13 14 15 19 api notation pitfalls",
    "multivariate t distribution": "06 12 errata glossary",
    "operation": "18",
    "outside": "04 06 07 08 10 13",
    "phantom epistasis": "15",
    "power": "01 11 13 14 15 17 19",
    "precision": "12",
    "resolution": "16 errata notation",
    "score test": "04 11 13 15 16 17 api errata notation pitfalls",
    "threshold": "01 13 14 15 19 pitfalls",
}


def terms(text):
    """The terms in the text of the glossary's page, each with its definition."""
    return dict(re.findall(r"^(\S.*)\n  (\S.*)$", text.partition("```{glossary}")[2], re.MULTILINE))


def pattern(form):
    """A pattern for a form of a term: singular and plural, small letters also as capitals, hyphens also as spaces."""
    letters = {" ": r"[\s-]+", "-": r"[\s-]+", "'": "['’]"}
    ending = r"(?:y|ies)" if re.search("[^aeiou]y$", form) else ""
    stem = form[:-1] if ending else form
    plural = "" if ending or not form[-1].isalpha() else r"(?:e?s)?"
    return "".join(
        letters.get(c) or (f"[{c}{c.upper()}]" if c.islower() else re.escape(c)) for c in stem
    ) + ending + plural  # fmt: skip


class Finder:
    """Finds the first use of each term on one page, in pieces of text given one after the other."""

    def __init__(self, glossary, page, seen=()):
        forms = {form: term for term in glossary if self.allowed(term, page)
                 for form in (term, *filter(None, ALSO.get(term, "").split(", ")))}  # fmt: skip
        longest_first = sorted(forms, key=len, reverse=True)
        self.terms = [forms[form] for form in longest_first]
        tried = "|".join(f"({pattern(form)})" for form in longest_first)
        self.regex = re.compile(rf"(?<![\w-])(?:(?ix:{ORDINARY})|(?:{tried})(?!\w))")
        self.seen = set(seen)

    @staticmethod
    def allowed(term, page):
        pages = ONLY.get(term, page).split()
        return page in pages or page[:2] in pages

    def find(self, text, own=None):
        """(start, end, term) for each term, but its own, that is used in the text and was not used before."""
        for match in self.regex.finditer(text):
            if match.lastindex and (term := self.terms[match.lastindex - 1]) not in {*self.seen, own}:
                self.seen.add(term)
                yield match.start(), match.end(), term


def runs(node):
    """Stretches of text and formulas, as lists of sibling nodes, in the order in which they are read."""
    run = []
    for child in list(node.children):
        if isinstance(child, (nodes.Text, nodes.math)):
            run.append(child)
            continue
        yield run
        run = []
        if isinstance(child, (nodes.strong, nodes.emphasis)) and not isinstance(child, PARAMETERS):
            yield from runs(child)
    yield run


def written(node):
    """A node's text; of a formula only if it may be part of a term."""
    text = node.astext()
    return text if isinstance(node, nodes.Text) or text in FORMULAS else "\0" * len(text)


def cut(run, start, end):
    """The nodes of a run between two places of its text."""
    place = 0
    for node in run:
        text, stop = node.astext(), place + len(node.astext())
        if isinstance(node, nodes.Text) and max(start, place) < min(end, stop):
            yield nodes.Text(text[max(start - place, 0) : end - place])
        elif isinstance(node, nodes.math) and start <= place < end:
            yield node
        place = stop


def closed(node):
    """Whether a node is in a part of the page that gets no links."""
    while node is not None and not isinstance(node, CLOSED):
        node = node.parent
    return node is not None


def defined(paragraph):
    """The term that a paragraph of the glossary's page defines."""
    item = paragraph.parent.parent
    return item[0].astext() if isinstance(item, nodes.definition_list_item) else None


def link(run, found, docname):
    """Replace a run by one in which the terms found are references to the glossary."""
    new, place = [], 0
    for start, end, term in found:
        words = nodes.inline("", "", *cut(run, start, end), classes=["xref", "std", "std-term"])
        new += [*cut(run, place, start),
                addnodes.pending_xref("", words, refdomain="std", reftype="term", reftarget=term, refexplicit=True,
                                      refwarn=True, refdoc=docname)]  # fmt: skip
        place = end
    new += cut(run, place, sum(len(node.astext()) for node in run))
    parent = run[0].parent
    first = next(i for i, node in enumerate(parent.children) if node is run[0])
    parent[first : first + len(run)] = new


class GlossaryLinks(SphinxTransform):
    default_priority = 880  # after quotation marks have become typographic

    def apply(self):
        page = PurePath(self.env.docname).name
        if page in EXCLUDED:
            return
        for source in (GLOSSARY, __file__):
            self.env.note_dependency(str(source))
        by_hand = {node["reftarget"] for node in self.document.findall(addnodes.pending_xref)
                   if node.get("reftype") == "term"}  # fmt: skip
        finder = Finder(terms(GLOSSARY.read_text(encoding="utf-8")), page, by_hand)
        for paragraph in [node for node in self.document.findall(nodes.paragraph) if not closed(node)]:
            for run in list(runs(paragraph)):
                if found := list(finder.find("".join(map(written, run)), defined(paragraph))):
                    link(run, found, self.env.docname)


def explain(app, doctree, docname):
    """Under the mouse, a link to the glossary shows the definition."""
    definitions = terms(GLOSSARY.read_text(encoding="utf-8"))
    objects = app.env.get_domain("std").objects.items()
    by_anchor = {anchor: definitions[name] for (kind, name), (_, anchor) in objects if kind == "term"}
    for words in doctree.findall(nodes.inline):
        if "std-term" in words["classes"] and isinstance(words.parent, nodes.reference):
            link = words.parent
            anchor = link.get("refid") or link["refuri"].partition("#")[2]
            link["reftitle"] = re.sub(r" \([\d, ]+\)$|`", "", by_anchor[anchor])
            link["classes"].append("glossary")


def setup(app):
    app.add_transform(GlossaryLinks)
    app.connect("doctree-resolved", explain)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
