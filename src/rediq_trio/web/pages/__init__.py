"""The pages: each reads what it shows through the visitor's client, and names its template."""
