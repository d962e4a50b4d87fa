"""Training: batches, the micro-batch, a fast step, state, validation, the run's folder, what it prints."""
