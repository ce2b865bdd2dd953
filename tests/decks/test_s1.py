"""S1, "Introduction to Neural Networks": what its slides claim, and their numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from counting import abstract, counts
from helpers import eval_state, eval_step

from jaxnets import data, dense, losses, metrics, models, serial
from jaxnets.inspect import computation_graph
from jaxnets.training import predict_proba

RNG = np.random.default_rng(0)
X = RNG.normal(size=(7, 3)).astype(np.float32)
Y = np.array([1, 0, 0, 1, 1, 0, 1], np.float32)
W = np.array([0.3, -0.4, 0.8, 0.1], np.float32)  # w_0 first
PARAMS = {"head": {"kernel": W[:, None]}}
AUGMENTED = np.hstack([np.ones((7, 1)), X])
PROBABILITY = 1 / (1 + np.exp(-AUGMENTED @ W))  # the y with a tilde of the slides


@jax.jit
def cost(params):
    """J: the average of all losses."""
    logits, _ = models.logistic(absorb_bias=True).apply(params, {}, jnp.asarray(X))
    return losses.binary_cross_entropy(logits, jnp.asarray(Y)[:, None]).mean()


def test_a_row_vector_is_added_to_each_row_of_a_matrix():
    """S1, Conventions: [[2, 3], [4, 5]] + [[-4, 2]]."""
    np.testing.assert_array_equal(
        jnp.array([[2, 3], [4, 5]]) + jnp.array([[-4, 2]]), [[-2, 5], [0, 7]]
    )
    params = {"kernel": jnp.eye(2), "bias": jnp.array([-4.0, 2.0])}
    y, _ = dense(2).apply(params, {}, jnp.array([[2.0, 3.0], [4.0, 5.0]]))
    np.testing.assert_array_equal(y, [[-2, 5], [0, 7]])


def test_an_input_of_ones_makes_the_bias_a_weight():
    """S1, Review: Logistic Regression: x = [1, x], w = [w_0, ..., w_m]."""
    absorbed, _ = models.logistic(absorb_bias=True).apply(PARAMS, {}, jnp.asarray(X))
    apart = {"head": {"kernel": PARAMS["head"]["kernel"][1:], "bias": jnp.asarray(W[:1])}}
    separate, _ = models.logistic().apply(apart, {}, jnp.asarray(X))
    np.testing.assert_allclose(absorbed, separate, atol=1e-6)
    np.testing.assert_allclose(jax.nn.sigmoid(absorbed)[:, 0], PROBABILITY, atol=1e-6)


def test_the_loss_is_minus_the_log_of_the_likelihood():
    """S1, Review: Logistic Regression (2): p(y|x) = p^y (1 - p)^(1 - y), the loss is -ln of it.

    The slides leave the minus out once, and call it categorical; it is the binary cross-entropy.
    """
    likelihood = PROBABILITY**Y * (1 - PROBABILITY) ** (1 - Y)
    of_probabilities = losses.binary_negative_log_likelihood(
        jnp.asarray(PROBABILITY, jnp.float32)[:, None], jnp.asarray(Y)[:, None]
    )
    np.testing.assert_allclose(of_probabilities, -np.log(likelihood), rtol=1e-5)
    np.testing.assert_allclose(cost(PARAMS), -np.log(likelihood).mean(), rtol=1e-5)


def test_the_gradient_of_logistic_regression_is_the_error_times_the_input():
    """S1, Gradients on Computational Graphs (4): dJ/dw = (1/n) (p - y) x."""
    gradient = jax.grad(cost)(PARAMS)["head"]["kernel"][:, 0]
    by_hand = (PROBABILITY - Y) @ AUGMENTED / len(Y)
    np.testing.assert_allclose(gradient, by_hand, atol=1e-6)


def test_each_factor_of_the_chain_rule_is_as_on_the_slides():
    """S1, Gradients on Computational Graphs (2, 3): dL/dp, and dp/dz = p (1 - p).

    The slide's dL/dp = y/p - (1 - y)/(1 - p) belongs to its L without the minus.
    """
    z = jnp.asarray(AUGMENTED @ W, jnp.float32)
    slope = jax.jit(jax.vmap(jax.grad(jax.nn.sigmoid)))(z)
    np.testing.assert_allclose(slope, PROBABILITY * (1 - PROBABILITY), atol=1e-6)

    def loss(p):
        return losses.binary_negative_log_likelihood(p[:, None], jnp.asarray(Y)[:, None]).sum()

    by_probability = jax.jit(jax.grad(loss))(jnp.asarray(PROBABILITY, jnp.float32))
    np.testing.assert_allclose(
        by_probability, -(Y / PROBABILITY - (1 - Y) / (1 - PROBABILITY)), rtol=1e-5
    )


def test_one_update_subtracts_the_learning_rate_times_the_gradient():
    """S1, Putting It All Together: w = w - alpha dJ/dw."""
    gradient, tx = jax.grad(cost)(PARAMS), optax.sgd(0.25)
    after = optax.apply_updates(PARAMS, tx.update(gradient, tx.init(PARAMS))[0])
    by_hand = W - 0.25 * (PROBABILITY - Y) @ AUGMENTED / len(Y)
    np.testing.assert_allclose(after["head"]["kernel"][:, 0], by_hand, atol=1e-6)


def test_a_batch_equals_its_examples():
    """S1, Generalization: Many Examples: Z = sigma(w^T X), all in parallel."""
    model = models.logistic(absorb_bias=True)
    together, _ = model.apply(PARAMS, {}, X)
    alone = [model.apply(PARAMS, {}, x[None])[0] for x in X]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-6)


def test_the_graph_of_logistic_regression_goes_from_the_product_to_the_sigmoid():
    """S1, Computation Graphs: z = w^T x, then sigma(z)."""
    model = serial(*[("linear", models.logistic(absorb_bias=True)), ("sigma", jax.nn.sigmoid)])
    graph = computation_graph(model, jnp.asarray(X))
    order = [node.operation.split("[")[0] for node in graph.nodes]
    assert order.index("dot_general") < order.index("logistic")
    assert graph.outputs == (graph.nodes[order.index("logistic")].name,)


@pytest.mark.parametrize("hidden", [(3, 3), (2, 3, 2)])
def test_each_weight_matrix_has_one_column_more_than_the_previous_layer_has_units(hidden):
    """S1, Neural Network Implementation: W is m[l] x (m[l-1] + 1), with {3, 3} and 2 + 3 + 2."""
    sizes = (784, *hidden, 10)
    weights = counts(abstract(models.mlp(sizes[1:]), 784)[0])
    names = [f"fc{number}" for number in range(1, len(hidden) + 1)] + ["head"]
    for name, before, units in zip(names, sizes[:-1], sizes[1:], strict=True):
        assert weights[f"{name}/kernel"] + weights[f"{name}/bias"] == units * (before + 1)


def test_equal_weights_stay_equal_so_never_start_from_zeros():
    """S1, Neural Network Implementation: don't initialize W with zeroes!"""
    model = models.mlp((4, 1), activation=jnp.tanh)

    def loss(params):
        outputs, _ = model.apply(params, {}, jnp.asarray(X))
        return losses.half_squared_error(outputs, jnp.asarray(Y)[:, None]).mean()

    def equal(value):
        shapes, _ = abstract(model, 3)
        return jax.tree.map(lambda leaf: np.full(leaf.shape, value, np.float32), shapes)

    gradient = jax.jit(jax.grad(loss))
    from_zeros, from_halves = gradient(equal(0.0)), gradient(equal(0.5))
    assert not from_zeros["fc1"]["kernel"].any() and not from_zeros["head"]["kernel"].any()
    columns = from_halves["fc1"]["kernel"]
    assert columns.any() and (columns == columns[:, :1]).all()


