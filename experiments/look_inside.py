"""Views of a network: its filters, feature maps, saliency and embedding; and hand-made filters.

python -m experiments.look_inside
python -m experiments.look_inside --model alexnet --photo cat.jpg --weights alexnet.safetensors

First draws the decks' filters applied to a photograph (S0 and S4), each as one convolution:
sharpen, emboss, blur, edge detection, and S0's two exercises, a filter for vertical edges and one
for edges between two colours. Then draws views of a network: the filters of the first layer,
feature maps from shallow to deep, the pixels that a score depends on (saliency, Grad-CAM), and the
outputs of a layer in two dimensions. Unless `--weights` is given, LeNet-5 and the small CNN are
first trained on 12,800 digits, in about a minute on two CPU cores; their inputs are digits; the
input of AlexNet and VGG-16 is the photograph, and their weights are random unless `--weights` is
given. Every title of a view names the weights.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from matplotlib.figure import Figure

from experiments import command_line, configs
from experiments.folder import open_folder, write_figure
from experiments.photographs import apply_filters, fit_within, load_photo, resize
from jaxnets import Layer, data, losses, models, scale_pixels
from jaxnets.command_line.progress import tracked
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
from jaxnets.training import RunError, console, fit, make_train_step
from jaxnets.trees import check_names, flatten_names

IMAGENET = scale_pixels(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
MNIST = scale_pixels(mean=0.1307, std=0.3081)


class View(NamedTuple):
    """A model, and the names of its outputs that are drawn."""

    build: Callable[[int], Layer]
    size: int  # pixels per side
    kernel: str  # the first convolution
    maps: tuple[str, ...]
    last: str  # the last maps, for Grad-CAM
    features: str  # the inputs of the head
    title: str  # the network in titles


VIEWS = {
    "lenet5": View(models.lenet5, 28, "conv1", ("tanh1", "tanh2"), "tanh2", "tanh4", "LeNet-5"),
    "small_cnn": View(
        *(models.small_cnn, 28, "stage1/conv1"),
        *(("stage1", "stage2", "stage3"), "stage3", "drop", "Small CNN"),
    ),
    "alexnet": View(
        *(models.alexnet, 227, "conv1"),
        *(("relu1", "relu2", "relu3", "relu4", "relu5"), "relu5", "relu7", "AlexNet"),
    ),
    "vgg16": View(
        *(models.vgg16, 224, "conv1_1"),
        *(("relu1_1", "relu2_2", "relu3_3", "relu4_3", "relu5_3"), "relu5_3", "relu7", "VGG-16"),
    ),
}


@dataclass(frozen=True)
class Config(configs.Config):
    """Views of a network."""

    model: Literal["lenet5", "small_cnn", "alexnet", "vgg16"] = "small_cnn"
    """The network; inputs of the first two are MNIST digits, of the others the photograph."""
    weights: Path | None = None
    """A safetensors file with the weights by name, instead of trained or random ones."""
    photo: Path | None = None
    """A picture file; by default the portrait of Grace Hopper that comes with matplotlib."""
    examples: int = 12800
    """Number of digits to train on."""
    points: int = 1000
    """Number of digits to embed."""
    seed: int = 0
    """The seed of the random weights and of the order of training."""


def read_weights(path: Path, model: Layer, x: Array) -> tuple[Params, State]:
    """The weights in the file, after a check that they are those of the model."""
    params, state = jax.eval_shape(model.init, jax.random.key(0), x)
    expected = {"params": params, "state": state} if state else {"params": params}
    try:
        tree = safetensors.load(path)
    except (OSError, ValueError) as error:
        raise RunError(f"cannot read the weights in {path}: {error}; see --weights") from error
    tree = tree if "params" in tree else {"params": tree}
    check_names(tree, expected)
    return tree["params"], tree.get("state", {})


def train(config: Config, model: Layer, mnist: Dataset) -> tuple[Params, State]:
    """The weights after one epoch over some digits."""
    x, y = MNIST(jnp.asarray(mnist.train.x[: config.examples])), mnist.train.y[: config.examples]
    steps, batch_size = max(1, len(x) // 128), min(128, len(x))
    optimizer = optax.adam(optax.cosine_onecycle_schedule(steps, 3e-3))
    train_step = make_train_step(model, optimizer, losses.softmax_cross_entropy)
    key = jax.random.key(config.seed)
    print(f"training {config.model} on {len(x)} digits", flush=True)
    with console() as report:
        fitted = fit(train_step, (x, y), key=key, epochs=1, batch_size=batch_size, report=report)
    return fitted.train_state.params, fitted.train_state.model_state


def views(
    model: Layer, params: Params, state: State, view: View, x: Array, weights: str
) -> dict[str, Figure]:
    """The first layer's filters, and feature maps of the first input, by figure."""
    kernel = flatten_names(params)[f"{view.kernel}/kernel"]
    height, width, _, count = kernel.shape
    title = f"{weights}\nthe {count} filters of {view.kernel}, {height} x {width}"
    figures = {"filters": pictures.filters(kernel, title)}
    fields = receptive_field(model, x)
    outputs = activations(model, params, state, x[:1])
    for path in tracked(view.maps, "drawing feature maps"):
        maps, sees = outputs[path][0], " x ".join(map(str, fields[path].size))
        size = " x ".join(map(str, maps.shape[:2]))
        count = min(maps.shape[-1], 64)
        title = (
            f"{weights}\n{count} of {maps.shape[-1]} maps of {path}, {size}; "
            f"receptive field {sees} pixels"
        )
        figures[f"maps_{path.replace('/', '_')}"] = pictures.feature_maps(maps, title, image=x[0])
    return figures


