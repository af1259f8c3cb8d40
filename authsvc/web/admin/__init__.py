"""The site's pages about projects and the system; who may come in to which: web/access.py."""
