"""`data.from_table`: the encoding is scikit-learn's, is saved as JSON, and refuses other rows."""

import csv
import json
import sys

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from jaxnets.data import DataError, TableEncoder, from_table

APPLICANT = {  # of deck S2
    "age": 23, "gender": "male", "annual salary": 30_000,
    "years in residence": 1, "years in job": 1, "current debt": 15_000,
}  # fmt: skip


@pytest.fixture(scope="module")
def loans():
    """Forty applicants, by column; the age and the gender of some are unknown."""
    rng, n = np.random.default_rng(0), 40
    salary, debt = rng.integers(10_000, 90_000, n), rng.integers(0, 40_000, n)
    columns = {
        "age": rng.integers(18, 80, n).tolist(),
        "gender": rng.choice(["female", "male"], n).tolist(),
        "annual salary": salary.tolist(),
        "years in residence": rng.integers(0, 9, n).tolist(),
        "years in job": rng.uniform(0, 9, n).round(1).tolist(),
        "current debt": debt.tolist(),
        "approved": np.where(salary > 2 * debt, "yes", "no").tolist(),
    }
    for name, row in (("age", 3), ("age", 17), ("gender", 5)):
        columns[name][row] = None
    return columns


def write_csv(path, columns, delimiter=","):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(columns)
        rows = zip(*columns.values(), strict=True)
        writer.writerows(["" if v is None else v for v in row] for row in rows)
    return path


def by_scikit_learn(columns, train):
    """The inputs by scikit-learn, without the indicators of missing numbers."""
    names = [name for name in columns if name != "approved"]
    rows = np.array([columns[name] for name in names], object).T
    rows[rows == None] = np.nan  # noqa: E711
    genders = [["female", "male", "~"]]
    category = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="~"),
        OneHotEncoder(categories=genders, sparse_output=False),
    )
    number = make_pipeline(StandardScaler(), SimpleImputer(strategy="constant", fill_value=0.0))
    parts = [(n, category if n == "gender" else number, [i]) for i, n in enumerate(names)]
    return ColumnTransformer(parts).fit(rows[train]).transform(rows)


def test_the_inputs_are_those_of_scikit_learn_fitted_on_the_training_rows(loans):
    dataset = from_table(loans, "approved", seed=4)
    assert dataset.preprocess.inputs == (
        "age", "age is missing", "gender=female", "gender=male", "gender is missing",
        "annual salary", "years in residence", "years in job", "current debt",
    )  # fmt: skip
    everything = dataset.preprocess(loans)
    train = np.array([any((row == x).all() for x in dataset.train.x) for row in everything])
    assert train.sum() == len(dataset.train.y) == 32 and dataset.train.x.dtype == np.float32
    expected = by_scikit_learn(loans, train)
    np.testing.assert_allclose(np.delete(everything, 1, 1), expected, rtol=1e-5, atol=1e-6)
    assert np.flatnonzero(everything[:, 1]).tolist() == [3, 17]


def test_classes_are_sorted_and_the_share_of_each_is_held_out(loans):
    dataset = from_table(loans, "approved", test=0.25)
    assert dataset.classes == ("no", "yes") and dataset.train.y.dtype == np.int32
    counts = np.bincount(dataset.train.y) + np.bincount(dataset.test.y)
    assert counts.tolist() == [loans["approved"].count(name) for name in ("no", "yes")]
    np.testing.assert_array_equal(np.bincount(dataset.test.y), np.round(counts * 0.25))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_csv_file_gives_the_data_set_of_the_dict_of_its_columns(loans, tmp_path, delimiter):
    from_file = from_table(write_csv(tmp_path / "loans.csv", loans, delimiter), "approved")
    in_memory = from_table(loans, "approved")
    assert from_file.preprocess == in_memory.preprocess and from_file.name == "loans"
    np.testing.assert_array_equal(from_file.train.x, in_memory.train.x)
    np.testing.assert_array_equal(from_file.test.y, in_memory.test.y)
    assert list(from_file.checksums) == ["loans.csv"]


def test_parquet_and_pyarrow_tables_give_the_data_set_of_the_dict_of_columns(loans, tmp_path):
    pyarrow, parquet = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    parquet.write_table(pyarrow.table(loans), tmp_path / "loans.parquet")
    expected = from_table(loans, "approved")
    for table in (tmp_path / "loans.parquet", pyarrow.table(loans)):
        dataset = from_table(table, "approved")
        assert dataset.preprocess == expected.preprocess
        np.testing.assert_array_equal(dataset.train.x, expected.train.x)


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"a\.parquet cannot be read \(.*\); write it again"):
        from_table(tmp_path / "a.parquet", "y")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"needs pyarrow; run `pip install jaxnets\[parquet\]`"):
        from_table(tmp_path / "a.parquet", "y")


def test_one_applicant_is_one_row_in_any_order_of_columns(loans):
    encoder = from_table(loans, "approved").preprocess
    row = encoder(APPLICANT)
    np.testing.assert_array_equal(encoder(dict(reversed(APPLICANT.items()))), row)
    np.testing.assert_array_equal(encoder([APPLICANT, APPLICANT])[1:], row)
    np.testing.assert_array_equal(encoder(APPLICANT | {"approved": "no", "age": "23"}), row)
    unknown = encoder(APPLICANT | {"age": None, "gender": None})
    assert unknown[0, [0, 1, 2, 3, 4]].tolist() == [0, 1, 0, 0, 1]


