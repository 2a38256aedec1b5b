"""What only the workflow needs: the plan and its costs, jobs, records, bundles, commands."""
