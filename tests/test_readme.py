"""The listings of the README run in order."""

import re
from pathlib import Path

import pytest
from own_files import write_cnn, write_loans, write_pets

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.slow
def test_the_listings_run_one_after_another(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # one of them saves a run
    write_pets(tmp_path)
    write_loans(tmp_path)
    write_cnn(tmp_path)
    listings = re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.M | re.S)
    names = {}
    for listing in listings:
        if listing.startswith("class Layer"):  # the interface, not a program
            continue
        small = listing.replace("epochs=3", "epochs=1").replace("64", "2")
        exec(compile(small, "README.md", "exec"), names)
    assert (
        names["evaluate"](names["train_step"], names["result"].train_state, names["mnist"].test)[
            "accuracy"
        ]
        > 0.9
    )
    assert "accuracy" in capsys.readouterr().out
    assert names["residual_block"](4).init
