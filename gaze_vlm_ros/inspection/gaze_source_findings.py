"""Findings about where gaze comes from: samples that were held or made up, a low rate, another picture than ours."""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.inspection.camera_gaze_lag import MIN_BLOCKS, MIN_EXPLAINED, estimate_lag
from gaze_vlm_ros.inspection.finding import Finding, graded, worse
from gaze_vlm_ros.inspection.stream_findings import Frames
from gaze_vlm_ros.session.gaze_track import GazeTrack

# What trackers deliver at least, Hz, by the beginning of the bag's `tracker`; others are not known.
NOMINAL_HZ = {
    "Pupil Labs Neon": 200.0, "Pupil Invisible": 200.0, "Pupil Core": 120.0, "Tobii Pro Glasses 3": 50.0,
    "SMI Eye Tracking Glasses": 30.0, "HoloLens 2": 30.0, "Project Aria": 10.0,
}  # fmt: skip
_ORIENTATION = 0x0112  # Exif's tag
_MOMENTS = 5  # other moments whose gaze is compared with the picture
_CLEARLY = 0.3  # more of gaze's motion explained by a turned picture: three times what noise changes


def gaze_repeats(gaze: GazeTrack) -> Finding:
    """Return how many samples are exactly equal to the one before, and how many share one point."""
    limit = (
        "note: 10 % equal to the sample before, or 3 % in one point; warning: 30 %, slower gaze was repeated to fill a "
        "rate, or 10 %, a point such as the middle stands for no sample"
    )
    points = gaze.xy[np.isfinite(gaze.xy).all(axis=1)]
    if len(points) < 20:
        return Finding(
            "gaze repeats", "ok", f"{len(points)} points are too few to tell", limit, {"points": len(points)}
        )
    same = (points[1:] == points[:-1]).all(axis=1)
    repeated = float(same.mean())
    # Each run of equal samples counts once, so that held gaze is not taken for a placeholder.
    apart = points[np.concatenate([[True], ~same])]
    places, counts = np.unique(apart, axis=0, return_counts=True)
    most = int(np.argmax(counts))
    constant = float(counts[most] / len(apart)) if counts[most] > 1 or len(apart) == 1 else 0.0
    text = f"{repeated:.1%} of the samples are exactly equal to the one before"
    if repeated > 0.1:
        text += f": {len(apart)} different ones in a row of {len(points)}"
    if constant > 0.03:
        text += f"; {constant:.1%} return to the point ({places[most][0]:g}, {places[most][1]:g})"
    return Finding(
        "gaze repeats",
        worse(graded(repeated, 0.1, 0.3), graded(constant, 0.03, 0.1)),
        text,
        limit,
        {"repeated_share": repeated, "constant_share": constant, "constant_point": places[most].tolist()},
    )


def gaze_rate(gaze: GazeTrack, tracker: str) -> Finding:
    """Return the rate of samples against what the tracker delivers. tracker: of the bag's metadata."""
    # The usual interval: gaps are another finding.
    usual_s = float(np.median(np.diff(gaze.stamps_ns))) / 1e9 if len(gaze) > 1 else 0.0
    rate_hz = 1 / usual_s if usual_s > 0 else 0.0
    nominal_hz = next((rate for name, rate in NOMINAL_HZ.items() if tracker.startswith(name)), None)
    limit = (
        "note: below half of what the tracker delivers, or below 20 Hz where that is unknown; warning: below a fifth, "
        "gaze was thinned out"
    )
    text = f"{rate_hz:.1f} Hz"
    if nominal_hz is not None:
        severity = graded(1 - rate_hz / nominal_hz, 0.5, 0.8)
        text += f", and {tracker} delivers {nominal_hz:g}" if severity != "ok" else ""
    else:
        severity = "note" if rate_hz < 20 else "ok"
    return Finding("gaze rate", severity, text, limit, {"rate_hz": rate_hz, "nominal_hz": nominal_hz})


