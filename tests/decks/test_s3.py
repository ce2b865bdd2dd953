"""S3, "Neural Networks, Deep Learning" (Keras, Fashion-MNIST): its claims and numbers."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from counting import abstract, count
from helpers import eval_state, eval_step
from jax.nn import relu

from jaxnets import (
    bag_of_words,
    batch_norm,
    data,
    dense,
    dropout,
    embedding,
    losses,
    models,
    serial,
)
from jaxnets.data import text
from jaxnets.data.catalogue import FASHION_MNIST
from jaxnets.inspect import GradientError, check_function
from jaxnets.training import fit, make_train_step, predict_proba
from jaxnets.training.source import Epochs
from jaxnets.word_vectors import Subwords, WordVectors, cooccurrences, fasttext, word2vec


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_a_perceptron_is_a_linear_model_and_so_is_a_deep_net_of_them():
    """S3, Nodes: true only for weighted sums; S0's perceptron, a step function, is not linear."""
    model = models.mlp((5, 4, 2), activation=lambda x: x)
    params, _ = jax.jit(model.init)(jax.random.key(0), random(1, 3))
    x = random(6, 3)
    kernels = [np.asarray(params[name]["kernel"]) for name in ("fc1", "fc2", "head")]
    y, _ = model.apply(params, {}, x)
    np.testing.assert_allclose(y, x @ np.linalg.multi_dot(kernels), atol=1e-5)
    step = {"head": {"kernel": jnp.ones((3, 1)), "bias": jnp.zeros(1)}}
    a, b = (models.perceptron().apply(step, {}, row[None])[0] for row in (x[0], -x[0]))
    assert a + b == 1  # a linear function would give 0


def test_a_dense_layer_with_relu_is_relu_of_a_dot_product_plus_a_bias():
    """S3, Implementing layers (from scratch): samples first, so dot(x, w), not dot(w, x)."""
    x, params = random(4, 3), {"kernel": random(3, 2, seed=1), "bias": random(2, seed=2)}
    y, _ = serial(("dense", dense(2)), relu).apply({"dense": params}, {}, x)
    by_hand = np.maximum(np.dot(x, params["kernel"]) + np.asarray(params["bias"]), 0)
    np.testing.assert_allclose(y, by_hand, atol=1e-6)
    z = np.array([[x[i] @ params["kernel"][:, j] for j in range(2)] for i in range(4)])
    np.testing.assert_allclose(np.dot(x, params["kernel"]), z, atol=1e-6)  # S3, Tensor dot


def test_a_bias_is_broadcast_to_every_sample():
    """S3, Element-wise operations: [[1, 2], [3, 4]] + [10, 20]."""
    params = {"kernel": jnp.eye(2), "bias": jnp.array([10.0, 20.0])}
    y, _ = dense(2).apply(params, {}, jnp.array([[1.0, 2.0], [3.0, 4.0]]))
    np.testing.assert_array_equal(y, [[11, 22], [13, 24]])


def square_and_product(w):
    return (w["a"] ** 2).sum() + w["a"][0] * w["b"]


def test_finite_differences_approximate_the_gradient():
    """S3, Update rule (naive approach): run the network twice, at w - epsilon and w + epsilon."""
    start = {"a": np.array([0.5, -2.0]), "b": np.array(3.0)}
    assert check_function(square_and_product, start) < 1e-7
    gradient = jax.grad(square_and_product)(jax.tree.map(jnp.asarray, start))
    np.testing.assert_allclose(gradient["a"], [2 * 0.5 + 3, 2 * -2], rtol=1e-6)

    @jax.custom_vjp
    def wrong(w):
        return square_and_product(w)

    wrong.defvjp(lambda w: (wrong(w), w), lambda w, g: (jax.tree.map(lambda x: g * x, w),))
    with pytest.raises(GradientError):
        check_function(wrong, start)


def test_an_update_subtracts_the_step_times_the_gradient():
    """S3, Gradients: W_(i+1) = W_i - dL/dW x step."""
    w = jnp.array([1.0, -2.0])
    update, _ = optax.sgd(0.1).update(jnp.array([4.0, 0.5]), optax.sgd(0.1).init(w))
    np.testing.assert_allclose(optax.apply_updates(w, update), [0.6, -2.05], rtol=1e-6)


