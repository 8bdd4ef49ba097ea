"""Shaders of mpv and networks stored as JSON: what they make is computed here another way."""

import json

import numpy as np
import pytest
import scipy.ndimage

from experiments.pictures import convolutions, foreign, makers, shaders
from jaxfleet.errors import InputError
from jaxfleet.imaging.pixels import from_uint8

TO_SPACE = """
//!HOOK {hook}
//!BIND CONV
//!WIDTH CONV.w 2 *
//!HEIGHT CONV.h 2 *
vec4 hook() {{
    vec2 f = fract(CONV_pos * CONV_size);
    ivec2 i = ivec2(f * vec2(2.0));
    float c = CONV_tex((vec2(0.5) - f) * CONV_pt + CONV_pos)[i.y * 2 + i.x];
    return vec4(c) + {hook}_tex({hook}_pos);
}}
"""
# Four channels of differences with the pixel on the right and above; `below` adds what is negative.
CONVOLUTION = """
//!PARAM STRENGTH
//!TYPE DEFINE
2.0

/* two passes */
//!HOOK {hook}
//!BIND {hook}
//!SAVE CONV
//!COMPONENTS 4
#define go(x_off, y_off) (max({hook}_texOff(vec2(x_off, y_off)), 0.0))
#if (STRENGTH == 2.0)
float half_of(float x) {{ return STRENGTH * x / 4.0; }}
#elif (STRENGTH == 3.0)
float half_of(float x) {{ return 0.0; }}
#else
float half_of(float x) {{ return 1.0; }}
#endif
vec4 hook() {{
    vec4 r = mat4(1.0, 2.0, 3.0, 4.0, 0.0, 0.1, 0.0, 0.0, 0, 0, 0, -.5, 0, 0, 0, 0) * go(1, 0);
    r += vec4(half_of(1.0), 0.0, 1e-1, 0.0) * -go(0.0, -1.0).x;  // minus
    r.yz *= 2.0;
    return r.x > 100.0 ? vec4(0.0) : r;
}}
"""


