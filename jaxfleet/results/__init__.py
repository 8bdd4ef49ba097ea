"""Results of a run: written as Parquet parts, read as a table, shown in a notebook."""
