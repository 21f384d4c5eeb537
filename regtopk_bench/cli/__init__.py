"""The command line: it composes the library and is the only part that talks to users."""
