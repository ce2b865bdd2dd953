"""S2, "Neural Networks": approve credit on made-up rows, then the MATLAB listing on MNIST.

python -m experiments.decks.s2
"""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from experiments import common
from experiments.decks import slides
from experiments.folder import write_figure
from jaxnets import (
    data,
    losses,
    metrics,
    models,
    scale_pixels,
    serial,
)
from jaxnets.data import Split
from jaxnets.layer import Params
from jaxnets.training import (
    Fit,
    Interrupted,
    RunError,
    TrainState,
    Update,
    descend,
    evaluate,
    make_update,
)
from jaxnets.training.check import check_run
from jaxnets.training.chunk import chunk_program
from jaxnets.training.evaluate import values
from jaxnets.training.interrupt import first_signal

# The listing. The slide's text says two convolutions and a logistic output; this has three,
# batch norm and a softmax, which is in the loss. Its imageInputLayer takes the mean away.
model = serial(scale_pixels(mean=0.1307), ("lenet", models.lenet_batch_norm()))


@dataclass(frozen=True)
class Config(slides.Config):
    """S2: approve credit on made-up rows, then the MATLAB listing on MNIST."""

    epochs: int = 3
    optimizer: slides.Optimizer = "momentum"  # 'sgdm', which the slide's print garbles to 'sqdm'
    learning_rate: float = 0.01
    """The same at every step; MATLAB's default."""
    validation_frequency: int = 30
    """Iterations, which is to say updates, between two looks at the validation digits."""


class Look(NamedTuple):
    """The training so far at a look: over the iterations since the last one, and on validation."""

    iteration: int
    train: dict[str, float]
    validation: dict[str, float]


def experiment(config: Config) -> None:
    """Run the deck's story."""
    # The slide's "10,000 handwritten digits" are MATLAB's own synthetic set; MNIST has 70,000.
    mnist = data.load("mnist", data_dir=config.data_dir)
    train, held_out = data.holdout(mnist.train, config.validation, seed=config.seed)
    run = common.Run("s2", config, mnist)
    approved, right = credit(config.seed)
    print(f"approve credit, learnt from made-up rows? {approved}", flush=True)

    update = make_update(
        model, config.tx(), losses.softmax_cross_entropy, metrics={"accuracy": metrics.accuracy}
    )
    fitted, looks = train_network(config, run, update, train, held_out)  # trainNetwork(...)
    if isinstance(fitted, Interrupted):
        run.interrupted, fitted = fitted, fitted.fit
    show_progress(run.folder / "training-progress.png", config, looks, len(train.x))
    run.finish(model, update, fitted)
    params, state = fitted.train_state.params, fitted.train_state.state
    test = evaluate(model, params, state, mnist.test, update.metrics)  # classify, and compare

    trained, kept = (sum(leaf.size for leaf in jax.tree.leaves(t)) for t in (params, state))
    slides.beside(
        run.folder,
        ("approve credit (made-up rows)", "?", f"{approved}; {right:.0%} of 500 others right"),
        ("parameters, running statistics", "(not said)", f"{trained:,}, {kept}"),
        ("digits in the data set", "10,000", f"{len(mnist.train.y) + len(mnist.test.y):,}"),
        ("looks at the validation digits", "every 30", f"{len(looks)}"),
        ("validation accuracy at the end", "(lost)", f"{looks[-1].validation['accuracy']:.4f}"),
        ("test accuracy", "(none)", f"{test['accuracy']:.4f}"),
    )


def credit(seed: int) -> tuple[str, float]:
    """One unit with the quadratic loss on the slide's table: the rows and their labels are made up.

    Returns the answer to the slide's question, and the share it gets right of rows kept apart.
    """
    random, n = np.random.default_rng(seed), 1500
    age = random.uniform(18, 70, n)
    gender = random.integers(0, 2, n)  # a row of the slide's; our formula leaves it out
    salary = random.lognormal(10.4, 0.5, n)  # dollars a year
    residence, job = (random.uniform(0, age - 17) for _ in range(2))  # years
    debt = salary * random.uniform(0, 1.5, n)  # dollars
    wealth = 0.5 * salary + 800 * job + 400 * residence - 0.6 * debt
    good = (wealth + random.normal(0, 3000, n) > 15_000).astype(np.float32)[:, None]
    rows = np.stack([age, gender, salary, residence, job, debt], axis=1)
    question = np.array([[23.0, 1.0, 30_000.0, 1.0, 1.0, 15_000.0]])

    scaled = data.fit_standard(rows[:1000]).apply(np.concatenate([rows, question]))
    x, unseen, asked = jnp.split(jnp.asarray(scaled, jnp.float32), [1000, n])
    unit = serial(("unit", models.linear()), jax.nn.sigmoid)

    def loss(params: Params) -> jax.Array:  # 1/2 (y - f(w^T x + b))^2, its mean over the rows
        f, _ = unit.apply(params, {}, x)
        return losses.half_squared_error(f, jnp.asarray(good[:1000])).mean()

    passed = descend(loss, unit.init(jax.random.key(seed), x)[0], optax.sgd(2.0), 1000)
    params = jax.tree.map(lambda points: points[-1], passed.points)
    right = ((unit.apply(params, {}, unseen)[0] > 0.5) == (good[1000:] > 0.5)).mean()
    f = unit.apply(params, {}, asked)[0].item()
    return f"{'yes' if f > 0.5 else 'no'} (f = {f:.2f})", float(right)


