"""The DAW plugins: C++ in `src`, what builds and installs them (`building`), and what checks them (`checking`)."""
