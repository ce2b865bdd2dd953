"""S2, "Neural Networks": credit approval on synthetic data, then the MATLAB listing on MNIST.

python -m experiments.decks.s2
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from experiments import command_line, configs, runner
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
from jaxnets.layer import Params
from jaxnets.training import Progress, TrainStep, descend, evaluate, make_train_step
from jaxnets.training.train_step import Hparams

# The listing. The slide's text says two convolutions and a logistic output; the listing has three,
# batch norm and a softmax, which is in the loss. Its imageInputLayer subtracts the mean.
model = serial(scale_pixels(mean=0.1307), ("lenet", models.lenet_batch_norm()))


@dataclass(frozen=True)
class Config(slides.Config):
    """S2: credit approval on synthetic data, then the MATLAB listing on MNIST."""

    epochs: int = 3
    optimizer: configs.Optimizer = "momentum"  # 'sgdm'; the slide has a misprint, 'sqdm'
    learning_rate: float = 0.01
    """The constant learning rate; MATLAB's default."""
    validation_frequency: int = 30
    """Iterations (optimizer steps) between two evaluations on the validation digits."""


def experiment(config: Config) -> None:
    """Run the examples of the deck."""
    # The slide's "10,000 handwritten digits" are MATLAB's own synthetic set; MNIST has 70,000.
    mnist = data.load("mnist", data_dir=config.data_dir)
    train, held_out = data.train_test_split(mnist.train, config.validation, seed=config.seed)
    run = runner.Run("s2", config, mnist)
    approved, right = credit(config.seed)
    print(f"approve credit (trained on synthetic rows)? {approved}", flush=True)

    def train_step(hparams: Hparams) -> TrainStep:
        return make_train_step(
            model,
            config.make_optimizer(hparams),
            losses.softmax_cross_entropy,
            metrics={"accuracy": metrics.accuracy},
        )

    fitted = run.fit(  # trainNetwork(...)
        train_step,
        train,
        validation=held_out,
        evaluate_every=(config.validation_frequency, "steps"),
    )
    path, epoch = run.folder / "training-progress.png", len(train.x) // config.batch_size
    show_progress(path, config, fitted.history, epoch)
    run.finish(train_step, fitted)
    trained = fitted.train_state
    # classify, and compare
    test = evaluate(train_step, trained, mnist.test, hparams=config.hparams)

    last = fitted.history[-1].validation
    trees = trained.params, trained.model_state
    params, statistics = (sum(leaf.size for leaf in jax.tree.leaves(tree)) for tree in trees)
    slides.compare(
        run.folder,
        ("approve credit (synthetic rows)", "?", f"{approved}; {right:.0%} of 500 others correct"),
        ("parameters, running statistics", "(not given)", f"{params:,}, {statistics}"),
        ("digits in the data set", "10,000", f"{len(mnist.train.y) + len(mnist.test.y):,}"),
        ("evaluations on the validation digits", "every 30", f"{len(fitted.history)}"),
        ("validation accuracy at the end", "(missing)", f"{last['accuracy']:.4f}"),
        ("test accuracy", "(none)", f"{test['accuracy']:.4f}"),
    )


def credit(seed: int) -> tuple[str, float]:
    """One unit with the quadratic loss on the slide's table; rows and labels are synthetic.

    Returns the answer to the slide's question, and the accuracy on held-out rows.
    """
    random, n = np.random.default_rng(seed), 1500
    age = random.uniform(18, 70, n)
    gender = random.integers(0, 2, n)  # a row on the slide; our formula does not use it
    salary = random.lognormal(10.4, 0.5, n)  # dollars per year
    residence, job = (random.uniform(0, age - 17) for _ in range(2))  # years
    debt = salary * random.uniform(0, 1.5, n)  # dollars
    wealth = 0.5 * salary + 800 * job + 400 * residence - 0.6 * debt
    good = (wealth + random.normal(0, 3000, n) > 15_000).astype(np.float32)[:, None]
    rows = np.stack([age, gender, salary, residence, job, debt], axis=1)
    question = np.array([[23.0, 1.0, 30_000.0, 1.0, 1.0, 15_000.0]])

    scaled = data.fit_standard(rows[:1000]).apply(np.concatenate([rows, question]))
    x, held_out, asked = jnp.split(jnp.asarray(scaled, jnp.float32), [1000, n])
    unit = serial(("unit", models.linear()), jax.nn.sigmoid)

    def loss(params: Params) -> jax.Array:  # 1/2 (y - f(w^T x + b))^2, its mean over the rows
        f, _ = unit.apply(params, {}, x)
        return losses.half_squared_error(f, jnp.asarray(good[:1000])).mean()

    trajectory = descend(loss, unit.init(jax.random.key(seed), x)[0], optax.sgd(2.0), 1000)
    params = jax.tree.map(lambda points: points[-1], trajectory.points)
    right = ((unit.apply(params, {}, held_out)[0] > 0.5) == (good[1000:] > 0.5)).mean()
    f = unit.apply(params, {}, asked)[0].item()
    return f"{'yes' if f > 0.5 else 'no'} (f = {f:.2f})", float(right)


def show_progress(path: Path, config: Config, history: Sequence[Progress], epoch: int) -> None:
    """MATLAB's training-progress window: accuracy and loss by iteration, the epochs marked.

    The training values are those over the iterations since the last evaluation on the validation
    digits.
    """
    figure = Figure(figsize=(9, 6), layout="constrained")
    evaluations = [progress for progress in history if progress.validation is not None]
    steps, planned = history[-1].step if history else 0, config.epochs * epoch
    cut_short = f"\ninterrupted after {steps:,} of {planned:,} updates" if steps < planned else ""
    figure.suptitle(f"Training progress of the MATLAB listing's network on MNIST{cut_short}")
    for axes, name in zip(figure.subplots(2, 1, sharex=True), ("accuracy", "loss"), strict=True):
        axes.plot([p.step for p in history], [p.train[name] for p in history], label="training")
        validation = [each.validation[name] for each in evaluations]
        label = f"validation, every {config.validation_frequency} iterations"
        axes.plot([each.step for each in evaluations], validation, "k--o", ms=4, label=label)
        for end in range(epoch, steps, epoch):
            axes.axvline(end, color="gray", lw=0.8)
        axes.set_ylabel("loss (nats)" if name == "loss" else name)
        axes.grid(alpha=0.3)
        axes.legend()
    axes.set_xlabel("iteration (updates); a vertical line ends an epoch")
    write_figure(path, figure)


if __name__ == "__main__":
    command_line.main(experiment, Config)
