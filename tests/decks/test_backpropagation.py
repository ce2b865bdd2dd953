"""Backpropagation by hand, slide by slide, against `jax.grad` through the library's layers.

S1 to S4 are the decks on neural networks with scikit-learn, MATLAB, Keras and Torch7.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close

from jaxnets import dense, losses, serial

CLOSE = 1e-12  # of each array's largest value


@pytest.fixture(autouse=True)
def in_float64():
    with jax.enable_x64(True):
        yield


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def logistic(z):
    return 1 / (1 + np.exp(-z))


def logistic_slope(a):
    return a * (1 - a)


def tanh_slope(a):
    return 1 - a**2


def network_and_params(sizes, activation, n_in):
    names = [f"fc{i}" for i in range(1, len(sizes) + 1)]
    stages = [
        stage
        for name, n in zip(names, sizes, strict=True)
        for stage in ((name, dense(n)), activation)
    ]
    params = {
        name: {"kernel": normal(m, n, seed=n) / 2, "bias": normal(n, seed=n + 1)}
        for name, m, n in zip(names, (n_in, *sizes), sizes, strict=False)
    }
    return serial(*stages), params, normal(6, n_in)


@pytest.mark.parametrize(
    "sizes, activation, formula, slope",
    [
        ((2,), jnp.tanh, np.tanh, tanh_slope),
        ((5, 2), jax.nn.sigmoid, logistic, logistic_slope),
        ((7, 5, 3, 2), jnp.tanh, np.tanh, tanh_slope),
    ],
    ids=["1 layer", "2 layers", "4 layers"],
)
def test_s2_backpropagation_the_delta_recursion_is_the_gradient(sizes, activation, formula, slope):
    """S2, "Backpropagation": J = 1/2 |y - h|^2 of one example, any depth.

    The slide's W_ij leads from unit j to unit i; a kernel here is its transpose.
    """
    model, params, x = network_and_params(sizes, activation, n_in=4)
    x, y = x[:1], normal(1, sizes[-1], seed=5)

    def by_hand(params):
        names, a, gradient = list(params), [x], {}
        for name in names:  # 1. the feedforward pass
            a.append(formula(a[-1] @ params[name]["kernel"] + params[name]["bias"]))
        delta = -(y - a[-1]) * slope(a[-1])  # 2. the output layer
        for layer in reversed(range(len(names))):
            # 4. dJ/dW_ij = a_j delta_i and dJ/db_i = delta_i
            gradient[names[layer]] = {"kernel": a[layer].T @ delta, "bias": delta[0]}
            # 3. one layer back, through the weights and the slope there
            delta = (delta @ params[names[layer]]["kernel"].T) * slope(a[layer])
        return gradient

    def objective(params):
        return losses.squared_error(model.apply(params, {}, x)[0], y).sum() / 2

    assert_close(by_hand(params), jax.jit(jax.grad(objective))(params), CLOSE)


def test_s2_do_gradient_descent_on_dataset_one_layer_with_quadratic_loss():
    """S2, "Do gradient descent on dataset": grad_w L = -(y - f(w'x + b)) f'(w'x + b) x."""
    model, params, x = network_and_params((1,), jax.nn.sigmoid, n_in=3)
    y = normal(6, 1, seed=5)
    kernel, bias = params["fc1"]["kernel"], params["fc1"]["bias"]
    f = logistic(x @ kernel + bias)
    by_example = -(y - f) * logistic_slope(f)
    by_hand = {"fc1": {"kernel": (by_example * x).mean(0)[:, None], "bias": by_example.mean(0)}}

    def objective(params):
        return losses.squared_error(model.apply(params, {}, x)[0], y).mean() / 2

    assert_close(by_hand, jax.jit(jax.grad(objective))(params), CLOSE)


def test_s1_gradients_on_computational_graphs_each_link_of_the_chain():
    """S1, "Gradients on Computational Graphs (2)" to "(4)".

    The slide's L has no minus: J = -1/n sum L carries it.
    """
    z, y = np.array([0.3, -1.2, 2.0]), np.array([0.0, 1.0, 1.0])
    p = logistic(z)

    def loss(p, y):
        return y * jnp.log(p) + (1 - y) * jnp.log(1 - p)

    def slope_of(f, *at):
        return jax.jit(jax.vmap(jax.grad(f)))(*at)

    assert_close(y / p - (1 - y) / (1 - p), slope_of(loss, p, y), CLOSE)
    assert_close(p * (1 - p), slope_of(jax.nn.sigmoid, z), CLOSE)
    assert_close(y - p, slope_of(lambda z, y: loss(jax.nn.sigmoid(z), y), z, y), CLOSE)


def test_s1_applying_the_chain_rule_logistic_regression():
    """S1, "Gradients on Computational Graphs (4)": dJ/dw = 1/n (y~ - y) x, the input [1, x]."""
    x, y = normal(8, 3), np.array([0, 1, 1, 0, 1, 0, 0, 1.0])
    augmented = np.concatenate([np.ones((8, 1)), x], axis=1)
    model = serial(("fc", dense(1, use_bias=False)))
    params = {"fc": {"kernel": normal(4, 1, seed=4)}}
    predicted = logistic(augmented @ params["fc"]["kernel"])[:, 0]

    def objective(params):
        logits = model.apply(params, {}, augmented)[0]
        return losses.binary_cross_entropy(logits, y[:, None]).mean()

    by_hand = {"fc": {"kernel": (augmented.T @ (predicted - y) / 8)[:, None]}}
    assert_close(by_hand, jax.jit(jax.grad(objective))(params), CLOSE)


def test_s1_neural_network_implementation_the_whole_batch_at_once():
    """S1, "Neural Network Implementation (2)": dJ/dw[l] = 1/n dZ[l] A[l-1]', logistic, J as above.

    Biases are absorbed: each layer's input has a leading 1, and so each dZ leaves out its row.
    """
    model, params, x = network_and_params((5, 4, 1), jax.nn.sigmoid, n_in=3)
    y = np.array([0, 1, 1, 0, 1, 0.0])[:, None]

    def augment(columns):
        return np.concatenate([np.ones((1, columns.shape[1])), columns])

    def by_hand(params):
        w = [np.concatenate([p["bias"][None], p["kernel"]]).T for p in params.values()]
        a = [augment(x.T)]
        for weights in w:
            a.append(augment(logistic(weights @ a[-1])))
        dz, gradient = a[-1][1:] - y.T, {}
        for layer in (2, 1, 0):
            dw = dz @ a[layer].T / 6
            gradient[f"fc{layer + 1}"] = {"kernel": dw[:, 1:].T, "bias": dw[:, 0]}
            dz = ((w[layer].T @ dz) * logistic_slope(a[layer]))[1:]
        return gradient

    def objective(params):
        p = model.apply(params, {}, x)[0]
        return -(y * jnp.log(p) + (1 - y) * jnp.log(1 - p)).mean()

    assert_close(by_hand(params), jax.jit(jax.grad(objective))(params), CLOSE)


def test_s3_backpropagation_gradient_of_the_layer_above_slope_and_input():
    """S3, "Backpropagation": do/dW1 = do/dh dh/dnet dnet/dW1, for one example and output."""
    model, params, x = network_and_params((4, 1), jnp.tanh, n_in=3)
    x = x[:1]
    h = np.tanh(x @ params["fc1"]["kernel"] + params["fc1"]["bias"])
    o = np.tanh(h @ params["fc2"]["kernel"] + params["fc2"]["bias"])
    do_dh = tanh_slope(o) * params["fc2"]["kernel"].T
    dh_dnet = tanh_slope(h)
    gradient = jax.jit(jax.grad(lambda params: model.apply(params, {}, x)[0].sum()))(params)
    assert_close(x.T @ (do_dh * dh_dnet), gradient["fc1"]["kernel"], CLOSE)


def test_s3_update_rule_the_loss_moves_by_epsilon_times_the_derivative():
    """S3, "Update rule": L(x, w + epsilon) is about y + a epsilon, so no second run is needed."""
    model, params, x = network_and_params((2,), jnp.tanh, n_in=3)

    kernel = jnp.asarray(params["fc1"]["kernel"])

    def loss(w):
        moved = {"fc1": {**params["fc1"], "kernel": kernel.at[1, 0].set(w)}}
        return jnp.square(model.apply(moved, {}, x)[0]).sum()

    w, run = params["fc1"]["kernel"][1, 0], jax.jit(loss)
    y, a = jax.jit(jax.value_and_grad(loss))(w)
    errors = [abs(float(run(w + e) - (y + a * e))) for e in (0.2, 0.1, 0.05)]
    np.testing.assert_allclose(errors[0] / errors[1], 4, rtol=0.2)  # second order in epsilon
    np.testing.assert_allclose(errors[1] / errors[2], 4, rtol=0.2)


def test_s4_chain_rule_of_a_composition():
    """S4, "Chain rule": F'(x) = f'(g(x)) g'(x), from the parts that `jax.vjp` gives of each."""
    x = normal(5)
    np.testing.assert_allclose(
        jax.jit(jax.vmap(jax.grad(lambda x: jnp.sin(jnp.tanh(x)))))(x),
        np.cos(np.tanh(x)) * tanh_slope(np.tanh(x)),
        rtol=1e-6,
    )


def test_s4_back_propagation_through_three_modules():
    """S4, "Back-propagation": grad_w1 y3 = df3/dy2 df2/dy1 df1/dw1, and the other two."""
    model, params, x = network_and_params((4, 3, 1), jnp.tanh, n_in=2)
    x = x[:1]
    w1, w2, w3 = (layer["kernel"] for layer in params.values())
    b1, b2, b3 = (layer["bias"] for layer in params.values())
    y1 = np.tanh(x @ w1 + b1)
    y2 = np.tanh(y1 @ w2 + b2)
    y3 = np.tanh(y2 @ w3 + b3)

    df3_dy2 = tanh_slope(y3) * w3.T  # (1, 3)
    df2_dy1 = tanh_slope(y2).T * w2.T  # (3, 4)
    by_hand = {
        "fc3": y2.T @ tanh_slope(y3),
        "fc2": y1.T @ (df3_dy2 * tanh_slope(y2)),
        "fc1": x.T @ ((df3_dy2 @ df2_dy1) * tanh_slope(y1)),
    }
    gradient = jax.jit(jax.grad(lambda params: model.apply(params, {}, x)[0].sum()))(params)
    assert_close(by_hand, {name: layer["kernel"] for name, layer in gradient.items()}, CLOSE)
