"""LeRobot data sets, version 3.0: one episode per bag, written bag by bag.

Format: https://huggingface.co/docs/lerobot/lerobot-dataset-v3
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.bags.role_options import AS_THE_BAG_SAYS, Roles
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.exporters.episode import GAZE_MAX_AGE_S, Episode, write_episode
from gaze_vlm_ros.exporters.grid import typical_rate_hz
from gaze_vlm_ros.exporters.output_folder import export_folder, require_absent
from gaze_vlm_ros.exporters.statistics import Statistics, column_statistics, combined, picture_statistics
from gaze_vlm_ros.session.session import Session, load_session, require_labels, session_digest

VERSION = "v3.0"
CAMERA, GAZE, STAMP = "observation.images.scene", "observation.gaze", "stamp_ns"
CHUNK = 1000  # files per folder
FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
DATA_PATH, VIDEO_PATH = f"data/{FILE}.parquet", f"videos/{{video_key}}/{FILE}.mp4"
SOURCES = "meta/gaze_vlm.json"  # what the format has no field for: labels to the nanosecond among it
SAMPLES = "meta/gaze_vlm_gaze.parquet"  # every gaze sample of the bags, as it was: the feature has one a frame
# Since LeRobot 0.6: what is said of an episode, the same list in each of its rows. A label is a row of style subtask.
LANGUAGE, SUBTASK, ROLE = "language_persistent", "subtask", "assistant"


class CannotExport(GazeVlmError):
    """The bags cannot be combined into one data set."""


class PyarrowMissing(GazeVlmError):
    """pyarrow, which writes Parquet, is not installed."""


@dataclass(frozen=True)
class _WrittenEpisode:
    """What the metadata files need of an episode after its own files are written."""

    row: dict[str, Any]  # row of meta/episodes
    statistics: dict[str, Statistics]
    source: dict[str, Any]  # entry of SOURCES


def export_lerobot(
    bags: Sequence[Path],
    out: Path,
    fps: int | None = None,
    roles: Roles = AS_THE_BAG_SAYS,
    language: bool = True,
) -> str:
    """Write a data set to the new folder `out` and return a summary in words.

    language: write labels as subtasks too, in a column that LeRobot knows since version 0.6.
    fps: frame rate of the data set; None = the highest typical rate of the bags' cameras, rounded.
    An unfinished export is removed. Raises what load_session and require_labels raise,
    DamagedImage, CannotExport, ExportExists, ExportNotWritable, PyarrowMissing.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise PyarrowMissing("pyarrow, which writes Parquet, is not installed: pip install pyarrow") from None
    if fps is not None and not 1 <= fps <= 1000:
        raise CannotExport(f"--fps {fps}: expected 1 to 1000 frames per second")
    require_absent(out)
    typical_hz = _check(bags, roles)
    if fps is None and not typical_hz:
        raise CannotExport(f"{bags[0]}: a single frame has no rate; give --fps")
    with export_folder(out):
        return _write(bags, out, fps or max(1, round(typical_hz)), roles, language)


def _check(bags: Sequence[Path], roles: Roles) -> float:
    """Return the rate of the fastest camera, Hz; 0 = unknown. Fail fast: open every bag before writing any video."""
    rate_hz = 0.0
    sizes: dict[tuple[int, int], Path] = {}
    for bag in bags:
        session = load_session(bag, roles=roles)
        require_labels(session)
        sizes.setdefault(session.frames.size, bag)
        rate_hz = max(rate_hz, typical_rate_hz(session.frames.stamps_ns))
    if len(sizes) > 1:
        (first, one), (second, other) = list(sizes.items())[:2]
        raise CannotExport(
            f"frame sizes differ: {one} has {first[0]}x{first[1]}, {other} has {second[0]}x{second[1]}; "
            "export bags with equal frame sizes"
        )
    return rate_hz


