"""The table has the measurements, the peers left out, and the machine; plots are written."""

import json

import pytest

from experiments.bench import table
from experiments.bench.records import read, write
from jaxnets.training import RunError

MACHINE = {
    "device": "cpu",
    "platform": "cpu",
    "processor": "A Processor",
    "cores": 2,
    "flags": {"OMP_NUM_THREADS": "2"},
    "began": "2026-01-02 03:04:05",
}


def spread(median, noisy=False):
    return {"median": median, "low": 0.9 * median, "high": 1.1 * median, "n": 5, "noisy": noisy}


def speed(peer, ms, batch_size=128, **more):
    return {
        "kind": "speed",
        "case": "mlp",
        "members": 1,
        "batch_size": batch_size,
        "dtype": "float32",
        "peer": peer,
        "step_ms": spread(ms),
        "samples_per_second": spread(1000 * batch_size / ms),
        "ours_times_faster": {"ours": spread(ms / 1.25)},
        "share_of_matmul": 0.614,
        "matmul_flops_per_second": 4e11,
        "share_of_datasheet": None,
        "datasheet": None,
        "trace_seconds": 0.25,
        "compile_seconds": 1.5,
        "peak_memory_bytes": 512_300_000,
        "accuracy": 0.9712,
        "accuracy_low": False,
        "loss_finite": True,
        "device": "cpu",
        "python": "3.11",
        "versions": {"jax": "1.2.3"} if peer == "ours" else {"torch": "4.5"},
        "notes": None,
        "machine": MACHINE,
    } | more


def left_out(peer, why):
    setting = {"case": "mlp", "members": 1, "batch_size": 128, "dtype": "float32"}
    return {"kind": "speed", **setting, "peer": peer, "left_out": why, "machine": MACHINE}


def reached(peer, seconds):
    return {
        **{"kind": "time_to_accuracy", "case": "mlp", "batch_size": 128, "dtype": "float32"},
        **{"peer": peer, "target": 0.98, "curves": [[[s / 2, 0.97], [s, 0.98]] for s in seconds]},
        **{"seconds": spread(seconds[0]), "ours_times_faster": {}, "device": "cpu"},
        **{"python": "3.11", "versions": {}, "machine": MACHINE},
    }


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "bench.jsonl"
    records = [
        speed("ours", 1.25),
        speed("torch", 2.5, accuracy=0.9, accuracy_low=True, notes="channels_last, eager"),
        speed(
            "linen",
            12.5,
            step_ms=spread(12.5, noisy=True),
            peak_memory_bytes=None,
            loss_finite=False,
        ),
        left_out("keras", "keras is not installed"),
        speed("ours", 0.5, batch_size=32),
        reached("ours", [1.0, 2.0]),
    ]
    write(path, records)
    return path


def test_a_table_has_a_row_per_contender_and_flags_wrong_results(file):
    text = table.tables(read([file]))
    first, second, third = text.split("\n\n**")
    assert first.startswith("**mlp, batch 128, float32: training steps**")
    rows = {line.split(" | ")[0][2:]: line for line in first.splitlines() if line.startswith("| ")}
    assert set(rows) == {"", "---", "ours", "torch", "linen"}
    assert rows["ours"].startswith("| ours | 1.25 (1.12 to 1.38) | 102,400 | 1.00 (0.900 to 1.10)")
    assert "| 61% | 0.25, 1.50 | 512 | 97.12% |" in rows["ours"]
    assert "| 2.00 (1.80 to 2.20) |" in rows["torch"] and "90.00%, **too low**" in rows["torch"]
    assert (
        "12.5 (11.2 to 13.8), noisy" in rows["linen"]
        and "| - | 97.12%, **the loss is not finite**" in rows["linen"]
    )
    assert "- left out: keras: keras is not installed" in first
    assert "- torch: channels_last, eager" in first
    for part in (
        "A Processor, cores: 2",
        "400 GFLOP/s",
        "jax 1.2.3, torch 4.5",
        "THREADS=2",
        "n = 5",
    ):
        assert part in first
    assert second.startswith("mlp, batch 32") and "| 0.500 (" in second
    assert "| ours | 1.00 (0.900 to 1.10) | 2, 2 | 98% |" in third


def test_a_table_without_a_measurement_says_so():
    why = "it did not answer 'prepare' within 1 s"
    text = table.tables([left_out("ours", why)])
    assert f"- left out: ours: {why}\n- No times. A Proc" in text


def test_a_population_is_named_with_its_size():
    setting = {"case": "population", "members": 64, "batch_size": 128, "dtype": "float32"}
    assert table.heading(setting) == "population of 64, batch 128, float32"


def test_two_runs_of_one_setting_are_two_tables(file, tmp_path):
    later = tmp_path / "later.jsonl"
    write(later, [speed("ours", 3.0, machine=MACHINE | {"began": "2026-02-02 03:04:05"})])
    assert table.tables(read([file, later])).count("**mlp, batch 128, float32: training") == 2


@pytest.mark.parametrize("line", ["{", "[1]", '{"case": "mlp"}'])
def test_a_line_that_is_not_a_record_is_named(file, line):
    with open(file, "a") as more:
        more.write(line + "\n")
    with pytest.raises(RunError, match=r"bench\.jsonl, line 7, is damaged: .* measure again"):
        read([file])


def test_numbers_that_are_not_finite_are_null_in_the_file(tmp_path):
    write(tmp_path / "a", [{"kind": "speed", "loss": float("nan")}])
    assert json.loads((tmp_path / "a").read_text())["loss"] is None


def test_the_plots_are_written_and_named(file, tmp_path, capsys):
    table.main(table.Config(files=(file,), plots=tmp_path / "plots"))
    names = {"throughput", "share_of_limit", "time_to_accuracy", "population"}
    written = {path.name: path for path in (tmp_path / "plots").iterdir()}
    assert set(written) == {f"bench_{name}.png" for name in names}
    printed = capsys.readouterr().out
    for path in written.values():
        assert path.read_bytes().startswith(b"\x89PNG") and f"plot: {path}" in printed
