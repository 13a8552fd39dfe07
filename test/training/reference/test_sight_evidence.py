"""What head and gaze say: against densities and sums that are computed another way."""

import dataclasses
import itertools

import numpy as np
import pytest
from scipy.special import logsumexp, ndtr
from scipy.stats import multivariate_normal

from gaze_vlm_ros.sim.bench2_eyes import AT_SIGN, OBSTACLE, glances
from gaze_vlm_ros.sim.bench2_rates import BENCH_2
from gaze_vlm_ros.sim.bench_scene import VIEW_WIDTH
from gaze_vlm_ros.sim.person import HEAD_S, head_sway
from training.reference.fixations_seen import LONGEST, GazeFixations, HeadFixations
from training.reference.seen import Noise, Seen, sessions_of
from training.reference.sight_evidence import SightEvidence

NOISE = Noise()
STEP_S = 0.1


def a_session(**changes: object) -> Seen:
    return dataclasses.replace(sessions_of(2, [1002], duration_s=12)[0], **changes)


def test_gaze_samples_of_one_fixation_are_about_one_place() -> None:
    """Their joint density is that of a common offset from the sight, and noise of each sample."""
    rng = np.random.default_rng(0)
    sight = np.array([200.0, 250.0])
    gaze = sight + rng.normal(0, 12, 2) + rng.normal(0, 2, (120, 2))
    gaze[3] = np.nan  # a blink
    model = GazeFixations(a_session(gaze=gaze), BENCH_2, NOISE)
    found = sum(model.log_density(row, sight[None])[0, row, 0] for row in range(6))
    seen = gaze[[0, 1, 2, 4, 5]]
    around = BENCH_2.fixation_spread**2 + NOISE.gaze_offset**2
    covariance = around + (NOISE.gaze**2 + 0.16) * np.eye(5)
    expected = sum(multivariate_normal(np.full(5, sight[axis]), covariance).logpdf(seen[:, axis]) for axis in range(2))
    assert found == pytest.approx(expected)


def test_a_head_is_predicted_as_it_sways() -> None:
    """The error that is left where the fixation is known has the variance that the model states, for each past."""
    rng = np.random.default_rng(1)
    kept = np.exp(-STEP_S / HEAD_S)
    times_s = np.arange(0, 900, STEP_S)
    rates = dataclasses.replace(BENCH_2, head_gain=(0.2, 0.2), tremor=(1.7, 1.7))
    sway = np.concatenate([head_sway(rng, times_s)[:, :2] * 1.7 for _ in range(4)])
    measured = rng.normal(0, NOISE.head, sway.shape)
    sight = np.array([250.0, 200.0])
    still = 0.2 * (sight - (VIEW_WIDTH / 2, 0.375 * VIEW_WIDTH))
    head = still + sway + measured
    seen = a_session(head=head)
    model = HeadFixations(seen, rates, NOISE)
    pull = head[1:] - kept * head[:-1] - (1 - kept) * still
    assert np.var(pull) == pytest.approx(model._error[0, 0], rel=0.1)
    past = np.stack([pull[10 - lag : -lag or None] for lag in range(10)], axis=-1)
    left = past[..., 0] - past[..., 1:] @ model._weights[0, 0, 9, :9]
    # The model also has the place of the fixation, which is a little off the sight, in its variance.
    assert np.var(left) == pytest.approx(model._left[0, 0, 9], rel=0.15)
    assert np.var(left) < 0.8 * np.var(pull)


@pytest.mark.parametrize("kind", [GazeFixations, HeadFixations])
def test_a_span_sums_over_all_ways_to_divide_it_into_fixations(kind: type) -> None:
    seen = a_session()
    frames, first = 5, 30
    model = kind(seen, BENCH_2, NOISE)
    evidence = SightEvidence(seen, model, BENCH_2, 0.73)
    for row in range(first + frames):
        evidence.step(row, idle=row >= first)
    # The same from the densities: fixations begin at `first` and at any of the frames after it.
    obstacles = [((own.left + own.right) / 2, min(own.top + 20, 400)) for own in seen.view.occluders]
    chances = glances(np.array([1]), np.array([2]), 0.73, bool(obstacles), BENCH_2)[0]
    objects = seen.places.shape[1]
    weights = [*chances[:objects], *[chances[OBSTACLE] / max(len(obstacles), 1)] * len(obstacles)]
    weights += [chances[AT_SIGN], chances[AT_SIGN + 1]]
    density = np.zeros((frames, model.hypotheses, LONGEST, len(weights)))
    for row in range(frames):
        sights = np.vstack([seen.places[first + row], evidence._beside])
        density[row] = model.log_density(first + row, sights)
    ways = []
    for later in itertools.product([False, True], repeat=frames - 1):
        begins = [0, *(row + 1 for row, new in enumerate(later) if new), frames]
        total = np.zeros(model.hypotheses)
        for begin, end in itertools.pairwise(begins):
            of_sights = sum(density[row][:, row - begin] for row in range(begin, end))
            with np.errstate(divide="ignore"):
                total += logsumexp(of_sights + np.log(weights), axis=1)
            total += evidence._lasts[end - begin - 1] if end == frames else evidence._ends[end - begin - 1]
        ways.append(total)
    expected = logsumexp(logsumexp(ways, axis=0) + evidence._heads[first])
    assert evidence._spans[2, first, first + frames - 1] == pytest.approx(expected, abs=1e-4)


def test_what_led_the_eyes_is_found() -> None:
    """In the last 0.5 s of reaches that gaze leads, the object that does explains gaze best, and the head well.

    It leads so long in the share of reaches that the model's log-normal leads give.
    """
    ranks: dict[str, list[int]] = {"gaze": [], "head": []}
    for seed in (1000, 1001):
        seen = sessions_of(2, [seed], duration_s=50, gaze_reliability=1.0)[0]
        for name, kind in (("gaze", GazeFixations), ("head", HeadFixations)):
            evidence = SightEvidence(seen, kind(seen, BENCH_2, NOISE), BENCH_2, 1.0)
            for row in range(len(seen.times_s)):
                evidence.step(row, idle=seen.doing[row] < 0)
            for start_s, target in zip(seen.actions.starts_s, seen.actions.targets, strict=True):
                last = int(start_s / STEP_S)
                if last < len(seen.times_s) and last >= 5 and (seen.doing[last - 5 : last + 1] < 0).all():
                    spans = evidence._spans[:-1, last - 5, last]
                    ranks[name].append(int((spans > spans[target]).sum()))
    assert len(ranks["gaze"]) > 20
    led = float(ndtr(np.log(BENCH_2.lead_median_s / 0.5) / BENCH_2.lead_sigma))
    error = np.sqrt(led * (1 - led) / len(ranks["gaze"]))
    assert np.mean(np.array(ranks["gaze"]) == 0) > led - 3 * error
    assert np.mean(ranks["head"]) < 1.5  # 2.5 by chance