def test_regression_has_no_activation_at_the_output():
    """S1, Neural Network Learning (2), MLPRegressor: negated weights give the negated output."""
    model = models.mlp((5, 1))
    params, _ = jax.jit(model.init)(jax.random.key(0), jnp.asarray(X))
    y, _ = model.apply(params, {}, jnp.asarray(X))
    turned = params | {"head": jax.tree.map(jnp.negative, params["head"])}
    assert y.any()
    np.testing.assert_array_equal(model.apply(turned, {}, jnp.asarray(X))[0], -y)


def test_classes_are_encoded_one_hot():
    """S1, Neural Network Learning (2): just use one-hot encoding."""
    np.testing.assert_array_equal(data.one_hot([2, 0, 1], 3), [[0, 0, 1], [1, 0, 0], [0, 1, 0]])


def test_alpha_is_the_l2_penalty_of_scikit_learn():
    """S1, Neural Network Learning (2): alpha in 10.0 ** -np.arange(1, 7); alpha/2 |W|^2 / n."""
    kernel = np.array([[1.0, -2.0], [0.5, 3.0]])
    params = {"head": {"kernel": jnp.asarray(kernel), "bias": jnp.array([100.0, 0.0])}}
    alphas = 10.0 ** -np.arange(1, 7)
    np.testing.assert_allclose(alphas, [0.1, 0.01, 0.001, 0.0001, 0.00001, 0.000001])
    for alpha in alphas:
        penalty = losses.l2(params, alpha / (2 * 50))
        np.testing.assert_allclose(penalty, alpha / 2 * 14.25 / 50, rtol=1e-6)


