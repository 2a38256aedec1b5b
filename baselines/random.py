"""The untrained encoder: a floor that every trained method must clear."""

from metaug.method import Method


class Random(Method):
    """Full-width encoder on RGB with the weights it starts with."""

    name = "random"
    number_of_views = "any"
    crops = 1
    trained = False
