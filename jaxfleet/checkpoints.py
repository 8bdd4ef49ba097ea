"""What is in flight, kept on disk with Orbax: one tree of numpy arrays at a time."""

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np


class Checkpoints:
    """The latest snapshot of one bucket in a folder; older ones go once a newer one is whole."""

    def __init__(self, folder: Path) -> None:
        """`folder` need not exist."""
        self.folder = folder.absolute()

    def save(self, tree: Any) -> None:
        """Writes a tree of arrays; Orbax renames it into place when it is complete.

        Raises:
            OSError: if the disk is full or the folder cannot be written; the last one stays.
        """
        import orbax.checkpoint as ocp  # takes seconds to import, and most runs are short

        logging.getLogger("absl").setLevel(logging.ERROR)
        self.folder.mkdir(parents=True, exist_ok=True)
        old = self._numbers()
        path = self.folder / str(old[-1] + 1 if old else 0)
        with ocp.StandardCheckpointer() as writer:
            writer.save(path, tree)
        for number in old:
            shutil.rmtree(self.folder / str(number))

    def load(self) -> Any | None:
        """The latest whole snapshot as numpy arrays, or None."""
        numbers = self._numbers()
        if not numbers:
            return None
        import orbax.checkpoint as ocp

        logging.getLogger("absl").setLevel(logging.ERROR)
        with ocp.StandardCheckpointer() as reader:
            path = self.folder / str(numbers[-1])
            shapes = reader.metadata(path).item_metadata.tree
            return reader.restore(path, _as_numpy(shapes))

    def clear(self) -> None:
        """Forgets all snapshots."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _numbers(self) -> list[int]:
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdigit())


def _as_numpy(tree: Any) -> Any:
    import jax

    return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), tree)
