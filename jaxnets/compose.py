"""Composition: the one place where names, keys and state thread from a network to its parts."""

import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from jaxnets.dtypes import readable
from jaxnets.errors import LayerError
from jaxnets.keys import hash_name, stream
from jaxnets.layer import Key, Layer, Params, State

Function = Callable[[Any], Any]


def serial(*stages: Function | tuple[str, Layer | Function]) -> Layer:
    """A chain of stages, each fed the output of the one before.

    A stage is a plain function (`jax.nn.relu`, `flatten`) or a pair `("name", layer)`. What owns
    weights or draws chance must have a name; a plain function may: `("relu1", relu)`.

    Raises:
      LayerError: a bare `Layer`, two stages of one name, or something that is no stage.
    """
    children: dict[str, Layer] = {}
    order: list[str | Function] = []
    for position, stage in enumerate(stages, start=1):
        if isinstance(stage, tuple) and not isinstance(stage, Layer) and len(stage) == 2:
            name, child = stage
            child = _as_layer(name, child)
            if name in children:
                raise LayerError(f"serial has two stages named {name!r}; give each its own name")
            children[name] = child
            order.append(name)
        elif callable(stage):
            _refuse_constructor(stage)
            order.append(stage)
        else:
            raise LayerError(_not_a_stage(position, stage))

    @network(**children)
    def chain(x: Any, /, **child: Function) -> Any:  # so that a stage may be named "x"
        for stage in order:
            x = child[stage](x) if isinstance(stage, str) else stage(x)
        return x

    return chain


def network(**children: Layer | Function) -> Callable[[Callable[..., Any]], Layer]:
    """A network from a forward function that wires named children in plain Python.

    The forward function takes the input and, by keyword, the children it calls; branches, skips
    and shared weights (call a child twice) are ordinary code. The result is a `Layer`:

        @network(fc=dense(64), project=dense(64))
        def block(x, *, fc, project):
            return project(x) + jax.nn.relu(fc(x))

    Params and state are dicts by child name. A child's key is `fold_in(key, crc32(name))`; its
    nth further call also folds in n. A child called again sees the state its last call left.

    Raises:
      LayerError: the names and the forward function's keywords differ, or a child is no layer.
    """
    layers = {name: _as_layer(name, child) for name, child in children.items()}
    _refuse_equal_hashes(layers)

    def connect(forward: Callable[..., Any]) -> Layer:
        _match_names(forward, layers)

        # The forward pass only tells each child the shape of its input: no parameter depends on
        # its values, so the compiler removes it, and each child is initialised once however deep.
        @partial(jax.jit, static_argnums=1)
        def initialise(key: Key, spec: tuple[Any, tuple]) -> tuple[Params, State]:
            params, state = {}, {}

            def call(name: str, x: Any) -> Any:
                if name not in params:
                    params[name], state[name] = layers[name].init(stream(key, name), x)
                return layers[name].apply(params[name], state[name], x)[0]

            forward(_zeros(spec), **_bind(layers, call))
            return _without_empty(params), _without_empty(state)

        def init(key: Key, x: Any) -> tuple[Params, State]:
            return initialise(key, _spec(x))

        def apply(
            params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
        ) -> tuple[Any, State]:
            _refuse_strangers(params, layers)
            x = jax.tree.map(readable, x)
            state, calls = dict(state), Counter()

            def call(name: str, x: Any) -> Any:
                child_key = None if key is None else _call_key(key, name, calls[name])
                calls[name] += 1
                before = state.get(name, {})
                y, after = layers[name].apply(
                    params.get(name, {}), before, x, key=child_key, train=train
                )
                _refuse_other_structure(before, after)
                if before:
                    state[name] = after
                return y

            return forward(x, **_bind(layers, call)), state

        return Layer(init, apply)

    return connect


def _bind(layers: dict[str, Layer], call: Callable[[str, Any], Any]) -> dict[str, Function]:
    """The children as the forward function sees them: each output tagged, each error located."""

    def bound(name: str, x: Any) -> Any:
        with jax.named_scope(name), _located(name):
            return checkpoint_name(call(name, x), name)

    return {name: partial(bound, name) for name in layers}


@contextmanager
def _located(name: str) -> Iterator[None]:
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
        raise LayerError(f"a layer's name is a string without '/', but got {name!r}")
    if isinstance(child, Layer):
        return child
    if not callable(child):
        raise LayerError(f"{name!r} must be a Layer or a function, but got {child!r}")
    _refuse_constructor(child)
    return Layer(
        init=lambda key, x: ({}, {}),
        apply=lambda params, state, x, *, key=None, train=False: (child(x), state),
    )


def _refuse_constructor(function: Function) -> None:
    if inspect.get_annotations(function).get("return") in (Layer, "Layer"):
        name = function.__name__
        raise LayerError(f"{name} makes layers and is none itself; call it: {name}(...)")


def _not_a_stage(position: int, stage: Any) -> str:
    wrong = f"serial expects functions and (name, layer) pairs, but stage {position} is "
    if isinstance(stage, Layer):
        return f'{wrong}a Layer without a name; write ("name", layer), as in ("fc1", dense(10))'
    return f'{wrong}{stage!r}; write ("fc1", dense(10)) or a function such as jax.nn.relu'


def _match_names(forward: Callable[..., Any], layers: dict[str, Layer]) -> None:
    _, *rest = inspect.signature(forward).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in rest):
        return
    asked = {p.name for p in rest}
    needed = {p.name for p in rest if p.default is p.empty}
    name = getattr(forward, "__name__", "the forward function")
    if unused := layers.keys() - asked:
        raise LayerError(
            f"network has {sorted(unused)}, which {name} does not ask for; "
            f"add the names to its keyword arguments, or take them out of network(...)"
        )
    if missing := needed - layers.keys():
        raise LayerError(
            f"{name} asks for {sorted(missing)}, which network(...) does not have; "
            f"it has {sorted(layers)}"
        )


def _refuse_equal_hashes(layers: dict[str, Layer]) -> None:
    by_hash: dict[int, str] = {}
    for name in layers:
        other = by_hash.setdefault(int(hash_name(name)), name)
        if other != name:
            raise LayerError(f"{other!r} and {name!r} have the same CRC-32; rename one of them")


def _refuse_strangers(params: Params, layers: dict[str, Layer]) -> None:
    if strangers := params.keys() - layers.keys():
        raise LayerError(
            f"params hold {sorted(strangers)}, but the layers here are {sorted(layers)}; "
            f"pass the params that this model's init returned"
        )


def _refuse_other_structure(before: State, after: State) -> None:
    if (expected := _spec(before)) != (got := _spec(after)):
        raise LayerError(
            f"apply must return state as it came, {jax.tree.unflatten(*expected)}, "
            f"but returned {jax.tree.unflatten(*got)}"
        )


def _spec(tree: Any) -> tuple[Any, tuple]:
    """Structure, shapes and dtypes, in a form that can be hashed and compared."""
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
