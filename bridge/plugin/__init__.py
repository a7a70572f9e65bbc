"""Build, install and check the DAW plugins. Their C++ sources are in `src`."""
