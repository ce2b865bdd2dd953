"""Plots have titles, units and legends, and need no display."""

import numpy as np
import pytest

from jaxnets.inspect import plots
from jaxnets.training import Progress


def epoch(number, validation=None):
    return Progress(
        step=10 * number,
        steps=40,
        epoch=number,
        epochs=4,
        epoch_done=True,
        train={"loss": 1 / number, "accuracy": 1 - 0.1 / number},
        validation=validation,
        seconds=float(number),
        samples_per_second=1000.0,
    )


WATCHED = [epoch(i, {"loss": 1.5 / i, "accuracy": 1 - 0.2 / i}) for i in (1, 2, 3)]
MATRIX = np.array([[8, 2, 0], [1, 9, 0], [0, 0, 0]])


def test_curves_have_one_panel_per_metric_with_both_splits_by_epoch():
    figure = plots.curves([*WATCHED, epoch(4)], "a run")
    assert figure.get_suptitle() == "a run"
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss (nats)", "accuracy"]
    for axes, name in zip(figure.axes, ("loss", "accuracy"), strict=True):
        assert axes.get_xlabel() == "epoch"
        assert [text.get_text() for text in axes.get_legend().get_texts()] == [
            "training",
            "validation",
        ]
        training, validation = axes.get_lines()
        np.testing.assert_array_equal(training.get_xdata(), [1, 2, 3, 4])
        np.testing.assert_array_equal(training.get_ydata()[:3], [p.train[name] for p in WATCHED])
        np.testing.assert_array_equal(validation.get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(validation.get_ydata(), [p.validation[name] for p in WATCHED])


@pytest.mark.parametrize("epochs", [1, 2, 40])
def test_ticks_are_whole_epochs(epochs):
    figure = plots.curves([epoch(i + 1) for i in range(epochs)], "a run")
    ticks = figure.axes[0].get_xticks()
    assert all(tick == int(tick) for tick in ticks) and len(ticks) <= 12


def test_curves_without_validation_have_one_line_per_panel():
    figure = plots.curves([epoch(1)], "an epoch")
    for axes in figure.axes:
        labels = [line.get_label() for line in axes.get_lines()]
        assert labels == ["training (nothing held out)"]


def test_curves_omit_metrics_that_are_not_scalars():
    progress = epoch(1)
    progress.train["confusion"] = MATRIX
    figure = plots.curves([progress], "an epoch")
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss (nats)", "accuracy"]


def test_a_confusion_matrix_names_its_classes_and_shows_its_counts():
    figure = plots.confusion(MATRIX, ("cat", "dog", "newt"), "pets")
    axes, bar = figure.axes
    assert axes.get_title() == "pets"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    assert bar.get_ylabel() == "fraction of the true class"
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [label.get_text() for label in labels] == ["cat", "dog", "newt"]
    shown = {text.get_position(): text.get_text() for text in axes.texts}
    assert shown == {(0, 0): "8", (1, 0): "2", (0, 1): "1", (1, 1): "9"}  # (column, row)


def test_the_colour_is_the_fraction_of_the_row_with_a_contrasting_number():
    (axes, _) = plots.confusion(MATRIX, ("a", "b", "c"), "shares").axes
    np.testing.assert_allclose(
        axes.images[0].get_array(), [[0.8, 0.2, 0], [0.1, 0.9, 0], [0, 0, 0]]
    )
    assert [text.get_color() for text in axes.texts] == ["white", "black", "black", "white"]


@pytest.mark.parametrize(
    "figure",
    [plots.curves(WATCHED, "a run"), plots.confusion(MATRIX, ("a", "b", "c"), "a matrix")],
)
def test_a_figure_is_written_without_a_display(monkeypatch, tmp_path, figure):
    monkeypatch.delenv("DISPLAY", raising=False)
    figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
