"""How likely gaze samples and head poses are during one fixation, given what it is on and how long it has lasted.

Frames of one fixation are not independent: all of them are about one place, and a head's sway is slow. So each frame is
predicted from those of the same fixation before it, and only what the prediction leaves counts.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from gaze_vlm_ros.prediction.believed_stream import Floats
from gaze_vlm_ros.sim.bench2_eyes import ELSEWHERE
from gaze_vlm_ros.sim.bench2_rates import Rates
from gaze_vlm_ros.sim.bench_scene import MARGIN, VIEW_WIDTH
from gaze_vlm_ros.sim.person import HEAD_S, SWAY_HZ, SWAY_SIZES
from training.reference.seen import Noise, Seen

LONGEST = 12  # frames: a fixation that lasts longer counts as two
_DRIFT = 0.16  # variance of a fixating eye's drift, square units
_GAINS, _TREMORS = 5, 2  # heads that are tried: values of each trait
_CLIPPED = 0.5 * MARGIN  # units: a head turned so far may be at its limit, and tells nothing


class FixationModel(Protocol):
    """Densities of frames during one fixation, for H hypotheses about the person and V sights."""

    hypotheses: int

    def log_density(self, row: int, sights: Floats) -> Floats:
        """Return (H, LONGEST, V) of frame `row`, if the fixation began 0, 1, ... frames before it.

        sights: (V, 2); NaN = elsewhere. Depends on no frame after `row`.
        """
        ...


class GazeFixations:
    """True gaze: samples around the place of the fixation, which is around its sight."""

    hypotheses = 1

    def __init__(self, seen: Seen, rates: Rates, noise: Noise) -> None:
        self._gaze = seen.gaze
        self._around = rates.fixation_spread**2 + noise.gaze_offset**2
        self._sample = noise.gaze**2 + _DRIFT

    def log_density(self, row: int, sights: Floats) -> Floats:
        """See FixationModel."""
        result = np.zeros((1, LONGEST, len(sights)))
        now = self._gaze[row]
        if not np.isfinite(now[0]):
            return result  # a saccade or a blink
        area = float(np.prod(np.subtract(ELSEWHERE[1], ELSEWHERE[0])))
        past = self._gaze[max(row - LONGEST + 1, 0) : row][::-1]
        known = np.isfinite(past[:, 0])
        count = np.zeros(LONGEST)
        count[1 : len(past) + 1] = known.cumsum()
        total = np.zeros((LONGEST, 2))
        total[1 : len(past) + 1] = np.where(known[:, None], past, 0.0).cumsum(axis=0)
        count[len(past) + 1 :], total[len(past) + 1 :] = count[len(past)], total[len(past)]
        sure = 1 / self._around + count / self._sample
        mean = (sights / self._around + total[:, None] / self._sample) / sure[:, None, None]
        spread = 1 / sure + self._sample
        on_a_thing = -0.5 * np.square(now - mean).sum(axis=2) / spread[:, None] - np.log(2 * np.pi * spread)[:, None]
        alone = np.maximum(count, 1.0)
        spread = self._sample * (1 + 1 / alone)
        off = np.square(now - total / alone[:, None]).sum(axis=1)
        elsewhere = np.where(count > 0, -0.5 * off / spread - np.log(2 * np.pi * spread), -np.log(area))
        result[0] = np.where(np.isfinite(sights[:, 0]), on_a_thing, elsewhere[:, None])
        return result


class HeadFixations:
    """The head: it follows gaze slowly and in part (bench2_eyes.head_follows), and sways (person.head_sway).

    What is predicted is the head's pose from the observed pose before it, less what the filter keeps:
    y(t) = h(t) - k h(t-1) = (1 - k) gain (place - centre) + e(t). The error e is a moving average of the measurement's
    noise, and the sway behind the same filter, whose autocovariance is known: the prediction from earlier frames of the
    fixation is that of a Gaussian process. In the first frame gaze was elsewhere for part of the time.
    """

    hypotheses = _GAINS * _TREMORS

    def __init__(self, seen: Seen, rates: Rates, noise: Noise) -> None:
        step_s = 1 / seen.settings.frame_rate_hz
        kept = float(np.exp(-step_s / HEAD_S))
        gains = rates.head_gain[0] + (np.arange(_GAINS) + 0.5) / _GAINS * np.ptp(rates.head_gain)
        tremors = rates.tremor[0] + (np.arange(_TREMORS) + 0.5) / _TREMORS * np.ptp(rates.tremor)
        gain, tremor = (each.ravel() for each in np.meshgrid(gains, tremors, indexing="ij"))
        self._moves = (1 - kept) * gain  # (H,) units a frame, for each unit of gaze off the centre
        before = np.vstack([seen.head[:1], seen.head[:-1]])
        self._pull = seen.head - kept * before
        limit = np.abs(seen.head).max(axis=1) > _CLIPPED
        self._pull[limit | np.roll(limit, 1)] = np.nan
        self._pull[0] = np.nan
        lags = np.arange(LONGEST)
        angle = 2 * np.pi * np.array(SWAY_HZ) * step_s
        power = np.square(SWAY_SIZES) / 2 * (1 + kept**2 - 2 * kept * np.cos(angle))
        sway = (power * np.cos(angle * lags[:, None])).sum(axis=1)
        measured = noise.head**2 * np.where(lags == 0, 1 + kept**2, np.where(lags == 1, -kept, 0.0))
        self._error = np.square(tremor)[:, None] * sway + measured  # (H, lags) autocovariance
        low, high = np.array(ELSEWHERE)
        self._elsewhere, self._spread = (low + high) / 2, np.square(high - low) / 12
        self._around = rates.fixation_spread**2
        # (H, 3, LONGEST) for things, elsewhere across and elsewhere down: variance of a frame given those before it,
        # and the weights of those, the latest first.
        covariances = (
            self._error[:, None, np.abs(lags[:, None] - lags)]
            + (np.square(self._moves)[:, None] * np.array([self._around, *self._spread]))[..., None, None]
        )
        self._left = np.empty((self.hypotheses, 3, LONGEST))
        self._weights = np.zeros((self.hypotheses, 3, LONGEST, LONGEST))
        self._left[..., 0] = covariances[..., 0, 0]
        for count in range(1, LONGEST):
            among, with_now = covariances[..., 1 : count + 1, 1 : count + 1], covariances[..., 1 : count + 1, 0]
            weights = np.linalg.solve(among, with_now[..., None])[..., 0]
            self._weights[..., count, :count] = weights
            self._left[..., count] = covariances[..., 0, 0] - (weights * with_now).sum(axis=-1)

    def log_density(self, row: int, sights: Floats) -> Floats:
        """See FixationModel."""
        result = np.zeros((self.hypotheses, LONGEST, len(sights)))
        now = self._pull[row]
        if not np.isfinite(now[0]):
            return result
        centre = np.array([VIEW_WIDTH / 2, 0.375 * VIEW_WIDTH])
        elsewhere = ~np.isfinite(sights[:, 0])
        places = np.where(elsewhere[:, None], self._elsewhere, sights)
        pulls = self._moves[:, None, None] * (places - centre)  # (H, V, 2)
        past = self._pull[max(row - LONGEST + 2, 0) : row][::-1]
        known = int(np.argmin(np.r_[np.isfinite(past[:, 0]), False]))  # frames without a gap
        kinds = np.array([[1, 2] if each else [0, 0] for each in elsewhere])  # (V, 2)
        # Frames of the fixation before this one, without its first, which is between two places.
        counts = np.minimum(np.maximum(np.arange(LONGEST) - 1, 0), known)
        weights = self._weights[:, kinds][..., counts, :known]  # (H, V, 2, LONGEST, known)
        expected = np.einsum("hvanp,pa->hvan", weights, past[:known])
        expected += pulls[..., None] * (1 - weights.sum(axis=-1))
        spread = self._left[:, kinds][..., counts]
        among = np.where(elsewhere[:, None], self._spread, self._around)
        first = self._error[:, :1, None] + np.square(self._moves)[:, None, None] * (
            self._spread / 3 + among / 3 + np.square(places - self._elsewhere) / 12
        )
        expected[..., 0] = (pulls + (self._moves[:, None] * (self._elsewhere - centre))[:, None]) / 2
        spread[..., 0] = first
        off = np.square(now[None, None, :, None] - expected) / spread + np.log(2 * np.pi * spread)
        return np.moveaxis(-0.5 * off.sum(axis=2), 1, 2)
