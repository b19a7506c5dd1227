"""Training of one-step generators on a real dataset: turbo-mini from nothing, or an SDXL-Turbo-like model by LoRA."""