def test_the_gradient_of_the_first_weights_is_a_product_of_three():
    """S3, Backpropagation: do/dh x dh/dnet x dnet/dW1, for o = g(W2 h + b2), h = f(W1 x + b1)."""
    model = models.mlp((1, 1), activation=jnp.tanh, final=jax.nn.sigmoid)
    w1, b1, w2, b2, x = 0.7, -0.2, 1.5, 0.1, 0.9
    params = {
        "fc1": {"kernel": jnp.array([[w1]]), "bias": jnp.array([b1])},
        "head": {"kernel": jnp.array([[w2]]), "bias": jnp.array([b2])},
    }
    gradient = jax.grad(lambda params: model.apply(params, {}, jnp.array([[x]]))[0].sum())(params)
    h = np.tanh(w1 * x + b1)
    o = 1 / (1 + np.exp(-(w2 * h + b2)))
    by_hand = (o * (1 - o) * w2) * (1 - h**2) * x
    assert gradient["fc1"]["kernel"].item() == pytest.approx(by_hand, rel=1e-5)


def test_the_network_for_fashion_mnist_has_101_770_parameters_all_trainable():
    """S3, Model summary: 100480 in the hidden layer, 1290 in the output layer, 0 non-trainable."""
    params, state = abstract(models.mlp((128, 10)), 28, 28, 1)
    assert {name: count(params[name]) for name in params} == {"fc1": 100_480, "head": 1_290}
    assert count(params["fc1"]) == (28 * 28 + 1) * 128 and count(params["head"]) == (128 + 1) * 10
    assert count(params) == 101_770 and count(state) == 0


def test_the_cross_entropy_of_two_classes_is_the_binary_one():
    """S3, Cross-entropy loss: -sum_c y_c log(p_c), and y_1 = y, y_0 = 1 - y."""
    p, y = np.array([0.9, 0.3, 0.5]), np.array([1, 1, 0])
    both = np.stack([1 - p, p], 1).astype(np.float32)
    expected = -y * np.log(p) - (1 - y) * np.log(1 - p)
    actual = jax.jit(losses.negative_log_likelihood)(both, data.one_hot(y, 2))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    logits = np.log(both[:, 1:] / both[:, :1])
    actual = jax.jit(losses.binary_cross_entropy)(logits, y[:, None])
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_the_penalty_grows_without_bound_as_the_probability_of_the_truth_goes_to_0():
    """S3, Cross-entropy loss: the plot for y = 1: each factor of 1/10 adds ln 10."""
    p = jnp.array([1.0, 0.1, 0.01, 0.001])
    actual = losses.binary_negative_log_likelihood(p[:, None], jnp.ones((4, 1)))
    np.testing.assert_allclose(actual, np.log(10) * np.arange(4), rtol=1e-5)


def test_class_4_is_encoded_as_a_1_in_the_fifth_place():
    """S3, Preprocessing: class '4' becomes [0,0,0,0,1,0,0,0,0,0]."""
    np.testing.assert_array_equal(data.one_hot(4, 10), [0, 0, 0, 0, 1, 0, 0, 0, 0, 0])


def test_a_prediction_has_10_entries_that_sum_to_1():
    """S3, Prediction: T-shirt or shirt. The label printed there has 8 entries, and needs 10."""
    printed = np.array([0.994607, 0, 3e-7, 2.2e-6, 0, 0, 0.0053905, 0, 0, 0])
    assert printed.sum() == pytest.approx(1, abs=1e-6)
    first, second = np.argsort(-printed)[:2]
    assert (FASHION_MNIST.classes[first], FASHION_MNIST.classes[second]) == (
        "T-shirt/top",
        "Shirt",
    )
    np.testing.assert_array_equal(data.one_hot(first, 10), [1] + 9 * [0])
    model = models.mlp((8, 10))
    x = np.random.default_rng(0).normal(size=(3, 28, 28, 1)).astype(np.float32)
    ours = predict_proba(
        eval_step(model), eval_state(*jax.jit(model.init)(jax.random.key(0), x)), x
    )
    assert ours.shape == (3, 10)
    np.testing.assert_allclose(ours.sum(1), 1, rtol=1e-6)


def test_an_epoch_has_469_steps_of_128_or_1875_steps_of_32():
    """S3, Training: 60000 samples, a batch size of 128; the times look like Keras's default 32."""
    assert Epochs(60_000, 128, "pad").steps == 469
    assert Epochs(60_000, 32, "pad").steps == 1_875


