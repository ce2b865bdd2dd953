"""What a network sees: its filters, feature maps, evidence and embedding; and filters by hand.

python -m experiments.look_inside
python -m experiments.look_inside --model alexnet --photo cat.jpg --weights alexnet.safetensors

First the decks' filters on a photograph (S0 and S4), by one convolution each: sharpen, emboss,
blur, edge detect, and S0's two exercises, a filter for vertical edges and one for edges between
two colours. Then views of a network: the first layer's filters, feature maps deeper and deeper,
what a class's score rests on (saliency, Grad-CAM), and a layer's outputs in two dimensions. LeNet-5
and the small CNN look at digits and first learn to read them, from a few thousand of them, in
about a minute on two CPU cores; AlexNet and VGG-16 look at the photograph, with random weights
unless `--weights` has others. Every title says whose weights they are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from matplotlib import cbook, image
from matplotlib.figure import Figure

from experiments import common
from experiments.decks.s4 import KERNELS
from experiments.folder import write_figure
from jaxnets import Layer, conv, data, losses, models, scale_pixels
from jaxnets.data import Dataset
from jaxnets.inspect import (
    activations,
    class_activation,
    pictures,
    principal_components,
    receptive_field,
    saliency,
)
from jaxnets.interop import safetensors
from jaxnets.layer import Params, State
from jaxnets.training import RunError, fit, make_train_step
from jaxnets.trees import check_names, flatten_names

EDGE = np.array([[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]])  # dark on the left, bright on the right
SLOPE = np.array([[0, 1, 2], [-1, 0, 1], [-2, -1, 0]])
SHOULDER = np.stack([-SLOPE, 0 * SLOPE, SLOPE], axis=-1)  # bluer and less red, above and right
IMAGENET = scale_pixels(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
MNIST = scale_pixels(mean=0.1307, std=0.3081)


class View(NamedTuple):
    """Where to look into a model: names of outputs."""

    build: Callable[[int], Layer]
    size: int  # pixels a side
    kernel: str  # the first convolution
    maps: tuple[str, ...]
    last: str  # the last maps, for evidence
    features: str  # the outputs that the head sees


VIEWS = {
    "lenet5": View(models.lenet5, 28, "conv1", ("tanh1", "tanh2"), "tanh2", "tanh4"),
    "small_cnn": View(
        *(models.small_cnn, 28, "stage1/conv1"),
        *(("stage1", "stage2", "stage3"), "stage3", "drop"),
    ),
    "alexnet": View(
        *(models.alexnet, 227, "conv1"),
        *(("relu1", "relu2", "relu3", "relu4", "relu5"), "relu5", "relu7"),
    ),
    "vgg16": View(
        *(models.vgg16, 224, "conv1_1"),
        *(("relu1_1", "relu2_2", "relu3_3", "relu4_3", "relu5_3"), "relu5_3", "relu7"),
    ),
}


@dataclass(frozen=True)
class Config:
    """What a network sees."""

    model: Literal["lenet5", "small_cnn", "alexnet", "vgg16"] = "small_cnn"
    """The network; the first two look at MNIST, the others at the photograph."""
    weights: Path | None = None
    """A safetensors file of its weights by name, instead of training or random ones."""
    photo: Path | None = None
    """A picture file; by default the portrait of Grace Hopper that comes with matplotlib."""
    examples: int = 12800
    """Digits to train on."""
    points: int = 1000
    """Digits to embed."""
    seed: int = 0
    """Decides the random weights and the order of training."""
    data_dir: Path | None = None
    """A folder with MNIST's IDX files, instead of those found by themselves."""
    out: Path = Path("runs/look_inside")
    """The folder to write to."""


