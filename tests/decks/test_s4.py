"""S4, the Torch7 practical: what its slides claim, and their numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from counting import abstract, count
from jax.nn import relu

from jaxnets import (
    avg_pool,
    batch_norm,
    conv,
    dense,
    dropout,
    losses,
    models,
    serial,
    stochastic_pool,
    sum_pool,
)
from jaxnets.interop import safetensors
from jaxnets.layers import heaviside, prelu
from jaxnets.training import descend, fit, make_train_step, momentum

SHARPEN = [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]
EMBOSS = [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]
BLUR = [[1, 1, 1], [1, 7, 1], [1, 1, 1]]
EDGE = [[0, 1, 0], [1, -4, 1], [0, 1, 0]]


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def filtered(image, kernel, padding="VALID"):
    """The image of one channel under a `conv` layer with this kernel."""
    layer = conv(1, (3, 3), padding=padding, use_bias=False)
    params = {"kernel": np.asarray(kernel, np.float32)[:, :, None, None]}
    x = np.asarray(image, np.float32)[None, :, :, None]
    return np.asarray(jax.jit(layer.apply)(params, {}, x)[0])[0, :, :, 0]


def line(n=40):
    """Points near a line, and the least squares fit [w_0, w_1]."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, n)
    y = 0.5 + 2 * x + 0.1 * rng.normal(size=n)
    w, *_ = np.linalg.lstsq(np.stack([np.ones(n), x], 1), y, rcond=None)
    return jnp.asarray(x, jnp.float32)[:, None], jnp.asarray(y, jnp.float32)[:, None], w


def test_gradient_descent_finds_the_least_squares_line():
    """S4, Linear regression: w_0, w_1 that minimise J(w) = 1/2 sum (f(x_i, w) - y_i)^2."""
    x, y, least_squares = line()
    model = models.linear(absorb_bias=True)

    def J(params):
        return losses.half_squared_error(model.apply(params, {}, x)[0], y).sum()

    start = {"head": {"kernel": jnp.zeros((2, 1))}}
    points = descend(J, start, optax.sgd(0.02), 300).points
    np.testing.assert_allclose(points["head"]["kernel"][-1, :, 0], least_squares, atol=1e-5)


def test_the_linear_classifier_returns_minus_1_or_plus_1():
    """S4, Classification function: +1 if tanh(w_0 + w_1 x) >= 0, else -1."""
    classify = serial(
        *[("linear", models.linear(absorb_bias=True)), jnp.tanh],
        lambda x: jnp.where(x >= 0, 1, -1),
    )
    params = {"linear": {"head": {"kernel": jnp.array([[1.0], [-2.0]])}}}
    x = jnp.array([[0.5], [0.51], [0.49], [-3.0], [3.0]])
    np.testing.assert_array_equal(classify.apply(params, {}, x)[0][:, 0], [1, -1, 1, 1, -1])


def test_every_activation_function_of_the_list_exists():
    """S4, Activation function: threshold, tanh, sigmoid, ReLU, leaky ReLU, PReLU."""
    z = jnp.array([[-2.0, 0.0, 3.0]])
    np.testing.assert_array_equal(heaviside(z), [[0, 0, 1]])
    np.testing.assert_allclose(jnp.tanh(z), 2 / (1 + np.exp(-2 * np.asarray(z))) - 1, atol=1e-6)
    np.testing.assert_allclose(jax.nn.sigmoid(z), 1 / (1 + np.exp(-np.asarray(z))), atol=1e-6)
    np.testing.assert_array_equal(relu(z), [[0, 0, 3]])
    np.testing.assert_allclose(jax.nn.leaky_relu(z, 0.1), [[-0.2, 0, 3]], rtol=1e-6)
    slopes = {"slope": jnp.array([0.5, 0.5, 0.5])}
    np.testing.assert_array_equal(prelu().apply(slopes, {}, z)[0], [[-1, 0, 3]])
    learnt = jax.grad(lambda params: prelu().apply(params, {}, z)[0].sum())(slopes)["slope"]
    np.testing.assert_array_equal(learnt, [-2, 0, 0])


def test_a_first_layer_is_one_matrix_product():
    """S4, First layer of neurones: h([1, x_1, x_2] W), a column of W for each neuron."""
    W = random(3, 3)
    x = random(1, 2, seed=1)
    layer = serial(*[("sum", models.linear(3, absorb_bias=True)), jnp.tanh])
    y, _ = layer.apply({"sum": {"head": {"kernel": W}}}, {}, x)
    by_hand = [np.tanh(W[0, j] + x[0, 0] * W[1, j] + x[0, 1] * W[2, j]) for j in range(3)]
    np.testing.assert_allclose(y[0], by_hand, atol=1e-6)


