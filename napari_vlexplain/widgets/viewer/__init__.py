"""napari's viewer and its layers, as the docks use them."""
