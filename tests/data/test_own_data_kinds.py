"""Valid and invalid folders and tables of a user: the right data set, or a one-line error."""

import numpy as np
import pytest
from PIL import Image

from jaxnets.data import DataError, from_folder, from_table

RNG = np.random.default_rng(0)
COLOUR, GREY = RNG.integers(0, 256, (8, 8, 3), np.uint8), RNG.integers(0, 256, (8, 8), np.uint8)
DEEP = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
PAINTED = Image.fromarray(COLOUR)


def save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)


def fill(folder, classes=("cats", "dogs"), image=COLOUR, name="{}.png", **options):
    for label in classes:
        for number in range(3):
            save(folder / label / name.format(number), image, **options)


def first_pixels(folder, **options):
    split = from_folder(folder, **options).train
    return split.x[0]


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def phone_photo(folder):
    fill(folder)
    other = Image.fromarray(COLOUR[::-1])
    save(folder / "cats" / "0.jpg", PAINTED, format="MPO", save_all=True, append_images=[other])


GOOD_FOLDERS = {
    "grey and alpha": (
        lambda f: fill(f, image=Image.merge("LA", [Image.fromarray(GREY), Image.new("L", (8, 8))])),
        np.full((8, 8, 3), 255),
    ),
    "16 bits": (lambda f: fill(f, image=DEEP), ((DEEP + 128.0) // 257)[..., None].repeat(3, 2)),
    "a palette": (
        lambda f: fill(f, image=Image.fromarray(GREY).convert("P")), GREY[..., None].repeat(3, 2)
    ),
    "CMYK": (
        lambda f: fill(f, image=Image.new("CMYK", (8, 8), (0, 255, 255, 0)), name="{}.jpg"),
        np.full((8, 8, 3), [254, 0, 0]),
    ),
    "a GIF of one frame": (
        lambda f: fill(f, image=Image.fromarray(GREY), name="{}.gif"), GREY[..., None].repeat(3, 2)
    ),
    "hidden files": (
        lambda f: (fill(f), [(f / name).write_text("x") for name in HIDDEN], (f / ".git").mkdir()),
        COLOUR,
    ),
    "spaces and Unicode": (lambda f: fill(f, ("süße Katzen", "犬"), name="a {} é.png"), COLOUR),
    "capitals and no suffix": (lambda f: fill(f, name="{}", format="PNG"), COLOUR),
    "folders within classes": (lambda f: fill(f, ("cats/2024/may", "dogs")), COLOUR),
    "a class named train": (lambda f: fill(f, ("train", "car", "plane")), COLOUR),
    "a phone's photo": (phone_photo, COLOUR),
}  # fmt: skip
HIDDEN = ("cats/.DS_Store", "cats/Thumbs.db", "README.md")


@pytest.mark.parametrize("prepare, expected", GOOD_FOLDERS.values(), ids=GOOD_FOLDERS)
def test_a_good_folder_has_the_pixels_of_its_pictures(tmp_path, prepare, expected):
    prepare(tmp_path)
    pixels = from_folder(tmp_path).train.x[-1]  # of the last class
    np.testing.assert_allclose(pixels.astype(int), expected, atol=1)


def mixed_sizes(folder):
    fill(folder)
    save(folder / "dogs" / "0.png", COLOUR[:6])


def animated(folder):
    fill(folder)
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    save(folder / "cats" / "0.gif", frames[0], save_all=True, append_images=frames[1:])


def truncated(folder):
    fill(folder, name="{}.jpg")
    half(folder / "cats" / "1.jpg")
    half(folder / "dogs" / "2.jpg")
    (folder / "dogs" / "notes.txt").write_text("good dogs")
    (folder / "dogs" / "empty.png").touch()


def splits(folder):
    for part in ("test", "train"):
        fill(folder / part)


BAD_FOLDERS = {
    "no folder": (lambda f: f.rmdir(), "does not exist; pass another"),
    "an empty folder": (lambda f: None, "at least two, in .*, but got no folders; put the"),
    "pictures beside classes": (
        lambda f: (fill(f), save(f / "a.png", COLOUR)), "got 1 images next to them, such as a.png;"
    ),
    "one class": (lambda f: fill(f, ("cats",)), "at least two, in .*, but got only cats; put the"),
    "a class without pictures": (
        lambda f: (fill(f), (f / "fish").mkdir()), r"got none in \['fish'\] of .*; add images or"
    ),
    "a class of one picture": (
        lambda f: (fill(f), save(f / "fish" / "a.png", COLOUR)),
        "at least 2 examples of each class, .*, but got 1 of 'fish'; add examples",
    ),
    "mixed sizes": (
        mixed_sizes,
        r"\(8, 8\) in cats/0.png and \(6, 8\) in dogs/0.png; pass size=64, or another number",
    ),
    "an animation": (animated, r"cats/0.gif \(it has 2 frames; save one of them as PNG\); repair"),
    "truncated and other files": (
        truncated,
        r"4 of 8 files in .* cannot be read: cats/1.jpg \(.*[Tt]runcated.*\); dogs/2.jpg \(.*\); "
        r'dogs/empty.png \(it is empty\); dogs/notes.txt \(it is not .*\); .* damaged="skip"',
    ),
    "splits": (splits, r'holds the splits test, train; pass from_folder\(".*train", test=".*test"'),
}  # fmt: skip


@pytest.mark.parametrize("prepare, message", BAD_FOLDERS.values(), ids=BAD_FOLDERS)
def test_a_bad_folder_is_refused_in_one_line_with_the_cure(tmp_path, prepare, message):
    (tmp_path / "pics").mkdir()
    prepare(tmp_path / "pics")
    with pytest.raises(DataError, match=message) as raised:
        from_folder(tmp_path / "pics")
    assert str(raised.value).isprintable()


def test_damaged_files_are_skipped_on_request_and_named_in_a_warning(tmp_path):
    truncated(tmp_path)
    with pytest.warns(UserWarning, match=r"4 of 8 files in .* are skipped, .*: cats/1\.jpg \(.*"):
        dataset = from_folder(tmp_path, damaged="skip")
    assert dataset.source == f"4 images in {tmp_path}, 4 damaged files skipped"


ROWS = "1,2.5,a\n2,3.5,b\n"
GOOD_TABLES = {
    "a byte order mark": ("\ufeffage,debt,y\n" + ROWS * 4, ("age", "debt")),
    "semicolons": (("age,debt,y\n" + ROWS * 4).replace(",", ";"), ("age", "debt")),
    "quoted newlines": (
        'age,note,y\n' + '1,"a\nb",no\n2,"c, d",yes\n' * 4,
        ("age", "note=a\nb", "note=c, d"),
    ),
    "missing values": (
        "age,sex,y\n1,m,a\n,f,b\n3,NA,a\n4,m,b\n",
        ("age", "age is missing", "sex=f", "sex=m", "sex is missing"),
    ),
    "Windows' lines and blank lines": (
        "age,debt,y\r\n" + ROWS.replace("\n", "\r\n\r\n") * 4, ("age", "debt")
    ),
    "true and false": ("old,y\nTrue,a\nFalse,b\n" + "True,b\nFalse,a\n", ("old",)),
}  # fmt: skip


@pytest.mark.parametrize("text, inputs", GOOD_TABLES.values(), ids=GOOD_TABLES)
def test_a_good_table_has_the_inputs_of_its_columns(tmp_path, text, inputs):
    (tmp_path / "a.csv").write_bytes(text.encode())
    dataset = from_table(tmp_path / "a.csv", "y", test=0.25)
    assert dataset.preprocess.inputs == inputs and len(dataset.classes) == 2
    assert np.isfinite(dataset.train.x).all() and dataset.train.x.shape[1] == len(inputs)


BAD_TABLES = {
    "no rows": ("age,y\n", "at least one row, but .*a.csv has none; add rows below"),
    "nothing": ("", "at least one row, but .*a.csv has none; add rows below"),
    "no header": ("1,2,3\n4,5,6\n", "starts with numbers; add a first line with column names"),
    "another target": ("age,yy\n1,a\n", r"one of \['age', 'yy'\], but got 'y'; did you mean 'yy'"),
    "a ragged row": ("age,y\n1,a\n2,b,c\n", "has 3 values in row 2 for 2 columns, one of 1 such"),
    "an open quote": ('age,y\n"1,a\n', "cannot be split into columns .*; repair it"),
    "Latin 1": ("age,y\n1,\udce9\n", "is not UTF-8 at byte 8; save it as UTF-8"),
    "a constant column": ("age,k,y\n1,5,a\n2,5,b\n", "'k' is always 5.0; drop it"),
    "a target with one class": ("age,y\n1,a\n2,a\n", "but 'y' is always a; add rows with others"),
    "no target": ("age,y\n1,a\n2,\n", "missing in 1 of 2 rows, first in row 2; drop these"),
    "duplicate columns": ("age,age,y\n1,2,a\n", r"has \['age'\] more than once; rename or remove"),
    "an index": (",age,y\n0,1,a\n", "column 1 of .* has none; name it, or write the file without"),
    "dates": (
        "day,when,y\n2024-01-31,3.2.2024 10:15,a\n2024-02-01,4.2.2024 9:00,b\n",
        "2 of 2 columns .*'day' holds dates, such as 2024-01-31; .*'when' holds dates, .*or drop",
    ),
    "huge integers": (
        "id,y\n9007199254740993,a\n9007199254740995,b\n", "'id' holds 9007199254740993, but float"
    ),
    "infinity": ("age,y\n1,a\n-inf,b\n", "'age' is infinite in row 2; drop the row"),
    "no values": ("age,k,y\n1,,a\n2,,b\n", "'k' has no values; drop it"),
    "names": (
        "who,y\n" + "".join(f"n{i},{'ab'[i % 2]}\n" for i in range(101)),
        "'who' holds 101 different values, such as 'n0', but a category has at most 100; drop it",
    ),
    "decimal commas": ("debt;y\n1,5;a\n2,5;b\n", r"'debt' has decimal commas, such as 1,5; write"),
    "a class of one row": ("age,y\n1,a\n2,a\n3,b\n", "got 1 of 'b'; add examples"),
    "only the target": ("y\na\nb\n", "at least one column besides the target 'y', but got"),
}  # fmt: skip


@pytest.mark.parametrize("text, message", BAD_TABLES.values(), ids=BAD_TABLES)
def test_a_bad_table_is_refused_in_one_line_with_the_cure(tmp_path, text, message):
    (tmp_path / "a.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=message) as raised:
        from_table(tmp_path / "a.csv", "y")
    assert str(raised.value).isprintable()
