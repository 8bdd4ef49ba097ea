"""Picture files of all kinds, made here, and what becomes of each: the table of the docs."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from experiments.gallery import identify as gallery_identify
from experiments.siren import codec as siren_codec
from jaxfleet.errors import InputError
from jaxfleet.imaging import picture_files
from jaxfleet.imaging.picture_files import headers
from tests.launch.odd_cases import CASES
from tests.launch.odd_files import (
    DEEP,
    GREY,
    GREY_1_8,
    P3,
    RGB,
    encoded,
    exif,
    heic,
    png16,
)

pillow_heif = pytest.importorskip("pillow_heif")


@pytest.fixture
def file(tmp_path):
    """Writes bytes to `it.png`, whatever they are."""

    def write(data):
        (tmp_path / "it.png").write_bytes(data)
        return tmp_path / "it.png"

    return write


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_each_kind(case, file):
    path = file(case.data)
    if case.refused:
        for read in (picture_files.read, siren_codec.read_picture, gallery_identify.read_picture):
            with pytest.raises(InputError) as caught:
                read(path)
            assert str(caught.value) == f"'{path}' {case.refused}"
        return
    picture = picture_files.read(path)
    assert picture.notes == case.notes
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.shape == case.pixels.shape
    assert np.abs(picture.pixels - np.asarray(case.pixels, float)).max() <= case.within + 1e-9
    for read, why in (
        (siren_codec.read_picture, case.codec),
        (gallery_identify.read_picture, case.identify),
    ):
        if why:
            with pytest.raises(InputError, match="it.png") as caught:
                read(path)
            assert why in str(caught.value)
        else:
            assert read(path)[0].shape[:2] == case.pixels.shape[:2]


def test_the_table_of_the_docs(documented):
    rows = [
        (
            case.what,
            case.outcome,
            *(f"refused: {why.rstrip(';')}" if why else "" for why in (case.codec, case.identify)),
        )
        for case in CASES
    ]
    documented("Picture files", ("Picture", "Outcome", "`siren_codec`", "`sr_identify`"), rows)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations(orientation):
    turned = {
        1: RGB,
        2: RGB[:, ::-1],
        3: RGB[::-1, ::-1],
        4: RGB[::-1],
        5: RGB.transpose(1, 0, 2),
        6: np.rot90(RGB, -1),
        7: RGB[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(RGB),
    }[orientation]
    for data in (
        encoded(RGB, exif=exif(orientation)),
        encoded(RGB, "TIFF", exif=exif(orientation)),
    ):
        np.testing.assert_array_equal(picture_files.decode(data, "it").pixels, turned)


def test_identify_keeps_the_colours_that_the_network_wrote(file):
    pixels, note = gallery_identify.read_picture(file(encoded(RGB, icc_profile=P3)))
    np.testing.assert_array_equal(pixels, RGB)
    assert note == "colours of the ICC profile Display P3 left as they are"


def test_grey_stays_grey_in_the_codec(file):
    pixels, notes = siren_codec.read_picture(file(encoded(GREY, icc_profile=GREY_1_8)))
    assert pixels.ndim == 2
    assert len(notes) == 1
    assert "Grey of gamma 1.8 converted to sRGB" in notes[0]


def test_the_limit_is_ours_and_not_that_of_pillow(file, monkeypatch):
    large = png16(DEEP, 2, size=(10_000, 20_000))  # twice what Pillow lets pass
    header = picture_files.check(file(large))
    assert header.width * header.height == picture_files.MAX_PIXELS
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    np.testing.assert_array_equal(picture_files.decode(encoded(RGB), "it").pixels, RGB)
    assert Image.MAX_IMAGE_PIXELS == 10


def test_formats_that_need_a_package_are_named(file, monkeypatch):
    heic_data, avif_data = heic(RGB), encoded(RGB, "AVIF")
    monkeypatch.setattr(headers, "has_heif", lambda: False)
    with pytest.raises(InputError, match=r"is HEIC, which needs pillow-heif .pip install 'jaxf"):
        picture_files.read(file(heic_data))
    monkeypatch.setattr(features, "check", lambda feature: False)
    with pytest.raises(InputError, match="is AVIF, which needs a newer Pillow: pip install -U"):
        picture_files.read(file(avif_data))


def test_a_file_that_is_not_there(tmp_path):
    for path, why in ((tmp_path / "no.png", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(InputError, match=f"'{path}' cannot be read .{why}"):
            picture_files.read(path)
    with pytest.raises(InputError, match="cannot be read"):
        picture_files.read(Path("~nobody_here/x.png"))


def test_text_beside_the_pixels(file, tmp_path):
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("origin", "a network")
    path = file(encoded(RGB, pnginfo=info))
    assert picture_files.text_of(path, "origin") == "a network"
    assert picture_files.text_of(path, "other") == ""
    assert picture_files.text_of(tmp_path / "none.png", "origin") == ""
