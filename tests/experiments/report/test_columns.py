"""The glossary of columns: complete, in the files, and in docs."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments.report import columns
from experiments.siren import jobs as siren_jobs
from experiments.zoo import evaluate as zoo_evaluate
from experiments.zoo import run as zoo_run
from jaxsr.datasets import picture_sets

DOCS = Path(__file__).parents[3] / "docs" / "columns.md"


def test_docs_are_made_of_the_glossary():
    assert (
        DOCS.read_text() == columns.markdown()
    )  # python -m experiments.report.columns > docs/columns.md


@pytest.mark.parametrize(
    ("table", "names"),
    [
        ("siren", siren_jobs.schema().names),
        ("zoo", zoo_run.schema().names),
        ("evaluation", zoo_evaluate.COLUMNS),
        ("pictures", picture_sets.COLUMNS),
    ],
)
def test_every_column_is_explained_and_in_its_order(table, names):
    assert list(columns.TABLES[table][1]) == list(names)


def test_decibels_and_sizes_have_units():
    for _, known in columns.TABLES.values():
        for name, (unit, meaning) in known.items():
            assert meaning
            if name.endswith(("_db", "psnr_history")):
                assert unit == "dB"
            if name.endswith(("_bpp", "_per_pixel")):
                assert unit == "bits per pixel"


def test_parquet_fields_say_what_they_are(tmp_path):
    frame = pd.DataFrame({"image_id": ["a"], "bits_per_pixel": [0.5], "psnr_db": [float("inf")]})
    (tmp_path / "it.parquet").write_bytes(columns.parquet(frame, "coin_rates"))
    field = pq.read_schema(tmp_path / "it.parquet").field("bits_per_pixel")
    assert field.metadata[b"unit"] == b"bits per pixel"
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "it.parquet"), frame)
    assert b"8 bits" in siren_jobs.schema().field("psnr_8bit_db").metadata[b"description"]
    with pytest.raises(KeyError, match="unheard"):
        columns.with_descriptions(pa.schema([("unheard", pa.string())]), "siren")