def _write(bags: Sequence[Path], out: Path, fps: int, roles: Roles, language: bool) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    tasks: dict[str, int] = {}
    written: list[_WrittenEpisode] = []
    size: tuple[int, int] | None = None
    frames = 0
    data = out / DATA_PATH.format(chunk_index=0, file_index=0)
    data.parent.mkdir(parents=True)
    spoken = [(LANGUAGE, _language_type())] if language else []
    samples: list[pa.Table] = []
    schema = pa.schema(
        [
            *spoken,
            ("timestamp", pa.float32()), ("frame_index", pa.int64()), ("episode_index", pa.int64()),
            ("index", pa.int64()), ("task_index", pa.int64()), (GAZE, pa.list_(pa.float32(), 3)), (STAMP, pa.int64()),
        ]
    )  # fmt: skip
    with pq.ParquetWriter(data, schema, compression="snappy") as writer:
        for index, bag in enumerate(bags):
            session = load_session(bag, roles=roles)
            require_labels(session)
            place = dict(zip(("chunk_index", "file_index"), divmod(index, CHUNK), strict=True))
            # One file per episode: timestamps are float32, and would be inexact after other episodes in one file.
            video = out / VIDEO_PATH.format(video_key=CAMERA, **place)
            video.parent.mkdir(parents=True, exist_ok=True)
            episode = write_episode(session, fps, video)
            size = size or episode.size
            for text in episode.labels:
                tasks.setdefault(text, len(tasks))
            columns = _columns(episode, index, frames, tasks, fps)
            gaze = pa.FixedSizeListArray.from_arrays(pa.array(episode.gaze.ravel()), 3)
            columns_of: dict[str, Any] = {
                name: pa.array(values[:, 0]) for name, values in columns.items() if name != GAZE
            }
            columns_of |= {GAZE: gaze, LANGUAGE: _subtasks(episode, fps) if language else None}
            arrays = [columns_of[name] for name in schema.names]
            samples.append(_samples(session, index))
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))  # one row group per episode
            statistics = {name: column_statistics(values) for name, values in columns.items()}
            statistics[CAMERA] = picture_statistics(episode.histogram, episode.counted)
            written.append(_written_episode(session, episode, place, index, frames, statistics, fps))
            frames += len(episode)
    assert size is not None
    _write_tasks(out, tasks)
    _write_episodes(out, written)
    pq.write_table(pa.concat_tables(samples), out / SAMPLES)
    _write_json(out / "meta/stats.json", _plain(combined([one.statistics for one in written])))
    sources = {"gaze_max_age_s": GAZE_MAX_AGE_S, "episodes": [one.source for one in written]}
    _write_json(out / SOURCES, sources)
    # Written last: without this file, LeRobot does not recognize the folder as a data set.
    _write_json(out / "meta/info.json", _info(fps, len(written), frames, len(tasks), size, language))
    return _summary(out, fps, frames, len(tasks), [one.source for one in written])


def _columns(episode: Episode, index: int, frames: int, tasks: dict[str, int], fps: int) -> dict[str, NDArray]:
    count = len(episode)
    rows = np.arange(count, dtype=np.int64)
    return {
        "timestamp": (rows / fps).astype(np.float32)[:, None],
        "frame_index": rows[:, None],
        "episode_index": np.full((count, 1), index),
        "index": (rows + frames)[:, None],
        "task_index": np.array([tasks[text] for text in episode.labels])[:, None],
        GAZE: episode.gaze,
        STAMP: episode.stamps_ns[:, None],
    }


def _written_episode(
    session: Session, episode: Episode, place: dict[str, int], index: int, frames: int,
    statistics: dict[str, Statistics], fps: int,
) -> _WrittenEpisode:  # fmt: skip
    row = {
        "episode_index": index,
        "tasks": list(dict.fromkeys(episode.labels)),
        "length": len(episode),
        "data/chunk_index": 0,
        "data/file_index": 0,
        "dataset_from_index": frames,
        "dataset_to_index": frames + len(episode),
        **{f"videos/{CAMERA}/{name}": value for name, value in place.items()},
        f"videos/{CAMERA}/from_timestamp": 0.0,
        f"videos/{CAMERA}/to_timestamp": len(episode) / fps,
        **{
            f"stats/{feature}/{name}": value
            for feature, found in _plain(statistics).items()
            for name, value in found.items()
        },
        "meta/episodes/chunk_index": 0,
        "meta/episodes/file_index": 0,
    }  # fmt: skip
    source = {
        "session": session.name,
        "person": session.person,
        "task": session.task,
        "scene": session.scene,
        "digest": session_digest(session),
        "begin_ns": int(episode.grid_ns[0]),
        "frames": len(episode),
        "longest_age_s": episode.longest_age_s,
        "repeated": episode.repeated,
        "left_out": episode.left_out,
        "damaged": episode.damaged,
        "with_gaze": int(episode.gaze[:, 2].sum()),
        "labels": {
            "starts_ns": np.asarray(session.labels.starts_ns).tolist() if session.labels else [],
            "texts": session.labels.texts if session.labels else [],
            "verbs": session.labels.verbs if session.labels else [],
            "object_classes": session.labels.object_classes if session.labels else [],
        },
    }
    return _WrittenEpisode(row, statistics, source)


def _language_type() -> Any:
    """Arrow's type of the language column, field by field as LeRobot's."""
    import pyarrow as pa

    row = pa.struct(
        [
            pa.field("role", pa.string(), nullable=False), pa.field("content", pa.string()),
            pa.field("style", pa.string()), pa.field("timestamp", pa.float32(), nullable=False),
            pa.field("camera", pa.string()), pa.field("tool_calls", pa.list_(pa.json_())),
        ]
    )  # fmt: skip
    return pa.list_(row)


