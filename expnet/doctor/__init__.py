"""``expnet doctor``: examines the environment and names the command that fixes each fault."""
