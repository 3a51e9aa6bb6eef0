"""One module a command: options, help, and the call into the library."""
