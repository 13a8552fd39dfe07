"""Small files of the same form as EGTEA Gaze+'s, and how its recipes are run in tests."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
from recordings import write_begaze
from small_bags import COLOURS

RATE, WIDTH, HEIGHT, TAKE_FRAMES, TAKES = 24, 96, 64, 48, 6
SESSIONS = ("P01-R01-Pizza", "P02-R01-Pizza", "P03-R03-Salad", "P04-R03-Salad")
SMALL = {
    "model_options": {"image_size": 32, "patch_size": 8, "merge": 2, "hidden": 32, "text_layers": 3},
    "frames": 2, "observation_s": 1.0, "gaze_flow": False, "steps": 3, "batch_size": 4, "check_every": 3,
    "gaze_window_s": 0.1, "validation": 0.4, "split_by": "session", "protocol": "epic-kitchens",
}  # fmt: skip


def write_small_egtea(root: Path) -> None:
    """Write videos of a disc that is looked at and then taken, every 2 s."""
    for folder in ("videos", "gaze_data", "raw_annotations", "action_annotation"):
        (root / folder).mkdir()
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    actions, clips = [], []
    for seed, name in enumerate(SESSIONS):
        generator = np.random.default_rng(seed)
        samples = []
        with av.open(str(root / "videos" / f"{name}.mp4"), "w") as video:
            stream = video.add_stream("libx264", rate=RATE)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            for take in range(TAKES):
                colour = list(COLOURS)[int(generator.integers(2))]
                place = generator.uniform((15, 15), (WIDTH - 15, HEIGHT - 15))
                picture = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
                picture[np.hypot(columns - place[0], rows - place[1]) < 9] = COLOURS[colour]
                for frame in range(take * TAKE_FRAMES, (take + 1) * TAKE_FRAMES):
                    video.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
                    x, y = place * (1280 / WIDTH, 960 / HEIGHT)
                    samples.append((frame * 1_000_000 // RATE, frame, float(x), float(y), "Fixation"))
                start_ms, end_ms = (take + 1) * 2000 - 300, (take + 1) * 2000
                noun = colour.split()[2] + "_disc"
                clip = f"{name}-{start_ms}-{end_ms}"
                actions.append(f"{len(actions)}; {clip}; {name}; {start_ms}; {end_ms}; Take {noun}; Take; {noun}")
                clips.append(
                    f"{name}-{start_ms}-{end_ms}-F{start_ms * 24 // 1000:06d}-F{end_ms * 24 // 1000:06d} 1 2 3"
                )
            video.mux(stream.encode(None))
        write_begaze(root / "gaze_data" / f"{name}.txt", 7, samples)
    header = (
        "# Clip ID (Unique, used only internally); Clip Prefix (Unique); Video Session; Starting Time (ms); "
        "Ending Time (ms); Action Label; Verb Label; Noun Label(s)"
    )
    (root / "raw_annotations" / "action_labels.csv").write_text("\n".join([header, *actions, ""]))
    (root / "action_annotation" / "train_split1.txt").write_text("\n".join(clips[::2]) + "\n")
    (root / "action_annotation" / "test_split1.txt").write_text("\n".join(clips[1::2]) + "\n")


def in_this_process(work: Any, tasks: Mapping[str, Any], *_: object) -> Iterator[tuple[str, str]]:
    yield from (work(*task) for task in tasks.items())
