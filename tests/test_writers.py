"""Only `jaxnets.files` opens files for writing."""

import ast
from pathlib import Path

import jaxnets

ROOT = Path(jaxnets.__file__).parents[1]
WRITERS = {"savefig", "write_text", "write_bytes", "touch", "to_csv", "tofile", "savetxt", "dump"}
WRITERS |= {"save_file", "savez", "savez_compressed", "NamedTemporaryFile", "mkstemp"}
ALLOWED = {  # each with its reason
    ("jaxnets/files.py", "open"): "it implements the writers",
    ("jaxnets/locks.py", "open"): "locks are empty files",
    ("jaxnets/command_line/main.py", "open"): "the null device, for a closed pipe",
    ("experiments/distributed.py", "open"): "the null device, for a silent process",
    ("experiments/folder.py", "savefig"): "into memory",
    ("experiments/torture.py", "open"): "a child's stderr",
    ("experiments/torture_processes.py", "open"): "the launcher's stderr",
    ("experiments/bench/worker.py", "fdopen"): "a pipe",
    ("experiments/timings/checkpoint.py", "write_bytes"): "noise for dd in a temporary folder",
    ("experiments/timings/stream.py", "save"): "images to map, in a temporary folder",
    ("experiments/timings/same_bits_runs.py", "savez"): "leaves to compare, in a temporary folder",
}


def name_of(call):
    return getattr(call.func, "attr", None) or getattr(call.func, "id", None)


def writes(call):
    """Whether a call opens or creates a file for writing."""
    name = name_of(call)
    if name == "save":  # only NumPy's; those of safetensors and checkpoints use jaxnets.files
        return ast.unparse(call.func).startswith(("np.", "numpy.", "jnp."))
    if name not in ("open", "fdopen"):
        return name in WRITERS
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    constants = [a.value for a in arguments if isinstance(a, ast.Constant)]
    modes = {mode for mode in constants if isinstance(mode, str) and set(mode) <= set("rwaxbt+")}
    flags = ast.unparse(call)
    return any(set(mode) & set("wax+") for mode in modes) or "O_RDWR" in flags or "O_WR" in flags


def test_only_jaxnets_files_writes_files():
    actual = set()
    for folder in ("jaxnets", "experiments"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
            actual |= {(name, name_of(call)) for call in calls if writes(call)}
    assert actual == ALLOWED.keys()
