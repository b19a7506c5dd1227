"""Child processes with limits, and the devices that they use."""
