import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxsr
from jaxsr.networks import VGGStyleDiscriminator, layers, rrdbnet, swinir

# Of the references' own code at each scale. SwinIR's light ones with their tables of position
# biases (the paper counts without), NLSN's with the 24 numbers of its frozen mean shifts.
PARAMETERS = {
    "edsr": {2: 40_729_603, 3: 43_680_003, 4: 43_089_923},
    "edsr_baseline": {2: 1_369_859, 3: 1_554_499, 4: 1_517_571},
    "rdn": {2: 22_123_395, 3: 22_308_035, 4: 22_271_107},
    "rcan": {2: 15_444_643, 3: 15_629_283, 4: 15_592_355},
    "nlsn": {2: 41_796_187, 3: 44_746_587, 4: 44_156_507},
    "swinir": {2: 11_752_487, 3: 11_937_127, 4: 11_900_199},
    "swinir_light": {2: 910_152, 3: 918_267, 4: 929_628},
    "swinir_real": {4: 11_715_559},
    "rrdbnet": {1: 16_723_907, 2: 16_703_171, 4: 16_697_987},
    "rrdbnet_anime": {4: 4_467_779},
    "srvgg": {4: 621_424},
    "srvgg_general": {4: 1_213_296},
    "imdn": {2: 694_404, 3: 703_059, 4: 715_176},
    "rlfn": {2: 526_856, 4: 543_740},
    "rlfn_s": {2: 454_620, 4: 470_208},
    "rlfn_ntire": {4: 317_218},
}
# Sizes that compile quickly, by architecture.
SMALL = {
    "edsr": {"num_features": 4, "num_blocks": 1},
    "rdn": {"num_features": 4, "growth_rate": 2, "num_blocks": 2, "num_layers": 2},
    "rcan": {"num_features": 4, "num_groups": 1, "num_blocks": 1, "reduction": 2},
    "nlsn": {"num_features": 4, "num_blocks": 1, "chunk_size": 8, "num_hashes": 2},
    "swinir": {"embed_dim": 4, "depths": (2,), "num_heads": (2,), "window_size": 4},
    "rrdbnet": {"num_features": 4, "num_blocks": 1, "growth_rate": 2},
    "srvgg": {"num_features": 4, "num_convs": 1},
    "imdn": {"num_features": 16, "num_blocks": 1, "distillation_rate": 0.25},
    "rlfn": {"num_features": 4, "num_blocks": 1, "esa_channels": 2},
}


def small(name, **overrides):
    return {**SMALL[name.split("_")[0]], **overrides}


def quick(name, *, scale, **overrides):
    """A small network whose weights NumPy draws, so that only its function is compiled."""
    shapes = nnx.eval_shape(lambda: jaxsr.build(name, scale=scale, **small(name, **overrides)))
    draw = np.random.default_rng(0)

    def weights(shape):
        return jnp.asarray(0.3 * draw.standard_normal(shape.shape), jnp.float32)

    nnx.update(shapes, jax.tree.map(weights, nnx.state(shapes)))
    return shapes


@pytest.mark.parametrize(
    ("name", "scale"), [(name, scale) for name in PARAMETERS for scale in PARAMETERS[name]]
)
def test_parameters_are_as_many_as_in_the_reference(name, scale):
    assert jaxsr.count_parameters(name, scale=scale) == PARAMETERS[name][scale]


def test_the_discriminator_has_as_many_parameters_as_the_reference():
    shapes = nnx.eval_shape(lambda: VGGStyleDiscriminator(rngs=nnx.Rngs(0)))
    assert layers.num_parameters(shapes) == 14_499_401


def test_every_name_is_counted_or_a_light_one_of_ours():
    light = {"rdn_light", "rcan_light", "nlsn_light"}
    assert set(jaxsr.names()) == PARAMETERS.keys() | light
    for name in light:
        assert 1e6 < jaxsr.count_parameters(name, scale=2) < 2e6


@pytest.mark.parametrize("name", ["swinir_real" if name == "swinir" else name for name in SMALL])
def test_any_size_goes_in_and_gradients_are_finite(name, key):
    images = jax.random.uniform(key, (2, 7, 5, 3))  # odd, and less than a window
    model = quick(name, scale=4)

    @jax.jit
    def output_and_gradient(model):
        def loss(model):
            output = model(images)
            return jnp.mean(output**2), output

        return nnx.value_and_grad(loss, has_aux=True)(model)

    (_, output), gradient = output_and_gradient(model)
    assert output.shape == (2, 28, 20, 3)
    assert output.dtype == jnp.float32
    assert np.isfinite(output).all()
    leaves = jax.tree.leaves(gradient)
    assert len(leaves) == len(jax.tree.leaves(nnx.state(model, nnx.Param)))
    assert all(np.isfinite(leaf).all() for leaf in leaves)


