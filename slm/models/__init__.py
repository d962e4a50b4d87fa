"""Models in and out: checkpoints, other programs' models, exports."""
