"""`pairlens size`: replicas and cost for a load."""

from __future__ import annotations

from typing import Annotated

import typer

from serve_app.cli.files import fail, say


def size(
    model_s: Annotated[float, typer.Option(min=0, help="Seconds of a replica for one comparison; 0 without a model.")],
    cpu_s: Annotated[float, typer.Option(min=0, help="Core seconds to decode and measure one pair.")],
    per_second: Annotated[float | None, typer.Option(min=0, help="Comparisons a second, on average.")] = None,
    per_day: Annotated[float | None, typer.Option(min=0, help="Or: comparisons a day.")] = None,
    peak: Annotated[float, typer.Option(min=1, help="The busiest minutes, as a multiple of the average.")] = 3.0,
    deadline: Annotated[float, typer.Option(min=0, help="Seconds that callers wait at most.")] = 60.0,
    utilisation: Annotated[float, typer.Option(min=0.01, max=0.99, help="Highest at the peak.")] = 0.8,
    spares: Annotated[int, typer.Option(min=0, help="Replicas beside those: for updates and lost nodes.")] = 1,
    gpu_price: Annotated[float, typer.Option(min=0, help="One GPU for an hour, in any currency.")] = 0.0,
    core_price: Annotated[float, typer.Option(min=0, help="One core for an hour.")] = 0.0,
) -> None:
    """Compute replicas, GPUs and cost for a load from measured times; docs/scaling.md says how to measure them."""
    from serve_app.operating import sizing

    if (per_second or 0) <= 0 and (per_day or 0) <= 0:
        fail("Say the load: --per-second or --per-day, above 0.")
    rate = per_second if per_second else (per_day or 0.0) / sizing.SECONDS_A_DAY
    demand = sizing.Demand(
        per_second=rate,
        model_s=model_s,
        cpu_s=cpu_s,
        peak=peak,
        deadline_s=deadline,
        utilisation=utilisation,
        spares=spares,
    )
    price = sizing.Price(gpu_price, core_price)
    try:
        say(sizing.described(demand, sizing.size(demand, price), price))
    except sizing.NoSize as exc:
        fail(str(exc))
