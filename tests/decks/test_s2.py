"""S2, "Neural Networks" (MATLAB, LeNet, AlexNet): what its slides claim, and their numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from counting import abstract, count, output_shapes
from jax.nn import relu

from jaxnets import (
    conv,
    data,
    local_response_norm,
    losses,
    metrics,
    models,
    scale_pixels,
    serial,
)
from jaxnets.layers import heaviside
from jaxnets.training import descend


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_the_activation_functions_are_those_of_the_slides():
    """S2, Different activation functions: sigmoid, tanh, ReLU; sigma' = sigma (1 - sigma)."""
    z = np.linspace(-3, 3, 13)
    x = jnp.asarray(z, jnp.float32)
    sigmoid = 1 / (1 + np.exp(-z))
    tanh = (np.exp(z) - np.exp(-z)) / (np.exp(z) + np.exp(-z))
    np.testing.assert_allclose(jax.nn.sigmoid(x), sigmoid, atol=1e-6)
    np.testing.assert_allclose(jnp.tanh(x), tanh, atol=1e-6)
    np.testing.assert_array_equal(relu(x), np.maximum(0, z))
    slope = jax.jit(jax.vmap(jax.grad(jax.nn.sigmoid)))(x)
    np.testing.assert_allclose(slope, sigmoid * (1 - sigmoid), atol=1e-6)


def test_relu_attenuates_a_gradient_less_than_the_sigmoid():
    """S2, Different activation functions: ReLU's factor per layer is 1, sigma' is at most 1/4."""

    def through(activation, layers):
        def chain(z):
            for _ in range(layers):
                z = activation(z)
            return z

        return jax.jit(jax.grad(chain))(1.0)

    assert through(relu, 10) == 1
    assert through(jax.nn.sigmoid, 10) < 0.25**10


def test_the_gradient_of_a_one_layer_network_is_the_formula_of_the_slide():
    """S2, Do gradient descent on dataset: dL/dw = -(y - f(w^T x + b)) f'(w^T x + b) x."""
    x, y = random(6, 3), random(6, 1, seed=1)
    model = serial(*[("unit", models.linear()), jax.nn.sigmoid])
    params, _ = jax.jit(model.init)(jax.random.key(0), x)

    @jax.jit
    @jax.grad
    def gradient(params):
        return losses.half_squared_error(model.apply(params, {}, x)[0], y).mean()

    w, b = (np.asarray(params["unit"]["head"][name]) for name in ("kernel", "bias"))
    f = 1 / (1 + np.exp(-(x @ w + b[None])))
    delta = -(y - f) * f * (1 - f)
    actual = gradient(params)["unit"]["head"]
    np.testing.assert_allclose(actual["kernel"], x.T @ delta / 6, atol=1e-6)
    np.testing.assert_allclose(actual["bias"], delta.mean(0), atol=1e-6)


def test_the_loss_is_written_with_a_half_and_without():
    """S2, Define loss function: (y - f)^2 on one slide, 1/2 (y - f)^2 on the next."""
    y, f = jnp.array([[3.0], [-1.0]]), jnp.array([[1.0], [0.0]])
    np.testing.assert_array_equal(losses.squared_error(f, y), [4, 1])
    np.testing.assert_array_equal(losses.half_squared_error(f, y), [2, 0.5])
    assert losses.half_squared_error(y, y).sum() == 0  # a perfect fit


def test_gradient_descent_needs_only_a_function_and_its_gradient():
    """S2, Time out for gradient descent: x_1 = x_0 - alpha grad F(x_0), and so on."""

    def bowl(x):
        return x[0] ** 2 + 3 * x[1] ** 2

    passed = descend(bowl, jnp.array([2.0, -1.0]), optax.sgd(0.1), 5)
    by_hand = [[2.0, -1.0]]
    for _ in range(5):
        a, b = by_hand[-1]
        by_hand.append([a - 0.1 * 2 * a, b - 0.1 * 6 * b])
    np.testing.assert_allclose(passed.points, by_hand, rtol=1e-5)
    np.testing.assert_allclose(passed.values[-1], bowl(by_hand[-1]), rtol=1e-5)


