"""The benchmark: jaxnets and other libraries train the same networks."""
