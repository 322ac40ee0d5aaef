"""What a person looks at: tables, plots, pictures, pages, W&B."""
