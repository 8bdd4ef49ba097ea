"""The parts that every report is made of: HTML pages and figures."""
