"""What a run of SIREN fits leaves to look at: `report.html`, and its figures as files.

Averages leave diverged fits out, and a mean PSNR is the mean of decibels over the fits that are not
exact (`jaxfleet.imaging.decibels`); tiles and tables say which are.
"""

import html
import numbers
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from experiments.report import figures, page
from experiments.siren import drawings
from experiments.siren.drawings import MAX_PHOTOS, architecture, spread
from jaxfleet import storage
from jaxfleet.imaging import decibels
from jaxfleet.imaging.pixels import to_uint8

MAX_SIZES = 5
ERROR_GAIN = 4

NOT_AT_HAND = (
    "<p>The photographs are not at hand, so pictures and the curve of JPEG are left out. "
    "<code>launch/report.py --run_dir=... --photos=...</code> makes this page again with those "
    "that it finds.</p>"
)

Render = Callable[[pd.Series], np.ndarray]


def write_report(
    run_dir: pathlib.Path,
    table: pd.DataFrame,
    photos: Mapping[str, np.ndarray],
    render: Render,
    *,
    title: str,
    settings: Mapping[str, object],
    progress: Sequence[Mapping[str, float]],
    no_pictures: str = NOT_AT_HAND,
) -> pathlib.Path:
    """Write `report.html` and `figures/*.png` of a run; leave out sections without content.

    Args:
        run_dir: folder of the run; made if absent.
        table: one row per fit, with the columns of the store. `psnr_8bit_db` and the PSNR of a
            diverged fit may be NaN, and the histories of some or all rows None.
        photos: image_id -> [H, W, 3] uint8; photographs that are absent get no pictures, and where
            all are the page says so.
        render: row -> [H, W, 3] float, the picture that the kept weights make; called for a
            dozen rows at most.
        title: the question the run answers, or its name.
        settings: name -> value, shown as given. Of these `device`, `wall_seconds` and
            `pixel_steps` head the page; the last two are estimated where absent.
        progress: records of wall `seconds`, `fits` and `pixel_steps` so far; a resumed run may
            count its seconds from zero again.
        no_pictures: what stands in their place where there are none.

    Returns:
        Path of the page.
    """
    folder = page.figures_folder(run_dir)
    table = table.reset_index(drop=True)
    fitted = table[(table["status"] != "diverged") & table["best_psnr_db"].notna()]
    best = _best(fitted, "image_id").sort_values("best_psnr_db")
    shown = spread(best[best["image_id"].isin(list(photos))], MAX_PHOTOS)
    sampled = list((shown if len(shown) else spread(best, MAX_PHOTOS))["image_id"])
    kinds = {"kind": ("network", "{}")} if _has_kinds(table) else {}
    pictures = _pictures(folder, shown, photos, render)
    sections = {
        "Photographs and their best networks": pictures or (no_pictures if len(best) else ""),
        "One photograph, small to large networks": _sizes(folder, fitted, shown, photos, render),
        "Measurements": _exact(fitted)
        + page.plots(run_dir, drawings.make(fitted, sampled, photos, progress)),
        "Networks that no smaller one matches": _pareto_table(fitted, sampled, kinds),
        "Diverged fits": page.table(
            table[table["status"] == "diverged"], page.DIVERGED_COLUMNS | kinds, leading=2
        ),
        "Settings": page.definitions(settings),
        "The table behind this page": page.READING,
    }
    return page.write(run_dir, title, headline(table, fitted, settings, progress), sections)


def headline(
    table: pd.DataFrame,
    fitted: pd.DataFrame,
    settings: Mapping[str, object],
    progress: Sequence[Mapping[str, float]],
) -> dict[str, str]:
    """Return the figures at the top of the page: name -> value with its unit."""
    # A resumed run may know only its last stretch from either source, hence the larger of the two.
    wall_s = max(_number(settings, "wall_seconds"), figures.rates(progress)[0].max(initial=0.0))
    pixel_steps = max(_number(settings, "pixel_steps"), float(_pixel_steps(table).sum()))
    diverged = int((table["status"] == "diverged").sum())
    tiles = {
        "networks fitted": f"{len(table):,}" + (f" ({diverged:,} diverged)" if diverged else ""),
        "photographs": f"{table['image_id'].nunique():,}",
    }
    if len(fitted):
        tiles["mean PSNR"] = str(decibels.mean(fitted["best_psnr_db"]))
        tiles["best PSNR"] = decibels.text(fitted["best_psnr_db"].max())
    if wall_s > 0:
        tiles["fits per second"] = f"{len(table) / wall_s:.3g}"
        tiles["pixel-steps per second"] = page.si(pixel_steps / wall_s)
        tiles["wall time"] = page.duration(wall_s)
    if "device" in settings:
        tiles["device"] = str(settings["device"])
    return tiles