def test_early_stopping_goes_back_to_the_epoch_with_the_lowest_validation_loss():
    """S3, Early stopping: the training loss keeps falling while the validation loss rises."""
    x = np.eye(4, dtype=np.float32)
    y = np.array([0, 1, 0, 1])
    train_step = make_train_step(models.linear(2), optax.sgd(1.0), losses.softmax_cross_entropy)
    run = fit(
        train_step,
        (x, y),
        key=jax.random.key(0),
        epochs=9,
        batch_size=4,
        validation=(x, 1 - y),
        patience=2,
    )  # the labels to validate on are the opposite of those learnt, so every epoch is worse
    train = [progress.train["loss"] for progress in run.history]
    validation = [progress.validation["loss"] for progress in run.history]
    assert train == sorted(train, reverse=True) and validation == sorted(validation)
    assert run.best_epoch == 1 and len(run.history) == 3 and run.train_state.step == 1


def test_two_hidden_nodes_are_an_information_bottleneck():
    """S3, Tuning the number of nodes: 10 outputs from a 2-dimensional representation."""
    model = models.mlp((2, 10))
    params, _ = jax.jit(model.init)(jax.random.key(0), random(1, 20))
    y, _ = model.apply(params, {}, random(50, 20))
    assert np.linalg.matrix_rank(np.asarray(y)) == 2


def reviews(*extra):
    """10000-16-16-1 of the slides, with `extra` after each hidden layer."""

    def drops(number):
        return [(f"{name}{number}", layer) for name, layer in extra]

    return serial(
        *[("fc1", dense(16)), relu, *drops(1)],
        *[("fc2", dense(16)), relu, *drops(2)],
        *[("head", dense(1)), jax.nn.sigmoid],
    )


@pytest.mark.parametrize("extra", [(), (("drop", dropout(0.5)),)], ids=["plain", "dropout"])
def test_the_network_for_reviews_has_160_305_parameters_with_dropout_or_without(extra):
    """S3, Weight regularization and Dropout: both have the same number of parameters."""
    params, _ = abstract(reviews(*extra), 10_000)
    assert {name: count(params[name]) for name in params} == {
        "fc1": 160_016,
        "fc2": 272,
        "head": 17,
    }
    assert count(params) == 160_305


def test_the_first_layer_of_the_network_for_reviews_is_a_sum_of_kernel_rows():
    """S3, "One-hot-encoding": 10000 features, 1.0 if the word occurs, without storing them."""
    dense_layer, layer = dense(16), bag_of_words(10_000, 16)
    indices = np.random.default_rng(0).integers(0, 50, (8, 30))  # with repetition and padding
    one_hot = np.zeros((8, 10_000), np.float32)
    one_hot[np.arange(8)[:, None], indices] = 1
    one_hot[:, 0] = 0
    params, _ = jax.jit(layer.init)(jax.random.key(0), indices)
    params["bias"] += 0.5
    assert count(params) == 160_016

    @partial(jax.jit, static_argnums=0)
    @partial(jax.value_and_grad, argnums=1)
    def squares(layer, params, x):
        return jnp.square(layer.apply(params, {}, x)[0]).sum()

    jax.tree.map(
        lambda got, value: np.testing.assert_allclose(got, value, rtol=1e-4, atol=1e-5),
        squares(layer, params, indices),
        squares(dense_layer, params, one_hot),
    )


def test_weight_regularisation_applies_to_the_selected_layers():
    """S3, Weight regularization: kernel_regularizer=l2(0.001) on two of three layers; l1; both."""
    params = {
        "fc1": {"kernel": jnp.array([[1.0, -2.0]]), "bias": jnp.array([50.0, 50.0])},
        "fc2": {"kernel": jnp.array([[3.0], [0.0]]), "bias": jnp.array([50.0])},
        "head": {"kernel": jnp.array([[70.0]]), "bias": jnp.array([50.0])},
    }
    hidden = r"fc\d/kernel$"
    assert losses.l2(params, 0.001, names=hidden) == pytest.approx(0.001 * (1 + 4 + 9))
    assert losses.l1(params, 0.001, names=hidden) == pytest.approx(0.001 * (1 + 2 + 3))
    both = losses.l1_l2(params, 0.001, 0.001, names=hidden)
    assert both == pytest.approx(0.001 * (14 + 6))


def test_l1_leads_to_weights_that_are_0_and_l2_to_small_ones():
    """S3, Weight regularization: the slope of |w| stays 1 near 0, that of w^2 goes to 0."""
    params = {"kernel": jnp.array([1e-3, -1e-3])}
    pull = jax.grad(lambda params: losses.l1(params, 0.1))(params)["kernel"]
    np.testing.assert_allclose(pull, [0.1, -0.1], rtol=1e-6)
    pull = jax.grad(lambda params: losses.l2(params, 0.1))(params)["kernel"]
    np.testing.assert_allclose(pull, [2e-4, -2e-4], rtol=1e-5)


