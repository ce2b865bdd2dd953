"""The page to draw on computes what the model does, and answers to a stroke in a browser."""

import json
import re
import shutil
import subprocess

import jax
import numpy as np
import pytest
from helpers import assert_close
from networks import weights_like

from jaxnets import LayerError, batch_norm, dense, export, flatten, models, scale_pixels, serial
from jaxnets.export.steps import steps_of

CLASSES = ["cat", "</script>", "dog"]
MODEL = serial(
    scale_pixels(mean=0.2, std=0.3),
    flatten,
    ("fc1", dense(20)),
    ("norm", batch_norm()),
    jax.nn.relu,
    ("fc2", dense(7)),
    jax.nn.gelu,
    jax.nn.silu,
    ("head", dense(3)),
)
x = np.random.default_rng(0).integers(0, 256, (2, 14, 12, 1)).astype(np.uint8)
PARAMS, STATE = MODEL.init(jax.random.key(0), x)
STATE = jax.tree.map(lambda leaf: leaf + 0.5, STATE)
DRAW = """<script>
const at = (type, clientX, clientY) =>
  pad.dispatchEvent(new PointerEvent(type, { clientX, clientY, bubbles: true }));
const outputs = pixels =>
  Array.from(run(pixels.map(p => p * network.scale + network.shift)).at(-1));
const box = pad.getBoundingClientRect();
at("pointerdown", box.left + 60, box.top + 80);
at("pointermove", box.left + 140, box.top + 90);
at("pointermove", box.left + 200, box.top + 220);
at("pointerup", 0, 0);
const report = document.createElement("pre");
report.id = "report";
report.textContent = JSON.stringify({
  outputs: PIXELS.map(outputs), drawn: image(),
  answer: element("answer").textContent, units: element("units").childElementCount,
  rows: Array.from(element("classes").rows, row => row.textContent),
});
document.body.append(report);
</script></html>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "draw.html"
    export.html(path, MODEL, PARAMS, STATE, x, classes=CLASSES)
    return path


@pytest.fixture(scope="module")
def report(page):
    """What the page shows in a browser after a stroke."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs Chromium")
    driven = page.with_name("driven.html")
    script = DRAW.replace("PIXELS", json.dumps(x.reshape(2, -1).tolist()))
    driven.write_text(page.read_text().replace("</html>", script))
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={page.parent}/user"]
    command = [browser, *options, "--dump-dom", f"file://{driven}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    found = re.search(r'<pre id="report">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


def test_the_page_has_the_outputs_of_the_model(report):
    expected, _ = MODEL.apply(PARAMS, STATE, x)
    assert_close(np.array(report["outputs"]), expected, tolerance=2e-3)  # half precision


def test_after_a_stroke_the_class_of_the_drawing_appears(report):
    drawn = np.array(report["drawn"], np.uint8).reshape(1, 14, 12, 1)
    assert drawn.max() > 200 and 5 < (drawn > 100).sum() < 80
    probabilities = np.asarray(jax.nn.softmax(MODEL.apply(PARAMS, STATE, drawn)[0])[0])
    name, percent = report["answer"].removesuffix(" %").split(", ")
    assert name == CLASSES[probabilities.argmax()]
    assert float(percent) == pytest.approx(100 * probabilities.max(), abs=0.5)


def test_it_shows_every_class_and_the_units_of_the_first_layer(report):
    assert [row.split()[0].rstrip("0123456789.") for row in report["rows"]] == CLASSES
    assert report["units"] == 18


def test_the_page_is_one_file_that_requests_nothing(page):
    text = page.read_text()
    assert "default-src 'none'" in text
    assert not re.search(r"https?:|src=|href=|fetch\(|import ", text)
    assert text.count("</script>") == 2


@pytest.mark.parametrize(
    "model", [models.mlp((6, 5), activation=jax.numpy.tanh), models.logistic(), models.linear(2)]
)
def test_dense_models_are_read(model):
    specs = jax.eval_shape(model.init, jax.random.key(0), x)
    assert steps_of(model, *weights_like(specs), x)[-1]["op"] in {"add", "matmul"}


def arguments(**changes):
    defaults = dict(model=MODEL, params=PARAMS, state=STATE, example=x, classes=CLASSES)
    return defaults | changes


cnn = models.lenet5(3)
CNN = dict(zip(("params", "state"), cnn.init(jax.random.key(0), x), strict=True))
WRONG = {
    "a convolution": (
        arguments(model=cnn, **CNN),
        "a network of dense layers .* got conv_general_dilated in conv1; use export.onnx with",
    ),
    "colours": (arguments(example=np.ones((1, 4, 4, 3))), "expects grey images .*but got"),
    "rows": (arguments(example=np.ones((1, 4))), "expects grey images"),
    "floats": (arguments(example=x / np.float32(255)), "pass scale=1 / 255 as in training"),
    "classes": (arguments(classes="ab"), "expects 3 classes, one for each output of the model"),
    "a constant": (
        arguments(model=serial(lambda x: jax.numpy.ones((1, 3))), params={}, state={}),
        "depends on its input",
    ),
}


@pytest.mark.parametrize(("wrong", "message"), WRONG.values(), ids=WRONG)
def test_what_has_no_page_is_refused_in_one_line(tmp_path, wrong, message):
    with pytest.raises(LayerError, match=message) as raised:
        export.html(tmp_path / "draw.html", **wrong)
    assert "\n" not in str(raised.value) and not [*tmp_path.iterdir()]
