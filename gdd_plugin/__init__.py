"""The method generative-turbo, which samples distilled sets from a one-step text-to-image model."""
