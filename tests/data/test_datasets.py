from metaug.data.datasets import DATASETS


def test_the_six_data_sets_are_known_by_their_own_names():
    names = ["digits_m", "cifar10", "cifar100", "stl10", "tiny_imagenet", "imagenet"]
    assert list(DATASETS) == names
    assert [dataset.name for dataset in DATASETS.values()] == names


def test_class_counts_and_image_sizes_are_those_of_the_originals():
    known = {name: (dataset.classes, dataset.image_size) for name, dataset in DATASETS.items()}
    assert known == {
        "digits_m": (10, 32),
        "cifar10": (10, 32),
        "cifar100": (100, 32),
        "stl10": (10, 96),
        "tiny_imagenet": (200, 64),
        "imagenet": (1000, 224),
    }


def test_tiny_imagenet_is_looked_for_under_its_official_folder_name_first():
    assert DATASETS["tiny_imagenet"].folders == ("tiny-imagenet-200", "tiny_imagenet")


def test_val_is_preferred_where_the_official_test_split_has_no_labels():
    first = {name: dataset.test_splits[0] for name, dataset in DATASETS.items()}
    assert first["imagenet"] == first["tiny_imagenet"] == "val"
    assert first["cifar10"] == first["cifar100"] == first["stl10"] == "test"


def test_every_usual_name_of_a_test_split_is_tried():
    for dataset in DATASETS.values():
        assert set(dataset.test_splits) == {"test", "val", "valid", "validation"}
