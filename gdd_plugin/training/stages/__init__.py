"""The stages of a training run. Each is a loop over the optimizer steps of a network."""
