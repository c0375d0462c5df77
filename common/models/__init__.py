"""Requests, work items and results, as they cross a boundary.

- `limits`, `identifiers`, `fields`: what all models share; `faults`: what is wrong with a document, in words
- `request`: what is asked of a calculation; `series`: its valuations and flows, which `columns` reads whole; `results`:
  what comes of it
- `fleet`: what is asked of a fleet run; `manifests`: the portfolios of one
- `books`: entities, transactions, prices; `records`: a row of a file that is imported into them; `entity_table`: the
  table that holds them
- `sources`: references to files; `rows`: what files hold, row by row; `references`: the series and portfolios they make
"""
