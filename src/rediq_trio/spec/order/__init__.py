"""What comes first: tables whose indexes are kept in order, and the lanes that claims take from."""
