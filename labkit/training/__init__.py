"""Trainings of the pocket models: one module per model; `labkit.kinds` names them."""
