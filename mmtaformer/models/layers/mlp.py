"""Linear layers with ReLU between them."""

from torch import nn


def mlp(
    in_dims: int, hidden_dims: int, out_dims: int, num_layers: int = 3
) -> nn.Sequential:
    """Build a small network.

    mmdet's class ``MLP`` is the same function, but its parameters have other names
    than those of the branches in mmdet's and this project's checkpoints.

    Args:
        in_dims: Channels of the input.
        hidden_dims: Channels between the layers.
        out_dims: Channels of the output.
        num_layers: How many linear layers there are, at least 1.
    """
    layers: list[nn.Module] = []
    for _ in range(num_layers - 1):
        layers += [nn.Linear(in_dims, hidden_dims), nn.ReLU(inplace=True)]
        in_dims = hidden_dims
    return nn.Sequential(*layers, nn.Linear(in_dims, out_dims))
