"""The reviews of IMDB: read from a small archive of the same form; its other files are not read."""

import gzip
import hashlib
import io
import tarfile

import pytest

from jaxnets.data import DataError, text
from jaxnets.data.text import imdb

REVIEWS = {
    "aclImdb/train/pos/3_9.txt": "Good.",
    "aclImdb/train/pos/12_10.txt": "Very good<br />indeed, caf\u00e9.",
    "aclImdb/train/neg/0_1.txt": "Bad.",
    "aclImdb/test/neg/7_2.txt": "Boring.",
    "aclImdb/test/pos/1_8.txt": "Nice.",
}
OTHERS = {
    "aclImdb/train/unsup/0_0.txt": "no label",
    "aclImdb/README": "about",
    "../../aclImdb/train/pos/4_9.txt": "outside",
    "/aclImdb/train/pos/5_9.txt": "absolute",
    "aclImdb/train/pos/../neg/6_9.txt": "dotted",
}


def packed(files, *, links=()):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content.encode())
            archive.addfile(member, io.BytesIO(content.encode()))
        for name in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(member)
    return out.getvalue()


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A function that writes an archive and patches the published size and checksum to match."""
    monkeypatch.delenv("JAXNETS_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def write(content):
        digest = hashlib.sha256(content).hexdigest()
        known = imdb.ARCHIVE._replace(gz_bytes=len(content), gz_sha256=digest)
        monkeypatch.setattr(imdb, "ARCHIVE", known)
        (tmp_path / imdb.ARCHIVE.gz_name).write_bytes(content)
        return tmp_path

    return write


def test_reviews_are_sorted_and_labelled_and_nothing_else_is_read(archive, monkeypatch):
    folder = archive(packed(REVIEWS | OTHERS, links=["aclImdb/train/pos/8_9.txt"]))
    dataset = text.load_imdb(data_dir=folder)
    train = ["Bad.", "Good.", "Very good<br />indeed, caf\u00e9."]
    assert [*dataset.train.x] == train and dataset.train.y.tolist() == [0, 1, 1]
    assert dataset.test.x == ("Boring.", "Nice.") and dataset.test.y.tolist() == [0, 1]
    assert dataset.classes == ("neg", "pos") and len(dataset.checksums["aclImdb_v1.tar.gz"]) == 64
    assert {path.name for path in folder.iterdir()} == {"aclImdb_v1.tar.gz"}
    monkeypatch.setenv("JAXNETS_DATA_DIR", str(folder))
    assert text.load_imdb().train.x == dataset.train.x


def test_without_a_folder_the_archive_is_downloaded_once(archive, monkeypatch):
    content = packed(REVIEWS)
    archive(content).joinpath("aclImdb_v1.tar.gz").unlink()
    urls = []

    def get(url, limit, timeout, seconds):
        urls.append(url)
        return content[:limit]

    monkeypatch.setattr("jaxnets.data.download.get", get)
    assert len(text.load_imdb().train.x) == len(text.load_imdb().train.x) == 3
    assert urls == ["https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"]


def test_a_failed_download_says_what_to_do(archive, monkeypatch):
    archive(packed(REVIEWS)).joinpath("aclImdb_v1.tar.gz").unlink()
    monkeypatch.setattr("jaxnets.data.download.get", lambda *_: b"<html>")
    with pytest.raises(DataError, match=r"not the published one. Put aclImdb_v1.tar.gz into"):
        text.load_imdb()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (packed(REVIEWS)[:200], "cannot be read"),
        (b"reviews", "cannot be read"),
        (gzip.compress(b"reviews" * 200, mtime=0), "cannot be read"),
        (packed(OTHERS), "a split without reviews"),
        (packed({"aclImdb/train/pos/3_9.txt": "x" * (2**20 + 1)}), "more than 1048576 bytes"),
    ],
    ids=["cut", "text", "compressed text", "no reviews", "a large review"],
)
def test_a_damaged_archive_is_refused_in_one_line(content, message, archive):
    with pytest.raises(DataError, match=message) as raised:
        text.load_imdb(data_dir=archive(content))
    assert "\n" not in str(raised.value) and "download it again" in str(raised.value)


def test_another_file_of_that_name_is_not_read(archive):
    folder = archive(packed(REVIEWS))
    (folder / "aclImdb_v1.tar.gz").write_bytes(packed(OTHERS))
    with pytest.raises(DataError, match="as published"):
        text.load_imdb(data_dir=folder)


def test_a_folder_without_the_archive_is_named(tmp_path):
    with pytest.raises(DataError, match=r"has no aclImdb_v1.tar.gz; put it there"):
        text.load_imdb(data_dir=tmp_path)