def load_photo(path: Path | None) -> np.ndarray:
    """A picture (height, width, 3) in 0..1."""
    path = path or Path(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    try:
        photo = image.imread(path)
    except (OSError, ValueError, SyntaxError) as error:
        raise RunError(f"cannot read {path} as a picture: {error}; pass another --photo") from error
    if np.issubdtype(photo.dtype, np.integer):
        photo = photo / np.iinfo(photo.dtype).max
    photo = photo.reshape(*photo.shape[:2], -1)
    colours = photo[..., :3] if photo.shape[-1] > 2 else photo[..., :1]  # without transparency
    return np.broadcast_to(colours, (*photo.shape[:2], 3)).astype(np.float32)


def fitted_in(photo: np.ndarray, side: int) -> np.ndarray:
    """The picture, its longer side so many pixels."""
    height, width = (max(1, n * side // max(photo.shape[:2])) for n in photo.shape[:2])
    return resized(photo, height, width)


def resized(photo: np.ndarray, height: int, width: int) -> np.ndarray:
    """The picture with so many pixels; blurred as much as it takes."""
    return np.asarray(jax.image.resize(photo, (height, width, 3), "linear"))


def filtered(small: np.ndarray) -> dict[str, pictures.Filtered]:
    """What each filter of the decks makes of a picture.

    `conv` does not turn its kernel over: it is the decks' sliding mask.
    """
    grey = small @ np.array([[0.299], [0.587], [0.114]], np.float32)  # brightness, ITU-R BT.601
    results = {}
    for name, kernel in {**KERNELS, "vertical edges": EDGE}.items():
        whole = int(np.sum(kernel))
        divided = f"\ndivided by {whole}" if whole > 1 else ""  # the blur
        result = convolved(grey, np.array(kernel)[..., None] / (whole or 1))
        results[name] = pictures.Filtered(result, written(kernel) + divided, signed=whole == 0)
    text = f"on blue:\n{written(SLOPE)}\non red: the opposite"
    shoulder = pictures.Filtered(convolved(small, SHOULDER), text, signed=True)
    return {**results, "blue above and to the right": shoulder}


def convolved(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The image (height, width, channels) under one filter (3, 3, channels), as a layer does it."""
    layer = conv(1, (3, 3), padding="VALID", use_bias=False)
    params = {"kernel": jnp.asarray(kernel[..., None], jnp.float32)}
    return np.asarray(layer.apply(params, {}, jnp.asarray(image[None]))[0][0, ..., 0])


def written(kernel: Any) -> str:
    """A matrix, a line a row."""
    return "\n".join(" ".join(f"{value:2d}" for value in row) for row in kernel)


def read_weights(path: Path, model: Layer, x: Array) -> tuple[Params, State]:
    """The weights in the file, if they are the model's."""
    params, state = jax.eval_shape(model.init, jax.random.key(0), x)
    expected = {"params": params, "state": state} if state else {"params": params}
    try:
        tree = safetensors.load(path)
    except (OSError, ValueError) as error:
        raise RunError(f"cannot read the weights in {path}: {error}; see --weights") from error
    tree = tree if "params" in tree else {"params": tree}
    check_names(tree, expected)
    return tree["params"], tree.get("state", {})


def learn(config: Config, model: Layer, mnist: Dataset) -> tuple[Params, State]:
    """What one pass over some digits teaches."""
    x, y = MNIST(jnp.asarray(mnist.train.x[: config.examples])), mnist.train.y[: config.examples]
    steps, batch_size = max(1, len(x) // 128), min(128, len(x))
    optimizer = optax.adam(optax.cosine_onecycle_schedule(steps, 3e-3))
    train_step = make_train_step(model, optimizer, losses.softmax_cross_entropy)
    key = jax.random.key(config.seed)
    print(f"training {config.model} on {len(x)} digits", flush=True)
    fitted = fit(train_step, (x, y), key=key, epochs=1, batch_size=batch_size)
    return fitted.train_state.params, fitted.train_state.model_state


def views(
    model: Layer, params: Params, state: State, view: View, x: Array, whose: str
) -> dict[str, Figure]:
    """The first layer's filters, and maps of the first input, by the name of the picture."""
    kernel = flatten_names(params)[f"{view.kernel}/kernel"]
    height, width, _, count = kernel.shape
    title = f"{whose}\nthe {count} filters of {view.kernel}, {height} x {width}"
    figures = {"filters": pictures.filters(kernel, title)}
    fields = receptive_field(model, x)
    outputs = activations(model, params, state, x[:1])
    for path in view.maps:
        maps, sees = outputs[path][0], " x ".join(map(str, fields[path].size))
        size = " x ".join(map(str, maps.shape[:2]))
        count = min(maps.shape[-1], 64)
        title = (
            f"{whose}\n{count} of {maps.shape[-1]} maps of {path}, {size}; "
            f"a position sees {sees} pixels"
        )
        figures[f"maps_{path.replace('/', '_')}"] = pictures.feature_maps(maps, title)
    return figures


def evidence(
    model: Layer, params: Params, state: State, view: View, x: Array, classes: Array
) -> dict[str, Array]:
    """What each image's score of a class rests on, by method."""
    found = class_activation(model, params, state, x, classes, view.last)
    heat = saliency(model, params, state, x, classes)
    return {"saliency": heat, f"Grad-CAM\nof {view.last}": found}


def look_at_digits(config: Config, view: View) -> dict[str, Figure]:
    """Views of a network that reads digits."""
    mnist = data.load("mnist", data_dir=config.data_dir)
    model, digits, labels = view.build(10), *(part[: config.points] for part in mnist.test)
    x = MNIST(jnp.asarray(digits))
    if config.weights is None:
        params, state = learn(config, model, mnist)
        whose = f"{config.model}, MNIST-trained on {config.examples:,} digits"
    else:
        params, state = read_weights(config.weights, model, x)
        whose = f"{config.model}, weights of {config.weights.name}"
    figures = views(model, params, state, view, x, whose)

    few = np.array([np.flatnonzero(labels == digit)[0] for digit in np.unique(labels)])
    scores = jax.jit(model.apply)(params, state, x[few])[0].argmax(-1)
    found = evidence(model, params, state, view, x[few], scores)
    titles = [
        f"{mnist.classes[label]} read as {mnist.classes[score]}"
        for label, score in zip(labels[few], scores, strict=True)
    ]
    title = f"{whose}\nwhat the highest score rests on"
    figures["evidence"] = pictures.evidence(digits[few] / 255, found, titles, title)

    features = activations(model, params, state, x)[view.features]
    points, _, share = principal_components(features)
    title = f"{whose}\noutputs of {view.features} for {len(x):,} test digits, in 2-D"
    figures["embedding"] = pictures.embedding(points, share, labels, mnist.classes, title)
    return figures


def look_at_photo(config: Config, view: View, photo: np.ndarray) -> dict[str, Figure]:
    """Views of a network for photographs."""
    model = view.build(1000)
    image = resized(photo, view.size, view.size)
    x = IMAGENET(jnp.asarray(image[None]) * 255)
    if config.weights is None:
        params, state = model.init(jax.random.key(config.seed), x)
        whose = f"{config.model}, random weights"
    else:
        params, state = read_weights(config.weights, model, x)
        whose = f"{config.model}, weights of {config.weights.name}"
    figures = views(model, params, state, view, x, whose)

    scores = jax.nn.softmax(jax.jit(model.apply)(params, state, x)[0][0])
    top = jnp.argsort(-scores)[:3]
    found = evidence(model, params, state, view, jnp.repeat(x, 3, 0), top)
    titles = [f"class {number}: {scores[number]:.1%}" for number in top]
    title = f"{whose}\nwhat the three highest scores rest on"
    figures["evidence"] = pictures.evidence(np.stack([image] * 3), found, titles, title)
    return figures


def experiment(config: Config) -> None:
    """Filter the photograph by hand, then look into the network."""
    config.out.mkdir(parents=True, exist_ok=True)
    photo, view = load_photo(config.photo), VIEWS[config.model]
    small = fitted_in(photo, 240)
    title = "Filters made by hand, each a convolution with 3 x 3 weights"
    figures = {"filters_by_hand": pictures.gallery(small, filtered(small), title)}
    if view.size == 28:
        figures |= look_at_digits(config, view)
    else:
        figures |= look_at_photo(config, view, photo)
    for name, figure in figures.items():
        write_figure(config.out / f"{name}.png", figure)
    print(f"{', '.join(f'{name}.png' for name in figures)} are in {config.out}")


if __name__ == "__main__":
    common.main(experiment, Config)
