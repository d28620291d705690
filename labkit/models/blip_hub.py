"""Full-size BLIP."""
def load_published(name, device): raise NotImplementedError
