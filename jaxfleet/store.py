"""Results on disk: Parquet parts, a manifest, resume, and a table to read.

A run directory holds `manifest.json` (the plan, versions, device, and each part's checksum) and
`parts/*.parquet`. A part is written under a temporary name, synced and renamed, and only then
entered in the manifest, itself replaced in the same way: a reader never sees half a file, and a
killed writer loses at most what it had not yet flushed. `pandas.read_parquet("parts")` reads all.
"""

import contextlib
import fcntl
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jaxfleet.errors import InputError

MANIFEST, PARTS, CORRUPT = "manifest.json", "parts", "corrupt"
FORMAT = 1
_PACKAGES = ("jax", "jaxlib", "numpy", "optax", "flax", "orbax-checkpoint", "pyarrow")


class Store:
    """The one writer of a run directory.

    Args:
        run_dir: made if absent. What it holds must come from the same plan.
        plan: JSON-able facts that define the results; compared when a run is taken up again.
        schema: of the rows, with a column `trial_id`.
        network: inputs and outputs of the networks, for `Table.weights`.

    Raises:
        InputError: for a directory of another plan, one that holds something else, one that cannot
            be made, or one in use by another process.
    """

    def __init__(
        self,
        run_dir: Path,
        plan: Mapping[str, Any],
        schema: pa.Schema,
        *,
        network: Mapping[str, int],
    ) -> None:
        """Opens the directory; damaged parts are set aside, see `set_aside`."""
        self.run_dir, self.schema = Path(run_dir), schema
        self._rows: list[Mapping[str, Any]] = []
        _claim(self.run_dir)
        self._lock = _locked(self.run_dir)
        try:
            self._open(dict(plan), dict(network))
        except BaseException:
            self.close()
            raise

    def _open(self, plan: dict[str, Any], network: dict[str, int]) -> None:
        path = self.run_dir / MANIFEST
        if path.exists():
            self.manifest = _read_manifest(path)
            _refuse_difference(self.run_dir, self.manifest["plan"], plan)
        else:
            digest = hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()
            self.manifest = {
                "format": FORMAT,
                "plan_hash": digest,
                "plan": plan,
                "network": network,
                **environment(),
                "parts": {},
            }
            write_atomically(path, json.dumps(self.manifest, indent=1).encode())
        self.parts = self.run_dir / PARTS
        self.parts.mkdir(exist_ok=True)
        self.set_aside = self._check_parts()
        self.done = self._done()

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Takes rows; they are on disk after the next `flush`."""
        self._rows.extend(rows)

    def flush(self) -> None:
        """Writes the rows taken so far as one part.

        Raises:
            OSError: if the disk is full; parts written before stay whole.
        """
        if not self._rows:
            return
        table = pa.Table.from_pylist([dict(row) for row in self._rows], schema=self.schema)
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        data = sink.getvalue().to_pybytes()
        numbers = [int(name[5:10]) for name in self.manifest["parts"]]
        name = f"part-{max(numbers, default=-1) + 1:05}.parquet"
        write_atomically(self.parts / name, data)
        entry = {"rows": len(table), "bytes": len(data), "sha256": _digest(data)}
        self._enter({**self.manifest["parts"], name: entry})
        self.done.update(table["trial_id"].to_pylist())
        self._rows = []

    def note(self, **facts: Any) -> None:
        """Adds facts to the manifest."""
        self.manifest.update(facts)
        write_atomically(
            self.run_dir / MANIFEST, json.dumps(self.manifest, indent=1, default=str).encode()
        )

    def close(self) -> None:
        """Lets another process have the directory."""
        os.close(self._lock)

    def _enter(self, parts: Mapping[str, Any]) -> None:
        self.manifest["parts"] = dict(parts)
        self.note()

    def _check_parts(self) -> list[str]:
        """Moves parts that are damaged or unknown to `corrupt/`; returns their names."""
        known = self.manifest["parts"]
        bad = [path.name for path in self.parts.iterdir() if path.name not in known]
        bad += [name for name, entry in known.items() if not _whole(self.parts / name, entry)]
        aside = self.run_dir / CORRUPT
        for name in bad:
            if (self.parts / name).exists():
                aside.mkdir(exist_ok=True)
                (self.parts / name).replace(aside / name)
        if bad:
            self._enter({name: entry for name, entry in known.items() if name not in bad})
        return sorted(set(bad) & set(known))

    def _done(self) -> set[int]:
        done: set[int] = set()
        for name in self.manifest["parts"]:
            column = pq.read_table(self.parts / name, columns=["trial_id"])
            done.update(column["trial_id"].to_pylist())
        return done


class Table:
    """Rows of a run directory; get one from `open`."""

    def __init__(self, run_dir: Path) -> None:
        """Reads the manifest only."""
        self.run_dir = Path(run_dir)
        path = self.run_dir / MANIFEST
        if not path.exists():
            raise InputError(f"{run_dir} holds no {MANIFEST}; give the directory of a run.")
        self.manifest = _read_manifest(path)
        self._files = [self.run_dir / PARTS / name for name in self.manifest["parts"]]

    def __len__(self) -> int:
        """Rows."""
        return sum(entry["rows"] for entry in self.manifest["parts"].values())

    def to_pandas(self, columns: Sequence[str] | None = None, filters: Any = None) -> Any:
        """A pandas.DataFrame, sorted by trial_id.

        Args:
            columns: which; None for all.
            filters: as pyarrow takes them, e.g. [("psnr_db", ">", 30)].

        Raises:
            InputError: if nothing is finished yet, or a part cannot be read as it was written.
        """
        if not self._files:
            raise InputError(f"{self.run_dir} holds no finished networks yet.")
        names = None if columns is None else list(dict.fromkeys(["trial_id", *columns]))
        try:
            table = pq.read_table(self._files, columns=names, filters=filters).sort_by("trial_id")
        except (pa.ArrowInvalid, OSError):
            self._refuse_damage()
            raise
        frame = table.to_pandas()
        return frame if columns is None else frame[list(columns)]

    def weights(self, row: Any) -> tuple[dict[str, np.ndarray], ...]:
        """Layers `{"weight": [out, in], "bias": [out]}` of a row, or of a trial_id."""
        values = self._row(int(row)) if isinstance(row, int | np.integer) else row
        network = self.manifest["network"]
        sizes = [network["inputs"], *[int(values["layer_size"])] * int(values["num_layers"])]
        return unflatten(np.asarray(values["weights"], np.float32), [*sizes, network["outputs"]])

    def _refuse_damage(self) -> None:
        for name, entry in self.manifest["parts"].items():
            path = self.run_dir / PARTS / name
            if not _whole(path, entry):
                raise InputError(
                    f"{path}: damaged or missing; repeat the command of the run, which fits its "
                    "networks again."
                ) from None

    def _row(self, trial_id: int) -> Any:
        columns = ["layer_size", "num_layers", "weights"]
        frame = self.to_pandas(columns, [("trial_id", "==", trial_id)])
        if frame.empty:
            raise InputError(f"{self.run_dir} has no row with trial_id {trial_id}.")
        return frame.iloc[0]


def open(run_dir: str | Path) -> Table:
    """The table of a run directory.

    Raises:
        InputError: if it is none.
    """
    return Table(Path(run_dir))


def flatten(layers: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """[P] float32: layer by layer, weight [out, in] row by row, then bias."""
    return np.concatenate(
        [np.ravel(layer[name]) for layer in layers for name in ("weight", "bias")]
    ).astype(np.float32)


def unflatten(flat: np.ndarray, sizes: Sequence[int]) -> tuple[dict[str, np.ndarray], ...]:
    """The inverse of `flatten` for a network with these layer sizes, inputs first.

    Raises:
        ValueError: if the number of parameters is another.
    """
    expected = sum(out * (fan_in + 1) for fan_in, out in zip(sizes, sizes[1:], strict=False))
    if flat.shape != (expected,):
        raise ValueError(f"layer sizes {list(sizes)} need {expected} weights; got {flat.shape}.")
    layers, start = [], 0
    for fan_in, out in zip(sizes, sizes[1:], strict=False):
        end = start + out * fan_in
        layers.append(
            {"weight": flat[start:end].reshape(out, fan_in), "bias": flat[end : end + out]}
        )
        start = end + out
    return tuple(layers)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Gives `path` to an OSError that names no file, as when a full disk is found on writing."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def write_atomically(path: Path, data: bytes) -> None:
    """Replaces a file so that readers see the old or the new, also after a power cut.

    Raises:
        OSError: naming the file; the old one stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from error
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def environment() -> dict[str, Any]:
    """Versions, device and git commit of this process."""
    import jax

    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    devices = jax.local_devices()
    return {
        "versions": {"python": platform.python_version(), **found},
        "device": f"{len(devices)} x {devices[0].device_kind} ({platform.machine()})",
        "git_commit": _git_commit(),
    }


