"""The layer interface: a pair of pure functions, `init` and `apply`."""

import collections.abc
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, get_origin

import jax

from jaxnets.errors import LayerError

Array = jax.Array
Key = jax.Array
Params = dict[str, Any]  # trainable: nested dicts by layer name, arrays at the leaves
State = dict[str, Any]  # not trained: the same nesting, such as batch-norm statistics


class Init(Protocol):
    """Initialises the parameters and the state for an input."""

    def __call__(self, key: Key, x: Any, /) -> tuple[Params, State]:
        """Return `(params, state)`; only the shape and dtype of `x` matter."""
        ...


class Apply(Protocol):
    """Maps an input to an output, and the state to the updated state."""

    def __call__(
        self,
        params: Params,
        state: State,
        x: Any,
        /,
        *,
        key: Key | None = None,
        train: bool = False,
    ) -> tuple[Any, State]:
        """Return `(y, state)`; the structure of the state does not change."""
        ...


class Layer(NamedTuple):
    """A pair of pure functions.

    Attributes:
      init: `init(key, x) -> (params, state)`, where `x` is an example batch or a
        `jax.ShapeDtypeStruct`.
      apply: `apply(params, state, x, *, key=None, train=False) -> (y, state)`. `train` is a
        static bool; `key` is needed only in training, by layers that are stochastic.
    """

    init: Init
    apply: Apply

    if not TYPE_CHECKING:  # type checkers see no __call__

        def __call__(self, *arguments: Any, **options: Any) -> None:
            """Refuse a call: `apply` also needs the params and the state."""
            raise LayerError(
                "expected layer.apply(params, state, x), but a layer was called as a function; "
                "write y, state = layer.apply(params, state, x), with params, state = "
                "layer.init(key, x), or pass the layer to serial or network"
            )


def check_layer(where: str, value: Any) -> None:
    """Raise `LayerError` for what is not a layer, such as its constructor without a call."""
    if isinstance(value, Layer):
        return
    check_not_constructor(value)
    name = getattr(value, "__name__", type(value).__name__)
    kind = "the function" if callable(value) else "a value of type"
    cure = "write serial(...) around it" if callable(value) else "pass what dense(10) returns"
    raise LayerError(f"{where} expects a layer, but got {kind} {name}; {cure}")


def check_not_constructor(value: Any) -> None:
    """Raise `LayerError` for a function annotated to return a layer or a function."""
    returned = inspect.get_annotations(value).get("return") if callable(value) else None
    if returned in (Layer, "Layer"):
        _refuse_constructor(value, "a layer")
    if get_origin(returned) is collections.abc.Callable:
        _refuse_constructor(value, "a function")


def check_output(function: Callable[..., Any], y: Any) -> Any:
    """What a plain function returned; raises `LayerError` for a layer or another function."""
    if isinstance(y, Layer):
        _refuse_constructor(function, "a layer")
    if callable(y):
        _refuse_constructor(function, "a function")
    return y


def _refuse_constructor(function: Callable[..., Any], kind: str) -> None:
    name = getattr(function, "__name__", type(function).__name__)
    raise LayerError(
        f"expected a layer or a function of arrays, but got {name}, which returns {kind}; call it: "
        f"{name}(...)"
    )


def stateless(init: Callable[[Key, Any], Params], apply: Callable[[Params, Any], Any]) -> Layer:
    """A layer from `init(key, x) -> params` and `apply(params, x) -> y`.

    For layers that have no state, use no random key in `apply`, and do the same in training.
    """

    def init_without_state(key: Key, x: Any) -> tuple[Params, State]:
        return init(key, x), {}

    def apply_without_state(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        del key, train
        return apply(params, x), state

    return Layer(init_without_state, apply_without_state)
