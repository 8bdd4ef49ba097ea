"""Pictures to files and back: sizes kept, PSNR as promised, refinement that pays."""

import dataclasses
import zlib

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

import jaxinr
from jaxfleet.imaging.pixels import psnr_8bit_db
from jaxinr import quantise, siren
from jaxinr.codec import api as codec
from jaxinr.codec import bitstream, refine
from jaxinr.codec.bitstream import Header

SMALL = Header(
    height=24, width=20, grey=False, coordinates="centers",
    num_layers=2, layer_size=8, w0_initial=10.0, w0=30.0, seed=1,
)  # fmt: skip
QUICK = {"num_iters": 300, "refine_iters": 10, "learning_rate": 3e-3}


def waves(height=24, width=20):
    """[height, width, 3] uint8, smooth."""
    y, x = np.mgrid[:height, :width] / 8.0
    colours = np.stack([np.sin(x + y), np.cos(x - 0.5 * y), np.sin(0.7 * y)], axis=-1)
    return np.round(127.5 + 120 * colours).astype(np.uint8)


@pytest.fixture(scope="module")
def encoded():
    return codec.compress(waves(), bits_per_pixel=3.0, **QUICK)


# ---------------------------------------------------------------------------------- pictures


def test_a_fitted_network_becomes_a_file_that_decodes_to_about_its_picture():
    trial = jaxinr.Trial(layer_size=12, num_layers=2, num_iters=300, learning_rate=3e-3)
    params = jaxinr.fit([waves()], [trial]).params(0)
    packed = codec.pack(waves(), trial, params, bits_per_weight=8, refine_iters=10)
    drawn = np.round(255 * jaxinr.render(params, trial, (24, 20), clip=True))
    assert packed.float_psnr_db == pytest.approx(psnr_8bit_db(drawn.astype(np.uint8), waves()))
    assert packed.psnr_db == psnr_8bit_db(jaxinr.decode(packed.data), waves())
    assert packed.psnr_db > packed.float_psnr_db - 0.5  # eight bits a weight cost nothing
    facts = codec.inspect(packed.data)
    assert (facts.header.num_layers, facts.header.layer_size) == (2, 12)
    assert facts.bits_per_weight < 8.1


def test_psnr_is_that_of_what_comes_back(encoded):
    picture = jaxinr.decode(encoded.data)
    assert picture.shape == (24, 20, 3)
    assert picture.dtype == np.uint8
    error = np.mean((picture.astype(float) - waves()) ** 2)
    assert encoded.psnr_db == pytest.approx(10 * np.log10(255**2 / error), abs=1e-9)
    assert encoded.psnr_db > 20
    # Few bits a weight cost 0.4 to 2.4 dB, by the seed; how a processor rounds chooses among them.
    assert encoded.psnr_db > encoded.float_psnr_db - 4


def test_same_picture_gives_the_same_bytes_and_the_same_bytes_the_same_picture(encoded):
    assert jaxinr.encode(waves(), bits_per_pixel=3.0, **QUICK) == encoded.data
    np.testing.assert_array_equal(jaxinr.decode(encoded.data), jaxinr.decode(encoded.data))


@pytest.mark.parametrize("grey", [False, True])
@hypothesis.given(bits_per_pixel=st.floats(0.8, 24.0), height=st.integers(20, 600))
@hypothesis.settings(max_examples=30)
def test_plan_takes_what_is_allowed(grey, bits_per_pixel, height):
    picture = np.zeros((height, 30) if grey else (height, 30, 3), np.uint8)
    trials = [jaxinr.Trial(), jaxinr.Trial(w0_initial=11.0)]
    headers, bits = codec._plan(picture, trials, bits_per_pixel, False, 5.0, "centers")
    assert [header.w0_initial for header in headers] == [30.0, 11.0]
    assert 5.0 * headers[0].parameters <= bits
    file_bytes = headers[0].overhead + bits / 8
    assert file_bytes <= bits_per_pixel * height * 30 / 8
    if headers[0].num_layers == codec.NUM_LAYERS:
        wider = dataclasses.replace(headers[0], layer_size=headers[0].layer_size + 1)
        assert wider.overhead + 5.0 * wider.parameters / 8 > file_bytes


