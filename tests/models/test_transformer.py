"""Transformers: published sizes, the same logits with a cache, and generation."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import assert_close

from jaxnets import LayerError, batch_norm, losses, models, serial
from jaxnets.models.generate import sample
from jaxnets.training import RunError, TrainState, evaluate, fit, make_train_step

SMALL = {"features": 8, "heads": 2, "blocks": 1}
TOKENS = jax.random.randint(jax.random.key(0), (2, 9), 0, 11)
GPT, DECODER = models.gpt(11, 16, **SMALL), models.gpt(11, 16, **SMALL, cache=16)
PARAMS, _ = jax.jit(GPT.init)(jax.random.key(1), TOKENS)


@jax.jit
def logits_of(sequence):
    """The logits of all steps at once, without a cache."""
    return GPT.apply(PARAMS, {}, sequence)[0]


def count(model):
    params, _ = jax.eval_shape(model.init, jax.random.key(0), TOKENS)
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def test_the_smallest_gpt_2_has_its_published_number_of_parameters():
    # 124,439,808, where the head shares the table of the tokens
    model = models.gpt(50257, 1024, features=768, heads=12, blocks=12)
    assert count(model) - 50257 * 768 == 124_439_808


def test_bert_base_has_its_published_number_of_parameters():
    # 109,482,240 with the embedding of 2 segments and the pooler, a dense layer
    model = models.bert_encoder(30522, 512, features=768, heads=12, blocks=12)
    assert count(model) + 2 * 768 + 768 * 769 == 109_482_240


def test_cached_and_full_logits_agree_for_prompts_of_several_tokens():
    full = logits_of(TOKENS)
    _, state = jax.jit(DECODER.init)(jax.random.key(0), TOKENS)
    for start, stop in ((0, 5), (5, 6), (6, 9)):
        logits, state = jax.jit(DECODER.apply)(PARAMS, state, TOKENS[:, start:stop])
        assert_close(logits, full[:, start:stop], 1e-5)


def test_greedy_generation_takes_the_most_probable_token_at_each_step():
    prompt, sequence = TOKENS[:, :4], np.array(TOKENS)
    for end in range(4, 7):  # what follows has no influence
        sequence[:, end] = logits_of(sequence)[:, end - 1].argmax(-1)
    options = {"key": jax.random.key(0), "temperature": 0.0}
    tokens = models.generate(DECODER, PARAMS, prompt, 3, **options)
    np.testing.assert_array_equal(tokens, sequence[:, 4:7])
    assert tokens.dtype == jnp.int32


def test_the_key_decides_what_is_sampled():
    def tokens(seed):
        return models.generate(DECODER, PARAMS, TOKENS[:, :4], 3, key=jax.random.key(seed)).tolist()

    assert tokens(0) == tokens(0) != tokens(1)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.4, 0.3, 0.2, 0.1]),
        ({"temperature": 0.5}, [16 / 30, 9 / 30, 4 / 30, 1 / 30]),
        ({"temperature": 0.0}, [1, 0, 0, 0]),
        ({"top_k": 2}, [4 / 7, 3 / 7, 0, 0]),
        ({"top_k": 9}, [0.4, 0.3, 0.2, 0.1]),
        ({"top_p": 0.6}, [4 / 7, 3 / 7, 0, 0]),
        ({"top_p": 0.75}, [4 / 9, 3 / 9, 2 / 9, 0]),
        ({"top_p": 0.0}, [1, 0, 0, 0]),
        ({"top_k": 3, "top_p": 0.5}, [4 / 7, 3 / 7, 0, 0]),
    ],
)
def test_tokens_are_sampled_with_the_probabilities_of_the_filters(options, expected):
    options = {"temperature": 1.0, "top_k": None, "top_p": 1.0} | options
    logits = jnp.log(jnp.array([0.4, 0.3, 0.2, 0.1]))[None].repeat(4000, 0)
    drawn = np.bincount(sample(jax.random.key(0), logits, **options), minlength=4) / 4000
    np.testing.assert_allclose(drawn, expected, atol=0.03)


def test_a_gpt_learns_to_count():
    """Each token is the previous one plus 1, mod 10; a row's loss is the mean over its steps."""
    starts = jnp.arange(60) % 10
    rows = (starts[:, None] + jnp.arange(8)[None]) % 10

    def loss(logits, targets):
        return jax.vmap(losses.softmax_cross_entropy)(logits, targets).mean(-1)

    step = make_train_step(models.gpt(10, 16, **SMALL), optax.adam(0.02), loss)
    result = fit(step, (rows, (rows + 1) % 10), key=jax.random.key(0), steps=60, batch_size=20)
    decoder = models.gpt(10, 16, **SMALL, cache=16)
    params = result.train_state.params
    tokens = models.generate(
        decoder, params, rows[:3, :2], 5, key=jax.random.key(0), temperature=0.0
    )
    np.testing.assert_array_equal(tokens, (rows[:3, 2:7]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda **k: models.generate(GPT, PARAMS, TOKENS, 2, **k), "make it with a cache"),
        (
            lambda **k: models.generate(
                serial(("gpt", DECODER), ("norm", batch_norm())), PARAMS, TOKENS, 2, **k
            ),
            "whose only state is a cache",
        ),
        (lambda **k: models.generate(DECODER, PARAMS, TOKENS[0], 2, **k), "at least one token"),
        (lambda **k: models.generate(DECODER, PARAMS, TOKENS[:, :0], 2, **k), "at least one token"),
        (lambda **k: models.generate(DECODER, PARAMS, TOKENS, 0, **k), "steps=1 or more"),
        (lambda **k: models.generate(DECODER, PARAMS, TOKENS, 2, top_k=0, **k), "top_k=1 or more"),
        (lambda **k: models.generate(DECODER, PARAMS, TOKENS, 2, top_p=2, **k), "top_p from 0 to"),
        (
            lambda **k: models.generate(DECODER, PARAMS, TOKENS, 2, temperature=-1, **k),
            "temperature of at least 0",
        ),
        (lambda **k: models.transformer_block(9, 2).init(k["key"], jnp.ones((1, 2, 9))), "heads"),
    ],
)
def test_misuse_is_refused_with_the_cure(call, message):
    with pytest.raises(LayerError, match=message):
        call(key=jax.random.key(0))


def test_fit_and_evaluate_refuse_a_model_with_a_cache():
    x = np.zeros((4, 3), np.int32)
    model, decoder = (
        models.gpt(5, 8, features=8, heads=2, blocks=1, cache=cache) for cache in (None, 8)
    )
    params, _ = jax.jit(model.init)(jax.random.key(0), x)
    optimizer, loss = optax.sgd(0.1), losses.per_token(losses.softmax_cross_entropy)
    train_step = make_train_step(decoder, optimizer, loss)
    with pytest.raises(RunError, match=r"without a cache, but got 'block1/attention/index'"):
        fit(train_step, (x, x), key=jax.random.key(0), epochs=1, batch_size=4)
    state = TrainState(
        0, params, jax.jit(decoder.init)(jax.random.key(0), x)[1], (), jax.random.key(0)
    )
    with pytest.raises(RunError, match=r"make it without cache="):
        evaluate(train_step, state, (x, x))
    with pytest.raises(LayerError, match=r"expects state with 'index' but got \[\]"):
        decoder.apply(params, {}, x)
