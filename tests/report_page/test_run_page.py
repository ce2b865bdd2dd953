"""The report of a run: its content, its size, and that it makes no network requests."""

import json
import re
from html.parser import HTMLParser

import jax
import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from jaxnets import conv, dense, flatten, serial
from jaxnets.errors import JSONError, RunError
from jaxnets.report_page import Network, Predictions, compare_runs, run_page
from jaxnets.training import Progress

CLASSES = tuple("0123456789")
RUN = {
    "experiment": "mnist_mlp",
    "title": "A perceptron on MNIST",
    "config": {"epochs": 2, "learning_rate": None},
    "versions": {"jax": "0.10.0"},
    "device": "cpu (cpu)",
    "cores": 2,
}


def record(step, loss, *, steps=40, validation=None, **more):
    train = {"loss": loss, "accuracy": 0.5 if isinstance(loss, float) else [0.5] * len(loss)}
    return {
        "step": step, "steps": steps, "epoch": 1, "epochs": 2, "epoch_done": step % 20 == 0,
        "train": train, "validation": validation, "seconds": 1.0, "samples_per_second": 9.0,
    } | more  # fmt: skip


LOG = [record(10, 2.0), record(20, 1.5, validation={"loss": 1.2, "accuracy": 0.6})]
LOG += [record(30, 0.8), record(40, 0.7, validation={"loss": 0.6, "accuracy": 0.8})]


def folder(path, *, run=RUN, result=None, log=LOG):
    path.mkdir(exist_ok=True)
    (path / "run.json").write_text(json.dumps(run))
    if result is not None:
        (path / "result.json").write_text(json.dumps(result))
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    return path


RESULT = {"test_accuracy": 0.9, "test_loss": 0.3, "steps": 40, "interrupted": False}


def predictions(n=400, x=None, **more):
    random = np.random.default_rng(0)
    y = random.integers(0, 10, n)
    logits = random.normal(size=(n, 10)) + 2 * np.eye(10)[y]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    x = random.integers(0, 256, (n, 28, 28, 1)).astype(np.uint8) if x is None else x
    return Predictions(x, y, probabilities, **{"classes": CLASSES} | more)