@pytest.mark.parametrize("name", jaxsr.names())
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_output_is_float32_whatever_is_computed_in(name, dtype):
    model = nnx.eval_shape(lambda: jaxsr.build(name, scale=4, **small(name, dtype=dtype)))
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(model))} == {jnp.dtype(jnp.float32)}
    images = jax.ShapeDtypeStruct((1, 9, 8, 3), jnp.float32)
    output = nnx.eval_shape(lambda model, images: model(images), model, images)
    assert (output.shape, output.dtype) == ((1, 36, 32, 3), jnp.float32)


@pytest.mark.parametrize("name", SMALL)
def test_networks_of_one_kind_are_one_program_and_stack(name):
    first, second = (quick(name, scale=2) for _ in range(2))
    assert nnx.graphdef(first) == nnx.graphdef(second)
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), first, second)
    images = jax.ShapeDtypeStruct((2, 1, 6, 6, 3), jnp.float32)
    output = jax.eval_shape(jax.vmap(lambda network, x: network(x)), stacked, images)
    assert output.shape == (2, 1, 12, 12, 3)


def test_discriminators_of_one_kind_are_one_program():
    first, second = (
        nnx.eval_shape(lambda: VGGStyleDiscriminator(rngs=nnx.Rngs(0))) for _ in range(2)
    )
    assert nnx.graphdef(first) == nnx.graphdef(second)


