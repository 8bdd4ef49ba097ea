"""Forecasts the encoding error of SIRENs from picture and hyperparameters, in milliseconds."""
