"""WaveNets: description, torch module, binding of the compiled kernels."""