def test_a_multi_layer_perceptron_is_a_composition():
    """S4, MLP: F_3(F_2(F_1(x, W_1), W_2), W_3)."""
    x, model = random(4, 3), models.mlp((5, 4, 2), activation=jnp.tanh)
    params, _ = jax.jit(model.init)(jax.random.key(0), x)

    def F(number, x):
        name = ("fc1", "fc2", "head")[number - 1]
        features = params[name]["bias"].size
        y, _ = dense(features).apply(params[name], {}, x)
        return y if name == "head" else jnp.tanh(y)

    composed = jax.jit(lambda x: F(3, F(2, F(1, x))))(x)
    np.testing.assert_allclose(jax.jit(model.apply)(params, {}, x)[0], composed, atol=1e-6)


def test_modules_are_serialisable(tmp_path):
    """S4, Building our MLP: the params are a tree of arrays, which is saved and loaded."""
    params, _ = models.mlp((3, 2)).init(jax.random.key(0), jnp.zeros((1, 4)))
    safetensors.save(tmp_path / "mlp.safetensors", params)
    loaded = safetensors.load(tmp_path / "mlp.safetensors")
    assert jax.tree.structure(loaded) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, loaded, params)


def test_the_error_of_the_network_output_14_11_16_is_plus_0_1328():
    """S4, Loss function for classification: the slide prints -0.1328, minus the log of 0.8756."""
    u, third = np.array([[14, 11, 16]], np.float32), np.array([2])
    p = jax.nn.softmax(u)
    np.testing.assert_allclose(p, [[0.118500, 0.005900, 0.875601]], atol=1e-6)
    of_probabilities = jax.jit(losses.negative_log_likelihood)(p, third)
    np.testing.assert_allclose(of_probabilities, 0.132845, atol=1e-6)
    fused = jax.jit(losses.softmax_cross_entropy)(u, third)
    np.testing.assert_allclose(fused, 0.132845, atol=1e-6)
    np.testing.assert_allclose(fused, -16 + np.log(np.exp([14, 11, 16]).sum()), atol=1e-6)


def test_the_slope_of_a_composition_is_the_product_of_the_slopes():
    """S4, Chain rule: F'(x) = f'(g(x)) g'(x)."""
    x = 0.7
    actual = jax.grad(lambda x: jnp.sin(x**2))(x)
    assert actual == pytest.approx(np.cos(x**2) * 2 * x, rel=1e-5)


def test_the_gradients_of_a_chain_share_the_factor_of_the_layer_above():
    """S4, Back-propagation: dy_3/dw_1 = df_3/dy_2 x df_2/dy_1 x df_1/dw_1."""
    x, w = 0.5, (0.8, -1.2, 0.6)

    def y3(w1, w2, w3):
        return w3 * jnp.tanh(w2 * jnp.tanh(w1 * x))

    y1 = np.tanh(w[0] * x)
    y2 = np.tanh(w[1] * y1)
    above_2 = w[2] * (1 - y2**2)
    above_1 = above_2 * w[1] * (1 - y1**2)
    np.testing.assert_allclose(
        jax.grad(y3, argnums=(0, 1, 2))(*w), [above_1 * x, above_2 * y1, y2], rtol=1e-5
    )


def test_one_step_is_minus_0_01_times_the_gradient():
    """S4, One step in Torch7: zero the gradients, forward, backward, updateParameters(0.01)."""
    x, y = random(5, 3), random(5, 1, seed=1)
    train_step = make_train_step(models.linear(), optax.sgd(0.01), losses.half_squared_error)
    run = fit(train_step, (x, y), key=jax.random.key(0), epochs=1, batch_size=5)
    before = jax.device_get(jax.jit(train_step.init)(jax.random.key(0), x).params["head"])
    error = x @ before["kernel"] + before["bias"] - y
    after = run.train_state.params["head"]
    expected = before["kernel"] - 0.01 * x.T @ error / 5
    np.testing.assert_allclose(after["kernel"], expected, atol=1e-6)


def counter(rate):
    """A train step for 12 weights: example i adds `rate` to weight i, and a batch the mean."""
    model = models.linear()
    return make_train_step(model, optax.sgd(rate), lambda outputs, y: -outputs[:, 0])


