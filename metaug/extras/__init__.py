"""Questions of our own that the paper does not answer: one table or figure a file."""
