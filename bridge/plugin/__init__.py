"""DAW plugins: C++ sources in `src`, `building` to build and install them, `checking` to try them."""
