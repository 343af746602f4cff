"""Convolutions whose kernel is their stride, computed as products on patches, for several networks at once.

Such patches do not overlap, so each layer is one matrix product, over contiguous memory if the cells of a window lie in
the order of `patch_order`. The leading axis is the member: networks of one shape that do not know of each other, such
as those of the five instruments, whose products run as one batch. On one core of a CPU a member more costs what it
costs alone; on a GPU nearly nothing.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from musiclab.training.modules import module_list

Layer = nn.Conv2d | nn.ConvTranspose2d | nn.Linear
LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


class MemberLayer(nn.Module):
    """One layer of all members: a product with a matrix a member, `(member, rows, in)` to `(member, rows, out)`.

    It takes over the parameters of the layers that it is made of: these become views of its own, so they stay equal to
    it while it is trained, and can be saved and loaded under their own names.

    Args:
        layers: one a member, of one shape. The kernel of a convolution is its stride.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([_matrix(layer) for layer in layers]).contiguous())
        self.bias = nn.Parameter(torch.stack([bias_of(layer).detach() for layer in layers]))
        for member, layer in enumerate(layers):
            layer.weight = nn.Parameter(_unmatrix(self.weight.detach()[member], layer))
            layer.bias = nn.Parameter(self.bias.detach()[member])

    @property
    def widens(self) -> bool:
        """Whether it has no more inputs than outputs."""
        return self.weight.shape[1] <= self.weight.shape[2]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The layer's outputs `(member, rows, out)` for inputs `(member, ...)` whose cells, in order, fill the rows."""
        members, inputs, outputs = self.weight.shape
        # A transposed convolution has one bias a channel, for all places of its kernel.
        places = outputs // self.bias.shape[1]
        bias = self.bias.unsqueeze(1).expand(-1, places, -1).reshape(members, 1, outputs)
        return torch.baddbmm(bias, x.reshape(members, -1, inputs), self.weight)


