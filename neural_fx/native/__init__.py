"""The compiled kernels' sources, and their module `_core` where a compiler was found at installation."""
