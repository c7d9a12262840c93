"""What the back matter promises: sources can be found."""

import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from pybtex.database import parse_file

ROOT = Path(__file__).resolve().parents[1]
BIBLIOGRAPHY = ROOT / "_build" / "html" / "book" / "bibliography.html"

# ---- the bibliography ----


def address(fields):
    """Where a source is found, by the fields of its entry, or None."""
    if doi := fields.get("doi"):
        return f"https://doi.org/{doi}"
    return f"https://arxiv.org/abs/{fields['eprint']}" if "eprint" in fields else fields.get("url")


def source_faults(entries, links):
    """What is wrong with entries {key: fields}, of which `links` are the addresses on the built page."""
    for key, fields in entries.items():
        if (doi := fields.get("doi")) and not re.fullmatch(r"10\.\d{4,5}/[!-z]*[0-9A-Za-z]", doi):
            yield f"{key}: {doi} is no DOI"
        if not (found := address(fields)) and "address" not in fields.get("note", ""):
            yield f"{key} has no doi, eprint or url, and no note on its address"
        elif found and found not in links:
            yield f"{key}: no link to {found}"


@pytest.fixture(scope="module")
def entries():
    return {key: dict(entry.fields) for key, entry in parse_file(ROOT / "book" / "references.bib").entries.items()}


@pytest.mark.skipif(not BIBLIOGRAPHY.is_file(), reason="the book is not built: make book")
def test_every_source_has_a_doi_or_an_address_and_the_built_bibliography_links_to_it(entries):
    page = BeautifulSoup(BIBLIOGRAPHY.read_text(encoding="utf-8"), "html.parser")
    assert list(source_faults(entries, {link["href"] for link in page.select("article a[href]")})) == []


def test_a_source_without_an_address_and_a_wrong_doi_are_found(entries):
    links = {address(fields) for fields in entries.values()}
    assert list(source_faults(entries, links)) == []
    for key, change, fault in (
        ("fastlmm2011", {"doi": "10.1038.nmeth.1681"}, "is no DOI"),
        ("fastlmm2011", {"doi": "https://doi.org/10.1038/nmeth.1681"}, "is no DOI"),
        ("gemma2012", {"doi": "10.1038/ng.2311"}, "gemma2012: no link to https://doi.org/10.1038/ng.2311"),
        ("lippert2013", {"note": ""}, "lippert2013 has no doi, eprint or url, and no note on its address"),
    ):
        spoilt = entries | {key: entries[key] | change}
        assert any(found.endswith(fault) for found in source_faults(spoilt, links)), fault
