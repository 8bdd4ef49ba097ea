"""The frame of a report's page, and its style sheet."""

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title><style>{style}</style></head>
<body><header><h1>{title}</h1>{tiles}</header><main>{sections}</main></body></html>
"""

STYLE = """
:root { --ink: #22262b; --quiet: #646c76; --line: #d9dde2; --card: #fff; --page: #f5f6f8 }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #dfe3e8; --quiet: #98a1ac; --line: #2d333a; --card: #171a1e; --page: #0e1013 }
  .plot img { filter: invert(.91) hue-rotate(180deg) }
}
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 72rem; padding: 2.5rem 1.25rem 4rem; background: var(--page);
  color: var(--ink); font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", sans-serif }
h1 { font-size: 1.8rem; line-height: 1.25; margin: 0 0 1.5rem; text-wrap: balance }
h2 { font-size: 1.25rem; margin: 3rem 0 1rem }
h3 { font-size: 1rem; margin: 0 0 .6rem }
p { margin: .6rem 0; max-width: 46rem }
figure { margin: 0; min-width: 0 }
img { display: block; width: 100%; height: auto; border-radius: 4px }
img.tiny { image-rendering: pixelated }
figcaption { color: var(--quiet); font-size: .85rem; line-height: 1.4; margin-top: .4rem }
dl { margin: 0 } dd { margin: 0; overflow-wrap: anywhere } dt { color: var(--quiet) }
.tiles { display: flex; flex-wrap: wrap; gap: 1px; background: var(--line);
  border: 1px solid var(--line); border-radius: 8px; overflow: hidden }
.tiles div { background: var(--card); padding: .8rem 1rem; flex: 1 0 22% }
.tiles dt { font-size: .85rem } .tiles dd { font-size: 1.2rem; font-weight: 600 }
article + article { margin-top: 1.75rem }
article p { display: flex; flex-wrap: wrap; gap: 0 1.1rem; max-width: none; margin: 0 0 .5rem }
article span, figcaption span { color: var(--quiet); white-space: nowrap;
  font-variant-numeric: tabular-nums }
figcaption strong { color: var(--ink) }
figcaption :is(strong, span) { display: inline-block; margin-right: .6em }
.grid { display: grid; grid-template-columns: repeat(3, 1fr); gap: .75rem }
.crops { grid-template-columns: repeat(6, 1fr); gap: .5rem }
:is(article, .grid) + h3 { margin-top: 2.25rem }
section:has(> .plot) { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr));
  gap: 1.25rem }
section:has(> .plot) > :not(.plot) { grid-column: 1 / -1; margin-bottom: 0 }
.plot.wide { grid-column: 1 / -1 }
section > .plot:only-of-type:not(.wide) { grid-column: 1 / -1; max-width: 46rem }
.plot, .scroll, pre, dl:not(.tiles) { background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; padding: 1rem }
.scroll { overflow: auto; padding: 0 } .scroll + .scroll { margin-top: 1rem }
table { border-collapse: collapse; width: 100%; font-size: .875rem;
  font-variant-numeric: tabular-nums }
th, td { padding: .4rem .55rem; text-align: right; white-space: nowrap }
th { position: sticky; top: 0; background: var(--card); color: var(--quiet); font-weight: 500;
  white-space: normal; vertical-align: bottom }
td { border-top: 1px solid var(--line) }
.names-3 :is(th, td):nth-child(-n+3), .names-2 :is(th, td):nth-child(-n+2),
.names-1 :is(th, td):first-child { text-align: left; white-space: normal }
dl:not(.tiles) { columns: 20rem; column-gap: 2.5rem; font-size: .875rem }
dl:not(.tiles) div { display: flex; gap: 1rem; justify-content: space-between;
  padding: .2rem 0; break-inside: avoid } dl:not(.tiles) dd { text-align: right }
pre { overflow: auto; margin: 0; font-size: .9rem }
@media screen { .scroll:has(tbody tr:nth-child(41)) { max-height: 48rem } }
@media (max-width: 44rem) {
  body { padding: 1.25rem .9rem 3rem } h1 { font-size: 1.4rem } h2 { margin-top: 2.25rem }
  .tiles div { flex-basis: 40% } .tiles dd { font-size: 1.05rem }
  section:has(> .plot) { grid-template-columns: minmax(0, 1fr) } .plot { padding: .75rem }
  .crops { grid-template-columns: repeat(3, 1fr) }
  .grid { gap: .35rem } .grid.sizes { grid-template-columns: 1fr 1fr; gap: .75rem }
}
@media print {
  :root { --page: #fff } body { padding: 0 } .scroll { overflow: visible }
  article, figure, tr { break-inside: avoid } h2, h3 { break-after: avoid }
  .measurements { break-before: page }
  table { font-size: .65rem } th, td { padding: .2rem .3rem }
}
"""
