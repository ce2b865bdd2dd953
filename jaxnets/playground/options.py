"""The settings of a network on the page, with checks, since requests may have any content."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from jaxnets.messages import printable
from jaxnets.playground.optimizers import OPTIMIZERS

# At most: units per layer, layers, rows of a batch, points, classes.
UNITS, LAYERS, ROWS, POINTS, CLASSES = 8, 6, 32, 500, 10
DIGITS = {"mnist 0 1": (0, 1), "mnist 3 8": (3, 8), "mnist 4 9": (4, 9)} | {
    "mnist 0-9": tuple(range(10))
}
TABLE = "table"  # a table of the user
DATA = {
    "classification": ("circle", "xor", "gauss", "spiral", *DIGITS, TABLE),
    "regression": ("plane", "hills", TABLE),
}
FEATURES = {  # name -> expression
    "x1": "x1",
    "x2": "x2",
    "x1^2": "x1**2",
    "x2^2": "x2**2",
    "x1*x2": "x1 * x2",
    "sin x1": "np.sin(x1)",
    "sin x2": "np.sin(x2)",
}
INPUTS = tuple(f"p{i}" for i in range(1, UNITS + 1))  # principal components
ACTIVATIONS = {"tanh": "jnp.tanh", "relu": "jax.nn.relu", "sigmoid": "jax.nn.sigmoid", "linear": ""}
CHOICES = {
    "task": tuple(DATA),
    "data": tuple(dict.fromkeys(sum(DATA.values(), ()))),
    "activation": tuple(ACTIVATIONS),
    "optimizer": tuple(OPTIMIZERS),
    "penalty": ("none", "L1", "L2"),
    "seeds": (1, 4, 16, 64),
    "batch_norm": (False, True),
}
BOUNDS = {
    "noise": (0.0, 0.5),
    "rate": (0.0, 10.0),
    "penalty_rate": (0.0, 10.0),
    "dropout": (0.0, 0.9),
    "share": (10, 90),
    "batch": (1, 30),
    "seed": (0, 10**6),
}
NAME = 100  # characters of the name of a file or a column
LIVE = {"rate", "penalty", "penalty_rate"}  # take effect without a new start


class OptionsError(ValueError):
    """Settings are not valid; the message is one line for the page to show."""


class Structure(NamedTuple):
    """What a program is compiled for; everything else is an input of it.

    Attributes:
      layers: the hidden layers; those beyond the depth are skipped.
      optimizer: its name.
      batch_norm: whether each hidden layer has one.
      dropout: whether each hidden layer has one.
      seeds: the number of networks.
      rows: the rows of a batch; those beyond the batch size have weight 0.
    """

    layers: int
    optimizer: str
    batch_norm: bool
    dropout: bool
    seeds: int
    rows: int


@dataclass(frozen=True)
class Options:
    """The settings of the page; noise, share (percent) and sizes are those of its sliders.

    The last three are for the user's own table: its name, the column to predict, and the two
    columns that are the axes of the plane; without them, the axes are principal components.
    """

    task: str = "classification"
    data: str = "circle"
    noise: float = 0.0
    share: int = 50
    features: tuple[str, ...] = ("x1", "x2")
    hidden: tuple[int, ...] = (4, 2)
    activation: str = "tanh"
    optimizer: str = "sgd"
    rate: float = 0.03
    penalty: str = "none"
    penalty_rate: float = 0.0
    batch: int = 10
    seeds: int = 1
    seed: int = 0
    batch_norm: bool = False
    dropout: float = 0.0
    table: str = ""
    target: str = ""
    columns: tuple[str, ...] = ()

    @property
    def structure(self) -> Structure:
        """What the program of these settings is compiled for."""
        # The statistics of batch norm are those of all rows, so that none may be padding.
        rows = self.batch if self.batch_norm else ROWS
        flags = (self.batch_norm, self.dropout > 0)
        # noisy_sgd draws its noise from one key per array of the parameters.
        layers = len(self.hidden) if self.optimizer == "noisy_sgd" else LAYERS
        return Structure(layers, self.optimizer, *flags, self.seeds, rows)

    @property
    def train_count(self) -> int:
        """The number of points in the training part."""
        return POINTS * self.share // 100


def slots(options: Options) -> tuple[str, ...]:
    """The names of the features of a data set."""
    components = options.data in DIGITS or (options.data == TABLE and not options.columns)
    return INPUTS if components else tuple(FEATURES)


def change(options: Options, changes: Any) -> Options:
    """The options with changes from a request.

    Raises:
      OptionsError: an unknown name, or a value of the wrong type or out of bounds.
    """
    if not isinstance(changes, Mapping):
        raise OptionsError(f"expected settings by name, but got {_short(changes)}; send an object")
    names = {field.name for field in fields(Options)}
    if unknown := changes.keys() - names:
        raise OptionsError(
            f"expected settings from {', '.join(sorted(names))}, but got "
            f"{_short(sorted(map(str, unknown))[0])}; leave it out"
        )
    options = replace(options, **{name: _value(name, value) for name, value in changes.items()})
    if options.data not in DATA[options.task]:
        if "data" in changes:
            raise OptionsError(
                f"{options.task} expects data from {', '.join(DATA[options.task])}, but got "
                f"{_short(options.data)}; choose one of them"
            )
        options = replace(options, data=DATA[options.task][0])
    names = slots(options)
    if not set(options.features) <= set(names):
        if "features" in changes:
            raise OptionsError(
                f"{options.data} expects features from {', '.join(names)}, but got "
                f"{_short(', '.join(options.features))}; choose one of them"
            )
        # The data set has other features: use all components for digits, else the two axes.
        options = replace(options, features=names if options.data in DIGITS else names[:2])
    return options


def _value(name: str, value: Any) -> Any:
    """The checked value of a setting, in the type of its field."""
    if name in CHOICES:
        return _one_of(name, value, CHOICES[name])
    if name in BOUNDS:
        return _number(name, value, *BOUNDS[name])
    if name in ("table", "target"):
        return _text(name, value)
    most = {"hidden": LAYERS, "columns": 2}.get(name, UNITS)
    if not isinstance(value, list | tuple) or len(value) > most:
        raise OptionsError(
            f"{name} expects a list of at most {most}, but got {_short(value)}; remove some"
        )
    if name == "hidden":
        return tuple(_one_of("a hidden layer", n, tuple(range(1, UNITS + 1))) for n in value)
    if name == "columns":
        columns = tuple(_text(name, column) for column in value)
        if len({*columns}) == 1:
            raise OptionsError("columns expects none or two, but got one; choose two columns")
        return columns
    if not value:
        raise OptionsError("features expects at least one, but got none; switch one on")
    names = (*FEATURES, *INPUTS)
    chosen = {_one_of("features", part, names) for part in value}
    return tuple(feature for feature in names if feature in chosen)


def _number(name: str, value: Any, low: float, high: float) -> float:
    whole = isinstance(low, int)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high or (whole and value != math.floor(value)):
        kind = "a whole number" if whole else "a number"
        raise OptionsError(
            f"{name} expects {kind} from {low} to {high}, but got {_short(value)}; move it"
        )
    return type(low)(value)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > NAME:
        raise OptionsError(
            f"{name} expects a name of at most {NAME} characters, but got {_short(value)}; "
            "choose it on the page"
        )
    return value


def _one_of(name: str, value: Any, choices: tuple) -> Any:
    for choice in choices:
        if type(value) is type(choice) and value == choice:
            return choice
    listed = ", ".join(map(str, choices))
    raise OptionsError(f"{name} expects one of {listed}, but got {_short(value)}; choose one")


def _short(value: Any) -> str:
    return printable(repr(value)[:60])
