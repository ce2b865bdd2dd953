"""`dir(jaxnets)` lists only public names, and signatures show no memory addresses."""

import importlib
import inspect
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import jaxnets

MODULES = [
    "jaxnets",
    "jaxnets.data",
    "jaxnets.data.augment",
    "jaxnets.data.text",
    "jaxnets.export",
    "jaxnets.inspect",
    "jaxnets.losses",
    "jaxnets.lowering",
    "jaxnets.metrics",
    "jaxnets.models",
    "jaxnets.saved_model",
    "jaxnets.training",
    "jaxnets.training.population",
    "jaxnets.training.search",
    "jaxnets.word_vectors",
]


def test_dir_lists_the_public_names_and_nothing_else():
    assert dir(jaxnets) == sorted(jaxnets.__all__)
    assert all(hasattr(jaxnets, name) for name in jaxnets.__all__)


def test_the_namespaces_need_no_import_of_their_own():
    program = "import jaxnets; jaxnets.inspect.summary, jaxnets.losses.hinge, jaxnets.fit"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[1])


@pytest.mark.parametrize("name", ["equinox", "flax", "keras", "safetensors", "sklearn", "torch"])
def test_the_modules_of_interop_need_no_import_of_their_own(name):
    assert getattr(jaxnets.interop, name).__name__ == f"jaxnets.interop.{name}"
    assert dir(jaxnets.interop) == sorted(dir(jaxnets.interop))
    with pytest.raises(AttributeError, match="has no attribute 'caffe'"):
        _ = jaxnets.interop.caffe


def test_the_version_is_that_of_the_package():
    assert jaxnets.__version__ == version("jaxnets")


def test_the_package_is_marked_as_typed():
    assert (Path(jaxnets.__file__).parent / "py.typed").exists()


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'transformer'"):
        _ = jaxnets.transformer


@pytest.mark.parametrize("module", MODULES)
def test_signatures_show_no_addresses(module):
    module = importlib.import_module(module)
    names = getattr(module, "__all__", [name for name in dir(module) if name[0] != "_"])
    functions = [value for name in names if callable(value := getattr(module, name))]
    signatures = {}
    for function in functions:
        try:
            signatures[function.__name__] = str(inspect.signature(function))
        except ValueError:  # a builtin has none
            continue
    assert signatures
    assert not {name: text for name, text in signatures.items() if " at 0x" in text}