def evidence(
    model: Layer, params: Params, state: State, view: View, x: Array, classes: Array
) -> dict[str, Array]:
    """For each method, heat maps of the pixels that each image's class score depends on."""
    print("computing saliency and Grad-CAM", flush=True)
    grad_cam = class_activation(model, params, state, x, classes, view.last)
    heat = saliency(model, params, state, x, classes)
    return {"saliency": heat, f"Grad-CAM\nof {view.last}": grad_cam}


def look_at_digits(config: Config, view: View) -> dict[str, Figure]:
    """Views of a network that classifies digits."""
    mnist = data.load("mnist", data_dir=config.data_dir)
    model, digits, labels = view.build(10), *(part[: config.points] for part in mnist.test)
    x = MNIST(jnp.asarray(digits))
    if config.weights is None:
        params, state = train(config, model, mnist)
        weights = f"{view.title}, trained on {config.examples:,} digits of MNIST"
    else:
        params, state = read_weights(config.weights, model, x)
        weights = f"{view.title}, weights of {config.weights.name}"
    figures = views(model, params, state, view, x, weights)

    few = np.array([np.flatnonzero(labels == digit)[0] for digit in np.unique(labels)])
    scores = jax.jit(model.apply)(params, state, x[few])[0].argmax(-1)
    heatmaps = evidence(model, params, state, view, x[few], scores)
    titles = [
        f"{mnist.classes[label]} classified as {mnist.classes[score]}"
        for label, score in zip(labels[few], scores, strict=True)
    ]
    title = f"{weights}\nthe pixels that the highest score depends on"
    figures["evidence"] = pictures.evidence(digits[few] / 255, heatmaps, titles, title)

    print(f"computing the outputs of {len(x):,} digits", flush=True)
    features = activations(model, params, state, x)[view.features]
    points, _, share = principal_components(features)
    title = f"{weights}\noutputs of the layer {view.features} for {len(x):,} test digits, in 2-D"
    figures["embedding"] = pictures.embedding(points, share, labels, mnist.classes, title)
    return figures


def look_at_photo(config: Config, view: View, photo: np.ndarray) -> dict[str, Figure]:
    """Views of a network for photographs."""
    model = view.build(1000)
    image = resize(photo, view.size, view.size)
    x = IMAGENET(jnp.asarray(image[None]) * 255)
    if config.weights is None:
        params, state = model.init(jax.random.key(config.seed), x)
        weights = f"{view.title}, random weights"
    else:
        params, state = read_weights(config.weights, model, x)
        weights = f"{view.title}, weights of {config.weights.name}"
    figures = views(model, params, state, view, x, weights)

    scores = jax.nn.softmax(jax.jit(model.apply)(params, state, x)[0][0])
    top = jnp.argsort(-scores)[:3]
    heatmaps = evidence(model, params, state, view, jnp.repeat(x, 3, 0), top)
    titles = [f"class {number}: {scores[number]:.1%}" for number in top]
    title = f"{weights}\nthe pixels that the three highest scores depend on"
    figures["evidence"] = pictures.evidence(np.stack([image] * 3), heatmaps, titles, title)
    return figures


def experiment(config: Config) -> None:
    """Apply the hand-made filters to the photograph, then draw the views of the network."""
    photo, view = load_photo(config.photo), VIEWS[config.model]
    folder, _ = open_folder("look_inside", config)
    print("applying the hand-made filters", flush=True)
    small = fit_within(photo, 240)
    title = "Hand-made filters, each a convolution with 3 x 3 weights"
    figures = {"filters_by_hand": pictures.gallery(small, apply_filters(small), title)}
    if view.size == 28:
        figures |= look_at_digits(config, view)
    else:
        figures |= look_at_photo(config, view, photo)
    for name, figure in tracked(figures.items(), "writing pictures"):
        write_figure(folder / f"{name}.png", figure)
    print(f"{', '.join(f'{name}.png' for name in figures)} are in {folder}")


if __name__ == "__main__":
    command_line.main(experiment, Config)
