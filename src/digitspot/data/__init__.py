"""Labels, pictures and packs: what goes into training, prediction and evaluation."""
