"""Images to train and test on: training sets, degradations, crops, and labelled sets."""
