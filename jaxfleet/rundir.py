"""What a run directory is, for every script that leaves one.

    with rundir.held(run_dir, "sr_parsing", {"crop_px": 224}):     # lock, then claim
        rundir.unfinish(run_dir)
        parts = rundir.Parts([(path, rundir.digest("kernel", 224, checksums)), ...])
        for number in parts.missing:                               # not yet made of these inputs
            parts.write(number, rows)
        rundir.finish(run_dir)

`manifest.json` holds the format, the kind of the run, its plan (the facts that every result depends
on) with its hash, and the versions, device and commit that began it. `DONE` is there while the run
is complete. A result that depends on more than the plan carries a hash of its inputs and is made
again when they change, so that flags which change nothing that is there never make a directory
refuse its owner.
"""

import contextlib
import hashlib
import importlib.metadata
import io
import json
import platform
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from jaxfleet import storage
from jaxfleet.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

MANIFEST, DONE, FLAGS, LOCK = "manifest.json", "DONE", "flags.txt", ".lock"
FORMAT = 2
TABLE = "table"  # the kind of a run that leaves a table of networks (`jaxfleet.results.store`)
MADE_FROM = "made_from"  # column of cached rows: the digest of their inputs
_FLAG = "--run_dir"
_PACKAGES = ("jax", "jaxlib", "numpy", "optax", "flax", "orbax-checkpoint", "pyarrow")


@contextlib.contextmanager
def held(
    run_dir: Path,
    kind: str,
    plan: Mapping[str, Any] | None = None,
    *,
    free: Collection[str] = (),
    extra: Mapping[str, Any] | None = None,
    suffix: str = "",
) -> Iterator[dict[str, Any]]:
    """Lock a run directory, then claim it; yield its manifest.

    The directory is made if it is absent. Nothing in it is changed before the lock is taken, nor
    if the claim is refused. A claim that is new is withdrawn where an error ends the work before it
    has left a file, so that a corrected command is not refused.

    Args:
        run_dir: of the run, local or in an object store (which has no locks).
        kind: what runs of one script have in common, such as the name of the script.
        plan: JSON-able facts that every result depends on.
        free: names of facts in the plan that may change; the latest are kept.
        extra: other entries of a new manifest.
        suffix: of the lock's name, where several processes share the directory.

    Raises:
        InputError: if the directory cannot be made, holds something else, a run of another kind or
            plan, or a damaged manifest.
        InUseError: if another process holds it.
    """
    storage.make_folder(run_dir, _FLAG)
    _refuse_foreign(run_dir)  # before a lock is left in it
    with storage.locked(run_dir, f"{LOCK}{suffix}", _FLAG):
        is_new = not (run_dir / MANIFEST).exists()
        manifest = _claim(run_dir, kind, _as_json(plan or {}), free, extra or {})
        try:
            yield manifest
        except BaseException:
            if is_new and not suffix:  # other shards may have joined
                _withdraw(run_dir)
            raise


def check(
    run_dir: Path,
    kind: str,
    plan: Mapping[str, Any] | None = None,
    *,
    free: Collection[str] = (),
) -> None:
    """Refuse, before a dry run, the directories that `held` would refuse; change nothing.

    A directory that another process holds is not refused. Arguments as of `held`, but a plan that
    is None is not compared.

    Raises:
        InputError: as `held`.
    """
    storage.check_folder(run_dir, _FLAG)
    _refuse_foreign(run_dir)
    if (run_dir / MANIFEST).exists():
        _read_own(run_dir, kind, None if plan is None else _as_json(plan), free)


def read(run_dir: Path) -> dict[str, Any]:
    """Return the manifest of a run directory; one without a kind is of kind `TABLE`.

    Raises:
        InputError: if there is none, or it is damaged or of another version.
    """
    path = run_dir / MANIFEST
    if not path.exists():
        raise InputError(f"{run_dir} holds no {MANIFEST}; give the directory of a run.")
    try:
        manifest = json.loads(path.read_text())
        version = manifest["format"]
        kind = manifest.setdefault("kind", TABLE)
        _ = manifest["plan"], kind
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError(
            f"{path}: damaged, or not of a run; put it back, or give another folder."
        ) from None
    if version != FORMAT:
        raise InputError(f"{path}: format {version}, this version reads {FORMAT}.")
    return dict(manifest)