def _pareto(fits: pd.DataFrame) -> pd.DataFrame:
    """Return the fits of a photograph that none of at most their size equals or beats, by size."""
    rows = fits.sort_values(["hp_bpp", "best_psnr_db"], ascending=[True, False])
    before = rows["best_psnr_db"].cummax().shift()
    return rows[before.isna() | (rows["best_psnr_db"] > before)]


def _pareto_table(
    fitted: pd.DataFrame, sampled: Sequence[str], kinds: Mapping[str, tuple[str, str]]
) -> str:
    """Return the Pareto set of each sampled photograph, with what the rows are."""
    sets = [_pareto(fitted[fitted["image_id"] == name]) for name in sampled]
    if not sets:
        return ""
    said = (
        "<p>Of each photograph above, every network that is better than all of at most its size. "
        "The largest is the best where more weights always help; how much each step buys is what "
        "the rows show.</p>"
    )
    return said + page.table(pd.concat(sets), page.BEST_COLUMNS | dict(kinds))


def _has_kinds(table: pd.DataFrame) -> bool:
    """Return whether there are other networks than SIRENs."""
    return "network" in table and bool((table["network"].dropna() != "siren").any())


def _best(fitted: pd.DataFrame, by: str) -> pd.DataFrame:
    """Return the row of highest PSNR for each value of a column."""
    return fitted.loc[fitted.groupby(by)["best_psnr_db"].idxmax()]


def _pixel_steps(table: pd.DataFrame) -> pd.Series:
    """Return pixels times iterations of each fit, up to its last record."""
    last = table["iteration_history"].map(lambda steps: max(steps, default=0), na_action="ignore")
    run = table["num_iters"].where(table["status"] == "done", last.astype(float))
    run = run.fillna(table["best_iteration"])
    return table["image_height"] * table["image_width"] * run


# ------------------------------------------------------------------------------------- pictures


def _pictures(
    folder: pathlib.Path, shown: pd.DataFrame, photos: Mapping[str, np.ndarray], render: Render
) -> str:
    """Return original, reconstruction and error of the best network of each shown photograph."""
    parts = []
    for number, (_, row) in enumerate(shown.iterrows(), 1):
        photo = photos[row["image_id"]]
        decoded = render(row)
        error = ERROR_GAIN * np.abs(decoded - photo / 255.0)
        labelled = {
            "original": page.small(photo),
            "reconstruction": page.small(to_uint8(decoded)),
            f"error × {ERROR_GAIN}": page.small(to_uint8(error)),
        }
        storage.write_atomically(
            folder / f"pictures_{number}_{page.slug(row['image_id'])}.png", page.strip(labelled)
        )
        cells = "".join(page.cell(image, label, label) for label, image in labelled.items())
        size = f"{row['image_width']} × {row['image_height']} px"
        parts.append(
            f"<article><p><strong>{html.escape(row['image_id'])}</strong> <span>{size}</span>"
            f'{_facts(row)}</p><div class="grid">{cells}</div></article>'
        )
    return "".join(parts)


def _sizes(
    folder: pathlib.Path,
    fitted: pd.DataFrame,
    shown: pd.DataFrame,
    photos: Mapping[str, np.ndarray],
    render: Render,
) -> str:
    """Show one photograph as networks of increasing size store it, and the original."""
    sizes = fitted[fitted["image_id"].isin(shown["image_id"])].groupby("image_id")["hp_bpp"]
    if not len(shown) or sizes.nunique().max() < 2:
        return ""
    name = sizes.nunique().idxmax()
    ladder = spread(_pareto(fitted[fitted["image_id"] == name]), MAX_SIZES)
    labelled = {
        f"<strong>{row['hp_bpp']:.3g} bpp</strong>{_facts(row, bits=False)}": page.small(
            to_uint8(render(row))
        )
        for _, row in ladder.iterrows()
    }
    return page.sizes(folder, name, labelled, photos[name])


def _facts(row: pd.Series, *, bits: bool = True) -> str:
    """Return the architecture, size, PSNR and SSIM of a fit, as spans."""
    facts = [
        f"{architecture(row)}, ω₀ {row['w0_initial']:g}"
        if pd.notna(row["w0_initial"])
        else architecture(row),
        *([str(row["network"])] if row.get("network", "siren") != "siren" else []),
        *([f"{row['hp_bpp']:.3g} bpp"] if bits else []),
        decibels.text(row["best_psnr_db"]),
        *([f"SSIM {row['ssim']:.3f}"] if pd.notna(row["ssim"]) else []),
    ]
    return "".join(f" <span>{fact}</span>" for fact in facts)


def _exact(fitted: pd.DataFrame) -> str:
    """Return a line on the fits that the figures leave out, if there are any."""
    count = int(np.isposinf(fitted["best_psnr_db"]).sum())
    if not count:
        return ""
    return f"<p>{count:,} of {len(fitted):,} fits are exact, so the figures leave them out.</p>"


def _number(settings: Mapping[str, object], name: str) -> float:
    value = settings.get(name)
    return float(value) if isinstance(value, numbers.Real) else 0.0
