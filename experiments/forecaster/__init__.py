"""Train, evaluate, and query the forecaster of the encoding error."""
