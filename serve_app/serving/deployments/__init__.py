"""What only Ray needs of a service: its deployments, the ways between them, and how they are watched."""
