"""WaveNets whose weights follow knobs: description, torch module, binding of the compiled kernels."""
