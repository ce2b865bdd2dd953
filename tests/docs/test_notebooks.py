"""The decks' notebooks: what the command writes from their pages, in Jupyter's format."""

import importlib.util
import json
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WRITER = runpy.run_path(str(ROOT / ".ci" / "make_notebooks.py"))
FOLDER = ROOT / "docs" / "notebooks"
DECKS = ["s0", "s1", "s2", "s3", "s4"]
INSTALL = '%pip install "{checkouts[0]}"'


@pytest.fixture(params=DECKS)
def deck(request):
    """A deck's name."""
    return request.param


@pytest.fixture
def notebook(deck):
    """A committed notebook."""
    return json.loads((FOLDER / f"{deck}.ipynb").read_text("utf-8"))


def source(cell):
    return "".join(cell["source"])


def test_the_committed_notebooks_are_what_the_command_writes():
    committed = {path.name: path.read_text("utf-8") for path in FOLDER.iterdir()}
    assert committed == WRITER["notebooks"](), "run python .ci/make_notebooks.py"
    assert sorted(committed) == [f"{name}.ipynb" for name in DECKS]


def test_a_notebook_is_of_format_4_5_with_a_python_kernel_and_without_outputs(notebook):
    """The rules of nbformat's schema for version 4.5, as far as they concern these cells."""
    assert notebook.keys() == {"cells", "metadata", "nbformat", "nbformat_minor"}
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    identities = [cell["id"] for cell in notebook["cells"]]
    assert len({*identities}) == len(identities)
    for cell in notebook["cells"]:
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", cell["id"])
        run = {"execution_count": None, "outputs": []} if cell["cell_type"] == "code" else {}
        assert cell == {**cell, "metadata": {}, **run}
        assert cell.keys() == {"cell_type", "id", "metadata", "source", *run}
        assert cell["source"] and all(line.endswith("\n") for line in cell["source"][:-1])


def test_after_its_first_cell_a_notebook_has_the_text_of_its_page_in_order(deck, notebook):
    fences = {"markdown": "{}", "code": "```python\n{}\n```"}
    pieces = [fences[cell["cell_type"]].format(source(cell)) for cell in notebook["cells"][1:]]
    page = (ROOT / "docs" / "decks" / f"{deck}.md").read_text("utf-8")
    link = f"[This page as a notebook](../notebooks/{deck}.ipynb)\n\n"
    assert page.count(link) == 1
    assert "\n\n".join(pieces) + "\n" == page.replace(link, "")
    for code in (source(cell) for cell in notebook["cells"][1:] if cell["cell_type"] == "code"):
        compile(code, deck, "exec")


def test_links_in_a_notebook_lead_to_files(notebook):
    for cell in notebook["cells"]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", source(cell)):
            assert (FOLDER / link).is_file(), link


@pytest.fixture
def first_cell(notebook, monkeypatch):
    """Runs the first cell where jaxnets is missing; returns what it installs."""
    code = source(notebook["cells"][0])
    assert INSTALL in code and code.count("%pip") == 2  # the other is in a message
    code = code.replace(INSTALL, "installed.append(checkouts[0])")  # Jupyter's magic is no Python

    def run(*, missing=True):
        names = {"installed": []}
        with monkeypatch.context() as patch:
            if missing:
                patch.setattr(importlib.util, "find_spec", lambda name: None)
            exec(code, names)
        return names["installed"]

    return run


def test_the_first_cell_installs_jaxnets_from_its_checkout_only_if_it_is_missing(
    first_cell, monkeypatch
):
    monkeypatch.chdir(FOLDER)  # where Jupyter runs a notebook
    assert first_cell() == [ROOT]
    assert first_cell(missing=False) == []


def test_the_first_cell_says_in_one_line_that_there_is_no_checkout(
    first_cell, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"^expected this notebook in a checkout.*") as info:
        first_cell()
    assert "\n" not in str(info.value) and str(tmp_path) in str(info.value)
