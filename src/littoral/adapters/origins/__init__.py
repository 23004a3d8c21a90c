"""Where artifacts come from: implementations of the port `Origin`, over HTTP of their own.

`references` says how artifacts are named; `hub` reads those of the Hugging Face Hub. `asking` and
`ranges` are the HTTP that origins have in common, `listing` what is believed of what they list.
"""
