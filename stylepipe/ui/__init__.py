"""``stylepipe ui``: a page in the browser, served by this machine to itself alone."""
