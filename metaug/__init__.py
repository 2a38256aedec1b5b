"""MetAug (Li et al., ICML 2022): the method, its training, its evaluation and its paper."""
