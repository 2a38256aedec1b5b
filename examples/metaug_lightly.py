"""MetAug around the parts of lightly's SimCLR, on scikit-learn's digits: `MetaStep` takes the place
of NTXentLoss, `backward` and the optimiser's step."""

import torch
from lightly.models.modules import SimCLRProjectionHead
from lightly.transforms import SimCLRTransform
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.models import resnet18
from torchvision.transforms.functional import to_tensor

import metaug

torch.manual_seed(0)
digits = load_digits()
images = [Image.fromarray((15 * x).astype("uint8")).resize((16, 16)) for x in digits.images]
images = [image.convert("RGB") for image in images]
transform = SimCLRTransform(
    input_size=16, min_scale=0.6, hf_prob=0, cj_prob=0, gaussian_blur=0, normalize=None
)


class Views(Dataset):
    """Two views of each of the first thousand digits."""

    def __len__(self) -> int:
        return 1000

    def __getitem__(self, index: int) -> list[Tensor]:
        return transform(images[index])


def accuracy(backbone: nn.Module) -> float:
    """Of a nearest-neighbour classifier on frozen features, on cropped test images."""
    known = torch.stack([to_tensor(image) for image in images[:1000]])
    cropped = torch.stack([transform(image)[0] for image in images[1000:]])
    backbone.eval()
    with torch.no_grad():
        probe = KNeighborsClassifier().fit(backbone(known), digits.target[:1000])
        found = probe.score(backbone(cropped), digits.target[1000:])
    backbone.train()
    return float(found)


backbone = nn.Sequential(*list(resnet18().children())[:-1], nn.Flatten())
projection_head = SimCLRProjectionHead(512, 512, 64)
mags = nn.ModuleList([metaug.MAG(64, hidden=256) for _ in range(2)])
optimizer = torch.optim.Adam([*backbone.parameters(), *projection_head.parameters()], lr=1e-3)
mag_optimizer = torch.optim.Adam(mags.parameters(), lr=1e-3)
meta = metaug.MetaStep(backbone, projection_head, mags, optimizer, mag_optimizer, delta=0.1)

print(f"untrained: kNN accuracy {accuracy(backbone):.3f}")
for epoch in range(3):
    loader = DataLoader(Views(), batch_size=100, shuffle=True, drop_last=True)
    losses = [meta.step(views)["loss"] for views in loader]
    print(f"epoch {epoch}: loss {torch.stack(losses).mean():.4f}", flush=True)
print(f"trained: kNN accuracy {accuracy(backbone):.3f}")
