"""Files that the codecs really write, against Pillow itself, scikit-image and published sizes."""

import dataclasses
import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile
from skimage.metrics import peak_signal_noise_ratio

from jaxfleet.imaging import codecs, photos

here = [codec for codec in codecs.CODECS if codec.available]
every = pytest.mark.parametrize("codec", here, ids=lambda codec: codec.name)


@pytest.fixture(scope="module")
def coffee():
    """A photograph of many colours, 200 x 300 pixels."""
    return photos.load("packaged", max_images=3)[2].pixels[::2, ::2]


def test_the_four_codecs_are_named():
    assert [codec.name for codec in codecs.CODECS] == ["JPEG", "JPEG 2000", "WebP", "AVIF"]
    assert codecs.JPEG in here


def test_noise_has_room_in_the_largest_files():
    """Pillow gives a JPEG with optimised tables a buffer that is too small for it."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    before = ImageFile.MAXBLOCK
    for setting in codecs.JPEG.settings[-2:]:
        assert codecs.decode(codecs.encode(noise, codecs.JPEG, setting)).shape == noise.shape
    assert ImageFile.MAXBLOCK == before


@every
def test_file_is_what_pillow_writes_and_opens(codec, coffee):
    setting = codec.settings[len(codec.settings) // 2]
    data = codecs.encode(coffee, codec, setting)
    buffer = io.BytesIO()
    Image.fromarray(coffee).save(buffer, codec.format, **setting)
    assert data == buffer.getvalue()  # a second encoding gives the same bytes
    assert Image.open(io.BytesIO(data)).format == codec.format
    decoded = codecs.decode(data)
    assert (decoded.dtype, decoded.shape) == (np.uint8, coffee.shape)


@every
def test_curve_rises_and_holds_the_best_file_of_every_size(codec, coffee):
    bits_per_pixel, psnr_db = codecs.rate_distortion(coffee, codec)
    assert (np.diff(bits_per_pixel) > 0).all()
    assert (np.diff(psnr_db) > 0).all()
    assert bits_per_pixel[0] < 0.35
    assert psnr_db[-1] > 35
    assert len(psnr_db) > 8
    for setting in codec.settings[::4]:
        data = codecs.encode(coffee, codec, setting)
        bits = 8 * len(data) / (200 * 300)
        psnr = peak_signal_noise_ratio(coffee, codecs.decode(data))
        best = psnr_db[bits_per_pixel <= bits * (1 + 1e-9)].max()
        assert best >= psnr - 1e-9
        if bits in bits_per_pixel:
            np.testing.assert_allclose(psnr_db[bits_per_pixel == bits], psnr)


def test_both_ways_of_keeping_colour_have_their_range(coffee):
    def curve(subsampling):
        settings = tuple(s for s in codecs.JPEG.settings if s["subsampling"] == subsampling)
        return codecs.rate_distortion(coffee, dataclasses.replace(codecs.JPEG, settings=settings))

    half, full = curve("4:2:0"), curve("4:4:4")
    assert np.interp(0.4, *half) > np.interp(0.4, *full)
    assert half[1][-1] + 5 < full[1][-1]
    both = codecs.rate_distortion(coffee, codecs.JPEG)
    assert both[0][0] == half[0][0]
    assert both[1][-1] == full[1][-1]


@pytest.mark.skipif(codecs.JPEG_2000 not in here, reason="this Pillow has no JPEG 2000")
@pytest.mark.parametrize("bits", [0.25, 1.0, 2.0])
def test_jpeg_2000_has_the_size_that_was_asked_for(coffee, bits):
    setting = {**codecs.JPEG_2000.settings[0], "quality_layers": [24 / bits]}
    data = codecs.encode(coffee, codecs.JPEG_2000, setting)
    np.testing.assert_allclose(8 * len(data) / (200 * 300), bits, rtol=0.03)


def test_headers_count():
    # A tiny picture of one colour: nothing in the file but headers, and nothing lost.
    grey = np.full((16, 24, 3), 128, np.uint8)
    bits_per_pixel, psnr_db = codecs.rate_distortion(grey, codecs.JPEG)
    smallest = min(
        len(codecs.encode(grey, codecs.JPEG, setting)) for setting in codecs.JPEG.settings
    )
    np.testing.assert_allclose(bits_per_pixel, [8 * smallest / (16 * 24)])
    assert psnr_db.tolist() == [np.inf]  # exact
    assert codecs.at_size(grey, codecs.JPEG, 100.0) == "JPEG of this size: exact"
    assert re.fullmatch(
        r"JPEG needs at least [\d.]+ bits per pixel \(exact\)",
        codecs.at_size(grey, codecs.JPEG, 0.1),
    )


@pytest.mark.parametrize("bits_per_pixel", [0.05, 0.4, 1.1, 3.0, 30.0])
def test_few_files_tell_what_all_files_would(coffee, bits_per_pixel, monkeypatch):
    sizes, psnr_db = codecs.rate_distortion(coffee, codecs.JPEG)
    made, encode = [], codecs.encode
    monkeypatch.setattr(codecs, "encode", lambda *args: made.append(args[2]) or encode(*args))
    said = codecs.at_size(coffee, codecs.JPEG, bits_per_pixel)
    if bits_per_pixel < sizes[0]:
        assert said == f"JPEG needs at least {sizes[0]:.3f} bits per pixel ({psnr_db[0]:.2f} dB)"
    else:
        expected = np.interp(bits_per_pixel, sizes, psnr_db)
        assert float(said.split()[-2]) == pytest.approx(expected, abs=0.03)
    assert len(made) <= 12  # of 34
    assert len({tuple(setting.items()) for setting in made}) == len(made)


@every
@pytest.mark.parametrize("most", [0.01, 0.7])
def test_large_files_are_left_out_and_hardly_made(codec, coffee, most, monkeypatch):
    sizes, psnr_db = codecs.rate_distortion(coffee, codec)
    made, encode = [], codecs.encode
    monkeypatch.setattr(codecs, "encode", lambda *args: made.append(encode(*args)) or made[-1])
    small = codecs.rate_distortion(coffee, codec, most=most)
    np.testing.assert_array_equal(small, (sizes[sizes <= most], psnr_db[sizes <= most]))
    assert sum(8 * len(data) / (200 * 300) > most for data in made) <= 2


def test_jpeg_with_pillows_defaults_has_the_published_size(shared_data):
    # CompressAI's JPEG, Pillow 7.1.2, mean of the Kodak photographs at qualities 10 and 95, as
    # github.com/EmilienDupont/coin, commit a21e507, has it in baselines/jpeg.json.
    pictures = photos.load(f"folder:{shared_data / 'kodak'}")
    assert len(pictures) == 24
    for quality, published_bits, published_db in ((10, 0.32661, 26.577), (95, 3.40134, 40.557)):
        files = [codecs.encode(p.pixels, codecs.JPEG, {"quality": quality}) for p in pictures]
        bits = [8 * len(data) / (512 * 768) for data in files]
        psnr_db = [
            peak_signal_noise_ratio(picture.pixels, codecs.decode(data))
            for picture, data in zip(pictures, files, strict=True)
        ]
        np.testing.assert_allclose(np.mean(bits), published_bits, rtol=0.01)
        np.testing.assert_allclose(np.mean(psnr_db), published_db, atol=0.15)


points = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12)


@given(points)
def test_undominated_points_are_those_that_nothing_beats(pairs):
    bits, psnr = (np.array(column, float) for column in zip(*pairs, strict=True))
    expected = sorted(
        {
            (x, y)
            for x, y in zip(bits, psnr, strict=True)
            if not ((bits <= x) & (psnr >= y) & ((bits < x) | (psnr > y))).any()
        }
    )
    assert list(zip(*codecs.undominated(bits, psnr), strict=True)) == expected


def test_what_cannot_be_encoded_is_refused(coffee, monkeypatch):
    with pytest.raises(ValueError, match=r"`image` must be \[H, W, 3\] uint8; got .* float64"):
        codecs.rate_distortion(coffee / 255.0, codecs.JPEG)
    with pytest.raises(ValueError, match=r"got \(200, 300\) uint8"):
        codecs.rate_distortion(coffee[..., 0], codecs.JPEG)
    monkeypatch.setattr(codecs.features, "check", lambda name: name != "avif")
    assert [codec.name for codec in codecs.CODECS if codec.available][-1] == "WebP"
    with pytest.raises(ValueError, match="This Pillow was built without AVIF"):
        codecs.encode(coffee, codecs.AVIF, codecs.AVIF.settings[0])
