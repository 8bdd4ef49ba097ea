import functools
import itertools
import logging
import types

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import pallas
from jax.sharding import AxisType

import jaxinr
from jaxfleet import fleet
from jaxinr import Trial, buckets, siren
from jaxinr.kernels import choice, fused, tiling
from jaxinr.program import SirenProgram, pack

BLOCK = 64

# From jax 0.11 on, whenever the kernel is compiled for a GPU.
pytestmark = pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated")


def networks(width, num_layers, size=(9, 13), kind=np.uint8, count=2):
    """Networks of different seeds and frequencies on random pictures, as a program takes them."""
    trials = [
        Trial(layer_size=width, num_layers=num_layers, w0_initial=20.0 + i, w0=25.0 + 2 * i, seed=i)
        for i in range(count)
    ]
    padded = tiling.padded_width(width)
    trees = [siren.pad(siren.init(trial), padded) for trial in trials]
    draw = np.random.default_rng(width)
    pictures = [draw.integers(0, 256, (*size, 3), np.uint8) for _ in trials]
    if kind == np.float32:
        pictures = [np.float32(picture) / np.float32(255) for picture in pictures]
    blocks = -(-size[0] * size[1] // BLOCK)
    hyper = {
        "w0_initial": np.array([trial.w0_initial for trial in trials], np.float32),
        "w0": np.array([trial.w0 for trial in trials], np.float32),
        "height": np.full(count, size[0], np.int32),
        "width": np.full(count, size[1], np.int32),
        "image": np.arange(count, dtype=np.int32),
    }
    return types.SimpleNamespace(
        params=jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *trees),
        hyper=jax.tree.map(jnp.asarray, hyper),
        data=jnp.asarray(pack(pictures, blocks, BLOCK)),
        shape={"num_layers": num_layers, "width": padded, "blocks": blocks, "group": count},
    )


def measure(made, **options):
    """Loss and gradient by a program with these options."""
    program = SirenProgram(block=BLOCK, **made.shape, **options)

    @jax.jit
    def run(params, hyper, data):
        return program.loss_and_gradient(params, hyper, program.prepare(hyper, data))

    return run(made.params, made.hyper, made.data)


def by_kernel(made, **options):
    """The same by the kernel itself, in interpret mode."""
    hyper = [made.hyper[name] for name in ("w0_initial", "w0", "height", "width")]
    run = functools.partial(fused.loss_and_gradient, interpret=True, **options)
    return jax.jit(run)(made.params, *hyper, made.data)


def assert_close(mine, theirs, tolerance):
    """Every array to a tolerance relative to its largest entry."""
    for one, other in zip(*map(jax.tree.leaves, (mine, theirs)), strict=True):
        assert one.shape == other.shape
        limit = tolerance * np.abs(other).max()
        np.testing.assert_allclose(one, other, rtol=0, atol=limit)


# ---------------------------------------------------------------------------- loss and gradient

FEW = [
    (5, 2, (9, 13), np.uint8, "coin"),
    (16, 1, (7, 11), np.float32, "symmetric"),
    (20, 3, (1, 67), np.uint8, "centers"),
    (33, 2, (3, 5), np.float32, "coin"),  # of two parts
]
ALL = [
    (width, num_layers, size, kind, coordinates)
    for width, num_layers in [*itertools.product((5, 16, 20, 33), (1, 2, 4)), (100, 2)]
    for size, kind, coordinates in (
        ((9, 13), np.uint8, "symmetric"),
        ((67, 1), np.float32, "coin"),
        ((1, 1), np.uint8, "centers"),
    )
]


@pytest.mark.parametrize(
    ("width", "num_layers", "size", "kind", "coordinates"),
    [*FEW, *[pytest.param(*case, marks=pytest.mark.slow) for case in ALL]],
)
def test_loss_and_gradient_are_those_of_the_portable_path(
    width, num_layers, size, kind, coordinates
):
    made = networks(width, num_layers, size, kind)
    mine = measure(made, coordinates=coordinates, kernel="pallas")
    assert_close(mine, measure(made, coordinates=coordinates), 1e-5)
    for leaf in jax.tree.leaves(jax.tree.map(lambda leaf: leaf[0], mine[1])):
        assert np.isfinite(leaf).all()


