"""The contract: a layer is two pure functions, `init` and `apply`."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax

Array = jax.Array
Key = jax.Array
Params = dict[str, Any]  # what is trained: nested dicts by layer name, arrays at the leaves
State = dict[str, Any]  # what is remembered: the same nesting, such as batch-norm statistics


class Init(Protocol):
    """Makes the parameters and the state that suit an input."""

    def __call__(self, key: Key, x: Any, /) -> tuple[Params, State]:
        """Return `(params, state)`; only the shape and dtype of `x` matter."""
        ...


class Apply(Protocol):
    """Maps an input to an output, and the state before to the state after."""

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
        """Return `(y, state)`, the state in the structure it came in."""
        ...


class Layer(NamedTuple):
    """A pair of pure functions.

    Attributes:
      init: `init(key, x) -> (params, state)`, where `x` is an example batch or a
        `jax.ShapeDtypeStruct`.
      apply: `apply(params, state, x, *, key=None, train=False) -> (y, state)`. `train` is a
        static bool; `key` is needed only where a layer draws chance in training.
    """

    init: Init
    apply: Apply


def stateless(init: Callable[[Key, Any], Params], apply: Callable[[Params, Any], Any]) -> Layer:
    """The layer of `init(key, x) -> params` and `apply(params, x) -> y`.

    For a layer that has no state, uses no random key, and does the same in training.
    """

    def init_without_state(key: Key, x: Any) -> tuple[Params, State]:
        return init(key, x), {}

    def apply_without_state(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        del key, train
        return apply(params, x), state

    return Layer(init_without_state, apply_without_state)