@pytest.mark.parametrize(("size", "convs"), [(32, 6), (64, 8), (128, 10), (256, 12)])
def test_the_vgg_discriminator_halves_pictures_down_to_4_pixels(size, convs):
    shapes = nnx.eval_shape(
        lambda: VGGStyleDiscriminator(num_features=2, input_size=size, rngs=nnx.Rngs(0))
    )
    assert len(shapes.convs) == convs
    assert len(shapes.norms) == convs - 1
    widths = [conv.kernel.shape[-1] for conv in shapes.convs]
    assert widths[::2] == widths[1::2] == [2, 4, 8, 16, 16, 16][: convs // 2]
    assert shapes.linear1.kernel.shape == (widths[-1] * 4 * 4, 100)
    images = jax.ShapeDtypeStruct((3, size, size, 3), jnp.float32)
    logits = nnx.eval_shape(lambda model, images: model(images), shapes, images)
    assert (logits.shape, logits.dtype) == ((3, 1), jnp.float32)


def test_bfloat16_is_near_float32(key):
    images = jax.random.uniform(key, (1, 8, 8, 3))
    exact = np.asarray(jax.jit(quick("edsr", scale=2))(images))
    rough = np.asarray(jax.jit(quick("edsr", scale=2, dtype=jnp.bfloat16))(images))
    assert 1e-4 < np.abs(exact - rough).max() / np.ptp(exact) < 0.02


def test_a_batch_gives_what_its_images_give_alone(key):
    images = jax.random.uniform(key, (2, 8, 8, 3))
    run = jax.jit(quick("nlsn", scale=2))
    np.testing.assert_allclose(run(images)[1:], run(images[1:]), atol=1e-5)


def test_nlsn_hashes_as_told(key):
    images = jax.random.uniform(key, (1, 8, 8, 3))
    model = quick("nlsn", scale=2, num_features=16)
    run = jax.jit(model)
    of_key_0, of_key_1 = (model.rotations(jax.random.key(seed), 8, 8) for seed in (0, 1))
    assert [rotation.shape for rotation in of_key_0] == [(4, 2, 4)]
    np.testing.assert_allclose(run(images), run(images, of_key_0), atol=1e-6)
    assert np.any(np.asarray(run(images, of_key_0)) != np.asarray(run(images, of_key_1)))


def test_weights_start_as_in_pytorch():
    conv = layers.conv(64, 64, rngs=nnx.Rngs(0))
    kernel, bias = np.asarray(conv.kernel[...]), np.asarray(conv.bias[...])
    bound = (9 * 64) ** -0.5
    for values in (kernel, bias):
        assert bound * 0.9 < np.abs(values).max() <= bound
    np.testing.assert_allclose(np.std(kernel), bound / 3**0.5, rtol=0.02)


def test_where_the_references_start_smaller_so_do_we():
    how = {"dtype": jnp.float32, "rngs": nnx.Rngs(0)}
    block = rrdbnet.ResidualDenseBlock(64, 32, **how)
    kernel = np.asarray(block.conv1.kernel[...])
    np.testing.assert_allclose(np.std(kernel), 0.1 * (2 / 576) ** 0.5, rtol=0.02)
    assert not np.asarray(block.conv1.bias[...]).any()
    attention = swinir.WindowAttention(60, 6, 8, **how)
    for weights in (attention.qkv.kernel, attention.relative_position_bias_table):
        np.testing.assert_allclose(np.std(np.asarray(weights[...])), 0.02, rtol=0.05)
    assert not np.asarray(attention.qkv.bias[...]).any()


def test_seeds_differ_and_repeat():
    def first_kernel(**rngs):
        return jaxsr.build("edsr", scale=2, **SMALL["edsr"], **rngs).conv_first.kernel[...]

    np.testing.assert_array_equal(first_kernel(), first_kernel(rngs=nnx.Rngs(0)))
    assert np.any(np.asarray(first_kernel()) != np.asarray(first_kernel(rngs=nnx.Rngs(1))))


def test_what_does_not_exist_is_refused_in_one_line():
    with pytest.raises(ValueError, match="No network is called 'edsrr'; there are edsr, .*imdn"):
        jaxsr.build("edsrr", scale=2)
    with pytest.raises(TypeError, match="edsr has no num_feat; it takes num_features, .*dtype"):
        jaxsr.build("edsr", scale=2, num_feat=8)
    with pytest.raises(ValueError, match="`scale` must be a whole number from 1 on; got 1.5"):
        jaxsr.build("imdn", scale=1.5)
    with pytest.raises(ValueError, match="Scale 5 .*choose 2, 3, 4 or 8"):
        jaxsr.build("rdn", scale=5, **SMALL["rdn"])
    with pytest.raises(ValueError, match=r"RRDBNet has no scale 3.*\[1, 2, 4\]"):
        jaxsr.build("rrdbnet", scale=3)
    with pytest.raises(ValueError, match="nearest.conv at scale 4"):
        jaxsr.build("swinir_real", scale=2, **SMALL["swinir"])
    with pytest.raises(ValueError, match=r"`depths` \(2,\) and `num_heads` \(6, 6\)"):
        jaxsr.build("swinir", scale=2, depths=(2,), num_heads=(6, 6))
    with pytest.raises(ValueError, match="takes 4 channels to 0: .*smaller reduction"):
        jaxsr.build("rcan", scale=2, **small("rcan", reduction=16))
    with pytest.raises(ValueError, match="embed_dim` 5 .*heads"):
        jaxsr.build("swinir", scale=2, embed_dim=5, depths=(2,), num_heads=(2,))


def test_pictures_that_are_none_are_refused_in_one_line():
    model = quick("srvgg", scale=2)
    with pytest.raises(ValueError, match=r"\[N, H, W, 3\]; got shape \(8, 8, 3\).*images\[None\]"):
        model(jnp.zeros((8, 8, 3)))
    with pytest.raises(ValueError, match=r"got shape \(1, 8, 8, 1\).*three equal channels"):
        model(jnp.zeros((1, 8, 8, 1)))
    with pytest.raises(TypeError, match="uint8. Divide by 255"):
        model(jnp.zeros((1, 8, 8, 3), jnp.uint8))
    vgg = nnx.eval_shape(lambda: VGGStyleDiscriminator(rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match="takes 128 x 128 pixels"):
        vgg(jnp.zeros((1, 64, 64, 3)))
    with pytest.raises(ValueError, match="takes pictures of 32, 64, 128, 256; got 48"):
        VGGStyleDiscriminator(input_size=48, rngs=nnx.Rngs(0))


def test_shuffles_are_inverse_and_in_pytorchs_order(key):
    x = jnp.arange(8.0).reshape(1, 1, 1, 8)  # two colours of 2 x 2 pixels, colour slowest
    np.testing.assert_array_equal(layers.pixel_shuffle(x, 2)[0, :, :, 1], [[4, 5], [6, 7]])
    images = jax.random.uniform(key, (2, 4, 6, 3))
    unshuffled = layers.pixel_unshuffle(images, 2)
    assert unshuffled.shape == (2, 2, 3, 12)
    np.testing.assert_array_equal(layers.pixel_shuffle(unshuffled, 2), images)


def test_flax_waits_until_a_network_is_wanted():
    script = "import sys, jaxsr; assert 'flax' not in sys.modules; jaxsr.names()"
    subprocess.run([sys.executable, "-c", script], check=True)