def test_padded_units_get_no_gradient():
    made = networks(5, 3)
    _, gradient = measure(made, kernel="pallas")
    for row in range(2):
        one = jax.tree.map(lambda leaf, row=row: np.asarray(leaf[row]), gradient)
        again = siren.pad(siren.crop(one, 5), 16)
        jax.tree.map(np.testing.assert_array_equal, one, again)


def test_networks_that_are_constant_have_the_error_of_their_colour():
    made = networks(16, 2)
    made.params = jax.tree.map(jnp.zeros_like, made.params)
    made.params[-1]["bias"] = jnp.asarray([[0.25, 0.5, 0.75]] * 2)
    (loss, gradient) = by_kernel(made)
    pixels = np.asarray(made.data, np.float64).swapaxes(1, 2).reshape(2, 3, -1)[:, :, :117] / 255
    error = np.array([0.25, 0.5, 0.75])[:, None] - pixels
    np.testing.assert_allclose(loss, (error**2).mean(axis=(1, 2)), rtol=1e-6)
    np.testing.assert_allclose(gradient[-1]["bias"], 2 / 3 * error.mean(axis=2), rtol=1e-5)
    assert not any(leaf.any() for leaf in jax.tree.leaves(gradient[:-1]))


def test_pixels_beyond_the_picture_do_not_count():
    made = networks(16, 2, size=(5, 7))
    made.params, made.hyper, made.data = jax.tree.map(
        lambda leaf: np.asarray(leaf)[[0, 0]], (made.params, made.hyper, made.data)
    )
    made.data[1, ..., 35:] = 199
    for leaf in jax.tree.leaves(by_kernel(made)):
        np.testing.assert_allclose(leaf[0], leaf[1], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("sums_on_chip", [True, False])
def test_sums_over_tiles_and_chunks(monkeypatch, sums_on_chip):
    made = networks(16, 3, size=(9, 23))  # 13 tiles of 16 pixels, in 4 chunks
    expected = measure(made)
    monkeypatch.setattr(fused, "tiling", lambda *_: tiling.Tiling(16, 2, sums_on_chip))
    monkeypatch.setattr(fused, "PROGRAMS", 7)
    assert_close(by_kernel(made), expected, 1e-5)


@pytest.mark.parametrize("kernel", ["xla", "pallas"])
def test_bfloat16_factors_cost_no_more_than_their_bits(kernel):
    made = networks(16, 2)
    loss, gradient = measure(made)
    rough = measure(made, kernel=kernel, products="bfloat16")
    # A factor is off by 2^-9 at most, an argument of some half-turns by a few times that.
    assert_close(rough, (loss, gradient), 0.05)
    assert np.abs(rough[1][1]["weight"] - gradient[1]["weight"]).max() > 1e-5


sine_and_cosine = jax.jit(fused._sine_and_cosine)


@hypothesis.given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=16, max_size=16))
def test_sine_and_cosine_of_half_turns(values):
    x = np.array(values, np.float32)
    sine, cosine = sine_and_cosine(x)
    turns = np.mod(x.astype(np.float64), 2.0)
    np.testing.assert_allclose(sine, np.sin(np.pi * turns), rtol=0, atol=3e-7)
    np.testing.assert_allclose(cosine, np.cos(np.pi * turns), rtol=0, atol=3e-7)


# ---------------------------------------------------------------------------- training


