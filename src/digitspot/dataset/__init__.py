"""Labels, images and packs: what goes into training, prediction and evaluation."""
