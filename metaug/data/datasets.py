"""The data sets by name: classes, images and their size, where they are looked for.

Where they can be obtained (all but the first go into one folder, `data_root`):

* `digits_m`: nowhere; it is made on the spot (`metaug.data.digits_m`).
* `cifar10`, `cifar100`: <https://www.cs.toronto.edu/~kriz/cifar.html>; torchvision downloads them.
* `stl10`: <https://cs.stanford.edu/~acoates/stl10/>; torchvision downloads it (2.6 GB).
* `tiny_imagenet`: <http://cs231n.stanford.edu/tiny-imagenet-200.zip>, unpacked in `data_root`; the
  folder works as it is.
* `imagenet`: <https://image-net.org/download.php> (ILSVRC 2012, asks for an account), sorted into
  `imagenet/train/<class>/` and `imagenet/val/<class>/`. A subset with fewer classes works as well,
  e.g. Imagenette, <https://github.com/fastai/imagenette>.

`metaug.data.sources` says which layouts are understood. A user's own data set is described by its
files (`metaug.data.user`).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Dataset:
    """What is known of a data set before any file is read.

    Attributes:
        name: its name everywhere in the project.
        classes: number of classes of the whole data set; a source may hold fewer.
        image_size: side of its images in pixels; for `imagenet`, whose images differ in size, the
            side customarily trained on.
        training_images, test_images: how many images its splits have.
        folders: names of its folder under `data_root`, in the order in which they are tried.
        test_splits: names of its test split, in the order in which they are tried.
        splits_itself: whether class folders must come as a training and a test split; without
            them, a fifth of each class is the test split (`metaug.data.folder`).
    """

    name: str
    classes: int
    image_size: int
    training_images: int
    test_images: int
    folders: tuple[str, ...]
    test_splits: tuple[str, ...] = ("test", "val", "valid", "validation")
    splits_itself: bool = True


# The official test splits of the ImageNet family have no labels: its `val` is what papers test on.
_VAL_FIRST = ("val", "valid", "validation", "test")

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset("digits_m", 10, 32, 1_437, 360, ()),
        Dataset("cifar10", 10, 32, 50_000, 10_000, ("cifar10",)),
        Dataset("cifar100", 100, 32, 50_000, 10_000, ("cifar100",)),
        Dataset("stl10", 10, 96, 5_000, 8_000, ("stl10",)),
        Dataset(
            "tiny_imagenet",
            200,
            64,
            100_000,
            10_000,
            ("tiny-imagenet-200", "tiny_imagenet"),
            _VAL_FIRST,
        ),
        Dataset("imagenet", 1000, 224, 1_281_167, 50_000, ("imagenet",), _VAL_FIRST),
    )
}
