"""Composition: passes names, keys and state from a network to its children."""

import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.core import Tracer

from jaxnets.dtypes import readable
from jaxnets.errors import LayerError, shapes_explained
from jaxnets.initialisation import KeysFirst
from jaxnets.keys import hash_name, stream
from jaxnets.layer import Key, Layer, Params, State, check_not_constructor, check_output

Function = Callable[[Any], Any]


def serial(*stages: Function | tuple[str, Layer | Function]) -> Layer:
    """A chain of stages, each applied to the output of the previous one.

    A stage is a plain function (`jax.nn.relu`, `flatten`) or a pair `("name", layer)`. A layer must
    have a name; a plain function may: `("relu1", relu)`.

    Raises:
      LayerError: a `Layer` without a name, two stages with the same name, or an invalid stage.
    """
    children: dict[str, Layer] = {}
    order: list[str | Function] = []
    for position, stage in enumerate(stages, start=1):
        if isinstance(stage, tuple) and not isinstance(stage, Layer) and len(stage) == 2:
            name, child = stage
            child = _as_layer(name, child)
            if name in children:
                raise LayerError(f"serial has two stages named {name!r}; rename one of them")
            children[name] = child
            order.append(name)
        elif callable(stage) and not isinstance(stage, Layer):
            check_not_constructor(stage)
            order.append(stage)
        else:
            raise LayerError(_invalid_stage_message(position, stage))

    @network(**children)
    def chain(x: Any, /, **child: Function) -> Any:  # so that a stage may be named "x"
        for stage in order:
            x = child[stage](x) if isinstance(stage, str) else check_output(stage, stage(x))
        return x

    return chain


def network(**children: Layer | Function) -> Callable[[Callable[..., Any]], Layer]:
    """A network from a forward function that calls named children in plain Python.

    The forward function takes the input and, by keyword, the children it calls; branches, skip
    connections and shared weights (call a child twice) are plain Python. The result is a `Layer`:

        @network(fc=dense(64), project=dense(64))
        def block(x, *, fc, project):
            return project(x) + jax.nn.relu(fc(x))

    Params and state are dicts by child name. A child's key is `fold_in(key, crc32(name))`; its
    nth repeated call also folds in n. A repeated call sees the state that the last one returned.

    Raises:
      LayerError: the names and the forward function's keywords differ, or a child is not a layer.
    """
    layers = {name: _as_layer(name, child) for name, child in children.items()}
    _check_hashes(layers)

    def connect(forward: Callable[..., Any]) -> Layer:
        _match_names(forward, layers)

        # The forward pass only provides the shape of each child's input. No parameter depends on
        # its values, so the compiler removes it and each child is initialised once at any depth.
        def initialise(key: Key, spec: tuple[Any, tuple]) -> tuple[Params, State, Any]:
            params, state = {}, {}

            def call(name: str, x: Any) -> Any:
                if name in params:
                    return layers[name].apply(params[name], state[name], x)[0]
                child = _init_with_output(layers[name], stream(key, name), x)
                params[name], state[name], y = child
                return y

            with shapes_explained(forward):
                y = forward(_zeros(spec), **_bind(layers, call))
            return _without_empty(params), _without_empty(state), y

        def apply(
            params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
        ) -> tuple[Any, State]:
            _check_param_names(params, layers)
            x = jax.tree.map(readable, x)
            state, calls = dict(state), Counter()

            def call(name: str, x: Any) -> Any:
                child_key = None if key is None else _call_key(key, name, calls[name])
                calls[name] += 1
                before = state.get(name, {})
                y, after = layers[name].apply(
                    params.get(name, {}), before, x, key=child_key, train=train
                )
                _check_state_structure(before, after)
                if before:
                    state[name] = after
                return y

            with shapes_explained(forward):
                return forward(x, **_bind(layers, call)), state

        return Layer(_Init(initialise), apply)

    return connect


class _Init:
    """The `init` of a layer from a function of a key and the static spec of an input.

    The function returns params, state and an output, which has the shapes of the layer's.
    """

    def __init__(self, initialise: Callable[[Key, tuple[Any, tuple]], tuple[Params, State, Any]]):
        self._part = jax.jit(initialise, static_argnums=1)  # for use inside another trace
        self._whole = cache(lambda spec: KeysFirst(lambda key: initialise(key, spec)[:2]))

    def __call__(self, key: Key, x: Any) -> tuple[Params, State]:
        if isinstance(key, Tracer) or isinstance(jnp.zeros(()), Tracer):
            return self.with_output(key, x)[:2]
        return self._whole(_spec(x))(key)

    def with_output(self, key: Key, x: Any) -> tuple[Params, State, Any]:
        """Params, state and the output, which spares the containing layer a forward pass."""
        return self._part(key, _spec(x))