def expected(picture):
    """Compute what the two passes above give, [h, w, 3] to [2 h, 2 w, 3]."""
    right = np.concatenate([picture[:, 1:], picture[:, -1:]], axis=1)
    above = np.concatenate([picture[:1], picture[:-1]])[..., 0]
    red, green, blue = np.moveaxis(right, -1, 0)
    channels = [
        red - 0.5 * above,
        2 * (2 * red + 0.1 * green),
        2 * (3 * red - 0.1 * above),
        4 * red - 0.5 * blue,
    ]
    height, width = red.shape
    added = np.empty((2 * height, 2 * width))
    for place, channel in enumerate(channels):
        added[place // 2 :: 2, place % 2 :: 2] = channel
    rows, columns = ((np.arange(2 * n) - 0.5) / 2 for n in (height, width))
    places = np.meshgrid(rows, columns, indexing="ij")
    large = [
        scipy.ndimage.map_coordinates(picture[..., c], places, order=1, mode="nearest")
        for c in range(3)
    ]
    return np.stack(large, axis=-1) + added[..., None]


def test_a_shader_gives_what_its_passes_say():
    picture = np.random.default_rng(0).random((5, 7, 3)).astype(np.float32)
    passes = shaders.parse((CONVOLUTION + TO_SPACE).format(hook="MAIN"))
    made = shaders.run(passes, np.moveaxis(picture, -1, 0))
    np.testing.assert_allclose(np.moveaxis(made, 0, -1), expected(picture), rtol=1e-5, atol=1e-5)


def test_a_shader_of_luma_leaves_greys_grey_and_enlarges_colour_by_bicubic(tmp_path):
    path = tmp_path / "luma.glsl"
    path.write_text(
        "//!HOOK LUMA\n//!WIDTH LUMA.w 3 *\n//!HEIGHT LUMA.h 3 *\n"
        "vec4 hook() { return LUMA_tex(LUMA_pos) * vec4(0.5); }\n"
    )
    enlarger = foreign.Enlarger(path)
    assert (enlarger.how.scale, enlarger.how.margin) == (3, 0)
    np.testing.assert_array_equal(
        enlarger(np.full((6, 5, 3), 80, np.uint8)), np.full((18, 15, 3), 40)
    )
    # Luma of (150, 100, 50) is 109.25; half of it goes off each channel.
    colour = np.broadcast_to(np.array([150, 100, 50], np.uint8), (6, 5, 3))
    np.testing.assert_array_equal(enlarger(colour)[7, 7], np.rint([95.375, 45.375, 0.0]))


def test_vgg7_convolves_the_repeated_picture(tmp_path):
    mean = np.zeros((3, 3, 3, 3))
    mean[[0, 1, 2], [0, 1, 2]] = 1 / 9
    negated = -np.eye(3)[:, :, None, None]
    layers = [
        {"weight": mean.tolist(), "bias": [-1.0] * 3},
        {"weight": negated.tolist(), "bias": [0.0] * 3},
    ]
    (tmp_path / "vgg7.json").write_text(json.dumps(layers))
    low = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    large = from_uint8(low).repeat(2, 0).repeat(2, 1)
    smooth = scipy.ndimage.uniform_filter(large, (3, 3, 1), mode="nearest")
    made = convolutions.load(tmp_path / "vgg7.json")(np.moveaxis(from_uint8(low), -1, 0))
    # What is below 0 is multiplied by 0.1.
    np.testing.assert_allclose(np.moveaxis(made, 0, -1), -0.1 * (smooth - 1.0), atol=1e-6)
    assert makers.parse_network(f"vgg7={tmp_path / 'vgg7.json'}").scale == 2


def test_a_network_of_websr_adds_its_channels_to_the_picture():
    blank, red = np.zeros((4, 4)), np.zeros((4, 4))
    red[0] = [0.1, 0.2, 0.3, 0.4]  # a column: what red adds to each channel
    crossed = np.eye(4)
    layers = [
        {
            "inputs": ["input_image"],
            "output": "conv2d_tf",
            "weights": [*[blank.tolist()] * 3, blank.tolist(), red.tolist(), *[blank.tolist()] * 4],
            "bias": [0.0, 0.0, 0.0, -0.5],
        },
        {
            "inputs": ["conv2d_tf"],
            "output": "conv2d_last_tf",
            "weights": [crossed.tolist(), (10 * crossed).tolist()],  # of what is above and below 0
            "bias": [0.0, 0.0, 0.0, 0.0],
        },
        {"inputs": ["conv2d_last_tf"], "output": "canvas"},
    ]
    picture = np.full((3, 2, 2), 0.5, np.float32)
    made = shaders.run(shaders.parse(convolutions.to_shader(layers)), picture)
    # The fourth channel is 0.4 x 0.5 - 0.5 = -0.3, of which 10 times 0.3 is added.
    square = 0.5 + np.array([[0.05, 0.1], [0.15, 3.0]])
    np.testing.assert_allclose(made, np.tile(square, (3, 2, 2)), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.glsl", "hello", "compute no picture"),
        ("a.glsl", "//!HOOK CHROMA\nvec4 hook() { return vec4(0); }", "hooks 'CHROMA'"),
        ("a.glsl", "//!HOOK MAIN\n//!COMPUTE 8 8\nvoid hook() {}", "//!COMPUTE"),
        (
            "a.glsl",
            "//!HOOK MAIN\nvec4 hook() { return vec4(1 }",
            r"',' is expected near 'vec4 \( 1 }'",
        ),
        ("a.glsl", "//!HOOK MAIN\nvec4 hook() { return OTHER_tex(MAIN_pos); }", "OTHER"),
        ("a.glsl", "//!HOOK MAIN\n//!WIDTH OUTPUT.w\nvec4 hook() { return vec4(1); }", "OUTPUT"),
        ("a.json", "{}", "no network in JSON"),
        ("a.json", "[{}]", "no network in JSON"),
        ("a.json", "[", "no network in JSON"),
    ],
)
def test_files_that_are_no_networks_are_refused_in_one_line(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        foreign.Enlarger(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