def test_trajectories_agree_over_200_iterations():
    draw = np.random.default_rng(0)
    picture = draw.integers(0, 256, (6, 7, 3), np.uint8)
    trials = [
        Trial(layer_size=5, num_layers=2, w0_initial=10.0, w0=20.0, num_iters=200, seed=1),
        Trial(layer_size=7, num_layers=2, w0_initial=25.0, w0=15.0, num_iters=195, seed=2),
    ]
    mine, theirs = (
        jaxinr.fit([picture] * 2, trials, kernel=kernel) for kernel in ("pallas", "xla")
    )
    assert mine.status == theirs.status == ["done", "done"]
    np.testing.assert_allclose(mine.psnr_db, theirs.psnr_db, rtol=0, atol=5e-3)
    for one, other in zip(mine.fits, theirs.fits, strict=True):
        assert one.psnr_8bit_db == pytest.approx(other.psnr_8bit_db, abs=5e-3)
        assert [np.shape(leaf) for leaf in jax.tree.leaves(one.params)] == [
            np.shape(leaf) for leaf in jax.tree.leaves(other.params)
        ]


# ---------------------------------------------------------------------------- what it refuses


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda made: {"params": jax.tree.map(lambda x: x[..., :5], made.params)}, "one of .* 5"),
        (lambda made: {"params": networks(16, 99).params}, "99 layers of 16 units do not fit"),
        (lambda made: {"target": made.data[..., :48]}, "power of two from 64; .* 48"),
        (lambda made: {"target": made.data[..., :32]}, "power of two from 64"),
        (lambda made: {"target": made.data[:, :, :2]}, r"\[G, K, 3, B\]"),
        (lambda made: {"target": made.data.astype(jnp.float16)}, "uint8 or float32; got float16"),
        (
            lambda made: {"params": jax.tree.map(lambda x: x.astype(jnp.bfloat16), made.params)},
            "params must be float32",
        ),
        (lambda made: {"products": "float16"}, "products must be one of"),
    ],
)
def test_what_would_compile_wrongly_is_refused(change, message):
    made = networks(16, 2)
    hyper = {name: made.hyper[name] for name in ("w0_initial", "w0", "height", "width")}
    arguments = {"params": made.params, **hyper, "target": made.data} | change(made)
    products = arguments.pop("products", "float32")
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(functools.partial(fused.loss_and_gradient, products=products), **arguments)


# ---------------------------------------------------------------------------- compiled for CUDA


def lower_for_cuda(function, *arguments):
    """The lowered text. From jax 0.11 on that needs the kind of a GPU, which need not be there."""
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), arguments)
    device = jax.sharding.AbstractDevice("NVIDIA H200", num_cores=None, platform="gpu")
    mesh = jax.sharding.AbstractMesh((1,), ("x",), (AxisType.Auto,), abstract_device=device)
    with jax.sharding.use_abstract_mesh(mesh):
        return jax.jit(function).trace(*shapes).lower(lowering_platforms=("cuda",)).as_text()


