"""Trainings of the pocket models: one module per model; `labkit.models.kinds` names them."""