@pytest.mark.parametrize("batch_size", [1, 3, 12])
def test_an_epoch_uses_every_example_once_with_any_batch_size(batch_size):
    """S4, Batch, stochastic and mini-batch SGD: torch.randperm, then 1, n or all at a time.

    The slides add the gradients of a batch up; ours is their mean, so the rate is n times theirs.
    """
    split = (np.eye(12, dtype=np.float32), np.zeros(12, np.int32))
    train_step = counter(rate=0.01 * batch_size)
    key = jax.random.key(0)
    run = fit(train_step, split, key=key, epochs=1, batch_size=batch_size)
    before = jax.jit(train_step.init)(key, split[0]).params["head"]["kernel"]
    moved = run.train_state.params["head"]["kernel"] - before
    np.testing.assert_allclose(moved, 0.01, rtol=1e-4)
    assert run.train_state.step == 12 // batch_size


def test_momentum_adds_a_fraction_of_the_last_step():
    """S4, SGD optimization algorithms: v <- gamma v + eta grad J; theta <- theta - v."""

    def rate(step):
        return 0.1 / (1 + step)  # under a falling rate, optax's momentum differs

    passed = descend(lambda x: 2 * x**2, 1.0, momentum(rate, decay=0.9), 4)
    theta, v, expected = 1.0, 0.0, [1.0]
    for n in range(4):
        v = 0.9 * v + 0.1 / (1 + n) * 4 * theta
        theta -= v
        expected.append(theta)
    np.testing.assert_allclose(passed.points, expected, rtol=1e-5)
    other = descend(lambda x: 2 * x**2, 1.0, optax.sgd(rate, momentum=0.9), 4)
    assert abs(other.points[-1] - expected[-1]) > 0.01


def test_adagrad_adapts_the_rate_to_each_parameter():
    """S4, SGD optimization algorithms: the first step has the same size for every slope."""
    start = jnp.array([1.0, 1.0])
    tx = optax.adagrad(0.1, initial_accumulator_value=0.0)
    passed = descend(lambda x: x[0] ** 2 + 1000 * x[1] ** 2, start, tx, 1)
    np.testing.assert_allclose(passed.points[1], [0.9, 0.9], rtol=1e-4)


def true_convolution(image, kernel):
    """(f * g)(n) = sum over m of f(n - m) g(m), where all of the kernel is on the image."""
    rows, columns = (size - 2 for size in image.shape)
    out = np.zeros((rows, columns))
    for row in range(rows):
        for column in range(columns):
            for i in range(3):
                for j in range(3):
                    out[row, column] += image[row + 2 - i, column + 2 - j] * kernel[i][j]
    return out


def test_the_formula_is_a_convolution_and_the_sliding_mask_a_cross_correlation():
    """S4, Discrete convolution: emboss is not symmetric, so the two differ; a layer is the mask."""
    image = np.random.default_rng(0).integers(0, 9, (6, 6))
    emboss = np.array(EMBOSS)
    mask = [[(image[r : r + 3, c : c + 3] * emboss).sum() for c in range(4)] for r in range(4)]
    np.testing.assert_array_equal(filtered(image, emboss), mask)
    turned = emboss[::-1, ::-1]
    np.testing.assert_array_equal(filtered(image, turned), true_convolution(image, EMBOSS))
    assert (filtered(image, emboss) != true_convolution(image, EMBOSS)).any()


@pytest.mark.parametrize(("kernel", "total"), [(SHARPEN, 1), (EMBOSS, 1), (EDGE, 0), (BLUR, 15)])
def test_a_constant_image_is_multiplied_by_the_sum_of_the_kernel(kernel, total):
    """S4, Convolution example: sharpen and emboss keep it, edge detect gives 0, blur 15 times."""
    assert np.sum(kernel) == total
    np.testing.assert_array_equal(filtered(np.full((4, 4), 7), kernel), 7 * total)


def test_the_blur_of_the_slide_must_be_divided_by_15():
    """S4, Convolution example: divided by 15 it averages and preserves brightness."""
    blurred = filtered(np.full((4, 4), 7), np.array(BLUR) / 15)
    np.testing.assert_allclose(blurred, 7, rtol=1e-6)


def test_pooling_reduces_the_map_and_increases_the_field_of_view():
    """S4, Pooling and Field of view: two 3 x 3 windows see 5 rows; with a pool of 2 between, 8."""

    def seen(*between):
        stages = [("conv1", conv(1, (3, 3), padding="VALID")), *between]
        model = serial(*stages, ("conv2", conv(1, (3, 3), padding="VALID")))
        x = random(1, 14, 14, 1)
        params, _ = jax.jit(model.init)(jax.random.key(0), x)
        gradient = jax.jit(jax.grad(lambda x: model.apply(params, {}, x)[0][0, 0, 0, 0]))(x)
        rows, columns = np.nonzero(np.asarray(gradient)[0, :, :, 0])
        return rows.max() + 1, columns.max() + 1

    assert avg_pool((2, 2))(jnp.zeros((1, 12, 12, 1))).shape == (1, 6, 6, 1)
    assert seen() == (5, 5)
    assert seen(avg_pool((2, 2))) == (8, 8)


