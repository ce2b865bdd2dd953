"""One epoch of 784-500-300-10 on MNIST with jaxnets."""

import jax
import optax

from jaxnets import data, losses, metrics, models, scale_pixels, serial, training


def main() -> None:
    """Train and evaluate."""
    mnist = data.load("mnist")
    model = serial(scale_pixels(), ("mlp", models.mlp((500, 300, 10))))
    train_step = training.make_train_step(
        model,
        optax.adam(1e-3),
        losses.softmax_cross_entropy,
        metrics={"accuracy": metrics.accuracy},
    )
    result = training.fit(
        train_step,
        mnist.train,
        key=jax.random.key(0),
        epochs=1,
        batch_size=128,
        report=lambda progress: print(progress.step, flush=True),
    )
    print(training.evaluate(train_step, result.train_state, mnist.test)["accuracy"])


if __name__ == "__main__":
    main()
