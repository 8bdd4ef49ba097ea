"""One module per question of the papers: `run(config, run_dir)`."""
