"""What the eyes were doing at the time of a gaze sample, from events that the tracker reports later. Pure.

The tracker reports the onset of a fixation or saccade shortly after it begins, and the complete fixation, saccade or
blink after it ends. Times are on the tracker's clock, int64 ns.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from gaze_vlm_ros.neon.samples import BLINK, FIXATION, FIXATION_ONSET, SACCADE, SACCADE_ONSET, EyeEvent

# gaze_vlm_msgs/GazeStamped.
UNKNOWN_STATE, FIXATION_STATE, SACCADE_STATE, BLINK_STATE = range(4)
STATES = {
    FIXATION: FIXATION_STATE,
    FIXATION_ONSET: FIXATION_STATE,
    SACCADE: SACCADE_STATE,
    SACCADE_ONSET: SACCADE_STATE,
    BLINK: BLINK_STATE,
}

MAX_EVENTS, MAX_ANSWERS = 500, 10_000  # far above 10 s of any eye at 200 Hz; a flood of events takes no more


@dataclass
class EyeStates:
    """Eye state at any time, as far as it follows from the events so far.

    Within a complete event it is that event's state; a blink takes precedence. After an onset it is the onset's state
    until another event, for `longest_open_ns` at most. Otherwise it is unknown.
    """

    memory_ns: int = 10_000_000_000  # of events and answers: far longer than a sample waits for its state
    longest_open_ns: int = 5_000_000_000  # few fixations are longer
    contradicted: int = 0  # answers that a later event showed to be wrong
    _whole: deque[EyeEvent] = field(default_factory=lambda: deque(maxlen=MAX_EVENTS))
    _onsets: deque[EyeEvent] = field(default_factory=lambda: deque(maxlen=MAX_EVENTS))
    _answers: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=MAX_ANSWERS))  # queried time, state

    def add(self, event: EyeEvent) -> None:
        """Add an event and count the earlier answers that it contradicts."""
        if event.end_ns is None:
            self._onsets.append(event)
        else:
            self._whole.append(event)
        newest_ns = event.known_ns
        for events in (self._whole, self._onsets):
            while events and events[0].start_ns < newest_ns - self.memory_ns:
                events.popleft()
        while self._answers and self._answers[0][0] < newest_ns - self.memory_ns:
            self._answers.popleft()
        self._compare(event)

    def at(self, device_ns: int) -> int:
        """Return the state at a time, and remember it to count it if a later event contradicts it."""
        state = self._at(device_ns)
        if state != UNKNOWN_STATE:
            self._answers.append((device_ns, state))
        return state

    def miss(self) -> None:
        """Note that events may be missing before the next one: what has begun may be over."""
        self._onsets.clear()

    def forget(self) -> None:
        """Forget all events, because the tracker's clock was set and their times no longer hold."""
        for known in (self._whole, self._onsets, self._answers):
            known.clear()

    def _at(self, device_ns: int) -> int:
        within = [event for event in self._whole if event.end_ns and event.start_ns <= device_ns <= event.end_ns]
        if within:
            return max(STATES[event.kind] for event in within)
        begun = [event for event in self._onsets if event.start_ns <= device_ns]
        if not begun:
            return UNKNOWN_STATE
        onset = max(begun, key=lambda event: event.start_ns)
        ended = any(event.end_ns and onset.start_ns < event.end_ns < device_ns for event in self._whole)
        if ended or device_ns - onset.start_ns > self.longest_open_ns:
            return UNKNOWN_STATE
        return STATES[onset.kind]

    def _compare(self, event: EyeEvent) -> None:
        """Count the answers that an event contradicts, once each."""
        kept: deque[tuple[int, int]] = deque(maxlen=MAX_ANSWERS)
        for device_ns, state in self._answers:
            concerned = event.start_ns <= device_ns and (event.end_ns is None or device_ns <= event.end_ns)
            if concerned and state != self._at(device_ns):
                self.contradicted += 1
            else:
                kept.append((device_ns, state))
        self._answers = kept
