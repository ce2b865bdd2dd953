"""`data.from_folder`: pixels as Pillow gives them, held-out shares, streams and checksums."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from jaxnets import data
from jaxnets.data import DataError, ImageReader, Stream, from_folder

RNG = np.random.default_rng(0)


def noise(height=8, width=8, channels=3, dtype=np.uint8):
    shape = (height, width) if channels == 1 else (height, width, channels)
    return RNG.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def write(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return array


@pytest.fixture
def pets(tmp_path):
    """Ten cats, five dogs: the folder, and the pixels by class and name."""
    arrays = {}
    for name, count in (("dogs", 5), ("cats", 10)):
        for number in range(count):
            path = tmp_path / "pets" / name / f"{number}.png"
            arrays[name, path.name] = write(path, noise())
    return tmp_path / "pets", arrays


def rows(split):
    return {pixels.tobytes() for pixels in split.x}


def test_pixels_are_those_of_the_files_and_labels_those_of_the_sorted_folders(pets):
    folder, arrays = pets
    dataset = from_folder(folder)
    assert dataset.classes == ("cats", "dogs") and dataset.name == "pets"
    assert dataset.source == f"15 images in {folder}"
    for split in (dataset.train, dataset.test):
        assert split.x.dtype == np.uint8 and split.x.shape[1:] == (8, 8, 3)
        assert split.y.dtype == np.int32 and not split.x.flags.writeable
        for pixels, label in zip(split.x, split.y, strict=True):
            name = dataset.classes[label]
            assert any((pixels == a).all() for key, a in arrays.items() if key[0] == name)
    both = rows(dataset.train) | rows(dataset.test)
    assert both == {array.tobytes() for array in arrays.values()}


def test_the_same_share_of_each_class_is_held_out_and_the_seed_determines_the_rows(pets):
    one, again, other = (from_folder(pets[0], test=0.2, seed=seed) for seed in (1, 1, 2))
    for dataset in (one, other):
        assert np.bincount(dataset.test.y).tolist() == [2, 1]
        assert np.bincount(dataset.train.y).tolist() == [8, 4]
    np.testing.assert_array_equal(one.test.x, again.test.x)
    assert rows(one.test) != rows(other.test)


def test_the_mean_and_the_deviation_are_those_of_the_training_pixels_alone(pets):
    dataset = from_folder(pets[0], test=0.4)
    pixels = dataset.train.x / 255
    np.testing.assert_allclose(dataset.preprocess.mean, pixels.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(dataset.preprocess.std, pixels.std((0, 1, 2)), rtol=1e-9)


def test_a_checksum_changes_with_the_content_and_with_the_name_of_a_file(pets):
    folder, _ = pets
    before = from_folder(folder).checksums
    content = b"".join(
        path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).hexdigest().encode()
        for path in sorted((folder / "cats").iterdir())
    )
    assert before["cats"] == hashlib.sha256(content).hexdigest()
    (folder / "cats" / "0.png").rename(folder / "cats" / "new.png")
    write(folder / "dogs" / "0.png", noise())
    after = from_folder(folder).checksums
    assert all(before[name] != after[name] for name in ("cats", "dogs"))


def test_pictures_that_do_not_fit_in_memory_are_streamed_with_the_same_content(pets):
    kept, streamed = from_folder(pets[0]), from_folder(pets[0], memory=1000)
    assert streamed[2:] == kept[2:]
    for stream, split in ((streamed.train, kept.train), (streamed.test, kept.test)):
        assert isinstance(stream, Stream) and len(stream) == len(split.y)
        examples = stream.read(np.arange(len(stream)))
        np.testing.assert_array_equal(examples.x, split.x)
        np.testing.assert_array_equal(examples.y, split.y)
    for parts in zip(
        data.split_by_class(streamed.train, 0.25, seed=3),
        data.split_by_class(kept.train, 0.25, seed=3),
        strict=True,
    ):
        examples = parts[0].read(np.arange(len(parts[0])))
        np.testing.assert_array_equal(examples.x, parts[1].x)
        np.testing.assert_array_equal(parts[0].labels, parts[1].y)


def test_a_file_that_changes_while_it_is_streamed_is_named(pets):
    folder, _ = pets
    stream = from_folder(folder, memory=1).train
    for path in folder.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"pets/cats/\d+\.png cannot be read: it is empty; repl"):
        stream.read(np.arange(3))


def test_a_test_folder_is_the_test_split(pets, tmp_path):
    folder, arrays = pets
    for name in ("cats", "dogs"):
        write(tmp_path / "more" / name / "0.png", noise(9, 12))
    dataset = from_folder(folder, test=tmp_path / "more")
    assert len(dataset.train.y) == 15 and dataset.test.x.shape == (2, 8, 8, 3)
    assert set(dataset.checksums) == {
        f"{s}/{c}" for s in ("train", "test") for c in arrays_of(arrays)
    }
    with pytest.raises(DataError, match=r"other images for testing, but got .*; pass test=0\.2"):
        from_folder(folder, test=folder)
    (tmp_path / "more" / "dogs").rename(tmp_path / "more" / "wolves")
    with pytest.raises(DataError, match=r"only one of them has \['dogs', 'wolves'\]; rename"):
        from_folder(folder, test=tmp_path / "more")


def arrays_of(arrays):
    return {name for name, _ in arrays}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied(tmp_path, orientation):
    turned = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
        5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).swapaxes(0, 1), 8: np.rot90,
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    array = write(tmp_path / "a.png", noise(4, 6), exif=exif)
    expected = turned(array)
    reader = ImageReader(expected.shape[:2])
    np.testing.assert_array_equal(reader(tmp_path / "a.png")[0], expected)


def test_a_larger_picture_is_scaled_and_its_centre_cut_out_without_stretching():
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 200  # the middle third
    np.testing.assert_allclose(ImageReader((10, 10))(wide)[0][:, 1:-1], 200, atol=8)


def test_a_reader_takes_paths_bytes_images_and_arrays_alike(tmp_path):
    array = write(tmp_path / "a.png", noise(6, 6))
    path, reader = tmp_path / "a.png", ImageReader((4, 4), grey=True)
    expected = reader(path)
    assert expected.shape == (1, 4, 4, 1)
    for same in (str(path), path.read_bytes(), Image.fromarray(array), array, [path]):
        np.testing.assert_array_equal(reader(same), expected)
    assert reader([path, array]).shape == (2, 4, 4, 1)
    grey = np.asarray(Image.fromarray(array).convert("L"))
    np.testing.assert_array_equal(ImageReader((6, 6), grey=True)(array)[0, ..., 0], grey)


def test_transparent_pixels_are_white_and_16_bits_become_8():
    clear = np.zeros((2, 2, 4), np.uint8)
    clear[0, :, 3] = 255
    assert ImageReader((2, 2))(clear)[0, :, 0, 0].tolist() == [0, 255]
    deep = Image.fromarray(np.array([[0, 257 * 7], [257 * 7 + 129, 65535]], np.uint16))
    assert ImageReader((2, 2), grey=True)(deep).ravel().tolist() == [0, 7, 8, 255]


def test_a_reader_survives_a_round_trip_through_json(pets):
    reader = from_folder(pets[0], size=(4, 6), grey=True).preprocess
    assert ImageReader.from_json(reader.to_json()) == reader


@pytest.mark.parametrize(
    "pictures, message",
    [
        ([], "at least one image, but got an empty list"),
        ("nowhere.png", "but nowhere.png cannot be read: No such file or directory; replace it"),
        (7, "an object of type int cannot be read: it is neither a path, nor bytes"),
        (b"GIF89a", "an object of type bytes cannot be read: it is not an image in a known"),
        (np.zeros((2, 2)), r"it is float64\[2, 2\], not uint8 \[height, width\]"),
    ],
)
def test_an_object_that_is_not_a_picture_is_refused_in_one_line(pictures, message):
    with pytest.raises(DataError, match=message) as raised:
        ImageReader((2, 2))(pictures)
    assert str(raised.value).isprintable()
