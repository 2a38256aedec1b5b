"""Speed against independent references, side by side; nothing here asserts a time."""
