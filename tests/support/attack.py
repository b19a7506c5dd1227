"""A pickle that runs code when it is loaded."""

import os


class Attack:
    """An object that creates the folder ``path`` when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)
