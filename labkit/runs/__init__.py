"""A run on disk and in time: its result, recipe and replay, sweeps, checkpoints, films, workers."""
