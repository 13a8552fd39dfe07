"""Measures of gaze against what the model attends to, and what they say about a session of a known task. No ROS."""
