"""The agent over HTTP: who may ask, how requests become runs, and how a run's intents leave again.

`server` listens and obeys signals, `app` puts the routes together, `gate` lets requests in, `desk` begins runs and
`live` holds them while they are under way. Each protocol is one module: `protocol` says what one is given.
"""
