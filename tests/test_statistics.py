"""Intervals, paired tests and the metrics of one problem, against brute force and simulation."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from oneshot_rlvr.evaluation.metrics import beyond_format, majority, pass_at_k, vote_of
from oneshot_rlvr.evaluation.statistics import (
    average_interval,
    holm,
    interval_over_seeds,
    mean_interval,
    paired_difference,
)
from oneshot_rlvr.runs import Score


@given(st.lists(st.booleans(), min_size=1, max_size=7), st.data())
def test_pass_at_k_is_the_mean_over_all_choices_of_k(correct, data):
    k = data.draw(st.integers(1, len(correct)))
    choices = list(itertools.combinations(correct, k))
    assert pass_at_k(len(correct), sum(correct), k) == pytest.approx(sum(map(any, choices)) / len(choices))


@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=6), st.sampled_from(["a", "b"]))
def test_the_majority_is_the_mean_over_all_orders_of_the_first_to_lead(votes, gold):
    """Brute force: whoever reaches the final lead first wins; over all orders, equals win equally often."""
    correct = [vote == gold for vote in votes]
    wins = []
    for order in itertools.permutations([vote for vote in votes if vote is not None]):
        counts: dict[str, int] = {}
        for vote in order:
            counts[vote] = counts.get(vote, 0) + 1
        most = max(counts.values(), default=0)
        reached, running = None, {}
        for vote in order:
            running[vote] = running.get(vote, 0) + 1
            if reached is None and running[vote] == most:
                reached = vote
        wins.append(reached == gold)
    assert majority(votes, correct) == pytest.approx(sum(wins) / len(wins) if any(votes) else 0.0)


def test_votes_are_by_value_and_never_for_nothing():
    assert vote_of("0.50") == vote_of(r"\frac{1}{2}") == vote_of("1/2")
    assert vote_of("x+1") != vote_of("x+2")
    assert vote_of("") is None
    assert vote_of(None) is None


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.9])
@pytest.mark.parametrize("n", [30, 128, 500])
def test_intervals_cover_at_least_93_percent(n, rate):
    """One response a problem, and eight of problems that differ; results/intervals.json has more trials."""
    random, trials = np.random.default_rng(0), 800
    for draw in (
        lambda: random.binomial(1, rate, n).astype(float),
        lambda: random.binomial(8, random.beta(0.8 * rate, 0.8 * (1 - rate), n)) / 8,
    ):
        covered = 0
        for _ in range(trials):
            low, high = mean_interval(draw())
            covered += low - 1e-12 <= rate <= high + 1e-12
        assert binomtest(covered, trials, 0.93, alternative="less").pvalue > 0.02, covered / trials


def test_intervals_at_the_edges_are_wilsons():
    low, high = mean_interval([1.0] * 20)
    assert (low, high) == pytest.approx((0.8389, 1.0), abs=0.02)
    low, high = average_interval([[0.0] * 10, [0.0] * 10])
    assert low == 0.0
    assert 0.1 < high < 0.3


def test_an_average_with_a_tiny_suite_is_wider_than_without():
    random = np.random.default_rng(0)
    large = random.binomial(1, 0.5, 500).astype(float).tolist()
    tiny = [0.0] * 29 + [1.0]
    low, high = average_interval([large, tiny])
    assert low < (np.mean(large) + 1 / 30) / 2 < high
    assert high - low > (average_interval([large])[1] - average_interval([large])[0]) / 2


def test_the_paired_test_is_right_about_nothing_and_sees_something():
    random, trials, wrong, covered = np.random.default_rng(1), 300, 0, 0
    for trial in range(trials):
        rates = [random.beta(0.4, 0.6, n) for n in (30, 60)]
        a, b = ([random.binomial(4, suite) / 4 for suite in rates] for _ in range(2))
        found = paired_difference(a, b, seed=trial)
        wrong += found.p_value <= 0.05
        covered += found.interval[0] <= 0 <= found.interval[1]
    assert binomtest(wrong, trials, 0.05, alternative="greater").pvalue > 0.05, wrong / trials
    assert covered / trials > 0.9
    base = random.beta(2, 2, 128)
    found = paired_difference([base], [base + 0.1])
    assert found.value == pytest.approx(0.1)
    assert found.p_value < 0.001


def test_with_one_response_the_paired_test_is_mcnemars():
    a, b = [1.0] * 3 + [0.0] * 13 + [1.0] * 20, [0.0] * 3 + [1.0] * 13 + [1.0] * 20
    expected = binomtest(3, 16, 0.5).pvalue
    assert paired_difference([a], [b]).p_value == pytest.approx(expected, abs=0.004)


def test_suites_of_few_problems_widen_an_average_by_no_more_than_they_say():
    """The paper's six benchmarks, two flips in each AIME: Student's with one degree of freedom made this -6 to +22."""
    random = np.random.default_rng(0)
    before = [random.binomial(8, 0.4, n) / 8 for n in (500, 30, 40, 272, 675, 30)]
    after = [np.clip(suite + 0.125 * random.binomial(1, 0.6, len(suite)), 0, 1) for suite in before]
    for place in (1, 5):
        before[place], after[place] = np.zeros(30), np.array([1.0, 1.0] + [0.0] * 28)
    found = paired_difference(before, after)
    assert 0 < found.interval[0] < found.value < found.interval[1] < found.value + 0.05
    assert found.p_value < 0.001


def test_rounding_moves_no_problem():
    rates = np.array([0.1, 0.2, 0.3] * 14)
    seeds = [{"all": (rates + by).tolist()} for by in (0.1, 0.2, 0.3)]
    one = rates + 0.2
    one[0] += 0.5
    noisy = interval_over_seeds(seeds, [{"all": one.tolist()}] * 3)
    exact = paired_difference([one.tolist()], [(rates + 0.2).tolist()]).interval
    assert noisy[0] <= exact[0] and noisy[1] >= exact[1] > 0.01


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_an_interval_over_seeds_holds_the_spread_of_seeds():
    seeds = [{"s": [0.2] * 50}, {"s": [0.4] * 50}, {"s": [0.6] * 50}]
    low, high = interval_over_seeds(seeds)
    assert low < 0.3
    assert high > 0.5
    assert interval_over_seeds(seeds[:1]) == mean_interval([0.2] * 50)
    nothing = interval_over_seeds(seeds, seeds)
    assert nothing == paired_difference([[0.2] * 50], [[0.2] * 50]).interval
    assert nothing[0] < 0 < nothing[1]  # fifty problems that do not move are not proof that none would


def test_an_interval_over_seeds_by_hand():
    """Two suites; seeds' means 0.4, 0.5, 0.6: sd 0.1, t(2) = 4.3027, so 0.2484 beside the problems' part."""
    random = np.random.default_rng(0)
    suites = {name: random.binomial(4, 0.5, 400) / 4 for name in "ab"}
    suites = {name: rates - rates.mean() + 0.5 for name, rates in suites.items()}
    seeds = [{name: (rates + by).tolist() for name, rates in suites.items()} for by in (-0.1, 0.0, 0.1)]
    low, high = average_interval([rates.tolist() for rates in suites.values()])
    assert interval_over_seeds(seeds) == pytest.approx(
        (0.5 - np.hypot(0.5 - low, 0.24842), 0.5 + np.hypot(high - 0.5, 0.24842)), abs=1e-4
    )
    gain = interval_over_seeds(seeds, [{name: (rates - 0.2).tolist() for name, rates in suites.items()}] * 3)
    assert gain == pytest.approx((0.2 - 0.24842, 0.2 + 0.24842), abs=2e-4)


def test_a_small_suite_that_moves_is_not_drowned_by_a_large_one():
    """AIME's thirty problems beside five hundred: each suite has its own width before they are averaged."""
    random = np.random.default_rng(0)
    large, small = random.binomial(1, 0.5, 500) * 0.1, np.array([1.0] + [0.0] * 29)
    alone = paired_difference([np.zeros(30)], [small]).interval
    both = paired_difference([np.zeros(500), np.zeros(30)], [large, small]).interval
    assert both[1] - both[0] > (alone[1] - alone[0]) / 2


