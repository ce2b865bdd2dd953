"""The documentation: listings run, public names have their pages, links lead to pages."""

import re
import runpy
from functools import partial
from pathlib import Path

import jax
import pytest
from own_files import write_cnn, write_loans, write_pets
from small_mnist import write_mnist

from jaxnets import models

NARROW = ((8,),)  # a network that compiles sooner than that of docs/data.md
ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
WRITER = runpy.run_path(str(ROOT / ".ci" / "make_reference.py"))


def listings(page):
    """A page's Python listings without a title, padded with newlines to keep line numbers."""
    text = page.read_text("utf-8")
    for match in re.finditer(r"^```python\n(.*?)^```", text, re.M | re.S):
        yield "\n" * text.count("\n", 0, match.start(1)) + match[1]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A folder with half of MNIST, which is enough for what the pages assert."""
    return write_mnist(tmp_path_factory.mktemp("digits"), train=30_000, test=10_000)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if [*listings(page)]], ids=lambda page: page.stem
)
def test_the_listings_of_a_page_run_one_after_another(page, digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some save a run
    monkeypatch.setenv("JAXNETS_DATA_DIR", str(digits))
    # finding the faster strategy compiles both, and is tested elsewhere
    monkeypatch.setattr("jaxnets.training.population.fit.fastest", lambda run, hparams: "vmap")
    if page.stem == "data":
        write_pets(tmp_path)
        write_loans(tmp_path)
        write_cnn(tmp_path, NARROW)
        monkeypatch.setattr(models, "small_cnn", partial(models.small_cnn, widths=NARROW))
    names = {"__name__": "__main__"}
    with jax.numpy_rank_promotion("allow"):  # as for a reader
        for listing in listings(page):
            exec(compile(listing, str(page), "exec"), names)


def test_the_reference_has_every_public_name():
    pages = {page.name: page.read_text("utf-8") for page in (DOCS / "reference").iterdir()}
    assert pages == WRITER["pages"](), "run python .ci/make_reference.py"


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8")
    named = set(re.findall(r"[\w/]+\.md", navigation))
    assert named == {page.relative_to(DOCS).as_posix() for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_fence_is_one_that_the_site_shows_as_code(page):
    fences = re.findall(r"^```(.*)$", page.read_text("utf-8"), re.M)
    opening = [fence for fence in fences if fence]
    assert len(fences) == 2 * len(fences[1::2]) and not any(fences[1::2])
    assert all(re.fullmatch(r'\w+( title="[^"]+")?', fence) for fence in opening), opening


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_test_that_a_page_names_exists(page):
    for name in re.findall(r"`(tests/[^`]+\.py)`", page.read_text("utf-8")):
        assert (ROOT / name).is_file(), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_between_pages_leads_to_one(page):
    for link in re.findall(r"\]\(([^)#:]+\.md)(?:#[^)]*)?\)", page.read_text("utf-8")):
        assert (page.parent / link).is_file(), link
