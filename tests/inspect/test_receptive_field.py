"""Receptive fields against the propagation of NaN, gradients, and published values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import (
    LayerError,
    avg_pool,
    conv,
    conv_transpose,
    dense,
    depthwise_conv,
    flatten,
    global_avg_pool,
    local_response_norm,
    max_pool,
    models,
    network,
    scan_over_time,
    serial,
    squeeze_and_excitation,
    upsample,
    weight_norm,
)
from jaxnets.inspect import activations, receptive_field

WINDOWS = serial(  # odd and even windows, strides, padding on one side, gaps, two pools
    ("conv1", conv(3, (5, 4), strides=(2, 1))),
    ("relu1", jax.nn.relu),
    ("norm1", local_response_norm()),
    ("pool1", max_pool((3, 2), strides=(1, 2))),
    ("conv2", conv(2, (3, 3), padding=((2, 0), (0, 1)), dilation=(2, 1))),
    ("pool2", avg_pool((2, 2))),
    ("depthwise", depthwise_conv((3, 1))),
)


@network(conv=conv(3, (3, 3)), project=conv(3, (1, 1), strides=2), down=conv(3, (5, 5), strides=2))
def BRANCHES(x, *, conv, project, down):
    return jax.nn.relu(project(x) + down(conv(x)))


TOP = serial(("pool", global_avg_pool), ("head", dense(2)))


def seen_by_nan(model, x):
    """For each output and axis of the input, (input, output positions): where NaN propagates."""
    params, state = model.init(jax.random.key(0), x)
    outputs, actual = jax.jit(lambda x: activations(model, params, state, x)), {}
    for axis in (1, 2):
        for i in range(x.shape[axis]):
            marked = jnp.moveaxis(jnp.moveaxis(x, axis, 0).at[i].set(jnp.nan), 0, axis)
            for path, y in outputs(marked).items():
                others = tuple({0, 1, 2, 3} - {axis}) if y.ndim == 4 else None
                seen = np.isnan(y).any(others).reshape(-1)
                actual.setdefault((path, axis), []).append(seen)
    return {place: np.array(rows) for place, rows in actual.items()}


def seen_by_field(field, axis, extent, outputs):
    """The same for one axis, from a size, a stride and a start."""
    size, stride, start = (part[axis - 1] for part in field)
    first = start + stride * np.arange(outputs)[None]
    inputs = np.arange(extent)[:, None]
    return (first <= inputs) & (inputs < first + size)


def ends(seen):
    """The first and the last input position that each output position depends on."""
    return [(np.flatnonzero(column)[0], np.flatnonzero(column)[-1]) for column in seen.T]


@pytest.mark.parametrize("model", [BRANCHES, serial(("windows", WINDOWS), ("top", TOP))])
def test_the_field_is_the_set_of_pixels_from_which_nan_propagates(model):
    x = jnp.ones((1, 19, 14, 2))
    fields, support = receptive_field(model, x), seen_by_nan(model, x)
    assert {path for path, _ in support} == fields.keys()
    for (path, axis), seen in support.items():
        expected = seen_by_field(fields[path], axis, *seen.shape)
        assert ends(seen) == ends(expected), f"{path}, axis {axis}"
        if "conv2" not in path:  # dilated windows have gaps
            assert seen.sum() == expected.sum() or "pool2" in path, f"{path}, axis {axis}"


def test_the_field_is_the_support_of_the_gradient():
    positive = {
        "kernel_init": lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, 1, 2)
    }
    model = serial(
        ("conv1", conv(2, (4, 3), strides=(1, 2), **positive)),
        ("relu1", jax.nn.relu),
        ("pool1", avg_pool((3, 2), strides=(2, 1))),
        ("conv2", conv(2, (3, 3), strides=2, **positive)),
    )
    x = jnp.ones((1, 20, 21, 2))
    params, _ = model.init(jax.random.key(0), x)
    y, pull = jax.vjp(jax.jit(lambda x: model.apply(params, {}, x)[0]), x)
    pull = jax.jit(pull)
    field = receptive_field(model, x)["conv2"]
    for row, column in ((0, 0), (2, 2), (y.shape[1] - 1, y.shape[2] - 1)):
        (dx,) = pull(jnp.zeros_like(y).at[0, row, column].set(1))
        for axis, at in ((1, row), (2, column)):
            seen = (np.asarray(dx) != 0).any(tuple({0, 1, 2, 3} - {axis}))
            expected = seen_by_field(field, axis, x.shape[axis], y.shape[axis])
            np.testing.assert_array_equal(seen, expected[:, at])


@pytest.mark.parametrize(
    ("model", "size", "path", "expected"),
    [  # Araujo, Norris & Sim 2019, "Computing receptive fields", table 1
        (models.alexnet(), 227, "pool5", (195, 32)),
        (models.vgg16(), 224, "pool5", (212, 32)),
        (models.lenet5(), 28, "pool2", (16, 4)),
    ],
)
def test_the_fields_of_published_networks(model, size, path, expected):
    channels = 1 if size == 28 else 3
    field = receptive_field(model, jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32))
    assert (field[path].size, field[path].stride) == tuple((n, n) for n in expected)


def test_the_center_is_that_of_the_first_position():
    field = receptive_field(serial(("conv", conv(1, (4, 3), strides=2))), jnp.ones((1, 8, 9, 1)))
    assert field["conv"] == ((4, 3), (2, 2), (-1, -1))
    assert field["conv"].center == (0.5, 0.0)


def test_volumes_have_three_axes_and_gaps_count():
    model = serial(
        ("conv", weight_norm(conv(2, (2, 3, 1), strides=(1, 2, 1), padding="VALID"))),
        ("pool", max_pool((2, 2, 2), dilation=(1, 1, 3), ceil_mode=True)),
    )
    fields = receptive_field(model, jnp.ones((1, 5, 9, 6, 2)))
    assert fields["conv"] == ((2, 3, 1), (1, 2, 1), (0, 0, 0))
    assert fields["pool"] == ((3, 5, 4), (2, 4, 2), (0, 0, 0))


def test_sequences_have_one_axis_and_flattened_outputs_none():
    model = serial(("conv", conv(4, (5,))), ("flat", flatten), ("relu", jax.nn.relu))
    model = serial(("body", model), ("head", dense(2)), jnp.sin)
    fields = receptive_field(model, jnp.ones((2, 9, 3)))
    assert fields == {"body/conv": ((5,), (1,), (-2,)), "head": ((13,), (0,), (-2,))}


def test_transposing_cropping_padding_and_concatenating_keep_rows_in_order():
    def move(x):
        x = jnp.pad(x.transpose(0, 2, 1, 3), ((0, 0), (3, 0), (0, 1), (0, 0)))[:, 1:, ::3]
        return jnp.concatenate([x, x[:, ::1].astype(jnp.int32)], axis=-1)

    fields = receptive_field(serial(("move", move)), jnp.ones((1, 8, 9, 2)))
    assert fields["move"] == ((1, 1), (3, 1), (0, -2))


def test_a_gate_with_a_full_field_makes_the_blocks_field_full():
    gated = squeeze_and_excitation(2)
    model = serial(("conv", conv(4, (3, 3))), ("gated", gated), max_pool((2, 2)))
    fields = receptive_field(serial(("model", model)), jnp.ones((1, 6, 6, 2)))
    assert fields["model"] == ((8, 8), (0, 0), (-1, -1))


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (conv_transpose(2, (3, 3), strides=2), "conv_general_dilated in bad.*transposed"),
        (serial(upsample(2), ("conv", conv(2, (3, 3)))), "in bad/conv.*positions out of order"),
        (upsample(2, method="linear"), "concatenated rows"),
        (lambda x: jnp.cumsum(x, 1), "through cumsum in bad, at .*test_receptive_field.*rule"),
        (lambda x: x + x[:, ::-1], "through rev in bad"),
        (lambda x: x + x.transpose(0, 2, 1, 3), "through add .*are not aligned"),
        (lambda x: jnp.concatenate([x, x], 1), "concatenated rows"),
        (scan_over_time(serial(lambda pair: (pair[1],) * 2), lambda x: x), "through scan in bad"),
    ],
)
def test_operations_without_a_rule_are_refused_by_name(stage, message):
    model = serial(("conv", conv(2, (3, 3))), ("bad", stage))
    with pytest.raises(LayerError, match=f"(?s){message}"):
        receptive_field(model, jnp.ones((1, 6, 6, 2)))


def test_an_input_without_spatial_axes_is_refused():
    with pytest.raises(LayerError, match=r"expects one input .* but got \(2, 5\)"):
        receptive_field(serial(("fc", dense(3))), jnp.ones((2, 5)))