def test_beyond_format_by_hand():
    """The base boxes half and is right in 40 % of boxes; after, all is boxed and 70 % right: boxing brings 40."""

    def score(accuracy, boxed, boxed_accuracy):
        shape = {"no_answer": 0.0, "truncated": 0.0, "length": 9.0, "reflection": 0.0}
        own = {"boxed": boxed, "boxed_accuracy": boxed_accuracy, "outcomes": {"correct": 20, "wrong": 80}}
        return Score(accuracy, (0, 100), 100, 8, passes={}, majority=None, **own, **shape)

    after = score(70.0, 1.0, 70.0)
    assert beyond_format(score(20.0, 0.5, 40.0), after) == pytest.approx(30)
    assert beyond_format(score(20.0, 0.05, 40.0), after) is None  # five boxes say nothing


def test_a_paired_interval_of_few_problems_is_not_a_point():
    for a, b in (([0.0], [1.0]), ([0.0] * 3, [1.0] * 3), ([0.5] * 30, [0.5] * 30)):
        low, high = paired_difference([a], [b]).interval
        assert high - low > 0.05
    assert mean_interval([0.6] * 30)[1] - mean_interval([0.6] * 30)[0] > 0.1


def test_the_committed_coverage_is_as_claimed():
    table = json.loads((Path(__file__).parents[1] / "results" / "intervals.json").read_text())
    assert len(table["cells"]) == 27
    assert min(cell["coverage"] for cell in table["cells"]) >= 0.93
    assert table["paired"]["false_positives"] <= 0.05
