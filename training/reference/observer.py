"""The ceiling: an observer who knows how the bench is made, and sees what pixels hold of it.

A particle filter on the generative model itself (gaze_vlm_ros.sim.bench2_hand), causal, with persons marginalized: each
particle is a person with a plan, and does what the simulated person could do. Observations weigh particles; those in
motion are moved by Metropolis steps on the path seen so far (resample-move, Gilks and Berzuini 2001), and what nobody
can have seen yet is drawn again at each step (a Gibbs step). Beliefs are the futures that the particles then play out.

It is a ceiling up to its particles: more of them do better. Two things that it could know are left out, as they tell
little: fixations seconds ahead of a reach, and what earlier truths of the sign say about later ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from gaze_vlm_ros.prediction.believed_stream import Floats, Ints
from gaze_vlm_ros.sim import bench2_hand as hand
from gaze_vlm_ros.sim.bench2 import in_view, surface_of
from gaze_vlm_ros.sim.bench2_eyes import (
    ANYWHERE,
    AT_SIGN,
    DESTINATION,
    ELSEWHERE,
    GUIDED,
    IDLE,
    OBSTACLE,
    SIGHTS,
    SIGN_CENTRE,
    attention,
    glances,
)
from gaze_vlm_ros.sim.bench2_rates import Rates
from gaze_vlm_ros.sim.bench2_traits import draw_traits
from gaze_vlm_ros.sim.bench_scene import GRASP, VIEW_WIDTH
from gaze_vlm_ros.sim.person import HEAD_S
from training.reference.models import Model
from training.reference.other_ways import log_prior, other_place, other_turn, other_way
from training.reference.seen import Noise, Question, Seen, Table

_WINDOW = 15  # frames of the path that Metropolis steps look at: a reach
_OUTLIER = -12.0  # least log-likelihood of one frame: no single frame decides
_LOST = -40.0  # a log-weight below which no particle explains what is seen
_UNSURE = 0.005  # of the belief, spread evenly: so many particles cannot know smaller chances
_UNSEEN = np.log(0.03)  # a hand that should be in view, and is not seen
_ANNEALING = 10  # most steps in which a frame is taken in
_SIGHT_DAMPING = 0.35  # fixations last about three frames: what they say is not new in each


@dataclass(frozen=True)
class Sees:
    """What an observer uses. All know the labels, and when each action began and ended."""

    hand: bool = True  # with the objects' places, and whether it is in view at all
    sign: bool = True
    head: bool = True
    gaze: bool = False  # no pixels hold it: it is withheld at test time from every model


CEILINGS = {
    "ceiling: clock": Sees(hand=False, sign=False, head=False),
    "ceiling: hand and sign": Sees(head=False),
    "ceiling: hand, sign and head": Sees(),
    "ceiling: with true gaze": Sees(gaze=True),
}


def ceiling(
    seen: Seen,
    rows: Ints,
    sees: Sees,
    model: Model,
    question: Question,
    particles: int = 600,
    noise: Noise | None = None,
) -> Table:
    """Return the beliefs of an ideal observer at some frames of a session.

    rows: (M,) ascending. It sees frames up to each, and none after it. The same arguments give the same beliefs.
    """
    observer = _Observer(seen, sees, model, particles, noise or Noise())
    wanted, begins, nothing = set(rows.tolist()), [], []
    for row in range(int(rows.max()) + 1 if len(rows) else 0):
        observer.step(row)
        if row in wanted:
            table = observer.believe(row, question)
            begins.append(table.begins[0])
            nothing.append(table.nothing[0])
    objects = seen.places.shape[1]
    return Table(np.array(begins).reshape(-1, objects, question.parts), np.array(nothing))


class _Observer:
    """Particles and their weights over one session."""

    def __init__(self, seen: Seen, sees: Sees, model: Model, particles: int, noise: Noise) -> None:
        self._seen, self._sees, self._model, self._noise = seen, sees, model, noise
        self._rates: Rates = model.rates
        self._rng = np.random.default_rng([seen.settings.seed, 41, *sees.__dict__.values()])
        self._step_s = 1 / seen.settings.frame_rate_hz
        self._traits, _ = draw_traits(self._rng, self._rates, particles)
        self._hands = hand.resting(self._rng, self._rates, self._traits, self._surface(0))
        self._log_weights = np.zeros(particles)
        self._mode = np.full(particles, IDLE)
        self._sight = np.full(particles, ANYWHERE)
        self._sights = np.zeros((len(seen.times_s), seen.places.shape[1] + 1))
        self._since = 0  # frame of the last thing that is certain: an action's end
        self._height = VIEW_WIDTH * seen.settings.height / seen.settings.width
        rates = self._rates
        self._kept = float(np.exp(-self._step_s / rates.wander_s))
        self._spread = rates.wander**2 * (1 - self._kept**2) + noise.hand**2 * (1 + self._kept**2)

    def _surface(self, row: int) -> hand.Surface:
        surface = surface_of(self._seen.places[row], self._seen.settings)
        odds = surface.odds.copy()
        if self._model.never_again and row:
            before = np.searchsorted(self._seen.actions.starts_s, self._seen.times_s[row], side="right") - 1
            if before >= 0:
                odds[self._seen.actions.targets[before]] = 0.0
        return hand.Surface(surface.places, odds / odds.sum(), float(np.sqrt(self._model.reliability(self._seen))))

    def step(self, row: int) -> None:
        """Take in one frame."""
        seen, busy = self._seen, self._seen.doing[row] >= 0
        was_busy = row > 0 and seen.doing[row - 1] >= 0
        if busy:
            self._while_doing(row)
        elif was_busy:
            self._after_doing(row)
        elif row:
            self._idle(row)

    # An action goes on: it is seen, so nothing has to be guessed but when it ends.

    def _while_doing(self, row: int) -> None:
        seen, rates, count = self._seen, self._rates, len(self._hands)
        if row == 0 or seen.doing[row - 1] < 0:
            self._resample()
        began_s = seen.actions.starts_s[np.searchsorted(seen.actions.starts_s, seen.times_s[row], side="right") - 1]
        began_s = np.ceil(began_s / self._step_s) * self._step_s  # seen at the next frame
        elapsed_s = seen.times_s[row] - began_s
        length_s = self._rng.uniform(*rates.grasp_s, count) + self._rng.uniform(*rates.carry_s, count)
        length_s = np.where(length_s <= elapsed_s, elapsed_s + self._rng.uniform(0, 0.1, count), length_s)
        place = np.broadcast_to(seen.places[row, seen.doing[row]] + GRASP, (count, 2))
        hand.move(self._hands, np.arange(count), hand.CARRY, np.full(count, began_s), began_s + length_s, place, place)
        self._hands.target[:] = seen.doing[row]
        self._mode[:] = IDLE

    def _after_doing(self, row: int) -> None:
        count, now_s = len(self._hands), self._seen.times_s[row]
        target = self._seen.doing[row - 1]
        place = np.broadcast_to(self._seen.places[row, target] + GRASP, (count, 2))
        ended_s = now_s - self._rng.uniform(0, self._step_s, count)
        hand.move(self._hands, np.arange(count), hand.CARRY, ended_s - 0.7, ended_s, place, place)
        self._since = row
        self._advance(now_s, row)
        self._log_weights[:] = 0.0
        self._mode, _ = attention(self._hands, now_s, self._rates)
        self._sight[:] = ANYWHERE

    def _advance(self, until_s: float, row: int) -> None:
        hand.advance(
            self._hands, until_s, self._rng, self._rates, self._traits, self._surface(row),
            lambda rows: np.zeros((len(rows), 2)), stop=hand.GRASPING,
        )  # fmt: skip

    # Nothing is done.

    def _idle(self, row: int) -> None:
        now_s = self._seen.times_s[row]
        self._draw_futures(row - 1)
        self._advance(now_s, row)
        self._log_weights[self._hands.kind == hand.GRASPING] += 2 * _LOST  # it would be seen
        if self._sees.head or self._sees.gaze:
            self._log_weights += self._sight_gain(row)
        if not self._sees.hand:
            if self._effective() < len(self._hands) / 2:
                self._resample()
            return
        gain, power = self._path_gain(self._hands, row, 1), 0.0
        if (self._log_weights + gain).max() < _LOST:
            self._start_over(row)
            gain = self._path_gain(self._hands, row, 1)
        # What is seen counts little by little, and particles move in between: no single frame leaves only a few of them
        # (annealed importance sampling, Neal 2001).
        for _ in range(_ANNEALING):
            step = self._longest_step(gain, 1.0 - power)
            self._log_weights += step * gain
            power += step
            if self._effective() < len(self._hands) / 2:
                self._resample()
                self._move_particles(row, power)
            if power >= 1.0:
                break
            gain = self._path_gain(self._hands, row, 1)
        else:
            self._log_weights += (1.0 - power) * gain
        self._log_weights -= self._log_weights.max()

    def _effective(self, gain: Floats | float = 0.0) -> float:
        """Return how many particles of equal weight these are worth."""
        log_weights = self._log_weights + gain
        weights = np.exp(log_weights - log_weights.max())
        return float(weights.sum() ** 2 / np.square(weights).sum())

    def _longest_step(self, gain: Floats, left: float) -> float:
        """Return the largest power, up to `left`, that leaves a third of the present effective particles."""
        least = self._effective() / 3
        if self._effective(left * gain) >= least:
            return left
        low, high = 0.0, left
        for _ in range(8):
            middle = (low + high) / 2
            low, high = (middle, high) if self._effective(middle * gain) >= least else (low, middle)
        return max(low, left / 64)

    def _resample(self) -> None:
        weights = np.exp(self._log_weights - self._log_weights.max())
        count = len(weights)
        ends = weights.cumsum() / weights.sum()
        chosen = np.minimum(np.searchsorted(ends, (np.arange(count) + self._rng.random()) / count), count - 1)
        self._hands, self._traits = self._hands.of(chosen), self._traits.of(chosen)
        self._mode, self._sight = self._mode[chosen], self._sight[chosen]
        self._log_weights = np.zeros(count)
        # Persons do not change, but copies of one would be all that is left of them (Liu and West 2001).
        traits, rates, rng = self._traits, self._rates, self._rng
        traits.reach_s = np.clip(traits.reach_s * np.exp(rng.normal(0, 0.01, count)), *rates.reach_s)
        traits.pace = np.clip(traits.pace * np.exp(rng.normal(0, 0.02, count)), *rates.pace)
        traits.head_gain = np.clip(traits.head_gain + rng.normal(0, 0.005, count), *rates.head_gain)
        traits.bow = traits.bow + rng.normal(0, 0.02 * np.ptp(rates.bow), count)

    def _draw_futures(self, row: int) -> None:
        """Draw again, given the past, what lies ahead of each particle: waits, plans, and how reaches end."""
        hands, rates, rng, now_s = self._hands, self._rates, self._rng, self._seen.times_s[row]
        surface = self._surface(row)
        unseen = hands.gaze_s > now_s if self._sees.head or self._sees.gaze else np.ones(len(hands), bool)
        waiting = np.isin(hands.kind, (hand.REST, hand.SHIFT, hand.RETREAT)) & (hands.due_s > now_s) & unseen
        rows = np.flatnonzero(waiting)
        if len(rows):
            own = self._traits.of(rows)
            new = hands.of(rows)
            median_s, sigma = hand.wait_of(new.away, rates, own)
            least = np.log(np.maximum(now_s - new.planned_s, 1e-9) / median_s) / sigma
            chance = ndtr(least)
            quantile = np.clip(chance + rng.random(len(rows)) * (1 - chance), 0.0, 1 - 1e-12)
            new.due_s = np.maximum(new.planned_s + median_s * np.exp(sigma * ndtri(quantile)), now_s)
            hand.draw_reach(new, np.arange(len(rows)), rng, rates, own, surface)
            fidget_s = now_s + rng.exponential(1 / rates.fidget_rate_hz, len(rows))
            rests = new.kind == hand.REST
            new.end_s = np.where(rests, np.minimum(new.due_s, fidget_s), new.end_s)
            new.main_end_s = np.where(rests, new.end_s, new.main_end_s)
            ahead = new.gaze_s > now_s if self._sees.head or self._sees.gaze else np.ones(len(rows), bool)
            hands.put(rows[ahead], new.of(ahead))
        self._draw_ends(now_s, surface)

    def _draw_ends(self, now_s: float, surface: hand.Surface) -> None:
        """Draw again how reaches end that have not turned yet."""
        hands, rates, rng = self._hands, self._rates, self._rng
        rows = np.flatnonzero((hands.kind == hand.REACH) & ~(hands.turn_s - rates.change_lead_s <= now_s))
        if not len(rows):
            return
        first, last = rates.turn_from
        passed = (now_s - hands.start_s[rows]) / (hands.main_end_s[rows] - hands.start_s[rows])
        left = np.clip((last - np.maximum(passed, first)) / (last - first), 0.0, 1.0)
        shares = np.array([rates.pause_share, rates.change_share, rates.withdraw_share])
        chances = np.concatenate([left[:, None] * shares, np.full((len(rows), 1), 1 - shares.sum())], axis=1)
        ends = (chances / chances.sum(axis=1, keepdims=True)).cumsum(axis=1)
        what = (ends[:, :3] < rng.random(len(rows))[:, None]).sum(axis=1)
        hands.fate[rows] = np.array([hand.PAUSES, hand.CHANGES, hand.WITHDRAWS, hand.CONTACT])[what]
        hands.turn_share[rows] = rng.uniform(np.clip(passed, first, last), last)
        hand.plan_turn(hands, rows, rng, rates, self._traits.of(rows), surface)

    # What is seen.

    def _path_gain(
        self, hands: hand.Hands, row: int, frames: int, mask: NDArray[np.bool_] | None = None, power: float = 1.0
    ) -> Floats:
        """Log-likelihood (N,) of where the hand was in the last `frames` frames, straying as an autoregression.

        mask: (frames, N) those that count for each hand, None = all. power: of the last frame.
        """
        rows = np.arange(max(row - frames, 0), row + 1)
        times_s, seen = self._seen.times_s[rows], self._seen.hand[rows]
        places = hand.place_at(hands, np.broadcast_to(times_s[:, None], (len(rows), len(hands))), self._rates)
        known = np.isfinite(seen[:, 0])
        off = np.nan_to_num(seen)[:, None] - places
        before = np.where((known[:-1] & (rows[:-1] >= self._since))[:, None, None], off[:-1], 0.0)
        spread = np.where(known[:-1], self._spread, self._rates.wander**2 + self._noise.hand**2)
        gains = np.maximum(-0.5 * np.square(off[1:] - self._kept * before).sum(axis=2) / spread[:, None], _OUTLIER)
        unseen = np.flatnonzero(~known[1:])
        if len(unseen):
            cameras = self._seen.camera[rows[unseen + 1]][:, None]
            gains[unseen] = _UNSEEN * in_view(places[unseen + 1], cameras, self._seen.view, self._height)
        gains[-1] *= power
        return np.asarray((gains if mask is None else np.where(mask[-len(gains) :], gains, 0.0)).sum(axis=0))

    def _sight_gain(self, row: int) -> Floats:
        """Log-likelihood (N,) of head and gaze; draws what each particle looks at, given them."""
        seen, rates, rng, count = self._seen, self._rates, self._rng, len(self._hands)
        mode, object_ = attention(self._hands, seen.times_s[row], rates)
        switched = np.where(mode != self._mode, 1.0, self._step_s / sum(rates.fixation_s))
        sights = np.full((SIGHTS, 2), np.nan)
        sights[: seen.places.shape[1]] = seen.places[row]
        occluders = seen.view.occluders
        if occluders:
            sights[OBSTACLE] = (occluders[0].left + occluders[0].right) / 2, min(occluders[0].top + 20, 400)
        sights[AT_SIGN] = SIGN_CENTRE
        chances = glances(mode, object_, self._model.reliability(seen), bool(occluders), rates)
        likelihood = np.ones((count, SIGHTS))
        low, high = np.array(ELSEWHERE)
        if self._sees.gaze and np.isfinite(seen.gaze[row, 0]):
            spread = rates.fixation_spread**2 + self._noise.gaze_offset**2 + self._noise.gaze**2 + 1.5
            near = np.exp(-0.5 * np.square(seen.gaze[row] - sights).sum(axis=1) / spread) / (2 * np.pi * spread)
            near[ANYWHERE] = 1 / np.prod(high - low)
            likelihood *= np.nan_to_num(near)
        if self._sees.head:
            likelihood *= self._head_likelihood(row, sights, (low + high) / 2, (high - low) / np.sqrt(12))
        likelihood[:, DESTINATION] = 0.0
        self._remember(row, likelihood.mean(axis=0), bool(occluders))
        stays = (1 - switched) * likelihood[np.arange(count), self._sight]
        goes = switched[:, None] * chances * likelihood
        total = stays + goes.sum(axis=1)
        moved = rng.random(count) * np.maximum(total, 1e-300) > stays
        ends = goes.cumsum(axis=1)
        drawn = (ends < (rng.random(count) * ends[:, -1])[:, None]).sum(axis=1)
        self._sight = np.where(moved & (ends[:, -1] > 0), np.minimum(drawn, SIGHTS - 1), self._sight)
        self._mode = mode
        return np.maximum(np.log(np.maximum(total, 1e-300) / max(float(total.mean()), 1e-300)), _OUTLIER)

    def _remember(self, row: int, likelihood: Floats, obstacle: bool) -> None:
        """Keep what this frame's sights say about each object that could lead gaze, and about none: (objects + 1,)."""
        objects = self._seen.places.shape[1]
        mode = np.r_[np.full(objects, GUIDED), IDLE]
        chances = glances(
            mode, np.r_[np.arange(objects), 0], self._model.reliability(self._seen), obstacle, self._rates
        )
        evidence = np.log(np.maximum(chances @ likelihood, 1e-300))
        self._sights[row] = _SIGHT_DAMPING * np.maximum(evidence - evidence.max(), _OUTLIER)

    def _attention_gain(self, hands: hand.Hands, row: int, frames: int, mask: NDArray[np.bool_]) -> Floats:
        """Log-likelihood (N,) of head and gaze in the last frames, given what would have led them."""
        rows = np.arange(row - frames + 1, row + 1)
        mode, object_ = attention(hands, self._seen.times_s[rows][:, None], self._rates)
        led = np.where(mode == GUIDED, np.broadcast_to(object_, mode.shape), self._seen.places.shape[1])
        return np.asarray(np.where(mask, np.take_along_axis(self._sights[rows], led, axis=1), 0.0).sum(axis=0))

    def _head_likelihood(self, row: int, sights: Floats, middle: Floats, spread: Floats) -> Floats:
        """Likelihood (N, SIGHTS) of how the head moved since the last frame, if the person looked at each sight."""
        kept = np.exp(-self._step_s / HEAD_S)
        moved = (self._seen.head[row] - kept * self._seen.head[row - 1]) / (1 - kept)
        centre = np.array([VIEW_WIDTH / 2, 0.375 * VIEW_WIDTH])
        known = np.where(np.isfinite(sights), sights, middle) - centre
        gain = self._traits.head_gain[:, None, None]
        error = self._model.head_error / (1 - kept)
        variance = error**2 + np.where(np.isfinite(sights), 0.0, spread**2) * gain**2
        off = np.square(moved - gain * known) / variance
        return np.asarray(np.exp(-0.5 * off.sum(axis=2)) / np.sqrt(np.prod(variance, axis=2)) * error**2 + 1e-6)

    # Metropolis steps.

    def _move_particles(self, row: int, power: float) -> None:
        """Let each particle have come a slightly different way, if that explains the last frames as well."""
        hands, now_s = self._hands, self._seen.times_s[row]
        reaches = np.flatnonzero(hands.kind == hand.REACH)
        others = np.flatnonzero(np.isin(hands.kind, (hand.REST, hand.SHIFT, hand.RETREAT, hand.PAUSE)))
        frames = min(_WINDOW, row - self._since)
        if frames < 1:
            return
        times_s, surface = self._seen.times_s[row - frames + 1 : row + 1][:, None], self._surface(row)
        for rows, proposals in (
            (reaches, (other_way, other_turn, other_way)),
            (others, (other_place,)),
        ):
            if not len(rows):
                continue
            mask = times_s >= hands.start_s[rows] - 0.15
            now = self._explains(hands.of(rows), row, mask, power)
            for propose in proposals:
                old = hands.of(rows)
                new, drawn = propose(self._rng, old, self._traits.of(rows), surface, self._rates, now_s)
                explains = self._explains(new, row, mask, power)
                gain = explains - now
                for each, sign in ((new, 1.0), (old, -1.0)):
                    gain += sign * log_prior(each, surface.places, self._rates, now_s, drawn)
                gain[(new.end_s <= now_s) | (new.start_s > now_s)] = -np.inf
                accepted = np.log(self._rng.random(len(rows))) < gain
                hands.put(rows[accepted], new.of(accepted))
                now = np.where(accepted, explains, now)

    def _explains(self, hands: hand.Hands, row: int, mask: NDArray[np.bool_], power: float) -> Floats:
        """Log-likelihood (N,) of the last frames, as many as mask (frames, N) has; it says which count."""
        gain = self._path_gain(hands, row, len(mask), mask, power)
        if self._sees.head or self._sees.gaze:
            gain = gain + self._attention_gain(hands, row, len(mask), mask)
        return gain

    def _start_over(self, row: int) -> None:
        """No particle explains what is seen: half of them now rest where the hand is, the others reach."""
        hands, rng, now_s, count = self._hands, self._rng, self._seen.times_s[row], len(self._hands)
        surface = self._surface(row)
        back = rng.integers(0, 9, count)
        rows = np.maximum(row - back, self._since)
        origin = self._seen.hand[rows]
        known = np.isfinite(self._seen.hand[:, 0])
        last = np.flatnonzero(known[: row + 1])
        fallback = self._seen.hand[last[-1]] if len(last) else np.array([VIEW_WIDTH / 2, self._rates.rest_y])
        origin = np.where(np.isfinite(origin), origin, fallback)
        every = np.arange(count)
        hands.due_s = self._seen.times_s[rows] - 1e-6
        hand.rest(
            hands,
            every,
            np.full(count, self._seen.times_s[max(rows.min(), 0)]) * 0 + hands.due_s,
            origin,
            rng,
            self._rates,
        )
        hand.draw_reach(hands, every, rng, self._rates, self._traits, surface)
        reaching = every[: count // 2]
        hand.start_reach(hands, reaching, hands.due_s[reaching], origin[reaching], rng, self._rates,
                         self._traits.of(reaching), surface)  # fmt: skip
        resting = every[count // 2 :]
        hands.planned_s[resting] = self._seen.times_s[self._since]
        hands.due_s[resting] = now_s + rng.exponential(1.0, len(resting))
        hands.end_s[resting] = hands.main_end_s[resting] = hands.due_s[resting]
        self._advance(now_s, row)
        self._log_weights = self._path_gain(hands, row, min(8, max(row - self._since, 1)), power=0.0)
        self._log_weights[hands.kind == hand.GRASPING] = 2 * _LOST

    # What is believed.

    def believe(self, row: int, question: Question) -> Table:
        """Return the beliefs now, as tables of one moment."""
        rates, rng, now_s = self._rates, self._rng, self._seen.times_s[row]
        weights = np.exp(self._log_weights - self._log_weights.max())
        weights[self._hands.kind == hand.GRASPING] = 0.0  # it would have been seen
        future = self._hands.of(slice(None))
        # Who waits, and has not looked at it yet, can still take any object: their chances are known without drawing.
        looks = self._sees.head or self._sees.gaze
        free = np.isin(future.kind, (hand.REST, hand.SHIFT, hand.RETREAT, hand.CARRY))
        free &= (future.gaze_s > now_s) | ~np.array(looks) | (future.kind == hand.CARRY)
        free |= not (looks or self._sees.hand)
        surface = self._surface(row)
        hand.advance(
            future, now_s + question.horizon_s, rng, rates, self._traits, surface,
            lambda rows: np.zeros((len(rows), 2)), stop=hand.GRASPING,
        )  # fmt: skip
        away_s = np.where(future.kind == hand.GRASPING, future.start_s - now_s, np.inf)
        due = (away_s <= question.horizon_s) & (weights > 0)
        objects = len(surface.odds)
        chances = np.where(free[:, None], surface.odds, np.eye(objects)[future.target])
        likelihood = self._sign_likelihood(row, away_s, due) if self._sees.sign else np.ones(chances.shape)
        begins_each = weights[:, None] * chances * likelihood
        part = np.clip((away_s[due] / question.horizon_s * question.parts).astype(int), 0, question.parts - 1)
        table = np.zeros((question.parts, objects))
        np.add.at(table, part, begins_each[due])
        nothing = float(begins_each[~due].sum())
        total = nothing + float(table.sum())
        if not total > 0:
            table[:], nothing, total = 1.0, 1.0, table.size + 1.0
        cells = table.size + 1
        begins = (1 - _UNSURE) * table.T / total + _UNSURE / cells
        return Table(begins[None], np.array([(1 - _UNSURE) * nothing / total + _UNSURE / cells]))

    def _sign_likelihood(self, row: int, away_s: Floats, due: NDArray[np.bool_]) -> Floats:
        """Likelihood (N, objects) of the sign's colour: it is honest in a share of the last changes ahead of a take."""
        seen, objects = self._seen, self._seen.places.shape[1]
        start = np.searchsorted(seen.actions.starts_s, seen.times_s[row], side="right") - 1
        first = 0 if start < 0 else int(np.ceil(seen.actions.starts_s[start] / self._step_s))
        hints = seen.hint[first : row + 1]
        honest, last = self._model.sign(bool((hints != hints[0]).any()) or start < 0, np.where(due, away_s, np.inf))
        right = last * honest + (1 - last) * honest / objects
        wrong = last * (1 - honest) / (objects - 1) + (1 - last) * (honest / objects + (1 - honest) / (objects - 1))
        return np.where(np.arange(objects) == seen.hint[row], right[:, None], wrong[:, None])
