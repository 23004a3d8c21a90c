"""Routing: where a request goes, and what follows a failure. Decisions only.

`failures` names what can go wrong at an upstream, `board` keeps their health and load, `choose`
picks one of them, and `journey` is the machine of one request on its way through them.

Among PoPs: `fleet` is what they say of themselves, `table` prepares those that have a model, and
`predict` picks the one that answers soonest (`explain` says why), by what is known of prompts that
they keep (`prefix`), of their rates (`rates`) and of what was just sent to them (`sends`).
"""
