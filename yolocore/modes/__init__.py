"""The modes: one pure function each, from typed settings and inputs to a record."""
