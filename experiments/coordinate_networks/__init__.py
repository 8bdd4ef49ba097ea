"""Which kind of coordinate network stores a photograph best in a given number of parameters?"""
