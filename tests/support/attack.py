"""A pickle that executes something when it is loaded."""

import os


class Attack:
    """Make the folder ``path`` when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)
