"""Checks of single arguments of public functions: converts them, or raises one-line errors."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.arrays import in_range
from jaxnets.checks import as_integers
from jaxnets.errors import RunError
from jaxnets.layer import Key, Layer
from jaxnets.metrics import Metric

P = ParamSpec("P")
R = TypeVar("R")

OPTIMIZER_CURE = (
    "pass optax.adam(1e-3); for a traced learning rate write lambda hparams: "
    'make_train_step(model, optax.adam(hparams["learning_rate"]), loss)'
)


def data_as_pair(f: Callable[P, R]) -> Callable[P, R]:
    """Decorate `f` to refuse inputs and labels that are passed as two arguments."""
    positional = [
        p.name
        for p in inspect.signature(f).parameters.values()
        if p.kind is p.POSITIONAL_OR_KEYWORD
    ]

    @functools.wraps(f)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        if len(args) > len(positional) or kwargs.keys() & positional[: len(args)]:
            raise RunError(
                f"{f.__name__} expects at most the positional arguments {', '.join(positional)}, "
                f"but got {len(args)} and {sorted(kwargs)} by keyword; pass inputs and labels as "
                "one pair (x, y), and the rest by keyword"
            )
        return f(*args, **kwargs)

    return checked


def count(where: str, name: str, value: Any) -> int:
    """A positive integer of Python or NumPy, as an `int`."""
    return as_integers(where, error=RunError, **{name: value})[0]


def single_key(where: str, key: Any) -> Key:
    """One typed key; wraps raw key data such as that of `jax.random.PRNGKey`."""
    key = _typed(where, key)
    if key.shape != ():
        raise RunError(
            f"{where} expects a single key, but got keys of shape {key.shape}; pass keys[0], or "
            "train a population with fit_population"
        )
    return key


def member_keys(where: str, keys: Any) -> Key:
    """Typed keys (N,); wraps raw key data (N, ...)."""
    keys = _typed(where, keys, "jax.random.split(jax.random.key(0), n), one key per member")
    if keys.ndim != 1:
        raise RunError(
            f"{where} expects keys of shape (N,), one per member, but got the shape {keys.shape}; "
            "jax.random.split(key, n) returns n keys"
        )
    return keys


def _typed(where: str, key: Any, cure: str = "jax.random.key(0)") -> Key:
    if isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return key
    got = repr(key)
    if isinstance(key, jax.Array | np.ndarray):
        raw = jax.random.key_data(jax.random.key(0))
        if key.dtype == raw.dtype and key.shape[-1:] == raw.shape:
            return jax.random.wrap_key_data(jnp.asarray(key))
        got = f"{key.dtype}{list(key.shape)}"
    raise RunError(f"{where} expects a random key, but got {got}; pass {cure}")


def as_arrays(where: str, name: str, tree: Any) -> Any:
    """The hyperparameters as arrays, so that new values do not recompile."""

    def leaf(path: Any, value: Any) -> jax.Array:
        array = np.asarray(value)
        leaf_name = name + jax.tree_util.keystr(path)
        if not (jnp.issubdtype(array.dtype, jnp.number) or array.dtype == bool):
            raise RunError(
                f"{where} expects {leaf_name} to be a number, but got {value!r}; only numbers can "
                "be traced: choose anything else where you build the model or the optimizer"
            )
        if not in_range(array):
            raise RunError(
                f"{where} expects {leaf_name} in the range of the 32 bits that JAX computes in, "
                f"but got {value!r}; scale it"
            )
        return jax.device_put(array)

    return jax.tree_util.tree_map_with_path(leaf, tree)


def check_parts(model: Any, optimizer: Any, compute_dtype: Any, **functions: Any) -> None:
    """Refuse arguments of `make_train_step` that have the wrong type."""
    if not isinstance(model, Layer):
        called = f"call it, {_name_of(model)}(...), or " * inspect.isfunction(model)
        raise TypeError(
            f"make_train_step expects a model, a Layer, but got {_short_repr(model)}; {called}"
            "combine layers with serial(...)"
        )
    check_optimizer("make_train_step", optimizer)
    for name, (function, cure) in functions.items():
        if function is not None and not callable(function):
            raise TypeError(
                f"make_train_step expects {name} to be a function, but got "
                f"{_short_repr(function)}; {cure}"
            )
    if compute_dtype is not None:
        _check_dtype(compute_dtype)


def check_optimizer(where: str, optimizer: Any) -> None:
    """Refuse anything that is not an optax transformation."""
    if not _is_optimizer(optimizer):
        if _is_optax_function(optimizer):
            raise TypeError(
                f"{where} expects an optimizer, but got the function {_name_of(optimizer)} without "
                f"a call; {OPTIMIZER_CURE}"
            )
        raise TypeError(
            f"{where} expects an optax optimizer, but got {_short_repr(optimizer)}; "
            f"{OPTIMIZER_CURE}"
        )


def check_metrics(where: str, metrics: Any) -> dict[str, Metric]:
    """The metrics by name, each a `Metric`."""
    example = 'metrics={"accuracy": metrics.accuracy}'
    if not isinstance(metrics, Mapping):
        raise TypeError(
            f"{where} expects metrics as a dict from names to metrics, but got "
            f"{_short_repr(metrics)}; write {example}"
        )
    for name, metric in metrics.items():
        if not isinstance(name, str) or name == "objective":
            raise TypeError(
                f"{where} expects a metric's name to be a string other than 'objective', which "
                f"names what a step minimizes, but got {name!r}; rename it"
            )
        if not isinstance(metric, Metric):
            cure = f"write {example}"
            if callable(metric):
                cure = (
                    f"write metrics.mean({_name_of(metric)}) if it returns one number per example, "
                    "or call it if it returns a metric"
                )
            raise TypeError(
                f"{where} expects a Metric for {name!r}, but got {_short_repr(metric)}; {cure}"
            )
    return dict(metrics)


def build_train_step(function: Callable[[Any], Any], hparams: Any) -> Any:
    """The train step that `function(hparams)` returns.

    Raises:
      RunError: it returns something else, or `hparams` are missing or lack a name.
    """
    name = _name_of(function)
    if _is_optax_function(function):
        raise RunError(
            f"{name}(hparams) should return a train step, but returns an optimizer; pass lambda "
            f'hparams: make_train_step(model, optax.{name}(hparams["learning_rate"]), loss)'
        )
    try:
        train_step = function(hparams)
    except KeyError as error:
        if not isinstance(hparams, Mapping) or not error.args or error.args[0] in hparams:
            raise
        raise RunError(
            f"{name} reads hparams[{error.args[0]!r}], but hparams has {sorted(hparams)}; add it"
        ) from error
    except (TypeError, AttributeError, ValueError) as error:
        text = str(error).partition("\n")[0]
        if hparams is not None or not ("None" in text or "missing" in text):
            raise
        raise RunError(
            f"{name} is a function of the hyperparameters, but hparams is None ({text}); pass "
            'hparams={...} with the numbers that it reads, such as {"learning_rate": 1e-3}'
        ) from error
    if not hasattr(train_step, "init") or not callable(train_step):
        raise RunError(
            f"{name}(hparams) should return a train step, but returned {_short_repr(train_step)}; "
            "return make_train_step(model, optimizer, loss)"
        )
    return train_step


def _check_dtype(compute_dtype: Any) -> None:
    try:
        dtype = jnp.dtype(compute_dtype)
        valid = (
            jnp.issubdtype(dtype, jnp.floating) and jax.dtypes.canonicalize_dtype(dtype) == dtype
        )
    except TypeError:
        valid = False
    if not valid:
        raise TypeError(
            "make_train_step expects compute_dtype to be a floating-point dtype that JAX computes "
            f"in, but got {_short_repr(compute_dtype)}; pass jnp.bfloat16, or leave it out to use "
            "the params' dtype"
        )


def _is_optax_function(value: Any) -> bool:
    """Whether the value is a function of optax that was not called."""
    module = getattr(getattr(value, "func", value), "__module__", None) or ""
    return callable(value) and module.startswith("optax")


def _is_optimizer(value: Any) -> bool:
    return callable(getattr(value, "init", None)) and callable(getattr(value, "update", None))


def _name_of(value: Any) -> str:
    return getattr(getattr(value, "func", value), "__name__", type(value).__name__)


def _short_repr(value: Any) -> str:
    """The value's repr, or its type if that is long."""
    text = repr(value)
    if isinstance(value, Metric | Layer) or len(text) > 60 or "\n" in text:
        return f"a {type(value).__name__}"
    return f"the function {_name_of(value)}" if inspect.isfunction(value) else text
