"""Where sessions are kept: the tables, the journal a run writes, and what can be asked of it afterwards."""
