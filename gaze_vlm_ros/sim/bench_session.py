"""A session at the simulated bench as a stream of events: frames, gaze and labels, in time order."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.bags.message_types import message_class
from gaze_vlm_ros.bags.roles import GAZE_TYPE, LABEL_TYPE
from gaze_vlm_ros.bags.stamps import split_ns
from gaze_vlm_ros.bags.writer import BagWriter
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.sim.bench_renderer import BenchRenderer
from gaze_vlm_ros.sim.bench_scene import GRASP, OBJECT_SIZE, OBJECTS, VERB, Slot, habits, look, slots
from gaze_vlm_ros.sim.bench_sprites import CLUTTER
from gaze_vlm_ros.sim.person import BLINK, Eyes, Take, hand_at, plan, watch
from gaze_vlm_ros.video.images import encode_jpeg

FRAME_ID = "head_camera_optical_frame"
WORN_NO, WORN_YES = 1, 2  # gaze_vlm_msgs/GazeStamped
FIELD_OF_VIEW_DEG = 80.0  # across the image: turns tracker errors in degrees into px


class BadBenchSettings(GazeVlmError):
    """A simulated session that cannot be."""


@dataclass(frozen=True)
class BenchSettings:
    """Everything that a session depends on: the same settings give the same frames and events."""

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

    def __post_init__(self) -> None:
        for name in ("duration_s", "width", "height", "frame_rate_hz", "gaze_rate_hz"):
            if not getattr(self, name) > 0:
                raise BadBenchSettings(f"{name} is {getattr(self, name)}, expected more than 0")
        if not 0 <= self.hint_reliability <= 1:
            raise BadBenchSettings(f"hint_reliability is {self.hint_reliability}, expected 0 to 1")


@dataclass(frozen=True)
class Truth:
    """What the simulation knows of one frame. In px of the frame."""

    target: int  # index into OBJECTS of the next object to be taken (or the one just being carried)
    contact_s: float  # when it is taken
    target_box: tuple[float, float, float, float]  # x0, y0, x1, y1 of that object
    object_centres: NDArray[np.float64]  # (objects, 2)
    hand: NDArray[np.float64]  # (2,) the fingertips
    gaze: NDArray[np.float64]  # (2,) where the person really looks
    hint: int  # index into OBJECTS of the sign's colour


@dataclass(frozen=True)
class FrameEvent:
    """One picture of the head camera, with what is true at its time."""

    t_ns: int
    rgb: NDArray[np.uint8]  # (H, W, 3)
    truth: Truth


@dataclass(frozen=True)
class GazeEvent:
    """As the tracker gives it: with its errors. Fields as in gaze_vlm_msgs/GazeStamped."""

    t_ns: int
    x: float  # px
    y: float
    confidence: float
    worn: int
    eye_state: int


@dataclass(frozen=True)
class LabelEvent:
    """What the person does from `t_ns` until the next label."""

    t_ns: int
    text: str  # empty: between two actions
    verb: str
    object_class: str


Event = FrameEvent | GazeEvent | LabelEvent


def vocabulary() -> list[str]:
    """Text of every action there is."""
    return [_text(index) for index in range(len(OBJECTS))]


def _text(index: int) -> str:
    return f"{VERB} the {OBJECTS[index].name}"


def simulate(settings: BenchSettings) -> Iterator[Event]:
    """Yield all events of a session, ordered by time from 0 on. Frames are drawn when the iterator reaches them."""
    world = np.random.default_rng([settings.seed, 1])
    person = habits(settings.person)
    places = slots(world)
    order = world.permutation(len(places))
    clutter = [places[i] for i in order[: len(CLUTTER)]]
    free = [places[i] for i in order[len(CLUTTER) :]]
    start, takes = plan(
        np.random.default_rng([settings.seed, 2]), free, person, settings.task, settings.scene,
        settings.hint_reliability, settings.duration_s,
    )  # fmt: skip
    eyes = watch(np.random.default_rng([settings.seed, 3]), takes, start, person, settings.duration_s)
    renderer = BenchRenderer((settings.width, settings.height), look(world), person, clutter)
    streams = (
        _labels(takes, settings),
        _gaze(eyes, renderer, settings),
        _frames(start, takes, eyes, renderer, settings),
    )
    # A label that starts with a frame comes before it, as do gaze samples.
    return heapq.merge(*streams, key=lambda event: event.t_ns)


def _labels(takes: list[Take], settings: BenchSettings) -> Iterator[LabelEvent]:
    yield LabelEvent(0, "", "", "")
    for take in takes:
        if take.contact_s < settings.duration_s:
            yield LabelEvent(round(take.contact_s * 1e9), _text(take.target), VERB, OBJECTS[take.target].name)
        if take.down_s < settings.duration_s:
            yield LabelEvent(round(take.down_s * 1e9), "", "", "")


def _gaze(eyes: Eyes, renderer: BenchRenderer, settings: BenchSettings) -> Iterator[GazeEvent]:
    rng = np.random.default_rng([settings.seed, 4])
    px_per_degree = settings.width / FIELD_OF_VIEW_DEG
    bias = rng.normal(0, settings.gaze_accuracy_deg * px_per_degree / np.sqrt(2), 2)
    off_from_s = rng.exponential(1 / settings.not_worn_rate_hz) if settings.not_worn_rate_hz else np.inf
    off_until_s = off_from_s + rng.uniform(1, 2)
    period_s = 1 / settings.gaze_rate_hz
    for number in range(int(settings.duration_s * settings.gaze_rate_hz)):
        time_s = number * period_s + rng.uniform(0, 0.1) * period_s
        error = bias + rng.normal(0, settings.gaze_precision_deg * px_per_degree, 2)
        confidence = rng.uniform(0.9, 1.0)
        if rng.random() < settings.dropped_share:
            continue
        gaze, state, head = eyes.at(time_s)
        x, y = renderer.world_to_image(gaze, head) + error
        worn = WORN_YES
        if time_s > off_until_s:
            off_from_s = time_s + rng.exponential(1 / settings.not_worn_rate_hz)
            off_until_s = off_from_s + rng.uniform(1, 2)
        if time_s >= off_from_s:
            # Nobody behind the lenses: anywhere, and the tracker does not know better.
            x, y, worn, confidence = *(rng.random(2) * (settings.width, settings.height)), WORN_NO, 0.1
        elif state == BLINK:
            x, y = x + rng.normal(0, 30), y + abs(rng.normal(0, 60))  # a closing lid drags the pupil's centre down
            confidence = rng.uniform(0, 0.4)
        yield GazeEvent(round(time_s * 1e9), float(x), float(y), float(confidence), worn, state)


def _frames(
    start: list[Slot], takes: list[Take], eyes: Eyes, renderer: BenchRenderer, settings: BenchSettings
) -> Iterator[FrameEvent]:
    side_px = OBJECT_SIZE * settings.width / 640
    standing = list(start)
    put_down = 0
    for number in range(int(settings.duration_s * settings.frame_rate_hz)):
        time_s = number / settings.frame_rate_hz
        while put_down < len(takes) and takes[put_down].down_s <= time_s:
            standing[takes[put_down].target] = takes[put_down].destination
            put_down += 1
        hand, grip, carrying = hand_at(takes, time_s)
        take = next(take for take in takes if take.home_s > time_s)
        gaze, _, head = eyes.at(time_s)
        shown: list[Slot | None] = list(standing)
        carried = None
        if carrying is not None:
            carried = carrying.target
            shown[carried] = None
        rgb = renderer.render(shown, carried, take.hint, hand, grip, head)
        places = np.array([hand - GRASP if slot is None else slot.at for slot in shown])
        centres = renderer.world_to_image(places, head)
        x, y = centres[take.target]
        half = side_px / 2
        truth = Truth(
            take.target,
            take.contact_s,
            (x - half, y - half, x + half, y + half),
            centres,
            renderer.world_to_image(hand, head),
            renderer.world_to_image(gaze, head),
            take.hint,
        )
        yield FrameEvent(round(time_s * 1e9), rgb, truth)


def write_bag(settings: BenchSettings, folder: Path, start_ns: int = 1_700_000_000_000_000_000) -> None:
    """The same bag as a recorder would write of this session, without ROS and without waiting. Raises BagExists.

    start_ns: ROS time of the session's beginning.
    """
    writer = BagWriter(
        folder,
        {
            "session": folder.name, "person": settings.person, "task": settings.task, "scene": settings.scene,
            "tracker": "simulated", "camera_topic": "/camera/image_raw/compressed", "gaze_topic": "/gaze",
            "label_topic": "/label",
        },
    )  # fmt: skip
    writer.add_topic("/camera/image_raw/compressed", "sensor_msgs/msg/CompressedImage")
    writer.add_topic("/gaze", GAZE_TYPE)
    writer.add_topic("/label", LABEL_TYPE)
    time_class, header_class = message_class("builtin_interfaces/msg/Time"), message_class("std_msgs/msg/Header")
    image_class = message_class("sensor_msgs/msg/CompressedImage")
    gaze_class, label_class = message_class(GAZE_TYPE), message_class(LABEL_TYPE)
    for event in simulate(settings):
        stamp_ns = start_ns + event.t_ns
        header = header_class(time_class(*split_ns(stamp_ns)), FRAME_ID)
        match event:
            case FrameEvent():
                data = np.frombuffer(encode_jpeg(event.rgb), np.uint8)
                writer.write_message("/camera/image_raw/compressed", image_class(header, "jpeg", data), stamp_ns)
            case GazeEvent():
                size = (settings.width, settings.height)
                device_stamp = time_class(*split_ns(event.t_ns))
                message = gaze_class(
                    header, event.x, event.y, *size, event.confidence, event.worn, event.eye_state, device_stamp
                )
                writer.write_message("/gaze", message, stamp_ns)
            case LabelEvent():
                message = label_class(header, event.text, event.verb, event.object_class)
                writer.write_message("/label", message, stamp_ns)
    writer.close()
