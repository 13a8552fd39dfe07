"""How much gaze falls on each patch of a frame: the distribution that attention is pulled towards in training.

    python examples/gaze_on_patches.py bags/morning_1 --frame 30
    python examples/gaze_on_patches.py bags/morning_1 --frame 30 --model HuggingFaceTB/SmolVLM-256M-Instruct

Without --model the frame is cut into a grid; with it, patches are where the model's visual tokens really look.
"""

from __future__ import annotations

import argparse

import numpy as np

from gaze_vlm_ros import aggregate, open_session, patch_distribution, visual_tokens


def grid(width: int, height: int, columns: int, rows: int) -> np.ndarray:
    """(rows * columns, 4) boxes x0, y0, x1, y1 in px that tile the frame, row by row."""
    x, y = np.linspace(0, width, columns + 1), np.linspace(0, height, rows + 1)
    return np.array([(x[i], y[j], x[i + 1], y[j + 1]) for j in range(rows) for i in range(columns)])


def token_boxes(model_name: str, frame_size: tuple[int, int]) -> np.ndarray:
    """(V, 4) boxes in px of the visual tokens that a model has for one frame."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model = AutoModelForImageTextToText.from_pretrained(model_name)
    _, boxes = visual_tokens(model, AutoProcessor.from_pretrained(model_name), frame_size, frames=1)
    return boxes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bag")
    parser.add_argument("--frame", type=int, default=0, help="number of the frame (default: %(default)s)")
    parser.add_argument("--model", help="hub name or folder of a vision-language model")
    parser.add_argument("--sigma", type=float, default=0.05, help="of the Gaussian, in frame widths (%(default)s)")
    arguments = parser.parse_args()

    session = open_session(arguments.bag)
    if session.gaze is None:
        raise SystemExit(f"{arguments.bag} has no gaze")
    width, height = session.frames.size
    # Samples of the last 0.2 s that are worn, confident, on the image, and not in a blink or saccade.
    points, weights = aggregate(session.gaze, session.frames, arguments.frame)
    boxes = token_boxes(arguments.model, (width, height)) if arguments.model else grid(width, height, 6, 4)
    shares = patch_distribution(points, weights, boxes, sigma=arguments.sigma * width)
    print(f"frame {arguments.frame}: {len(points)} gaze samples, {len(boxes)} patches, sum {shares.sum():.3f}")
    for patch in np.argsort(-shares)[:3]:
        print(f"{shares[patch]:.3f} on patch {patch}, px {np.round(boxes[patch]).astype(int).tolist()}")


if __name__ == "__main__":
    main()