def _git_commit() -> str:
    """Commit of the checkout that this file lies in, with + where it was changed; else ''."""
    here = Path(__file__).parent

    def git(*args: str) -> str:
        answer = subprocess.run(
            ["git", "-C", str(here), *args], capture_output=True, text=True, check=False
        )
        return answer.stdout.strip() if answer.returncode == 0 else ""

    try:
        commit = git("rev-parse", "--short=12", "HEAD")
        return commit + ("+" if commit and git("status", "--porcelain", "-uno") else "")
    except OSError:
        return ""


def _claim(run_dir: Path) -> None:
    """Makes the directory, or refuses one that holds something else."""
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--run_dir={run_dir}: {error.strerror}; give another folder.") from None
    if not os.access(run_dir, os.W_OK):
        raise InputError(f"--run_dir={run_dir}: not writable; give another folder.")
    others = [p.name for p in run_dir.iterdir() if p.name != "flags.txt" and p.name[0] != "."]
    if others and not (run_dir / MANIFEST).exists():
        raise InputError(
            f"--run_dir={run_dir}: not empty ({sorted(others)[0]}) and no run; give another folder."
        )


def _locked(run_dir: Path) -> int:
    handle = os.open(run_dir / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise InputError(
            f"--run_dir={run_dir}: another process is writing to it; wait, or give another folder."
        ) from None
    return handle


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text())
        version = manifest["format"]
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f"{path}: damaged, or not of a run; put it back, or give another folder."
        ) from None
    if version != FORMAT:
        raise InputError(f"{path}: format {version}, this version reads {FORMAT}.")
    return manifest


def _refuse_difference(run_dir: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    new = json.loads(json.dumps(new))
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    if names:
        differences = ", ".join(_difference(name, old, new) for name in names)
        advice = "give another --run_dir, or the flags in its flags.txt."
        if set(old) != set(new):
            advice = (
                "another version of this program began it, see git_commit in its "
                f"{MANIFEST}. Finish it with that one, or give another --run_dir."
            )
        raise InputError(f"--run_dir={run_dir} belongs to another plan ({differences}); {advice}")


def _difference(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    if name not in old:
        return f"{name} is new, {_short(new[name])}"
    if name not in new:
        return f"{name} is gone, was {_short(old[name])}"
    return f"{name} was {_short(old[name])} is {_short(new[name])}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _whole(path: Path, entry: Mapping[str, Any]) -> bool:
    return path.is_file() and _digest(path.read_bytes()) == entry["sha256"]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
