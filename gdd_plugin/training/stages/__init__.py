"""The stages of a training, each a loop over steps of one network's optimizer."""
