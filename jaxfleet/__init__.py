"""The engine: plan -> fleet -> store, for any small network."""

from typing import TYPE_CHECKING

from jaxfleet import lazy

if TYPE_CHECKING:
    from jaxfleet.errors import InputError as InputError
    from jaxfleet.results.table import Table as Table
    from jaxfleet.results.table import open as open
else:
    lazy.export(__name__)
