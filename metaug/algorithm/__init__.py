"""MetAug (Li et al., ICML 2022) and its ablations, as methods.

Every image is seen in several colour views, one encoder and projection head each. For each ordered
pair of views (anchor, target) an image has one positive, the target's memory bank row of the same
image, and some negatives, rows of other images. The unified loss pools the pairs of all directions;
MAGs turn features into augmented features, which enter a second, lightly weighted loss; and the
MAGs learn by a second-order look-ahead through the encoders (`metaug.meta`).

There are two variants: `published` (the paper's text) and `released` (what the code at
jiangmengli/metaug computes, with its crashes mended). Wherever they differ in a number, a setting
says which; `DISCREPANCIES` lists them all.
"""
