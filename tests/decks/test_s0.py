"""S0, "Applied Data Science, module 8, day 1": what its slides claim, and their numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from counting import abstract, count, counts
from jax.nn import relu

from jaxnets import (
    avg_pool,
    batch_norm,
    conv,
    data,
    dense,
    dropout,
    flatten,
    losses,
    max_pool,
    models,
    serial,
)
from jaxnets.data import augment
from jaxnets.layers import heaviside
from jaxnets.training.source import Epochs

IMAGE = np.array(
    [
        [2, 3, 4, 4, 3, 3],
        [1, 3, 3, 4, 3, 2],
        [0, 1, 2, 3, 4, 4],
        [0, 0, 1, 1, 2, 2],
        [1, 1, 2, 2, 3, 2],
        [1, 2, 3, 3, 2, 1],
    ]
)
HORIZONTAL_LINE = np.array([[-1, -1, -1], [2, 2, 2], [-1, -1, -1]])


def filtered(image, kernel, padding="VALID"):
    """The image of one channel under a `conv` layer with this kernel."""
    layer = conv(1, kernel.shape, padding=padding, use_bias=False)
    params = {"kernel": np.asarray(kernel, np.float32)[:, :, None, None]}
    x = np.asarray(image, np.float32)[None, :, :, None]
    return np.asarray(jax.jit(layer.apply)(params, {}, x)[0])[0, :, :, 0]


def pooled(pool, image):
    return np.asarray(pool(np.asarray(image, np.float32)[None, :, :, None]))[0, :, :, 0]


def test_a_neuron_fires_if_the_stimulus_is_above_the_bias():
    """S0, Inside a simple neuron: s > b returns 1, s <= b returns 0; S0's b is minus our bias."""
    w, b = np.array([2.0, -1.0]), 3.0
    params = {"head": {"kernel": jnp.asarray(w)[:, None], "bias": jnp.array([-b])}}
    for x, fires in (([2.0, 0.0], 1), ([1.5, 0.0], 0), ([1.0, 0.0], 0), ([0.0, -3.5], 1)):
        y, _ = models.perceptron().apply(params, {}, jnp.array([x]))
        assert y.item() == fires == (1 if np.dot(x, w) > b else 0)


def test_a_perceptron_on_many_inputs_returns_floats():
    """S0, Perceptron: checkpoint 1: multiOutPerceptron2(X, w, b) is (X w > b).astype(float)."""
    rng = np.random.default_rng(0)
    X, w, b = rng.integers(-3, 4, (200, 4)), rng.integers(-3, 4, 4), 2
    params = {
        "head": {"kernel": jnp.asarray(w, jnp.float32)[:, None], "bias": jnp.array([-float(b)])}
    }
    y, _ = models.perceptron().apply(params, {}, jnp.asarray(X))
    expected = (np.dot(X, w) > b).astype(float)
    assert (np.dot(X, w) == b).any()  # including equality
    assert y.dtype == jnp.float32
    np.testing.assert_array_equal(y[:, 0], expected)


def test_sigmoids_are_smooth_approximations_of_the_step():
    """S0, Sigmoid and hinge activation functions."""
    z = np.array([-2, -0.5, -0.1, 0.1, 0.5, 2], np.float32)
    for steepness, distance in ((10, 0.3), (100, 1e-4), (1000, 1e-30)):
        np.testing.assert_allclose(jax.nn.sigmoid(steepness * z), heaviside(z), atol=distance)
        np.testing.assert_allclose(
            (jnp.tanh(steepness * z / 2) + 1) / 2, heaviside(z), atol=max(distance, 1e-7)
        )


def test_hinge_activations_increase_with_the_stimulus():
    """S0, Sigmoid and hinge activation functions: ReLU, leaky ReLU, softplus."""
    z = np.array([-2.0, -0.5, 0.0, 0.5, 2.0])
    np.testing.assert_array_equal(relu(z), np.maximum(0, z))
    np.testing.assert_allclose(jax.nn.leaky_relu(z, 0.01), [-0.02, -0.005, 0, 0.5, 2], rtol=1e-6)
    np.testing.assert_allclose(jax.nn.softplus(z), np.log(1 + np.exp(z)), rtol=1e-6)


