"""Which language a text is in: for what is stored and for what is asked.

A small library that services share; it knows no service, no storage and no search.
"""
