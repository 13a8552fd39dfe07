"""What gaze or the head say of what led the eyes: nothing, or one of the objects, and since when."""

from __future__ import annotations

import numpy as np

from gaze_vlm_ros.prediction.believed_stream import Floats, Ints
from gaze_vlm_ros.sim import bench2_hand as hand
from gaze_vlm_ros.sim.bench2_eyes import ANYWHERE, AT_SIGN, GUIDED, IDLE, OBSTACLE, SIGN_CENTRE, glances
from gaze_vlm_ros.sim.bench2_rates import Rates
from training.reference.fixations_seen import LONGEST, FixationModel
from training.reference.seen import Seen


class SightEvidence:
    """Log-likelihoods of gaze or head over spans of frames in which one thing led the eyes.

    Fixations are marginalized by the forward recursion of an explicit-duration hidden Markov model, whose states are
    fixations. One begins whenever what leads the eyes changes, so the likelihood of a path is the product of those of
    its spans, which particles look up. It sees no frame after the one it was last given.
    """

    def __init__(self, seen: Seen, fixations: FixationModel, rates: Rates, reliability: float) -> None:
        self._seen, self._fixations = seen, fixations
        self._step_s = 1 / seen.settings.frame_rate_hz
        objects, frames = seen.places.shape[1], len(seen.times_s)
        self._lead_s = rates.change_lead_s
        self.nothing = objects  # leads the eyes
        obstacles = [((own.left + own.right) / 2, min(own.top + 20, 400)) for own in seen.view.occluders]
        self._beside = np.array([*obstacles, SIGN_CENTRE, (np.nan, np.nan)])
        mode = np.r_[np.full(objects, GUIDED), IDLE]
        chances = glances(mode, np.r_[np.arange(objects), 0], reliability, bool(obstacles), rates)
        shared = [chances[:, [OBSTACLE]] / max(len(obstacles), 1)] * len(obstacles)
        with np.errstate(divide="ignore"):
            self._chances = np.log(
                np.hstack([chances[:, :objects], *shared, chances[:, [AT_SIGN]], chances[:, [ANYWHERE]]])
            )  # (modes, sights)
        # A fixation lasts fixation_s[0] and an exponential time, and begins anywhere between two frames.
        begins_s = (np.arange(50) + 0.5) / 50 * self._step_s
        beyond_s = np.arange(LONGEST)[:, None] * self._step_s + begins_s - rates.fixation_s[0]
        lasts = np.exp(-np.maximum(beyond_s, 0.0) / rates.fixation_s[1]).mean(axis=1)
        lasts[0] = 1.0
        self._lasts = np.log(lasts)  # that one that began n frames ago has not ended
        self._ends = np.log(np.append(lasts[:-1] - lasts[1:], lasts[-1]) + 1e-12)  # after n + 1 frames
        self._of_fixation = np.zeros((fixations.hypotheses, LONGEST, self._chances.shape[1]))
        self._first = [0]  # frames at which spans begin; the span of the whole session stays
        # Log-weights (hypotheses, modes, spans, LONGEST) of a fixation that began n frames ago
        self._began = np.zeros((fixations.hypotheses, objects + 1, 0, LONGEST))
        self._heads = np.zeros((frames + 1, fixations.hypotheses)) - np.log(fixations.hypotheses)
        self._spans = np.zeros((objects + 1, frames, frames), np.float32)

    def step(self, row: int, idle: bool) -> None:
        """Take in frame `row`; all earlier ones must have been given. idle: spans can begin here."""
        self._seen_fixations(row)
        if row:
            self._go_on()
        if row == 0 or idle:
            new = np.full((*self._began.shape[:2], 1, LONGEST), -np.inf)
            new[..., 0] = 0.0
            self._began = np.concatenate([self._began, new], axis=2)
            self._first = [*self._first, row] if row else [0]
        else:
            self._began, self._first = self._began[:, :, :1], [0]
        self._now = _log_sum(self._of_fixation[:, None] + self._chances[:, None], axis=3)
        spans = _log_sum(self._began + (self._now + self._lasts)[:, :, None], axis=3)
        whole = spans[:, self.nothing, 0]
        self._heads[row + 1] = whole - _log_sum(whole)
        first = np.array(self._first)
        self._spans[:, first, row] = _log_sum(spans + self._heads[first].T[:, None], axis=0)

    def _seen_fixations(self, row: int) -> None:
        sights = np.vstack([self._seen.places[row], self._beside])
        older = np.concatenate([np.zeros_like(self._of_fixation[:, :1]), self._of_fixation[:, :-1]], axis=1)
        self._of_fixation = older + self._fixations.log_density(row, sights)

    def _go_on(self) -> None:
        ended = _log_sum(self._began + (self._now + self._ends)[:, :, None], axis=3)
        self._began = np.concatenate([ended[..., None], self._began[..., :-1]], axis=3)

    def log_likelihood(self, hands: hand.Hands, since: Ints, row: int) -> Floats:
        """Return (N,) that of all frames up to `row`, given what led the eyes of these hands from frame `since` on.

        since: (N,) the first frame that counts, at which a new fixation began.
        """
        looks, turns, turned_to = self._changes(hands, since, row)
        return (
            self._span(np.full(len(hands), self.nothing), since, looks - 1)
            + self._span(hands.target, looks, turns - 1)
            + self._span(turned_to, turns, np.full(len(hands), row))
        )

    def of_objects(self, hands: hand.Hands, since: Ints, row: int) -> Floats:
        """Return (N, objects) the same, up to a constant, if the target of hands that have not turned were another."""
        looks, turns, _ = self._changes(hands, since, row)
        count = len(hands)
        return np.stack([self._span(np.full(count, own), looks, turns - 1) for own in range(self.nothing)], axis=1)

    def _changes(self, hands: hand.Hands, since: Ints, row: int) -> tuple[Ints, Ints, Ints]:
        """Return frames (N,) from which on the target leads, then something else; row + 1 = not yet; and what."""
        reaches = hands.kind == hand.REACH
        changes, quits = reaches & (hands.fate == hand.CHANGES), reaches & (hands.fate == hand.WITHDRAWS)
        looks = self._frame(hands.gaze_s, since, row)
        turn_s = np.where(changes, hands.turn_s - self._lead_s, np.where(quits, hands.turn_s, np.inf))
        turns = self._frame(turn_s, since, row)
        looks = np.where(quits & (turns <= looks), row + 1, looks)
        return looks, np.maximum(turns, looks), np.where(changes, hands.other, self.nothing)

    def _frame(self, times_s: Floats, since: Ints, row: int) -> Ints:
        """Return the first frame at or after each time, between `since` and row + 1."""
        return np.clip(np.ceil(np.minimum(times_s, 1e6) / self._step_s - 1e-9), since, row + 1).astype(int)

    def _span(self, led_by: Ints, first: Ints, last: Ints) -> Floats:
        end = np.maximum(last, 0)
        return np.where(last >= first, self._spans[led_by, np.minimum(first, end), end], 0.0)


def _log_sum(values: Floats, axis: int = -1) -> Floats:
    """Return the logarithm of the sum of exponentials along an axis. Much faster on small arrays than scipy's."""
    most = np.maximum(values.max(axis=axis, keepdims=True), -1e300)
    with np.errstate(divide="ignore"):
        return np.squeeze(most, axis) + np.log(np.exp(values - most).sum(axis=axis))
