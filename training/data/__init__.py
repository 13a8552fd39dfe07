"""Data: from bags to batches. Recordings, the split, prepared windows and gaze targets."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from training.data.batch import IGNORED, Batch
    from training.data.conversion import Converted, VisualTokens, convert_recording, convert_recordings
    from training.data.dataset import Dataset
    from training.data.gaze_prompt import GazePrompts, UnequalPrompts, question, question_with_gaze, with_ring
    from training.data.gaze_targets import (
        FrameGaze,
        NothingToShuffle,
        frame_gaze,
        prior_target,
        shuffled_rows,
        window_target,
    )
    from training.data.preparation import prepare
    from training.data.prepared_arrays import CannotStore, PreparedArrays, PreparedArraysWriter
    from training.data.prepared_windows import PreparedWindows, Targets
    from training.data.recordings import (
        Mapper,
        MixedSizes,
        NoSuchBag,
        Recording,
        bag_digest,
        data_hash,
        find_bags,
        hash_of,
        load_recording,
        load_recordings,
    )
    from training.data.split import BadSplit, Split, split_sessions
    from training.data.stream_answers import StreamAnswers, when_tokens
    from training.data.tar_export import PartCounts, write_dataset
    from training.data.tar_shards import TarShardWriter
    from training.data.workers import NoRay, WorkerDied, bag_mapper, worker_pool
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "training.data.stream_answers": ["StreamAnswers", "when_tokens"],
            "training.data.batch": ["IGNORED", "Batch"],
            "training.data.conversion": ["Converted", "VisualTokens", "convert_recording", "convert_recordings"],
            "training.data.dataset": ["Dataset"],
            "training.data.gaze_prompt": [
                "GazePrompts",
                "UnequalPrompts",
                "question",
                "question_with_gaze",
                "with_ring",
            ],
            "training.data.gaze_targets": [
                "FrameGaze",
                "NothingToShuffle",
                "frame_gaze",
                "prior_target",
                "shuffled_rows",
                "window_target",
            ],
            "training.data.prepared_arrays": ["CannotStore", "PreparedArrays", "PreparedArraysWriter"],
            "training.data.prepared_windows": ["PreparedWindows", "Targets"],
            "training.data.preparation": ["prepare"],
            "training.data.recordings": [
                "Mapper",
                "MixedSizes",
                "NoSuchBag",
                "Recording",
                "bag_digest",
                "data_hash",
                "find_bags",
                "hash_of",
                "load_recording",
                "load_recordings",
            ],
            "training.data.split": ["BadSplit", "Split", "split_sessions"],
            "training.data.tar_export": ["PartCounts", "write_dataset"],
            "training.data.tar_shards": ["TarShardWriter"],
            "training.data.workers": ["NoRay", "WorkerDied", "bag_mapper", "worker_pool"],
        },
    )

__all__ = [
    "IGNORED",
    "BadSplit",
    "Batch",
    "CannotStore",
    "Converted",
    "Dataset",
    "FrameGaze",
    "GazePrompts",
    "Mapper",
    "MixedSizes",
    "NoRay",
    "NoSuchBag",
    "NothingToShuffle",
    "PartCounts",
    "PreparedArrays",
    "PreparedArraysWriter",
    "PreparedWindows",
    "Recording",
    "Split",
    "StreamAnswers",
    "TarShardWriter",
    "Targets",
    "UnequalPrompts",
    "VisualTokens",
    "WorkerDied",
    "bag_digest",
    "bag_mapper",
    "convert_recording",
    "convert_recordings",
    "data_hash",
    "find_bags",
    "frame_gaze",
    "hash_of",
    "load_recording",
    "load_recordings",
    "prepare",
    "prior_target",
    "question",
    "question_with_gaze",
    "shuffled_rows",
    "split_sessions",
    "when_tokens",
    "window_target",
    "with_ring",
    "worker_pool",
    "write_dataset",
]
