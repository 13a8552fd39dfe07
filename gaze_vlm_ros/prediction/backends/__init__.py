"""What can answer the predictor: the model here, a server elsewhere, or a recording of answers."""
