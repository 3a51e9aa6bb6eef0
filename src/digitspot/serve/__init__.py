"""Reading over HTTP: limits, a queue, the application, and the processes that run it."""
