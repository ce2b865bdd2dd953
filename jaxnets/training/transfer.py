"""Transfer learning: merge pretrained weights, and choose by name which are trained or frozen."""

from collections.abc import Hashable, Mapping
from typing import Any

import jax
import optax

from jaxnets.errors import LayerError, RunError
from jaxnets.layer import Key, Layer, Params, State, check_layer
from jaxnets.trees import Names, check_names, flatten_names, matches, unflatten_names


def merge_params(into: Params, source: Params, names: Names) -> Params:
    """`into`, with those leaves whose path matches `names` replaced by the leaves of `source`.

    To put a new head on a pretrained body: `merge_params(new, pretrained, "^(?!head/)")`, once for
    the params and, with batch norm, once for the model state. Nothing is cast or dropped: the
    matching leaves must have the same names, shapes and dtypes in both trees.

    Args:
      into: nested dicts of arrays, which are not modified.
      source: nested dicts of arrays of another model, or from `interop.safetensors.load`.
      names: a regular expression that is searched in a leaf's path, or a predicate of the path.

    Raises:
      LayerError: no name matches, or leaves do not fit; lists all of them.
    """
    replaced, replacements = (
        {path: leaf for path, leaf in flatten_names(tree).items() if matches(names, path)}
        for tree in (into, source)
    )
    if not replaced and not replacements:
        raise LayerError(f"no name matches {names!r}; there are {sorted(flatten_names(into))}")
    check_names(unflatten_names(replacements), unflatten_names(replaced))
    return unflatten_names(flatten_names(into) | replacements)


def partition_by_name(
    rules: Mapping[str, optax.GradientTransformation]
    | Mapping[Names, optax.GradientTransformation],
    default: optax.GradientTransformation,
) -> optax.GradientTransformation:
    """Different optimizers for different parameters: `optax.partition` by path.

    A parameter is updated by the first rule that matches its path, or else by `default`. With
    `optimizer = optax.adam(1e-3)`, to freeze one stage and train the next at a tenth of the rate:

        partition_by_name(
            {
                "^stage1/": optax.set_to_zero(),
                "^stage2/": optax.chain(optimizer, optax.scale(0.1)),
            },
            default=optimizer,
        )

    Discriminative fine-tuning (Howard & Ruder 2018, section 3.2) has one rule per layer, each with
    1 / 2.6 of the rate of the layer above. Frozen parameters do not freeze a layer's state: see
    `inference_mode`.

    Args:
      rules: optimizers by a regular expression that is searched in a parameter's path, or by a
        predicate of the path.
      default: the optimizer of all other parameters.

    Raises:
      RunError: a rule has no parameters, which `init` checks; lists the paths of all parameters.
    """
    transformations: dict[Hashable, optax.GradientTransformation]
    transformations = dict(enumerate((*rules.values(), default)))

    def rule_of(path: tuple, _: Any) -> int:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        return next((i for i, names in enumerate(rules) if matches(names, name)), len(rules))

    def labels(params: Any) -> Any:
        labels = jax.tree_util.tree_map_with_path(rule_of, params)
        used = set(jax.tree.leaves(labels))
        if unused := [names for i, names in enumerate(rules) if i not in used]:
            raise RunError(
                "partition_by_name expects each rule to match a parameter that no earlier rule "
                f"matches, but {unused} match none; there are {sorted(flatten_names(params))}"
            )
        return labels

    return optax.partition(transformations, labels)


def inference_mode(layer: Layer) -> Layer:
    """The layer with `train=False` always, in training too; its parameter names do not change.

    Batch norm uses its running statistics and does not update them; dropout is the identity. The
    params still get gradients: to freeze them, use `partition_by_name`.

    Raises:
      LayerError: what is passed is not a layer.
    """
    check_layer("inference_mode", layer)

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        del key, train
        return layer.apply(params, state, x)

    return Layer(layer.init, apply)
