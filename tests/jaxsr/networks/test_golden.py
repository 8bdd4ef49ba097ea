"""The same functions as the references: their parameters and inputs give their outputs.

    python -m pytest tests/jaxsr/networks/test_golden.py -rP

prints how far the two are apart, relative to the range of the output. 1e-4 is allowed.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jaxsr
from jaxsr.networks import VGGStyleDiscriminator

BOUND = 1e-4

EDSR = {"num_features": 8, "num_blocks": 2}
RCAN = {"num_features": 8, "num_groups": 2, "num_blocks": 2, "reduction": 4}
RDN = {"num_features": 8, "growth_rate": 8, "num_blocks": 3, "num_layers": 2}
NLSN = {"num_features": 16, "num_blocks": 16, "chunk_size": 16}
RRDB = {"num_features": 8, "num_blocks": 2, "growth_rate": 4}
SWIN = {"embed_dim": 12, "depths": (2, 2), "num_heads": (2, 2), "window_size": 4}

# File -> name, scale, the size of the golden network.
NETWORKS = {
    "edsr_x2": ("edsr", 2, EDSR),
    "edsr_x4": ("edsr", 4, EDSR),
    "rcan_x2": ("rcan", 2, RCAN),
    "rcan_x4": ("rcan", 4, RCAN),
    "rdn_x2": ("rdn", 2, RDN),
    "rdn_x4": ("rdn", 4, RDN),
    "nlsn_x2": ("nlsn", 2, NLSN),
    "nlsn_x4": ("nlsn", 4, NLSN),
    "rrdbnet_x2": ("rrdbnet", 2, RRDB),
    "rrdbnet_x4": ("rrdbnet", 4, RRDB),
    "srvggnetcompact_x4": ("srvgg", 4, {"num_features": 8, "num_convs": 3}),
    "swinir_x2": ("swinir", 2, SWIN),
    "swinir_x4": ("swinir", 4, SWIN),
    "swinir_light_x2": ("swinir_light", 2, SWIN),
}
# File -> name, scale, file of its published weights, range of the golden's colours.
PUBLISHED = {
    "imdn_x2": ("imdn", 2, "IMDN_x2.pth", 1.0),
    "imdn_x3": ("imdn", 3, "IMDN_x3.pth", 1.0),
    "imdn_x4": ("imdn", 4, "IMDN_x4.pth", 1.0),
    "rlfn_x2": ("rlfn", 2, "rlfn_x2.pth", 255.0),
    "rlfn_x4": ("rlfn", 4, "rlfn_x4.pth", 255.0),
    "rlfn_s_x2": ("rlfn_s", 2, "rlfn_s_x2.pth", 255.0),
    "rlfn_s_x4": ("rlfn_s", 4, "rlfn_s_x4.pth", 255.0),
}
DISCRIMINATORS = {
    "vgg_discriminator_128": VGGStyleDiscriminator,
}


def starting_with(prefix, arrays):
    return {k.removeprefix(prefix): array for k, array in arrays.items() if k.startswith(prefix)}


def channels_last(array):
    return np.moveaxis(array, 1, -1)


def loaded(construct, weights, **size):
    """A network of shapes only, then given its weights: quicker than drawing some first."""
    return jaxsr.load_torch(nnx.eval_shape(lambda: construct(**size)), weights)


def check(ours, reference, what):
    """The largest difference, relative to the range or, of few logits, to the largest one."""
    size = max(np.ptp(reference), np.max(np.abs(reference)))
    difference = np.max(np.abs(np.asarray(ours, np.float64) - reference)) / size
    sys.stdout.write(f"{what:32s} {difference:.1e}\n")
    assert difference <= BOUND


@pytest.mark.parametrize("file", NETWORKS)
def test_a_network_is_that_of_the_reference(golden, file):
    name, scale, size = NETWORKS[file]
    arrays = golden(file)
    model = loaded(jaxsr.build, starting_with("param/", arrays), name=name, scale=scale, **size)
    rotations = [array[0] for array in starting_with("rotation/", arrays).values()]
    output = jax.jit(model)(channels_last(arrays["input"]), *([rotations] if rotations else []))
    assert output.dtype == jnp.float32
    check(output, channels_last(arrays["output"]), file)


@pytest.mark.parametrize("file", ["swinir_x2", "swinir_x4", "swinir_light_x2"])
def test_swinir_mirrors_images_up_to_whole_windows(golden, file):
    name, scale, size = NETWORKS[file]
    arrays = golden(file)
    model = loaded(jaxsr.build, starting_with("param/", arrays), name=name, scale=scale, **size)
    output = jax.jit(model)(channels_last(arrays["input_unaligned"]))
    check(output, channels_last(arrays["output_unaligned"]), f"{file} unaligned")


@pytest.mark.parametrize("file", PUBLISHED)
def test_published_weights_make_the_network_of_the_reference(golden, shared_data, file):
    pytest.importorskip("torch")
    name, scale, weights, img_range = PUBLISHED[file]
    arrays = golden(file)
    model = loaded(jaxsr.build, shared_data / "weights" / weights, name=name, scale=scale)
    output = jax.jit(model)(channels_last(arrays["input"]) / np.float32(img_range))
    check(output * img_range, channels_last(arrays["output"]), file)


@pytest.mark.parametrize("file", DISCRIMINATORS)
def test_a_discriminator_is_that_of_the_reference(golden, file):
    arrays = golden(file)
    params = starting_with("param/", arrays)

    def discriminator(weights):
        return loaded(lambda: DISCRIMINATORS[file](num_features=4, rngs=nnx.Rngs(0)), weights)

    model, images = discriminator(params), channels_last(arrays["input"])
    model.eval()
    check(jax.jit(model)(images), channels_last(arrays["output"]), f"{file} evaluated")
    model.train()
    output = nnx.jit(lambda model, images: model(images))(model, images)
    check(output, channels_last(arrays["train_output"]), f"{file} in training")
    # Running statistics have moved by one pass.
    after = discriminator(params | starting_with("train_after/", arrays))
    for (path, ours), (_, theirs) in zip(
        nnx.to_flat_state(nnx.state(model)), nnx.to_flat_state(nnx.state(after)), strict=True
    ):
        np.testing.assert_allclose(ours[...], theirs[...], atol=2e-6, err_msg=str(path))


def test_a_training_step_of_edsr_is_that_of_the_reference(golden):
    arrays = golden("edsr_x2_adam")
    images, target = channels_last(arrays["input"]), channels_last(arrays["target"])

    def edsr(weights):
        return loaded(jaxsr.build, weights, name="edsr", scale=2, **EDSR)

    @jax.jit
    def loss_and_gradient(model):
        return nnx.value_and_grad(lambda m: jnp.mean(jnp.abs(m(images) - target)))(model)

    model = edsr(starting_with("param/", golden("edsr_x2")))
    loss, gradient = loss_and_gradient(model)
    np.testing.assert_allclose(loss, arrays["loss"], rtol=1e-6)
    expected = nnx.state(edsr(starting_with("grad/", arrays)), nnx.Param)
    for ours, theirs in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected), strict=True):
        check(ours, np.asarray(theirs), f"gradient {theirs.shape}")

    adam = optax.adam(1e-4, b1=0.9, b2=0.99, eps=1e-8)
    params = nnx.state(model, nnx.Param)
    with jax.numpy_dtype_promotion("standard"):  # optax counts steps in int32
        updates, _ = adam.update(gradient, adam.init(params))
    after = optax.apply_updates(params, updates)
    expected = nnx.state(edsr(starting_with("after/", arrays)), nnx.Param)
    for ours, theirs in zip(jax.tree.leaves(after), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)  # a step is 1e-4
