"""Analysis of jaxprs: activations, FLOPs, receptive fields, dead units and non-finite numbers."""
