"""generative-turbo: a distilled set sampled from a one-step text-to-image model."""
