"""Ablations: variants of a recipe, trained with several seeds on as many images, and compared."""
