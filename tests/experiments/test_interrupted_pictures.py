"""A picture of a run that was interrupted shows what was run, and says that it was interrupted."""

import signal
from contextlib import nullcontext

import pytest

from experiments import mnist_mlp, runner
from experiments.decks import s0, s1, s2
from jaxnets import dense, flatten, scale_pixels, serial
from jaxnets.training import Interrupted

AFTER = "interrupted after 16 of 60 updates"  # in two epochs of 30


def interrupt(progress):
    signal.raise_signal(signal.SIGINT)


def interrupt_at_40(progress):
    if progress.step == 40:
        interrupt(progress)


@pytest.fixture
def drawn(small_mnist, tmp_path, monkeypatch):
    """Run a script of which Ctrl-C ends the training early; return its pictures by name."""
    figures = {}

    def write(path, figure):
        figures[path.stem] = figure

    def drawn(script, reporter=interrupt, **options):
        small = {"data_dir": small_mnist, "out": tmp_path / "run", "validation": 40}
        config = script.Config(**small | {"epochs": 2, "batch_size": 20} | options)
        for module in (runner, script):
            monkeypatch.setattr(module, "write_figure", write, raising=False)
            monkeypatch.setattr(module, "console", lambda: nullcontext(reporter), raising=False)
        with pytest.raises(Interrupted):
            script.experiment(config)
        return figures

    return drawn


def title(figure):
    return figure.get_suptitle() or figure.axes[0].get_title()


def ends(figure):
    """Where each line that was drawn ends, but those across all of the axes."""
    lines = [line for axes in figure.axes for line in axes.get_lines()]
    return {round(float(line.get_xdata()[-1]), 9) for line in lines if len(line.get_xdata())}


@pytest.mark.parametrize(
    ("script", "options"),
    [(mnist_mlp, {}), (mnist_mlp, {"seeds": 2}), (s0, {}), (s1, {"examples": 600})],
    ids=["mnist_mlp", "two seeds", "s0", "s1"],
)
def test_a_curve_ends_where_the_run_did_and_the_titles_say_so(drawn, script, options):
    figures = drawn(script, **options)
    assert ends(figures["curves"]) == {round(16 / 30, 9)}
    assert figures["curves"].get_suptitle().endswith(AFTER)
    if "confusion" in figures:
        assert title(figures["confusion"]).endswith(AFTER)


@pytest.fixture
def small_network(monkeypatch):
    """In place of the listing's, which takes a minute to compile."""
    model = serial(scale_pixels(), flatten, ("head", dense(10)))
    monkeypatch.setattr(s2, "model", model)


@pytest.mark.usefixtures("small_network")
def test_s2_draws_the_looks_it_had_and_the_epochs_that_ended(drawn):
    figures = drawn(s2, interrupt_at_40, validation_frequency=20)
    assert title(figures["training-progress"]).endswith("interrupted after 40 of 60 updates")
    assert ends(figures["training-progress"]) == {30, 40}  # the end of an epoch, and the last look
    assert ends(figures["curves"]) == {round(40 / 30, 9)}
    assert title(figures["confusion"]).endswith("interrupted after 40 of 60 updates")


@pytest.mark.usefixtures("small_network")
def test_s2_interrupted_before_its_first_look_still_ends_in_order(drawn):
    figures = drawn(s2, validation_frequency=20)
    assert title(figures["training-progress"]).endswith(AFTER)
    assert ends(figures["training-progress"]) == {16}