def test_sum_pooling_is_average_pooling_times_the_window_size():
    """S4, Pooling: average and sum pooling, here of S0's 4 x 4 image."""
    image = jnp.array([[12, 20, 30, 0], [8, 12, 2, 0], [34, 70, 37, 4], [112, 100, 25, 12]])
    x = image.astype(jnp.float32)[None, :, :, None]
    np.testing.assert_array_equal(sum_pool((2, 2))(x)[0, :, :, 0], [[52, 32], [316, 78]])
    np.testing.assert_array_equal(avg_pool((2, 2))(x)[0, :, :, 0], [[13, 8], [79, 19.5]])


def test_stochastic_pooling_samples_values_in_proportion_to_their_size():
    """S4, Pooling: a value of each block with probability proportional to the value."""
    block = np.array([[1, 2], [5, 0]], np.float32)[None, :, :, None]
    x, pool = np.tile(block, (2000, 1, 1, 1)), stochastic_pool((2, 2))
    drawn = np.asarray(pool.apply({}, {}, x, key=jax.random.key(0), train=True)[0])
    for value, share in ((1, 1 / 8), (2, 2 / 8), (5, 5 / 8)):
        assert abs((drawn == value).mean() - share) < 5 * np.sqrt(share * (1 - share) / 2000)
    assert (drawn != 0).all()
    np.testing.assert_allclose(pool.apply({}, {}, x)[0], (1 + 4 + 25) / 8, rtol=1e-6)


def test_lenet_5_in_its_fully_connected_form_has_61_706_parameters():
    """S4, Convolutional neural network: LeCun, Bottou, Bengio & Haffner 1998."""
    params, _ = abstract(models.lenet5(), 28, 28, 1)
    assert {name: count(params[name]) for name in params} == {
        "conv1": 156,
        "conv2": 2_416,
        "fc1": 48_120,
        "fc2": 10_164,
        "head": 850,
    }
    assert count(params) == 61_706


def test_dropout_sets_6_of_16_units_to_0_and_does_not_scale_the_others():
    """S4, Dropout, a drop factor of 0.3: at test time, all units times 0.7, not 0.3."""
    units = jnp.array([[13, 9, 7, 4], [4, 16, 2, 5], [0, 6, 8, 19], [4, 7, 7, 5]], jnp.float32)
    kept = jnp.array([[1, 0, 1, 1], [1, 0, 1, 0], [1, 1, 1, 0], [0, 0, 1, 1]], bool)
    layer = dropout(0.3, mode="classic", mask=lambda key, keep, shape: kept)
    trained, _ = layer.apply({}, {}, units, key=jax.random.key(0), train=True)
    np.testing.assert_array_equal(
        trained, [[13, 0, 7, 4], [4, 0, 2, 0], [0, 6, 8, 0], [0, 0, 7, 5]]
    )
    assert (~kept).sum() == 6
    np.testing.assert_allclose(layer.apply({}, {}, units)[0], 0.7 * units, rtol=1e-6)


def test_at_test_time_dropout_keeps_the_same_energy():
    """S4, Dropout: scaled by the keep probability, where S3 says by the dropout rate."""
    units, rates = jnp.ones((100, 1000)), (0.2, 0.3)
    for rate in rates:
        classic = dropout(rate, mode="classic")
        trained, _ = classic.apply({}, {}, units, key=jax.random.key(0), train=True)
        tested, _ = classic.apply({}, {}, units)
        assert abs(trained.mean() - tested.mean()) < 5 * np.sqrt(rate * (1 - rate) / units.size)


def test_batch_normalisation_is_four_lines():
    """S4, Batch normalization: mean, variance (1/m), normalise, scale and shift."""
    x = random(6, 3)
    params = {"scale": jnp.array([1.0, 2.0, 3.0]), "bias": jnp.array([0.0, -1.0, 5.0])}
    y, _ = batch_norm(epsilon=1e-5).apply(
        params, {"mean": jnp.zeros(3), "var": jnp.ones(3)}, x, train=True
    )
    batch = np.asarray(x, np.float64)
    mean = batch.sum(0) / 6
    variance = ((batch - mean) ** 2).sum(0) / 6
    normalised = (batch - mean) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(y, [1, 2, 3] * normalised + [0, -1, 5], rtol=1e-4, atol=1e-5)
