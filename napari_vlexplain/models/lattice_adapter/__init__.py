"""Models with an Attention Lattice Adapter: the network, its files, and how it answers like any other model."""