def read_of(run_dir: Path, kind: str, flag: str = _FLAG) -> dict[str, Any]:
    """Return the manifest of a run of one kind.

    Raises:
        InputError: naming the flag if the directory holds none or a run of another kind, or as
            `read`.
    """
    if not (run_dir / MANIFEST).exists():
        raise InputError(f"{flag}={run_dir} holds no run of launch/{kind}.py.")
    manifest = read(run_dir)
    if manifest["kind"] != kind:
        raise InputError(
            f"{flag}={run_dir} holds a run of kind {manifest['kind']}; give one of "
            f"launch/{kind}.py."
        )
    return manifest


def provenance(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return on what, and by which version, a run was begun: for the settings of a report."""
    return {name: manifest[name] for name in ("device", "git_commit", "versions")}


def finish(run_dir: Path) -> None:
    """Mark a run as complete."""
    storage.write_atomically(run_dir / DONE, b"")


def unfinish(run_dir: Path) -> None:
    """Mark a run as incomplete, before anything in it changes."""
    (run_dir / DONE).unlink(missing_ok=True)


def is_finished(run_dir: Path) -> bool:
    """Return whether a run is complete."""
    return (run_dir / DONE).exists()


# ---------------------------------------------------------------------- results by their inputs


def checksum(data: bytes) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of bytes."""
    return hashlib.sha256(data).hexdigest()[:16]


def digest(*inputs: Any) -> str:
    """Return the checksum of anything that JSON can hold."""
    return checksum(json.dumps(inputs).encode())


class Parts:
    """Tables that a run is made of, each in a file of its own, with the digest of its inputs.

    Attributes:
        missing: numbers of the tables that were absent at first, damaged or made of other inputs.
    """

    def __init__(self, files: Iterable[tuple[Path, str]]) -> None:
        """Read the tables that are there; `files` are paths and digests of inputs."""
        self._files = list(files)
        self._tables = [_read_part(*one) for one in self._files]
        self.missing = [i for i, table in enumerate(self._tables) if table is None]

    def __len__(self) -> int:
        """Return how many tables there are to be."""
        return len(self._files)

    def write(self, number: int, rows: "pd.DataFrame") -> None:
        """Write a table with the digest of its inputs in a column `MADE_FROM`.

        Raises:
            OSError: naming the file; the old one stays.
        """
        path, inputs = self._files[number]
        storage.make_folder(path.parent, _FLAG)
        self._tables[number] = rows.assign(**{MADE_FROM: inputs})
        write_table(path, self._tables[number])

    def rows(self) -> "pd.DataFrame":
        """Return the rows of all tables, once none is missing."""
        import pandas as pd  # late: training starts without it

        return pd.concat(self._tables, ignore_index=True)


def _read_part(path: Path, inputs: str) -> "pd.DataFrame | None":
    """Return the rows of a part; None if it is absent, damaged or of other inputs."""
    try:
        rows = pq.read_table(io.BytesIO(path.read_bytes())).to_pandas()
        whole = len(rows) > 0 and (rows[MADE_FROM] == inputs).all()
    except (OSError, ValueError, KeyError):
        return None
    return rows if whole else None


def write_table(path: Path, rows: "pd.DataFrame") -> None:
    """Write a Parquet file; readers see the old file or the new.

    Raises:
        OSError: naming the file; the old one stays.
    """
    storage.write_atomically(path, rows.to_parquet(index=False, compression="zstd"))


def write_csv(path: Path, rows: "pd.DataFrame") -> None:
    """Write a table as text, without its index; readers see the old file or the new.

    Raises:
        OSError: naming the file; the old one stays.
    """
    storage.write_atomically(path, rows.to_csv(index=False).encode())


def write_json(path: Path, content: Any) -> None:
    """Write JSON; readers see the old file or the new.

    Raises:
        OSError: naming the file; the old one stays.
    """
    storage.write_atomically(path, json.dumps(content, indent=1).encode())


# ------------------------------------------------------------------------------------- the claim


def environment() -> dict[str, Any]:
    """Return the versions, the device and the git commit of this process."""
    import jax

    found = {}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    devices = jax.local_devices()
    return {
        "versions": {"python": platform.python_version(), **found},
        "device": f"{len(devices)} x {devices[0].device_kind} ({platform.machine()})",
        "git_commit": _git_commit(),
    }


def _claim(
    run_dir: Path,
    kind: str,
    plan: dict[str, Any],
    free: Collection[str],
    extra: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the manifest of a run of this kind and plan; write it if it is missing."""
    path = run_dir / MANIFEST
    if path.exists():
        manifest = _read_own(run_dir, kind, plan, free)
        if manifest["plan"] == plan:
            return manifest
        manifest["plan"] = plan
    else:
        manifest = {"format": FORMAT, "kind": kind, "plan_hash": _hash(plan), "plan": plan}
        manifest |= {**extra, **environment()}
    write_json(path, manifest)
    return manifest


def _withdraw(run_dir: Path) -> None:
    """Remove the manifest, and empty folders, of a run that has left no file."""
    own = {MANIFEST, FLAGS, LOCK}
    others = [name for name in storage.names(run_dir, hidden=True) if name not in own]
    if not any(_holds_a_file(run_dir / name) for name in others):
        for name in others:
            storage.remove_folder(run_dir / name)
        for name in (MANIFEST, LOCK):  # without a lock the next command may leave its own flags
            (run_dir / name).unlink(missing_ok=True)


def _holds_a_file(path: Path) -> bool:
    """Return whether a path is a file, or a folder with one somewhere in it."""
    inside = (path / name for name in storage.names(path, hidden=True)) if path.is_dir() else ()
    return not path.is_dir() or any(map(_holds_a_file, inside))


def _read_own(
    run_dir: Path, kind: str, plan: Mapping[str, Any] | None, free: Collection[str]
) -> dict[str, Any]:
    """Return the manifest of a run of this kind and plan; refuse that of another."""
    manifest = read(run_dir)
    if manifest["kind"] != kind:
        raise InputError(
            f"{_FLAG}={run_dir} holds a run of kind {manifest['kind']}, not {kind}; give "
            "another folder."
        )
    if plan is not None:
        _refuse_difference(run_dir, manifest["plan"], plan, free)
    return manifest


def _as_json(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plan as a manifest will hold it: a tuple is a list."""
    return dict(json.loads(json.dumps(dict(plan))))


def _hash(plan: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


def _refuse_foreign(run_dir: Path) -> None:
    """Refuse a directory that holds something, but no run."""
    others = [name for name in storage.names(run_dir) if name != FLAGS]
    if others and MANIFEST not in others:
        raise InputError(
            f"{_FLAG}={run_dir}: not empty ({others[0]}) and no run; give another folder."
        )


def _refuse_difference(
    run_dir: Path, old: Mapping[str, Any], new: Mapping[str, Any], free: Collection[str]
) -> None:
    names = [name for name in {**old, **new} if old.get(name) != new.get(name) and name not in free]
    if names:
        differences = ", ".join(_difference(name, old, new) for name in names)
        advice = "give another --run_dir, or the flags in its flags.txt."
        if set(old) - set(free) != set(new) - set(free):
            advice = (
                "give another --run_dir, or the flags in its flags.txt, to the version of this "
                f"program that began it: git_commit in its {MANIFEST}."
            )
        raise InputError(f"{_FLAG}={run_dir} belongs to another plan ({differences}); {advice}")


def _difference(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    if name not in old:
        return f"{name} is new, {_short(new[name])}"
    if name not in new:
        return f"{name} is gone, was {_short(old[name])}"
    return f"{name} was {_short(old[name])} is {_short(new[name])}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


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