def test_the_dropout_rate_is_the_fraction_zeroed_out():
    """S3, Dropout: rate 0.3; in Keras the other units are scaled up, which preserves the mean."""
    x = jnp.ones((1000, 100))
    y, _ = dropout(0.3).apply({}, {}, x, key=jax.random.key(1), train=True)
    assert abs((y == 0).mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / x.size)
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.7], rtol=1e-6)


def test_batch_normalisation_keeps_a_moving_average_of_each_batch():
    """S3, Batch Normalization: an exponential moving average of the mean and the variance."""
    layer, x = batch_norm(decay=0.9), 3 + 2 * random(50, 2)
    params, state = layer.init(jax.random.key(0), x)
    mean, var = np.zeros(2), np.ones(2)
    for batch in (x, 2 * x):
        _, state = layer.apply(params, state, batch, train=True)
        mean = 0.9 * mean + 0.1 * np.asarray(batch).mean(0)
        var = 0.9 * var + 0.1 * np.asarray(batch).var(0)
    np.testing.assert_allclose(state["mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(state["var"], var, rtol=1e-5)
    y, _ = layer.apply(params, state, x)
    np.testing.assert_allclose(y, (x - mean[None]) / np.sqrt(var + 1e-5)[None], atol=1e-4)


def test_the_character_level_ngrams_of_apple_are_three_trigrams_and_two_bigrams_at_the_ends():
    """S3, "FastText": the slide omits the boundary symbols of the first and last trigram."""
    assert text.character_ngrams("apple", 3) == ["app", "ppl", "ple"]
    marked = [ngram.strip("<>") for ngram in text.character_ngrams("<apple>", 3)]
    assert marked == ["ap", "app", "ppl", "ple", "le"]


@pytest.mark.parametrize("n", [0, -1, 1.5])
def test_ngrams_of_length_0_are_refused(n):
    with pytest.raises(data.DataError, match="n to be a positive integer"):
        text.character_ngrams("apple", n)


def test_glove_counts_which_words_occur_together():
    """S3, "GloVe (count)": football occurs with my, tree with tallest, dog with my and trained."""
    sentences = [
        "I like playing football with my friends",
        "This is the tallest tree I have ever seen",
        "I have trained my dog well",
    ]
    vocabulary = text.build_vocabulary(sentences)
    pairs, counts = cooccurrences(vocabulary, sentences, window=2)
    together = {tuple(pair) for pair in pairs[counts > 0].tolist()}
    rows = [
        [
            (vocabulary.index[a], vocabulary.index[b]) in together
            for b in ("my", "tallest", "trained")
        ]
        for a in ("football", "tree", "dog")
    ]
    np.testing.assert_array_equal(rows, [[1, 0, 0], [0, 1, 0], [1, 0, 1]])


def test_an_embedding_layer_maps_each_word_to_a_point_of_300_values():
    """S3, "Word Embeddings": imported as an embedding layer; similar words are close."""
    vectors = WordVectors(("king", "queen", "tea"), random(3, 300))
    vocabulary = text.build_vocabulary(["tea queen king"])
    table, _ = vectors.table(vocabulary)
    layer = embedding(len(vocabulary), 300, embedding_init=lambda *_: jnp.asarray(table))
    indices = vocabulary.encode(["king tea"])
    y, _ = layer.apply(layer.init(jax.random.key(0), indices)[0], {}, indices)
    np.testing.assert_array_equal(y[0], [vectors["king"], vectors["tea"]])


def test_fasttext_can_also_produce_embeddings_for_new_words():
    """S3, "FastText": out-of-vocabulary words, from the n-grams that they share with known ones."""
    vocabulary = text.build_vocabulary(["apple pear"])
    step = fasttext(vocabulary, [0, 0, 1, 1], 4, subwords=Subwords(1000, (3, 3)))
    params = step.init(jax.random.key(0), None).params
    vectors = step.vectors(params)
    ngrams = np.asarray(params["input"])[len(vocabulary) :]
    expected = ngrams[Subwords(1000, (3, 3))("apples")].mean(0)
    np.testing.assert_allclose(vectors["apples"], expected, rtol=1e-5)


@pytest.mark.parametrize("model", ["cbow", "skip-gram"])
def test_word2vec_predicts_a_word_from_its_context_or_the_other_way_round(model):
    """S3, "Word2Vec": the embedding is the weights of a network with one layer between."""
    step = word2vec([0, 0, 3, 2, 1], 4, model=model, window=1, drawn=2)
    params = step.init(jax.random.key(0), None).params
    assert {name: leaf.shape for name, leaf in params.items()} == {
        "input": (5, 4),
        "output": (5, 4),
    }
