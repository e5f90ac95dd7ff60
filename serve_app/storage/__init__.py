"""What lies on disk or in a database, each with a bound in bytes. No HTTP, no Ray."""
