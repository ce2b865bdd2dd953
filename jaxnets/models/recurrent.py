"""Recurrent networks for classification and regression of sequences."""

from collections.abc import Sequence

from jaxnets.checks import as_integers
from jaxnets.compose import serial
from jaxnets.errors import LayerError
from jaxnets.layer import Array, Layer
from jaxnets.layers import bidirectional, dense, dropout, each_step, last_step, lstm


def lstm_classifier(
    classes: int,
    *,
    units: Sequence[int] = (64,),
    both_directions: bool = False,
    dropout_rate: float | Array = 0.0,
    recurrent_dropout: float | Array = 0.0,
) -> Layer:
    """Stacked LSTMs, whose last states are classified: (batch, time, features) to (batch, classes).

    Takes arrays and padded batches. The LSTMs are named lstm1, lstm2, ..., with dropout before each
    but the first and before the head, which returns logits; for regression, use its outputs with a
    loss such as `losses.squared_error`. Source: Hochreiter & Schmidhuber 1997; dropout between
    layers: Zaremba et al. 2014.

    Args:
      classes: the number of outputs.
      units: the number of units of each layer.
      both_directions: whether each layer also runs backward; the two final states are joined.
      dropout_rate: the probability that a feature is dropped between layers and before the head.
      recurrent_dropout: as for `lstm`.

    Raises:
      LayerError: no units, a size that is not a positive integer, or a rate outside [0, 1).
    """
    if not len(units):
        raise LayerError("lstm_classifier expects units of at least one layer, as in (64,)")
    as_integers("lstm_classifier", error=LayerError, classes=classes)

    def layer(size: int, last: bool) -> Layer:
        one = lstm(size, recurrent_dropout=recurrent_dropout)
        one = serial(("rnn", one), last_step) if last else one
        return bidirectional(one) if both_directions else one

    stages = []
    for number, size in enumerate(units, start=1):
        is_last = number == len(units)
        stages += [(f"lstm{number}", layer(size, is_last))]
        drop = dropout(dropout_rate)
        stages += [(f"drop{number}", drop if is_last else each_step(drop))]
    return serial(*stages, ("head", dense(classes)))
