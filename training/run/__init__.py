"""Run: one fit, from settings and bags to a checkpoint."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from training.run.batch_sampler import batch_rows, batch_rows_by_class, chosen_rows
    from training.run.batches import NumberedBatches, training_batches
    from training.run.data_notes import NoUsableGaze, notes_on_data
    from training.run.export import describe_gaze_use, export_checkpoint
    from training.run.fitting import FitRequest, fit
    from training.run.interrupts import note_signals
    from training.run.job import Job, Parts
    from training.run.loop import Diverged, check, train
    from training.run.metrics_log import NoTensorBoard, open_metrics_log, require_tensorboard
    from training.run.optimizer import decay_groups, make_optimizer, rate_factor
    from training.run.preflight import DiskTooSmall, NoRegularizerGradient, Preflight, require_disk, run_preflight
    from training.run.run_folder import (
        CannotResume,
        CannotWrite,
        WillNotOverwrite,
        check_output,
        report_full_disk,
        write_data,
    )
    from training.run.saved_state import Best, read_state, restore, save_state
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "training.run.batch_sampler": ["batch_rows", "batch_rows_by_class", "chosen_rows"],
            "training.run.batches": ["NumberedBatches", "training_batches"],
            "training.run.data_notes": ["NoUsableGaze", "notes_on_data"],
            "training.run.export": ["describe_gaze_use", "export_checkpoint"],
            "training.run.fitting": ["FitRequest", "fit"],
            "training.run.interrupts": ["note_signals"],
            "training.run.job": ["Job", "Parts"],
            "training.run.loop": ["Diverged", "check", "train"],
            "training.run.metrics_log": ["NoTensorBoard", "open_metrics_log", "require_tensorboard"],
            "training.run.optimizer": ["decay_groups", "make_optimizer", "rate_factor"],
            "training.run.preflight": [
                "DiskTooSmall",
                "NoRegularizerGradient",
                "Preflight",
                "require_disk",
                "run_preflight",
            ],
            "training.run.run_folder": [
                "CannotResume",
                "CannotWrite",
                "WillNotOverwrite",
                "check_output",
                "report_full_disk",
                "write_data",
            ],
            "training.run.saved_state": ["Best", "read_state", "restore", "save_state"],
        },
    )

__all__ = [
    "Best",
    "CannotResume",
    "CannotWrite",
    "DiskTooSmall",
    "Diverged",
    "FitRequest",
    "Job",
    "NoRegularizerGradient",
    "NoTensorBoard",
    "NoUsableGaze",
    "NumberedBatches",
    "Parts",
    "Preflight",
    "WillNotOverwrite",
    "batch_rows",
    "batch_rows_by_class",
    "check",
    "check_output",
    "chosen_rows",
    "decay_groups",
    "describe_gaze_use",
    "export_checkpoint",
    "fit",
    "make_optimizer",
    "note_signals",
    "notes_on_data",
    "open_metrics_log",
    "rate_factor",
    "read_state",
    "report_full_disk",
    "require_disk",
    "require_tensorboard",
    "restore",
    "run_preflight",
    "save_state",
    "train",
    "training_batches",
    "write_data",
]
