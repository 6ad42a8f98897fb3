"""The part that is deployed: open slides, tile, detect, merge; uses only ``files``, neither labels nor datasets."""
