"""Hold gaze samples back until the eye events that describe them have arrived. Pure: the caller keeps the time.

The glasses report an eye event later than the gaze it describes, a blink only after its end. A sample that waits long
enough gets its final eye state; one that does not wait gets what is known so far.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from gaze_vlm_ros.neon.eye_states import EyeStates
from gaze_vlm_ros.neon.samples import EyeEvent

Sample = TypeVar("Sample")


@dataclass
class GazeDelay(Generic[Sample]):
    """Samples that wait for their eye state, in the order in which they came."""

    delay_s: float = 0.0  # 0 releases every sample at once
    states: EyeStates = field(default_factory=EyeStates)
    longest_event_delay_ms: float = 0.0  # from the gaze that completes an event to the event's arrival
    _held: deque[tuple[float, int, Sample]] = field(default_factory=deque)  # due time, device stamp, sample

    def __len__(self) -> int:
        """Number of samples that wait."""
        return len(self._held)

    def hold(self, sample: Sample, device_ns: int, now_s: float) -> float:
        """Keep a sample acquired at `device_ns` on the device's clock; return the time at which it is due."""
        due_s = now_s + self.delay_s
        self._held.append((due_s, device_ns, sample))
        return due_s

    def release(self, until_s: float = math.inf) -> tuple[Sample, int] | None:
        """Remove the oldest sample that is due by `until_s`; return it with its eye state, None when none is due."""
        if not self._held or self._held[0][0] > until_s:
            return None
        _, device_ns, sample = self._held.popleft()
        return sample, self.states.at(device_ns)

    def add_event(self, event: EyeEvent, age_ns: int) -> None:
        """Take an eye event that arrived `age_ns` after the gaze that completes it."""
        self.longest_event_delay_ms = max(self.longest_event_delay_ms, age_ns / 1e6)
        self.states.add(event)

    def miss_events(self) -> None:
        """Note that events may have been lost before the next one."""
        self.states.miss()

    def forget_events(self) -> None:
        """Forget all events because the device's clock was set. Release what is held first: it has the old stamps."""
        self.states.forget()
