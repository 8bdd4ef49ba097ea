"""What is in flight, kept on disk with Orbax: one tree of numpy arrays at a time.

Where the run directory is in an object store, Orbax writes to a temporary folder, and the snapshot
goes to and fro as one archive.
"""

import errno
import io
import logging
import os
import re
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxfleet import storage

MARGIN_BYTES = 1 << 20  # for Orbax's own files
ARCHIVE = "snapshot.tar"


class Checkpoints:
    """The latest snapshot of one bucket in a folder; older ones go once a newer one is whole."""

    def __init__(self, folder: Path) -> None:
        """`folder` need not exist."""
        self.folder = folder.absolute() if storage.is_local(folder) else folder

    def save(self, tree: Any) -> None:
        """Write a tree of arrays; Orbax renames it into place when it is complete.

        Raises:
            OSError: if the disk is full or the folder cannot be written; the last one stays.
        """
        if not storage.is_local(self.folder):
            with tempfile.TemporaryDirectory() as folder:
                Checkpoints(Path(folder)).save(tree)
                archive = io.BytesIO()
                with tarfile.open(fileobj=archive, mode="w") as tar:
                    tar.add(folder, arcname=".")
            storage.write_atomically(self.folder / ARCHIVE, archive.getvalue())
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        numbers = self._numbers()
        path = self.folder / str(numbers[-1] + 1 if numbers else 0)
        leaves, structure = jax.tree.flatten(tree)
        shapes = [np.shape(leaf) for leaf in leaves]
        # A disk that fills up while Orbax writes makes its threads print hundreds of lines.
        if shutil.disk_usage(self.folder).free < sum(leaf.nbytes for leaf in leaves) + MARGIN_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        # Orbax takes no empty arrays: a single zero stands for each.
        filled = [leaf if np.size(leaf) else np.zeros(1, leaf.dtype) for leaf in leaves]
        try:
            with _orbax() as writer:
                writer.save(
                    path, jax.tree.unflatten(structure, filled), custom_metadata={"shapes": shapes}
                )
        except ValueError as error:  # TensorStore's way to say that the system refused
            code = re.search(r"os_error_code='(\d+)'", str(error))
            if code is None:
                raise
            raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from error
        finally:
            for other in self.folder.iterdir():
                if other != path and (path.exists() or not other.name.isdigit()):
                    shutil.rmtree(other)

    def load(self) -> Any | None:
        """Return the latest snapshot as numpy arrays, tuples as lists; None without one."""
        if not storage.is_local(self.folder):
            with tempfile.TemporaryDirectory() as folder:
                try:
                    data = io.BytesIO((self.folder / ARCHIVE).read_bytes())
                    with tarfile.open(fileobj=data) as tar:
                        tar.extractall(folder, filter="data")
                except (OSError, tarfile.TarError):
                    return None
                return Checkpoints(Path(folder)).load()
        numbers = self._numbers()
        if not numbers:
            return None
        path = self.folder / str(numbers[-1])
        try:
            with _orbax() as reader:
                leaves, structure = jax.tree.flatten(reader.restore(path))
                shapes = reader.metadata(path).custom_metadata["shapes"]
        except (OSError, ValueError, KeyError, TypeError):
            return None  # damaged: what it held is begun again
        whole = [
            np.asarray(leaf).ravel()[: np.prod(shape, dtype=int)].reshape(shape)
            for leaf, shape in zip(leaves, shapes, strict=True)
        ]
        return jax.tree.unflatten(structure, whole)

    def clear(self) -> None:
        """Forget all snapshots."""
        if storage.is_local(self.folder):
            shutil.rmtree(self.folder, ignore_errors=True)
        elif (self.folder / ARCHIVE).exists():
            (self.folder / ARCHIVE).unlink()

    def _numbers(self) -> list[int]:
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdigit())


def _orbax() -> Any:
    import orbax.checkpoint as ocp  # takes seconds to import, and most runs are short

    logging.getLogger("absl").setLevel(logging.CRITICAL)  # errors are raised as well as logged
    return ocp.PyTreeCheckpointer()
