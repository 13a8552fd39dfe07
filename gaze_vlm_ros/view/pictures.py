"""Frames with gaze and label drawn on them, as PNG."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from gaze_vlm_ros.session.session import Session
from gaze_vlm_ros.session.timeline import nearest
from gaze_vlm_ros.video.images import RGB, DamagedImage, UnknownEncoding
from gaze_vlm_ros.view.scene import GazeOnPicture, gaze_on_picture, label_at

USABLE_RGB, UNUSABLE_RGB, TRAIL_RGB = (0, 255, 0), (255, 60, 60), (255, 220, 0)


def frames_a_second(session: Session) -> int:
    """Return the number of frames per second by the median interval; at least 1."""
    intervals_ns = np.diff(session.frames.stamps_ns)
    return max(1, round(1e9 / float(np.median(intervals_ns)))) if len(intervals_ns) else 1


def save_pictures(session: Session, every: int, folder: Path) -> tuple[int, int]:
    """Write every `every`th frame to the existing `folder`; return how many were written and how many are damaged.

    Raises OSError if a picture cannot be written.
    """
    stamps_ns = session.frames.stamps_ns
    gaze_on: dict[tuple[int, int], GazeOnPicture] = {}  # by frame size (width, height), which may change
    written = damaged = 0
    for index in range(0, len(stamps_ns), every):
        try:
            rgb = session.frames.rgb(index)
        except (DamagedImage, UnknownEncoding):
            damaged += 1
            continue
        at_ns = int(stamps_ns[index])
        elapsed_s = (at_ns - int(stamps_ns[0])) / 1e9
        size = (rgb.shape[1], rgb.shape[0])
        if session.gaze is not None and size not in gaze_on:
            gaze_on[size] = gaze_on_picture(session.gaze, size)
        text = f"{elapsed_s:.3f} s  {label_at(session.labels, at_ns) or 'unlabelled'}"
        picture = draw(rgb, gaze_on.get(size), at_ns, text)
        path = folder / f"frame_{index:06d}_at_{elapsed_s:08.3f}_s.png"
        done, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        assert done  # every 8-bit picture can be encoded
        path.write_bytes(data.tobytes())
        written += 1
    return written, damaged


def draw(rgb: RGB, gaze: GazeOnPicture | None, at_ns: int, text: str) -> RGB:
    """Return a copy of `rgb` with the gaze trail, a ring around the sample nearest to `at_ns`, and text below.

    The ring is green if training would use the sample and red if not; the text then says why.
    """
    picture = rgb.copy()
    unit = rgb.shape[1] / 640
    if gaze is not None and (fault := draw_gaze(picture, gaze, at_ns, unit)):
        text += f"  {fault}"
    return _captioned(picture, text, unit)


def draw_gaze(picture: RGB, gaze: GazeOnPicture, at_ns: int, unit: float) -> str:
    """Draw trail and ring on `picture` itself; return what is wrong with the sample, empty = nothing.

    unit: scale of the lines; 1 for a picture 640 px wide.
    """
    line = max(1, round(2 * unit))
    trail = np.floor(gaze.trail(at_ns)).astype(np.int32)
    cv2.polylines(picture, [trail.reshape(-1, 1, 2)], False, TRAIL_RGB, line, cv2.LINE_AA)
    row = int(nearest(gaze.stamps_ns, [at_ns], max(gaze.spacing_ns, 20_000_000))[0])
    if row < 0:
        return "no gaze"
    faults = gaze.fault_texts(row)
    if np.isfinite(gaze.xy[row]).all():
        x, y = (int(value) for value in np.floor(gaze.xy[row]))
        colour = UNUSABLE_RGB if faults else USABLE_RGB
        cv2.circle(picture, (x, y), max(5, round(16 * unit)), colour, line, cv2.LINE_AA)
    return f"gaze {', '.join(faults)}" if faults else ""


def _captioned(picture: RGB, text: str, unit: float) -> RGB:
    """Return the picture with the text in a bar below it. A long text is drawn smaller."""
    width = picture.shape[1]
    scale = 0.6 * max(unit, 0.35)
    (_, height), below = cv2.getTextSize(
        "Hg", cv2.FONT_HERSHEY_SIMPLEX, scale, 1
    )  # the same bar height for all pictures
    (needed, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    scale *= min(1.0, 0.96 * width / max(needed, 1))
    bar = np.zeros((height + below + max(6, round(8 * unit)), width, 3), np.uint8)
    origin = (round(0.02 * width), bar.shape[0] - below - max(3, round(4 * unit)))
    cv2.putText(bar, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return np.vstack([picture, bar])
