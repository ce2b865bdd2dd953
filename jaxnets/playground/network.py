"""The network of the page, with traced sizes: every layer has 8 units, some of them masked."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.nn.initializers import variance_scaling

from jaxnets import losses
from jaxnets.compose import serial
from jaxnets.keys import hash_name, stream
from jaxnets.layer import Array, Key, Layer, Params, State
from jaxnets.layers import batch_norm, dense, dropout
from jaxnets.playground.optimizers import ELEMENTWISE, make_optimizer
from jaxnets.playground.options import (
    ACTIVATIONS,
    CLASSES,
    LAYERS,
    UNITS,
    Options,
    Structure,
    slots,
)
from jaxnets.training import TrainStep, make_train_step


def hparams_of(options: Options, outputs: int = 1) -> dict[str, Any]:
    """The inputs of the program that are not data, the same for all seeds.

    Args:
      options: the settings.
      outputs: of the network: 1, or the number of classes.
    """
    rates = {kind: options.penalty_rate * (options.penalty == kind) for kind in ("L1", "L2")}
    units = np.zeros((LAYERS, UNITS), bool)
    for mask, width in zip(units, options.hidden, strict=False):
        mask[:width] = True
    features = np.zeros(UNITS, bool)
    features[[slots(options).index(name) for name in options.features]] = True
    return {
        "rate": np.float32(options.rate),
        "l1": np.float32(rates["L1"]),
        "l2": np.float32(rates["L2"]),
        "dropout": np.float32(options.dropout),
        "features": features,
        "units": units,
        "last": units[len(options.hidden) - 1] if options.hidden else features,
        "outputs": np.arange(CLASSES) < outputs,
        "activation": np.int32(list(ACTIVATIONS).index(options.activation)),
        "regression": np.bool_(options.task == "regression"),
    }


class Model(NamedTuple):
    """The network; each parameter of the hidden layers has a leading axis of layers.

    Attributes:
      structure: what is compiled.
      hparams: the inputs of the program, which may be traced.
      depth: the number of hidden layers if static: they are unrolled, so that `explain` can name
        them; else they are scanned, which compiles a single layer.
    """

    structure: Structure
    hparams: dict[str, Any]
    depth: int | None = None

    def init(self, key: Key, x: Array) -> tuple[Params, State]:
        """The variables, with the random numbers of `serial` with "hidden1", ..., "head"."""
        head, _ = self.head.init(stream(key, "head"), x)
        if not self.structure.layers:
            return {"head": head}, {}
        each = jax.vmap(lambda key, *masks: self.hidden(*masks).init(key, x))
        params, state = each(self._keys(key), *self.masks)
        return {"hidden": params, "head": head}, {"hidden": state} if state else {}

    def apply(
        self, params: Params, state: State, x: Array, *, key: Key | None = None, train: bool = False
    ) -> tuple[Array, State]:
        """The outputs (n, 10), and the state after them."""
        outputs, _, state = self.forward(params, state, x, key=key, train=train)
        return outputs, state

    def forward(
        self, params: Params, state: State, x: Array, *, key: Key | None = None, train: bool = False
    ) -> tuple[Array, Array, State]:
        """The outputs (n, 10), those of the hidden layers (layers, n, 8), and the state."""
        x, hidden = jnp.where(self.hparams["features"], x, 0), jnp.zeros((0, *x.shape))
        if self.structure.layers:
            x, hidden, after = self._stack(params["hidden"], state.get("hidden", {}), x, key, train)
            state = {"hidden": after} if after else {}
        with jax.named_scope("head"):
            return self.head.apply(params["head"], {}, x)[0], hidden, state

    def _stack(self, params: Params, state: State, x: Array, key: Any, train: bool) -> Any:
        keys = None if key is None else self._keys(key)

        def one(x: Array, inputs: Any) -> Any:
            params, state, key, masks = inputs
            layer = self.hidden(*masks)
            layer = layer if self.depth is not None else skippable(masks[1].any(), layer)
            x, state = layer.apply(params, state, x, key=key, train=train)
            return x, (x, state)

        inputs = (params, state, keys, self.masks)
        if self.depth is None:
            x, (hidden, state) = jax.lax.scan(one, x, inputs)
            return x, hidden, state
        parts = []
        for i in range(self.depth):
            with jax.named_scope(f"hidden{i + 1}"):
                x, part = one(x, jax.tree.map(lambda leaf, i=i: leaf[i], inputs))
            parts.append(part)
        hidden, after = jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)
        rest = jax.tree.map(lambda a, b: jnp.concatenate([a, b[self.depth :]]), after, state)
        return x, hidden, rest

    def _keys(self, key: Key) -> Key:
        """The keys that `serial` gives the hidden layers."""
        names = [f"hidden{i}" for i in range(1, self.structure.layers + 1)]
        return jax.vmap(jax.random.fold_in, (None, 0))(key, np.array([*map(hash_name, names)]))

    @property
    def masks(self) -> tuple[Array, Array]:
        """The units before and after each hidden layer."""
        units = self.hparams["units"][: self.structure.layers]
        return jnp.concatenate([self.hparams["features"][None], units])[:-1], units

    def hidden(self, before: Array, after: Array) -> Layer:
        """A hidden layer with these units before and after it."""
        layers: list[Any] = [("fc", dense(UNITS, kernel_init=masked(before, after)))]
        layers += [("norm", batch_norm())] if self.structure.batch_norm else []
        layers += [partial(_activate, self.hparams["activation"], after)]
        layers += [("drop", dropout(self.hparams["dropout"]))] if self.structure.dropout else []
        return serial(*layers)

    @property
    def head(self) -> Layer:
        """As many outputs as there are classes; the others of 10 are masked."""
        kernel_init = masked(self.hparams["last"], self.hparams["outputs"])
        return dense(CLASSES, kernel_init=kernel_init)


def separate(params: Params) -> Params:
    """The parameters by layer, "hidden1" and so on, as in `serial`."""
    rest = {name: value for name, value in params.items() if name != "hidden"}
    stacked = params.get("hidden", {})
    layers = len(jax.tree.leaves(stacked)[0]) if stacked else 0
    each = [jax.tree.map(lambda leaf, i=i: leaf[i], stacked) for i in range(layers)]
    return {f"hidden{i}": layer for i, layer in enumerate(each, 1)} | rest


def stacked(params: Params) -> Params:
    """The inverse of `separate`."""
    layers = [params[f"hidden{i}"] for i in range(1, len(params))]
    hidden = jax.tree.map(lambda *leaves: jnp.stack(leaves), *layers) if layers else {}
    return ({"hidden": hidden} if layers else {}) | {"head": params["head"]}


def skippable(used: Array, layer: Layer) -> Layer:
    """The layer, or the identity if `used`, which may be traced, is false."""

    def apply(
        params: Params, state: State, x: Array, *, key: Key | None = None, train: bool = False
    ) -> tuple[Array, State]:
        return jax.lax.cond(
            used,
            lambda params, state, x: layer.apply(params, state, x, key=key, train=train),
            lambda params, state, x: (x, state),
            *(params, state, x),
        )

    return Layer(layer.init, apply)


def make_step(structure: Structure, hparams: dict[str, Any], depth: int | None = None) -> TrainStep:
    """The train step: half the squared error, or the cross-entropy of one logit or of several."""
    model = Model(structure, hparams, depth)
    optimizer = make_optimizer(structure.optimizer, hparams["rate"])
    if structure.optimizer not in ELEMENTWISE:
        optimizer = by_layer(optimizer)
    return make_train_step(
        Layer(model.init, model.apply),
        optimizer,
        partial(loss, hparams),
        penalty=lambda params: losses.l1_l2(params, hparams["l1"], hparams["l2"]),
    )


def by_layer(optimizer: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """The optimizer, applied to each layer's arrays separately instead of to the stacked ones."""
    inner = optax.with_extra_args_support(optimizer)

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        updates, state = inner.update(separate(updates), state, separate(params), **extra)
        return stacked(updates), state

    def init(params: Any) -> Any:
        return inner.init(separate(params))

    return optax.GradientTransformationExtraArgs(init, update)


