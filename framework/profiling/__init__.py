"""What components and decisions cost, and what a backbone can do."""
