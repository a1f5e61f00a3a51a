"""What the initializations of encoder and decoder have in common."""

from torch import nn


def xavier_matrices(module: nn.Module) -> None:
    """Fill every matrix of a module by Xavier's uniform distribution."""
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
