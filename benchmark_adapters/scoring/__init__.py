"""Train students on distilled sets and test them on real images."""