def test_an_encoder_survives_a_round_trip_through_json(loans):
    for target in ("approved", "years in job"):
        encoder = from_table(loans, target).preprocess
        text = json.dumps(encoder.to_json(), allow_nan=False)
        assert TableEncoder.from_json(json.loads(text)) == encoder


@pytest.mark.parametrize("std", [0, -1, float("nan")])
def test_an_encoder_with_an_invalid_deviation_is_refused(loans, std):
    content = from_table(loans, "approved").preprocess.to_json()
    next(column for column in content["columns"] if column["kind"] == "number")["std"] = std
    with pytest.raises(ValueError, match="a positive std"):
        TableEncoder.from_json(content)


WRONG_ROWS = {
    "an unknown column": ({"agee": 3}, r"but got also \['agee'\]; did you mean 'age'\?"),
    "an unknown category": ({"gender": "malee"}, r"but got 'malee'; did you mean 'male'\?"),
    "another category": ({"gender": "x"}, r"one of \['female', 'male'\], but got 'x'; correct it"),
    "a value never missing": ({"current debt": None}, "'current debt', which was never missing in"),
    "text for a number": ({"age": "23 years"}, "a finite number for 'age', but got '23 years'; c"),
    "infinity": ({"age": float("inf")}, "a finite number for 'age', but got inf; convert"),
}


@pytest.mark.parametrize("change, message", WRONG_ROWS.values(), ids=WRONG_ROWS)
def test_a_row_that_was_never_seen_is_refused_in_one_line(loans, change, message):
    with pytest.raises(DataError, match=message) as raised:
        from_table(loans, "approved").preprocess(APPLICANT | change)
    assert str(raised.value).isprintable()


def test_rows_that_lack_columns_and_objects_that_are_not_rows_are_refused(loans):
    encoder = from_table(loans, "approved").preprocess
    for rows, message in (
        ({"age": 3}, r"none named \['gender', 'annual salary', .*\]; pass None"),
        ([], "a row as a dict, or a list of them, but got a list of 0; pass"),
        ([1, 2], "but got a list of 2; pass"),
        (3, "a path, a frame of pandas or polars, or a dict of columns, but got int; pass"),
    ):
        with pytest.raises(DataError, match=message):
            encoder(rows)
    with pytest.raises(DataError, match=r"has classes; take dataset.classes\[i\]"):
        encoder.decode([0.0])


def test_a_regression_scales_its_target_and_decodes_predictions(loans):
    dataset = from_table(loans, "current debt", drop=["approved"])
    assert dataset.classes == () and dataset.train.y.shape == (32, 1)
    np.testing.assert_allclose([dataset.train.y.mean(), dataset.train.y.std()], [0, 1], atol=1e-6)
    both = np.concatenate([dataset.train.y, dataset.test.y])
    debts = np.sort(dataset.preprocess.decode(both).ravel())
    np.testing.assert_allclose(debts, np.sort(loans["current debt"]), rtol=1e-4, atol=0.1)


@pytest.mark.parametrize(
    "values, options, classes",
    [
        ([1, 0] * 20, {}, ("0", "1")),
        ([True, False] * 20, {}, ("false", "true")),
        (list(range(21)) * 2, {}, ()),
        (list(range(20)) * 2, {}, tuple(map(str, range(20)))),
        (list(range(20)) * 2, {"task": "regression"}, ()),
        ([1.5, 2.5] * 20, {}, ()),
        ([801, 802] * 20, {"categories": ["y"]}, ("801", "802")),
    ],
)
def test_a_target_is_regressed_or_classified_by_the_stated_rule(values, options, classes):
    table = {"x": list(range(len(values))), "y": values}
    dataset = from_table(table, "y", **options)
    assert dataset.classes == classes
    assert dataset.train.y.ndim == (1 if classes else 2)


def test_a_test_table_is_encoded_with_the_training_tables_scaling(loans, tmp_path):
    other = {name: values[:7] for name, values in loans.items()}
    dataset = from_table(loans, "approved", test=other)
    assert len(dataset.train.y) == 40 and len(dataset.test.y) == 7
    np.testing.assert_array_equal(dataset.test.x, dataset.train.x[:7])
    with pytest.raises(DataError, match=r"only one of them has \['age'\]; add or remove them"):
        from_table(loans, "approved", test={n: v for n, v in other.items() if n != "age"})


def test_codes_and_leading_zeros_are_categories_and_booleans_are_one_column(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("code,zero,old,y\n" + "8001,01,TRUE,a\n8002,02,false,b\n" * 4)
    encoder = from_table(path, "y", categories=["code"]).preprocess
    expected = ("code=8001", "code=8002", "zero=01", "zero=02", "old")
    assert encoder.inputs == expected
    one, same = (
        encoder({"code": code, "zero": "01", "old": old})
        for code, old in ((8001, True), ("8001", "true"))
    )
    np.testing.assert_array_equal(one, same)
    assert one[0, -1] > 0
