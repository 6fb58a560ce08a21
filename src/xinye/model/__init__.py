"""The network: its config, its layers, its kernels."""
