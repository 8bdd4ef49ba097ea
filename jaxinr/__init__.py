"""SIRENs: sine networks that store a photograph in their weights, fitted hundreds at a time."""

from typing import TYPE_CHECKING

from jaxfleet import lazy

if TYPE_CHECKING:
    from jaxinr.codec.api import CodecError as CodecError
    from jaxinr.codec.api import decode as decode
    from jaxinr.codec.api import encode as encode
    from jaxinr.fit import Fit as Fit
    from jaxinr.fit import Fits as Fits
    from jaxinr.fit import fit as fit
    from jaxinr.forecaster.forecast import Forecast as Forecast
    from jaxinr.forecaster.forecast import ForecastWarning as ForecastWarning
    from jaxinr.forecaster.forecast import forecast as forecast
    from jaxinr.forecaster.tradeoff import Recommendation as Recommendation
    from jaxinr.forecaster.tradeoff import Tradeoff as Tradeoff
    from jaxinr.forecaster.tradeoff import recommend as recommend
    from jaxinr.forecaster.tradeoff import tradeoff as tradeoff
    from jaxinr.render import render as render
    from jaxinr.torch_names import from_torch as from_torch
    from jaxinr.torch_names import to_torch as to_torch
    from jaxinr.trial import Trial as Trial
    from jaxinr.trial import grid as grid
    from jaxinr.watch import watch as watch
else:
    lazy.export(__name__)