@pytest.mark.parametrize("products", siren.PRODUCTS)
@pytest.mark.parametrize(("width", "num_layers"), [(16, 1), (32, 6), (64, 3), (128, 2)])
def test_kernel_lowers_for_cuda(monkeypatch, capfd, width, num_layers, products):
    made = networks(width, num_layers, kind=np.float32 if width == 64 else np.uint8)
    hyper = [made.hyper[name] for name in ("w0_initial", "w0", "height", "width")]
    call = functools.partial(pallas.pallas_call, debug=True)  # prints the Triton program
    monkeypatch.setattr(fused.pl, "pallas_call", call)
    run = functools.partial(fused.loss_and_gradient, products=products)
    text = lower_for_cuda(run, made.params, *hyper, made.data)
    assert text.count("stablehlo.custom_call @__gpu$xla.gpu.triton") == 1
    program = capfd.readouterr().out
    dots = [line for line in program.splitlines() if "= tt.dot" in line]
    assert len(dots) == 3 * (num_layers - 1) * max(width // tiling.SIDE, 1) ** 2
    for dot in dots:  # what is not tf32 is ieee
        assert ("inputPrecision = tf32" in dot) == (products == "tf32")
        assert dot.count("bf16>") == (2 if products == "bfloat16" else 0)
        assert dot.rstrip().split("-> ")[1].split(" ")[0].endswith("xf32>")


def test_training_of_a_group_lowers_for_cuda_with_one_kernel():
    trials = [Trial(layer_size=20, num_layers=3, num_iters=50, seed=seed) for seed in range(3)]
    (bucket,) = buckets.make_buckets(
        trials, [(9, 13)] * 3, shards=1, platform="gpu", kernel="pallas", products="tf32"
    )
    made = networks(20, 3, count=3)
    hyper = made.hyper | {
        "learning_rate": jnp.zeros(3), "num_iters": jnp.zeros(3, int), "target_loss": jnp.zeros(3)
    }  # fmt: skip
    mesh = jax.make_mesh((1,), (fleet.SLOTS,), (AxisType.Auto,), devices=jax.devices()[:1])
    state = fleet.fleet(bucket.program, mesh).idle(siren.pad(siren.init(trials[0]), 32), hyper)
    data = pack([np.zeros((9, 13, 3), np.uint8)], bucket.program.blocks, bucket.program.block)
    train = functools.partial(fleet._train_group, bucket.program)
    text = lower_for_cuda(train, state, data, np.int32(1))
    assert text.count("stablehlo.custom_call @__gpu$xla.gpu.triton") == 1


# ---------------------------------------------------------------------------- choice


@pytest.fixture
def log(caplog):
    """The log, as at the start of a process."""
    choice.choose.cache_clear()
    choice._say.cache_clear()
    with caplog.at_level(logging.INFO):
        yield caplog
    choice.choose.cache_clear()
    choice._say.cache_clear()


@pytest.mark.parametrize(
    ("platform", "num_layers", "width", "reason"),
    [
        ("tpu", 2, 16, "not for a tpu"),
        ("gpu", 2, 129, "not for networks of more than 128 units a layer"),
        ("gpu", 60, 100, "not for networks so deep at 128 units a layer"),
    ],
)
def test_what_pallas_cannot_train_xla_does_and_one_line_says_why(
    log, platform, num_layers, width, reason
):
    for more in range(3):
        assert choice.choose("pallas", platform, num_layers + more, width) == "xla"
    (line,) = log.messages
    assert reason in line


def test_choices_that_say_nothing(log):
    assert choice.choose("pallas", "gpu", 2, 128) == "pallas"
    assert choice.choose("pallas", "cpu", 2, 5) == "pallas"
    assert choice.choose("auto", "tpu", 2, 500) == "xla"
    assert choice.choose("xla", "gpu", 2, 16) == "xla"
    assert not log.messages


@hypothesis.given(
    kernel=st.sampled_from(choice.KERNELS),
    platform=st.sampled_from(["cpu", "gpu", "tpu"]),
    num_layers=st.integers(1, 64),
    width=st.integers(1, 128),
)
def test_widths_that_pad_alike_are_of_one_kernel(kernel, platform, num_layers, width):
    padded = tiling.padded_width(width)
    assert choice.choose(kernel, platform, num_layers, width) == choice.choose(
        kernel, platform, num_layers, padded
    )


def test_auto_takes_what_was_faster(monkeypatch, log):
    monkeypatch.setattr(choice, "FASTER", {("gpu", 32): "pallas"})
    widths = [16, 17, 32, 33, 200]
    chosen = [choice.choose("auto", "gpu", 3, width) for width in widths]
    assert chosen == ["xla", "pallas", "pallas", "xla", "xla"]
    assert choice.choose("auto", "cpu", 3, 32) == "numba"
    assert not log.messages


@hypothesis.given(num_layers=st.integers(1, 64), width=st.sampled_from(tiling.WIDTHS))
def test_tilings_keep_the_rules_of_the_compiler(num_layers, width):
    plan = tiling.tiling(num_layers, width)
    if plan is not None:
        assert plan.pixels >= 16
        assert plan.pixels & (plan.pixels - 1) == 0
        assert plan.warps in (4, 8)
        assert num_layers * width * plan.pixels <= 96 * 32 * plan.warps  # of 255 registers
