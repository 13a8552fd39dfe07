"""A picture of the least certain faces, to look at: was one hidden that is none, or left that is one?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from gaze_vlm_ros.bags.writer import BagNotWritable
from gaze_vlm_ros.privacy.face_detector import Face
from gaze_vlm_ros.video.images import RGB

SHOWN, ACROSS, CELL_PX = 24, 6, 160


class Uncertain(NamedTuple):
    """A face as it looks, with where it is."""

    crop: RGB
    score: float
    place: str

    @staticmethod
    def of(rgb: RGB, face: Face, topic: str, index: int) -> Uncertain:
        """Return a face with its surroundings."""
        side = max(face.x1 - face.x0, face.y1 - face.y0, 8)
        x, y = (face.x0 + face.x1) / 2, (face.y0 + face.y1) / 2
        top, left = max(int(y - side), 0), max(int(x - side), 0)
        crop = rgb[top : max(int(y + side), top + 1), left : max(int(x + side), left + 1)]
        return Uncertain(crop.copy(), face.score, f"{topic.rpartition('/')[2]} {index}")

    @staticmethod
    def nearest(faces: Sequence[Uncertain], score: float) -> list[Uncertain]:
        """Return the SHOWN faces whose scores are nearest to `score`."""
        return sorted(faces, key=lambda face: abs(face.score - score))[:SHOWN]


def write_sheet(path: Path, faces: Sequence[Uncertain], score: float) -> None:
    """Write the faces as a PNG, the least certain first; green was hidden, red was not. Raises BagNotWritable."""
    shown = Uncertain.nearest(faces, score)
    rows = -(-len(shown) // ACROSS)
    sheet = np.full((rows * (CELL_PX + 24), ACROSS * CELL_PX, 3), 255, np.uint8)
    for number, face in enumerate(shown):
        top, left = number // ACROSS * (CELL_PX + 24), number % ACROSS * CELL_PX
        scale = (CELL_PX - 8) / max(face.crop.shape[:2])
        size = max(round(face.crop.shape[1] * scale), 1), max(round(face.crop.shape[0] * scale), 1)
        crop = cv2.resize(face.crop, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        sheet[top + 4 : top + 4 + size[1], left + 4 : left + 4 + size[0]] = crop
        colour = (0, 150, 0) if face.score >= score else (210, 0, 0)
        cv2.rectangle(sheet, (left + 1, top + 1), (left + CELL_PX - 3, top + CELL_PX - 3), colour, 2)
        words = f"{'hidden' if face.score >= score else 'left'} {face.score:.2f}"
        cv2.putText(sheet, f"{words} {face.place}"[:26], (left + 4, top + CELL_PX + 14), 0, 0.32, colour, 1)
    if not cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)):
        raise BagNotWritable(f"cannot write {path}; give another place for the sheet (--sheet)")