@pytest.mark.parametrize("bits_per_pixel", [1.0, 3.0])
def test_file_is_as_large_as_allowed_and_no_larger(bits_per_pixel):
    data = jaxinr.encode(waves(), bits_per_pixel=bits_per_pixel, num_iters=2, refine_iters=0)
    allowed = int(bits_per_pixel * 24 * 20 / 8)
    assert 0.95 * allowed - 2 <= len(data) <= allowed


def test_architecture_is_taken_as_given():
    trial = jaxinr.Trial(num_layers=2, layer_size=8, w0_initial=7.3, w0=12.0, num_iters=5, seed=9)
    facts = codec.inspect(
        jaxinr.encode(waves(), architecture=trial, bits_per_weight=6, refine_iters=0)
    )
    header = facts.header
    assert (header.num_layers, header.layer_size, header.seed, header.w0) == (2, 8, 9, 12.0)
    assert header.w0_initial == pytest.approx(7.3, rel=1e-3)
    assert 5.9 < facts.bits_per_weight <= 6.1
    assert facts.bits_per_pixel == 8 * facts.file_bytes / 480
    pair = codec._trials((4, 6), None, None, None)
    assert {(trial.num_layers, trial.layer_size) for trial in pair} == {(4, 6)}


def test_grey_pictures_stay_grey():
    grey = waves()[..., 0]
    encoded = codec.compress(grey[..., None], bits_per_pixel=3.0, **QUICK)
    picture = jaxinr.decode(encoded.data)
    assert picture.shape == (24, 20)
    assert encoded.psnr_db == psnr_8bit_db(picture, grey) > 20
    header, codes = bitstream.read(encoded.data)
    assert header.grey
    assert codes.codes[-1]["weight"].shape == (1, header.layer_size)


def test_any_size_can_be_drawn(encoded):
    own = jaxinr.decode(encoded.data).astype(float)
    assert jaxinr.decode(encoded.data, height=48).shape == (48, 40, 3)
    assert jaxinr.decode(encoded.data, width=10).shape == (12, 10, 3)
    assert jaxinr.decode(encoded.data, height=7, width=31).shape == (7, 31, 3)
    # Three times as many pixels each way: every third lies where one of the picture's does.
    large = jaxinr.decode(encoded.data, height=72, width=60)[1::3, 1::3]
    np.testing.assert_allclose(large, own, atol=1)


def test_coin_coordinates_keep_the_aspect_ratio():
    header = dataclasses.replace(SMALL, coordinates="coin")
    (codes,) = refine.quantise(
        waves(), [header], [header.initial()], 4000.0, num_iters=0, learning_rate=1.0
    )
    data = bitstream.write(header, codes)
    assert jaxinr.decode(data, height=48).shape == (48, 40, 3)
    with pytest.raises(ValueError, match="keeps its aspect ratio, 24 x 20"):
        jaxinr.decode(data, height=20, width=24)


@pytest.mark.parametrize(
    ("image", "settings", "message"),
    [
        (np.zeros((4, 4, 4), np.uint8), {}, "4 channels, one of them transparency"),
        (np.zeros((4, 4, 2), np.uint8), {}, "2 channels, one of them transparency"),
        (np.zeros((4, 0, 3), np.uint8), {}, r"must be \[H, W, 3\] or \[H, W\]; got shape"),
        (np.zeros(4, np.uint8), {}, "must be"),
        (
            np.broadcast_to(np.uint8(0), (3000, 4000, 3)),
            {},
            r"image has 3000 x 4000 pixels; shrink or cut it to less than 8,388,608 \(2\^23\)",
        ),
        (waves(), {"bits_per_pixel": None}, "one of the two"),
        (waves(), {"architecture": (2, 8)}, "one of the two"),
        (
            waves(),
            {"bits_per_pixel": 0.5},
            "allows 30 bytes; the smallest network takes .* or more",
        ),
        (waves(), {"bits_per_pixel": -1.0}, "must be positive"),
        (waves(), {"bits_per_pixel": float("nan")}, "must be positive"),
        (waves(), {"bits_per_weight": 0.5}, "bits_per_weight must be at least 1"),
        (waves(), {"refine_iters": -1}, "refine_iters must be at least 0"),
        (waves(), {"coordinates": "polar"}, "coordinates must be one of"),
        (waves(), {"seed": 2**31}, "seed must be"),
    ],
)
def test_bad_arguments_are_named(image, settings, message):
    with pytest.raises(ValueError, match=message):
        jaxinr.encode(image, **{"bits_per_pixel": 3.0} | settings)


