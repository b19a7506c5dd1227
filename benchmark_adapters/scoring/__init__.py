"""Training students on distilled sets, and testing them on real images."""
