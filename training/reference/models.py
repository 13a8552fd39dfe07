"""What the ceiling's observer knows of each bench: the numbers of its generative model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gaze_vlm_ros.prediction.believed_stream import Floats
from gaze_vlm_ros.sim.bench2_rates import BENCH_2, Rates
from training.reference.seen import Seen


@dataclass(frozen=True)
class Model:
    """A bench as its observer knows it."""

    rates: Rates
    reliability: Callable[[Seen], float]  # of gaze in a session
    # (whether the sign changed since the last take, s until the take (N,)) -> the share of honest signs among those
    # that are the last before a take, and the chance (N,) that this one is
    sign: Callable[[bool, Floats], tuple[float, Floats]]
    never_again: bool = False  # nobody takes twice in a row what they have just put down


def _sign_of_bench_2(changed: bool, away_s: Floats) -> tuple[float, Floats]:
    # A sign that did not change since the last take is about that one. Honest changes are half of all takes, and some
    # takes have none: a median wait of 4 s is without a change in exp(-2) of the cases.
    honest = 0.5 / (1 - np.exp(-4.0 * BENCH_2.sign_rate_hz))
    last = np.exp(-BENCH_2.sign_rate_hz * np.minimum(away_s, 60.0))
    return float(honest), last if changed else np.zeros_like(away_s)


def _sign_of_bench_1(_: bool, away_s: Floats) -> tuple[float, Floats]:
    return 0.5, np.ones_like(away_s)  # it changes when the hand is home, and stays


MODELS = {
    2: Model(BENCH_2, lambda seen: seen.settings.gaze_reliability, _sign_of_bench_2),
    # Bench 1 is not made of these numbers: they are its spans (person.plan), written as bench 2's model.
    1: Model(
        replace(
            BENCH_2,
            wait_median_s=1.2, wait_sigma=0.12, pace=(0.99, 1.01), leave_share=0.0, fidget_rate_hz=1e-6,
            rest_y=452.0, rest_spread=(0.5, 0.5), rest_outside_share=0.0, rest_where_put_share=0.0,
            rest_off=(10.0, 10.0), left_handed_share=0.0, near_share=1.0, reach_s=(1.3, 1.7), reach_sigma=0.05,
            bow=(0.0, 0.001),
            bow_sigma=0.005, aim_sigma=0.5, wander=0.5, pause_share=0.0, change_share=0.0, withdraw_share=0.0,
            grasp_s=(0.12, 0.22), carry_s=(0.6, 0.8), retreat_s=(0.35, 0.5), lead_median_s=1.85, lead_sigma=0.1,
            look_ahead_share=0.0, idle_glances=(0.8, 0.0, 0.0, 0.2), fixation_s=(0.2, 0.5), head_gain=(0.15, 0.3),
        ),
        lambda _: 0.95, _sign_of_bench_1, never_again=True,
    ),
}  # fmt: skip