def test_the_outputs_are_positive_and_sum_to_1_after_softmax():
    """S0, The softmax for the last layer."""
    scores = jax.nn.softmax(jnp.array([[1.0, -2.0, 0.5], [30.0, 0.0, -30.0]]))
    assert (scores > 0).all()
    np.testing.assert_allclose(scores.sum(-1), 1, rtol=1e-6)


def test_losses_rank_parameters():
    """S0, Loss functions. Its cross-entropy lacks the brackets: minus is before both terms."""
    probability, y = np.array([0.9, 0.2, 0.6]), np.array([1, 0, 0])
    outputs, labels = probability.astype(np.float32)[:, None], y[:, None]
    logits = np.log(outputs / (1 - outputs))
    assert losses.misclassification(logits, labels).sum() == 1  # only the third is wrong
    np.testing.assert_allclose(
        losses.squared_error(outputs, labels).sum(), 0.1**2 + 0.2**2 + 0.6**2, rtol=1e-6
    )
    in_brackets = y * np.log(probability) + (1 - y) * np.log(1 - probability)
    of_logits = np.asarray(jax.jit(losses.binary_cross_entropy)(logits, labels))
    np.testing.assert_allclose(of_logits, -in_brackets, rtol=1e-5)
    as_printed = -y * np.log(probability) + (1 - y) * np.log(1 - probability)
    assert as_printed.sum() < 0 < of_logits.sum()


def test_the_gradient_of_a_batch_is_unbiased():
    """S0, Dealing with a big sum: N/|S| times the sum over a random S is right in expectation."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(12, 3)), jnp.float32)
    y = jnp.asarray(rng.normal(size=(12, 1)), jnp.float32)
    model = models.linear()
    params, _ = jax.jit(model.init)(jax.random.key(0), x)

    @jax.jit
    @jax.grad
    def gradient(params, rows):
        outputs, _ = model.apply(params, {}, x[rows])
        return losses.squared_error(outputs, y[rows]).sum()

    whole = gradient(params, np.arange(12))
    batches = [gradient(params, rows) for rows in rng.permutation(12).reshape(4, 3)]
    mean = jax.tree.map(lambda *parts: 12 / 3 * np.sum(parts, 0) / 4, *batches)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), mean, whole)


def test_the_first_step_of_adam_is_the_learning_rate_whatever_the_gradient():
    """S0, Adam stepping scheme: with bias correction of m too (the slide has only that of v)."""
    gradient = np.array([1e-3, -2, 400], np.float32)
    tx = optax.adam(0.1)
    updates, _ = jax.jit(tx.update)(gradient, tx.init(gradient))
    np.testing.assert_allclose(updates, [-0.1, 0.1, -0.1], rtol=1e-4)
    as_printed = -0.1 * (0.1 * gradient) / np.abs(gradient)  # m = 0.1 g after one step
    np.testing.assert_allclose(updates, 10 * as_printed, rtol=1e-4)


def test_xavier_weights_have_variance_1_over_tau():
    """S0, Xavier initialisation: mean 0, variance 1/tau, tau = (n_in + n_out) / 2."""
    n_in, n_out = 300, 500
    layer = dense(n_out, kernel_init=jax.nn.initializers.glorot_normal())
    kernel = layer.init(jax.random.key(0), jnp.zeros((1, n_in)))[0]["kernel"]
    tau = (n_in + n_out) / 2
    assert abs(kernel.mean()) < 4 / np.sqrt(tau * kernel.size)
    np.testing.assert_allclose(kernel.var(), 1 / tau, rtol=0.02)


def test_mnist_has_60_000_digits_to_train_on_and_10_000_to_test_on():
    """S0, The MNIST dataset: 70k images of 28 x 28 pixels, labels 0 to 9."""
    mnist = data.load("mnist", source="packaged")
    assert mnist.train.x.shape == (60_000, 28, 28, 1)
    assert mnist.test.x.shape == (10_000, 28, 28, 1)
    for split in (mnist.train, mnist.test):
        assert set(split.y.tolist()) == set(range(10)) and len(split.y) == len(split.x)


def test_the_500_x_300_network_has_545_810_parameters():
    """S0, MNIST - checkpoint 1: Dense(500), Dense(300), Dense(10) on 784 pixels."""
    params, state = abstract(models.mlp((500, 300, 10)), 28, 28, 1)
    assert counts(params) == {
        "fc1/kernel": 784 * 500,
        "fc1/bias": 500,
        "fc2/kernel": 500 * 300,
        "fc2/bias": 300,
        "head/kernel": 300 * 10,
        "head/bias": 10,
    }
    assert count(params) == 545_810 and count(state) == 0


def test_each_neuron_on_all_pixels_has_h_w_d_parameters():
    """S0, Going deep with neural networks: h x w x d new parameters per neuron."""
    params, _ = abstract(serial(flatten, ("fc", dense(1, use_bias=False))), 224, 224, 3)
    assert count(params) == 224 * 224 * 3 == 150_528


def test_the_convolution_of_the_slides_agrees_in_every_number():
    """S0, The convolution operator: I * K. Some frames lack signs; this is the correct table."""
    expected = [[2, 3, 0, -3], [-2, 0, 4, 8], [-5, -7, -8, -8], [1, 0, 2, 3]]
    np.testing.assert_array_equal(filtered(IMAGE, HORIZONTAL_LINE), expected)


def test_a_padded_convolution_keeps_the_size_and_the_inner_values():
    """S0, Convolution example (with padding): a border of zeros; the slide's picture is missing."""
    expected = [
        [6, 11, 12, 12, 11, 7],
        [2, 2, 3, 0, -3, -4],
        [-2, -2, 0, 4, 8, 7],
        [-3, -5, -7, -8, -8, -5],
        [1, 1, 0, 2, 3, 3],
        [4, 8, 11, 9, 5, 1],
    ]
    np.testing.assert_array_equal(filtered(IMAGE, HORIZONTAL_LINE, padding="SAME"), expected)


