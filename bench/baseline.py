"""The straightforward way of running the network, to measure the engine against and to check it by.

In: a model and the normalised images of a video, window by window. Out: raw depth. All 32 frames of every window
go through the encoder in one batch, repeats included; attention is a softmax written out; maps keep the channels
first; every 1x1 convolution runs after the resize that it could precede; nothing is kept, nothing runs in slices.
Only the weights are the model's: no forward pass of ``vda.network`` is called, so agreement means something.
"""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vda.network import VideoDepthModel
from vda.network.encoder import Block, VisionTransformer
from vda.network.head import DepthHead, FusionBlock, ResidualUnit
from vda.network.temporal import GatedProjection, TemporalAttention, TemporalBlock, TemporalModule


def baseline_windows(model: VideoDepthModel, windows: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield the raw depth ``[slots, height, width]`` of each window of images ``[slots, 3, height, width]``.

    ``model`` has a transformer as its encoder and is in float32; so are images and depth.
    """
    with torch.inference_mode():
        for images in windows:
            yield baseline_window(model, images)


def baseline_window(model: VideoDepthModel, images: Tensor) -> Tensor:
    """Return the raw depth ``[slots, height, width]`` of one window's ``images`` ``[slots, 3, height, width]``."""
    assert isinstance(model.pretrained, VisionTransformer)
    return _head(model.head, _encoder(model.pretrained, images), images.shape[-2:])


def _encoder(encoder: VisionTransformer, images: Tensor) -> list[Tensor]:
    grid = (images.shape[-2] // encoder.patch, images.shape[-1] // encoder.patch)
    patches = encoder.patch_embed.proj(images).flatten(2).transpose(1, 2)
    tokens = torch.cat([encoder.cls_token.expand(len(images), -1, -1), patches], 1) + encoder.positions(*grid)
    maps = []
    for index, block in enumerate(encoder.blocks):
        assert isinstance(block, Block)
        normed = block.norm1(tokens)
        query, key, value = block.attn.qkv(normed).chunk(3, -1)
        tokens = tokens + block.ls1.gamma * block.attn.proj(_attention(query, key, value, block.attn.heads))
        hidden = F.gelu(block.mlp.fc1(block.norm2(tokens)))
        tokens = tokens + block.ls2.gamma * block.mlp.fc2(hidden)
        if index in encoder.taps:
            maps.append(encoder.norm(tokens)[:, 1:].transpose(1, 2).unflatten(2, grid).contiguous())
    return maps


def _attention(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    query, key, value = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (query, key, value))
    weights = (query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1)).softmax(-1)
    return (weights @ value).transpose(1, 2).flatten(2)


def _head(head: DepthHead, maps: Sequence[Tensor], size: Sequence[int]) -> Tensor:
    scratch = head.scratch
    layers = zip(maps, head.projects, head.resize_layers, strict=True)
    map1, map2, map3, map4 = (resized(project(tap)) for tap, project, resized in layers)
    layer1, layer2 = scratch.layer1_rn(map1), scratch.layer2_rn(map2)
    layer3 = scratch.layer3_rn(_temporal(head.motion_modules[0], map3))
    layer4 = scratch.layer4_rn(_temporal(head.motion_modules[1], map4))
    path = _fusion(scratch.refinenet4, layer4, None, layer3.shape[-2:])
    path = _fusion(scratch.refinenet3, _temporal(head.motion_modules[2], path), layer3, layer2.shape[-2:])
    path = _fusion(scratch.refinenet2, _temporal(head.motion_modules[3], path), layer2, layer1.shape[-2:])
    path = _fusion(scratch.refinenet1, path, layer1, [2 * side for side in layer1.shape[-2:]])
    path = _resize(scratch.output_conv1(path), size)
    first, last = scratch.output_conv2[0], scratch.output_conv2[2]
    return F.relu(last(F.relu(first(path)))).squeeze(1)


def _fusion(block: FusionBlock, path: Tensor, finer: Tensor | None, size: Sequence[int]) -> Tensor:
    if finer is not None:
        path = path + _residual(block.resConfUnit1, finer)
    return block.out_conv(_resize(_residual(block.resConfUnit2, path), size))


def _residual(unit: ResidualUnit, maps: Tensor) -> Tensor:
    return unit.conv2(F.relu(unit.conv1(F.relu(maps)))) + maps


def _resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=True)


def _temporal(module: nn.Module, maps: Tensor) -> Tensor:
    assert isinstance(module, TemporalModule)
    transformer = module.temporal_transformer
    slots, _, rows, columns = maps.shape
    tokens = transformer.proj_in(transformer.norm(maps).permute(2, 3, 0, 1).flatten(0, 1))
    block = transformer.transformer_blocks[0]
    assert isinstance(block, TemporalBlock)
    for attention, norm in zip(block.attention_blocks, block.norms, strict=True):
        assert isinstance(attention, TemporalAttention)
        placed = norm(tokens) + attention.pos_encoder.pe[:, :slots]
        mixed = _attention(attention.to_q(placed), attention.to_k(placed), attention.to_v(placed), 8)
        tokens = tokens + attention.to_out[0](mixed)
    gated = block.ff.net[0]
    assert isinstance(gated, GatedProjection)
    content, gate = gated.proj(block.ff_norm(tokens)).chunk(2, -1)
    tokens = tokens + block.ff.net[2](content * F.gelu(gate))
    return maps + transformer.proj_out(tokens).unflatten(0, (rows, columns)).permute(2, 3, 0, 1)
