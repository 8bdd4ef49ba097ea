"""Make labelled images with many networks."""
