"""Intervals over seeds and persons."""

import numpy as np
import pytest

from training.evaluation.person_bootstrap import (
    Estimate,
    MixedPersons,
    PersonCounts,
    hierarchical_bootstrap,
    holm,
    person_counts,
)


def counts(shares: dict[str, float], windows: int = 20) -> PersonCounts:
    hits = np.array([[windows * share] for share in shares.values()])
    return PersonCounts(tuple(shares), ("take",), np.full((len(shares), 1), float(windows)), hits)


def simulated_persons(generator: np.random.Generator, seed: int, persons: int = 8, mean: float = 0.6) -> PersonCounts:
    """A seed that shifts all of its persons, and persons that differ."""
    shift = generator.normal(0, 0.04)
    shares = np.clip(mean + shift + generator.normal(0, 0.1, persons), 0, 1)
    return counts({f"p{seed}_{person}": float(share) for person, share in enumerate(shares)})


def test_scores_become_counts() -> None:
    found = person_counts({"ann": {"take": [4, 3, 4], "put": [2, 0, 1]}, "ben": {"put": [6, 3, 6]}}, hit=1)
    assert (found.persons, found.classes) == (("ann", "ben"), ("take", "put"))
    np.testing.assert_array_equal(found.windows, [[4, 2], [0, 6]])
    np.testing.assert_array_equal(found.hits, [[3, 0], [0, 3]])
    every = hierarchical_bootstrap([found])
    assert every.value == pytest.approx(6 / 12)
    assert np.isnan(every.low)  # two persons
    assert str(every) == "0.500 (n = 2)"
    # The classes' own shares: 3 of 4 and 3 of 8.
    assert hierarchical_bootstrap([found], "class_mean").value == pytest.approx((3 / 4 + 3 / 8) / 2)
    assert hierarchical_bootstrap([person_counts({"ann": {"take": [4, 3, 4]}}, hit=2)]).value == 1


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    # 40 studies of 12 seeds: the share whose interval covers 0.6 is 0.95 up to the few seeds that a bootstrap has.
    generator = np.random.default_rng(5)
    covered = 0
    for study in range(40):
        runs = [simulated_persons(generator, seed) for seed in range(12)]
        estimate = hierarchical_bootstrap(runs, draws=300, seed=study)
        covered += estimate.low <= 0.6 <= estimate.high
    assert 33 <= covered <= 40


def test_shared_persons_are_drawn_once_for_all_seeds() -> None:
    # Persons differ and seeds do not: five seeds on the same persons know no more than one.
    shares = {f"p{person}": 0.1 * person for person in range(10)}
    one, five = (hierarchical_bootstrap([counts(shares)] * seeds, draws=400) for seeds in (1, 5))
    assert five.high - five.low == pytest.approx(one.high - one.low, abs=0.03)
    assert (five.seeds, five.persons) == (5, 10)
    apart = [counts({f"{name}_{seed}": share for name, share in shares.items()}) for seed in range(5)]
    own = hierarchical_bootstrap(apart, draws=400)
    assert own.high - own.low < 0.6 * (one.high - one.low)


def test_a_difference_is_paired_by_person() -> None:
    low = {f"p{person}": 0.05 + 0.08 * person for person in range(10)}
    high = {name: share + 0.05 for name, share in reversed(low.items())}  # in another order
    difference = hierarchical_bootstrap([counts(high)] * 2, baseline=[counts(low)] * 2, draws=300)
    assert difference.value == pytest.approx(0.05)
    assert difference.high - difference.low < 1e-9  # persons differ by far more, and cancel
    assert difference.p == pytest.approx(2 / 301)
    same = hierarchical_bootstrap([counts(low)] * 2, baseline=[counts(low)] * 2, draws=300)
    assert (same.value, same.p) == (0, 1)


def test_what_cannot_be_compared_is_refused() -> None:
    five = {f"p{person}": 0.5 for person in range(5)}
    with pytest.raises(MixedPersons, match="different windows"):
        hierarchical_bootstrap([counts(five)], baseline=[counts(five, windows=10)])
    with pytest.raises(MixedPersons, match="2 seeds are compared with 1"):
        hierarchical_bootstrap([counts(five)] * 2, baseline=[counts(five)])
    with pytest.raises(MixedPersons, match="some seeds share persons"):
        hierarchical_bootstrap([counts(five), counts({"p0": 0.5, "q": 0.5})])


def test_holm_adjusts_for_the_number_of_comparisons() -> None:
    # By hand: 0.01 * 4, 0.02 * 3, max(0.06, 0.03 * 2), 0.5 * 1.
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    adjusted = holm([float("nan"), 0.6, 0.7])
    assert np.isnan(adjusted[0])
    assert adjusted[1:] == [1, 1]
    assert str(Estimate(0.5, 0.4, 0.6, 0.1, 3, 9)) == "0.500 (0.400 to 0.600)"