def gaze_against_picture(frames: Frames, gaze: GazeTrack) -> Finding:
    """Return whether gaze follows the picture's motion better if either is turned, and better than by chance.

    At least one frame must decode. Only where gaze as it is does not follow the picture, the others are tried.
    """
    assert frames.size is not None
    limit = (
        f"error: gaze that is mirrored or turned follows the picture ({MIN_EXPLAINED:g} of its motion explained, and "
        f"{_CLEARLY:g} more than as it is); warning: it follows less than gaze of {_MOMENTS} other moments does"
    )
    given = estimate_lag(frames.stamps_ns, frames.motions, gaze, frames.size)
    figures: dict[str, object] = {"explained": given.explained, "blocks": given.blocks}
    if given.blocks < MIN_BLOCKS:
        return Finding("gaze against picture", "ok", "too little of it moves to tell", limit, figures)
    text = f"the picture's motion explains {given.explained:.2f} of gaze's motion in fixations"
    if given.explained >= MIN_EXPLAINED:
        return Finding("gaze against picture", "ok", text, limit, figures)
    size = gaze.image_size if all(gaze.image_size) else frames.size
    turned = {
        how: estimate_lag(frames.stamps_ns, frames.motions, replace(gaze, xy=xy), frames.size).explained
        for how, xy in _turned(gaze.xy, size).items()
    }
    how = max(turned, key=lambda name: turned[name])
    figures["turned"] = turned
    if turned[how] >= MIN_EXPLAINED and turned[how] > given.explained + _CLEARLY:
        text += f", and {turned[how]:.2f} if gaze is {how}: gaze, or the picture, is stored the other way round"
        return Finding("gaze against picture", "error", text, limit, figures)
    rows = np.arange(len(gaze))
    others = [
        estimate_lag(
            frames.stamps_ns, frames.motions, _of_another_moment(gaze, np.roll(rows, k * len(gaze) // (_MOMENTS + 1))),
            frames.size,
        ).explained
        for k in range(1, _MOMENTS + 1)
    ]  # fmt: skip
    figures["by_chance"] = others
    if given.explained < min(others):
        text += f", less than of gaze of {_MOMENTS} other moments ({min(others):.2f} to {max(others):.2f})"
        return Finding("gaze against picture", "warning", text, limit, figures)
    return Finding("gaze against picture", "ok", text, limit, figures)


def _turned(xy: NDArray[np.float64], size: tuple[int, int]) -> dict[str, NDArray[np.float64]]:
    """Return points (N, 2) px as they are on a picture that is mirrored or turned, on one of the same size."""
    width, height = size
    x, y = xy[:, 0], xy[:, 1]
    return {
        "mirrored left to right": np.stack([width - x, y], axis=1),
        "mirrored top to bottom": np.stack([x, height - y], axis=1),
        "turned by 180 degrees": np.stack([width - x, height - y], axis=1),
        "turned clockwise": np.stack([(height - y) * width / height, x * height / width], axis=1),
        "turned anticlockwise": np.stack([y * width / height, (width - x) * height / width], axis=1),
    }


def _of_another_moment(gaze: GazeTrack, rows: NDArray[np.int64]) -> GazeTrack:
    return replace(
        gaze, xy=gaze.xy[rows], confidence=gaze.confidence[rows], worn=gaze.worn[rows], eye_state=gaze.eye_state[rows]
    )


def picture_turn(data: bytes) -> Finding:
    """Return whether a picture says that a viewer must turn it: Exif's orientation. data: the first picture's bytes."""
    orientation = exif_orientation(data)
    limit = "warning: a viewer turns it and another program does not, so gaze is beside its place in one"
    if orientation in (0, 1):
        return Finding(
            "picture turn", "ok", "pictures are shown as they are stored", limit, {"orientation": orientation}
        )
    text = f"pictures are to be turned for display (Exif orientation {orientation}); store them turned, without Exif"
    return Finding("picture turn", "warning", text, limit, {"orientation": orientation})


def exif_orientation(data: bytes) -> int:
    """Return the orientation, 1 to 8, that a JPEG's Exif block gives; 0 = it gives none."""
    at = 2
    while data[:2] == b"\xff\xd8" and at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] not in (0xDA, 0xD9):
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        block = data[at + 4 : at + 2 + length]
        if data[at + 1] == 0xE1 and block[:6] == b"Exif\0\0":
            tiff = block[6:]
            order = "<" if tiff[:2] == b"II" else ">"
            with suppress(struct.error):
                (first,) = struct.unpack_from(f"{order}I", tiff, 4)
                (count,) = struct.unpack_from(f"{order}H", tiff, first)
                for entry in range(first + 2, first + 2 + 12 * count, 12):
                    tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, entry)
                    if tag == _ORIENTATION:
                        return int(value)
            return 0
        at += 2 + max(length, 2)
    return 0
