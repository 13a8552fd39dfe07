"""Predict the next action from a folder of pictures, with a checkpoint of training/fit.py. No ROS, no gaze.

    python examples/predict_from_pictures.py runs/bench pictures/

Pictures are taken in the order of their names, at a rate that --hz gives.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from gaze_vlm_ros import Observation, open_backend, pick_frames

PICTURES = {".jpg", ".jpeg", ".png", ".webp"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--hz", type=float, default=10.0, help="rate at which they were taken (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto (default: %(default)s)")
    arguments = parser.parse_args()

    paths = sorted(path for path in arguments.pictures.iterdir() if path.suffix.lower() in PICTURES)
    stamps_ns = np.round(np.arange(len(paths)) * 1e9 / arguments.hz).astype(np.int64)
    backend = open_backend(arguments.checkpoint, device=arguments.device)
    try:
        metadata = backend.metadata
        # The same frames as in training: evenly spread over the observation that ends at the last picture.
        last_ns = int(stamps_ns[-1]) if paths else 0
        chosen = pick_frames(stamps_ns, last_ns, metadata.observation_s, metadata.frames)
        if not len(chosen):
            raise SystemExit(
                f"{arguments.pictures}: {len(paths)} pictures at {arguments.hz:g} Hz are too few; "
                f"the checkpoint looks at {metadata.frames} frames of {metadata.observation_s:g} s"
            )
        frames = [np.asarray(Image.open(paths[index]).convert("RGB")) for index in chosen]
        answer = backend.predict(Observation(frames, tuple(stamps_ns[chosen].tolist())))
        print(f"{metadata.question} (within {metadata.horizon_s:g} s)")
        for best in np.argsort(-answer.probabilities)[:5]:
            print(f"{answer.probabilities[best]:.2f} {answer.texts[best]}")
    finally:
        backend.close()


if __name__ == "__main__":
    main()
