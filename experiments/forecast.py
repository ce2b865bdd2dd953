"""Forecasts of a series with an interval: causal convolutions against two baselines.

python -m experiments.forecast
python -m experiments.forecast --series ecg --epochs 3 --data-dir FOLDER

The network is trained on windows of the first 70 % of the series, and evaluated once on those of
the last 30 %, as are the last value (persistence) and a linear function of the past
(autoregression). It forecasts three quantiles: the median, and an interval that covers 90 % of the
values. forecast.png has three stretches of the test part, errors.png the error by forecast horizon.
FOLDER holds ecg_mitbih208.npz.

Result, the root of the mean squared error in standard deviations, one seed. Synthetic series:
0.050; persistence 1.428, autoregression 0.396; the interval covers 89.4 % of the values.
Electrocardiogram: 0.581; persistence 0.912, autoregression 0.676; the interval covers 93.6 %. The
result.json files of the runs are experiments/results/forecast_synthetic.json and forecast_ecg.json.
The test part of the synthetic series was seen three times. After a first result of 0.265, whose
forecasts were jagged, the head was given initial weights of zero. After 0.053, a convolution was
added, since the network did not see the oldest of the 128 past values.
"""

from dataclasses import dataclass
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jax.nn import relu
from jax.nn.initializers import zeros
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import command_line, configs, runner
from experiments.bench.records import processor
from experiments.figures import COLOURS
from experiments.folder import machine
from experiments.forecast_series import (
    ECG_RATE,
    ECG_STEP,
    Parts,
    as_dataset,
    autoregression,
    divide,
    ecg,
    persistence,
    synthetic,
)
from experiments.reports import Report
from jaxnets import Layer, conv, dense, network
from jaxnets.layer import Array
from jaxnets.training import TrainStep, make_train_step, predict_outputs
from jaxnets.training.population import PopulationResult, spread
from jaxnets.training.population.members import take_members
from jaxnets.training.train_step import Hparams

QUANTILES = (0.05, 0.5, 0.95)  # the interval's lower end, the forecast, the upper end
UNITS = {"synthetic": "", "ecg": f", {ECG_RATE // ECG_STEP} per second"}


@dataclass(frozen=True)
class Config(configs.RecipeConfig):
    """A forecast of a series from its past."""

    series: Literal["synthetic", "ecg"] = "synthetic"
    """The equation of Mackey and Glass, or an electrocardiogram, which --data-dir holds."""
    past: int = 128
    """Past values that each forecast is computed from."""
    future: int = 48
    """Values to forecast."""
    values: int = 10_000
    """Values of the synthetic series."""
    width: int = 32
    """Channels of the network."""
    epochs: int = 8
    batch_size: int = 64
    validation: int = 1000
    """Values before the test part that are held out for validation; never trained on."""


def causal_network(future: int, width: int, past: int) -> Layer:
    """Causal convolutions of 3 values, with doubling dilation, until they cover the whole past.

    From (batch, past, 1) to (batch, future, quantiles), as differences from the last value, which
    are 0 before training. Source: van den Oord et al. 2016, "WaveNet", section 2.1; Bai, Kolter &
    Koltun 2018, arXiv:1803.01271.
    """
    depth = max(1, int(np.ceil(np.log2((past + 1) / 2))))
    layers = {f"conv{i}": conv(width, (3,), padding="CAUSAL", dilation=2**i) for i in range(depth)}

    @network(**layers, head=dense(future * len(QUANTILES), kernel_init=zeros))
    def forecast(x, *, head, **layers):
        y = relu(layers["conv0"](x))
        for i in range(1, depth):
            y = y + relu(layers[f"conv{i}"](y))
        change = head(y[:, -1]).reshape(-1, future, len(QUANTILES))
        return x[:, -1:] + change

    return forecast


def pinball(forecast: Array, y: Array) -> Array:
    """The mean quantile loss of each window: Koenker & Bassett 1978, "Regression quantiles"."""
    above, q = y - forecast, jnp.asarray(QUANTILES).reshape(1, 1, -1)
    return jnp.maximum(q * above, (q - 1) * above).mean((1, 2))


def experiment(config: Config) -> None:
    """Train, and evaluate once on the last part of the series."""
    series = ecg(config.data_dir) if config.series == "ecg" else synthetic(config.values)
    run = runner.Run("forecast", config, as_dataset(config.series, series))
    parts = divide(series, config.past, config.future, config.validation)
    model = causal_network(config.future, config.width, config.past)

    def train_step(hparams: Hparams) -> TrainStep:
        return make_train_step(model, config.make_optimizer(hparams, len(parts.train.x)), pinball)

    def report(run: runner.Run, train_step: Any, result: Any) -> Report:
        return compare(config, train_step, result, parts)

    fitted = run.fit(train_step, parts.train, seeds=config.seeds, validation=parts.validation)
    run.finish(train_step, fitted, report, examples=parts.test.x)


