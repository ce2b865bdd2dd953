"""A run with wrong arguments is refused before it starts, with what was expected and got."""

import numpy as np
import pytest
from clouds import TRAIN, VALIDATION, run

from jaxnets.training import RunError

X, Y = TRAIN
WRONG = {
    "no epochs": ({"epochs": 0}, "epochs to be a positive integer, but got 0"),
    "fewer than no epochs": ({"epochs": -1}, "epochs to be a positive integer, but got -1"),
    "half an epoch": ({"epochs": 1.5}, "epochs to be a positive integer, but got 1.5"),
    "a bool for epochs": ({"epochs": True}, "epochs to be a positive integer, but got True"),
    "no batch": ({"batch_size": 0}, "batch_size to be a positive integer, but got 0"),
    "neither epochs nor steps": ({"epochs": None}, "epochs or steps, but got epochs=None and st"),
    "no steps": ({"steps": 0}, "steps to be a positive integer, but got 0"),
    "half a step": ({"steps": 1.5}, "steps to be a positive integer, but got 1.5"),
    "evaluation after no unit": ({"evaluate_every": 3}, r"a count and its unit, but got 3; write"),
    "evaluation after minutes": ({"evaluate_every": (3, "minutes")}, "a count and its unit"),
    "evaluation after no steps": (
        {"evaluate_every": (0, "steps")},
        "evaluate_every to be a positive integer, but got 0",
    ),
    "an unknown policy for NaN": ({"on_nonfinite": "halt"}, '"skip" or "ignore", but got \'halt\''),
    "no patience": (
        {"patience": 0, "validation": VALIDATION},
        "patience to be a positive integer, but got 0",
    ),
    "patience with nothing to watch": ({"patience": 2}, r"pass validation=\(x, y\) as well"),
    "a batch larger than the data": (
        {"batch_size": 65},
        "batch_size=65 for 64 examples; use at most 64",
    ),
    "an unknown remainder": ({"remainder": "keep"}, '"drop" or "pad", but got \'keep\''),
    "labels missing": (
        {"data": (X, Y[1:])},
        "labels as inputs in data, at least one, but got 64 inputs and 63 labels",
    ),
    "validation labels missing": (
        {"validation": (X, Y[1:])},
        "in validation, at least one, but got 64 inputs and 63 labels",
    ),
    "no data": ({"data": (X[:0], Y[:0])}, "at least one, but got 0 inputs and 0 labels"),
    "no validation data": ({"validation": (X[:0], Y[:0])}, "but got 0 inputs and 0 labels"),
    "a class out of range": (
        {"data": (X, np.where(np.arange(64) > 60, 3, Y))},
        "training labels must be classes 0 to 2, since the model has 3 outputs, "
        "but row 61 has 3 and 3 of 64 are out of range",
    ),
    "a negative class": (
        {"validation": (X, np.where(np.arange(64) == 7, -1, Y))},
        "validation labels must be .* but row 7 has -1 and 1 of 64",
    ),
}


@pytest.mark.parametrize("wrong, message", WRONG.values(), ids=WRONG)
def test_a_wrong_run_is_refused_before_it_starts(wrong, message):
    reports = []
    with pytest.raises(RunError, match=message):
        run(report=reports.append, **wrong)
    assert not reports
