"""The meta augmentation generator (MAG): a small network that augments features."""

import torch.nn.functional as F
from torch import Tensor, nn

from metaug.models.heads import mlp


class MAG(nn.Module):
    """Map a view's embedding to an augmented embedding on the unit sphere.

    Three linear layers, batch norm and ReLU after the first two, L2 normalisation at the end. It is
    deterministic: it takes no noise. Source: MetAug §3.2 and its reference code
    (jiangmengli/metaug, models/alexnet_MetAug.py). That code puts a new random linear layer in
    front whenever the input has another width; here such an input is an error.

    Examples:
        >>> import torch, metaug
        >>> mag = metaug.MAG(dim=16, hidden=64)
        >>> embeddings = torch.nn.functional.normalize(torch.randn(8, 16))
        >>> mag(embeddings).norm(dim=1).allclose(torch.ones(8))
        True

    Args:
        dim: width of the embedding, in and out.
        hidden: width of both hidden layers.

    Raises:
        ValueError: an input that is not ``(N, dim)``.
    """

    def __init__(self, dim: int = 128, hidden: int = 2048) -> None:
        super().__init__()
        self.dim = dim
        self.network = mlp((dim, hidden, hidden, dim))

    def forward(self, embedding: Tensor) -> Tensor:
        """Map embeddings ``(N, dim)`` to augmented embeddings ``(N, dim)`` of length 1."""
        if embedding.ndim != 2 or embedding.shape[1] != self.dim:
            raise ValueError(
                f"MAG takes embeddings of shape (N, {self.dim}), got {tuple(embedding.shape)}; "
                "project the features to that width first"
            )
        return F.normalize(self.network(embedding), dim=1)