def test_for_this_kernel_convolution_equals_cross_correlation():
    """S0, The convolution operator: the formula is a cross-correlation; S4's is a convolution."""
    turned = HORIZONTAL_LINE[::-1, ::-1]
    np.testing.assert_array_equal(filtered(IMAGE, turned), filtered(IMAGE, HORIZONTAL_LINE))


def test_the_kernel_finds_horizontal_lines_and_its_transpose_vertical_ones():
    """S0, Applying convolutions: what does it detect; a kernel that detects vertical edges."""
    horizontal = np.zeros((5, 5))
    horizontal[2] = 1
    assert filtered(horizontal, HORIZONTAL_LINE).max() == 6
    assert filtered(horizontal.T, HORIZONTAL_LINE).max() == 0
    assert filtered(horizontal.T, HORIZONTAL_LINE.T).max() == 6
    assert filtered(horizontal, HORIZONTAL_LINE.T).max() == 0


def test_a_colour_kernel_with_weights_that_sum_to_0_detects_edges_only():
    """S0, Convolution with colour: make sure the weights in your kernel add up to zero."""
    kernel = np.zeros((3, 3, 3, 1), np.float32)
    kernel[:, 0], kernel[:, 2] = -1, 1  # dark on the left, light on the right, in all 3 colours
    assert kernel.sum() == 0
    layer = conv(1, (3, 3), padding="VALID", use_bias=False)
    shoulder = np.full((1, 5, 8, 3), 40.0, np.float32)
    shoulder[:, :, 4:] = 90
    y, _ = layer.apply({"kernel": jnp.asarray(kernel)}, {}, jnp.asarray(shoulder))
    edge = 3 * 3 * (90 - 40)
    np.testing.assert_array_equal(y[0, :, :, 0], [[0, 0, edge, edge, 0, 0]] * 3)


