"""Architectures that no library has in the form we need, or thin adapters around one that does."""
