"""diffusers' spatiotemporal UNet with the same modules, weights and outputs, but fewer and cheaper operations.

What differs from the stock class, each equal up to rounding:

- (3, 1, 1) convolutions run as 2-D ones over (frames, height * width), which CPUs have fast kernels for;
- blending, alpha x + (1 - alpha) (x + branch), is one x + (1 - alpha) branch;
- cross-attention to a single token, whose weight is always 1, is that token's value: no queries, keys or softmax;
- cross-attention to more folds all queries that read the same text into one sequence, so that keys and values are
  computed once a clip and not once a frame (spatial) or pixel (temporal);
- the embedding of frame positions is computed once a clip length and not once a frame of the batch;
- on a GPU in half precision, attention over frames and gated units are kernels of our own (`kernels.py`), and compiled
  group norms are sums;
- on a GPU, activations that lie channels last stay so through shortcuts and upsampling.
"""

import inspect
import re
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import UNetSpatioTemporalConditionModel
from diffusers.models.activations import GEGLU
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D, SpatioTemporalResBlock, TemporalResnetBlock
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from diffusers.models.upsampling import Upsample2D
from torch import nn
from torch.utils.checkpoint import checkpoint

if torch.cuda.is_available():
    from svd_core.models.kernels import gated_linear, is_short, short_attention


