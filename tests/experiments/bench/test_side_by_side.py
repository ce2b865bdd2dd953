"""Contenders that compile side by side: one that fails is left out with the reason."""

from experiments.bench import side_by_side
from experiments.bench.process import Contender
from experiments.bench.task import Task


def test_contenders_are_timed_in_rounds_and_one_that_cannot_start_is_left_out(small_mnist, capsys):
    records = side_by_side.take_turns_side_by_side(
        [Task("mlp", 128, data_dir=str(small_mnist))],
        [Contender("ours"), Contender("ours", devices=3)],  # 3 does not divide the batch of 128
        rounds=2,
        steps=1,
        workers=2,
        prepare_seconds=120,
    )
    ours, refused = records
    assert ours["peer"] == "ours" and len(ours["step_seconds"]) == 2
    assert ours["side_by_side"] and ours["accuracy"] > 0.3  # after 5 steps; chance is 0.1
    assert refused["peer"] == "ours, 3 devices" and refused["left_out"]
    shown = capsys.readouterr().err
    assert "mlp, ours: ready after" in shown and "mlp, ours, 3 devices: left out" in shown
    assert "round 2 of 2" in shown
