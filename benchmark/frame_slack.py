"""Measure what the predictor's `frame_slack` costs in accuracy: `python benchmark/frame_slack.py CHECKPOINT BAG...`

Queries the model for every third frame of each bag, as a model of that speed would be. Prints for each slack how often
the best answer was right where an action began within the horizon, and how far answers are from those without slack.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gaze_vlm_ros.prediction.backends.factory import open_backend
from gaze_vlm_ros.prediction.frame_buffer import FrameBuffer
from gaze_vlm_ros.prediction.types import Backend
from gaze_vlm_ros.session.session import load_session, require_labels

SLACKS = (0.0, 0.25, 0.5, 1.0)  # of the time between two frames of a window
EVERY = 3


def answers(backend: Backend, bags: Sequence[Path], slack: float) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (next action, (A,) probabilities) for each window whose right answer is one of the labels."""
    metadata = backend.metadata
    for bag in bags:
        session = load_session(bag)
        labels = require_labels(session)
        buffer = FrameBuffer(metadata.observation_s, metadata.frames, slack * metadata.observation_s / metadata.frames)
        for index, stamp_ns in enumerate(session.frames.stamps_ns.tolist()):
            buffer.add(stamp_ns, session.frames.message(index))
            if index % EVERY or (observation := buffer.observation()) is None:
                continue
            following = int(np.searchsorted(labels.starts_ns, stamp_ns, side="right"))
            if following == len(labels) or labels.starts_ns[following] > stamp_ns + 1e9 * metadata.horizon_s:
                continue
            if labels.texts[following] in metadata.labels:
                yield labels.texts[following], backend.predict(observation).probabilities


def main() -> None:
    """Print one row per slack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("bags", nargs="+", type=Path, help="labelled sessions that the checkpoint was not trained on")
    options = parser.parse_args()
    print(f"{'slack':>6}{'windows':>9}{'top-1':>8}{'other best answer':>19}{'mean change of a probability':>30}")
    exact: np.ndarray | None = None
    for slack in SLACKS:
        backend = open_backend(options.checkpoint, device="cpu")
        backend.warm_up()
        texts, rows = zip(*answers(backend, options.bags, slack), strict=True)
        probabilities, best = np.array(rows), [backend.metadata.labels[row.argmax()] for row in rows]
        exact = probabilities if exact is None else exact
        others = (probabilities.argmax(axis=1) != exact.argmax(axis=1)).mean()
        right = np.mean([a == b for a, b in zip(texts, best, strict=True)])
        change = np.abs(probabilities - exact).mean()
        print(f"{slack:>6g}{len(texts):>9}{right:>8.3f}{others:>19.1%}{change:>30.4f}", flush=True)
        backend.close()


if __name__ == "__main__":
    main()
