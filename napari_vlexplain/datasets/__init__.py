"""Cases with known answers: official data sets in their own layouts, plain folders, and drawn worlds."""