class SpatioTemporalUNet(UNetSpatioTemporalConditionModel):
    """A drop-in for UNetSpatioTemporalConditionModel: call it the same way, load the same state dict.

    `norm_num_groups` and `norm_eps` are the image UNet's settings of those names, which the stock class fixes. A group
    norm takes away what all pixels of a group share: with one or two channels a group, as 32 groups leave
    in a narrow network, that is the embedding of the noise level and most of the text.
    """

    def __init__(self, *args: Any, norm_num_groups: int = 32, norm_eps: float | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_to_config(norm_num_groups=norm_num_groups, norm_eps=norm_eps)
        for name, module in self.named_modules():
            if isinstance(module, nn.GroupNorm):
                module.num_groups = norm_num_groups
                if norm_eps is not None and SPATIAL_NORM.search(name):
                    module.eps = norm_eps
            if replacement := FASTER.get(type(module)):
                module.__class__ = replacement  # the same parameters under the same names, another forward
        self.set_attn_processor(FoldedAttention())
        self.channels_last = False

    def forward(self, sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """As the stock class. With `channels_last` activations lie in memory channels last.

        Tensor cores want them so, and then neither attention nor the convolutions over frames have to move them; group
        norms do, unless they are compiled.
        """
        if self.channels_last:
            sample = sample.movedim(2, -1).contiguous().movedim(-1, 2)
        return super().forward(sample, *args, **kwargs)


SPATIAL_NORM = re.compile(r"spatial_res_block\.norm|^conv_norm_out$")


def _signature() -> inspect.Signature:
    """The stock class's parameters and ours: `from_config` takes what the signature names."""
    stock = inspect.signature(UNetSpatioTemporalConditionModel.__init__)
    own = inspect.signature(SpatioTemporalUNet.__init__).parameters
    return stock.replace(parameters=[*stock.parameters.values(), own["norm_num_groups"], own["norm_eps"]])


SpatioTemporalUNet.__init__.__signature__ = _signature()  # type: ignore[attr-defined]


class SpatialResBlock(ResnetBlock2D):
    """The residual block of single frames. Their layout in memory stays as it is, unlike with the stock class."""

    def forward(self, x: torch.Tensor, temb: torch.Tensor) -> torch.Tensor:
        """Takes and returns (B * T, C, H, W); temb is (B * T, D)."""
        if not by_pixel(x):
            return super().forward(x, temb)  # type: ignore[no-any-return]
        hidden = self.conv1(F.silu(self.norm1(x))) + self.time_emb_proj(F.silu(temb))[:, :, None, None]
        hidden = self.conv2(self.dropout(F.silu(self.norm2(hidden))))
        through: torch.Tensor = hidden + (x if self.conv_shortcut is None else self.conv_shortcut(x))
        return through


class TemporalResBlock(TemporalResnetBlock):
    """The residual branch over frames."""

    def forward(self, x: torch.Tensor, temb: torch.Tensor) -> torch.Tensor:
        """What the block adds to x. Takes and returns (B, C, T, H * W); temb is (B * T, D), frame by frame."""
        hidden = over_frames(self.conv1, F.silu(self.norm1(x)))
        shift = self.time_emb_proj(F.silu(temb)).unflatten(0, (len(x), -1)).transpose(1, 2)
        return over_frames(self.conv2, F.silu(self.norm2(hidden + shift[..., None])))


class ResBlock(SpatioTemporalResBlock):
    """Spatial residual block, then the temporal one blended in."""

    def forward(
        self, hidden_states: torch.Tensor, temb: torch.Tensor, image_only_indicator: torch.Tensor
    ) -> torch.Tensor:
        spatial = self.spatial_res_block(hidden_states, temb)
        frames = spatial.unflatten(0, image_only_indicator.shape)
        layout = torch.channels_last if by_pixel(spatial) else torch.contiguous_format
        branch = self.temporal_res_block(frames.flatten(3).transpose(1, 2).contiguous(memory_format=layout), temb)
        blend = (1 - torch.sigmoid(self.time_mixer.mix_factor)).to(frames.dtype)
        return torch.addcmul(frames, branch.transpose(1, 2).unflatten(3, frames.shape[3:]), blend).flatten(0, 1)


class Transformer(TransformerSpatioTemporalModel):
    """Spatial and temporal transformer blocks in turn, blended."""

    def forward(
        self,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        image_only_indicator: torch.Tensor,
        return_dict: bool = False,
    ) -> tuple[torch.Tensor]:
        num_frames = image_only_indicator.shape[1]
        context = encoder_hidden_states[::num_frames]
        tokens = self.proj_in(self.norm(hidden_states).flatten(2).transpose(1, 2))
        positions = self.time_proj(torch.arange(num_frames, device=tokens.device)).to(tokens.dtype)
        positions = self.time_pos_embed(positions).repeat(len(context), 1)[:, None]
        blend = torch.sigmoid(self.time_mixer.mix_factor)
        recomputing = torch.is_grad_enabled() and self.gradient_checkpointing
        for spatial, temporal in zip(self.transformer_blocks, self.temporal_transformer_blocks, strict=True):
            pair, values = partial(_blended, spatial, temporal, num_frames), (tokens, context, positions, blend)
            tokens = checkpoint(pair, *values, use_reentrant=False) if recomputing else pair(*values)
        return (self.proj_out(tokens).transpose(1, 2).reshape(hidden_states.shape) + hidden_states,)


def _blended(
    spatial: nn.Module,
    temporal: nn.Module,
    num_frames: int,
    tokens: torch.Tensor,
    context: torch.Tensor,
    positions: torch.Tensor,
    blend: torch.Tensor,
) -> torch.Tensor:
    """A spatial block, and the temporal one after it blended in. Shapes as in Transformer.forward."""
    tokens = spatial(tokens, encoder_hidden_states=context)
    mixed = temporal(tokens + positions, num_frames=num_frames, encoder_hidden_states=context)
    return torch.lerp(mixed, tokens, blend.to(mixed.dtype))


class Upsample(Upsample2D):
    """Each pixel four times, then a convolution. The stock class takes large batches out of their layout in memory."""

    def forward(self, x: torch.Tensor, output_size: tuple[int, int] | None = None) -> torch.Tensor:
        height, width = (2 * side for side in x.shape[2:])
        if not by_pixel(x) or (output_size and tuple(output_size) != (height, width)):
            return super().forward(x, output_size)  # type: ignore[no-any-return]
        pixels = x.permute(0, 2, 3, 1)[:, :, None, :, None].expand(-1, -1, 2, -1, 2, -1)
        told: torch.Tensor = self.conv(pixels.reshape(len(x), height, width, -1).permute(0, 3, 1, 2))
        return told


def by_pixel(x: torch.Tensor) -> bool:
    """Whether x (N, C, H, W) lies channels last, on a GPU: on a CPU another layout rounds otherwise."""
    return x.is_cuda and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


class FoldedAttention:
    """Attention where consecutive rows of the queries may share one row of the context.

    Queries (B * n, L, C) and context (B, S, D): the n rows of each context become one sequence of n * L queries. Where
    S = 1 the projections of queries and keys have no effect on the result, and get no gradient.
    """

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: None = None,
    ) -> torch.Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        if encoder_hidden_states is not None and context.shape[1] == 1:
            told: torch.Tensor = attn.to_out[0](attn.to_v(context))
            length = hidden_states.shape[0] // len(context) * hidden_states.shape[1]
            return told.expand(-1, length, -1).reshape(hidden_states.shape)
        folded = hidden_states.reshape(len(context), -1, hidden_states.shape[-1])
        query, key, value = attn.to_q(folded), attn.to_k(context), attn.to_v(context)
        if query.is_cuda and encoder_hidden_states is None and is_short(query, attn.heads):
            attended = short_attention(query, key, value, attn.heads)
        else:
            query, key, value = (each.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for each in (query, key, value))
            attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        projected: torch.Tensor = attn.to_out[0](attended)
        return projected.reshape(hidden_states.shape)


class GatedUnit(GEGLU):
    """value * gelu(gate) of a linear layer's halves."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        plain = type(self.proj) is nn.Linear and self.proj.bias is not None  # peft wraps what it adapts
        if not (plain and hidden_states.is_cuda and torch.is_autocast_enabled("cuda")):
            return super().forward(hidden_states)  # type: ignore[no-any-return]
        given = hidden_states.flatten(0, -2), self.proj.weight, self.proj.bias
        gated, _ = gated_linear(*(each.to(torch.get_autocast_dtype("cuda")) for each in given))
        told: torch.Tensor = gated.unflatten(0, hidden_states.shape[:-1])
        return told


class GroupNorm(nn.GroupNorm):
    """By sums in compiled blocks on a GPU in half precision: PyTorch's own breaks the layout, and what is fused."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        compiled = x.is_cuda and torch.is_autocast_enabled("cuda") and torch.compiler.is_compiling()
        return by_sums(self, x) if compiled else super().forward(x)


def by_sums(norm: nn.GroupNorm, x: torch.Tensor) -> torch.Tensor:
    """`norm` of x (N, C, H, W) in float32, by sums over pixels of values and squares: all else is once a channel.

    They are taken about one value of each group, or a large mean's square would drown the spread.
    """
    grouped = x.float().unflatten(1, (norm.num_groups, -1))
    near = grouped - grouped[:, :, :1, :1, :1].detach()
    mean, square = (each.mean((3, 4)).mean(2, keepdim=True) for each in (near, near * near))
    spread = torch.rsqrt((square - mean * mean).clamp_min(0) + norm.eps)
    weight, bias = (each.unflatten(0, (norm.num_groups, -1)) for each in (norm.weight, norm.bias))
    scale, shift = spread * weight, bias - mean * spread * weight
    normed: torch.Tensor = near * scale[..., None, None] + shift[..., None, None]
    return normed.flatten(1, 2)


def over_frames(conv: nn.Conv3d, x: torch.Tensor) -> torch.Tensor:
    """A (3, 1, 1) convolution of x, (B, C, T, H * W), as a 2-D one."""
    return F.conv2d(x, conv.weight.flatten(3), conv.bias, padding=(1, 0))


FASTER: dict[type, type] = {
    ResnetBlock2D: SpatialResBlock,
    TemporalResnetBlock: TemporalResBlock,
    SpatioTemporalResBlock: ResBlock,
    TransformerSpatioTemporalModel: Transformer,
    GEGLU: GatedUnit,
    nn.GroupNorm: GroupNorm,
    Upsample2D: Upsample,
}
