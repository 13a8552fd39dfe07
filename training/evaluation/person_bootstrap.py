"""Intervals over seeds and persons, for accuracies and their differences: a hierarchical bootstrap.

Windows of one person are not independent, and neither are runs of one seed: whole persons are drawn, and whole seeds
(Saravanan, Berman and Sober 2020). Where each seed has persons of its own, persons are drawn within the drawn seeds;
where all seeds are scored on the same persons, one draw of persons serves all seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from training.evaluation.metrics import LEAST_SESSIONS

Floats = NDArray[np.float64]


class MixedPersons(GazeVlmError):
    """Some seeds share persons and others do not, or two arms were scored on different windows."""


@dataclass(frozen=True)
class PersonCounts:
    """Windows and hits of one run, by person and class."""

    persons: tuple[str, ...]
    classes: tuple[str, ...]
    windows: Floats  # (persons, classes)
    hits: Floats  # (persons, classes); of them right


@dataclass(frozen=True)
class Estimate:
    """A value over all seeds with its 95 % interval; NaN below LEAST_SESSIONS persons."""

    value: float
    low: float
    high: float
    p: float  # two-sided, of the hypothesis that the value is 0; meaningful for differences
    seeds: int
    persons: int

    def __str__(self) -> str:
        if np.isnan(self.low):
            return f"{self.value:.3f} (n = {self.persons})"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def person_counts(persons: Mapping[str, Mapping[str, Sequence[float]]], hit: int) -> PersonCounts:
    """Return the counts in the scores of one run.

    persons: person -> class -> (windows, hits by one measure, hits by another, ...), as evaluation/scores.py writes.
    hit: place of the measure.
    """
    names = tuple(persons)
    classes = tuple(dict.fromkeys(text for own in persons.values() for text in own))
    windows, hits = np.zeros((2, len(names), len(classes)))
    for row, name in enumerate(names):
        for text, counted in persons[name].items():
            windows[row, classes.index(text)], hits[row, classes.index(text)] = counted[0], counted[hit]
    return PersonCounts(names, classes, windows, hits)


def accuracy(windows: Floats, hits: Floats) -> Floats:
    """Return the share of windows that are hits. windows, hits: (..., classes)."""
    return np.asarray(hits.sum(-1) / windows.sum(-1))


def class_mean(windows: Floats, hits: Floats) -> Floats:
    """Return the mean over classes of their shares of hits; classes without a window do not count. (..., classes)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.nanmean(hits / windows, axis=-1))


STATISTICS = {"accuracy": accuracy, "class_mean": class_mean}


def hierarchical_bootstrap(
    runs: Sequence[PersonCounts],
    statistic: str = "accuracy",
    baseline: Sequence[PersonCounts] = (),
    draws: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Return the mean over seeds of a statistic, or of its difference to `baseline`, with a 95 % interval.

    runs: one for each seed. baseline: of the same seeds, in their order, scored on the same windows: the difference is
    taken within each seed and each drawn set of persons. statistic: a name in STATISTICS. seed: of the draws.
    Raises MixedPersons.
    """
    for own, other in zip(runs, baseline, strict=False):
        if _windows_of(own) != _windows_of(other):
            raise MixedPersons("the arms were scored on different windows; score them on the same bags again")
    if baseline and len(baseline) != len(runs):
        raise MixedPersons(f"{len(runs)} seeds are compared with {len(baseline)} of the baseline; run the others")
    shared = len({frozenset(run.persons) for run in runs}) == 1
    everybody = [person for run in runs for person in run.persons]
    if not shared and len(set(everybody)) < len(everybody):
        raise MixedPersons(
            "some seeds share persons and others do not; score all seeds on the same or on other persons"
        )
    function = STATISTICS[statistic]

    def value(run: int, weights: Floats) -> Floats:
        """Return the statistic of a seed, with each person counted `weights` (..., persons) times."""
        found = function(weights @ runs[run].windows, weights @ runs[run].hits)
        if baseline:
            other = baseline[run]
            order = [other.persons.index(person) for person in runs[run].persons]
            found = found - function(weights @ other.windows[order], weights @ other.hits[order])
        return found

    whole = float(np.mean([value(run, np.ones(len(runs[run].persons))) for run in range(len(runs))]))
    persons = len(set(everybody))
    if persons < LEAST_SESSIONS:
        return Estimate(whole, float("nan"), float("nan"), float("nan"), len(runs), persons)
    generator = np.random.default_rng(seed)
    drawn = np.empty(draws)
    for draw in range(draws):
        chosen = generator.integers(len(runs), size=len(runs))
        same = _person_weights(generator, len(runs[0].persons)) if shared else None
        drawn[draw] = np.mean(
            [
                value(int(run), same if same is not None else _person_weights(generator, len(runs[run].persons)))
                for run in chosen
            ]
        )
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    beyond = 1 + min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return Estimate(whole, float(low), float(high), min(1.0, 2 * beyond / (draws + 1)), len(runs), persons)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for their number, in the given order (Holm 1979). NaN counts for nothing."""
    known = [place for place, p in enumerate(p_values) if not np.isnan(p)]
    adjusted = [float("nan")] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(known, key=lambda place: p_values[place])):
        largest = max(largest, min(1.0, (len(known) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def _person_weights(generator: np.random.Generator, persons: int) -> Floats:
    """Return how often each person is drawn, (persons,)."""
    return np.bincount(generator.integers(persons, size=persons), minlength=persons).astype(np.float64)


def _windows_of(counts: PersonCounts) -> dict[tuple[str, str], float]:
    return {
        (person, text): windows
        for person, row in zip(counts.persons, counts.windows, strict=True)
        for text, windows in zip(counts.classes, row.tolist(), strict=True)
        if windows
    }
