"""Training of one-step generators: turbo-mini from random weights, or LoRA adapters of a model."""