def test_other_refusals(encoded):
    with pytest.raises(TypeError, match=r"got the path a\.png\. Read it"):
        jaxinr.encode("a.png", bits_per_pixel=3.0)
    with pytest.raises(TypeError, match="PIL image of mode P"):
        jaxinr.encode(Image.new("P", (9, 9)), bits_per_pixel=3.0)
    with pytest.raises(TypeError, match="must be uint8; got float64"):
        jaxinr.encode(np.zeros((4, 4, 3)), bits_per_pixel=3.0)
    with pytest.raises(ValueError, match="from 1 to 64; got 65"):
        jaxinr.encode(waves(), architecture=(65, 4))
    with pytest.raises(ValueError, match="below 2\\^23 pixels"):
        jaxinr.decode(encoded.data, height=5000)
    with pytest.raises(ValueError, match="at least 1"):
        jaxinr.decode(encoded.data, height=0, width=3)
    with pytest.raises(ValueError, match="one shape"):
        psnr_8bit_db(waves(), waves()[:5])


@hypothesis.settings(max_examples=60)
@hypothesis.given(place=st.integers(0, 10**6), value=st.integers(0, 255), mend=st.booleans())
def test_damaged_files_are_refused_or_drawn(encoded, place, value, mend):
    data = bytearray(encoded.data)
    data[place % len(data)] = value
    if mend:
        data[-4:] = zlib.crc32(bytes(data[:-4])).to_bytes(4, "little")
    try:
        header, _ = bitstream.read(bytes(data))
    except jaxinr.CodecError:
        with pytest.raises(jaxinr.CodecError):
            jaxinr.decode(bytes(data))
        return
    shape = (header.height, header.width, 3)
    picture = jaxinr.decode(bytes(data))
    assert picture.shape == (shape[:2] if header.grey else shape)


# -------------------------------------------------------------------------------- refinement


def random_network(header=SMALL, seed=0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda x: x + rng.normal(0, 0.01, x.shape).astype(np.float32), header.initial()
    )


def test_derivatives_are_those_of_finite_differences():
    network = random_network()
    points = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (2, 5)), jnp.float32)
    w0s = np.float32(10.0), np.float32(30.0)
    inputs, slopes = refine._derivatives(network, *w0s, points)
    h, apply = 1e-3, jax.jit(siren.apply)
    for depth in range(3):
        got = refine.Derivatives(np.asarray(inputs[depth]), np.asarray(slopes[depth]))
        for kind, place in (("weight", (1, 1)), ("bias", (2,))):
            both = []
            for sign in (-1, 1):
                moved = [dict(layer) for layer in network]
                moved[depth][kind] = moved[depth][kind].copy()
                moved[depth][kind][place] += sign * h
                both.append(np.asarray(apply(tuple(moved), *w0s, points)))
            expected = (both[1] - both[0]) / (2 * h)  # [3, 5]
            found = got.slopes[:, :, place[0]].T
            if kind == "weight":
                found = found * got.inputs[place[1]]
            np.testing.assert_allclose(found, expected, rtol=0.02, atol=2e-3)


def test_gauss_newton_is_the_mean_product_of_derivatives():
    rng = np.random.default_rng(0)
    one = refine.Derivatives(rng.normal(size=(3, 50)), rng.normal(size=(50, 2, 4)))
    full = np.zeros((50, 2, 2, 4))  # of units 1 and 2: pixels, colours, units, weights and bias
    full[..., :3] = one.slopes[:, :, 1:3, None] * one.inputs.T[:, None, None]
    full[..., 3] = one.slopes[:, :, 1:3]
    rows = full.reshape(100, 8)
    np.testing.assert_allclose(one.gauss_newton(slice(1, 3)), rows.T @ rows / 100, rtol=1e-9)
    weights, biases = one.mean_squares()
    everything = one.slopes[..., None] * one.inputs.T[:, None, None]
    assert weights == pytest.approx(np.mean(everything**2))
    assert biases == pytest.approx(np.mean(one.slopes**2))