def test_a_layer_is_its_units_side_by_side_at_any_depth():
    """S2, Multi-layer evaluation works similarly: a = f(W x + b), a_i = f(w_i^T x + b_i)."""
    x = random(1, 3)
    model = models.mlp((4, 5, 2), activation=jnp.tanh, final=jnp.tanh)
    params, _ = jax.jit(model.init)(jax.random.key(0), x)
    a = np.asarray(x)[0]
    for name in ("fc1", "fc2", "head"):
        w, b = np.asarray(params[name]["kernel"]), np.asarray(params[name]["bias"])
        a = np.array([np.tanh(w[:, i] @ a + b[i]) for i in range(len(b))])
    np.testing.assert_allclose(model.apply(params, {}, x)[0][0], a, atol=1e-6)


def test_a_hidden_layer_makes_classification_non_linear():
    """S2, Can create networks of arbitrary depth: XOR, which no single unit can classify."""
    corners = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    one_or_both = {"kernel": jnp.ones((2, 2)), "bias": jnp.array([-0.5, -1.5])}
    one_alone = {"kernel": jnp.array([[1.0], [-1.0]]), "bias": jnp.array([-0.5])}
    model = models.mlp((2, 1), activation=heaviside, final=heaviside)
    xor, _ = jax.jit(model.apply)({"fc1": one_or_both, "head": one_alone}, {}, corners)
    np.testing.assert_array_equal(xor[:, 0], [0, 1, 1, 0])
    grid = np.stack(np.meshgrid(*[np.linspace(-2, 2, 9)] * 3), -1).reshape(-1, 3)
    units = {"head": {"kernel": jnp.asarray(grid[:, :2].T), "bias": jnp.asarray(grid[:, 2])}}
    answers, _ = jax.jit(models.perceptron(len(grid)).apply)(units, {}, corners)
    assert not (answers == xor).all(0).any()


def test_a_mini_batch_has_between_32_and_128_samples_and_a_mean_gradient():
    """S2, Training in mini-batches: w <- w - alpha (1/n) sum over B, n the size of B."""
    x, y = random(32, 2), random(32, 1, seed=1)
    model = models.linear()
    params, _ = jax.jit(model.init)(jax.random.key(0), x)

    @jax.jit
    @jax.grad
    def gradient(params, x, y):
        return losses.half_squared_error(model.apply(params, {}, x)[0], y).mean()

    once, twice = gradient(params, x, y), gradient(params, *map(np.tile, (x, y), [(2, 1)] * 2))
    np.testing.assert_allclose(once["head"]["kernel"], twice["head"]["kernel"], rtol=1e-5)


def test_the_sliding_window_of_the_slide_gives_the_feature_map():
    """S2, Two dimensional example: a 5 x 5 image, a 3 x 3 kernel; the slide shows the first 4."""
    image = [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]]
    kernel = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]], np.float32)[:, :, None, None]
    layer = conv(1, (3, 3), padding="VALID", use_bias=False)
    x = np.array(image, np.float32)[None, :, :, None]
    y = np.asarray(jax.jit(layer.apply)({"kernel": kernel}, {}, x)[0])
    np.testing.assert_array_equal(y[0, :, :, 0], [[4, 3, 4], [2, 4, 3], [2, 3, 4]])


def test_the_network_of_the_listing_has_180_880_parameters_and_224_statistics():
    """S2, Define the neural network structure: 16, 32, 64 kernels of 3 x 3, then 50 and 10.

    These are the listing's layers; the slide's text says two convolutions and a logistic output.
    """
    params, state = abstract(models.lenet_batch_norm(), 28, 28, 1)
    by_layer = {name: count(params[name]) for name in params}
    assert by_layer == {
        "conv1": 160,
        "norm1": 32,
        "conv2": 4_640,
        "norm2": 64,
        "conv3": 18_496,
        "norm3": 128,
        "fc1": 156_850,
        "head": 510,
    }
    assert count(params) == 180_880 and count(state) == 224
    shapes = output_shapes(models.lenet_batch_norm(), 28, 28, 1)
    assert shapes["conv1"] == (28, 28, 16) and shapes["pool2"] == (7, 7, 32)
    assert params["fc1"]["kernel"].shape[0] == 7 * 7 * 64 == 3136


def test_mnist_is_not_10_000_digits():
    """S2, MNIST dataset: images of 10,000 handwritten digits; it has 70,000."""
    mnist = data.load("mnist", source="packaged")
    assert len(mnist.train.y) + len(mnist.test.y) == 70_000


