"""The layer interface: a pair of pure functions, `init` and `apply`."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax

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
