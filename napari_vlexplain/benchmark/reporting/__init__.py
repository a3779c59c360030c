"""What a folder of rows says: tables, plots, a gallery, documents."""
