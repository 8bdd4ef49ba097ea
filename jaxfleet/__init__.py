"""The engine: plan -> fleet -> store, for any small network."""

from jaxfleet.errors import InputError as InputError
from jaxfleet.store import Table as Table
from jaxfleet.store import open as open
