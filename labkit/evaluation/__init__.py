"""How well it works: the figures of the model cards and the studies of the source reports."""