def _init_with_output(layer: Layer, key: Key, x: Any) -> tuple[Params, State, Any]:
    if isinstance(layer.init, _Init):
        return layer.init.with_output(key, x)
    params, state = layer.init(key, x)
    return params, state, layer.apply(params, state, x)[0]


def _bind(layers: dict[str, Layer], call: Callable[[str, Any], Any]) -> dict[str, Function]:
    """The children as functions of x; each tags its output and adds its name to errors."""

    def bound(name: str, x: Any) -> Any:
        with jax.named_scope(name), _add_path_to_errors(name):
            return checkpoint_name(call(name, x), name)

    return {name: partial(bound, name) for name in layers}


@contextmanager
def _add_path_to_errors(name: str) -> Iterator[None]:
    try:
        yield
    except LayerError as error:
        error.path = (name, *error.path)
        raise
    except Exception as error:
        error.add_note(f"in layer {name!r}")
        raise


def _call_key(key: Key, name: str, call: int) -> Key:
    return stream(key, name, call) if call else stream(key, name)


def _as_layer(name: Any, child: Layer | Function) -> Layer:
    if not isinstance(name, str) or not name or "/" in name:
        raise LayerError(
            f"a layer's name must be a nonempty string without '/', but got {name!r}; rename it"
        )
    if isinstance(child, Layer):
        return child
    if not callable(child):
        raise LayerError(f"{name!r} must be a Layer or a function, but got {child!r}")
    check_not_constructor(child)
    return Layer(
        init=lambda key, x: ({}, {}),
        apply=lambda params, state, x, *, key=None, train=False: (
            check_output(child, child(x)),
            state,
        ),
    )


def _invalid_stage_message(position: int, stage: Any) -> str:
    message = f"serial expects functions and (name, layer) pairs, but stage {position} is "
    if isinstance(stage, Layer):
        return f'{message}a Layer without a name; write ("name", layer), as in ("fc1", dense(10))'
    if isinstance(stage, list):
        return f"{message}a list; unpack it: serial(*stages)"
    return f'{message}{stage!r}; write ("fc1", dense(10)) or a function such as jax.nn.relu'


def _match_names(forward: Callable[..., Any], layers: dict[str, Layer]) -> None:
    _, *rest = inspect.signature(forward).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in rest):
        return
    keywords = {p.name for p in rest}
    required = {p.name for p in rest if p.default is p.empty}
    name = getattr(forward, "__name__", "the forward function")
    if unused := layers.keys() - keywords:
        raise LayerError(
            f"network has {sorted(unused)}, which {name} does not take; "
            f"add the names to its keyword arguments, or remove them from network(...)"
        )
    if missing := required - layers.keys():
        raise LayerError(
            f"{name} takes {sorted(missing)}, but network(...) has only {sorted(layers)}; "
            f"add the missing children to network(...)"
        )


def _check_hashes(layers: dict[str, Layer]) -> None:
    by_hash: dict[int, str] = {}
    for name in layers:
        other = by_hash.setdefault(int(hash_name(name)), name)
        if other != name:
            raise LayerError(f"{other!r} and {name!r} have the same CRC-32; rename one of them")


def _check_param_names(params: Params, layers: dict[str, Layer]) -> None:
    if unexpected := params.keys() - layers.keys():
        raise LayerError(
            f"params have {sorted(unexpected)}, but the layers here are {sorted(layers)}; "
            f"pass the params that this model's init returned"
        )


def _check_state_structure(before: State, after: State) -> None:
    if (expected := _spec(before)) != (got := _spec(after)):
        raise LayerError(
            f"apply must return state with unchanged structure, shapes and dtypes, "
            f"{jax.tree.unflatten(*expected)}, but returned {jax.tree.unflatten(*got)}"
        )


def _spec(tree: Any) -> tuple[Any, tuple]:
    """Structure, shapes and dtypes in a hashable form."""
    leaves, structure = jax.tree.flatten(jax.tree.map(readable, tree))
    canonical = jax.dtypes.canonicalize_dtype
    return structure, tuple(
        jax.ShapeDtypeStruct(leaf.shape, canonical(leaf.dtype)) for leaf in leaves
    )


def _zeros(spec: tuple[Any, tuple]) -> Any:
    structure, leaves = spec
    return jax.tree.unflatten(structure, [jnp.zeros(leaf.shape, leaf.dtype) for leaf in leaves])


def _without_empty(tree: dict[str, Any]) -> dict[str, Any]:
    return {name: subtree for name, subtree in tree.items() if subtree}
