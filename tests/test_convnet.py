"""The built-in model's encoder, from outside: shapes, independence of frames, and what folding must not change."""

import torch
from torch import nn

from vda.network import build_model
from vda.network.convnet import CHANNELS, ConvEncoder, fold

LARGEST_FILE = 16_000_000


def random_statistics(encoder: ConvEncoder) -> ConvEncoder:
    """Give every batch normalisation a state that differs from the identity, as training does."""
    generator = torch.Generator().manual_seed(5)
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.running_var, module.weight.data, module.bias.data):
                assert tensor is not None
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return encoder.eval()


def test_maps_have_the_four_sizes_of_the_pyramid() -> None:
    maps = ConvEncoder().eval()(torch.zeros(2, 3, 48, 80))
    assert [tuple(m.shape) for m in maps] == [
        (2, CHANNELS[0], 12, 20),
        (2, CHANNELS[1], 6, 10),
        (2, CHANNELS[2], 3, 5),
        (2, CHANNELS[3], 2, 3),
    ]


def test_a_frame_does_not_depend_on_its_neighbours_in_the_batch() -> None:
    torch.manual_seed(0)
    encoder = ConvEncoder().eval()
    frames = torch.randn(3, 3, 64, 96)
    others = torch.cat([frames[:1], 10 * torch.randn(2, 3, 64, 96)])
    for alone, among in zip(encoder(frames), encoder(others), strict=True):
        torch.testing.assert_close(among[:1], alone[:1], rtol=0, atol=1e-5)


def test_every_output_place_sees_the_whole_image() -> None:
    torch.manual_seed(0)
    encoder = ConvEncoder().eval()
    image = torch.zeros(1, 3, 64, 256)
    marked = image.clone()
    marked[..., -16:] = 3.0
    change = (encoder(marked)[3] - encoder(image)[3]).abs().amax(1)
    assert change[0, 0, 0] > 1e-6


def test_folding_changes_nothing_and_leaves_no_normalisation() -> None:
    torch.manual_seed(0)
    trained = random_statistics(ConvEncoder(normalised=True))
    folded = fold(trained)
    images = torch.randn(2, 3, 64, 96)
    for before, after in zip(trained(images), folded(images), strict=True):
        torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3 * float(before.detach().abs().max()))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())


def test_the_whole_model_fits_the_file_that_ships() -> None:
    values = sum(tensor.numel() for tensor in build_model("mini").state_dict().values())
    assert 2 * values < LARGEST_FILE
