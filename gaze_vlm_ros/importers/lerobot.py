"""LeRobot, format 3.0: one episode with a camera, gaze and labels.

https://huggingface.co/docs/lerobot/lerobot-dataset-v3. Of a data set that `gaze-vlm export lerobot` wrote, gaze and
labels come back as they were, from files of its own in meta/; frames come from the video, each once. Of any other, gaze
is the feature observation.gaze (x, y, valid), one sample a frame, and labels are the subtasks of the language column,
or the tasks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.importers.eye_events import EYE_UNKNOWN, WORN_UNKNOWN
from gaze_vlm_ros.importers.imported_session import UNDATED_START_NS, ImportedSession, TimedVideo
from gaze_vlm_ros.importers.json_file import read_json
from gaze_vlm_ros.importers.video import Video, read_video
from gaze_vlm_ros.labels.track import LabelTrack
from gaze_vlm_ros.session.gaze_track import GazeTrack
from gaze_vlm_ros.storage.tables import require_file
from gaze_vlm_ros.video.images import RGB

CAMERA, GAZE, STAMP, LANGUAGE = "observation.images.scene", "observation.gaze", "stamp_ns", "language_persistent"
SOURCES, SAMPLES = "meta/gaze_vlm.json", "meta/gaze_vlm_gaze.parquet"


class BadDataSet(GazeVlmError):
    """The folder is no LeRobot data set that can be imported."""


@dataclass(frozen=True)
class _Excerpt:
    """Some frames of a video file: those of one episode."""

    video: Video
    numbers: NDArray[np.int64]  # (N,) of the video's frames, ascending

    @property
    def path(self) -> Path:
        return self.video.path

    @property
    def size(self) -> tuple[int, int]:
        return self.video.size

    @property
    def frame_ns(self) -> int:
        return self.video.frame_ns

    def __len__(self) -> int:
        return len(self.numbers)

    def frames(self, chosen: NDArray[np.bool_], size: tuple[int, int]) -> Iterator[tuple[int, RGB]]:
        """Yield (number in this excerpt, (H, W, 3) RGB) of the frames in the mask `chosen` (N,)."""
        mask = np.zeros(len(self.video), np.bool_)
        mask[self.numbers[chosen]] = True
        for number, rgb in self.video.frames(mask, size):
            yield int(np.searchsorted(self.numbers, number)), rgb


def read_lerobot(folder: Path, episode: int | None = None) -> ImportedSession:
    """Read one episode, the first by default. Raises BadDataSet, FileMissing, BadVideo."""
    number = episode or 0
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise BadDataSet("LeRobot's data sets are Parquet files, which pyarrow reads: pip install pyarrow") from None
    info = _json(folder / "meta/info.json")
    if not str(info.get("codebase_version", "")).startswith("v3."):
        raise BadDataSet(
            f"{folder} is of LeRobot's format {info.get('codebase_version')!r}, expected v3.0; convert it with LeRobot"
        )
    try:
        return _read(folder, info, number, pq)
    except (KeyError, TypeError, ValueError, IndexError, OSError) as error:
        raise BadDataSet(
            f"{folder}: episode {number} cannot be read ({type(error).__name__}: {error}); copy the data set again"
        ) from None


def _read(folder: Path, info: dict[str, Any], number: int, pq: Any) -> ImportedSession:
    rows_of = sorted((folder / "meta/episodes").rglob("*.parquet"))
    episodes = {row["episode_index"]: row for path in rows_of for row in pq.read_table(path).to_pylist()}
    if number not in episodes:
        raise BadDataSet(f"{folder} has no episode {number}, expected 0 to {len(episodes) - 1}")
    about = episodes[number]
    cameras = [name for name, feature in info["features"].items() if feature["dtype"] == "video"]
    camera = CAMERA if CAMERA in cameras else cameras[0] if cameras else ""
    if GAZE not in info["features"] or not camera:
        raise BadDataSet(
            f"{folder} has no {GAZE} beside a video, expected both; its features are {', '.join(info['features'])}"
        )
    place = {name: about[f"data/{name}"] for name in ("chunk_index", "file_index")}
    table = pq.read_table(folder / info["data_path"].format(**place))
    table = table.filter(np.asarray(table["episode_index"]) == number)
    place = {name: about[f"videos/{camera}/{name}"] for name in ("chunk_index", "file_index")}
    video = read_video(folder / info["video_path"].format(video_key=camera, **place))
    seconds = np.asarray(table["timestamp"], np.float64)
    if STAMP in table.column_names:
        stamps_ns = np.asarray(table[STAMP], np.int64).ravel()
    else:
        stamps_ns = UNDATED_START_NS + np.round(seconds * 1e9).astype(np.int64)
    wanted_s = seconds + float(about[f"videos/{camera}/from_timestamp"])
    # The frame nearest in time: half an interval before it, so that rounding does not choose the next one.
    wanted_ns = np.round(wanted_s * 1e9) - max(video.frame_ns // 2, 1)
    numbers = np.searchsorted(video.times_ns, wanted_ns).clip(0, len(video) - 1)
    first = np.concatenate([[True], np.diff(stamps_ns) > 0])  # a row may show the frame of the row before
    left_out = Counter({"rows that repeat the frame before": int((~first).sum())})
    sources = _json(folder / SOURCES)["episodes"][number] if (folder / SOURCES).is_file() else {}
    gaze = _gaze(folder, table, stamps_ns, first, number, video.size, pq)
    return ImportedSession(
        metadata={
            "session": str(sources.get("session") or f"{folder.resolve().name}_{number}"),
            **{name: str(sources.get(name, "")) for name in ("person", "task", "scene")},
            "episode": str(number),
        },
        videos=[TimedVideo(_Excerpt(video, numbers[first]), stamps_ns[first])],
        gaze=gaze,
        device_ns=np.zeros(len(gaze), np.int64),
        labels=_labels(sources, folder, table, stamps_ns, seconds, pq),
        left_out=left_out,
    )


def _json(path: Path) -> dict[str, Any]:
    require_file(path, f"{path.name} of a LeRobot data set")
    content = read_json(path, BadDataSet, "copy the data set again")
    if not isinstance(content, dict):
        raise BadDataSet(f"{path} holds no object; copy the data set again")
    return content


def _gaze(
    folder: Path, table: Any, stamps_ns: NDArray[np.int64], first: NDArray[np.bool_], number: int,
    size: tuple[int, int], pq: Any,
) -> GazeTrack:  # fmt: skip
    if (folder / SAMPLES).is_file():
        found = pq.read_table(folder / SAMPLES, filters=[("episode_index", "=", number)])
        column = {name: np.asarray(found[name]) for name in found.column_names}
        sizes = column["image_width"][:1].tolist() + column["image_height"][:1].tolist()
        return GazeTrack(
            column["stamp_ns"], np.stack([column["x"], column["y"]], axis=1), column["confidence"],
            column["worn"].astype(np.uint8), column["eye_state"].astype(np.uint8),
            (sizes[0], sizes[1]) if sizes else size,
        )  # fmt: skip
    points = np.array(table[GAZE].to_pylist(), np.float64)[first]
    xy = np.where(points[:, 2:] > 0, points[:, :2], np.nan)
    count = len(xy)
    return GazeTrack(
        stamps_ns[first], xy, np.full(count, np.nan), np.full(count, WORN_UNKNOWN, np.uint8),
        np.full(count, EYE_UNKNOWN, np.uint8), size,
    )  # fmt: skip


def _labels(
    sources: dict[str, Any],
    folder: Path,
    table: Any,
    stamps_ns: NDArray[np.int64],
    seconds: NDArray[np.float64],
    pq: Any,
) -> LabelTrack:
    exact = sources.get("labels")
    if exact:
        return LabelTrack(
            np.array(exact["starts_ns"], np.int64), exact["texts"], exact["verbs"], exact["object_classes"]
        )
    if LANGUAGE in table.column_names and len(table):
        said = [row for row in table[LANGUAGE][0].as_py() if row["style"] == "subtask"]
        starts = [int(stamps_ns[int(np.argmin(np.abs(seconds - row["timestamp"])))]) for row in said]
        texts = [str(row["content"] or "") for row in said]
    else:
        tasks = pq.read_table(folder / "meta/tasks.parquet").to_pydict()
        name_of = dict(zip(tasks["task_index"], tasks["task"], strict=True))
        names = [name_of[index] for index in np.asarray(table["task_index"]).tolist()]
        begins = [row for row in range(len(names)) if row == 0 or names[row] != names[row - 1]]
        starts, texts = [int(stamps_ns[row]) for row in begins], [names[row] for row in begins]
    empty = [""] * len(texts)
    return LabelTrack(np.array(starts, np.int64), texts, empty, list(empty))
