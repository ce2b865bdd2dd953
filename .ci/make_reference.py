"""Writes the pages of `docs/reference/`: every public name, with its docstring.

python .ci/make_reference.py
"""

import importlib
import inspect
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "docs" / "reference"

# Page -> its title, and the modules whose public names it lists.
PAGES = {
    "layers": ("Layers and composition", ["jaxnets"]),
    "losses": ("Losses", ["jaxnets.losses"]),
    "metrics": ("Metrics", ["jaxnets.metrics"]),
    "models": ("Models", ["jaxnets.models"]),
    "training": ("Training", ["jaxnets.training", "jaxnets.training.monitors"]),
    "populations": ("Populations", ["jaxnets.training.population"]),
    "search": ("Search", ["jaxnets.training.search"]),
    "data": ("Data", ["jaxnets.data"]),
    "augment": ("Augmentation", ["jaxnets.data.augment"]),
    "text": ("Text and word vectors", ["jaxnets.data.text", "jaxnets.word_vectors"]),
    "inspect": ("Inspection", ["jaxnets.inspect"]),
    "lowering": ("Lowering", ["jaxnets.lowering"]),
    "interop": (
        "Import and export",
        [
            "jaxnets.saved_model",
            "jaxnets.export",
            "jaxnets.interop.equinox",
            "jaxnets.interop.flax",
            "jaxnets.interop.keras",
            "jaxnets.interop.safetensors",
            "jaxnets.interop.sklearn",
            "jaxnets.interop.torch",
        ],
    ),
}

# Public names that a module without `__all__` imports from another.
REEXPORTED = {"jaxnets.losses": ["per_token"]}


def pages() -> dict[str, str]:
    """The content of every page, by its file's name."""
    return {f"{name}.md": page(title, modules) for name, (title, modules) in PAGES.items()}


def page(title: str, modules: list[str]) -> str:
    """A heading, and for each module what it is for and its names."""
    return f"# {title}\n\n" + "\n".join(section(module) for module in modules)


def section(name: str) -> str:
    """A module's summary, and the directive for each of its public names."""
    module = importlib.import_module(name)
    summary = inspect.cleandoc(module.__doc__ or "").splitlines()[0]
    names = "\n\n".join(f"::: {definition(module, each)}" for each in public_names(module))
    return f"## `{name}`\n\n{summary}\n\n{names}\n"


def public_names(module: object) -> list[str]:
    """Its `__all__`, without modules; else what is defined in it, and names in `REEXPORTED`."""
    if names := getattr(module, "__all__", None):
        return sorted(n for n in names if not inspect.ismodule(getattr(module, n)) and n[0] != "_")
    defined = {
        name
        for name, value in vars(module).items()
        if name[0] != "_" and getattr(value, "__module__", None) == module.__name__
    }
    return sorted(defined.union(REEXPORTED.get(module.__name__, ())))


def definition(module: object, name: str) -> str:
    """The path at which the name is defined, by which its docstring is found."""
    value = getattr(module, name)
    home = importlib.import_module(getattr(value, "__module__", None) or module.__name__)
    return f"{(home if hasattr(home, name) else module).__name__}.{name}"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, content in pages().items():
        (FOLDER / name).write_text(content, encoding="utf-8")