class Elements(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_a_page_of_noise_stays_below_500_kb_and_requests_nothing(tmp_path):
    params, state = (model := network()).init(jax.random.key(0), np.zeros((1, 28, 28, 1)))
    del state
    shown = predictions(10_000)
    page = run_page(
        folder(tmp_path / "a", result=RESULT),
        predicted=shown,
        network=Network(model, params, shown.x),
        pictures={"large": b"x" * 400_000, "small": b"y" * 1000},
    )
    assert "large is too large for this page" in page and 'alt="Figure: small"' in page
    assert_small_and_alone(page)


def assert_small_and_alone(page):
    """The page is below 500 KB, and makes no network requests."""
    assert len(page.encode()) < 500_000
    for tag, attributes in Elements(page).elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form", "video", "audio")
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert attributes.get(name, "#").startswith(("#", "data:image/png"))
    assert not re.search(r"https?://|@import|fetch\(|XMLHttpRequest|import\(|WebSocket", page)
    assert "default-src 'none'" in page


def network():
    return serial(("conv1", conv(8, (3, 3))), flatten, ("head", dense(10)))


def test_the_matrix_is_that_of_scikit_learn_and_every_cell_opens_its_examples(tmp_path):
    shown = predictions()
    page = run_page(folder(tmp_path / "a", result=RESULT), predicted=shown)
    wanted = confusion_matrix(shown.y, shown.probabilities.argmax(1), labels=range(10))
    buttons = {
        a["data-cell"]: a["aria-label"]
        for tag, a in Elements(page).elements
        if tag == "button" and "data-cell" in a
    }
    for (i, j), count in np.ndenumerate(wanted):
        label = buttons.get(f"{i},{j}", "0 of").split(" of")[0]
        assert int(label) == count
    data = json.loads(re.search(r'id="predictions">(.*?)</script>', page)[1])
    assert data["cells"].keys() == buttons.keys()
    for cell, positions in data["cells"].items():
        for row, true, guess, confidence, of_true in (data["examples"][p] for p in positions):
            assert (
                f"{true},{guess}" == cell == f"{shown.y[row]},{shown.probabilities[row].argmax()}"
            )
            assert confidence == pytest.approx(shown.probabilities[row].max(), abs=1e-4)
            assert of_true == pytest.approx(shown.probabilities[row, true], rel=1e-2)


def test_the_worst_mistakes_are_those_of_the_highest_loss(tmp_path):
    shown = predictions()
    page = run_page(folder(tmp_path / "a", result=RESULT), predicted=shown)
    data = json.loads(re.search(r'id="predictions">(.*?)</script>', page)[1])
    rows = [data["examples"][place][0] for place in data["worst"]]
    wrong = np.flatnonzero(shown.probabilities.argmax(1) != shown.y)
    loss = -np.log(shown.probabilities[np.arange(len(shown.y)), shown.y])
    assert rows == wrong[np.argsort(-loss[wrong])][: len(rows)].tolist()
    assert len(rows) == min(36, len(wrong))


def test_an_interrupted_or_unfinished_run_says_so_in_its_title(tmp_path):
    page = run_page(folder(tmp_path / "a", result=RESULT | {"interrupted": True}, log=LOG[:3]))
    assert "<title>Interrupted after 30 of 40 steps: A perceptron on MNIST</title>" in page
    page = run_page(folder(tmp_path / "b", log=LOG[:1]))
    assert "<title>Unfinished after 10 of 40 steps: A perceptron on MNIST</title>" in page
    page = run_page(folder(tmp_path / "c", result=RESULT))
    assert "<title>A perceptron on MNIST</title>" in page


def test_names_from_outside_cannot_become_html(tmp_path):
    hostile = "</script><img src=x onerror=alert(1)>"
    run = RUN | {"title": hostile, "config": {hostile: hostile}}
    log = [record(1, 1.0, steps=1) | {"train": {hostile: 1.0}}]
    shown = predictions(classes=[hostile, *CLASSES[1:]])
    page = run_page(
        folder(tmp_path / "a", run=run, result=RESULT, log=log),
        predicted=shown,
        pictures={hostile: b"1"},
    )
    assert hostile not in page
    images = [attributes for tag, attributes in Elements(page).elements if tag == "img"]
    assert all(attributes["src"].startswith("data:") for attributes in images)


def test_every_picture_has_words_and_every_section_a_heading(tmp_path):
    params, _ = (model := network()).init(jax.random.key(0), np.zeros((1, 28, 28, 1)))
    shown = predictions()
    page = run_page(
        folder(tmp_path / "a", result=RESULT), predicted=shown,
        network=Network(model, params, shown.x), pictures={"images": b"1"},
    )  # fmt: skip
    elements = Elements(page).elements
    ids = {attributes.get("id") for _, attributes in elements}
    for tag, attributes in elements:
        if tag == "img":
            assert attributes["alt"]
        if tag == "svg":
            assert attributes.get("aria-label") or attributes.get("aria-hidden")
        if tag == "section":
            assert attributes["aria-labelledby"] in ids
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids
    assert ("html", {"lang": "en"}) in elements


def luminance(colour):
    """Source: WCAG 2.1, relative luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return np.dot(linear, (0.2126, 0.7152, 0.0722))


def test_text_and_lines_have_contrast_in_light_and_in_dark(tmp_path):
    page = run_page(folder(tmp_path / "a", result=RESULT))
    light, dark = (
        dict(re.findall(r"--(\w+): (#\w{6})", part)) for part in page.split("@media")[:2]
    )
    least = {"ink": 7, "quiet": 4.5, "link": 4.5} | {f"s{i}": 3 for i in range(7)}
    for colours in (light, dark):
        for name, ratio in least.items():
            low, high = sorted(luminance(colours[n]) for n in ("paper", name))
            assert (high + 0.05) / (low + 0.05) >= ratio, name


def test_a_population_has_a_band_and_a_row_per_member(tmp_path):
    arrays = [np.array([2.0, np.nan, 1.0]), np.array([1.0, np.nan, 0.5])]
    history = [
        Progress(**record(step, loss) | {"train": {"loss": loss}})
        for step, loss in zip((20, 40), arrays, strict=True)
    ]
    spread = {"n": 2, "mean": 0.9, "std": 0.01}
    members = {"seed": [0, 1, 2], "diverged_at_step": [None, 3, None], "accuracy": [0.9, None, 0.9]}
    result = {"spread": {"accuracy": spread}, "members": members, "interrupted": False}
    page = run_page(folder(tmp_path / "a", result=result), history=history)
    assert page.count('class="member') == 1
    assert 'class="band' in page and "test accuracy <b>90.00% ± 1.00</b> of 2 networks" in page
    assert re.findall(r"<tr><td>(\d)<td>", page) == ["0", "1", "2"]


def test_comparing_runs_shows_their_results_and_only_the_different_options(tmp_path):
    first = folder(tmp_path / "first", result=RESULT)
    run = RUN | {"config": {"epochs": 2, "learning_rate": 0.5}}
    second = folder(tmp_path / "second", run=run, log=LOG[:3])
    page = compare_runs([first, second])
    assert "Comparison of first, second (1 not complete)" in page
    assert "second: Unfinished after 30 of 40 steps" in page
    assert '<tr><th scope="row">learning rate<td>-<td>0.5' in page
    assert '<th scope="row">epochs' not in page


@pytest.mark.parametrize("runs", [2, 30])
def test_a_page_that_compares_runs_stays_below_500_kb_and_requests_nothing(tmp_path, runs):
    """Also for runs of 1,000 steps that differ in every option, with URLs as values."""
    log = [record(step, 1 / step, steps=1000, validation={"loss": 1.0}) for step in range(1, 1001)]
    many = {f"option_{i}": "https://example.org" for i in range(30)}
    folders = []
    for number in range(runs):
        run = RUN | {"config": {name: f"{value}/{number}" for name, value in many.items()}}
        where = tmp_path / f"run number {number:03}"
        folders.append(folder(where, run=run, result=RESULT, log=log if number < 2 else log[::40]))
    page = compare_runs(folders)
    assert page.count('class="line s0') > 1 and "run number 001" in page
    assert_small_and_alone(page.replace("https://example.org", ""))


def test_runs_that_need_a_larger_page_are_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxnets.report_page.run.BYTES", 9_000)
    folders = [folder(tmp_path / name, result=RESULT) for name in "ab"]
    message = (
        r"^report expects runs that fit on a page of 9 kB, but these 2 need .* kB; compare few"
    )
    with pytest.raises(RunError, match=message):
        compare_runs(folders)


def test_a_folder_that_is_not_a_run_is_refused_in_one_line(tmp_path):
    with pytest.raises(RunError, match=r"holds no run: it has no run.json; pass the folder of"):
        run_page(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(JSONError, match="pass the folder of a run"):
        run_page(tmp_path)


def test_a_log_that_a_kill_cut_off_is_shown_up_to_there(tmp_path):
    where = folder(tmp_path / "a")
    with open(where / "metrics.jsonl", "a") as file:
        file.write('{"step": 50, "ste')
    assert "Unfinished after 40 of 40 steps" in run_page(where)


@pytest.mark.parametrize("x", [np.zeros((400, 7)), np.zeros((400, 5, 5, 2)), np.array(["a"] * 400)])
def test_examples_that_are_not_images_are_listed_by_their_index(tmp_path, x):
    page = run_page(folder(tmp_path / "a", result=RESULT), predicted=predictions(x=x))
    assert '"columns":0' in page


def test_photographs_are_sampled_and_stay_small(tmp_path):
    x = np.random.default_rng(0).random((400, 100, 64, 3), np.float32)
    page = run_page(folder(tmp_path / "a", result=RESULT), predicted=predictions(x=x))
    assert '"shape":[25,32]' in page and len(page) < 500_000


def test_examples_that_the_model_does_not_take_are_reported_without_an_error(tmp_path):
    page = run_page(
        folder(tmp_path / "a", result=RESULT),
        network=Network(network(), {}, np.zeros(7, np.float32)),
    )
    assert "The model does not take the examples: conv1: conv(8, (3, 3)) expects" in page


def test_a_study_begins_with_its_mean_and_its_pictures(tmp_path):
    spread = {"n": 3, "mean": 0.9, "std": 0.01, "low": 0.88, "high": 0.92, "best": 0.95}
    where = folder(tmp_path / "a", result={"test_accuracy": spread}, log=[])
    page = run_page(where, pictures={"result": b"PNG"})
    assert "test accuracy <b>90.00% ± 1.00</b> of 3 networks" in page
    line = (
        "mean 90.00%, n = 3; standard deviation 1.00%; 95 % interval of the mean 88.00% to 92.00%"
    )
    assert f"<td>{line}; best 95.00%</tr>" in page
    assert page.index(">Pictures</h2>") < page.index(">Result</h2>")


def test_only_the_loss_of_a_classifier_has_a_unit(tmp_path):
    both = [line | {"train": {"loss": 1.0, "accuracy": 0.5}, "validation": None} for line in LOG]
    alone = [line | {"train": {"loss": 1.0}, "validation": None} for line in LOG]
    first, second = folder(tmp_path / "a", log=both), folder(tmp_path / "b", log=alone)
    assert "loss (nats)" in run_page(first)
    assert "loss (nats)" not in run_page(second)
    assert "loss (nats)" not in compare_runs([first, second])
