"""Filters over document metadata: the values, the tree, its text form and its protobuf form.

A small library that services share; it knows no storage and no search.
"""
