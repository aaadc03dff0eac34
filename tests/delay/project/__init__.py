"""A site for the tests of `rundelay`, as a process of its own."""
