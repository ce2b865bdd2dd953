"""The spread of a metric over runs, and the predictions of ensembles."""

import numpy as np
import pytest
from helpers import assert_close
from scipy import stats

from jaxnets.training.population import average, spread, vote

ACCURACIES = np.array([0.97, 0.98, 0.95, 0.99, 0.96])


def test_the_confidence_interval_is_students():
    result = spread(ACCURACIES)
    mean, sem = ACCURACIES.mean(), stats.sem(ACCURACIES)
    low, high = stats.t.interval(0.95, len(ACCURACIES) - 1, loc=mean, scale=sem)
    assert_close([result.mean, result.low, result.high], [mean, low, high], 1e-12)
    assert_close(result.std, ACCURACIES.std(ddof=1), 1e-12)
    assert (result.n, result.best, result.worst, result.diverged) == (5, 0.99, 0.95, 0)


def test_a_run_that_diverged_is_counted_separately():
    assert spread(np.append(ACCURACIES, [np.nan, np.inf]))._replace(diverged=0) == spread(
        ACCURACIES
    )
    assert spread(np.append(ACCURACIES, [np.nan, np.inf])).diverged == 2


def test_the_smallest_loss_is_the_best():
    result = spread(ACCURACIES, smaller_is_better=True)
    assert (result.best, result.worst) == (0.95, 0.99)


def test_a_single_run_has_no_spread():
    result = spread([0.5])
    assert result.mean == result.best == 0.5
    assert np.isnan([result.std, result.low, result.high]).all()
    assert "±" not in str(result) and "n = 1" in str(result)


def test_if_all_runs_diverged_there_is_no_mean():
    assert np.isnan(spread([np.nan]).mean)
    assert spread([np.nan]).diverged == 1


@pytest.mark.parametrize("values", [[], 0.5, [[0.5]]])
def test_values_that_are_not_a_nonempty_list_of_numbers_are_refused(values):
    with pytest.raises(ValueError, match="spread expects values"):
        spread(values)


# three members, two examples, three classes
PROBABILITIES = np.array(
    [
        [[0.5, 0.4, 0.1], [0.1, 0.2, 0.7]],
        [[0.1, 0.8, 0.1], [0.4, 0.3, 0.3]],
        [[0.4, 0.3, 0.3], [0.0, 0.1, 0.9]],
    ]
)


def test_each_member_votes_for_its_most_probable_class():
    votes = np.array([[2, 1, 0], [1, 0, 2]]) / 3
    assert_close(vote(PROBABILITIES), votes, 1e-12)


def test_an_average_is_the_mean_probability():
    assert_close(average(PROBABILITIES)[0], np.array([1 / 3, 0.5, 0.5 / 3]), 1e-12)


def test_a_vote_and_an_average_may_disagree():
    assert vote(PROBABILITIES)[0].argmax() == 0
    assert average(PROBABILITIES)[0].argmax() == 1


@pytest.mark.parametrize("combine", [vote, average])
def test_an_ensemble_refuses_invalid_probabilities(combine):
    with pytest.raises(ValueError, match=r"\(members, n, classes\).*shape \(2, 3\)"):
        combine(PROBABILITIES[0])
    diverged = PROBABILITIES.copy()
    diverged[1] = np.nan
    with pytest.raises(ValueError, match=r"members \[1\] are NaN"):
        combine(diverged)
