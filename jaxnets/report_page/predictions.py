"""Test predictions as HTML: the confusion matrix with its examples, mistakes and calibration."""

import base64
import io
import json
from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np

from jaxnets.report_page.svg import Line, chart

SPRITE_BYTES = 130_000
EXAMPLES = 1_200  # in the page, of all cells together
WORST = 36
BINS = 15
SIDE = 32  # pixels; larger images are sampled
MOST_CLASSES = 30


class Predictions(NamedTuple):
    """A classifier's predictions for the test split.

    Attributes:
      x: the examples (n, ...); images (n, height, width, 1 or 3) are shown, uint8 or rescaled.
      y: their classes, int (n,).
      probabilities: (n, classes); or of class 1, (n,).
      classes: the names of the classes.
      predictor: as the page names it, "the network" or "the average of 5 networks".
    """

    x: Any
    y: Any
    probabilities: Any
    classes: Sequence[str]
    predictor: str = "the network"


class Judged(NamedTuple):
    """Each example's true and predicted class, and both probabilities; (n,) each."""

    true: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    of_true: np.ndarray


def judge(predictions: Predictions) -> Judged:
    """Compare the predictions with the labels."""
    probabilities = np.asarray(predictions.probabilities, np.float64)
    if probabilities.ndim == 1:
        probabilities = np.stack([1 - probabilities, probabilities], -1)
    true = np.asarray(predictions.y).astype(int)
    rows = np.arange(len(true))
    predicted = probabilities.argmax(-1)
    return Judged(true, predicted, probabilities[rows, predicted], probabilities[rows, true])


def matrix(judged: Judged, n: int) -> np.ndarray:
    """How often true class i (row) is predicted as class j (column), int (n, n)."""
    counts = np.zeros((n, n), int)
    np.add.at(counts, (judged.true, judged.predicted), 1)
    return counts


