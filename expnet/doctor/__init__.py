"""``expnet doctor``: examines the environment and names the command that mends each fault."""
