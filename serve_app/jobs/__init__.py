"""Work that outlives a request: kept in a database, done by a worker, whatever process dies. No HTTP, no Ray."""
