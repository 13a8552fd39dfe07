"""What an importer understood of a recording, in words and on ten frames, before a bag is written."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.importers.imported_session import ImportedSession
from gaze_vlm_ros.importers.plausible import repeats_of_previous
from gaze_vlm_ros.terminal.text import instant_text

PICTURES = 10
NEAR_S = 0.1  # a sample this near to a frame is drawn on it: half of a period of 5 Hz gaze
_COLOUR, _WORDS, _EDGE = (0, 220, 0), (255, 255, 255), (0, 0, 0)  # RGB


class PicturesNotWritable(GazeVlmError):
    """The pictures cannot be written."""


def show_session(session: ImportedSession, folder: Path) -> str:
    """Draw gaze on PICTURES frames into the new `folder`; return what was understood. Raises PicturesNotWritable."""
    try:
        folder.mkdir(parents=True, exist_ok=False)
    except OSError as error:
        raise PicturesNotWritable(
            f"cannot make {folder} ({error.strerror}); give a new folder for the pictures"
        ) from None
    gaze = session.gaze
    shown = 0
    frames = [(timed, number) for timed in session.videos for number in range(len(timed.stamps_ns))]
    chosen = {
        (id(timed), number)
        for timed, number in (
            frames[i] for i in np.linspace(0, len(frames) - 1, min(PICTURES, len(frames))).astype(int)
        )
    }
    for timed in session.videos:
        mask = np.zeros(len(timed.video), np.bool_)
        mask[[number for number in range(len(timed.stamps_ns)) if (id(timed), number) in chosen]] = True
        for number, rgb in timed.video.frames(mask, timed.video.size):
            stamp_ns = int(timed.stamps_ns[number])
            picture, words = rgb.copy(), "no gaze within 0.1 s"
            if len(gaze):
                near = int(np.argmin(np.abs(gaze.stamps_ns - stamp_ns)))
                after_s = (int(gaze.stamps_ns[near]) - stamp_ns) / 1e9
                if abs(after_s) <= NEAR_S and np.isfinite(gaze.xy[near]).all():
                    words = f"gaze {after_s:+.3f} s"
                    place = (
                        gaze.xy[near]
                        * rgb.shape[1::-1]
                        / (gaze.image_size if all(gaze.image_size) else rgb.shape[1::-1])
                    )
                    radius = max(rgb.shape[1] // 60, 3)
                    cv2.circle(picture, (int(place[0]), int(place[1])), radius, _COLOUR, max(radius // 4, 1))
            for colour, width in ((_EDGE, 3), (_WORDS, 1)):
                cv2.putText(picture, words, (4, rgb.shape[0] - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, width)
            name = folder / f"at_{(stamp_ns - int(session.videos[0].stamps_ns[0])) / 1e9:09.3f}_s.png"
            if not cv2.imwrite(str(name), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)):
                raise PicturesNotWritable(f"cannot write {name}; give another place for the pictures")
            shown += 1
    return "\n".join(f"{name:<10}{value}" for name, value in _facts(session, folder, shown))


def _facts(session: ImportedSession, folder: Path, shown: int) -> list[tuple[str, str]]:
    gaze, frames_ns = session.gaze, np.concatenate([timed.stamps_ns for timed in session.videos])
    width, height = session.videos[0].video.size
    span_s = (int(frames_ns[-1]) - int(frames_ns[0])) / 1e9
    rate = f", {(len(frames_ns) - 1) / span_s:.2f} Hz" if span_s > 0 else ""
    facts = [("frames", f"{len(frames_ns)} of {width}x{height} px{rate}, from {instant_text(int(frames_ns[0]))}")]
    if len(gaze):
        from_s, to_s = ((int(gaze.stamps_ns[i]) - int(frames_ns[0])) / 1e9 for i in (0, -1))
        usual_s = float(np.median(np.diff(gaze.stamps_ns))) / 1e9 if len(gaze) > 1 else 0.0
        points = gaze.xy[np.isfinite(gaze.xy).all(axis=1)]
        repeated = int(repeats_of_previous(gaze.xy).sum())
        on = ((points >= 0) & (points < (gaze.image_size or (width, height)))).all(axis=1)
        facts += [
            ("gaze", f"{len(gaze)} samples from {from_s:.3f} to {to_s:.3f} s after the first frame"
                     + (f", {1 / usual_s:.1f} Hz" if usual_s > 0 else "")),
            ("points", f"{len(points)}, {on.mean() if len(points) else 0:.1%} of them on the {gaze.image_size[0]}x"
                       f"{gaze.image_size[1]} picture; {repeated} equal to the one before"),
        ]  # fmt: skip
        if len(points):
            low, high = points.min(axis=0), points.max(axis=0)
            facts.append(("range", f"x {low[0]:.1f} to {high[0]:.1f} px, y {low[1]:.1f} to {high[1]:.1f} px"))
    texts = [text for text in session.labels.texts if text]
    facts.append(("labels", f"{len(texts)} actions, {len(set(texts))} different" if texts else "none"))
    facts += [("left out", f"{count} {what}") for what, count in sorted(session.left_out.items()) if count]
    facts.append(("pictures", f"{shown} in {folder}: look whether the circle is where the person looks"))
    return facts
