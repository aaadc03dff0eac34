"""One module for each listing, or for those that belong together, as they stand in the talk."""
