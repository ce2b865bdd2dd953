"""Errors for models that are built or used wrongly: expected, got, where and the cure."""

import inspect
import re

import jax
import jax.numpy as jnp
import pytest
from cases import CASES
from helpers import normal

from jaxnets import (
    Layer,
    LayerError,
    batch_norm,
    conv,
    dense,
    each_step,
    layers,
    models,
    network,
    recurrent,
    scan_over_time,
    serial,
    spectral_norm,
    weight_norm,
)
from jaxnets.inspect import receptive_field, summary
from jaxnets.training import inference_mode

x = normal(2, 3)


def forward(x, *, a):
    return a(x)


INVALID = {
    "a layer without a name": (
        lambda: serial(jnp.tanh, dense(1)),
        r"\(name, layer\) pairs, but stage 2 is a Layer without a name; write \(\"name\", layer\)",
    ),
    "an invalid stage": (lambda: serial(3), r"stage 1 is 3; write \(\"fc1\", dense\(10\)\)"),
    "a list of stages": (lambda: serial([dense(1)]), r"stage 1 is a list; unpack it: serial\(\*"),
    "a tuple of three": (lambda: serial(("a", dense(1), 3)), r"stage 1 is \('a', .* write"),
    "two stages with the same name": (
        lambda: serial(("a", dense(1)), ("a", dense(1))),
        "two stages named 'a'; rename one of them",
    ),
    "names with the same hash": (
        lambda: serial(("plumless", dense(1)), ("buckeroo", dense(1))),
        "'plumless' and 'buckeroo' have the same CRC-32; rename",
    ),
    "a constructor as a stage": (
        lambda: serial(dense),
        r"got dense, which returns a layer; call it: dense\(",
    ),
    "a constructor with a name": (lambda: serial(("a", dense)), r"call it: dense\("),
    "a constructor in a network": (lambda: network(a=dense), r"call it: dense\("),
    "a name with a slash": (lambda: serial(("a/b", dense(1))), "string without '/', but got 'a/b'"),
    "an empty name": (lambda: serial(("", dense(1))), "string without '/', but got ''"),
    "a name that is not a string": (
        lambda: serial((1, dense(1))),
        "a nonempty string .* but got 1",
    ),
    "a child that is not a layer": (
        lambda: network(a=3),
        "'a' must be a Layer or a function, but got 3",
    ),
    "a child that is not used": (
        lambda: network(a=dense(1), b=dense(1))(forward),
        r"\['b'\], which forward does not take; add .* or remove them",
    ),
    "a missing child": (
        lambda: network()(forward),
        r"forward takes \['a'\], but network\(...\) has only \[\]; add the missing",
    ),
}


# Public functions of layers that map arrays; all others return a layer or such a function.
OF_ARRAYS = ("dot_product_attention", "flatten", "global_avg_pool", "global_max_pool", "heaviside")
OF_ARRAYS += ("last_step", "max_over_time", "mean_over_time")
WRAPPERS = ("each_step",)  # returns what it is given: a layer or a function
NOT_MODELS = ("Pretrained", "generate", "pretrained")
CONSTRUCTORS = {
    name: getattr(module, name)
    for module, others in ((layers, OF_ARRAYS + WRAPPERS), (models, NOT_MODELS))
    for name in module.__all__
    if name not in others
}


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_a_constructor_in_place_of_a_layer_is_refused_with_the_call(name):
    make = CONSTRUCTORS[name]
    for build in (
        lambda: serial(make),
        lambda: serial(("a", make)),
        lambda: network(a=make),
        lambda: each_step(make),
    ):
        with pytest.raises(LayerError, match=rf"^expected .*got {name}, .*call it: {name}\(...\)$"):
            build()


def undeclared(features):
    return dense(3)


@pytest.mark.parametrize("stage", [undeclared, ("a", undeclared)], ids=["plain", "named"])
def test_a_constructor_without_types_is_refused_where_it_returns_a_layer(stage):
    message = r"got undeclared, which returns a layer; call it: undeclared\(...\)"
    with pytest.raises(LayerError, match=message):
        serial(stage).init(jax.random.key(0), x)
    with pytest.raises(LayerError, match="got <lambda>, which returns a function; call it"):
        serial(lambda x: jnp.mean).init(jax.random.key(0), x)


@pytest.mark.parametrize(
    "wrap",
    [
        weight_norm,
        spectral_norm,
        inference_mode,
        lambda layer: recurrent(layer, jnp.zeros_like),
        lambda layer: scan_over_time(layer, jnp.zeros_like),
        lambda layer: summary(layer, x),
        lambda layer: receptive_field(layer, normal(1, 4, 4, 1)),
    ],
)
def test_functions_of_a_layer_refuse_its_constructor_and_anything_else(wrap):
    for wrong, message in (
        (dense, r"got dense, which returns a layer; call it: dense\(...\)$"),
        (jnp.tanh, r"expects a layer, but got the function tanh; write serial\(...\) around it$"),
        (3, r"expects a layer, but got a value of type int; pass what dense\(10\) returns$"),
    ):
        with pytest.raises(LayerError, match=message):
            wrap(wrong)


@pytest.mark.parametrize("name", [name for name in OF_ARRAYS if name != "dot_product_attention"])
def test_a_function_of_arrays_is_used_without_parentheses(name):
    function, cure = getattr(layers, name), f"write {name} without parentheses, as in serial({name}"
    assert next(iter(inspect.signature(function).parameters)) == "x"
    for call, got in (
        (lambda: function(), "nothing"),
        (lambda: function(3), "3"),
        (lambda: function(dense(3)), "a layer"),
    ):
        with pytest.raises(LayerError, match=re.escape(f"{name} expects an array, but got {got};")):
            call()
        with pytest.raises(LayerError, match=re.escape(cure)):
            call()