def test_the_accuracy_is_the_fraction_of_correct_labels_on_held_out_digits():
    """S2, Train network: sum(predictedLabels == valLabels) / numel(valLabels), on other digits."""
    split = data.Split(np.arange(100)[:, None], np.arange(100) % 4)
    train, held_out = data.train_test_split(split, 25, seed=0)
    assert len(held_out.x) == 25 and not set(train.x[:, 0]) & set(held_out.x[:, 0])
    outputs = jax.nn.one_hot(jnp.array([0, 1, 1, 3, 2]), 4)
    labels = jnp.array([0, 1, 2, 3, 0])
    sums = metrics.accuracy.sums(outputs, labels, jnp.ones(5))
    assert metrics.accuracy.value(sums) == pytest.approx(3 / 5)


def test_zerocenter_subtracts_the_mean():
    """S2, AlexNet, row 0: images with 'zerocenter' normalization."""
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    mean = images.mean((0, 1, 2)) / 255
    centred = scale_pixels(mean=tuple(mean))(jnp.asarray(images))
    np.testing.assert_allclose(centred.mean((0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(centred, images / 255 - mean, atol=1e-6)


ALEXNET = serial(  # "output", the last row, is the loss
    ("data", scale_pixels(mean=(0.48, 0.46, 0.41))),
    ("alexnet", models.alexnet()),
    ("prob", jax.nn.softmax),
)
TABLE = {  # row by row, the shape of its output and the number of its parameters
    "data": ((227, 227, 3), 0),
    "conv1": ((55, 55, 96), 34_944),
    "relu1": ((55, 55, 96), 0),
    "norm1": ((55, 55, 96), 0),
    "pool1": ((27, 27, 96), 0),
    "conv2": ((27, 27, 256), 307_456),
    "relu2": ((27, 27, 256), 0),
    "norm2": ((27, 27, 256), 0),
    "pool2": ((13, 13, 256), 0),
    "conv3": ((13, 13, 384), 885_120),
    "relu3": ((13, 13, 384), 0),
    "conv4": ((13, 13, 384), 663_936),
    "relu4": ((13, 13, 384), 0),
    "conv5": ((13, 13, 256), 442_624),
    "relu5": ((13, 13, 256), 0),
    "pool5": ((6, 6, 256), 0),
    "fc6": ((4096,), 37_752_832),
    "relu6": ((4096,), 0),
    "drop6": ((4096,), 0),
    "fc7": ((4096,), 16_781_312),
    "relu7": ((4096,), 0),
    "drop7": ((4096,), 0),
    "fc8": ((1000,), 4_097_000),
    "prob": ((1000,), 0),
}


def test_alexnet_has_the_rows_of_the_slide_and_60_965_224_parameters():
    """S2, AlexNet has 8 layers: five conv followed by three fully connected; "60M parameters"."""
    params, state = abstract(ALEXNET, 227, 227, 3)
    shapes = output_shapes(ALEXNET, 227, 227, 3)
    assert shapes.pop("alexnet") == (1000,)
    rows = {
        path.removeprefix("alexnet/"): (shape, count(params["alexnet"].get(path[8:], {})))
        for path, shape in shapes.items()
    }
    assert list(rows.items()) == list(TABLE.items())
    assert count(params) == 60_965_224 and count(state) == 0
    params = params["alexnet"]
    assert params["conv2"]["kernel"].shape == (5, 5, 48, 256)
    assert params["conv4"]["kernel"].shape == (3, 3, 192, 384)
    assert params["conv5"]["kernel"].shape == (3, 3, 192, 256)
    assert params["fc6"]["kernel"].shape == (6 * 6 * 256, 4096) == (9216, 4096)


def test_cross_channel_normalisation_divides_by_the_squares_of_5_channels():
    """S2, AlexNet, rows 3 and 7: x / (k + alpha times their sum)^beta, with the paper's numbers."""
    x = 100 * random(1, 2, 2, 9)
    y, _ = serial(("norm", local_response_norm())).apply({}, {}, x)
    padded = np.pad(np.asarray(x, np.float64) ** 2, ((0, 0), (0, 0), (0, 0), (2, 2)))
    squares = sum(padded[..., c : c + 9] for c in range(5))
    np.testing.assert_allclose(y, x / (2 + 1e-4 * squares) ** 0.75, rtol=1e-5)


def test_alexnet_without_groups_would_have_62_378_344_parameters():
    """S2, AlexNet: the 48 and 192 channels of conv2, conv4 and conv5 are half of those before."""
    params, _ = abstract(models.alexnet(), 227, 227, 3)
    halves = sum(count(params[name]["kernel"]) for name in ("conv2", "conv4", "conv5"))
    assert count(params) + halves == 62_378_344
