"""The engine: plan -> fleet -> store, for any small network."""

from jaxfleet.errors import InputError as InputError
from jaxfleet.table import Table as Table
from jaxfleet.table import open as open
