"""Training: a pure step, chunks of steps as one program, and the ordinary loop around them."""

from jaxnets.training.check import RunError
from jaxnets.training.ema import params_ema
from jaxnets.training.evaluate import evaluate, predict, predict_proba
from jaxnets.training.fit import Fit, NonFiniteLoss, fit
from jaxnets.training.report import Progress, console, json_lines, together
from jaxnets.training.update import Batch, TrainState, Update, make_update

__all__ = [
    "Batch",
    "Fit",
    "NonFiniteLoss",
    "Progress",
    "RunError",
    "TrainState",
    "Update",
    "console",
    "evaluate",
    "fit",
    "json_lines",
    "make_update",
    "params_ema",
    "predict",
    "predict_proba",
    "together",
]
