"""What `gaze-vlm bag check` looks at: measurements, and findings with their limits. No ROS needed."""
