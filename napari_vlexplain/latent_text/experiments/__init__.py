"""The experiments of INViTE on drawn scenes with exact answers, and on the folders it was published on."""
