"""How far two images are from each other, in batches; what a number is stands on its metric."""
