"""Attribution where some networks were never seen in training."""