def test_every_layer_refuses_to_be_called_as_a_function():
    for case in CASES.values():
        with pytest.raises(
            LayerError, match=r"^expected layer.apply\(params, state, x\), but a lay"
        ):
            case.layer(case.x)


@pytest.mark.parametrize("join", [jnp.add, lambda a, b: jnp.concatenate([a, b], -1)])
def test_branches_that_do_not_fit_are_refused_with_their_shapes_and_path(join):
    @network(conv1=conv(8, (3, 3), strides=2))
    def block(x, *, conv1):
        return join(x, conv1(x))

    model, image = serial(("block1", block)), normal(1, 4, 4, 3)
    shapes = r"\(1, 4, 4, 3\), \(1, 2, 2, 8\)"
    message = (
        rf"^block1: block expects branches of equal shapes, but \w+ got {shapes}.*; change one"
    )
    with pytest.raises(LayerError, match=message):
        model.init(jax.random.key(0), image)
    kernel = {"kernel": jnp.zeros((3, 3, 3, 8)), "bias": jnp.zeros(8)}
    with pytest.raises(LayerError, match=message):
        model.apply({"block1": {"conv1": kernel}}, {}, image)


def test_branches_that_differ_in_one_other_axis_are_not_concatenated():
    @network(conv1=conv(8, (3, 3), strides=(2, 1)))
    def block(x, *, conv1):
        return jnp.concatenate([x, conv1(x)], -1)

    message = r"got \(1, 4, 4, 3\), \(1, 2, 4, 8\), which differ in other axes than the .*; change"
    with pytest.raises(LayerError, match=message):
        serial(("block1", block)).init(jax.random.key(0), normal(1, 4, 4, 3))


def test_an_error_of_shapes_within_a_child_keeps_its_original_message():
    model = serial(("cut", lambda x: x + jnp.zeros((2, 7))))
    with pytest.raises(TypeError, match="add got incompatible shapes"):
        model.apply({}, {}, x)


@pytest.mark.parametrize(("build", "message"), INVALID.values(), ids=INVALID)
def test_an_invalid_construction_is_refused_with_the_cure(build, message):
    with pytest.raises(LayerError, match=message):
        build()


def test_params_of_another_model_are_refused():
    params, state = serial(("a", dense(3))).init(jax.random.key(0), x)
    message = r"params have \['a'\], but the layers here are \['b'\]; pass the params that this"
    with pytest.raises(LayerError, match=message):
        serial(("b", dense(3))).apply(params, state, x)


def test_missing_params_are_named_with_their_path():
    message = r"^a: dense\(3\) expects params with 'kernel' but got \[\]; pass the params"
    with pytest.raises(LayerError, match=message):
        serial(("a", dense(3))).apply({}, {}, x)


def test_missing_state_is_named_with_its_path():
    model = serial(("norm", batch_norm()))
    params, _ = model.init(jax.random.key(0), x)
    message = r"^norm: batch_norm\(\) expects state with 'mean' but got \[\]; pass the state"
    with pytest.raises(LayerError, match=message):
        model.apply(params, {}, x)


@pytest.mark.parametrize(
    "change",
    [lambda n: {}, lambda n: {"n": n, "m": n}, lambda n: {"n": n > 0}, lambda n: {"n": n[None]}],
    ids=["gone", "added", "dtype", "shape"],
)
def test_a_layer_that_changes_the_structure_of_its_state_is_refused(change):
    wrong = Layer(
        lambda key, x: ({}, {"n": jnp.zeros(2)}),
        lambda params, state, x, *, key=None, train=False: (x, change(state["n"])),
    )
    message = r"^bad: apply must return state with unchanged .*'n'.*, but returned"
    with pytest.raises(LayerError, match=message):
        serial(("bad", wrong)).apply({}, {"bad": {"n": jnp.zeros(2)}}, x)


@pytest.mark.parametrize("trace", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_an_error_has_the_path_of_its_layer(trace):
    model = serial(("block", serial(("conv1", conv(2, (3, 3))))))
    params, state = model.init(jax.random.key(0), normal(1, 5, 5, 2))
    for wrong, message in (
        (normal(1, 5, 5, 3), r"expects (..., 2) but got (1, 5, 5, 3)"),
        (normal(1, 5, 5), r"expects (batch, height, width, channels) but got (1, 5, 5); add an"),
        (
            normal(1, 5, 5, 5, 2),
            r"expects (batch, height, width, channels) but got (1, 5, 5, 5, 2); "
            "pass one size per axis of the image, as in (3, 3, 3), or drop an axis",
        ),
    ):
        with pytest.raises(LayerError, match=re.escape(f"block/conv1: conv(2, (3, 3)) {message}")):
            trace(model.apply)(params, state, wrong)
    with pytest.raises(LayerError, match=r"^block/conv1: "):
        model.init(jax.random.key(0), normal(1, 5, 5))


def test_other_exceptions_get_the_names_of_layers_as_notes():
    model = serial(("block", serial(("cut", lambda x: x.reshape(7)))))
    with pytest.raises(TypeError) as caught:
        model.apply({}, {}, x)
    notes = [note for note in caught.value.__notes__ if note.startswith("in layer")]
    assert notes == ["in layer 'cut'", "in layer 'block'"]


def test_an_input_that_is_not_an_array_is_refused():
    with pytest.raises(LayerError, match=r"expected arrays .* but got 1\.0; use jnp.asarray"):
        serial(("fc", dense(3))).init(jax.random.key(0), [[1.0, 2.0]])
