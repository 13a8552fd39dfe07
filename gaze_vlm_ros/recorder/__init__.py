"""What the recorder decides without ROS: topics, episodes, tallies of lost messages, disk space, keys and tables."""
