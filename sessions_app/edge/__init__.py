"""The HTTP faces of the judgement: they translate requests and decisions, and decide nothing themselves."""