def train_network(
    config: Config, run: common.Run, update: Update, train: Split, held_out: Split
) -> tuple[Fit | Interrupted, list[Look]]:
    """`fit`, except that it validates every so many updates: a chunk of updates, then a look.

    After every look it is saved where it stands.
    """
    check_run(train, held_out, config.epochs, config.batch_size, None, "drop")
    if config.validation_frequency < 1:
        raise RunError(
            f"expected a validation frequency of at least 1 update, but got "
            f"{config.validation_frequency}; the slide's is 30"
        )
    arrays = jnp.asarray(train.x), jnp.asarray(train.y)
    steps = config.epochs * (len(train.x) // config.batch_size)
    began = time.perf_counter()
    train_state = update.init(jax.random.key(config.seed), arrays[0][:1], config.hyper)
    chunk = partial(
        chunk_program(train_state.params),
        batch_size=config.batch_size,
        remainder="drop",
        capacity=config.validation_frequency,
    )

    def look(train_state: TrainState, rows: int | None = None) -> dict[str, float]:
        split = held_out.x[:rows], held_out.y[:rows]
        return evaluate(model, train_state.params, train_state.state, split, update.metrics)

    train_state, *_ = chunk(update, train_state, arrays, config.hyper, 0)  # only compiles
    look(train_state, rows=1)
    compile_seconds = time.perf_counter() - began

    looks, seconds, step = [], 0.0, 0
    with run.saved("training")["checkpoints"] as checkpoints, first_signal() as signalled:
        if restored := checkpoints.restore(train_state):
            train_state, told, step = restored
            looks, seconds = [Look(*look) for look in told["looks"]], told["seconds"]
        while step < steps and signalled() is None:
            step, began = min(step + config.validation_frequency, steps), time.perf_counter()
            train_state, sums, _ = chunk(update, train_state, arrays, config.hyper, step)
            jax.block_until_ready(train_state)
            seconds += time.perf_counter() - began
            looks.append(Look(step, values(update.metrics, sums), look(train_state)))
            print(
                f"iteration {step:4}/{steps}  accuracy {looks[-1].train['accuracy']:.4f}  "
                f"validation accuracy {looks[-1].validation['accuracy']:.4f}",
                flush=True,
            )
            checkpoints.save(step, train_state, {"looks": looks, "seconds": seconds})
    pace = step * config.batch_size / max(seconds, 1e-9)
    fitted = Fit(train_state, (), None, compile_seconds, seconds, pace)
    return fitted if signalled() is None else Interrupted(fitted, signalled()), looks


def show_progress(path: Path, config: Config, looks: list[Look], examples: int) -> None:
    """MATLAB's training-progress window: accuracy and loss by iteration, the epochs marked."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    iterations, epoch = [look.iteration for look in looks], examples // config.batch_size
    made, planned = max(iterations, default=0), config.epochs * epoch
    cut_short = f"\ninterrupted after {made:,} of {planned:,} updates" if made < planned else ""
    figure.suptitle(f"Training progress of the MATLAB listing's network on MNIST{cut_short}")
    for axes, name in zip(figure.subplots(2, 1, sharex=True), ("accuracy", "loss"), strict=True):
        axes.plot(iterations, [look.train[name] for look in looks], label="training")
        label = f"validation, every {config.validation_frequency} iterations"
        axes.plot(iterations, [look.validation[name] for look in looks], "k--o", ms=4, label=label)
        for end in range(epoch, made, epoch):
            axes.axvline(end, color="gray", lw=0.8)
        axes.set_ylabel("loss (nats)" if name == "loss" else name)
        axes.grid(alpha=0.3)
        axes.legend()
    axes.set_xlabel("iteration (updates); a vertical line ends an epoch")
    write_figure(path, figure)


if __name__ == "__main__":
    common.main(experiment, Config)
