"""Model: the forward pass with the gaze regularizer, trained weights, devices and processes."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from training.model.answer_loss import token_losses
    from training.model.device import NoDevice, resolve_device
    from training.model.device_memory import peak_bytes, total_bytes
    from training.model.distributed import (
        CannotShare,
        gather_to_cpu,
        is_sharded,
        join_processes,
        leave_processes,
        shard_like,
    )
    from training.model.forward import answer_losses
    from training.model.gaze_block import (
        GazeBlock,
        NoPlaceForBlock,
        add_gaze_block,
        gaze_block_of,
        load_gaze_block,
    )
    from training.model.loss import gaze_regularizer
    from training.model.out_of_memory import OutOfMemory, out_of_memory_text, report_out_of_memory
    from training.model.supervision import NoSuchHead, NoSuchLayer, supervised_heads, supervised_layers
    from training.model.trainable import NothingToAdapt, autocast, make_trainable, plain_model, weights_dtype
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "training.model.answer_loss": ["token_losses"],
            "training.model.device": ["NoDevice", "resolve_device"],
            "training.model.device_memory": ["peak_bytes", "total_bytes"],
            "training.model.distributed": [
                "CannotShare",
                "gather_to_cpu",
                "is_sharded",
                "join_processes",
                "leave_processes",
                "shard_like",
            ],
            "training.model.forward": ["answer_losses"],
            "training.model.gaze_block": [
                "GazeBlock",
                "NoPlaceForBlock",
                "add_gaze_block",
                "gaze_block_of",
                "load_gaze_block",
            ],
            "training.model.loss": ["gaze_regularizer"],
            "training.model.out_of_memory": ["OutOfMemory", "out_of_memory_text", "report_out_of_memory"],
            "training.model.supervision": ["NoSuchHead", "NoSuchLayer", "supervised_heads", "supervised_layers"],
            "training.model.trainable": [
                "NothingToAdapt",
                "autocast",
                "make_trainable",
                "plain_model",
                "weights_dtype",
            ],
        },
    )

__all__ = [
    "CannotShare",
    "GazeBlock",
    "NoDevice",
    "NoPlaceForBlock",
    "NoSuchHead",
    "NoSuchLayer",
    "NothingToAdapt",
    "OutOfMemory",
    "add_gaze_block",
    "answer_losses",
    "autocast",
    "gather_to_cpu",
    "gaze_block_of",
    "gaze_regularizer",
    "is_sharded",
    "join_processes",
    "leave_processes",
    "load_gaze_block",
    "make_trainable",
    "out_of_memory_text",
    "peak_bytes",
    "plain_model",
    "report_out_of_memory",
    "resolve_device",
    "shard_like",
    "supervised_heads",
    "supervised_layers",
    "token_losses",
    "total_bytes",
    "weights_dtype",
]
