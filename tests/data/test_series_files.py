"""Files of labelled time series: what is read, and what is refused."""

import gzip
from io import StringIO

import numpy as np
import pytest
from scipy.io import arff

from jaxnets.data import DataError, read_series

UNEQUAL = """# a comment
@problemName Vowels
@timestamps false
@univariate false
@dimensions 2
@equalLength false
@classLabel true a b c

@data
1,2.5,-3e-1:4,5,6:b
7:8:a
"""
ONE_CHANNEL = """@problemName Points
@timeStamps false
@univariate true
@equalLength true
@seriesLength 3
@classLabel true 1 2
@data
1,2,3:2
4,5,6:1
"""
ARFF = """% a comment
@relation 'Points'
@attribute att0 numeric
@ATTRIBUTE att1 REAL
@attribute 'att 2' numeric
@attribute target {1,2}

@data
1,2,3,2
4,5,6,1
"""
RELATIONAL = r"""@relation Vowels
@attribute channels relational
@attribute t0 numeric
@attribute t1 numeric
@attribute t2 numeric
@end channels
@attribute speaker {a, 'b', c}
@data
"1,2.5,-3e-1\n4,5,6",b
'7,?,?\n8,?,?',a
"""


@pytest.fixture
def read(tmp_path):
    def read(text, name="a.ts"):
        content = text if isinstance(text, bytes) else text.encode()
        content = gzip.compress(content, mtime=0) if name.endswith(".gz") else content
        (tmp_path / name).write_bytes(content)
        return read_series(tmp_path / name)

    return read


@pytest.mark.parametrize(("text", "name"), [(UNEQUAL, "a.ts"), (RELATIONAL, "a.arff")])
def test_unequal_series_are_padded_with_zeros_and_their_lengths_are_returned(read, text, name):
    series = read(text, name)
    expected = [[[1, 4], [2.5, 5], [-0.3, 6]], [[7, 8], [0, 0], [0, 0]]]
    np.testing.assert_array_equal(series.values, np.float32(expected), strict=True)
    np.testing.assert_array_equal(series.lengths, np.int32([3, 1]), strict=True)
    np.testing.assert_array_equal(series.y, np.int32([1, 0]), strict=True)
    assert series.classes == ("a", "b", "c")
    assert not series.values.flags.writeable


@pytest.mark.parametrize("name", ["a.ts", "a.ts.gz", "a.TS"])
def test_series_of_one_channel_and_length_are_read_packed_or_not(read, name):
    series = read(ONE_CHANNEL, name)
    np.testing.assert_array_equal(series.values[..., 0], [[1, 2, 3], [4, 5, 6]])
    assert series.lengths.tolist() == [3, 3] and series.y.tolist() == [1, 0]


def test_arff_is_read_as_scipy_reads_it(read):
    series = read(ARFF, "a.arff")
    rows, meta = arff.loadarff(StringIO(ARFF))
    table = np.array([[float(v) for v in list(row)[:-1]] for row in rows])
    np.testing.assert_array_equal(series.values[..., 0], table)
    assert [series.classes[k] for k in series.y] == [row["target"].decode() for row in rows]
    assert series.classes == meta["target"][1]


def test_both_formats_and_line_ends_give_the_same(read):
    expected = read(ONE_CHANNEL)
    for text, name in ((ONE_CHANNEL.replace("\n", "\r\n"), "b.ts"), (ARFF, "b.arff")):
        actual = read(text, name)
        np.testing.assert_array_equal(actual.values, expected.values)
        np.testing.assert_array_equal(actual.y, expected.y)


