"""The drawing page has the outputs of the model, and shows the class of a drawing."""

import json
import re
import shutil
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close
from networks import positive_like, weights_like

from jaxnets import (
    LayerError,
    avg_pool,
    batch_norm,
    conv,
    data,
    dense,
    depthwise_conv,
    export,
    flatten,
    global_avg_pool,
    global_max_pool,
    max_pool,
    models,
    scale_pixels,
    serial,
)
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
PARAMS, STATE = jax.jit(MODEL.init)(jax.random.key(0), x)
STATE = jax.tree.map(lambda leaf: leaf + 0.5, STATE)
# Every kind of window: with strides, dilation, groups, odd padding, overlapping and global pools.
WINDOWS = serial(
    ("conv1", conv(6, (3, 2), strides=(2, 1))),
    ("norm", batch_norm()),
    ("pool1", max_pool((3, 3), strides=2, ceil_mode=True)),
    ("depthwise", depthwise_conv((3, 3), multiplier=2)),
    jax.nn.relu6,
    ("grouped", conv(8, (2, 3), groups=4, dilation=(1, 2))),
    ("pool2", avg_pool((2, 2), strides=1, padding="SAME")),
    lambda x: global_avg_pool(x) - global_max_pool(x),
    ("head", dense(3)),
)
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
const results = {
  drawn: image(),
  answer: element("answer").textContent, legend: element("legend").textContent,
  pictures: Array.from(document.querySelectorAll("#units canvas"), c => [c.height, c.width]),
  rows: Array.from(element("classes").rows, row => row.textContent),
};
const steps = network.steps;
results.outputs = NETWORKS.map(([others, images]) => {
  network.steps = others ? others.map(read) : steps;
  return images.map(outputs);
});
const report = document.createElement("pre");
report.id = "report";
report.textContent = JSON.stringify(results);
document.body.append(report);
</script></html>"""


def drive(page, *networks):
    """What a page shows in a browser after a stroke, and the outputs per pair (steps, images)."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs Chromium")
    driven = page.with_name("driven.html")
    content = json.dumps([(s, images.reshape(len(images), -1).tolist()) for s, images in networks])
    driven.write_text(page.read_text().replace("</html>", DRAW.replace("NETWORKS", content)))
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={page.parent}/user"]
    command = [browser, *options, "--dump-dom", f"file://{driven}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    found = re.search(r'<pre id="report">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "draw.html"
    export.html(path, MODEL, PARAMS, STATE, x, classes=CLASSES)
    return path


@pytest.fixture(scope="module")
def report(page):
    return drive(page, (None, x))


def apply(model, params, state, x):
    return np.asarray(jax.jit(lambda x: model.apply(params, state, x)[0])(x))


def test_the_page_has_the_outputs_of_the_model(report):
    [outputs] = report["outputs"]
    assert_close(np.array(outputs), apply(MODEL, PARAMS, STATE, x), tolerance=1e-5)


def check_answer(report, classes, outputs):
    """The class of the drawing appears, with its probability."""
    probabilities = np.asarray(jax.nn.softmax(outputs))
    name, percent = report["answer"].removesuffix(" %").split(", ")
    assert name == classes[probabilities.argmax()]
    assert float(percent) == pytest.approx(100 * probabilities.max(), abs=0.051)


def test_after_a_stroke_the_class_of_the_drawing_appears(report):
    drawn = np.array(report["drawn"], np.uint8).reshape(1, 14, 12, 1)
    assert drawn.max() > 200 and 5 < (drawn > 100).sum() < 80
    check_answer(report, CLASSES, apply(MODEL, PARAMS, STATE, drawn)[0])


def test_it_shows_every_class_and_the_units_of_the_first_layer(report):
    assert [row.split()[0].rstrip("0123456789.") for row in report["rows"]] == CLASSES
    assert report["pictures"] == [[14, 12]] * 18 and "units" in report["legend"]


def test_convolutional_networks_have_the_same_outputs(tmp_path):
    digits, images = models.pretrained("mnist"), data.load("mnist").test.x[:40]
    path = tmp_path / "draw.html"
    export.html(path, *digits[:3], images, classes=digits.classes)
    cases = []
    for model, example in [(models.lenet5(), images), (WINDOWS, x)]:
        params, state = jax.eval_shape(model.init, jax.random.key(0), example)
        cases.append((model, weights_like(params), positive_like(state), example))
    report = drive(path, (None, images[:9]), *[(steps_of(*case), case[-1]) for case in cases])
    drawn = np.array(report["drawn"], np.uint8).reshape(1, 28, 28, 1)
    *outputs, answer = apply(*digits[:3], np.concatenate([images[:9], drawn]))
    expected = [np.array(outputs), *[apply(*case) for case in cases]]
    for ours, theirs in zip(report["outputs"], expected, strict=True):
        assert_close(np.array(ours), theirs, tolerance=1e-5)
    check_answer(report, digits.classes, answer)
    assert report["pictures"] == [[28, 28]] * 18 and "feature maps" in report["legend"]


def test_the_page_is_one_file_that_requests_nothing(page):
    text = page.read_text()
    assert "default-src 'none'" in text
    assert not re.search(r"https?:|src=|href=|fetch\(|import ", text)
    assert text.count("</script>") == 2


@pytest.mark.parametrize(
    "model", [models.mlp((6, 5), activation=jnp.tanh), models.logistic(), models.linear(2)]
)
def test_dense_models_are_read(model):
    specs = jax.eval_shape(model.init, jax.random.key(0), x)
    assert steps_of(model, *weights_like(specs), x)[-1]["op"] in {"add", "matmul"}


def arguments(**changes):
    defaults = dict(model=MODEL, params=PARAMS, state=STATE, example=x, classes=CLASSES)
    return defaults | changes


def other(model, **changes):
    """The arguments for a model without params."""
    return arguments(model=serial(("odd", model)), params={"odd": {}}, state={"odd": {}}, **changes)


WRONG = {
    "a sort": (
        other(lambda x: jnp.sort(x.reshape(1, -1))[:, :3]),
        "a network of convolutions, .* but got sort in odd; use export.onnx with a runtime",
    ),
    "along other axes": (other(lambda x: x.max((1, 3))), "but got reduce_max in odd"),
    "turned": (other(lambda x: jnp.swapaxes(x, 1, 2)), "but got transpose in odd"),
    "rounded down": (other(lambda x: (x / 2.0).astype(np.int8)), "got convert_element_type in odd"),
    "integers": (other(lambda x: x + x), "but got add in odd"),
    "rows": (
        other(lambda x: (x.reshape(14, 12) * 1.0 @ jnp.ones((12, 3))).reshape(1, 42)),
        "but got dot_general in odd",
    ),
    "a factor per row": (
        other(lambda x: x * jnp.arange(14.0)[None, :, None, None]),
        "but got mul in odd",
    ),
    "a repeated column": (
        other(lambda x: x[..., 0].mean(2, keepdims=True) + x[..., 0]),
        "but got reduce_sum in odd",
    ),
    "images": (
        other(lambda x: x * 2.0),
        r"with logits \(n, classes\), but got outputs \(1, 14, 12",
    ),
    "colours": (arguments(example=np.ones((1, 4, 4, 3))), "expects grey images .*but got"),
    "vectors": (arguments(example=np.ones((1, 4))), "expects grey images"),
    "floats": (arguments(example=x / np.float32(255)), "pass scale=1 / 255 as in training"),
    "classes": (arguments(classes="ab"), "expects 3 classes, one for each output of the model"),
    "a constant": (
        arguments(model=serial(lambda x: jnp.ones((1, 3))), params={}, state={}),
        "depends on its input",
    ),
}


@pytest.mark.parametrize(("wrong", "message"), WRONG.values(), ids=WRONG)
def test_a_model_without_a_page_is_refused_in_one_line(tmp_path, wrong, message):
    with pytest.raises(LayerError, match=message) as raised:
        export.html(tmp_path / "draw.html", **wrong)
    assert "\n" not in str(raised.value) and not [*tmp_path.iterdir()]
