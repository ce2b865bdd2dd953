"""Values follow their distribution, and the values of different names are independent."""

import jax
import numpy as np
import pytest
from scipy import stats

from jaxnets.training import RunError
from jaxnets.training.search import choice, integers, log_uniform, uniform
from jaxnets.training.search.space import draw, product

KEY = jax.random.key(0)
SPACE = {
    "rate": log_uniform(1e-5, 1.0),
    "dropout": uniform(0.0, 0.6),
    "width": integers(8, 11),
    "units": choice(16, (32, 32)),
}
DRAWN = draw(SPACE, KEY, 2000)


def column(name):
    return [setting[name] for setting in DRAWN]


@pytest.mark.parametrize(
    ("name", "cdf"),
    [("rate", stats.loguniform(1e-5, 1.0).cdf), ("dropout", stats.uniform(0.0, 0.6).cdf)],
)
def test_real_numbers_follow_scipys_distribution(name, cdf):
    assert stats.kstest(column(name), cdf).pvalue > 0.01


def test_bounds_of_integers_are_included_and_all_options_are_equally_likely():
    for name, values in (("width", [8, 9, 10, 11]), ("units", [16, (32, 32)])):
        counts = [column(name).count(value) for value in values]
        assert sum(counts) == 2000
        assert stats.chisquare(counts).pvalue > 0.01


def test_values_of_different_names_are_independent():
    ranks = stats.spearmanr(np.array([column("rate"), column("dropout")]).T)
    assert ranks.pvalue > 0.01


def test_other_names_and_more_trials_do_not_change_a_names_values():
    more = {"first": uniform(0.0, 1.0), **SPACE}
    for i, setting in enumerate(draw(more, KEY, 30)):
        assert {name: setting[name] for name in SPACE} == DRAWN[i]
    assert draw(SPACE, jax.random.key(1), 1) != DRAWN[:1]


def test_a_grid_has_every_combination_once():
    space = {"a": integers(1, 2), "b": choice("x", "y")}
    settings = [(setting["a"], setting["b"]) for setting in product(space)]
    assert settings == [(1, "x"), (1, "y"), (2, "x"), (2, "y")]


def test_numpy_numbers_become_python_numbers():
    (first, *_) = choice(*np.geomspace(1e-3, 1, 4)).arguments
    assert type(first) is float and first == 1e-3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: uniform(2, 1), r"low < high, but got 2 and 1; one fixed value is choice"),
        (lambda: uniform(1, 1), "low < high"),
        (lambda: uniform(0, float("inf")), "finite bounds"),
        (lambda: uniform(float("nan"), 1), "finite bounds"),
        (lambda: log_uniform(0, 1), "positive low, but got 0, .*; .* use uniform"),
        (lambda: log_uniform(-1, 1), "positive low, but got -1"),
        (lambda: log_uniform(1, 0.1), "low < high"),
        (lambda: integers(1, 2.5), "integers as bounds, but got 2.5"),
        (lambda: integers(4, 3), "low < high"),
        (lambda: choice(), "at least one option"),
        (lambda: choice(1, 1), "distinct options"),
        (lambda: choice(np.tanh), "choose a name"),
        (lambda: product({"rate": uniform(0, 1)}), "'rate' is uniform; write choice"),
    ],
)
def test_an_invalid_distribution_is_refused_with_the_cure(wrong, message):
    with pytest.raises(RunError, match=message):
        wrong()
