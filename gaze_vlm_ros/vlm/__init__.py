"""Any transformers vision-language model: where its visual tokens look, what they are attended with, its answers."""

from gaze_vlm_ros.vlm.broken_torchvision import hide_broken_torchvision

hide_broken_torchvision()  # before any module of this package asks transformers for a model