def test_feedback_lets_later_values_make_up_for_earlier_ones():
    # x @ matrix @ x is least where both errors cancel: 0.4 rounds to 0, so 0.3 must go to 1.
    matrix = np.array([[1.0, 1.0], [1.0, 1.001]])
    np.testing.assert_array_equal(refine._feedback(np.array([0.4, 0.3]), matrix), [0, 1])
    np.testing.assert_array_equal(refine._feedback(np.array([0.4, 0.3]), np.eye(2)), [0, 0])
    np.testing.assert_array_equal(refine._feedback(np.array([0.6, -2.3]), 0 * matrix), [1, -2])


def test_feedback_beats_the_nearest_codes():
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(20):
        rows = rng.normal(size=(200, 5)) @ rng.normal(size=(5, 30)) + rng.normal(size=(200, 30))
        matrix, values = rows.T @ rows, rng.normal(0, 5, 30)
        errors = refine._feedback(values, matrix) - values, np.rint(values) - values
        ratios.append((errors[0] @ matrix @ errors[0]) / (errors[1] @ matrix @ errors[1]))
    assert np.mean(ratios) < 0.6


def test_training_on_leaves_the_layers_before_alone():
    network = random_network()
    (trained,) = refine.train_tail(waves(), [SMALL], [network], 1, num_iters=20, learning_rate=1e-3)
    np.testing.assert_array_equal(trained[0]["weight"], network[0]["weight"])
    np.testing.assert_array_equal(trained[0]["bias"], network[0]["bias"])
    assert all(np.any(trained[d]["weight"] != network[d]["weight"]) for d in (1, 2))
    db = [
        psnr_8bit_db(codec.picture_of(SMALL, one, (24, 20)), waves()) for one in (network, trained)
    ]
    assert db[1] > db[0] + 1


def test_networks_are_quantised_as_alone_and_within_their_bits():
    headers = [SMALL, dataclasses.replace(SMALL, w0_initial=20.0)]
    networks = [random_network(header) for header in headers]
    settings = {"num_iters": 5, "learning_rate": 1e-3}
    bits = 5.0 * SMALL.parameters
    pair = refine.quantise(waves(), headers, networks, bits, **settings)
    for header, network, codes in zip(headers, networks, pair, strict=True):
        data = bitstream.write(header, codes)
        assert 0.97 * bits <= 8 * (len(data) - header.overhead) <= bits + 8
        (alone,) = refine.quantise(waves(), [header], [network], bits, **settings)
        assert bitstream.write(header, alone) == data
    assert refine.quantise(waves(), headers, networks, 5.0, **settings) == [None, None]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kodim15", "kodim23"])
def test_eight_bits_lose_little_on_photographs(shared_data, name):
    photo = np.asarray(Image.open(shared_data / "kodak" / f"{name}.png"))[192:320, 320:448]
    trial = jaxinr.Trial(layer_size=20, num_layers=6, num_iters=1500, learning_rate=5e-4)
    encoded = codec.compress(photo, architecture=trial, bits_per_weight=8)
    assert codec.inspect(encoded.data).bits_per_weight <= 8.01
    assert encoded.psnr_db > encoded.float_psnr_db - 0.3
    # With as many bits, but steps by range and no refinement, three times as much is lost.
    fitted = jaxinr.fit([photo], [trial], coordinates="centers")
    naive = quantise.quantise(fitted.params(0), 8).params
    drawn = jaxinr.render(naive, trial, photo.shape[:2], coordinates="centers")
    rounded = np.round(np.clip(drawn, 0, 1) * 255).astype(np.uint8)
    assert psnr_8bit_db(rounded, photo) < encoded.float_psnr_db - 1.0
