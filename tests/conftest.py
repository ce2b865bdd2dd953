"""Settings for all tests, and additions to pytest's terminal summary."""

import ctypes
import gc
import os
import signal
import sys
from collections import Counter
from pathlib import Path

# Set before JAX starts: with two CPU devices, the tests detect wrong placement.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
)

import jax
import jaxlib
import pytest
from jaxtyping import install_import_hook

gc.set_threshold(20_000)  # imports and traces allocate much, and little of it in cycles
# SIGINT is ignored in a background job, where a test of Ctrl-C would hang.
signal.signal(signal.SIGINT, signal.default_int_handler)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)
# Check annotations in the modules that compute; constructors check their arguments themselves.
install_import_hook(
    ["jaxnets.keys", "jaxnets.losses", "jaxnets.lowering", "jaxnets.metrics"], "beartype.beartype"
)


# Compiling takes most of the time of the tests, and running what was compiled next to none. With
# the first three flags together, jaxlib 0.10.2 gives a wrong gradient of a depthwise convolution
# before a max pool; each alone is right. If a result is in doubt, run the test with --optimize.
QUICK_COMPILATION = " --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
if jaxlib.__version__.startswith("0.10."):  # gone from later versions
    QUICK_COMPILATION += " --xla_cpu_use_fusion_emitters=false"
    QUICK_COMPILATION += " --xla_cpu_parallel_codegen_split_count=1"  # the workers are parallel


def pytest_configure(config):
    """Compile quickly, and keep programs on disk for all modules, workers and later runs.

    The tests run on the CPU, on a machine with a GPU too; only `pytest -m gpu` uses that.
    """
    if "gpu" in config.option.markexpr:
        os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # the workers share its memory
    else:
        os.environ["JAX_PLATFORMS"] = "cpu"  # for the processes that tests start
        jax.config.update("jax_platforms", "cpu")
    flags = os.environ["XLA_FLAGS"]  # which workers inherit
    if not config.getoption("--optimize") and QUICK_COMPILATION not in flags:
        os.environ["XLA_FLAGS"] = flags + QUICK_COMPILATION
    if (cache := getattr(config, "cache", None)) is not None:  # -p no:cacheprovider has none
        jax.config.update("jax_compilation_cache_dir", str(cache.mkdir("xla")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


SLOW = Path(__file__).with_name("slow.txt")
SLOW_SECONDS = 0.2  # per test function, summed over its parameters
DURATIONS = Counter()  # test function -> seconds


def pytest_addoption(parser):
    parser.addoption("--optimize", action="store_true", help="compile as users do")
    parser.addoption("--record-slow", action="store_true", help="rewrite tests/slow.txt")


@pytest.hookimpl(tryfirst=True)  # before -m selects by the marks
def pytest_collection_modifyitems(config, items):
    slow = set(SLOW.read_text(encoding="utf-8").split())
    unoptimized = pytest.mark.skip(reason="programs round differently: run pytest --optimize")
    for item in items:
        if item.nodeid.split("[")[0] in slow:
            item.add_marker("slow")
        if item.get_closest_marker("optimized") and not config.getoption("--optimize"):
            item.add_marker(unoptimized)


def pytest_collection_finish():
    gc.freeze()  # imported modules stay, so the collector need not scan them


def pytest_runtest_logreport(report):
    DURATIONS[report.nodeid.split("[")[0]] += report.duration


@pytest.fixture(scope="session")
def gpu():
    """The GPU that `pytest -m gpu` tests."""
    device = jax.devices()[0]
    if device.platform != "gpu":
        pytest.skip(f"needs a GPU and `pytest -m gpu`, but this process runs on the {device}")
    return device


PEAKS = {}  # worker of pytest-xdist: its peak resident memory in GB


RESIDENT = {"limit": 1.5}  # GB


@pytest.fixture(autouse=True)
def free_compiled_programs():
    """Free compiled programs after a test if the process uses more memory than the limit.

    If memory stays above the limit, the limit rises; otherwise every test would clear the caches.
    """
    yield
    if resident_memory() < RESIDENT["limit"]:
        return
    jax.clear_caches()
    if programs := sys.modules.get("jaxnets.training.programs"):
        programs._PROGRAMS.clear()  # otherwise kept as long as the module's train steps
    gc.collect()
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)  # glibc keeps freed pages
    RESIDENT["limit"] = max(1.5, resident_memory() + 0.4)


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["peak"] = peak_memory()
    elif session.config.getoption("--record-slow"):
        listed = set(SLOW.read_text(encoding="utf-8").split())
        # A shared fixture is timed only with its first test, so that a listed test stays listed.
        slow = sorted(
            n for n, seconds in DURATIONS.items() if seconds > SLOW_SECONDS or n in listed
        )
        SLOW.write_text("".join(f"{name}\n" for name in slow), encoding="utf-8")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    if output := getattr(node, "workeroutput", None):
        PEAKS[node.gateway.id] = output["peak"]


def pytest_terminal_summary(terminalreporter):
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")
    peaks = PEAKS or {"one process": peak_memory()}
    peaks = ", ".join(f"{worker} {peak:.2f} GB" for worker, peak in peaks.items())
    terminalreporter.write_line(f"peak memory: {peaks}")
    where = "the GPU" if "gpu" in terminalreporter.config.option.markexpr else "the CPU"
    terminalreporter.write_line(f"tested on {where}")


def resident_memory():
    """The resident memory of this process in GB; infinite where it is unknown."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return float("inf")
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e9


def peak_memory():
    """The peak resident memory of this process in GB."""
    import resource  # not on Windows

    bytes_per_unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * bytes_per_unit / 1e9
