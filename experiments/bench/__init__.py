"""The benchmark: training by jaxnets beside training by its peers."""
