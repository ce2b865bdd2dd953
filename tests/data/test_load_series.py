"""Data sets of series by name: in a folder, the cache, and a local server as the archive."""

import gzip
import hashlib
import io
import zipfile

import jax
import numpy as np
import pytest
from helpers import eval_step
from mirrors import UNREACHABLE, give

from jaxnets import dense, flatten, serial
from jaxnets.data import DataError, load_series
from jaxnets.data.series import catalogue, download
from jaxnets.data.series.catalogue import Archive, SeriesFile
from jaxnets.training import RunError, fit

TEXTS = {
    "Points_TRAIN.ts": b"@classLabel true one two\n@data\n1,2,3:one\n4,5:two\n",
    "Points_TEST.ts": b"@classLabel true one two\n@data\n6,7:two\n",
}


def zipped(**texts):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in texts.items():
            file.writestr(name, text)
    return packed.getvalue()


@pytest.fixture(autouse=True)
def points(monkeypatch):
    """A small set in the catalogue, whose archive is unreachable."""
    files = [SeriesFile(n, len(t), hashlib.sha256(t).hexdigest()) for n, t in TEXTS.items()]
    archive = Archive("Points", *files, address=UNREACHABLE)
    monkeypatch.setitem(catalogue.CATALOGUE, "Points", archive)
    return archive


@pytest.fixture
def online(points, mirror, monkeypatch):
    """The local server in place of the archive."""
    mirror.answer = give(zipped(**TEXTS, **{"../../escaped.ts": b"x", "Points.txt": b"about it"}))
    monkeypatch.setitem(catalogue.CATALOGUE, "Points", points._replace(address=mirror.url))
    return mirror


def check(dataset):
    np.testing.assert_array_equal(dataset.train.values[..., 0], [[1, 2, 3], [4, 5, 0]])
    np.testing.assert_array_equal(dataset.test.values[..., 0], [[6, 7]])
    assert dataset.train.lengths.tolist() == [3, 2] and dataset.test.y.tolist() == [1]
    assert dataset.classes == ("one", "two") and dataset.name == "Points"
    assert list(dataset.checksums) == list(TEXTS)


@pytest.mark.parametrize("where", ["", "Points"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_holds_the_files_packed_or_not(tmp_path, where, packed):
    (tmp_path / where).mkdir(exist_ok=True)
    for name, text in TEXTS.items():
        path = tmp_path / where / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(text) if packed else text)
    check(load_series("Points", data_dir=tmp_path))


def test_the_environment_names_a_folder_too(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXNETS_DATA_DIR", str(tmp_path))
    for name, text in TEXTS.items():
        (tmp_path / name).write_bytes(text.replace(b"\n", b"\r\n"))
    check(load_series("Points"))


def test_the_zip_is_downloaded_once_and_only_its_two_files_are_unpacked(online, tmp_path):
    check(load_series("Points"))
    check(load_series("Points"))
    assert online.requests == ["/Points.zip"]
    cache = tmp_path / "cache" / "jaxnets" / "Points"
    assert {path.name for path in cache.iterdir()} == set(TEXTS)
    assert not list(tmp_path.rglob("escaped.ts"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>", "its zip cannot be read"),
        (zipped(**TEXTS)[:-30], "its zip cannot be read"),
        (zipped(**{"Points_TRAIN.ts": b""}), "its zip cannot be read"),
        (zipped(**TEXTS | {"Points_TEST.ts": b"x"}), "SHA-256 of Points_TEST.ts is not the pub"),
        (zipped(**TEXTS | {"Points_TEST.ts": bytes(10**6)}), "SHA-256 of Points_TEST.ts is not"),
    ],
    ids=["page", "cut", "missing", "other", "bomb"],
)
def test_another_answer_of_the_archive_is_refused(online, tmp_path, content, message):
    online.answer = give(content)
    with pytest.raises(DataError, match=f"Points could not be downloaded: .*{message}.* data_dir"):
        load_series("Points")
    assert not list((tmp_path / "cache").rglob("*.ts"))


def test_a_zip_above_the_limit_is_refused(online, monkeypatch):
    monkeypatch.setattr(download, "LIMIT", 100)
    with pytest.raises(DataError, match="it has more than 100 bytes"):
        load_series("Points")


def test_offline_the_error_says_where_the_files_go():
    with pytest.raises(DataError, match=r"Put Points_TRAIN\.ts and Points_TEST\.ts into a folder"):
        load_series("Points")


def test_a_file_that_is_not_the_published_one_is_refused(online, tmp_path):
    load_series("Points")
    path = tmp_path / "cache" / "jaxnets" / "Points" / "Points_TEST.ts"
    path.write_bytes(path.read_bytes().replace(b"6", b"5"))
    with pytest.raises(DataError, match=f"{path} has the SHA-256 .*delete this file to download"):
        load_series("Points")


def test_a_folder_without_the_files_or_with_one_alone_is_refused(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"lacks Points_TRAIN\.ts or Points_TEST\.ts"):
        load_series("Points", data_dir=tmp_path)
    (tmp_path / "Points_TEST.ts").write_bytes(TEXTS["Points_TEST.ts"])
    monkeypatch.setenv("JAXNETS_DATA_DIR", str(tmp_path))
    with pytest.raises(DataError, match=r"lacks Points_TRAIN\.ts or Points_TEST\.ts"):
        load_series("Points")


@pytest.mark.parametrize(
    ("name", "hint"), [("gunpoint", "Did you mean 'GunPoint'"), ("mnist", ""), ("\x1b", "")]
)
def test_an_unknown_name_is_refused_with_the_known_ones(name, hint):
    with pytest.raises(DataError, match=rf"no data set of series .*GunPoint.*read_series.*{hint}"):
        load_series(name)


def test_series_are_refused_by_fit_since_lengths_are_no_weights(online):
    train_step = eval_step(serial(flatten, ("head", dense(2))))
    with pytest.raises(RunError, match="got an object of type Series"):
        fit(train_step, load_series("Points").train, key=jax.random.key(0), epochs=1, batch_size=1)
