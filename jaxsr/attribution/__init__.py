"""Attribution: classifiers that name the network that made an image."""
