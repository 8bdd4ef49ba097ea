"""States of files that Pillow makes: what a file says of itself, and what its pixels say."""

import io

import numpy as np
import pytest
import skimage.data
from PIL import Image

from jaxsr.gallery import state as states
from jaxsr.gallery.state import State


@pytest.fixture(scope="module")
def photograph():
    return skimage.data.astronaut()[:320, :384]


def saved(pixels, kind, **settings):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **settings)
    data = buffer.getvalue()
    return data, np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("quality", [50, 75, 90, 98])
@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
def test_a_jpeg_says_its_quality_and_how_colours_are_sampled(photograph, quality, subsampling):
    data, pixels = saved(photograph, "JPEG", quality=quality, subsampling=subsampling)
    assert states.of_file(data, pixels) == State("jpeg", quality, subsampling)


def test_tables_between_two_qualities_are_of_the_nearer(photograph):
    data, _ = saved(photograph, "JPEG", quality=80)
    table = np.array(Image.open(io.BytesIO(data)).quantization[0])
    assert states.quality_of({0: (table + (np.arange(64) == 9)).tolist()}) == 80


@pytest.mark.parametrize("quality", [60, 75, 90])
@pytest.mark.parametrize("cut", [(0, 0), (3, 5)])
def test_a_png_that_was_a_jpeg_says_so_by_its_pixels(photograph, quality, cut):
    _, pixels = saved(photograph, "JPEG", quality=quality)
    pixels = pixels[cut[0] :, cut[1] :]
    data, pixels = saved(pixels, "PNG")
    found = states.of_file(data, pixels)
    assert (found.compression, found.source, found.subsampling) == ("jpeg", "pixels", None)
    assert abs(found.quality - quality) <= 1
    assert found.grid == tuple(-k % 8 for k in cut)


def test_what_was_never_compressed_shows_no_loss(photograph):
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    small = np.asarray(Image.fromarray(photograph).resize((192, 160)))
    for pixels in (photograph, small, noise, noise[:40]):
        assert states.of_file(*saved(pixels, "PNG")) == State()
    flat = State(is_grey=True, is_drawn=True)
    assert states.of_file(*saved(np.full((64, 64, 3), 7, np.uint8), "PNG")) == flat


def test_a_webp_has_loss_unless_it_is_told_not_to(photograph):
    assert states.of_file(*saved(photograph, "WEBP", quality=80)) == State("webp")
    assert states.of_file(*saved(photograph, "WEBP", lossless=True)) == State()


def test_a_grey_file_says_so(photograph):
    grey = np.asarray(Image.fromarray(photograph).convert("L"))
    data, pixels = saved(grey, "JPEG", quality=90)
    assert states.of_file(data, pixels) == State("jpeg", 90, is_grey=True)
    assert states.of_file(*saved(grey, "PNG")) == State(is_grey=True)
    assert str(State(is_grey=True)).endswith("; grey, so told by luma alone")


def test_a_chart_is_drawn_and_has_no_kind_of_state(photograph):
    chart = np.full((200, 300, 3), 250, np.uint8)
    chart[20:180:40] = 40
    chart[64:112, 100:148] = photograph[:48, :48]
    for name, settings in (("PNG", {}), ("JPEG", {"quality": 90})):
        found = states.of_file(*saved(chart, name, **settings))
        assert found.is_drawn
        assert states.kind_of(found) == ""
        assert "drawn" in str(found)
    half = photograph.copy()
    half[: len(half) // 2] = 255  # as a sky that is white
    assert not states.of_file(*saved(half, "PNG")).is_drawn


def test_a_file_that_pillow_alone_takes_for_a_bomb_has_a_state(photograph, monkeypatch):
    buffer = io.BytesIO()
    Image.fromarray(photograph).save(buffer, "JPEG", quality=90)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", photograph.shape[0] * photograph.shape[1] // 3)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(buffer.getvalue()))
    assert states.of_file(buffer.getvalue(), photograph).quality == 90


def test_states_in_words():
    assert str(State()) == "no loss by compression found"
    assert str(State("jpeg", 90, "4:2:0")) == "JPEG of quality 90, 4:2:0"
    cut = State("jpeg", 75, None, "pixels", (5, 3))
    assert str(cut) == "JPEG of quality 75, kept without loss since, cut afterwards"
    assert cut.to_json()["grid"] == [5, 3]
