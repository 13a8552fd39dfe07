"""Other people's recordings as training bags, one module a format. No ROS needed."""
