"""A session at the simulated bench as a stream of events: frames, gaze and labels, in time order."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.bags.message_types import message_class
from gaze_vlm_ros.bags.roles import GAZE_TYPE, LABEL_TYPE, REGIONS_TYPE
from gaze_vlm_ros.bags.stamps import split_ns
from gaze_vlm_ros.bags.writer import BagWriter
from gaze_vlm_ros.session.regions import HAND
from gaze_vlm_ros.sim import bench1, bench2
from gaze_vlm_ros.sim.bench_renderer import BenchRenderer, Carried
from gaze_vlm_ros.sim.bench_scene import OBJECT_SIZE, OBJECTS, VERB, Slot
from gaze_vlm_ros.sim.bench_settings import BenchSettings
from gaze_vlm_ros.sim.person import BLINK
from gaze_vlm_ros.sim.truth import Actions, Eyes, Script, TruthTrack
from gaze_vlm_ros.video.images import encode_jpeg

FRAME_ID = "head_camera_optical_frame"
REGIONS_TOPIC = "/regions"  # of a bag by write_bag: boxes of objects and fingertips
FINGERTIPS_SIZE = 60.0  # units, side of their box
WORN_NO, WORN_YES = 1, 2  # gaze_vlm_msgs/GazeStamped
FIELD_OF_VIEW_DEG = 80.0  # across the image: turns tracker errors in degrees into px


@dataclass(frozen=True)
class Truth:
    """What the simulation knows of one frame. In px of the frame."""

    target: int  # index into OBJECTS of the next object to be taken (or the one just being carried); -1: none
    contact_s: float  # when it is taken; inf: none is
    target_box: tuple[float, float, float, float]  # x0, y0, x1, y1 of that object
    object_centres: NDArray[np.float64]  # (objects, 2)
    hand: NDArray[np.float64]  # (2,) the fingertips
    gaze: NDArray[np.float64]  # (2,) where the person really looks
    hint: int  # index into OBJECTS of the sign's colour
    doing: int  # index into OBJECTS of what is being moved; -1: nothing
    hand_seen: bool  # the fingertips are in the picture, and not behind something
    person_state: int  # bench2_states.PersonState


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


def script_of(settings: BenchSettings) -> Script:
    """Return what happens in a session, before anything is drawn. Raises UnknownTask."""
    return bench2.script(settings) if settings.bench == 2 else bench1.script(settings)


def frame_times_s(settings: BenchSettings) -> NDArray[np.float64]:
    """Return when the camera takes each frame, s."""
    return np.arange(int(settings.duration_s * settings.frame_rate_hz)) / settings.frame_rate_hz


def truth_track(settings: BenchSettings, times_s: NDArray[np.float64] | None = None) -> TruthTrack:
    """Return what is true in a session at each moment, by default at each frame, without drawing any.

    times_s: (T,) ascending, below the session's duration. Raises UnknownTask.
    """
    return script_of(settings).truth_at(frame_times_s(settings) if times_s is None else times_s)


def simulate(settings: BenchSettings) -> Iterator[Event]:
    """Yield all events of a session, ordered by time from 0 on. Frames are drawn when the iterator reaches them."""
    script = script_of(settings)
    renderer = BenchRenderer((settings.width, settings.height), script.look, script.habits, script.clutter, script.view)
    streams = (
        _labels(script.actions, settings),
        _gaze(script.eyes, renderer, settings),
        _frames(script, renderer, settings),
    )
    # A label that starts with a frame comes before it, as do gaze samples.
    return heapq.merge(*streams, key=lambda event: event.t_ns)


def _labels(actions: Actions, settings: BenchSettings) -> Iterator[LabelEvent]:
    yield LabelEvent(0, "", "", "")
    for start_s, end_s, target in zip(actions.starts_s, actions.ends_s, actions.targets.tolist(), strict=True):
        if start_s < settings.duration_s:
            yield LabelEvent(round(start_s * 1e9), _text(target), VERB, OBJECTS[target].name)
        if end_s < settings.duration_s:
            yield LabelEvent(round(end_s * 1e9), "", "", "")


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


def _frames(script: Script, renderer: BenchRenderer, settings: BenchSettings) -> Iterator[FrameEvent]:
    track = script.truth_at(frame_times_s(settings))
    half = OBJECT_SIZE * script.view.box_scale * settings.width / 640 / 2
    for row, time_s in enumerate(track.times_s.tolist()):
        carried, hint, target = int(track.carried[row]), int(track.hint[row]), int(track.target[row])
        hand, head = track.hand[row], track.head[row]
        standing = [
            None if index == carried else Slot((x, y), scale)
            for index, ((x, y), scale) in enumerate(
                zip(track.places[row].tolist(), track.scales[row].tolist(), strict=True)
            )
        ]
        held = None if carried < 0 else Carried(carried, float(track.scales[row, carried]))
        rgb = renderer.render(standing, held, hint, hand, float(track.grip[row]), head)
        centres = renderer.world_to_image(track.places[row], head)
        x, y = centres[target] if target >= 0 else (np.nan, np.nan)
        truth = Truth(
            target,
            float(track.contact_s[row]),
            (x - half, y - half, x + half, y + half),
            centres,
            renderer.world_to_image(hand, head),
            renderer.world_to_image(track.gaze[row], head),
            hint,
            int(track.doing[row]),
            bool(track.hand_seen[row]),
            int(track.person_state[row]),
        )
        yield FrameEvent(round(time_s * 1e9), rgb, truth)


def regions_of(truth: Truth, width: int) -> dict[str, NDArray[np.float64]]:
    """Return the box of each object and of the fingertips in a frame `width` px wide: name -> (4,) x0, y0, x1, y1 px.

    Objects are named as in labels, the fingertips session.regions.HAND.
    """
    places = {thing.name: truth.object_centres[index] for index, thing in enumerate(OBJECTS)}
    sides = dict.fromkeys(places, OBJECT_SIZE) | {HAND: FINGERTIPS_SIZE}
    half = {name: side * width / 640 / 2 for name, side in sides.items()}
    return {
        name: np.concatenate([at - half[name], at + half[name]]) for name, at in (places | {HAND: truth.hand}).items()
    }


def write_bag(settings: BenchSettings, folder: Path, start_ns: int = 1_700_000_000_000_000_000) -> None:
    """The same bag as a recorder would write of this session, without ROS and without waiting. Raises BagExists.

    It also holds what no recorder knows: the boxes of all objects and of the fingertips in each frame (REGIONS_TOPIC).

    start_ns: ROS time of the session's beginning.
    """
    writer = BagWriter(
        folder,
        {
            "session": folder.name, "person": settings.person, "task": settings.task, "scene": settings.scene,
            "tracker": "simulated", "camera_topic": "/camera/image_raw/compressed", "gaze_topic": "/gaze",
            "label_topic": "/label", "regions_topic": REGIONS_TOPIC,
        },
    )  # fmt: skip
    writer.add_topic("/camera/image_raw/compressed", "sensor_msgs/msg/CompressedImage")
    writer.add_topic("/gaze", GAZE_TYPE)
    writer.add_topic("/label", LABEL_TYPE)
    writer.add_topic(REGIONS_TOPIC, REGIONS_TYPE)
    time_class, header_class = message_class("builtin_interfaces/msg/Time"), message_class("std_msgs/msg/Header")
    image_class = message_class("sensor_msgs/msg/CompressedImage")
    gaze_class, label_class, regions_class = map(message_class, (GAZE_TYPE, LABEL_TYPE, REGIONS_TYPE))
    size = (settings.width, settings.height)
    for event in simulate(settings):
        stamp_ns = start_ns + event.t_ns
        header = header_class(time_class(*split_ns(stamp_ns)), FRAME_ID)
        match event:
            case FrameEvent():
                data = np.frombuffer(encode_jpeg(event.rgb), np.uint8)
                writer.write_message("/camera/image_raw/compressed", image_class(header, "jpeg", data), stamp_ns)
                boxes = regions_of(event.truth, settings.width)
                flat = np.concatenate(list(boxes.values())).astype(np.float32)
                writer.write_message(REGIONS_TOPIC, regions_class(header, *size, list(boxes), flat), stamp_ns)
            case GazeEvent():
                device_stamp = time_class(*split_ns(event.t_ns))
                message = gaze_class(
                    header, event.x, event.y, *size, event.confidence, event.worn, event.eye_state, device_stamp
                )
                writer.write_message("/gaze", message, stamp_ns)
            case LabelEvent():
                message = label_class(header, event.text, event.verb, event.object_class)
                writer.write_message("/label", message, stamp_ns)
    writer.close()
