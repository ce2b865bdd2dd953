"""The README's listing runs, and its links lead to files."""

import re
from pathlib import Path

import pytest
from small_mnist import write_mnist

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.slow
def test_the_listing_trains_a_network(tmp_path, monkeypatch, capsys):
    digits = write_mnist(tmp_path, train=15_000, test=2_000)  # enough for one epoch
    monkeypatch.setenv("JAXNETS_DATA_DIR", str(digits))
    [listing] = re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.M | re.S)
    names = {}
    exec(compile(listing.replace("epochs=3", "epochs=1"), "README.md", "exec"), names)
    test = names["evaluate"](names["train_step"], names["result"].train_state, names["mnist"].test)
    assert test["accuracy"] > 0.9
    assert "accuracy" in capsys.readouterr().out


def test_the_links_lead_to_files():
    links = re.findall(r"\]\(([^):]+)\)", README.read_text("utf-8"))
    assert len(links) > 10
    assert all((README.parent / link).is_file() for link in links)
