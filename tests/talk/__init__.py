"""The listings of the talk that this project grows from, with `channels` renamed and their typing slips mended."""
