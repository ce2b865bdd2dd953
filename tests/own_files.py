"""A user's own files, as docs/data.md names them: pictures, a table and a trained network."""

import csv

import jax
import numpy as np
from PIL import Image

from jaxnets import models, scale_pixels, serial
from jaxnets.interop import safetensors


def write_pets(folder):
    """Eight pictures each of bright cats and dark dogs; new.jpg is a cat."""
    rng = np.random.default_rng(0)
    for name, low in (("cats", 150), ("dogs", 0)):
        (folder / "pets" / name).mkdir(parents=True)
        for number in range(8):
            pixels = rng.integers(low, low + 100, (30, 40, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "pets" / name / f"{number}.jpg")
    Image.fromarray(np.full((30, 40, 3), 200, np.uint8)).save(folder / "new.jpg")


def write_loans(folder):
    """Eighty applicants for credit, who get it if they earn more than twice their debt."""
    rng = np.random.default_rng(0)
    names = ["age", "gender", "annual salary", "years in residence", "years in job"]
    with open(folder / "loans.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "current debt", "approved"])
        for _ in range(80):
            salary, debt = rng.integers(10_000, 90_000), rng.integers(0, 40_000)
            age, gender = rng.integers(18, 80), rng.choice(["female", "male"])
            years = rng.integers(0, 9, 2)
            approved = "yes" if salary > 2 * debt else "no"
            writer.writerow([age, gender, salary, *years, debt, approved])


def write_cnn(folder, widths):
    """The weights of a network for ten classes, as an experiment saves them; not trained."""
    model = serial(scale_pixels(), ("cnn", models.small_cnn(10, widths)))
    params, state = model.init(jax.random.key(7), np.zeros((1, 28, 28, 1), np.uint8))
    safetensors.save(folder / "cnn.safetensors", {"params": params, "state": state})
    return params, state
