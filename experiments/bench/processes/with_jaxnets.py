"""One epoch of 784-500-300-10 on MNIST with jaxnets."""

import jax
import optax

from jaxnets import data, losses, metrics, models, scale_pixels, serial, training

mnist = data.load("mnist")
model = serial(scale_pixels(), ("mlp", models.mlp((500, 300, 10))))
update = training.make_update(
    model,
    optax.adam(1e-3),
    losses.softmax_cross_entropy,
    metrics={"accuracy": metrics.accuracy},
)
fitted = training.fit(
    update,
    mnist.train,
    key=jax.random.key(0),
    epochs=1,
    batch_size=128,
    report=lambda progress: print(progress.step, flush=True),
)
params, state = fitted.train_state.params, fitted.train_state.state
print(training.evaluate(model, params, state, mnist.test, update.metrics)["accuracy"])
