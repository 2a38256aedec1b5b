"""MetAug around torchvision's ResNet-18, on scikit-learn's handwritten digits."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn
from torchvision.models import resnet18

import metaug

torch.manual_seed(0)
digits = load_digits()
images = F.interpolate(torch.from_numpy(digits.images).float()[:, None] / 16, scale_factor=2)
images = images.expand(-1, 3, -1, -1)
train, test = images[:1000], images[1000:]


def augment(batch: Tensor) -> Tensor:
    """Each image turned, sheared, scaled and shifted a little, with noise."""
    transform = torch.eye(2, 3) + 0.15 * torch.randn(len(batch), 2, 3)
    grid = F.affine_grid(transform, list(batch.shape), align_corners=False)
    return F.grid_sample(batch, grid, align_corners=False) + 0.1 * torch.randn_like(batch)


def accuracies(encoder: nn.Module) -> str:
    """Of a nearest-neighbour classifier on frozen features, on two kinds of test images."""
    encoder.eval()
    with torch.no_grad():
        probe = KNeighborsClassifier().fit(encoder(train), digits.target[:1000])
        found = [probe.score(encoder(x), digits.target[1000:]) for x in (test, augment(test))]
    encoder.train()
    return f"kNN accuracy {found[0]:.3f}, on turned and shifted digits {found[1]:.3f}"


encoder = resnet18(num_classes=10)
encoder.fc = nn.Identity()
head = nn.Linear(512, 64)
mags = nn.ModuleList([metaug.MAG(64, hidden=256) for _ in range(2)])
meta = metaug.MetaStep(
    encoder,
    head,
    mags,
    torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=1e-3),
    torch.optim.Adam(mags.parameters(), lr=1e-3),
    delta=0.1,
    alpha=0.1,
)
print("untrained:", accuracies(encoder))
for epoch in range(4):
    losses, meta_losses = [], []
    for batch in train[torch.randperm(len(train))].split(125):
        logs = meta.step([augment(batch), augment(batch)])
        losses.append(logs["loss"])
        meta_losses.append(logs["meta_loss"])
    loss, meta_loss = torch.stack(losses).mean(), torch.stack(meta_losses).mean()
    print(f"epoch {epoch}: loss {loss:.4f}, loss of the MAGs {meta_loss:.4f}", flush=True)
print("trained:", accuracies(encoder))
