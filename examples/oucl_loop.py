"""OUCL in place of NT-Xent in a plain PyTorch loop, on scikit-learn's handwritten digits."""

import torch
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn

import metaug

torch.manual_seed(0)
digits = load_digits()
images = torch.from_numpy(digits.images).float()[:, None] / 16
train, test = images[:1400], images[1400:]


def augment(batch: Tensor) -> Tensor:
    """Each image shifted by up to one pixel, with noise."""
    shifts = torch.randint(-1, 2, (len(batch), 2)).tolist()
    moved = torch.stack([x.roll(shift, (1, 2)) for x, shift in zip(batch, shifts, strict=True)])
    return moved + 0.2 * torch.randn_like(batch)


encoder = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(1152, 128))
head = nn.Sequential(nn.ReLU(), nn.Linear(128, 64))
optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=1e-3)
criterion = metaug.OUCL()

for epoch in range(6):
    with torch.no_grad():
        probe = KNeighborsClassifier().fit(encoder(train), digits.target[:1400])
        accuracy = probe.score(encoder(augment(test)), digits.target[1400:])
    losses = []
    for batch in train[torch.randperm(len(train))].split(100):
        loss = criterion([head(encoder(augment(batch))) for _ in range(2)])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    print(f"epoch {epoch}: kNN accuracy {accuracy:.3f}, loss {torch.stack(losses).mean():.4f}")
