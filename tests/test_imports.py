"""The dependencies between modules, and the cost of importing the library."""

import ast
import graphlib
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import jaxnets

PACKAGE = Path(jaxnets.__file__).parent
FILES = {str(path.relative_to(PACKAGE)): path for path in sorted(PACKAGE.rglob("*.py"))}

# The parts of the library that each part may import.
LAYERS = (  # each may import from those above it in this list, and from its own as in SAME_LAYER
    {"layer", "errors", "checks", "keys", "trees", "dtypes", "arrays", "named", "messages"}
    | {"locks", "files", "json_files", "tensors", "sealed", "sharding", "padded", "plot_style"},
    {"jaxpr", "draws", "initialisation", "compose", "recurrence", "lowering"},
    {"layers", "losses", "metrics"},
    {"models", "data"},
    {"training", "inspect"},
    {"interop", "export", "saved_model", "word_vectors"},
    {"report_page", "playground"},
    {"command_line", "__main__"},
)
SAME_LAYER = {  # allowed imports within a layer
    "errors": {"messages"},
    "layer": {"errors"},
    "keys": {"layer"},
    "dtypes": {"layer", "errors", "padded"},
    "padded": {"errors"},
    "sharding": {"arrays", "checks", "errors"},
    "trees": {"layer", "errors", "messages"},
    "files": {"locks", "messages"},
    "json_files": {"files", "errors", "messages"},
    "tensors": {"json_files", "errors"},
    "sealed": {"tensors", "files"},
    "draws": {"jaxpr"},
    "initialisation": {"jaxpr", "draws"},
    "compose": {"initialisation"},
    "recurrence": {"compose"},
    "lowering": {"jaxpr"},
    "losses": {"metrics"},
    "inspect": {"training"},
    "__main__": {"command_line"},
    "saved_model": {"export", "interop"},
}


def nodes(file):
    return ast.walk(ast.parse(FILES[file].read_text()))


@cache
def imports(file):
    """Every module that a file imports, at its top or inside a function, by its dotted name."""
    modules = set()
    for node in nodes(file):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules |= {f"{'.' * node.level}{node.module}.{alias.name}" for alias in node.names}
    return modules


def roots(file):
    return {name.split(".")[0] for name in imports(file)}


def parts(file):
    """The parts of the library that a file imports."""
    return {name.split(".")[1] for name in imports(file) if name.startswith("jaxnets.")}


def part(file):
    """The part of the library that a file belongs to."""
    return Path(file).parts[0].removesuffix(".py")


def test_every_part_of_the_library_has_a_layer():
    assert {part(file) for file in FILES} - {"__init__"} == set().union(*LAYERS)


def test_the_documentation_has_the_same_levels():
    text = (PACKAGE.parent / "docs" / "architecture.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d) \|(.*?)\|", text, re.M)
    levels = {int(level): set(re.findall(r"`(\w+)`", names)) for level, names in rows}
    assert levels == {i: names - {"__main__"} for i, names in enumerate(LAYERS, 1)}
    drawn = re.findall(r'<text x="96".*?>(.*?)</text>', text)
    assert re.findall(r"\w+", " ".join(drawn)) == re.findall(
        r"`(\w+)`", " ".join(n for _, n in rows)
    )


@pytest.mark.parametrize("name", sorted(set().union(*LAYERS)))
def test_imports_go_to_lower_layers(name):
    level = next(i for i, parts in enumerate(LAYERS) if name in parts)
    below = set().union(*LAYERS[:level], SAME_LAYER.get(name, set()), {name})
    upward = {file: parts(file) - below for file in FILES if part(file) == name}
    assert not {file: extra for file, extra in upward.items() if extra}


def test_imports_within_a_layer_have_no_cycle():
    tuple(graphlib.TopologicalSorter(SAME_LAYER).static_order())  # raises CycleError


def test_modules_have_no_circular_imports():
    paths = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
            ".__init__"
        ): path
        for part in ("jaxnets", "experiments")
        for path in (PACKAGE.parent / part).rglob("*.py")
    }

    def imported(path):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                yield from names & paths.keys() or {node.module}

    graph = {name: {*imported(path)} - {name} for name, path in paths.items()}
    tuple(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


def test_imports_are_absolute():
    assert not [file for file in FILES if "" in roots(file)]


@pytest.mark.parametrize("file", ["layer.py", "keys.py", "compose.py"])
def test_the_core_needs_nothing_but_jax_numpy_and_the_standard_library(file):
    assert roots(file) <= {"jax", "numpy", "jaxnets"} | sys.stdlib_module_names


def test_the_library_imports_neither_experiments_nor_tests():
    assert not [file for file in FILES if roots(file) & {"experiments", "tests"}]


def test_nothing_but_the_reporter_and_the_command_line_prints():
    def prints(node):
        return isinstance(node, ast.Call) and ast.unparse(node.func) == "print"

    printing = [file for file in FILES if any(map(prints, nodes(file)))]
    assert [f for f in printing if part(f) != "command_line"] == ["training/report.py"]


def test_only_the_command_reads_the_command_line():
    def reads(node):
        return isinstance(node, ast.Attribute) and node.attr == "argv"

    reading = [f for f in FILES if any(map(reads, nodes(f))) or "sys.argv" in imports(f)]
    assert reading == ["command_line/main.py"]


def test_json_is_read_only_by_json_files():
    """A benchmark's worker is excluded, since it must not import JAX."""
    parsers = {"load", "loads", "JSONDecoder"}

    def parses(node):
        if isinstance(node, ast.ImportFrom):
            return node.module == "json" and bool(parsers & {alias.name for alias in node.names})
        return isinstance(node, ast.Attribute) and ast.unparse(node) in {
            f"json.{n}" for n in parsers
        }

    root = PACKAGE.parent
    paths = [path for part in ("jaxnets", "experiments") for path in (root / part).rglob("*.py")]
    parsing = [path for path in paths if any(map(parses, ast.walk(ast.parse(path.read_text()))))]
    names = {str(path.relative_to(root)) for path in parsing}
    assert names == {"jaxnets/json_files.py", "experiments/bench/worker.py"}


def test_importing_the_library_imports_no_heavy_optional_package():
    heavy = {
        "PIL", "array_record", "equinox", "flax", "h5py", "keras", "matplotlib", "orbax", "pandas",
        "rich",
        "safetensors", "sklearn", "tensorboardX", "tensorflow", "tensorflow_datasets", "torch",
        "tyro",
    }  # fmt: skip
    program = [sys.executable, "-c", "import sys, jaxnets; print(*sys.modules)"]
    done = subprocess.run(program, cwd=PACKAGE.parent, capture_output=True, text=True, check=True)
    assert not heavy & set(done.stdout.split())


def lines_of_code(function, lines):
    """The lines of a function and its decorators, without docstring, comments, empty lines."""
    docstring = function.body[0] if ast.get_docstring(function) else None
    prose = range(docstring.lineno, docstring.end_lineno + 1) if docstring else ()
    first = min(node.lineno for node in (function, *function.decorator_list))
    code = [n for n in range(first, function.end_lineno + 1) if n not in prose]
    return sum(1 for n in code if lines[n - 1].strip() and lines[n - 1].strip()[0] != "#")


def test_no_function_has_more_than_50_lines_of_code():
    sizes = {}
    for file, path in FILES.items():
        lines = path.read_text(encoding="utf-8").splitlines()
        for node in nodes(file):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                sizes[f"{file}: {node.name}"] = lines_of_code(node, lines)
    assert {name: n for name, n in sizes.items() if n > 50} == {}
