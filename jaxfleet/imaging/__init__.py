"""Photographs and pictures: where they come from, how they are read, and arithmetic on them."""

from jaxfleet import lazy

lazy.export(__name__)
