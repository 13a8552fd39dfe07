"""Thin rclpy nodes, one a file. Importing one needs rclpy, and no torch until a model loads."""
