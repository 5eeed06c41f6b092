"""Episodes of the policy: played, sampled here or by a server, acted out, graded."""