def test_each_kernel_of_a_convolutional_layer_gives_one_channel():
    """S0, Convolutional layer: several kernels, applied to all channels of the previous image."""
    x = np.random.default_rng(0).normal(size=(1, 6, 6, 3)).astype(np.float32)
    params, _ = jax.jit(conv(4, (3, 3)).init)(jax.random.key(0), x)
    assert params["kernel"].shape == (3, 3, 3, 4)
    together, _ = jax.jit(conv(4, (3, 3)).apply)(params, {}, x)
    apply_one = jax.jit(conv(1, (3, 3)).apply)
    for channel in range(4):
        one = {name: np.asarray(leaf)[..., [channel]] for name, leaf in params.items()}
        alone, _ = apply_one(one, {}, x)
        np.testing.assert_allclose(np.asarray(together)[..., [channel]], alone, atol=1e-6)


def test_max_pooling_keeps_the_largest_of_each_2_x_2_block():
    """S0, Pooling layers: MaxPooling2D of the slide's 4 x 4 image."""
    image = [[12, 20, 30, 0], [8, 12, 2, 0], [34, 70, 37, 4], [112, 100, 25, 12]]
    np.testing.assert_array_equal(pooled(max_pool((2, 2)), image), [[20, 30], [112, 37]])
    np.testing.assert_array_equal(pooled(avg_pool((2, 2)), image), [[13, 8], [79, 19.5]])


def test_dropout_drops_each_neuron_with_probability_p_in_training_only():
    """S0, Dropout: Dropout(0.5); p is the probability that a unit is dropped, not kept."""
    x, layer = jnp.ones((100, 1000)), dropout(0.2)
    y, _ = layer.apply({}, {}, x, key=jax.random.key(0), train=True)
    share = (y == 0).mean()
    assert abs(share - 0.2) < 5 * np.sqrt(0.2 * 0.8 / x.size)
    np.testing.assert_array_equal(layer.apply({}, {}, x)[0], x)


def test_batch_normalisation_can_represent_the_identity():
    """S0, Batch normalisation: mean and variance over the batch (1/m); gamma, beta trainable."""
    x = np.random.default_rng(0).normal(3, 2, size=(8, 4)).astype(np.float32)
    mean = x.sum(0, keepdims=True) / 8
    var = ((x - mean) ** 2).sum(0, keepdims=True) / 8
    layer = batch_norm(epsilon=1e-3)
    params, state = layer.init(jax.random.key(0), x)
    y, _ = layer.apply(params, state, x, train=True)
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-3), rtol=1e-4, atol=1e-5)
    reverted = {"scale": np.sqrt(var[0] + 1e-3), "bias": mean[0]}
    np.testing.assert_allclose(layer.apply(reverted, state, x, train=True)[0], x, rtol=1e-4)


def test_a_tenth_of_28_pixels_is_a_shift_of_at_most_2():
    """S0, One last trick: data augmentation: width_shift_range=0.1, height_shift_range=0.1."""
    pixels = int(0.1 * 28)
    x, y = np.zeros((400, 28, 28, 1), np.float32), np.zeros(400, int)
    x[:, 14, 14] = 1
    moved, _ = jax.jit(augment.shift(pixels))(jax.random.key(0), x, y)
    _, rows, columns, _ = np.nonzero(moved)
    assert len(rows) == 400  # whole pixels move, and none is lost or blended
    for at in (rows, columns):
        assert set(at.tolist()) == set(range(14 - pixels, 14 + pixels + 1))


def test_steps_per_epoch_as_on_the_slide_is_32_passes_over_the_data():
    """S0, data augmentation: steps_per_epoch=len(X_train) with batch_size=32 is 32 epochs."""
    steps = Epochs(60_000, 32, "drop").steps
    assert steps == 1_875 and 32 * steps == 60_000


def test_vgg_16_has_138_357_544_parameters():
    """S0, Inspecting VGG-16: counted from shapes alone; 14,714,688 without its head."""
    params, _ = abstract(models.vgg16(), 224, 224, 3)
    assert count(params) == 138_357_544
    convolutions = {name: layer for name, layer in params.items() if name.startswith("conv")}
    assert len(convolutions) == 13 and count(convolutions) == 14_714_688


def test_the_first_layer_of_vgg_16_has_64_colour_kernels_of_3_x_3():
    """S0, Looking inside: the first layer."""
    params, _ = abstract(models.vgg16(), 224, 224, 3)
    assert params["conv1_1"]["kernel"].shape == (3, 3, 3, 64)
