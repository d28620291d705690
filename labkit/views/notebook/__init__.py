"""What a notebook shows: a live run, controls, plots, exercises; and how the notebooks are run afresh."""
