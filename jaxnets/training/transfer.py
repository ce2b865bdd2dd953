"""Moving to new data: weights from another model, and which of them move on, by name."""

from collections.abc import Hashable, Mapping
from typing import Any

import jax
import optax

from jaxnets.errors import LayerError, RunError
from jaxnets.layer import Key, Layer, Params, State
from jaxnets.trees import Names, check_names, flatten_names, matches, unflatten_names


def merge_params(into: Params, source: Params, names: Names) -> Params:
    """`into` with the leaves of `source` where the path matches `names`.

    A trained body under a new head is `merge_params(new, trained, "^(?!head/)")`; once for the
    params and, with batch norm, once for the model state. Nothing is cast or left out: both trees
    must have the same names among those that match, in the same shapes and dtypes.

    Args:
      into: nested dicts of arrays; it is left as it is.
      source: the same of another model, or from `interop.safetensors.load`.
      names: a regular expression to find in a leaf's path, or a predicate of it.

    Raises:
      LayerError: no name matches, or leaves do not fit, every one listed.
    """
    ours, theirs = (
        {path: leaf for path, leaf in flatten_names(tree).items() if matches(names, path)}
        for tree in (into, source)
    )
    if not ours and not theirs:
        raise LayerError(f"no name matches {names!r}; there are {sorted(flatten_names(into))}")
    check_names(unflatten_names(theirs), unflatten_names(ours))
    return unflatten_names(flatten_names(into) | theirs)


def partition_by_name(
    rules: Mapping[str, optax.GradientTransformation]
    | Mapping[Names, optax.GradientTransformation],
    default: optax.GradientTransformation,
) -> optax.GradientTransformation:
    """An optimizer for some parameters, another for others: `optax.partition` by path.

    The first rule that matches a parameter has it, and `default` has those that none does. With
    `optimizer = optax.adam(1e-3)`, to freeze one stage and slow the next to a tenth of the rate:

        partition_by_name(
            {
                "^stage1/": optax.set_to_zero(),
                "^stage2/": optax.chain(optimizer, optax.scale(0.1)),
            },
            default=optimizer,
        )

    Discriminative rates (Howard & Ruder 2018, section 3.2) are a rule a layer, each with 1 / 2.6
    of the rate of the layer above it. Freezing leaves a layer's state alone: for that, see
    `inference_mode`.

    Args:
      rules: by regular expression to find in a parameter's path, or predicate of it, what treats
        those that match.
      default: what treats the rest.

    Raises:
      RunError: when it meets the params, a rule that gets none of them, with their paths.
    """
    transformations: dict[Hashable, optax.GradientTransformation]
    transformations = dict(enumerate((*rules.values(), default)))

    def rule_of(path: tuple, _: Any) -> int:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        return next((i for i, names in enumerate(rules) if matches(names, name)), len(rules))

    def labels(params: Any) -> Any:
        labels = jax.tree_util.tree_map_with_path(rule_of, params)
        used = set(jax.tree.leaves(labels))
        if idle := [names for i, names in enumerate(rules) if i not in used]:
            raise RunError(
                "partition_by_name expects each rule to match a parameter that none before it "
                f"does, but {idle} do not; there are {sorted(flatten_names(params))}"
            )
        return labels

    return optax.partition(transformations, labels)


def inference_mode(layer: Layer) -> Layer:
    """The layer as it is in evaluation, in training too; its names are unchanged.

    Batch norm normalises with its running statistics and leaves them as they are; dropout drops
    nothing. Its params still get gradients: which of them move is the optimizer's affair.
    """

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        del key, train
        return layer.apply(params, state, x)

    return Layer(layer.init, apply)
