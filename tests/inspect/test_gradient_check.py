"""The gradient check: correct gradients pass, and errors name the wrong ones."""

import re

import jax
import jax.numpy as jnp
import pytest
from helpers import normal

from jaxnets import Layer, LayerError, batch_norm, conv, dense, dropout, embedding, serial
from jaxnets.inspect import GradientError, check_function, check_gradient

X = normal(4, 3)


def scaled(wrong=lambda g: g):
    """x times a scale with a manual backward pass; `wrong` changes the scale's gradient."""

    @jax.custom_vjp
    def f(scale, x):
        return scale[None] * x

    def backward(saved, g):
        scale, x = saved
        return wrong((g * x).sum(0)), g * scale[None]

    f.defvjp(lambda scale, x: (f(scale, x), (scale, x)), backward)
    return Layer(
        lambda key, x: ({"scale": jnp.ones(x.shape[-1])}, {}),
        lambda params, state, x, *, key=None, train=False: (f(params["scale"], x), state),
    )


def network_of(layer):
    return serial(("fc", dense(2)), ("own", layer))


def check(layer, x=X, **options):
    params, state = layer.init(jax.random.key(0), x)
    return check_gradient(layer, params, state, x, **options)


def test_correct_gradients_pass_with_the_errors_of_float64():
    layer = serial(("fc", dense(5)), jnp.tanh, ("norm", batch_norm()), ("own", scaled()))
    assert 0 < check(layer, train=True) < 1e-6
    assert 0 < check(layer) < 1e-6
    assert 0 < check(serial(("conv", conv(2, (2, 2)))), normal(2, 3, 3, 1)) < 1e-6


def test_it_computes_in_float64_without_enabling_it_elsewhere():
    seen = []

    def watched(x):
        seen.append(x.dtype)
        return x**2

    assert check_function(watched, X) < 1e-7
    assert set(seen) == {jnp.dtype("float64")}
    assert jnp.ones(1).dtype == X.dtype == jnp.float32


def test_every_evaluation_has_the_same_random_numbers():
    assert check(dropout(0.5), key=jax.random.key(1), train=True) < 1e-6


def test_integer_inputs_are_not_checked():
    assert check(embedding(5, 3), jnp.array([[0, 4], [2, 2]])) < 1e-6


def test_the_error_names_the_worst_entry_with_expected_and_got():
    # kernel 3 x 2, bias 2, scale 2, input 4 x 3: 22 entries
    layer = network_of(scaled(wrong=lambda g: g.at[1].mul(1.5).at[0].mul(1.01)))
    with pytest.raises(GradientError) as raised:
        check(layer)
    actual = re.fullmatch(
        r"the gradient of params/own/scale\[1\] should be (\S+) by finite differences, but is "
        r"(\S+): a relative error of 3.3e-01, above the tolerance of 1e-05; 2 of 22 entries are "
        r"off; correct the "
        r"backward pass or, at a kink, check at another input",
        str(raised.value),
    )
    assert actual, raised.value
    assert float(actual[2]) == pytest.approx(1.5 * float(actual[1]), rel=1e-4)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda g: g[::-1],
        lambda g: jnp.zeros_like(g),
        lambda g: g + jnp.array([1e-3, -1e-3]),
        lambda g: g.at[0].set(jnp.nan),
        lambda g: g.at[0].set(jnp.inf),
    ],
    ids=["reversed", "none", "errors that cancel", "not a number", "infinite"],
)
def test_every_kind_of_error_is_detected(wrong):
    with pytest.raises(GradientError, match=r"params/own/scale\["):
        check(network_of(scaled(wrong)))


def test_an_error_that_cancels_in_the_sum_of_the_outputs_is_detected():
    @jax.custom_vjp
    def softmax(x):
        return jax.nn.softmax(x)

    # the outputs of a softmax sum to 1, so that the gradient of their sum is always 0
    softmax.defvjp(lambda x: (softmax(x), None), lambda _, g: (jnp.zeros_like(g),))
    with pytest.raises(GradientError, match=r"arguments\[0\]\["):
        check_function(softmax, X)


def test_arguments_of_a_function_are_named_by_position_and_path():
    def f(a, b):
        w = b["w"].at[2].set(jax.lax.stop_gradient(b["w"][2]))
        return jnp.sin(a) * (w + b["v"])

    with pytest.raises(GradientError, match=r"of arguments\[1\]/w\[2, 0\] should be"):
        check_function(f, 0.7, {"v": 2.0, "w": normal(3, 1)})


def test_a_subset_has_entries_of_every_array_and_is_deterministic():
    def message():
        f = jax.lax.stop_gradient  # wrong in every entry
        with pytest.raises(GradientError, match="5 of 5 entries are off") as raised:
            check_function(lambda a, b: f(a).sum() + f(b).sum(), normal(5, 4), 2.0, entries=4)
        return str(raised.value)

    assert message() == message()


def test_a_rounding_error_in_a_vanishing_entry_passes():
    assert check_function(lambda x: (1e-9 * x[0] + x[1]) ** 2, jnp.array([3.0, 2.0])) < 1e-6
    assert check_function(lambda x: 0 * x + 5.0, X) < 1e-6


@pytest.mark.parametrize(
    "f, arguments, options, message",
    [
        (lambda x: x * 2, (jnp.arange(3),), {}, "a floating-point argument, but got none; pass"),
        (lambda x: x.astype(jnp.float32), (X,), {}, "but got float32; compute in x.dtype"),
        (lambda x: x, (X,), {"entries": 0}, "entries of 1 or more, but got 0"),
    ],
)
def test_unsupported_functions_are_refused_with_the_cure(f, arguments, options, message):
    with pytest.raises(LayerError, match=message):
        check_function(f, *arguments, **options)


def test_at_a_kink_the_message_says_so():
    with pytest.raises(GradientError, match="at a kink, check at another input"):
        check_function(jax.nn.relu, jnp.zeros(2))