def test_fit_does_not_take_series_as_a_pair(read):
    assert not isinstance(read(UNEQUAL), tuple)  # a third part would be taken for weights


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("@data", "@dat", "'1,2.5,-3e-1:4,5,6:b' before @data"),
        ("@data\n1,2.5,-3e-1:4,5,6:b\n7:8:a\n", "", "it has no @data"),
        ("1,2.5,-3e-1:4,5,6:b\n7:8:a\n", "", "it has no case after @data"),
        ("7:8:a", "7:8:d", "case 1 has the class 'd', which @classLabel lacks"),
        ("7:8:a", "7:8", "case 1 has the class '8', which"),
        ("7:8:a", "a", "case 1 has no colon"),
        ("7:8:a", "7:8:9:a", "case 1 has 3 channels, but case 0 has 2"),
        ("7:8:a", "7,7:8:a", "the channels of case 1 have 1 to 2 values"),
        ("7:8:a", "?:8:a", r"case 1, channel 0, expects finite numbers, but got '\?'"),
        ("7:8:a", "NaN:8:a", "expects finite numbers, but got 'NaN'"),
        ("7:8:a", "7:inf:a", "channel 1, expects finite numbers, but got 'inf'"),
        ("7:8:a", "7:1e999:a", "has a number beyond float32"),
        ("7:8:a", "7:1e39:a", "has a number beyond float32"),
        ("7:8:a", "7:1_0:a", "expects finite numbers, but got '1_0'"),
        ("7:8:a", "7::a", "expects finite numbers, but got ''"),
        ("7:8:a", "7:1 2:a", "expects finite numbers, but got '1 2'"),
        ("7:8:a", "(0,7):8:a", r"expects finite numbers, but got '\(0'"),
        ("@dimensions 2", "@dimensions 3", "says @dimensions 3, but it has 2"),
        ("@dimensions 2", "@dimensions", "says @dimensions , but it has 2"),
        ("@equalLength false", "@equalLength true", "@equalLength true, but the lengths differ"),
        ("@equalLength false", "@equalLength maybe", "expects true or false, but got 'maybe'"),
        ("@equalLength false", "@seriesLength 4", "says @serieslength 4, but it has 3"),
        ("@univariate false", "@univariate true", "@univariate true, but it has 2 channels"),
        ("@timestamps false", "@timestamps true", "@timestamps is true, and such series are"),
        ("@timestamps false", "@missing true", "@missing is true, and such series are"),
        ("@timestamps false", "@univariate true", "it has @univariate twice"),
        ("@classLabel true a b c", "@classLabel false", "no @classLabel true"),
        ("@classLabel true a b c", "@targetlabel true", "no @classLabel true"),
        ("@classLabel true a b c", "@classLabel true a a b", "repeats a class"),
        ("@problemName", "\x1b[2J", r"it has '\\x1b\[2J Vowels' before @data"),
    ],
)
def test_a_ts_file_that_is_wrong_is_refused_with_the_place(read, old, new, message):
    assert old in UNEQUAL
    with pytest.raises(DataError, match=rf"a\.ts cannot be read: .*{message}.*; correct the file"):
        read(UNEQUAL.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("@data", "@dat", "'@dat' before @data"),
        ("@end channels\n", "", "1 relational attributes and 0 @end"),
        (
            "@attribute t0 numeric",
            "@attribute more relational\n@attribute t0 numeric",
            "2 relational attributes and 1 @end",
        ),
        ("@attribute t0 numeric", "@attribute t0 string", "are not numbers, then the class"),
        (
            "@attribute speaker {a, 'b', c}",
            "",
            "its last attribute is 'numeric', not class names in braces",
        ),
        ("{a, 'b', c}", "{a, a}", "class names repeat"),
        ("{a, 'b', c}", "{}", "or one is empty"),
        ('"1,2.5,-3e-1', '"1,2.5', "case 0, channel 0, has 2 values, but the header has 3"),
        ("'7,?,?", "'?,7,?", "expects finite numbers, but got '?'"),
        ("'7,?,?", "'?,?,?", "case 1, channel 0, has no values"),
        ("'7,?,?", "'7,7,?", "the channels of case 1 have 1 to 2 values"),
        ("'7,?,?", "7,?,?", "case 1 has no quotes around its channels"),
        (",a\n", ",\x1b[2J\n", r"case 1 has the class '\x1b[2J', which the header lacks"),
    ],
)
def test_an_arff_file_that_is_wrong_is_refused_with_the_place(read, old, new, message):
    assert old in RELATIONAL
    with pytest.raises(DataError) as raised:
        read(RELATIONAL.replace(old, new), "a.arff")
    assert message in str(raised.value).replace("\\\\", "\\") and "a.arff" in str(raised.value)
    assert str(raised.value).isprintable()


def test_a_file_of_another_name_is_refused(read):
    with pytest.raises(DataError, match=r"a \.ts or \.arff file, or of its \.gz, but got .*csv"):
        read(ONE_CHANNEL, "a.csv")


def test_a_case_far_longer_than_the_others_does_not_fill_the_memory(read):
    cases = "\n".join(["1:a"] * 400 + [",".join(["1"] * 2000) + ":a"])
    with pytest.raises(DataError, match="401 cases to 2000 steps multiplies the number"):
        read(f"@classLabel true a\n@data\n{cases}\n")


def test_a_small_gz_that_unpacks_to_much_is_refused(read):
    with pytest.raises(DataError, match=r"more than \d+ bytes, unpacked"):
        read(b"\n" * 3_000_000, "a.ts.gz")
