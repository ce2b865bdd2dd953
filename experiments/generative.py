"""What experiments share whose networks make images: how they end, and sheets of images."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

from experiments import common, population
from experiments.folder import save_learnt, write_figure, write_json
from jaxnets.inspect import plots
from jaxnets.training import TrainState, evaluate
from jaxnets.training.population import evaluate_population


def finish(
    run: common.Run,
    config: population.Config,
    train_step: Any,
    fitted: Any,
    names: Sequence[str],
    draw: Callable[[TrainState], Figure],
) -> None:
    """Evaluate on the test images, once; write the parameters, the figures and the pictures.

    Raises `Interrupted`, when all is written, where training was interrupted.

    Args:
      run: the folder.
      config: its options.
      train_step: what was trained, a function of `config.hparams`.
      fitted: what `population.fit` returned.
      names: the metrics to draw.
      draw: the picture images.png, from the first network's train state.
    """
    test_images, title = run.dataset.test.x, f"{run.name} on {run.dataset.name}"
    split = (test_images, test_images)
    if run.interrupted is not None:
        title += common.cut_short(fitted.history)
    if config.seeds == 1:
        first = learnt = fitted.train_state
        test = evaluate(train_step, learnt, split, hparams=config.hparams)
        figure = plots.curves(fitted.history, title)
    else:
        learnt = fitted.train_states
        first = jax.tree.map(lambda leaf: leaf[0], learnt)
        hparams = population.each(config)
        how = {"hparams": hparams, "strategy": fitted.strategy}
        test = evaluate_population(train_step, learnt, split, **how)
        figure = population.curves(fitted.history, f"{title}, {config.seeds} seeds", names)
    save_learnt(run.folder, learnt)
    write_figure(run.folder / "curves.png", figure)
    write_figure(run.folder / "images.png", draw(first))
    result = {
        "test": test,
        "steps": fitted.history[-1].step,
        "compile_seconds": fitted.compile_seconds,
        "train_seconds": fitted.train_seconds,
        "samples_per_second": fitted.samples_per_second,
        "interrupted": run.interrupted is not None,
    }
    write_json(run.folder / "result.json", result)
    figures = ", ".join(f"{name} {np.mean(test[name]):.4f}" for name in names)
    print(f"test images: {figures}\ncurves.png and images.png are in {run.folder}", flush=True)
    if run.interrupted is not None:
        raise run.interrupted


def sheet(images: np.ndarray, title: str) -> Figure:
    """Gray images (rows, columns, height, width) side by side, 0 black and 1 white."""
    rows, columns, height, width = images.shape
    figure = Figure(figsize=(0.8 * columns, 0.8 * rows + 0.6), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots()
    axes.set_axis_off()
    whole = images.transpose(0, 2, 1, 3).reshape(rows * height, columns * width)
    axes.imshow(whole, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    return figure
