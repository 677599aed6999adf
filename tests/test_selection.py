"""Ranking by the variance of training accuracy; the released history."""

from __future__ import annotations

import pytest

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.selection import rank_by_variance, read_history


def test_ranking_by_hand_is_stable():
    history = {"flat": [0.5, 0.5], "a": [0.0, 1.0], "b": [1.0, 0.0], "zero": [0.0, 0.0]}
    ranking = rank_by_variance(history)
    assert [r.problem_id for r in ranking] == ["a", "b", "flat", "zero"]
    assert (ranking[0].rank, ranking[0].std, ranking[0].mean, ranking[0].visits) == (1, 0.5, 0.5, 2)


def test_ranking_of_the_released_history(shared_data):
    """The paper's labels: pi_1, pi_2, pi_13 and the last of the zero-variance ties."""
    ranking = rank_by_variance(read_history(shared_data / "dsr_sub" / "acc_step_500.json"))
    assert len(ranking) == 1209
    first = [124, 267, 531, 931, 212, 25, 568, 131, 649, 724, 875, 925, 682, 100, 291, 50, 870]
    assert [int(r.problem_id) for r in ranking[:17]] == first
    assert ranking[0].std ** 2 == pytest.approx(1859 / 11236)
    assert ranking[12].std == pytest.approx(0.27260814481097945)
    labels = {605: "60", 606: "906", 1201: "847", 1207: "174", 1208: "770", 1209: "789"}
    assert {rank: ranking[rank - 1].problem_id for rank in labels} == labels


def test_a_history_that_is_none(tmp_path):
    (tmp_path / "h.json").write_text('{"a": "b"}')
    with pytest.raises(OneshotError, match="not an accuracy history"):
        read_history(tmp_path / "h.json")
