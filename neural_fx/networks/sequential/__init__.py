"""Networks of stages that run one after another: description, torch module, binding of the compiled kernels."""
