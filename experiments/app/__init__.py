"""The page in the browser: what its tabs compute and show, and the page itself."""
