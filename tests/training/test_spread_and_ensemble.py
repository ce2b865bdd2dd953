"""Several runs as one figure, and several models as one answer."""

import numpy as np
import pytest
from helpers import assert_close
from scipy import stats

from jaxnets.training.population import average, spread, vote

FIGURES = np.array([0.97, 0.98, 0.95, 0.99, 0.96])


def test_the_interval_is_students():
    found = spread(FIGURES)
    mean, sem = FIGURES.mean(), stats.sem(FIGURES)
    low, high = stats.t.interval(0.95, len(FIGURES) - 1, loc=mean, scale=sem)
    assert_close([found.mean, found.low, found.high], [mean, low, high], 1e-12)
    assert_close(found.std, FIGURES.std(ddof=1), 1e-12)
    assert (found.n, found.best, found.worst, found.diverged) == (5, 0.99, 0.95, 0)


def test_a_run_that_diverged_is_counted_apart():
    assert spread(np.append(FIGURES, [np.nan, np.inf]))._replace(diverged=0) == spread(FIGURES)
    assert spread(np.append(FIGURES, [np.nan, np.inf])).diverged == 2


def test_of_losses_the_smallest_is_best():
    found = spread(FIGURES, smaller_is_better=True)
    assert (found.best, found.worst) == (0.95, 0.99)


def test_a_single_run_has_no_spread_and_says_so():
    found = spread([0.5])
    assert found.mean == found.best == 0.5
    assert np.isnan([found.std, found.low, found.high]).all()
    assert "±" not in str(found) and "n = 1" in str(found)


def test_no_run_left_has_no_figures():
    assert np.isnan(spread([np.nan]).mean)
    assert spread([np.nan]).diverged == 1


@pytest.mark.parametrize("values", [[], 0.5, [[0.5]]])
def test_what_is_no_list_of_figures_is_refused(values):
    with pytest.raises(ValueError, match="figures"):
        spread(values)


# three members, two examples, three classes
PROBABILITIES = np.array(
    [
        [[0.5, 0.4, 0.1], [0.1, 0.2, 0.7]],
        [[0.1, 0.8, 0.1], [0.4, 0.3, 0.3]],
        [[0.4, 0.3, 0.3], [0.0, 0.1, 0.9]],
    ]
)


def test_a_vote_is_each_members_for_its_likeliest_class():
    votes = np.array([[2, 1, 0], [1, 0, 2]]) / 3
    assert_close(vote(PROBABILITIES), votes, 1e-12)


def test_an_average_is_the_mean_probability():
    assert_close(average(PROBABILITIES)[0], np.array([1 / 3, 0.5, 0.5 / 3]), 1e-12)


def test_a_vote_and_an_average_may_disagree():
    assert vote(PROBABILITIES)[0].argmax() == 0
    assert average(PROBABILITIES)[0].argmax() == 1


@pytest.mark.parametrize("combine", [vote, average])
def test_an_ensemble_refuses_what_is_no_probability(combine):
    with pytest.raises(ValueError, match=r"\(members, n, classes\).*shape \(2, 3\)"):
        combine(PROBABILITIES[0])
    diverged = PROBABILITIES.copy()
    diverged[1] = np.nan
    with pytest.raises(ValueError, match=r"members \[1\] are NaN"):
        combine(diverged)
