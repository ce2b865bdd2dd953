"""Writes the notebooks of `docs/notebooks/`: the decks' pages, each listing a cell that runs.

python .ci/make_notebooks.py
"""

import json
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
FOLDER = DOCS / "notebooks"
FORMAT = {"nbformat": 4, "nbformat_minor": 5}  # cells have ids since 4.5
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}

# A page's link to its notebook, which the notebook itself leaves out.
LINK = "[This page as a notebook](../notebooks/{}.ipynb)\n\n"

SETUP = '''\
# Written by .ci/make_notebooks.py from docs/decks/{}.md. No package index has jaxnets: where it is
# missing, this cell installs it from the checkout in which the notebook lies.
import importlib.util
import pathlib

if importlib.util.find_spec("jaxnets") is None:
    here = pathlib.Path.cwd()
    checkouts = [f for f in (here, *here.parents) if (f / "jaxnets" / "__init__.py").is_file()]
    if not checkouts:
        raise FileNotFoundError(
            f"expected this notebook in a checkout of jaxnets, but got the folder {{here}}; open "
            "it in docs/notebooks of a checkout, or run %pip install . in one")
    %pip install "{{checkouts[0]}}"'''


def notebooks() -> dict[str, str]:
    """The content of every notebook, by its file's name."""
    pages = sorted((DOCS / "decks").glob("*.md"))
    return {f"{page.stem}.ipynb": notebook(page.stem, page.read_text("utf-8")) for page in pages}


def notebook(name: str, page: str) -> str:
    """A notebook without outputs, as Jupyter writes it: first the cell that installs jaxnets."""
    content = [("code", SETUP.format(name)), *parts(page.replace(LINK.format(name), ""))]
    cells = [cell(f"{name}-{i}", kind, text) for i, (kind, text) in enumerate(content)]
    document = {"cells": cells, "metadata": METADATA, **FORMAT}
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def parts(page: str) -> list[tuple[str, str]]:
    """The page's prose, "markdown", and its Python listings, "code", in their order."""
    pieces = re.split(r"^```python\n(.*?)^```\n", page, flags=re.M | re.S)
    kinds = ("markdown", "code")
    return [(kinds[i % 2], text.strip("\n")) for i, text in enumerate(pieces) if text.strip()]


def cell(identity: str, kind: str, text: str) -> dict[str, Any]:
    """A cell as the format has it; its id does not change from one run to the next."""
    outputs = {"execution_count": None, "outputs": []} if kind == "code" else {}
    source = text.splitlines(keepends=True)
    return {"cell_type": kind, "id": identity, "metadata": {}, **outputs, "source": source}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, content in notebooks().items():
        (FOLDER / name).write_text(content, encoding="utf-8")
