"""Attribution: which network made an image."""