class MemberNorm(nn.Module):
    """Batch normalisation of all members, each by itself, in training: `(member, ...)` to `(member, rows, channel)`.

    It uses the parameters and the running means of the layers that it is made of.
    """

    def __init__(self, norms: Sequence[nn.BatchNorm2d]) -> None:
        super().__init__()
        self.norms = module_list(norms)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The inputs, whose channels, in order, fill the rows, normalised over the rows."""
        rows = x.reshape(len(self.norms), -1, self.norms[0].num_features)
        for norm in self.norms:
            _count(norm)
        return torch.stack([
            F.batch_norm(
                own, norm.running_mean, norm.running_var, norm.weight, norm.bias, True, norm.momentum or 0.0, norm.eps
            )
            for own, norm in zip(rows, self.norms, strict=True)
        ])  # fmt: skip


class NormedMemberLayer(nn.Module):
    """A layer of all members and the batch normalisation after it, in one product.

    A linear layer's mean and variance follow from those of its inputs: of outputs `y = x W`, the mean is that of `x`
    times `W`, and the variance `diag(W' C W)` with the covariance `C` of the inputs. So the weights are scaled before
    the product, and no pass over the outputs is left. It pays if there are no more inputs than outputs, and none than
    rows; of fewer rows the outputs are normalised as they are. The layer's bias, which the normalisation takes away
    again, has no gradient in one product.
    """

    def __init__(self, layer: MemberLayer, norms: Sequence[nn.BatchNorm2d]) -> None:
        super().__init__()
        self.layer, self.norm = layer, MemberNorm(norms)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalised outputs `(member, rows, out)`, as `MemberNorm` gives for those of `MemberLayer`, in training."""
        weight = self.layer.weight
        members, inputs, outputs = weight.shape
        norms, channels = self.norm.norms, self.norm.norms[0].num_features
        rows = x.reshape(members, -1, inputs)
        if rows.shape[1] < inputs:
            return self.norm(self.layer(rows)).view(members, -1, outputs)  # type: ignore[no-any-return]  # modules are
        mean_M1I = rows.mean(dim=1, keepdim=True)
        covariance_MII = torch.bmm(rows.transpose(1, 2), rows) / rows.shape[1] - mean_M1I * mean_M1I.transpose(1, 2)
        # A channel's numbers are those of all places of the kernel: their variances, and how far apart their means lie.
        means_MPC = torch.bmm(mean_M1I, weight).view(members, -1, channels)
        squares = (torch.bmm(covariance_MII, weight) * weight).sum(dim=1)
        variance, mean = torch.var_mean(means_MPC, dim=1, correction=0)
        variance = variance + squares.view(members, -1, channels).mean(dim=1)
        self._keep(mean, variance, rows.shape[1] * outputs // channels)
        gamma, beta = (torch.stack([getattr(norm, name) for norm in norms]) for name in ("weight", "bias"))
        scale = gamma * (variance + norms[0].eps).rsqrt()
        places = outputs // channels
        bias, scales = (value.repeat(1, places).unsqueeze(1) for value in (beta - mean * scale, scale))
        return torch.baddbmm(bias, rows, weight * scales)

    @torch.no_grad()
    def _keep(self, mean: torch.Tensor, variance: torch.Tensor, count: int) -> None:
        """Move the running means towards this batch's, as `nn.BatchNorm2d` does."""
        for member, norm in enumerate(self.norm.norms):
            assert norm.running_mean is not None and norm.running_var is not None, (
                "they are tracked unless told otherwise"
            )
            momentum = norm.momentum or 0.0
            norm.running_mean.lerp_(mean[member] + self.layer.bias[member], momentum)
            norm.running_var.lerp_(variance[member] * (count / (count - 1)), momentum)
            _count(norm)


def _count(norm: nn.BatchNorm2d) -> None:
    assert norm.num_batches_tracked is not None, "it tracks running means unless told otherwise"
    norm.num_batches_tracked += 1


def stacked(networks: Sequence[nn.Sequential]) -> nn.Sequential:
    """Networks of one shape, with ReLUs, as member layers; what only reshapes, and dropout, is left to the caller."""
    layers: list[nn.Module] = []
    for same in zip(*networks, strict=True):
        match same[0]:
            case _ if isinstance(same[0], LAYERS):
                layers.append(MemberLayer(same))
            case nn.BatchNorm2d() if layers and isinstance(layers[-1], MemberLayer) and layers[-1].widens:
                layers[-1] = NormedMemberLayer(layers[-1], same)
            case nn.BatchNorm2d():
                layers.append(MemberNorm(same))
            case nn.ReLU():
                layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def _matrix(layer: Layer) -> torch.Tensor:
    """A layer's weights `(in, out)`; the cells of a kernel come in the order of its places, then of its channels."""
    weight = layer.weight.detach()
    if isinstance(layer, nn.Conv2d):
        return weight.permute(2, 3, 1, 0).flatten(0, 2)
    return weight.permute(0, 2, 3, 1).flatten(1) if isinstance(layer, nn.ConvTranspose2d) else weight.t()


def _unmatrix(matrix: torch.Tensor, layer: Layer) -> torch.Tensor:
    """The inverse of `_matrix`, as a view."""
    if isinstance(layer, nn.Conv2d):
        return matrix.view(*layer.kernel_size, layer.in_channels, layer.out_channels).permute(3, 2, 0, 1)
    if isinstance(layer, nn.ConvTranspose2d):
        return matrix.view(layer.in_channels, *layer.kernel_size, layer.out_channels).permute(0, 3, 1, 2)
    return matrix.t()


def bias_of(layer: Layer) -> torch.Tensor:
    """The bias of a layer, as a type that is never None."""
    assert layer.bias is not None, "layers have a bias unless told otherwise"
    return layer.bias


def squared_distance(raw: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """The sum of squares of `raw - x` for each member: `(member, ...)` each to `(member,)`.

    It overwrites `raw`, and on the way back the difference, which is its own gradient: each pass over outputs of this
    size costs as much as a small product. So it can be differentiated once, and `raw` must not be used any more.
    """
    squares: torch.Tensor = _SquaredDistance.apply(raw, x)  # type: ignore[no-untyped-call]  # torch has no types here
    return squares


class _SquaredDistance(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, raw: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        difference = raw.detach().sub_(x)
        ctx.save_for_backward(difference)
        flat = difference.flatten(1)
        squares: torch.Tensor = torch.linalg.vecdot(flat, flat)
        return squares

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        (difference,) = ctx.saved_tensors  # type: ignore[attr-defined]  # as above
        return difference.mul_(2 * grads[0].view(-1, *[1] * (difference.dim() - 1))), None
