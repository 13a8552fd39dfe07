"""`gaze-vlm view`: a bag on screen or as pictures. No ROS needed."""
