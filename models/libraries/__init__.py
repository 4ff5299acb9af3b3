"""Networks of other libraries, registered by name; a library is imported when one is built."""
