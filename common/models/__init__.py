"""Requests, work items and results, as they cross a boundary.

- `limits`, `identifiers`, `kinds`, `fields`: what all models share; `faults`: what is wrong with a document, in words
- `request`: what is asked of a calculation, `options` for all of it and `inputs` for one portfolio or benchmark;
  `series`: valuations and flows, which `columns` reads whole
- `arguments`: what the mathematics is told of a request; `results`: what comes of it
- `fleet`: what is asked of a fleet run; `manifests`: the portfolios of one
- `books`: entities, transactions, prices; `records`: a row of a file that is imported into them; `entity_table`: the
  table that holds them
- `sources`: references to files; `rows`: what files hold, row by row; `references`: the series and portfolios they make
"""
