"""What goes out to middleware around sending, and to telemetry: values, and the interfaces of both."""