def loss(hparams: dict[str, Any], outputs: Array, labels: Array) -> Array:
    """The loss of each point, (n,), of outputs (n, 10) and labels (n, 1)."""
    regression = hparams["regression"]
    error = losses.half_squared_error(outputs[:, :1], labels)
    numbers = jnp.where(regression, 0, labels[:, 0]).astype(jnp.int32)
    cross_entropy = losses.softmax_cross_entropy(logits(hparams, outputs), numbers)
    return jnp.where(regression, error, cross_entropy)


def logits(hparams: dict[str, Any], outputs: Array) -> Array:
    """The scores of classes, -inf for those that do not exist.

    A single output is the logit of class 1 of two, where class 0 has the logit 0:
    softmax(0, u) = (1 - sigmoid(u), sigmoid(u)).
    """
    number = hparams["outputs"].sum()
    two = jnp.where(jnp.arange(CLASSES) == 1, outputs[..., :1], 0)
    scores = jnp.where(number > 1, outputs, two)
    return jnp.where(jnp.arange(CLASSES) < jnp.maximum(number, 2), scores, -jnp.inf)


def masked(inputs: Array, outputs: Array) -> Callable[..., Array]:
    """LeCun's initialisation, which counts only inputs that are used; 0 for other weights."""

    def init(key: Any, shape: Any, dtype: Any = jnp.float32) -> Array:
        scale = len(inputs) / inputs.sum()
        kernel = variance_scaling(scale, "fan_in", "truncated_normal")(key, shape, dtype)
        return jnp.where(inputs[:, None] & outputs[None], kernel, 0)

    return init


@jax.custom_jvp
def _activate(kind: Array, mask: Array, x: Array) -> Array:
    """The activation of this number in ACTIVATIONS, by selection: a branch compiles longer."""
    values = (jnp.tanh(x), jax.nn.relu(x), jax.nn.sigmoid(x))
    chosen = jnp.select([kind == i for i in range(3)], values, x)
    return jnp.where(mask, chosen, 0)


@_activate.defjvp
def _activate_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    """The derivative of each activation is a function of its output alone."""
    kind, mask, x = primals
    y = _activate(kind, mask, x)
    slopes = (1 - y**2, (y > 0).astype(y.dtype), y * (1 - y))
    slope = jnp.select([kind == i for i in range(3)], slopes, 1)
    return y, jnp.where(mask, slope, 0) * tangents[2]
