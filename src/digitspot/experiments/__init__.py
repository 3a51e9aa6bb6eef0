"""What ablations and tuning share: recipes changed by name, lengths in images, trainings in processes."""