def _subtasks(episode: Episode, fps: int) -> Any:
    """Return the language column: the labels of an episode, each from the first row that it holds in, in every row."""
    import pyarrow as pa

    begins = [row for row in range(len(episode)) if row == 0 or episode.labels[row] != episode.labels[row - 1]]
    rows, total = len(episode), len(episode) * len(begins)
    kind = _language_type()
    texts = [episode.labels[row] for row in begins]
    times = (np.array(begins) / fps).astype(np.float32)
    fields = {
        "role": pa.array([ROLE] * total), "content": pa.array(texts * rows), "style": pa.array([SUBTASK] * total),
        "timestamp": pa.array(np.tile(times, rows)), "camera": pa.nulls(total, pa.string()),
        "tool_calls": pa.nulls(total, kind.value_type.field("tool_calls").type),
    }  # fmt: skip
    structs = pa.StructArray.from_arrays(list(fields.values()), fields=list(kind.value_type))
    offsets = pa.array(np.arange(0, total + 1, len(begins), dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, structs, type=kind)


def _samples(session: Session, index: int) -> Any:
    """Return the gaze samples of one bag with their episode's number."""
    import pyarrow as pa

    gaze = session.gaze
    empty = np.empty(0)
    xy = gaze.xy if gaze else np.empty((0, 2))
    count = len(xy)
    width, height = gaze.image_size if gaze else (0, 0)
    return pa.table(
        {
            "episode_index": np.full(count, index, np.int64),
            "stamp_ns": gaze.stamps_ns if gaze else np.empty(0, np.int64),
            "x": np.ascontiguousarray(xy[:, 0]),
            "y": np.ascontiguousarray(xy[:, 1]),
            "confidence": gaze.confidence if gaze else empty,
            "worn": gaze.worn if gaze else empty.astype(np.uint8),
            "eye_state": gaze.eye_state if gaze else empty.astype(np.uint8),
            "image_width": np.full(count, width, np.int64),
            "image_height": np.full(count, height, np.int64),
        }
    )


def _info(fps: int, episodes: int, frames: int, tasks: int, size: tuple[int, int], language: bool) -> dict[str, Any]:
    video = {
        "video.height": size[1], "video.width": size[0], "video.codec": "h264", "video.pix_fmt": "yuv420p",
        "video.is_depth_map": False, "video.fps": fps, "video.channels": 3, "has_audio": False,
    }  # fmt: skip
    whole = dict.fromkeys(("frame_index", "episode_index", "index", "task_index", STAMP), "int64")
    columns = {"timestamp": "float32", **whole}
    features: dict[str, Any] = {
        CAMERA: {
            "dtype": "video", "shape": [size[1], size[0], 3], "names": ["height", "width", "channels"], "info": video,
        },
        GAZE: {"dtype": "float32", "shape": [3], "names": ["x", "y", "valid"]},
        **{name: {"dtype": dtype, "shape": [1], "names": None} for name, dtype in columns.items()},
    }  # fmt: skip
    if language:
        features[LANGUAGE] = {"dtype": "language", "shape": [1], "names": None}
    return {
        "codebase_version": VERSION,
        "robot_type": None,
        "total_episodes": episodes,
        "total_frames": frames,
        "total_tasks": tasks,
        "chunks_size": CHUNK,
        "data_files_size_in_mb": 100,  # LeRobot's default: size at which it starts another file when it appends
        "video_files_size_in_mb": 200,
        "fps": fps,
        "splits": {"train": f"0:{episodes}"},
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH,
        "features": features,
    }


def _write_tasks(out: Path, tasks: dict[str, int]) -> None:
    """Write the table whose index is the task's text, as pandas metadata: Parquet itself has no index."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    about = [
        {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy_type, "metadata": None}
        for name, kind, numpy_type in (("task_index", "int64", "int64"), ("task", "unicode", "object"))
    ]
    pandas = {"index_columns": ["task"], "column_indexes": [], "columns": about, "pandas_version": "2.2.0"}
    table = pa.table({"task_index": pa.array(list(tasks.values()), pa.int64()), "task": pa.array(list(tasks))})
    (out / "meta").mkdir()
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(pandas)}), out / "meta/tasks.parquet")


def _write_episodes(out: Path, written: Sequence[_WrittenEpisode]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = out / "meta/episodes" / (FILE.format(chunk_index=0, file_index=0) + ".parquet")
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([one.row for one in written]), path)


def _plain(statistics: dict[str, Statistics]) -> dict[str, dict[str, Any]]:
    return {feature: {name: value.tolist() for name, value in found.items()} for feature, found in statistics.items()}


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")


def _summary(out: Path, fps: int, frames: int, tasks: int, sources: Sequence[dict[str, Any]]) -> str:
    total = {name: sum(one[name] for one in sources) for name in ("repeated", "left_out", "damaged", "with_gaze")}
    oldest = max(sources, key=lambda one: one["longest_age_s"])
    return (
        f"{out}: {len(sources)} episodes, {frames} frames at {fps} Hz, {tasks} tasks, "
        f"gaze on {total['with_gaze'] / frames:.0%} of the frames\n"
        f"frames are shown at most {1000 * oldest['longest_age_s']:.1f} ms after acquisition ({oldest['session']}); "
        f"{total['repeated']} rows repeat the previous frame, {total['left_out']} frames are left out, "
        f"{total['damaged']} of them damaged"
    )  # fmt: skip
