"""Training of one-step generators: turbo-mini from random weights, and LoRA adapters for models."""