def by_cell(judged: Judged, n: int) -> dict[str, list[int]]:
    """For each cell "i,j" of the matrix its examples, those of the highest loss first."""
    order = np.argsort(judged.of_true, kind="stable")
    cells: dict[str, list[int]] = {}
    full = len(np.unique(judged.true * n + judged.predicted))
    most = min(24, max(1, EXAMPLES // max(1, full)))
    for row in order.tolist():
        examples = cells.setdefault(f"{judged.true[row]},{judged.predicted[row]}", [])
        if len(examples) < most:
            examples.append(row)
    return cells


def worst(judged: Judged) -> list[int]:
    """The misclassified examples whose true class has the smallest probability."""
    wrong = np.flatnonzero(judged.true != judged.predicted)
    return wrong[np.argsort(judged.of_true[wrong], kind="stable")][:WORST].tolist()


def sections(predictions: Predictions) -> list[tuple[str, str]]:
    """The titles and the HTML of the sections about the predictions."""
    judged, classes = judge(predictions), [str(name) for name in predictions.classes]
    calibrated = ("Calibration", calibration(judged))
    if len(classes) > MOST_CLASSES:
        return [calibrated]
    cells, mistakes = by_cell(judged, len(classes)), worst(judged)
    shown = sorted({row for rows in [*cells.values(), mistakes] for row in rows})
    place = {row: position for position, row in enumerate(shown)}
    images = pixels(predictions.x)
    sheet, columns = ("", 0) if images is None else sprite(images[shown])
    content = {
        "classes": classes,
        "cells": {cell: [place[row] for row in rows] for cell, rows in cells.items()},
        "worst": [place[row] for row in mistakes],
        "examples": [_facts(judged, row) for row in shown],
        "columns": columns,
        "shape": [] if images is None else list(images.shape[1:3]),
    }
    counts = matrix(judged, len(classes))
    body = (
        f"<p>Of {len(judged.true):,} test examples, {escape(predictions.predictor)} classifies "
        f"{np.trace(counts):,} correctly. Rows are true classes, columns predicted ones. Press a "
        "number to see its examples, those of the lowest probability of the true class first.</p>"
        f'<div class="pair"><div class="scroll">{_table(counts, classes)}</div>'
        '<div><h3 id="what" aria-live="polite">The worst mistakes</h3>'
        '<button id="back" type="button" hidden>Back to the worst mistakes</button>'
        f'<div id="examples">{_worst_in_words(judged, mistakes, classes)}</div></div></div>'
        f'<script type="application/json" id="predictions">{as_script(content)}</script>'
        f'<script type="application/json" id="sprite">"{sheet}"</script>'
    )
    return [("Confusion matrix and worst mistakes", body), calibrated]


def calibration(judged: Judged, bins: int = BINS) -> str:
    """The accuracy against the confidence, in equally wide bins. Source: Guo et al. 2017."""
    place = np.clip(np.ceil(judged.confidence * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    hits = np.bincount(place, judged.true == judged.predicted, bins)
    confidence = np.bincount(place, judged.confidence, bins)
    error = np.abs(hits - confidence).sum() / max(1, len(judged.true))
    full = counts > 0
    drawn = chart(
        [
            Line("the model", confidence[full] / counts[full], hits[full] / counts[full]),
            Line("perfectly calibrated", np.array([0, 1]), np.array([0, 1]), dashed=True),
        ],
        "Accuracy by confidence",
        "mean confidence of the bin",
        "accuracy",
        square=True,
    )
    rows = "".join(
        f"<tr><td>{i / bins:.2f} to {(i + 1) / bins:.2f}<td>{counts[i]:,}"
        f"<td>{confidence[i] / counts[i]:.3f}<td>{hits[i] / counts[i]:.3f}</tr>"
        for i in np.flatnonzero(full)
    )
    return (
        f"<p>Expected calibration error {error:.4f}, from {bins} bins.</p>"
        f'<div class="pair">{drawn}<div class="scroll"><table><thead><tr><th>confidence'
        f"<th>examples<th>mean confidence<th>accuracy</tr></thead>{rows}</table></div></div>"
    )


def pixels(x: Any) -> np.ndarray | None:
    """Images as uint8 (n, h, w, 1 or 3), at most `SIDE` pixels per side; None for other arrays."""
    x = np.asarray(x)
    if x.ndim != 4 or x.shape[-1] not in (1, 3) or x.dtype.kind not in "uif":
        return None
    x = x[:, :: -(-x.shape[1] // SIDE), :: -(-x.shape[2] // SIDE)]
    if x.dtype == np.uint8:
        return x
    low, high = (0.0, 1.0) if x.min() >= 0 and x.max() <= 1 else (float(x.min()), float(x.max()))
    scaled = (np.nan_to_num(x.astype(np.float32)) - low) / (high - low or 1)
    return (255 * scaled).astype(np.uint8)


def sprite(images: np.ndarray) -> tuple[str, int]:
    """All images side by side as a data URI, and the number of columns.

    Above `SPRITE_BYTES` it has fewer grey levels or colours, and then fewer pixels.
    """
    columns = max(1, min(32, len(images)))
    rows = -(-len(images) // columns)
    for each in (1, 2, 4, 8):
        small = images[:, ::each, ::each]
        _, height, width, channels = small.shape
        whole = np.zeros((rows * columns, height, width, channels), np.uint8)
        whole[: len(small)] = small
        whole = whole.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
        whole = whole.reshape(rows * height, columns * width, channels)
        for levels in (255, 15, 3):
            uri = png((np.round(whole / 255 * levels) / levels * 255).astype(np.uint8))
            if len(uri) <= SPRITE_BYTES:
                return uri, columns
    return uri, columns


def png(image: np.ndarray) -> str:
    """An image (height, width, 1 or 3) of uint8 as a data URI."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(
        out, "PNG", optimize=True
    )
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def as_script(content: Any) -> str:
    """JSON that is safe inside a script element."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _facts(judged: Judged, row: int) -> list[float]:
    """An example's index, true and predicted class, and the probabilities of both."""
    true, predicted, confidence, of_true = (part[row].item() for part in judged)
    return [row, true, predicted, round(confidence, 4), float(f"{of_true:.3g}")]


def _table(counts: np.ndarray, classes: Sequence[str]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}' for name in classes)
    totals = np.maximum(counts.sum(1), 1)
    rows = []
    for i, name in enumerate(classes):
        cells = "".join(
            _cell(i, j, int(counts[i, j]), counts[i, j] / totals[i], classes)
            for j in range(len(classes))
        )
        rows.append(f'<tr><th scope="row">{escape(name)}{cells}<td>{counts[i, i] / totals[i]:.1%}')
    return (
        '<table class="confusion"><caption>true class by row, predicted class by column</caption>'
        f'<tr><td>{head}<th scope="col">correct</tr>{"".join(rows)}</table>'
    )


def _cell(i: int, j: int, count: int, share: float, classes: Sequence[str]) -> str:
    if not count:
        return '<td aria-label="none">'
    kind, strength = ("right", share) if i == j else ("wrong", min(1.0, 0.15 + 8 * share))
    words = f"{count} of true class {classes[i]} predicted as {classes[j]}: show examples"
    return (
        f'<td><button type="button" class="{kind}" data-cell="{i},{j}" '
        f'style="--share:{strength:.2f}" aria-label="{escape(words)}">{count}</button>'
    )


def _worst_in_words(judged: Judged, mistakes: Sequence[int], classes: Sequence[str]) -> str:
    """The worst mistakes as a table, which the script replaces by pictures."""
    if not mistakes:
        return "<p>There is none.</p>"
    rows = "".join(
        f"<tr><td>{row}<td>{escape(classes[int(judged.true[row])])} ({judged.of_true[row]:.2%})"
        f"<td>{escape(classes[int(judged.predicted[row])])} ({judged.confidence[row]:.2%})</tr>"
        for row in mistakes
    )
    return (
        "<table><thead><tr><th>index<th>true class (probability)"
        f"<th>predicted class (probability)</tr></thead>{rows}</table>"
    )
