"""How good boxes and numbers are: COCO figures, whole-number figures, and intervals over images."""
