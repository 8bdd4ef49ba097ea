"""Encode photographs at several sizes, and measure what each file costs and keeps.

Every file's row is kept as soon as it is made, and what is in flight every ten seconds or so: a run
that was killed goes on where it was when the same command is given again.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from experiments.coin.kodak import reduced
from experiments.rate_distortion import report
from experiments.rate_distortion.config import RateDistortionConfig
from jaxfleet import rundir, storage
from jaxfleet.imaging import codecs
from jaxfleet.imaging import photos as sources
from jaxfleet.imaging.photos import Photo
from jaxfleet.progress import Progress
from jaxfleet.results.showing import counted
from jaxfleet.resumable import Resumable
from jaxinr.codec import api as codec
from jaxinr.codec import stages

KIND = "rate_distortion"
OTHERS = (codecs.JPEG, codecs.WEBP, codecs.AVIF)


def run(config: RateDistortionConfig, run_dir: Path) -> str:
    """Encode what is not encoded yet, then write the page.

    Returns:
        The table of means, and where the page is; of a dry run, the number of files.

    Raises:
        InputError: for photographs and directories that cannot be used.
        OSError: if the disk is full.
    """
    photographs = sources.load(config.photos, image_size=0, max_images=config.max_images)
    photographs = [reduced(photo, config.reduce) for photo in photographs]
    files = len(photographs) * len(config.bits_per_pixel)
    if config.dry_run:
        rundir.check(run_dir, KIND)
        pixels = sum(photo.pixels[..., 0].size for photo in photographs)
        counts = f"{counted(files, 'file')} of {counted(len(photographs), 'photograph')}"
        return f"{counts}, {pixels / 1e6:.1f} megapixels"
    with rundir.held(run_dir, KIND):
        rundir.unfinish(run_dir)
        rows = pd.concat([encode(config, run_dir, photographs), measure(run_dir, photographs)])
        rundir.write_table(run_dir / "files.parquet", rows)
        page, text = report.write(run_dir, config, photographs, rows)
        storage.remove_folder(run_dir / "checkpoints")
        rundir.finish(run_dir)
    return f"{text}\nLook at {page}"


def encode(
    config: RateDistortionConfig, run_dir: Path, photographs: Sequence[Photo]
) -> pd.DataFrame:
    """Return a row for each photograph and size: the file's true size, PSNR and time."""
    wanted = [(photo, size) for photo in photographs for size in config.bits_per_pixel]
    inputs = [
        rundir.digest(
            rundir.checksum(photo.pixels.tobytes()),
            [size, config.num_iters, config.refine_iters],
            [stages.STAGES, codec.REFINE_RATE, codec.WEIGHT_BITS, codec.W0_INITIALS],
        )
        for photo, size in wanted
    ]
    parts = rundir.Parts((run_dir / "parts" / f"{one}.parquet", one) for one in inputs)
    missing = len(parts.missing)
    with Progress(
        len(wanted), missing, fits_done=len(wanted) - missing, unit="files", work="files"
    ) as display:
        for number in parts.missing:
            folder = run_dir / "checkpoints" / inputs[number]
            kept = Resumable(folder, note=display.note, within=display)
            rows = _coded(config, *wanted[number], kept)
            parts.write(number, rows)
            kept.clear()
            display.update(1.0, psnr_db=rows["psnr_db"].tolist())
    return parts.rows().drop(columns=rundir.MADE_FROM)


def _coded(
    config: RateDistortionConfig, photo: Photo, size: float, kept: Resumable
) -> pd.DataFrame:
    coded = codec.compress(
        photo.pixels,
        bits_per_pixel=size,
        num_iters=config.num_iters,
        refine_iters=config.refine_iters,
        kept=kept,
    )
    row = {
        "image_id": photo.image_id,
        "codec": report.OURS,
        "wanted_bpp": size,
        "bits_per_pixel": 8.0 * len(coded.data) / photo.pixels[..., 0].size,
        "psnr_db": coded.psnr_db,
        "float_psnr_db": coded.float_psnr_db,
        "seconds": kept.seconds,
    }
    return pd.DataFrame([row])


def measure(run_dir: Path, photographs: Sequence[Photo]) -> pd.DataFrame:
    """Return the rows of the other codecs' files that no other file of theirs beats."""
    available = [other for other in OTHERS if other.available]
    names = [other.name for other in available]
    inputs = [rundir.digest(rundir.checksum(one.pixels.tobytes()), names) for one in photographs]
    parts = rundir.Parts((run_dir / "parts" / f"{one}.parquet", one) for one in inputs)
    for number in parts.missing:
        photo, rows = photographs[number], []
        for other in available:
            sizes, psnr_db = codecs.rate_distortion(photo.pixels, other)
            columns = {"bits_per_pixel": sizes, "psnr_db": psnr_db}
            rows.append(pd.DataFrame({**columns, "image_id": photo.image_id, "codec": other.name}))
        parts.write(number, pd.concat(rows))
    return parts.rows().drop(columns=rundir.MADE_FROM)
