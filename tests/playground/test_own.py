"""Tables of the user: how they are encoded, and that hostile ones are refused."""

import numpy as np
import pytest

from jaxnets.playground import main
from jaxnets.playground.options import Options, OptionsError, change
from jaxnets.playground.points import make_points
from jaxnets.playground.tables import BYTES, TABLES, Tables
from jaxnets.playground.user_table import components

ROWS = [f"{a},{b},{'yes' if a > b else 'no'}" for a in range(12) for b in range(10)]
GOOD = "\n".join(["a,b,c", *ROWS]).encode()


@pytest.fixture
def tables():
    made = Tables()
    yield made
    made.close()


def options(**changes):
    return change(Options(), {"data": "table", "table": "t.csv", "target": "c"} | changes)


def test_two_columns_are_the_plane_scaled_over_the_rows_for_training(tables):
    tables.add("t.csv", GOOD)
    x, y, count, total, classes = make_points(options(columns=["a", "b"]), tables)
    assert (count, total, classes) == (60, 120, ("no", "yes"))
    np.testing.assert_allclose(x[:count, :2].std(0), 2, rtol=1e-5)
    a, b = x[:total, :2].T
    assert np.corrcoef(a - b, y[:total, 0])[0, 1] > 0.7
    assert not x[total:].any() and not y[total:].any()


def test_principal_components_are_those_of_scikit_learn():
    decomposition = pytest.importorskip("sklearn.decomposition")
    x = np.random.default_rng(0).normal(size=(50, 3)) * [3, 2, 1]
    expected = decomposition.PCA(whiten=True).fit(x[:40]).transform(x) * 2 * np.sqrt(40 / 39)
    actual = components(x, 40)
    np.testing.assert_allclose(np.abs(actual[:, :3]), np.abs(expected), rtol=1e-6)
    assert actual.shape == (50, 8) and not actual[:, 3:].any()


def test_a_number_is_predicted_by_regression_and_columns_that_cannot_be_used_are_named(tables):
    lines = [f"{i / 7},2026-01-{i % 28 + 1:02},id{i},{i % 3}" for i in range(200)]
    table = tables.add("t.csv", "\n".join(["n,day,id,c", *lines]).encode())
    assert table.tasks == {"n": "regression", "c": "classification"}
    assert table.left_out == ("day", "id")
    points = make_points(options(task="regression", target="n"), tables)
    assert points.outputs == 1 and points.classes == ()
    np.testing.assert_allclose(points.y[: points.count].std(), 0.5, rtol=1e-5)


HOSTILE = {
    "huge": ("t.csv", b"a,b\n" + b"1,2\n" * (BYTES // 4), f"at most {BYTES} bytes"),
    "binary": ("t.csv", bytes(range(256)) * 10, "not UTF-8 at byte"),
    "null bytes": ("t.csv", b"\0" * 1000, "expect"),
    "empty": ("t.csv", b"", "expects"),
    "names alone": ("t.csv", b"a,b\n", "add rows"),
    "one row": ("t.csv", b"a,b\n1,2\n", "two columns of numbers"),
    "no names": ("t.csv", b"1,2\n3,4\n", "starts with numbers"),
    "ragged": ("t.csv", b"a,b\n1,2\n3\n", "has 1 values in row 2"),
    "not a number": ("t.csv", b"a,b\nNaN,NaN\nnan,NaN\n", "two columns of numbers"),
    "wide": ("t.csv", b",".join(b"c%d" % i for i in range(500)) + b"\n" + b",".join([b"1"] * 500),
             "2 to 100 columns"),
    "path": ("../../etc/t.exe", GOOD, "ends in .csv"),
    "escape": ("\x1b[2J.csv", GOOD, "ends in .csv"),
    "long": ("t" * 200 + ".csv", GOOD, "at most 100 characters"),
    "long column": ("t.csv", b"a" * 101 + b",b\n1,2\n", "100 characters, but t.csv has one of 101"),
    "open quote": ("t.csv", b'a,b\n"1,2\n', "cannot be split"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line(tables, name):
    file, content, message = HOSTILE[name]
    with pytest.raises(OptionsError, match=message) as error:
        tables.add(file, content)
    text = str(error.value)
    assert text.isprintable() and len(text) < 600 and tables.folder.name not in text
    assert not tables and not [*tables.path.iterdir()]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"table": "../t.csv"}, "choose its file"),
        ({"target": "d"}, "name of a column"),
        ({"target": ""}, "name of a column"),
        ({"columns": ["a", "c"]}, "columns of numbers as the plane"),
        ({"columns": ["a", "nothing"]}, "columns of numbers as the plane"),
        ({"task": "regression"}, "expects numbers as the target"),
        ({"target": "a"}, "at most 10 classes"),
        ({"batch": 30, "share": 20}, "at least one batch of 30"),
    ],
)
def test_settings_that_do_not_fit_the_table_are_refused_in_one_line(tables, changes, message):
    tables.add("t.csv", GOOD)
    with pytest.raises(OptionsError, match=message) as error:
        make_points(options(**changes), tables)
    assert str(error.value).isprintable()


def test_infinite_and_missing_numbers_and_text_are_left_out_or_filled(tables):
    lines = [f"{'inf' if i == 3 else i},{'NaN' if i % 5 == 0 else i},text {i}" for i in range(120)]
    lines = [f"{line},{i % 4}" for i, line in enumerate(lines)]
    table = tables.add("t.csv", "\n".join(["bad,b,text,c", *lines]).encode())
    assert table.left_out == ("bad", "text") and table.numbers == ("b", "c")
    points = make_points(options(), tables)
    assert np.isfinite(points.x).all() and points.outputs == 4


def test_the_oldest_table_is_forgotten_and_its_file_deleted(tables):
    for i in range(TABLES + 2):
        tables.add(f"{i}.csv", GOOD)
    tables.add("9.csv", GOOD)
    assert len(tables) == len([*tables.path.iterdir()]) == TABLES and "1.csv" not in tables


@pytest.mark.parametrize("name", ["missing.csv", "folder.csv", "t.exe"])
def test_a_wrong_path_at_the_start_is_one_line(tmp_path, name, capsys):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "t.exe").write_bytes(GOOD)
    assert main(["--data", str(tmp_path / name), "--no-browser"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
