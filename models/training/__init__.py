"""How networks learn from a suite: recipes, images, the loop; PyTorch Lightning runs it."""
