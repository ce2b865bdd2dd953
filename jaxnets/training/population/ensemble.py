"""Ensembles: combine the predictions of the members of a population."""

import numpy as np


def vote(probabilities: np.ndarray) -> np.ndarray:
    """The share of members that vote for each class, (n, classes), from (N, n, classes).

    A member votes for its most probable class. The `argmax` of the result is the majority vote;
    ties go to the smaller class number.
    """
    members, _, classes = _check(probabilities).shape
    ballots = probabilities.argmax(-1)
    return (ballots[..., None] == np.arange(classes)).sum(0) / members


def average(probabilities: np.ndarray) -> np.ndarray:
    """The members' mean probability of each class, (n, classes), from (N, n, classes).

    Source: Lakshminarayanan, Pritzel & Blundell 2017, section 2.4.
    """
    return _check(probabilities).mean(0)


def _check(probabilities: np.ndarray) -> np.ndarray:
    if np.ndim(probabilities) != 3 or 0 in np.shape(probabilities):
        raise ValueError(
            "an ensemble expects probabilities (members, n, classes), no axis empty, but got the "
            f"shape {np.shape(probabilities)}; predict_proba_population returns them"
        )
    diverged = np.flatnonzero(np.isnan(probabilities).any((1, 2))).tolist()
    if diverged:
        raise ValueError(
            f"an ensemble expects probabilities, but those of members {diverged} are NaN; leave "
            "out members that diverged"
        )
    return np.asarray(probabilities)
