"""Hyperparameters searched within a budget of images, with Optuna: trainings, ended early where they lag."""
