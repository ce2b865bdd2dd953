"""A figure of an interrupted run shows the finished part, and its title says so."""

import signal
from contextlib import nullcontext

import pytest

from experiments import mnist_mlp, runner
from experiments.decks import s2
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
    """Run a script, interrupt its training with Ctrl-C, and return its figures by name."""
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
    """The last x of every line, except for lines across the whole axes."""
    lines = [line for axes in figure.axes for line in axes.get_lines()]
    return {round(float(line.get_xdata()[-1]), 9) for line in lines if len(line.get_xdata())}


@pytest.fixture
def small_network(monkeypatch):
    """A small network in place of the scripts', which take long to compile."""
    model = serial(scale_pixels(), flatten, ("head", dense(10)))
    for script in (mnist_mlp, s2):
        monkeypatch.setattr(script, "model", model)


@pytest.mark.usefixtures("small_network")
@pytest.mark.parametrize(
    "options", [{}, {"seeds": 2, "strategy": "vmap"}], ids=["one network", "two seeds"]
)
def test_curves_end_where_the_run_ended_and_titles_say_so(drawn, options):
    figures = drawn(mnist_mlp, **options)
    assert ends(figures["curves"]) == {round(16 / 30, 9)}
    assert figures["curves"].get_suptitle().endswith(AFTER)
    if "confusion" in figures:
        assert title(figures["confusion"]).endswith(AFTER)


@pytest.mark.usefixtures("small_network")
def test_s2_draws_its_evaluations_and_the_finished_epochs(drawn):
    figures = drawn(s2, interrupt_at_40, validation_frequency=20)
    assert title(figures["training-progress"]).endswith("interrupted after 40 of 60 updates")
    assert ends(figures["training-progress"]) == {
        30,
        40,
    }  # the end of an epoch, and the last evaluation
    assert ends(figures["curves"]) == {round(40 / 30, 9)}
    assert title(figures["confusion"]).endswith("interrupted after 40 of 60 updates")


@pytest.mark.usefixtures("small_network")
def test_s2_interrupted_before_its_first_evaluation_draws_its_training(drawn):
    figures = drawn(s2, validation_frequency=20)
    assert title(figures["training-progress"]).endswith(AFTER)
    assert ends(figures["training-progress"]) == {16}
