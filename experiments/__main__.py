"""List the experiments, the deck scripts, the benchmark and the timings, one line for each.

python -m experiments
"""

import ast
from pathlib import Path

FOLDER = Path(__file__).parent
KINDS = {
    "": "Experiments",
    "decks": "Lecture decks",
    "bench": "Benchmark against other libraries",
    "timings": "Timings of single components",
}


def scripts() -> dict[str, str]:
    """The first line of the docstring of each module that has a command, by its name."""
    lines = {}
    for path in sorted(FOLDER.rglob("*.py")):
        name = ".".join(path.relative_to(FOLDER).with_suffix("").parts)
        name = name.removesuffix("__main__").removesuffix(".")
        documentation = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        first, *others = documentation.splitlines() or [""]
        commands = [line.split()[:3] for line in others]
        if name and ["python", "-m", f"experiments.{name}"] in commands:
            lines[name] = first
    return lines


def kind_of(name: str) -> str:
    """The folder of a script; empty for an experiment."""
    folder = name.split(".")[0]
    return folder if folder in KINDS else ""


def listing() -> str:
    """All scripts, by kind."""
    lines = scripts()
    width = max(map(len, lines))
    parts = ["python -m experiments.NAME runs one of these; --help describes it and its options."]
    for kind, title in KINDS.items():
        names = [name for name in lines if kind_of(name) == kind]
        parts.append("\n".join([title, *(f"  {name:{width}}  {lines[name]}" for name in names)]))
    return "\n\n".join(parts)


if __name__ == "__main__":
    print(listing())