def test_features_are_scaled_to_0_1_or_minus_1_1_or_z():
    """S1, Neural Network Learning (2): a neural network is very sensitive to feature scaling."""
    ages_and_incomes = np.array([[20, 30_000], [40, 50_000], [60, 100_000]])
    unit = data.fit_range(ages_and_incomes).apply(ages_and_incomes)
    np.testing.assert_allclose(unit, [[0, 0], [0.5, 2 / 7], [1, 1]], atol=1e-6)
    both_sides = data.fit_range(ages_and_incomes, -1, 1).apply(ages_and_incomes)
    np.testing.assert_allclose(both_sides, 2 * unit - 1, atol=1e-6)
    z = data.fit_standard(ages_and_incomes).apply(ages_and_incomes)
    by_hand = (ages_and_incomes - ages_and_incomes.mean(0)) / ages_and_incomes.std(0)
    np.testing.assert_allclose(z, by_hand, atol=1e-6)


def test_a_classifier_is_scored_by_accuracy_precision_recall_f1_confusion_and_roc():
    """S1, Example: Classifying Handwritten Digits: 4 found, 1 false alarm, 2 missed, 3 right."""
    labels = np.array([1, 1, 1, 1, 1, 1, 0, 0, 0, 0])
    logits = np.array([[4, 3, 2, 0.5, -1, -4, 1, -2, -3, -5]], np.float32).T
    weights = jnp.ones(10)

    def value(metric):
        return jax.jit(lambda: metric.value(metric.sums(logits, labels, weights)))()

    assert value(metrics.accuracy) == pytest.approx(7 / 10)
    assert value(metrics.precision(2, average="binary")) == pytest.approx(4 / 5)
    assert value(metrics.recall(2, average="binary")) == pytest.approx(4 / 6)
    assert value(metrics.f1(2, average="binary")) == pytest.approx(8 / 11)
    np.testing.assert_array_equal(value(metrics.confusion_matrix(2)), [[3, 1], [2, 4]])
    better = sum(p > n for p in (4, 3, 2, 0.5, -1, -4) for n in (1, -2, -3, -5))
    assert metrics.roc_auc(logits[:, 0], labels) == pytest.approx(better / 24)
    curve = metrics.roc_curve(logits[:, 0], labels)
    at_zero = int((curve.thresholds > 0).sum()) - 1
    assert (curve.fpr[at_zero], curve.tpr[at_zero]) == (pytest.approx(1 / 4), pytest.approx(4 / 6))


def test_networks_return_a_confidence():
    """S1, Neural Networks: Pros and Cons: "not probabilistic", but softmax outputs sum to 1."""
    model = models.mlp((3, 4))
    train_state = eval_state(*jax.jit(model.init)(jax.random.key(0), jnp.asarray(X)))
    confidence = predict_proba(eval_step(model), train_state, X)
    assert confidence.shape == (7, 4) and (confidence > 0).all()
    np.testing.assert_allclose(confidence.sum(1), 1, rtol=1e-6)
