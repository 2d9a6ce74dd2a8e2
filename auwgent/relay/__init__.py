"""Live runs between processes: who has a run at work tells of it, as long as another process of its store reads it."""
