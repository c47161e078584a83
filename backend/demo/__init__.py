"""The simulated atlas: a brain-like plan, its cells, their genes, and sections cut from it.

Nothing here is measured data. Entry points: ``backend.demo.make.make_demo`` and
``backend.demo.query.demo_query``.
"""