def compare(config: Config, train_step: Any, result: Any, parts: Parts) -> Report:
    """Errors on the test part of the networks and of the simple forecasts, and two figures."""
    test, forecasts = parts.test, []
    for state in members(result):
        outputs = predict_outputs(train_step, state, test.x, hparams=config.hparams)
        forecasts.append(np.asarray(outputs))
    simple = {
        "persistence": persistence(test.x, config.future),
        "linear autoregression": autoregression(parts.train, test.x),
    }
    by_seed = [errors(forecast[..., 1:2], test.y) for forecast in forecasts]
    inside = [(f[..., :1] <= test.y) & (test.y <= f[..., 2:]) for f in forecasts]
    rows = {name: errors(forecast, test.y) for name, forecast in simple.items()}
    network_rmse = spread(np.array([row["rmse"] for row in by_seed]), smaller_is_better=True)
    coverage = float(np.mean(inside))
    shown = {"causal convolutions": forecasts[0][..., 1:2], **simple}
    lines = [f"{name}: RMSE {row['rmse']:.4f}, MAE {row['mae']:.4f}" for name, row in rows.items()]
    lines += [f"causal convolutions: RMSE {network_rmse}"]
    lines += [f"the interval of 90 % covers {coverage:.1%} of the test values"]
    return Report(
        {
            "simple": rows,
            "network": {"rmse": network_rmse._asdict(), "by_seed": by_seed},
            "coverage_of_90_percent": coverage,
            "windows": {"train": len(parts.train.x), "test": len(test.x)},
            "unit": "standard deviations of the training part",
            **machine(),
            "processor": processor(),
        },
        {
            "forecast": draw(config, forecasts[0], shown, parts),
            "errors": by_horizon(config, shown, test.y),
        },
        "\n".join(lines),
    )


def members(result: Any) -> list[Any]:
    """The train state of each network."""
    if not isinstance(result, PopulationResult):
        return [result.train_state]
    return [take_members(result.train_states, i) for i in range(len(result.diverged))]


def errors(forecast: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """The root of the mean squared error, and the mean absolute error."""
    error = np.asarray(forecast, np.float64) - y
    return {"rmse": float(np.sqrt(np.mean(error**2))), "mae": float(np.mean(np.abs(error)))}


def draw(
    config: Config, quantiles: np.ndarray, forecasts: dict[str, np.ndarray], parts: Parts
) -> Figure:
    """Three stretches of the test part, and their forecasts with the interval."""
    figure = Figure(figsize=(12, 8), layout="constrained")
    figure.suptitle(f"Forecasts of the {config.series} series, never seen in training")
    past, future = np.arange(-config.past + 1, 1), np.arange(1, config.future + 1)
    rows = np.linspace(0, len(parts.test.x) - 1, 5).astype(int)[1:4]
    for axes, row in zip(figure.subplots(3), rows, strict=True):
        low, _, high = quantiles[row].T
        x, y = parts.test.x[row, :, 0], parts.test.y[row, :, 0]
        axes.fill_between(future, low, high, color=COLOURS[0], alpha=0.25, label="interval of 90 %")
        axes.plot([*past, *future], [*x, *y], color="black", lw=1.5, label="series")
        for (name, forecast), colour in zip(forecasts.items(), COLOURS, strict=False):
            axes.plot(future, forecast[row, :, 0], color=colour, lw=2, label=name)
        decorate(axes, "scaled value")
        axes.axvline(0, color="gray", ls=":")
    axes.set_xlabel(f"values after the last one known{UNITS[config.series]}")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def by_horizon(config: Config, forecasts: dict[str, np.ndarray], y: np.ndarray) -> Figure:
    """The error by forecast horizon."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for (name, forecast), colour in zip(forecasts.items(), COLOURS, strict=False):
        error = np.sqrt(np.mean((forecast - y) ** 2, axis=(0, 2)))
        axes.plot(np.arange(1, len(error) + 1), error, color=colour, lw=2.5, label=name)
    decorate(axes, "root of the mean squared error")
    axes.set(xlabel=f"values ahead{UNITS[config.series]}", ylim=(0, None))
    axes.set_title(f"The {config.series} series: errors on the test part")
    axes.legend()
    return figure


def decorate(axes: Axes, label: str) -> None:
    """The label of the vertical axis, and a grid."""
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)


if __name__ == "__main__":
    command_line.main(experiment, Config)
