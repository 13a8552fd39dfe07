"""Gaze-regularized vision-language models for ROS 2: record, train, predict."""

__version__ = "0.1.0"
