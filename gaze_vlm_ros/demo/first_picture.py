"""The first picture of the demo: some frames of a bag with the gaze on them, within its first minute."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from gaze_vlm_ros.demo.gaze_frames import RING_RGB, gaze_at
from gaze_vlm_ros.session.session import load_session, require_gaze

FRAMES = 6  # in two rows
WIDTH = 480  # px of each


def save_first_picture(bag: Path, path: Path) -> None:
    """Write FRAMES frames of `bag`, evenly spread over those with gaze, as one picture; a ring marks the gaze."""
    session = load_session(bag)
    gaze = require_gaze(session)
    at_px = gaze_at(gaze.stamps_ns, gaze.xy, session.frames.stamps_ns)
    usable = np.flatnonzero(np.isfinite(at_px).all(axis=1))
    chosen = usable[np.linspace(0, len(usable) - 1, FRAMES).round().astype(int)]
    pictures = []
    for row in chosen:
        rgb = session.frames.rgb(int(row))
        scale = WIDTH / rgb.shape[1]
        small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        x, y = (int(value) for value in np.floor(at_px[row] * scale))
        cv2.circle(small, (x, y), WIDTH // 30, RING_RGB, 2, cv2.LINE_AA)
        pictures.append(small)
    half = FRAMES // 2
    sheet = np.vstack([np.hstack(pictures[:half]), np.hstack(pictures[half:])])
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
