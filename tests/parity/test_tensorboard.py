"""What TensorBoard itself reads from the files of `training.tensorboard`."""

import io
import re
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from PIL import Image
from small_mnist import write_mnist

from jaxnets import dense, losses
from jaxnets.training import RunError, fit, make_train_step, scalars, tensorboard

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]
accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator",
    reason="needs the packages tensorboard and tensorboardX of the extra parity",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The reports of a run, and what TensorBoard reads of it."""
    folder, reports = tmp_path_factory.mktemp("board"), []
    x = np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32)
    step = make_train_step(dense(3), optax.sgd(0.1), losses.softmax_cross_entropy)
    picture = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    with tensorboard(folder) as board:
        result = fit(
            step, (x, np.arange(32) % 3), key=jax.random.key(0), epochs=3, batch_size=8,
            report=lambda p: (reports.append(p), board(p)), callbacks=[board.weights],
        )  # fmt: skip
        board.images({"picture": picture, "grey": np.full((2, 2, 1), 0.5)}, step=7)
    read = accumulator.EventAccumulator(str(folder), {"scalars": 0, "histograms": 0, "images": 0})
    return reports, result, read.Reload(), picture


def test_tensorboard_reads_every_number_of_every_report(run):
    reports, _, read, _ = run
    assert read.Tags()["scalars"] == list(scalars(reports[0]))
    for name in scalars(reports[0]):
        events = read.Scalars(name)
        assert [event.step for event in events] == [report.step for report in reports]
        wanted = np.float32([scalars(report)[name] for report in reports])
        assert [event.value for event in events] == wanted.tolist()


def test_tensorboard_reads_histograms_of_the_weights(run):
    _, result, read, _ = run
    kernel = result.train_state.params["kernel"]
    last = read.Histograms("kernel")[-1]
    assert last.step == int(result.train_state.step)
    histogram = last.histogram_value
    assert histogram.num == kernel.size
    assert histogram.sum == pytest.approx(float(kernel.sum()), abs=1e-5)


def test_tensorboard_reads_the_images(run):
    _, _, read, picture = run
    event = read.Images("picture")[0]
    assert event.step == 7
    np.testing.assert_array_equal(Image.open(io.BytesIO(event.encoded_image_string)), picture)
    grey = np.asarray(Image.open(io.BytesIO(read.Images("grey")[0].encoded_image_string)))
    assert set(grey.ravel().tolist()) == {128}


def test_the_listing_of_the_documentation_writes_what_its_page_says(tmp_path, monkeypatch):
    page = Path(__file__).parents[2] / "docs" / "tools.md"
    listing = re.search(
        r'^```python title="needs the extra tensorboard"\n(.*?)^```',
        page.read_text("utf-8"),
        re.M | re.S,
    )[1]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXNETS_DATA_DIR", str(write_mnist(tmp_path, train=5_500, test=100)))
    with jax.numpy_rank_promotion("allow"):  # as for a reader
        exec(listing, {})
    read = accumulator.EventAccumulator(str(tmp_path / "runs" / "board")).Reload()
    assert {"train/loss", "train/accuracy", "validation/loss"} < {*read.Tags()["scalars"]}
    assert {*read.Tags()["histograms"]} == {"head/kernel", "head/bias"}
    assert read.Tags()["images"] == ["digits/first"]


@pytest.mark.parametrize("image", [np.zeros((2, 2)), np.zeros((2, 2, 1), np.uint16)])
def test_an_object_that_is_not_an_image_is_refused(tmp_path, image):
    got = re.escape(f"got {image.shape} of {image.dtype}")
    with (
        tensorboard(tmp_path) as board,
        pytest.raises(RunError, match=rf"\(height, width, 1 or 3\).*{got}"),
    ):
        board.images({"x": image})
