"""A bag through the predictor node, and what its predictions were worth: `gaze-vlm replay`."""
