"""None; here to be broken."""
