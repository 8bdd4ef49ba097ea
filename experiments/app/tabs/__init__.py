"""The tabs of the page: what visitors choose is passed on, and what comes back is shown."""
