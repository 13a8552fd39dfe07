"""The ceiling: an observer who knows how the bench is made, and sees what pixels hold of it.

A particle filter on the generative model itself (gaze_vlm_ros.sim.bench2_hand), causal, with persons marginalized: each
particle is a person with a plan, and does what the simulated person could do. Observations weigh particles; those in
motion are moved by Metropolis steps on the path seen so far (resample-move, Gilks and Berzuini 2001), and what nobody
can have seen yet is drawn again at each step (a Gibbs step). What head and gaze say of the plan is looked up in
sight_evidence. Beliefs are the futures that the particles then play out.

It is a ceiling up to its particles: more of them do better. Three things that it could know are left out, as they tell
little: fixations seconds ahead of a reach, what earlier truths of the sign say about later ones, and the head where
gaze is seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.prediction.believed_stream import Floats, Ints
from gaze_vlm_ros.sim import bench2_hand as hand
from gaze_vlm_ros.sim.bench2 import in_view, surface_of
from gaze_vlm_ros.sim.bench2_rates import Rates
from gaze_vlm_ros.sim.bench2_traits import draw_traits
from gaze_vlm_ros.sim.bench_scene import GRASP, VIEW_WIDTH
from training.reference.fixations_seen import GazeFixations, HeadFixations
from training.reference.models import Model
from training.reference.other_plans import (
    could_begin,
    other_begin,
    other_end,
    other_look,
    other_plan,
    other_wait,
)
from training.reference.other_ways import log_prior, other_place, other_turn, other_way
from training.reference.seen import Noise, Question, Seen, Table
from training.reference.sight_evidence import SightEvidence

_WINDOW = 15  # frames of the path that Metropolis steps look at: a reach
_FUTURES = 2  # drawn of each particle when asked
_OUTLIER = -12.0  # least log-likelihood of one frame: no single frame decides
_LOST = -40.0  # a log-weight below which no particle explains what is seen
_UNSURE = 0.005  # of the belief, spread evenly: so many particles cannot know smaller chances
_UNSEEN = np.log(0.03)  # a hand that should be in view, and is not seen
_MORE = 2  # times as many particles where a frame says much
_ANNEALING = 10  # most steps in which a frame is taken in


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
    particles: int = 450,
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
        self._few = particles
        self._put: Floats | None = None  # where the last object was put down
        self._since = 0  # frame of the last thing that is certain: an action's end
        self._looks = _sight_evidence(seen, sees, model, noise)
        self._led_since = np.zeros(particles, int)  # frame from which on a hand's fields say what led the eyes
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
        if self._looks:
            self._looks.step(row, idle=not busy)
        was_busy = row > 0 and seen.doing[row - 1] >= 0
        if busy:
            self._while_doing(row)
        elif was_busy:
            self._after_doing(row)
        elif row:
            self._idle(row)

    # An action goes on: it is seen, so nothing has to be guessed but when it ends.

    def _while_doing(self, row: int) -> None:
        seen, rates = self._seen, self._rates
        if row == 0 or seen.doing[row - 1] < 0:
            self._resample(self._few)
        count = len(self._hands)
        began_s = seen.actions.starts_s[np.searchsorted(seen.actions.starts_s, seen.times_s[row], side="right") - 1]
        began_s = np.ceil(began_s / self._step_s) * self._step_s  # seen at the next frame
        elapsed_s = seen.times_s[row] - began_s
        length_s = self._rng.uniform(*rates.grasp_s, count) + self._rng.uniform(*rates.carry_s, count)
        length_s = np.where(length_s <= elapsed_s, elapsed_s + self._rng.uniform(0, 0.1, count), length_s)
        place = np.broadcast_to(seen.places[row, seen.doing[row]] + GRASP, (count, 2))
        hand.move(self._hands, np.arange(count), hand.CARRY, np.full(count, began_s), began_s + length_s, place, place)
        self._hands.target[:] = seen.doing[row]

    def _after_doing(self, row: int) -> None:
        count, now_s = len(self._hands), self._seen.times_s[row]
        target = self._seen.doing[row - 1]
        place = np.broadcast_to(self._seen.places[row, target] + GRASP, (count, 2))
        ended_s = now_s - self._rng.uniform(0, self._step_s, count)
        hand.move(self._hands, np.arange(count), hand.CARRY, ended_s - 0.7, ended_s, place, place)
        self._since, self._put = row, place[0].copy()
        self._advance(now_s, row)
        self._log_weights[:] = self._glance_gain(row)

    def _advance(self, until_s: float, row: int) -> None:
        hands = self._hands
        before = hands.of(slice(None))
        hand.advance(
            hands, until_s, self._rng, self._rates, self._traits, self._surface(row),
            lambda rows: np.zeros((len(rows), 2)), stop=hand.GRASPING,
        )  # fmt: skip
        # Where the fields that say what led the eyes were drawn again, earlier frames are about those before.
        planned, was_reach = hands.planned_s != before.planned_s, before.kind == hand.REACH
        turned = (before.kind == hand.PAUSE) & (hands.kind == hand.REACH) & (hands.target != before.target)
        from_s = np.where(planned, np.where(was_reach, before.turn_s, hands.planned_s), hands.start_s)
        led_since = np.ceil(np.minimum(from_s, until_s) / self._step_s).astype(int)
        self._led_since = np.where(planned | turned, np.clip(led_since, self._since, row), self._led_since)

    # Nothing is done.

    def _idle(self, row: int) -> None:
        now_s = self._seen.times_s[row]
        self._draw_futures(row - 1)
        self._advance(now_s, row)
        self._log_weights[self._hands.kind == hand.GRASPING] += 2 * _LOST  # it would be seen
        if not self._sees.hand:
            if self._effective() < len(self._hands) / 2:
                self._resample(self._few)
            return
        gain, power = self._frame_gain(row), 0.0
        if (self._log_weights + gain).max() < _LOST:
            self._start_over(row)
            gain = self._frame_gain(row)
        # What is seen counts little by little, and particles move in between: no single frame leaves only a few of them
        # (annealed importance sampling, Neal 2001).
        for number in range(_ANNEALING):
            step = self._longest_step(gain, 1.0 - power)
            self._log_weights += step * gain
            power += step
            if self._effective() < len(self._hands) / 2:
                # A frame that takes several steps leaves few of them: then there are more, until it is easy again.
                self._resample(_MORE * self._few if number else self._few)
                self._move_particles(row, power)
            if power >= 1.0:
                break
            gain = self._frame_gain(row)
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

    def _resample(self, count: int) -> None:
        weights = np.exp(self._log_weights - self._log_weights.max())
        ends = weights.cumsum() / weights.sum()
        at = (np.arange(count) + self._rng.random(count)) / count  # stratified
        chosen = np.minimum(np.searchsorted(ends, at), len(weights) - 1)
        self._hands, self._traits = self._hands.of(chosen), self._traits.of(chosen)
        self._led_since = self._led_since[chosen]
        self._log_weights = np.zeros(count)
        # Persons do not change, but copies of one would be all that is left of them (Liu and West 2001).
        traits, rates, rng = self._traits, self._rates, self._rng
        traits.reach_s = np.clip(traits.reach_s * np.exp(rng.normal(0, 0.01, count)), *rates.reach_s)
        traits.pace = np.clip(traits.pace * np.exp(rng.normal(0, 0.02, count)), *rates.pace)
        traits.head_gain = np.clip(traits.head_gain + rng.normal(0, 0.005, count), *rates.head_gain)
        traits.bow = traits.bow + rng.normal(0, 0.02 * np.ptp(rates.bow), count)

    def _draw_futures(self, row: int) -> None:
        """Draw again, given the past, what lies ahead of each particle: waits, plans, and how reaches end."""
        hands, rng, rates, surface, now_s = self._hands, self._rng, self._rates, self._surface(row), self._now_s(row)
        rows = np.flatnonzero(self._waiting(row))
        if len(rows):
            self._try(rows, row, other_plan(rng, hands.of(rows), self._traits.of(rows), surface, rates, now_s))
        if len(rows) and self._looks:
            self._draw_targets(rows, row, surface)
            led = rows[np.isfinite(hands.gaze_s[rows])]
            self._try(led, row, *other_wait(rng, hands.of(led), self._traits.of(led), rates, now_s))
        if self._looks:
            rows = np.flatnonzero(hands.kind == hand.REACH)
            self._try(rows, row, other_look(rng, hands.of(rows), self._traits.of(rows), surface, rates))
        rows = np.flatnonzero((hands.kind == hand.REACH) & ~(hands.turn_s <= now_s))
        if len(rows):
            self._try(rows, row, other_end(rng, hands.of(rows), self._traits.of(rows), surface, rates, now_s))

    def _now_s(self, row: int) -> float:
        return float(self._seen.times_s[row])

    def _waiting(self, row: int) -> NDArray[np.bool_]:
        still = np.isin(self._hands.kind, (hand.REST, hand.SHIFT, hand.RETREAT))
        return still & (self._hands.due_s > self._now_s(row))

    def _try(self, rows: Ints, row: int, new: hand.Hands, log_ratio: Floats | float = 0.0) -> None:
        """Replace hands by others, drawn from the prior, as often as head or gaze allow (a Metropolis step)."""
        if not self._looks:
            self._hands.put(rows, new)
            return
        since = self._led_since[rows]
        gain = self._looks.log_likelihood(new, since, row) + log_ratio
        gain -= self._looks.log_likelihood(self._hands.of(rows), since, row)
        accepted = np.log(self._rng.random(len(rows))) < gain
        self._hands.put(rows[accepted], new.of(accepted))

    def _draw_targets(self, rows: Ints, row: int, surface: hand.Surface) -> None:
        """Draw the object that each waiting hand will take, given where its person looks (a Gibbs step)."""
        new = self._hands.of(rows)
        ends = self._target_chances(new, self._led_since[rows], row, surface).cumsum(axis=1)
        new.target = (ends[:, :-1] < self._rng.random(len(rows))[:, None]).sum(axis=1)
        new.other = hand.another(self._rng, surface.odds, new.target)
        self._hands.put(rows, new)

    def _target_chances(self, hands: hand.Hands, since: Ints, row: int, surface: hand.Surface) -> Floats:
        """Return (N, objects) of being the target of hands that wait."""
        if not self._looks:
            return np.broadcast_to(surface.odds, (len(hands), len(surface.odds)))
        evidence = self._looks.of_objects(hands, since, row)
        chances = surface.odds * np.exp(evidence - evidence.max(axis=1, keepdims=True))
        return np.asarray(chances / chances.sum(axis=1, keepdims=True))

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

    def _frame_gain(self, row: int) -> Floats:
        """Log-likelihood (N,) of the last frame, given those before it."""
        return self._path_gain(self._hands, row, 1) + self._glance_gain(row)

    def _glance_gain(self, row: int) -> Floats:
        """Log-likelihood (N,) of head or gaze in the last frame, given those before it."""
        if not self._looks:
            return np.zeros(len(self._hands))
        now = self._looks.log_likelihood(self._hands, self._led_since, row)
        return now - self._looks.log_likelihood(self._hands, self._led_since, row - 1)

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
            since = self._led_since[rows]
            now, own = self._explains(hands.of(rows), since, row, mask, power), self._traits.of(rows)
            for propose in proposals:
                old = hands.of(rows)
                new, drawn = propose(self._rng, old, own, surface, self._rates, now_s)
                explains = self._explains(new, since, row, mask, power)
                gain = explains - now
                for each, sign in ((new, 1.0), (old, -1.0)):
                    gain += sign * log_prior(each, own, surface.places, self._put, self._rates, now_s, drawn)
                gain[(new.end_s <= now_s) | (new.start_s > now_s)] = -np.inf
                accepted = np.log(self._rng.random(len(rows))) < gain
                hands.put(rows[accepted], new.of(accepted))
                now = np.where(accepted, explains, now)
        self._begin_or_not(row, power)

    def _begin_or_not(self, row: int, power: float) -> None:
        """Let hands that rest have begun to reach lately, and those that have begun not."""
        hands, rng, now_s, surface = self._hands, self._rng, self._now_s(row), self._surface(row)
        rows = np.flatnonzero(could_begin(hands, now_s))
        frames = min(_WINDOW, row - self._since)
        if not len(rows) or frames < 1:
            return
        old, mask, since = hands.of(rows), np.ones((frames, len(rows)), bool), self._led_since[rows]
        new, gain = other_begin(rng, old, self._traits.of(rows), surface, self._rates, now_s, self._now_s(self._since))
        gain += self._explains(new, since, row, mask, power) - self._explains(old, since, row, mask, power)
        accepted = np.log(rng.random(len(rows))) < gain
        hands.put(rows[accepted], new.of(accepted))

    def _explains(self, hands: hand.Hands, since: Ints, row: int, mask: NDArray[np.bool_], power: float) -> Floats:
        """Log-likelihood (N,) of the hand in the last frames, and of head or gaze from frame `since` on.

        mask: (frames, N) those of the last frames that count for the hand. power: of the last frame.
        """
        gain = self._path_gain(hands, row, len(mask), mask, power)
        if self._looks:
            before = self._looks.log_likelihood(hands, since, row - 1)
            gain = gain + (1 - power) * before + power * self._looks.log_likelihood(hands, since, row)
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
        self._led_since[:] = self._since
        self._advance(now_s, row)
        self._log_weights = self._path_gain(hands, row, min(8, max(row - self._since, 1)), power=0.0)
        if self._looks:
            self._log_weights += self._looks.log_likelihood(hands, self._led_since, row - 1)
        self._log_weights[hands.kind == hand.GRASPING] = 2 * _LOST

    # What is believed.

    def believe(self, row: int, question: Question) -> Table:
        """Return the beliefs now, as tables of one moment."""
        rates, rng, now_s = self._rates, self._rng, self._seen.times_s[row]
        weights = np.exp(self._log_weights - self._log_weights.max())
        weights[self._hands.kind == hand.GRASPING] = 0.0  # it would have been seen
        again = np.repeat(np.arange(len(weights)), _FUTURES)
        weights, future, traits = weights[again], self._hands.of(again), self._traits.of(again)
        surface = self._surface(row)
        hand.advance(
            future, now_s + question.horizon_s, rng, rates, traits, surface,
            lambda rows: np.zeros((len(rows), 2)), stop=hand.GRASPING,
        )  # fmt: skip
        away_s = np.where(future.kind == hand.GRASPING, future.start_s - now_s, np.inf)
        due = (away_s <= question.horizon_s) & (weights > 0)
        objects = len(surface.odds)
        chances = self._takes(future, again, row, surface)
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

    def _takes(self, future: hand.Hands, of: Ints, row: int, surface: hand.Surface) -> Floats:
        """Return (N, objects) the chances of each object to be taken next, by hands `of` which futures are drawn.

        Those that wait may still take any, as far as gaze leaves open: their chances are known without drawing.
        """
        hands, odds = self._hands, surface.odds
        chances = np.eye(len(odds))[future.target]
        chances[(hands.kind[of] == hand.CARRY) | (not self._sees.hand)] = odds
        own = self._target_chances(hands, self._led_since, row, surface)
        other = (own / (1 - odds)).sum(axis=1, keepdims=True) * odds - own / (1 - odds) * odds
        waits = np.flatnonzero((self._waiting(row) & self._sees.hand)[of])
        same = future.target[waits] == hands.target[of[waits]]
        chances[waits] = np.where(same[:, None], own[of[waits]], other[of[waits]])
        return chances

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


def _sight_evidence(seen: Seen, sees: Sees, model: Model, noise: Noise) -> SightEvidence | None:
    """Return what is known of where the person looks. To those who see gaze, the head that follows it tells no more."""
    if not (sees.gaze or sees.head):
        return None
    fixations = (GazeFixations if sees.gaze else HeadFixations)(seen, model.rates, noise)
    return SightEvidence(seen, fixations, model.rates, model.reliability(seen))
