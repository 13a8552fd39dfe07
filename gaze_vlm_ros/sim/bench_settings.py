"""Settings of a session at the simulated bench: the one place of their defaults."""

from __future__ import annotations

from dataclasses import dataclass

from gaze_vlm_ros.errors import GazeVlmError

KINDS = ("known", "held_out")


class BadBenchSettings(GazeVlmError):
    """A simulated session that cannot be."""


@dataclass(frozen=True)
class BenchSettings:
    """Everything that a session depends on: the same settings give the same frames and events."""

    bench: int = 1  # 2: hands, waits and gaze as varied as Rates in bench2_rates says; 1: as in earlier versions
    seed: int = 0
    person: str = "p0"  # looks and habits; any name
    task: str = "tidy"  # tidy, sort or assemble: bends which object is taken next
    scene: str = "workbench"  # misleading: the sign never shows the colour of the next object
    duration_s: float = 60.0
    width: int = 640  # px
    height: int = 480
    frame_rate_hz: float = 10.0  # a person's reach takes more than a second: enough to see it, and cheap to train on
    gaze_rate_hz: float = 200.0  # Neon's
    hint_reliability: float = 0.5  # share of takes that the sign's colour foretells, in scene workbench
    gaze_accuracy_deg: float = 0.8  # constant error of a session; Neon's is 1.3 to 1.8 uncalibrated
    gaze_precision_deg: float = 0.25  # noise of single samples
    dropped_share: float = 0.005  # of gaze samples, lost on the way
    not_worn_rate_hz: float = 1 / 120  # glasses pushed up, for a second or two
    # Bench 2 only. With these, gaze is on the object 350 ms before touch in 73 % of takes
    gaze_reliability: float = (
        0.73  # share of the moments before a take that gaze is on its object, once it is led there
    )
    gaze_lead_s: float = 0.7  # median time for which it is led there before contact
    # Bench 2 only: how often a part begins in which the person is not as usual (bench2_states). 0: never
    searching_rate_hz: float = 0.0  # does not know the task
    distracted_rate_hz: float = 0.0  # looks away, and stops
    not_looking_rate_hz: float = 0.0  # acts without looking
    kinds: str = "known"  # held_out: benches, walls and shapes of objects that no `known` session shows

    def __post_init__(self) -> None:
        for name in ("duration_s", "width", "height", "frame_rate_hz", "gaze_rate_hz"):
            if not getattr(self, name) > 0:
                raise BadBenchSettings(f"{name} is {getattr(self, name)}, expected more than 0")
        for name in ("hint_reliability", "gaze_reliability"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadBenchSettings(f"{name} is {getattr(self, name)}, expected 0 to 1")
        if not self.gaze_lead_s > 0:
            raise BadBenchSettings(f"gaze_lead_s is {self.gaze_lead_s}, expected more than 0")
        for name in ("searching_rate_hz", "distracted_rate_hz", "not_looking_rate_hz"):
            rate_hz = getattr(self, name)
            if not 0 <= rate_hz < float("inf"):
                raise BadBenchSettings(f"{name} is {rate_hz}, expected 0 or more")
            if rate_hz and self.bench != 2:
                raise BadBenchSettings(f"{name} is {rate_hz} on bench {self.bench}, expected 0 there; set bench to 2")
        if self.bench not in (1, 2):
            raise BadBenchSettings(f"bench is {self.bench}, expected 1 or 2")
        if self.kinds not in KINDS:
            raise BadBenchSettings(f"kinds is {self.kinds!r}, expected {' or '.join(KINDS)}")
