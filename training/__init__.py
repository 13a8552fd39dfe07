"""What only the training workstation needs. Nothing here imports rclpy."""
